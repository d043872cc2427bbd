"""The frames of a clip that are asked for. Light to import: the command line takes its defaults from here."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from glpn_cli.errors import UsageError
from glpn_cli.options import option

WARM_UP = 24
"""A run that goes on in the middle of a clip sees so many of the frames before again, so that it steadies as one that
never stopped: three times the frames that `Steady` looks ahead."""

SAME_S = 0.002
"""Matroska counts milliseconds: times that differ by less are the same."""

_TIME = re.compile(r"(?:(?:(\d{1,4}):)?(\d{1,2}):)?(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})(s|ms)?")


AT = "The frame of a clip that is shown at this time, such as 12.5s."
"""The help of `--at`."""

OPTIONS = ("--start", "--end", "--every", "--fps", "--steady", "--no-steady")


def parse_time(text: str | float) -> float:
    """Seconds of `12.5s`, `12.5`, `500ms`, `1:02` or `1:02:03.5`. Raises UsageError."""
    if not isinstance(text, str):
        return text
    found = _TIME.fullmatch(text.strip())
    if found is None or (found[2] and found[4] == "ms"):
        raise UsageError(f"{text!r} is no time", hint="Write seconds, or hours:minutes:seconds: 12.5s, 1:02:03.5.")
    seconds = float(found[3]) * (0.001 if found[4] == "ms" else 1)
    return int(found[1] or 0) * 3600 + int(found[2] or 0) * 60 + seconds


@dataclass(frozen=True)
class ClipSettings:
    """Which frames of a clip are taken.

    start_s: from this time on, in seconds from the beginning of the clip
    end_s:   up to this time, which is not taken; None: to the end
    every:   one of so many frames, the first of them
    fps:     at most so many frames in a second; of an image sequence, its own rate; None: all
    steady:  take the flicker out of what is predicted

    Raises UsageError for a part that is empty and a rate that is none.
    """

    PANEL = "Clips"

    start_s: float = option(
        "--start TIME",
        0.0,
        "Take frames from here on: 12.5s, or 1:02:03.5.",
        parser=parse_time,
        show_default="the beginning",
    )
    end_s: float | None = option("--end TIME", None, "Take frames up to here.", parser=parse_time)
    every: int = option("--every N", 1, "Take one of so many frames.", min=1)
    fps: float | None = option(
        "--fps N",
        None,
        "Take at most N frames a second. Of an image sequence such as frame_%05d.png: its rate.",
        show_default="all",
    )
    steady: bool = option("--steady/--no-steady", True, "Take the flicker out of the depth of a clip.")

    def __post_init__(self) -> None:
        if self.end_s is not None and self.end_s <= self.start_s:
            raise UsageError(f"--end {self.end_s:g} s is not behind --start {self.start_s:g} s")
        if self.fps is not None and not 0 < self.fps < math.inf:
            raise UsageError(f"--fps {self.fps:g} is no rate", hint="Write frames per second, such as --fps 5.")

    @property
    def view(self) -> str | None:
        """The part of the clip in words, as records carry it; None for all of it."""
        facts = [
            f"from {self.start_s:g} s" if self.start_s else "",
            f"to {self.end_s:g} s" if self.end_s is not None else "",
            f"every {self.every}" if self.every > 1 else "",
            f"at {self.fps:g} a second" if self.fps is not None else "",
        ]
        return ", ".join(filter(None, facts)) or None

    @staticmethod
    def are_part(view: str | None) -> bool:
        """Whether the view in a record names a part of a clip."""
        return any(fact.startswith(("from ", "to ", "every ", "at ")) for fact in (view or "").split(", "))


class FrameChooser:
    """Decides for each frame in turn whether it is taken."""

    def __init__(self, settings: ClipSettings) -> None:
        self._settings = settings
        self._seen = 0
        self._last_tick = -1

    def takes(self, time_s: float) -> bool:
        """Whether the frame shown from `time_s` on is taken; to be asked once of each frame, in order."""
        asked = self._settings
        if time_s < asked.start_s - 1e-6 or self.is_past(time_s):
            return False
        self._seen += 1
        if (self._seen - 1) % asked.every:
            return False
        if asked.fps is not None:
            tick = math.floor((time_s - asked.start_s) * asked.fps + 1e-3)
            if tick <= self._last_tick:
                return False
            self._last_tick = tick
        return True

    def is_past(self, time_s: float) -> bool:
        """Whether no frame from this time on is taken."""
        return self._settings.end_s is not None and time_s >= self._settings.end_s - 1e-6
