"""The output of `glpn train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from glpn_cli.cli.console import console

if TYPE_CHECKING:
    from glpn_cli.training.config import TrainingConfig
    from glpn_cli.training.ranks import Ranks
    from glpn_cli.training.report import Event, Skipped
    from glpn_cli.training.run import RunEnd

_MOST_NAMED = 10
"""Pictures that are left out, by name."""


class TrainingView:
    """Shows a run: a progress line on a terminal, a sentence at each validation, JSON lines where asked for."""

    def __init__(self, ranks: Ranks, *, json: bool) -> None:
        self._ranks = ranks
        self._json = json
        self._named = 0

    def show(self, event: Event) -> None:
        """Show an event, in the first process only."""
        from glpn_cli.training.report import Progress, Skipped, Validation

        if not self._ranks.is_first:
            return
        if isinstance(event, Skipped):
            self._show_skipped(event)
        if self._json:
            console.json(event.to_line())
        if isinstance(event, Progress):
            console.progress(event.words())
            if not console.draws_progress:
                console.detail(event.words())
        if isinstance(event, Validation):
            console.note(event.words())

    def _show_skipped(self, event: Skipped) -> None:
        for message in event.messages:
            self._named += 1
            if self._named <= _MOST_NAMED:
                console.warn(f"left out: {message}")
            elif self._named == _MOST_NAMED + 1:
                console.note("more pictures are left out; history.jsonl names them all")


def sum_up(end: RunEnd, settings: TrainingConfig, output: Path, ranks: Ranks, *, json: bool) -> None:
    """Print a summary, and exit with 128 and the signal's number where one stopped the run."""
    if ranks.is_first:
        left_out = ", ".join(
            f"{count} {what}"
            for count, what in ((end.skipped, "pictures left out"), (end.dropped, "steps not finite"))
            if count
        )
        stopped = f"stopped after step {end.step} of {settings.steps}, everything is saved; go on with --resume"
        console.note((stopped if end.signal else f"{end.step} steps") + (f"; {left_out}" if left_out else ""))
        if not json and not end.signal:
            console.result(output)
    if end.signal:
        raise typer.Exit(128 + end.signal)
