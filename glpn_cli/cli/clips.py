"""The line that says how far a clip is: in time, in frames, and how fast beside real time."""

from __future__ import annotations

import shutil
import time

from glpn_cli.cli.console import console, draw_bar
from glpn_cli.text import shown

_REDRAW_S, _STATUS_S = 0.1, 60.0


class ClipProgress:
    """The line that says how far a clip is: in time, in frames, and how fast beside real time."""

    def begin(self, name: str, *, frames: int | None, duration_s: float | None) -> None:
        """A clip, or a pass over it, begins."""
        self._name, self._frames, self._duration_s = name, frames, duration_s
        self._done, self._time_s = 0, 0.0
        self._started = self._told = time.monotonic()
        self._drawn = 0.0

    def say(self, text: str) -> None:
        """A remark for the user."""
        console.note(text)

    def advance(self, time_s: float) -> None:
        """One more frame is done, shown at this time of the clip."""
        self._done, self._time_s = self._done + 1, time_s
        now = time.monotonic()
        if now - self._drawn >= _REDRAW_S:
            self._drawn = now
            console.progress(self._line())
        if now - self._told >= _STATUS_S and not console.draws_progress:
            self._told = now
            console.detail(self._line().strip())

    def _line(self) -> str:
        elapsed = max(time.monotonic() - self._started, 1e-3)
        speed = self._time_s / elapsed
        clock, count = _clock(self._time_s), f"{self._done}"
        if self._duration_s:
            clock += f"/{_clock(self._duration_s)}"
        if self._frames:
            count += f"/{self._frames}"
        facts = f" {clock}  {count} frames  {self._done / elapsed:.1f}/s  {speed:.2f}x real time"
        if self._duration_s and speed > 0:
            facts += f"  {_clock(max(0.0, self._duration_s - self._time_s) / speed)} left"
        width = shutil.get_terminal_size((80, 24)).columns - 1
        bar = ""
        if self._duration_s:
            bar = draw_bar(min(1.0, self._time_s / self._duration_s), max(0, min(16, width - len(facts))))
        line = bar + facts
        room = width - len(line) - 2
        return line[:width] if room < 8 else f"{line}  {shown(self._name)[-room:]}"


def _clock(seconds: float) -> str:
    whole = int(seconds)
    hours = f"{whole // 3600}:{whole // 60 % 60:02}" if whole >= 3600 else f"{whole // 60}"
    return f"{hours}:{whole % 60:02}"
