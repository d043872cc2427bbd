"""A run as the user sees it: paths or JSON lines on stdout, errors and progress on stderr, records in the report."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn, Protocol, Self

import typer

from glpn_cli.cli.console import Progress, console, is_terminal
from glpn_cli.errors import ErrorCode, UsageError, code_of, reason_of
from glpn_cli.pipeline.naming import Destination
from glpn_cli.pipeline.report import Outcome, RunEnd, Status, Tally, warning_text
from glpn_cli.pipeline.run import Run
from glpn_cli.pipeline.settings import Allowance, OutputSettings
from glpn_cli.text import json_line

if TYPE_CHECKING:
    from glpn_cli.cli.clips import ClipProgress
    from glpn_cli.pipeline.settings import OutputSettings
    from glpn_cli.process_pool import Workers
    from glpn_cli.video.run import ClipRun


_MOST_NAMED = 10
"""Inputs that failed and are named at the end of a run; in a run of no more, their errors still stand there."""


class RunView:
    """Shows outcomes as they come."""

    def __init__(self, tally: Tally, *, json: bool = False, report: _Report | None = None) -> None:
        self.tally = tally
        self._json = json
        self._report = report
        self._is_unread = False
        self._failed: list[str] = []
        self._progress = Progress(tally.planned_total)
        self._clip: ClipProgress | None = None

    def show(self, outcome: Outcome) -> None:
        """Count one outcome and show it."""
        self.tally.add(outcome)
        if self._json or self._report is not None:
            self._write(outcome.to_record())
        if not self._json and outcome.status in (Status.OK, Status.PLANNED):
            self._print_paths(outcome)
        if outcome.error is not None:
            console.error(outcome.error, about=outcome.place)
            self._failed.append(f"{outcome.place} [{outcome.error.code}]")
        for code in outcome.warnings:
            console.warn(f"{outcome.place}: {warning_text(code)} [{code}]")
        if console.verbose and not console.draws_progress:
            console.detail(self._detail(outcome))
        if self._clip is None:
            self._progress.advance(outcome.place, computed=outcome.seconds is not None)

    def say(self, text: str) -> None:
        """A remark about a clip."""
        console.note(text)

    def begin(self, name: str, *, frames: int | None, duration_s: float | None) -> None:
        """A clip, or a pass over it, begins: from now on the line tells how far that is."""
        from glpn_cli.cli.clips import ClipProgress

        self._clip = ClipProgress(name, frames=frames, duration_s=duration_s)

    def advance(self, time_s: float) -> None:
        """One more frame of the clip is done, shown at this time."""
        if self._clip is not None:
            self._clip.advance(time_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.close()

    def sum_up(self) -> None:
        """Show what the run came to."""
        self._progress.close()
        self._write(self.tally.summary())
        if self.tally.ended.stopped is not None:
            console.error(self.tally.ended.stopped)
        is_skipped = self.tally.statuses[Status.SKIPPED] > 0
        if self.tally.stopped or self.tally.failed or self.tally.total > 1 or is_skipped:
            console.note(self._sentence())
        if self.tally.total > _MOST_NAMED and is_terminal(sys.stderr):
            self._name_failed()

    def _name_failed(self) -> None:
        """Name the inputs that failed again: their errors have scrolled away."""
        for line in sorted(self._failed)[:_MOST_NAMED]:
            console.note(f"  failed: {line}")
        if more := len(self._failed[_MOST_NAMED:]):
            where = "the report has them" if self._report is not None else "--report FILE lists them all"
            console.note(f"  and {more} more: {where}")

    def _sentence(self) -> str:
        tally = self.tally
        words = {
            "written": tally.written,
            "planned": tally.statuses[Status.PLANNED],
            "skipped (already done)": tally.statuses[Status.SKIPPED],
            "failed": tally.failed,
            "left": tally.left,
        }
        counts = ", ".join(f"{count} {word}" for word, count in words.items() if count) or "nothing to do"
        if tally.stopped:
            return f"stopped by {tally.stopped}: {counts}; run the same command again to go on"
        return f"stopped at the first failure: {counts}" if tally.left else counts

    def _detail(self, outcome: Outcome) -> str:
        facts = [outcome.status.value]
        if outcome.seconds is not None:
            facts.append(f"{outcome.seconds:.2f} s")
        made = outcome.facts
        if outcome.status is Status.OK and "network_width" in made:
            facts.append(f"{made['network_width']}x{made['network_height']} in {made['precision']} on {made['device']}")
        return f"{self._count()} {outcome.place}: {', '.join(facts)}"

    def _count(self) -> str:
        done = self.tally.done + self.tally.failed
        return f"{done}" if self.tally.planned_total is None else f"{done}/{self.tally.planned_total}"

    def _print_paths(self, outcome: Outcome) -> None:
        for output in outcome.outputs:
            if output.path != "-":
                self._while_read(partial(console.result, output.path))

    def _write(self, record: dict[str, object]) -> None:
        if self._json:
            self._while_read(partial(console.json, record))
        if self._report is not None:
            self._report.write(record)

    def _while_read(self, print_it: Callable[[], None]) -> None:
        """Print as long as somebody reads: the files matter more than the list of them, and a run goes on without."""
        if self._is_unread:
            return
        try:
            print_it()
        except BrokenPipeError:
            self._is_unread = True
            console.abandon_stdout()


RECORDS, TABLE = b'{"schema": ', b"model,picture,align,"
"""How reports of ours begin: JSON records, and the CSV that `evaluate` writes."""


def warn_of_assumed_metres(names: Sequence[str]) -> None:
    """Say that these depth maps are taken for metres though neither they nor the user say so."""
    if names:
        those = names[0] if len(names) == 1 else f"{len(names)} depth maps ({names[0]}, ...)"
        console.warn(
            f"{those}: the unit is not said: the numbers are ASSUMED to be metres along the axis [W_UNIT]",
            hint="Say what they are: --kind metric, or --kind disparity for the inverse depth of MiDaS or DPT.",
        )


def check_in_the_way(path: Path, ours: bytes) -> None:
    """Refuse to write a report over a folder, or a file that is none: it may be one of the pictures (UsageError).

    ours: what a report that may be replaced begins with
    """
    if path.is_dir():
        raise UsageError(f"{str(path)!r} is a folder", hint="Name a file in it.", code=ErrorCode.IO)
    try:
        if not path.is_file():
            return
        with path.open("rb") as file:
            head = file.read(len(ours))
    except OSError as error:
        raise UsageError(f"cannot look at {str(path)!r}: {reason_of(error)}", code=code_of(error)) from error
    if head and head != ours:
        raise UsageError(
            f"{str(path)!r} is in the way, and is no report", hint="Name another file.", code=ErrorCode.EXISTS
        )


def check_stdout(outputs: OutputSettings) -> None:
    """Refuse two things that want standard output at once, and bytes on a terminal (UsageError)."""
    if not Destination.parse(outputs.output).is_stdout:
        return
    if outputs.json:
        raise UsageError("--json and --output - both want standard output", hint="Use --report FILE for the records.")
    if sys.stdout is None or is_terminal(sys.stdout):
        what = "closed" if sys.stdout is None else "a terminal, and a depth map is no text"
        raise UsageError(f"standard output is {what}", hint="Add > FILE, or name one with -o.")
    console.writes_bytes = True


def show_run(
    run: Run | ClipRun,
    output: OutputSettings,
    *,
    allow_failed: Allowance | None = None,
    workers: Workers | None = None,
) -> NoReturn:
    """Execute a run, or only plan it, show it, and exit with its code.

    workers: the processes that it decodes in, which end with it
    """
    tally = Tally(run.total, allow_failed)
    for note in run.notes:
        console.note(note)
    with (
        workers or nullcontext(),
        _open_report(output.report) as file,
        RunView(tally, json=output.json, report=file) as view,
    ):
        if (work := getattr(run, "work", None)) is not None:
            work.view = view
        try:
            tally.ended = (run.dry_run if output.dry_run else run.execute)(view.show)
        except KeyboardInterrupt as error:  # while nothing was computed, but told
            tally.ended = RunEnd(interrupt=error)
        view.sum_up()
    raise typer.Exit(int(tally.exit_code))


class _Report(Protocol):
    """Where records go."""

    def write(self, record: dict[str, Any]) -> None:
        """Take one record."""


class _JsonLines:
    """Records as lines, each on the disk at once, so that a killed run leaves what it knew."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, record: dict[str, Any]) -> None:
        """Write one line."""
        self._file.write(json_line(record))
        self._file.flush()


@contextmanager
def _open_report(path: Path | None) -> Iterator[_Report | None]:
    """The file that `--report` names: JSON lines, or Parquet where its name ends so.

    Raises UsageError where it cannot be written, or where something lies that is no report.
    """
    if path is None:
        yield None
        return
    is_parquet = path.suffix.lower() == ".parquet"
    check_in_the_way(path, b"PAR1" if is_parquet else RECORDS)
    with ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            report: _Report
            if is_parquet:
                from glpn_cli.distributed.tables import ParquetReport

                report = stack.enter_context(ParquetReport(path))
            else:
                report = _JsonLines(stack.enter_context(path.open("wb")))
        except ImportError as error:
            hint = "Run: pip install pyarrow"
            raise UsageError(f"a report in Parquet needs more than is installed: {error.name}", hint=hint) from error
        except OSError as error:
            raise UsageError(
                f"cannot write the report {str(path)!r}: {reason_of(error)}", code=code_of(error)
            ) from error
        yield report
