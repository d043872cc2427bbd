"""The output of `glpn train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Self

import typer

from glpn_cli.cli.console import Progress, console

if TYPE_CHECKING:
    from glpn_cli.pipeline.report import Outcome
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
        from glpn_cli.training.report import Progress as Steps
        from glpn_cli.training.report import Skipped, Validation

        if not self._ranks.is_first:
            return
        if isinstance(event, Skipped):
            self._show_skipped(event)
        if self._json:
            console.json(event.to_line())
        if isinstance(event, Steps):
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


class TeachingView:
    """Shows how a teacher gives depth to pictures: a progress line, and the pictures that cannot be read."""

    def __init__(self) -> None:
        self._progress: Progress | None = None

    def show(self, outcome: Outcome, total: int) -> None:
        """Show the fate of one picture of `total`."""
        self._progress = self._progress or Progress(total)
        if outcome.error is not None:
            console.error(outcome.error, about=outcome.place)
        self._progress.advance(outcome.place, computed=outcome.seconds is not None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._progress is not None:
            self._progress.close()


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
