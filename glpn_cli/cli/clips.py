"""Clips among the inputs of predict and export, and the line that says how far one is."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from glpn_cli.cli.console import ProgressLine, console, fit_line
from glpn_cli.images import PICTURE_EXTENSIONS
from glpn_cli.pipeline.naming import Destination
from glpn_cli.pipeline.run import Run, plan_run
from glpn_cli.text import clock
from glpn_cli.video.settings import OPTIONS

if TYPE_CHECKING:
    from glpn_cli.pipeline.settings import InputSettings, ModelSettings, OutputSettings, RunSettings
    from glpn_cli.pipeline.sources import Sources
    from glpn_cli.video.find import Clips
    from glpn_cli.video.run import ClipRun
    from glpn_cli.video.settings import ClipSettings


@dataclass(frozen=True)
class _TakenClips:
    """The clips of a command and what is asked of them, None where there is none; and the inputs that are left.

    looks_beside: whether depth that lies beside a clip is painted
    """

    clips: Clips | None = None
    asked: ClipSettings | None = None
    rest: InputSettings | None = None
    looks_beside: bool = False

    def without(self, found: Sources) -> Sources:
        """The other inputs, of those that were found."""
        return found if self.clips is None else self.clips.without(found)

    @cached_property
    def stored_count(self) -> int:
        """How many clips have depth that was made earlier."""
        if self.clips is None:
            return 0
        from glpn_cli.video.target import has_depth

        return sum(has_depth(clip, beside=self.looks_beside) for clip in self.clips.clips)

    @property
    def needs_network(self) -> bool:
        """Whether a clip has no depth yet."""
        return self.clips is not None and self.stored_count < len(self.clips.clips)

    def plan(
        self, found: Sources | None, outputs: OutputSettings, model: ModelSettings | None, work: RunSettings
    ) -> Run | ClipRun:
        """The run over pictures and clips. Raises UsageError where it makes no sense."""
        if self.clips is None:
            assert found is not None
            return plan_run(found, outputs, model, work)
        from glpn_cli.video.plan import plan_clips

        assert self.asked is not None
        return plan_clips(self.clips, found, outputs, model, work, self.asked)


def take_clips(asked: ClipSettings, settings: InputSettings, outputs: OutputSettings) -> _TakenClips:
    """Take the clips out of the inputs. Raises UsageError for options about clips where there is none."""
    typed = outputs.explicit.among(*OPTIONS)
    wants_video = Destination.parse(outputs.output).is_video or bool(typed)
    if not wants_video and all(map(_is_picture, settings.named)) and not (settings.lists or settings.lists0):
        return _TakenClips(rest=settings)
    from glpn_cli.video.find import Clips

    paints_video = outputs.paints and Destination.parse(outputs.output).is_video
    found = Clips.find(settings, wants_video=wants_video, takes_depth=paints_video)
    if found.made:
        console.note(
            f"{'1 clip that glpn made is' if len(found.made) == 1 else f'{len(found.made)} clips that glpn made are'} "
            "left out; "
            "paint one of depth with: glpn export CLIP -o FILE.mp4"
        )
    if not (found.clips or found.refused):
        outputs.explicit.refuse(*typed, because="is about clips, and there is none among the inputs")
        return _TakenClips(rest=settings)
    return _TakenClips(found, asked, found.rest, looks_beside=paints_video)


def _is_picture(name: str) -> bool:
    """Whether a name is that of one picture, and no folder's, pattern's or sequence's."""
    return os.path.splitext(name)[1].lower() in PICTURE_EXTENSIONS and "%" not in name and not os.path.isdir(name)  # noqa: PTH112, PTH122 - text, 100,000 of them


class ClipProgress(ProgressLine):
    """The line that says how far a clip is: in time, in frames, and how fast beside real time.

    frames, duration_s: how many there are to do, and how long they are shown; None where nobody knows
    """

    def __init__(self, name: str, *, frames: int | None, duration_s: float | None) -> None:
        super().__init__()
        self._name, self._frames, self._duration_s = name, frames, duration_s
        self._done, self._time_s = 0, 0.0

    def advance(self, time_s: float) -> None:
        """One more frame is done, shown at this time of the clip."""
        self._done, self._time_s = self._done + 1, time_s
        self.show(at_once=self._done == 1)

    def line(self) -> str:
        """Time and frames done, of how many, the speed, and the time that is left."""
        elapsed = max(time.monotonic() - self._started, 1e-3)
        speed = self._time_s / elapsed
        shown_s, count, share = clock(self._time_s), f"{self._done}", None
        if self._duration_s:
            shown_s += f"/{clock(self._duration_s)}"
            share = min(1.0, self._time_s / self._duration_s)
        if self._frames:
            count += f"/{self._frames}"
        facts = f"{shown_s}  {count} frames  {self._done / elapsed:.1f}/s  {speed:.2f}x real time"
        if self._duration_s and speed > 0:
            facts += f"  {clock(max(0.0, self._duration_s - self._time_s) / speed)} left"
        return fit_line(facts, self._name, share=share)
