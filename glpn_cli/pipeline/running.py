"""A plan through the engine: write what was answered, and tell what became of every input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from glpn_cli.atomic_write import remove_stale, write_atomically, write_stdout
from glpn_cli.depth_files import read_record
from glpn_cli.errors import ErrorCode, InputError, OutputError
from glpn_cli.pipeline.engine import Ended, Engine
from glpn_cli.pipeline.jobs import Job
from glpn_cli.pipeline.outcome import ASSUMED_FOV, Facts, Outcome, Output, Status
from glpn_cli.pipeline.plan import Plan
from glpn_cli.pipeline.settings import RunSettings
from glpn_cli.pipeline.stages import Stages
from glpn_cli.pipeline.tasks import Source, Task, describe, settle
from glpn_cli.prediction import DepthMap, LabelMap, Result

S = TypeVar("S", bound=Source)
D = TypeVar("D")
A = TypeVar("A")


@dataclass(frozen=True)
class Written:
    """What was made of one input; `stdout` is still to be written, by the main thread."""

    outputs: tuple[Output, ...]
    facts: Facts
    warnings: tuple[str, ...]
    stdout: bytes | None = None


def is_enough(outcome: Outcome, pace: RunSettings) -> bool:
    """Whether the run ends with this one."""
    return pace.fail_fast and outcome.status is Status.ERROR


class Run(Protocol):
    """Something that can be carried out, or only told."""

    @property
    def total(self) -> int | None:
        """How many inputs there are; None where nobody knows."""

    @property
    def notes(self) -> Sequence[str]:
        """What the user should know beforehand."""

    def carry_out(self, show: Callable[[Outcome], None]) -> Ended:
        """Do it; `show` is told of every outcome as it comes."""

    def rehearse(self, show: Callable[[Outcome], None]) -> Ended:
        """Tell what would be done, and do nothing."""


@dataclass(frozen=True)
class PlannedRun(Generic[S, D, A]):
    """A plan, and how to carry it out."""

    plan: Plan[S]
    stages: Stages[Task[S], D, A, Written]
    pace: RunSettings

    @property
    def total(self) -> int:
        """How many inputs there are."""
        return self.plan.total

    @property
    def notes(self) -> Sequence[str]:
        """What the user should know beforehand."""
        return self.plan.notes

    def carry_out(self, show: Callable[[Outcome], None]) -> Ended:
        """Do it; `show` is told of every outcome as it comes."""
        return run_plan(self.plan, self.stages, self.pace, show)

    def rehearse(self, show: Callable[[Outcome], None]) -> Ended:
        """Tell what would be done, and do nothing."""
        for outcome in (*self.plan.settled, *(task.planned() for task in self.plan.tasks)):
            show(outcome)
            if is_enough(outcome, self.pace):
                return Ended(is_enough=True)
        return Ended()


def run_plan(
    plan: Plan[S], stages: Stages[Task[S], D, A, Written], pace: RunSettings, show: Callable[[Outcome], None]
) -> Ended:
    """Do all that a plan holds; `show` is told of every outcome as it comes."""
    for outcome in plan.settled:
        show(outcome)
        if is_enough(outcome, pace):
            return Ended(is_enough=True)
    for folder in plan.swept:
        remove_stale(Path(folder))
    if not plan.tasks:
        return Ended()

    def report(job: Job[Task[S], D, A, Written]) -> bool:
        if job.written is not None and job.written.stdout is not None:
            try:
                write_stdout(job.written.stdout)
            except OutputError as error:
                job.error = error
        outcome = outcome_of(job)
        show(outcome)
        return not is_enough(outcome, pace)

    return Engine(stages, report, workers=pace.threads, batch_size=pace.batch_size).run(plan.tasks)


def write_result(task: Task[S], result: Result) -> Written:
    """Encode a result in all its formats, then publish them: a format that cannot hold it leaves no other behind.

    Raises OutputError where a file cannot be written, StoppedError where the disk takes no more.
    """
    files = [(target, target.writer.encode(result)) for target in task.targets]
    stdout = None
    for target, data in files:
        if target.path is None:
            stdout = data
        else:
            _publish_unless_done(Path(target.path), data, replace=target.replaces)
    outputs = (describe(target, read_record(data)) for target, data in files)
    return Written((*task.kept, *outputs), _facts_of(result), result.warnings + _guesses(task, result), stdout)


def _publish_unless_done(path: Path, data: bytes, *, replace: bool) -> None:
    """Write, unless another run over the same folder was quicker to make the same; raises as `write_atomically`."""
    try:
        write_atomically(path, data, replace=replace)
    except OutputError as error:
        if error.code is not ErrorCode.EXISTS or not _is_same(path, data):
            raise


def _is_same(path: Path, data: bytes) -> bool:
    """Whether a file stands for the one with these bytes: made by the same recipe, or equal where none is told."""
    try:
        wanted = read_record(data)
        found = read_record(path) if wanted is not None else None
        is_equal = wanted is None and path.read_bytes() == data
    except (InputError, OSError):
        return False
    return is_equal or (found is not None and wanted is not None and not found.differences(wanted))


def _guesses(task: Task[S], result: Result) -> tuple[str, ...]:
    """W_FOV where points in space were made with a camera that nobody knows."""
    is_guessed = result.intrinsics is None or result.intrinsics.source == "assumed"
    return (ASSUMED_FOV,) if is_guessed and any(target.writer.map == "points" for target in task.targets) else ()


def _facts_of(result: Result) -> Facts:
    depth = result.prediction
    if isinstance(depth, LabelMap):
        return Facts(None, size=depth.size, provenance=result.provenance)
    limit_m = depth.limit if isinstance(depth, DepthMap) else None
    return Facts(depth.kind, limit_m, depth.extent(), depth.size, result.provenance, result.intrinsics)


def outcome_of(job: Job[Task[S], D, A, Written]) -> Outcome:
    """What became of a task that the engine has done with."""
    source = job.task.source
    if job.error is not None:
        return settle(source, Status.ERROR, seconds=job.seconds, error=job.error)
    assert job.written is not None
    written = job.written
    return settle(
        source,
        Status.OK,
        outputs=written.outputs,
        facts=written.facts,
        warnings=written.warnings,
        seconds=job.seconds,
    )
