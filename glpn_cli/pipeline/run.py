"""Plan and carry out a run of `predict` or `export`, for depth, labels and uncertainty; only defaults differ.

A run over named inputs is planned as a whole; inputs that come one by one, in a list on standard input or as frames of
a video, are planned as they come. A range over all maps (`--range batch`) takes two passes: one that collects their
depths, one that paints. For pictures the network runs in both; to keep every map in between would take memory or disk
without bound, and `predict` first pays once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

from glpn_cli.atomic_write import remove_stale, write_stdout
from glpn_cli.colormaps import DepthHistogram
from glpn_cli.depth_files import ColorizeOptions
from glpn_cli.errors import OutputError, StoppedError, UsageError
from glpn_cli.pipeline.engine import Engine, Job
from glpn_cli.pipeline.outputs import OutputRules, choose_outputs
from glpn_cli.pipeline.plan import Plan, Task, make_outcome, make_plan
from glpn_cli.pipeline.report import Outcome, RunEnd, Status
from glpn_cli.pipeline.settings import ModelSettings, OutputSettings, RunSettings
from glpn_cli.pipeline.sources import Sources
from glpn_cli.pipeline.stages import Stages
from glpn_cli.prediction import DepthMap, Result

if TYPE_CHECKING:
    from glpn_cli.pipeline.gallery import Page

Show = Callable[[Outcome], None]
"""Told of every outcome as it comes."""


class _RunsTasks(Protocol):
    """An engine: `Engine` on this machine, or another in its place."""

    def run(self, tasks: Iterable[Any]) -> RunEnd:
        """Run all tasks; an outcome among them is told as it is."""


class Run(Protocol):
    """A run that is ready to start."""

    @property
    def total(self) -> int | None:
        """The number of inputs; None where nobody knows."""

    @property
    def notes(self) -> Sequence[str]:
        """For the user, beforehand."""

    def dry_run(self, show: Show) -> RunEnd:
        """Tell what would be done, and do nothing."""

    def execute(self, show: Show) -> RunEnd:
        """Do it."""


MakeEngine = Callable[..., _RunsTasks]
"""Takes what `Engine` takes."""


def plan_run(
    inputs: Sources,
    outputs: OutputSettings,
    model: ModelSettings | None,
    settings: RunSettings,
    *,
    make_engine: MakeEngine = Engine,
) -> Run:
    """A run over the inputs. Raises UsageError where it makes no sense.

    model:       for pictures; None where there are none
    make_engine: makes what does the work
    """
    if model is not None and model.inference.predicts_labels:
        inputs = inputs.pictures_for(model.inference.model.name)
    rules = choose_outputs(inputs, model, outputs)
    if not inputs.is_stream:
        plan = make_plan(inputs, rules)
        if outputs.page is not None:
            from glpn_cli.pipeline.gallery import check_page

            check_page(outputs.page, [source.path for source in inputs.sources if source.path is not None])
            plan.notes.append(f"all of them on one page: {outputs.page}")
        stages = Stages(model, outputs, pictures=len(inputs.sources))
        return _PlannedRun(inputs, outputs, model, settings, plan, stages, make_engine)
    for option, is_asked in (("--html", outputs.page), ("--range batch", _needs_settling(outputs))):
        if is_asked:
            raise UsageError(
                f"{option} needs all inputs beforehand, and a list on standard input comes one by one",
                hint="Use --files-from with a file.",
            )
    made_as_stream = partial(make_engine, is_stream=True)
    stages = Stages(model, outputs, warns_of_units=not outputs.explicit.among("--kind", "--depth-scale"))
    return StreamRun(partial(_plan_list, inputs, rules), stages, settings, made_as_stream)


def _needs_settling(outputs: OutputSettings) -> bool:
    return outputs.look is not None and outputs.look.range.needs_settling


def _plan_list(inputs: Sources, rules: OutputRules, *, is_dry: bool) -> Iterator[Task | Outcome]:
    """The tasks of a list on standard input. Raises UsageError where there can be none."""
    from glpn_cli.pipeline.plan_stream import StreamPlanner

    planner = StreamPlanner(inputs, rules)
    if is_dry:
        return planner.plan_all()
    remove_stale(planner.folder)
    return _removing_stale(planner.plan_all(), {planner.folder})


def _removing_stale(tasks: Iterable[Task | Outcome], clean: set[Path]) -> Iterator[Task | Outcome]:
    """The same; temporary files of killed runs are removed from a folder when its first result comes."""
    for task in tasks:
        places = task.outputs if isinstance(task, Outcome) else task.targets
        folders = {Path(place.path).parent for place in places if place.path is not None}
        for folder in folders - clean:
            remove_stale(folder)
        clean |= folders
        yield task


@dataclass(frozen=True)
class _PlannedRun:
    """A run over inputs that are known."""

    inputs: Sources
    outputs: OutputSettings
    model: ModelSettings | None
    settings: RunSettings
    plan: Plan
    stages: Stages
    make_engine: MakeEngine = Engine

    @property
    def total(self) -> int:
        """The number of inputs."""
        return self.plan.total

    @property
    def notes(self) -> Sequence[str]:
        """For the user, beforehand."""
        return self.plan.notes

    def dry_run(self, show: Show) -> RunEnd:
        """Tell what would be done, and do nothing."""
        return _show_all((*self.plan.known, *(task.planned() for task in self.plan.tasks)), self.settings, show)

    def execute(self, show: Show) -> RunEnd:
        """Do it. The page of an interrupted run shows what was done; a run that an error stopped leaves no page."""
        plan, outputs = self.plan, self.outputs
        if _needs_settling(outputs) and self._uses_range():
            outputs, ended = self._settle_range()
            if ended != RunEnd():
                return ended
            # Files that exist must have been painted in that range, too.
            plan = make_plan(self.inputs, choose_outputs(self.inputs, self.model, outputs))
        with _open_page(outputs, self.inputs) as page:
            if page is not None:
                show, self.stages.watch = page.watch(show), page.add_result
            ended = _show_all(plan.known, self.settings, show)
            if ended == RunEnd():
                for folder in plan.swept:
                    remove_stale(Path(folder))
                if plan.tasks:
                    ended = self._make_engine(show).run(plan.remaining())
            if page is not None:
                ended = self._finish_page(page, ended)
        return ended

    def _finish_page(self, page: Page, ended: RunEnd) -> RunEnd:
        """Put the inputs onto the page that needed no work, and write it."""
        if page.skipped and ended == RunEnd():
            tasks = [Task(source, ()) for source in page.skipped]
            ended = self._make_engine(page.watch(lambda _: None), fail_fast=False).run(tasks)
        assert self.outputs.page is not None
        if ended.stopped is None and page.error is None:
            try:
                page.write(self.outputs.page, title=self.outputs.page.stem)
            except StoppedError as error:
                ended = replace(ended, stopped=error)
        return ended

    def _make_engine(self, show: Show, *, fail_fast: bool | None = None) -> _RunsTasks:
        pace = self.settings
        tell = _telling(show, fail_fast=pace.fail_fast if fail_fast is None else fail_fast)
        return self.make_engine(self.stages, tell, workers=pace.threads, batch_size=pace.batch_size)

    def _uses_range(self) -> bool:
        """Whether anything depends on the range of all maps; not where all are painted already, in one range."""
        painted = {output.range for outcome in self.plan.known for output in outcome.outputs if output.range}
        return bool(self.plan.tasks) or self.outputs.page is not None or len(painted) > 1

    def _settle_range(self) -> tuple[OutputSettings, RunEnd]:
        """The first pass of `--range batch`: the same with one range in numbers for all inputs.

        Inputs that fail are left out; the second pass tells of them. Those whose outputs exist count too, so that a run
        that goes on paints like the one that began.
        """
        look = self.outputs.look
        assert look is not None
        seen: list[DepthHistogram] = []
        lock = Lock()

        def collect(result: Result, _: object) -> None:
            assert isinstance(result.prediction, DepthMap)
            histogram = DepthHistogram.of(result.prediction)
            with lock:
                seen[:] = [sum(seen, histogram)]

        self.stages.watch = collect
        tasks = [Task(source, ()) for source in self.inputs.sources]
        ended = self._make_engine(lambda _: None, fail_fast=False).run(tasks)
        self.stages.watch = None
        return replace(self.outputs, look=replace(look, range=look.range.merge(seen))), ended


@dataclass(frozen=True)
class StreamRun:
    """A run over inputs that come one by one.

    plan: the tasks, as they come; without effect on the disk if `is_dry`
    """

    plan: Callable[..., Iterator[Task | Outcome]]
    stages: Stages
    settings: RunSettings
    make_engine: MakeEngine
    total: int | None = None
    notes: Sequence[str] = ()

    def dry_run(self, show: Show) -> RunEnd:
        """Tell what would be done with each input, and do nothing."""
        tasks = self.plan(is_dry=True)
        return _show_all((task if isinstance(task, Outcome) else task.planned() for task in tasks), self.settings, show)

    def execute(self, show: Show) -> RunEnd:
        """Do what comes."""
        pace = self.settings
        tell = _telling(show, fail_fast=pace.fail_fast)
        engine = self.make_engine(self.stages, tell, workers=pace.threads, batch_size=pace.batch_size)
        return engine.run(self.plan(is_dry=False))


def _open_page(outputs: OutputSettings, inputs: Sources) -> AbstractContextManager[Page | None]:
    """The page that shows all results, where one is asked for."""
    if outputs.page is None:
        return nullcontext()
    from glpn_cli.pipeline.gallery import Page

    return Page(outputs.look or ColorizeOptions(), inputs.sources)


def _show_all(outcomes: Iterable[Outcome], settings: RunSettings, show: Show) -> RunEnd:
    """Show outcomes that are known, up to the first failure if that is enough."""
    for outcome in outcomes:
        show(outcome)
        if settings.fail_fast and outcome.status is Status.ERROR:
            return RunEnd(is_enough=True)
    return RunEnd()


def _telling(show: Show, *, fail_fast: bool) -> Callable[[Job], bool]:
    """Show the outcome of every task; says whether to go on."""

    def tell(job: Job) -> bool:
        outcome = _outcome_of(job)
        show(outcome)
        return not (fail_fast and outcome.status is Status.ERROR)

    return tell


def _outcome_of(job: Job) -> Outcome:
    """The outcome of a job that has ended; bytes for standard output are written now, in the main thread."""
    if isinstance(job.task, Outcome):
        return job.task
    error = job.error
    if job.outcome is not None:
        try:
            if job.outcome.stdout is not None:
                write_stdout(job.outcome.stdout)
            return replace(job.outcome, seconds=job.seconds, stdout=None)
        except OutputError as failed:
            error = failed
    return make_outcome(job.task.source, Status.ERROR, seconds=job.seconds, error=error)
