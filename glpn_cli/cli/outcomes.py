"""A run as the user sees it: paths or JSON lines on stdout, errors and progress on stderr, records in the report."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NoReturn

import typer

from glpn_cli.batch.outcome import Outcome, Status, Tally
from glpn_cli.batch.records import make_record, make_summary
from glpn_cli.cli.console import console
from glpn_cli.cli.progress import Progress
from glpn_cli.errors import UsageError, code_of, reason_of

WARNINGS = {
    "W_TRUNCATED": "the picture ends too early; what is missing was filled in",
    "W_ICC": "its colour profile is broken and was ignored",
    "W_TINY": "the picture is too small to tell depth from",
    "W_ANIMATED": "it has several frames; the first one was used (--frame picks another)",
    "W_RANGE": "its numbers are no usual brightness and were stretched",
    "W_FLAT": "the depth came out the same everywhere",
}
"""What the warnings in records mean, in words."""


class RunView:
    """Shows outcomes as they come."""

    def __init__(self, tally: Tally, *, json: bool = False, report: IO[bytes] | None = None) -> None:
        self.tally = tally
        self._json = json
        self._report = report
        self._progress = Progress(tally.total)

    def show(self, outcome: Outcome) -> None:
        """Count one outcome and show it."""
        self.tally.add(outcome)
        record = make_record(outcome)
        self._log(record)
        if self._json:
            console.json(record)
        elif outcome.status in (Status.OK, Status.PLANNED):
            for output in outcome.outputs:
                if output.path != "-":
                    console.result(output.path)
        if outcome.error is not None:
            console.error(outcome.error, about=outcome.place)
        for code in outcome.warnings:
            console.warn(f"{outcome.place}: {WARNINGS.get(code, code)} [{code}]")
        if not console.draws_progress:
            took = "" if outcome.seconds is None else f", {outcome.seconds:.2f} s"
            done = self.tally.done + self.tally.failed
            console.detail(f"{done}/{self.tally.total} {outcome.place}: {outcome.status}{took}")
        self._progress.advance(outcome.place, computed=outcome.seconds is not None)

    def close(self) -> NoReturn:
        """Show what the run came to, and exit with its code."""
        self._progress.close()
        summary = make_summary(self.tally)
        self._log(summary)
        if self._json:
            console.json(summary)
        if self.tally.ended.stopped is not None:
            console.error(self.tally.ended.stopped)
        if self.tally.stopped or self.tally.failed or self.tally.total > 1:
            console.note(self._sentence())
        raise typer.Exit(int(self.tally.exit_code))

    def _sentence(self) -> str:
        tally = self.tally
        words = {
            "written": tally.written,
            "planned": tally.statuses[Status.PLANNED],
            "skipped (already done)": tally.statuses[Status.SKIPPED],
            "failed": tally.failed,
        }
        counts = ", ".join(f"{count} {word}" for word, count in words.items() if count) or "nothing done"
        if not tally.stopped:
            return counts
        return f"stopped by {tally.stopped}: {counts}, {tally.left} left; run the same command again to go on"

    def _log(self, record: dict[str, object]) -> None:
        if self._report is not None:
            self._report.write(json.dumps(record, ensure_ascii=False, allow_nan=False).encode() + b"\n")
            self._report.flush()


@contextmanager
def open_report(path: Path | None) -> Iterator[IO[bytes] | None]:
    """The file that `--report` names, written line by line so that a killed run leaves what it knew."""
    if path is None:
        yield None
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("wb")
    except OSError as error:
        raise UsageError(f"cannot write the report {str(path)!r}: {reason_of(error)}", code=code_of(error)) from error
    with file:
        yield file
