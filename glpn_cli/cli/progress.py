"""How far a run is: one line that redraws itself on a terminal, a line a minute elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from typing import Self

from glpn_cli.cli.console import console
from glpn_cli.text import shown

_REDRAW_S = 0.1
_STATUS_S = 60.0


class Progress:
    """Counts inputs as they finish; says so where somebody watches.

    total: how many there are; None where nobody knows
    """

    def __init__(self, total: int | None) -> None:
        self._total = total
        self._done = 0
        self._computed = 0
        self._started = self._drawn = self._told = time.monotonic()
        console.progress(self._line(""))

    def advance(self, name: str, *, computed: bool) -> None:
        """One more is finished; `computed` ones tell how long the rest will take, skipped ones do not."""
        self._done += 1
        self._computed += computed
        now = time.monotonic()
        if now - self._drawn >= _REDRAW_S or self._done == self._total:
            self._drawn = now
            console.progress(self._line(name))
        if now - self._told >= _STATUS_S and not console.draws_progress:
            self._told = now
            console.detail(self._line(name).strip())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the line away."""
        console.progress("")

    def _line(self, name: str) -> str:
        width = shutil.get_terminal_size((80, 24)).columns - 1
        if self._total is None:
            line = f"{self._done}{self._pace()}"
        else:
            facts = f" {self._done}/{self._total}{self._pace()}"
            line = _draw_bar(self._done / max(self._total, 1), max(0, min(24, width - len(facts) - 2))) + facts
        room = width - len(line) - 2
        return line[:width] if room < 8 else f"{line}  {shown(name)[-room:]}"

    def _pace(self) -> str:
        elapsed = time.monotonic() - self._started
        if self._computed < 2 or elapsed < 1:
            return ""
        rate = self._computed / elapsed
        if self._total is None:
            return f"  {rate:.1f}/s"
        left = int((self._total - self._done) / rate)
        clock = (
            f"{left // 3600}:{left // 60 % 60:02}:{left % 60:02}" if left >= 3600 else f"{left // 60}:{left % 60:02}"
        )
        return f"  {rate:.1f}/s  {clock} left"


def _draw_bar(share: float, width: int) -> str:
    """A bar of `width` characters, in plain ASCII where the terminal has nothing else."""
    encoding = (getattr(sys.stderr, "encoding", None) or "ascii").lower().replace("-", "")
    full, empty = ("━", "─") if encoding.startswith("utf") else ("#", "-")
    filled = round(share * width)
    return full * filled + empty * (width - filled)
