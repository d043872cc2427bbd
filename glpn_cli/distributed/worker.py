"""The actor: opens the model once, and works on the tasks that the driver sends, as `predict` would here."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from glpn_cli import __version__
from glpn_cli.atomic_write import remove_stale, remove_unfinished
from glpn_cli.errors import ErrorCode, GlpnError, StoppedError, UsageError, reason_of, wrap_exception
from glpn_cli.images import ImageSource, ReadOptions
from glpn_cli.pipeline.engine import Engine, Job
from glpn_cli.pipeline.plan import Task
from glpn_cli.pipeline.plan_stream import StreamPlanner
from glpn_cli.pipeline.report import Outcome, RunEnd
from glpn_cli.pipeline.stages import Stages


@dataclass(frozen=True)
class Setup:
    """What every actor of a run is given before it begins.

    stages:  with the settings of model and outputs, unopened
    reading: how pictures are read, in isolated processes
    folder:  the driver's current folder, which relative paths start from
    seen:    paths that this machine must see: inputs, the model, and a marker in every output folder
    weights: the checksum of the model's weights; None where there is no model
    planner: plans the tasks, which come as sources alone; None where they are planned
    """

    stages: Stages
    reading: ReadOptions
    folder: str
    seen: tuple[str, ...]
    weights: str | None
    workers: int
    batch_size: int | None = None
    planner: StreamPlanner | None = None
    version: str = __version__


@dataclass(frozen=True)
class _Done:
    """A task that has ended: its outcome or its error, and the seconds of work; None for an outcome of the plan."""

    outcome: Outcome | None
    error: GlpnError | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Answer:
    """The tasks of one message, in their order, None for one that had no turn because of `stopped`."""

    done: Sequence[_Done | None]
    stopped: StoppedError | None = None


def check_view(setup: Setup) -> GlpnError | None:
    """The reason why this machine cannot work on the run: another program, or paths that it does not see."""
    if setup.version != __version__:
        return UsageError(f"{_machine()} has glpn {__version__}, and this is {setup.version}", hint=_SAME)
    try:
        os.chdir(setup.folder)
    except OSError as error:
        return _unseen(setup.folder, error)
    for path in setup.seen:
        try:
            os.stat(path)  # noqa: PTH116 - as text, as in the plan
        except OSError as error:
            return _unseen(path, error)
    return None


_SAME = "Install the same release, with the same extras, on all machines."


def _machine() -> str:
    return f"the machine {platform.node()!r}"


def _unseen(path: str, error: OSError) -> UsageError:
    shown = os.path.dirname(path) if os.path.basename(path).startswith(".glpn-") else path  # noqa: PTH119, PTH120
    return UsageError(
        f"{_machine()} does not see {shown!r} as this one does: {reason_of(error)}",
        hint="Put inputs, models and results on a disk that all machines see under one name.",
        code=ErrorCode.NOT_FOUND,
    )


@dataclass(frozen=True, eq=False)
class _Request(Task):
    """A task and whoever waits for its end."""

    answer: Future[_Done | None] = field(default_factory=Future)


class Worker:
    """One model in memory and an engine around it, which is fed as long as the driver sends tasks.

    Its methods are coroutines, so that messages come while others are worked on.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._requests: SimpleQueue[_Request | None] = SimpleQueue()
        self._waiting: set[_Request] = set()
        self._clean: set[Path] = set()
        self._ended: RunEnd | None = None
        self._is_stopping = False

    async def open(self) -> int | GlpnError:
        """Open the model; how many tasks keep it busy, or why it cannot work."""
        return await asyncio.to_thread(self._open)

    async def run(self, tasks: Sequence[Task]) -> Answer:
        """Work on tasks; returns when the last of them has ended."""
        requests = [self._accept(task) for task in tasks]
        done = [await asyncio.wrap_future(each.answer) for each in requests]
        return Answer(done, self._ended.stopped if self._ended is not None else None)

    async def stop(self) -> None:
        """Finish the files that are being written, begin no others, and leave no half ones."""
        self._is_stopping = True
        self._requests.put(None)
        await asyncio.to_thread(self._thread.join)
        remove_unfinished()

    def _open(self) -> int | GlpnError:
        setup = self._setup
        if (unseen := check_view(setup)) is not None:
            return unseen
        try:
            width = setup.stages.open()
        except Exception as error:  # noqa: BLE001 - told by the driver
            return wrap_exception(error)
        if (
            setup.weights is not None
            and (model := setup.stages.model) is not None
            and model.inference.weights_sha256 != setup.weights
        ):
            return StoppedError(f"the model of {_machine()} has other weights", hint=_SAME, code=ErrorCode.CHECKSUM)
        self._thread = Thread(target=self._work, name="engine", daemon=True)
        self._thread.start()
        return 2 * (setup.batch_size or width.batch_size) + width.lanes + 2 * setup.workers

    def _accept(self, task: Task) -> _Request:
        source = replace(task.source, options=self._setup.reading)  # type: ignore[type-var]  # each kind has options
        request = _Request(source, task.targets, task.kept)
        self._waiting.add(request)
        self._requests.put(request)
        if self._ended is not None:
            self._give_up()
        return request

    def _tasks(self) -> Iterator[_Request]:
        while (request := self._requests.get()) is not None and not self._is_stopping:
            planned = self._plan(request)
            if planned is None:
                continue
            folders = {Path(target.path).parent for target in planned.targets if target.path is not None}
            for folder in folders - self._clean:  # what an actor that was killed here has left
                remove_stale(folder)
            self._clean |= folders
            yield planned

    def _plan(self, request: _Request) -> _Request | None:
        """The request with the work that is left for it; None where its outcome is known, and answered."""
        if self._setup.planner is None:
            return request
        assert isinstance(request.source, ImageSource)
        planned = self._setup.planner.plan_alone(request.source)
        self._waiting.discard(request)
        if isinstance(planned, Outcome):
            request.answer.set_result(_Done(planned))
            return None
        with_work = replace(request, source=planned.source, targets=planned.targets, kept=planned.kept)
        self._waiting.add(with_work)
        return with_work

    def _tell(self, job: Job) -> bool:
        self._waiting.discard(job.task)
        job.task.answer.set_result(_Done(job.outcome, job.error, job.seconds))
        return not self._is_stopping

    def _work(self) -> None:
        setup = self._setup
        engine = Engine(setup.stages, self._tell, workers=setup.workers, batch_size=setup.batch_size, is_stream=True)
        try:
            ended = engine.run(self._tasks())
        except BaseException as error:  # noqa: BLE001 - told by the driver
            stopped = StoppedError(f"{type(error).__name__}: {error}", code=ErrorCode.INTERNAL)
            ended = RunEnd(stopped=stopped)
        self._ended = ended
        self._give_up()

    def _give_up(self) -> None:
        """Answer the requests that had no turn."""
        while self._waiting:
            answer = self._waiting.pop().answer
            if not answer.done():
                answer.set_result(None)
