"""The engine of a cluster: sends tasks to actors and tells what becomes of them, as the engine of one machine does.

    tasks -> feed -> messages of a few tasks -> actors -> answers -> tell

Ray Core, not Ray Data. There a picture that kills its process is retried for ever, or takes all pictures of its block
with it, and records come when a block ends. Here every task is in one place at any time: with an actor, or waiting.

An actor may die at any moment: killed, out of memory, with its machine. Its tasks are then done again, each alone on an
actor: a picture that two actors die over, alone, is the cause, and has that error (E_CRASH). A file that was written
before its actor died is found when the task is done again, so that each task is told once.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import ray
from ray.exceptions import RayError

from glpn_cli.distributed.cluster import divide, join_cluster
from glpn_cli.distributed.probe import await_probes, first_line, mark_folders, start_probes
from glpn_cli.distributed.worker import Answer, Setup, Worker
from glpn_cli.errors import ErrorCode, GlpnError, InputError, StoppedError, uninterrupted
from glpn_cli.images import ReadOptions
from glpn_cli.pipeline.engine import Job
from glpn_cli.pipeline.plan import Task
from glpn_cli.pipeline.plan_stream import StreamPlanner
from glpn_cli.pipeline.report import Outcome, RunEnd
from glpn_cli.pipeline.stages import Stages

_MOST_DEATHS_ALONE = 2
_MOST_IDLE_DEATHS = 3
_MOST_WORKERS = 8
_MESSAGE_S = 0.5
"""Seconds of work in a message: more costs less for each task, and is told later."""

_LARGEST_MESSAGE = 64
_PROBED = 256
"""Tasks of which all machines must see the inputs and the places of the results, before anything runs."""

_MOST_WAITING = 256
"""Tasks that are taken from their iterator beforehand."""

_WATCH_S = 0.5
_LONG_S = 60.0
_GRACE_S = 3.0
"""How long an interrupted run waits for the files that are being written."""


class _EnoughError(Exception):
    """`tell` has asked to stop."""


@dataclass(eq=False)
class _Actor:
    """An actor and the tasks that it has.

    room: tasks that keep it busy; 0 while its model is being opened
    """

    handle: Any
    room: int = 0
    messages: dict[Any, list[Job]] = field(default_factory=dict)
    is_alone: bool = False  # with a task that an actor died over

    @property
    def load(self) -> int:
        return sum(map(len, self.messages.values()))

    @property
    def is_hungry(self) -> bool:
        """Whether it may soon have nothing to do: one message is worked on, and another must be there by then."""
        return self.room > 0 and not self.is_alone and (self.load < self.room or len(self.messages) < 2)


class ClusterEngine:
    """Runs tasks on the actors of a cluster, once; has the interface of `Engine`.

    tell:       called with every job at its end, in the main thread; returns whether to go on
    address:    of the cluster: HOST:PORT, or auto for the one that this machine belongs to; None: one is started here
    actors:     processes with the model in memory; None: as many as the cluster has room for
    gpus:       of each actor, which may be a part of one; None: 1 where the cluster has any, else 0
    decoders:   threads in each actor that hand pictures to decoding processes, and as many that write; None: by CPUs
    reading:    how pictures are read
    batch_size: tasks per batch of a network; None: as an actor's device likes
    note:       called with sentences for the user
    planner:    plans the tasks where they are done; None: they are planned
    is_stream:  the next task may come at any time
    """

    def __init__(
        self,
        stages: Stages,
        tell: Callable[[Job], bool],
        *,
        address: str | None = None,
        actors: int | None = None,
        gpus: float | None = None,
        decoders: int | None = None,
        reading: ReadOptions,
        note: Callable[[str], None],
        batch_size: int | None = None,
        planner: StreamPlanner | None = None,
        is_stream: bool = False,
        **_local: object,
    ) -> None:
        self._stages = stages
        self._tell = tell
        self._address = address
        self._divide = partial(divide, actors=actors, gpus=gpus)
        self._decoders = decoders
        self._reading = reading
        self._batch_size = batch_size
        self._note: Callable[[str], None] | None = note
        self._planner = planner
        self._is_stream = is_stream
        self._actors: list[_Actor] = []
        self._pending: dict[Any, _Actor] = {}  # what Ray has yet to answer
        self._suspects: deque[Job] = deque()  # that an actor died with
        self._deaths_alone: Counter[int] = Counter()
        self._idle_deaths = 0
        self._told = 0
        self._began = time.monotonic()

    def run(self, tasks: Iterable[Any]) -> RunEnd:
        """Run all tasks; an outcome among them is told as it is.

        Raises UsageError where the cluster cannot be joined or does not see what this machine sees, ModelError where
        the model cannot be opened there; errors of `tell` and of the iterator pass through.
        """
        try:
            first = list(islice(tasks := iter(tasks), 1 if self._is_stream else _PROBED))
            with join_cluster(self._address), mark_folders(self._folders(first)) as markers:
                self._feed = _Feed(chain(first, tasks))
                try:
                    self._begin(first, markers)
                    self._work()
                finally:
                    self._feed.close()
                    self._stop()
        except _EnoughError:
            return RunEnd(is_enough=True)
        except StoppedError as error:
            return RunEnd(stopped=error)
        except KeyboardInterrupt as error:
            return RunEnd(interrupt=error)
        return RunEnd()

    def _folders(self, first: list[Any]) -> set[Path]:
        """The folders of results that are known beforehand."""
        targets = (target for task in first if isinstance(task, Task) for target in task.targets)
        found = {Path(target.path).parent for target in targets if target.path is not None}
        return found if self._planner is None else {*found, self._planner.folder}

    def _begin(self, first: list[Any], markers: tuple[str, ...]) -> None:
        """Divide the cluster, and make sure that every machine of it sees what this one does."""
        nodes = [node for node in ray.nodes() if node["Alive"]]
        model = self._stages.model
        assert model is not None, "predict has a model"
        share = self._divide(nodes, threads=model.threads, device=model.device)
        weights = model.inference.model.checkpoint.weights
        paths = [each.source.path for each in first if isinstance(each, Task) and each.source.path is not None]
        samples = {path.parent: str(path) for path in paths if path.exists()}  # one of each folder
        workers = self._decoders or min(share.cpus, _MOST_WORKERS)
        reading = self._reading
        if reading.workers is not None:
            reading = replace(reading, workers=reading.workers.with_count(workers))
        setup = Setup(
            self._stages.with_threads(share.cpus),
            reading,
            folder=str(Path.cwd()),
            seen=(*samples.values(), str(weights), *markers),
            weights=model.inference.weights_sha256,
            workers=workers,
            batch_size=self._batch_size,
            planner=self._planner,
        )
        self._share, self._setup = share, ray.put(setup)
        probes = start_probes(nodes, self._setup)
        for _ in range(share.actors):
            self._start_actor()
        await_probes(probes)

    def _start_actor(self) -> None:
        share = self._share
        maker = ray.remote(num_cpus=share.cpus, num_gpus=share.gpus, max_restarts=0, max_task_retries=0)(Worker)
        actor = _Actor(maker.remote(self._setup))
        self._actors.append(actor)
        self._pending[actor.handle.open.remote()] = actor

    def _work(self) -> None:
        while True:
            self._note_waiting()
            for actor in self._actors:
                self._send(actor)
            is_idle = not self._suspects and not any(actor.messages for actor in self._actors)
            if is_idle and self._feed.is_at_end:
                return
            is_hungry = any(actor.is_hungry for actor in self._actors)
            refs = [*self._pending]
            ready, _ = ray.wait(refs, timeout=0.02 if is_hungry and not self._suspects else _WATCH_S)
            if ready:  # and whatever else is, by one question
                ready, _ = ray.wait(refs, num_returns=len(refs), timeout=0)
            for ref in ready:
                if ref in self._pending:  # else its actor died meanwhile
                    self._take(ref)

    def _note_waiting(self) -> None:
        """Say once that no actor has begun for long: the cluster may be busy with other work."""
        if self._note is not None and time.monotonic() - self._began > _LONG_S:
            if not self._told and not any(actor.room for actor in self._actors):
                share = self._share
                size = f"{share.cpus} CPUs" + (f" and {share.gpus:g} GPUs" if share.gpus else "")
                self._note(f"waiting for room in the cluster: an actor takes {size} (ray status says who has them)")
            self._note = None

    def _send(self, actor: _Actor) -> None:
        """Give an actor as much as keeps it busy; where another died, one of its tasks alone."""
        if not actor.room or actor.is_alone:
            return
        if self._suspects:
            if not actor.messages:
                actor.is_alone = True
                self._post(actor, [self._suspects.popleft()])
            return
        while actor.is_hungry and (jobs := self._feed.take(self._message_size())):
            known = [job for job in jobs if isinstance(job.task, Outcome)]
            for job in known:
                job.outcome = job.task
                self._tell_one(job)
            if work := [job for job in jobs if job.outcome is None]:
                self._post(actor, work)

    def _post(self, actor: _Actor, jobs: list[Job]) -> None:
        ref = actor.handle.run.remote([_for_travel(job.task) for job in jobs])
        actor.messages[ref] = jobs
        self._pending[ref] = actor

    def _message_size(self) -> int:
        """Tasks in a message, by how quick an actor has been so far."""
        rate = self._told / (time.monotonic() - self._began) / max(1, len(self._actors))
        return max(1, min(_LARGEST_MESSAGE, int(rate * _MESSAGE_S)))

    @uninterrupted
    def _take(self, ref: Any) -> None:
        """Take what Ray answers: an actor that is open, the end of some tasks, or the end of an actor."""
        actor = self._pending.pop(ref)
        try:
            answer: Answer | int | GlpnError = ray.get(ref)
        except RayError as error:
            self._bury(actor, error)
            return
        if isinstance(answer, GlpnError):
            self._dismiss(actor, answer)
        elif isinstance(answer, int):
            actor.room = answer
        else:
            self._take_answer(actor, actor.messages.pop(ref), answer)

    def _take_answer(self, actor: _Actor, jobs: list[Job], answer: Answer) -> None:
        """Tell all that an actor did, even where the run ends by one of them."""
        actor.is_alone = False
        end: Exception | None = answer.stopped
        for job, done in zip(jobs, answer.done, strict=True):
            if done is None:
                continue
            job.outcome, job.error, job.seconds = done.outcome, done.error, done.seconds or 0.0
            if done.outcome is not None and done.seconds is None:
                job.task = done.outcome
            try:
                self._tell_one(job)
            except (_EnoughError, StoppedError) as error:
                end = end or error
        if end is not None:
            raise end

    def _dismiss(self, actor: _Actor, error: GlpnError) -> None:
        """Do without an actor that cannot work. Raises its error where no other works."""
        self._remove(actor)
        if not any(each.room for each in self._actors):
            raise error

    def _bury(self, actor: _Actor, error: RayError) -> None:
        """Take back the tasks of an actor that died, and start another."""
        jobs = [job for message in actor.messages.values() for job in message]
        self._remove(actor)
        if not jobs:
            self._idle_deaths += 1
            if self._idle_deaths >= _MOST_IDLE_DEATHS and not any(each.room for each in self._actors):
                raise StoppedError(
                    f"the actors of the cluster die before they begin: {first_line(error)}",
                    hint="Look into Ray's logs: is there enough memory for the model?",
                    code=ErrorCode.CRASH,
                ) from error
        for job in jobs:
            self._deaths_alone[job.number] += len(jobs) == 1
            if self._deaths_alone[job.number] < _MOST_DEATHS_ALONE:
                self._suspects.append(job)
                continue
            job.error = InputError(
                f"{job.task.source.label} ended {_MOST_DEATHS_ALONE} processes that worked on it alone",
                hint="The machine may be short of memory for it: try a smaller --input-size, or less --max-pixels.",
                code=ErrorCode.CRASH,
            )
            self._tell_one(job)
        self._start_actor()

    def _remove(self, actor: _Actor) -> None:
        self._actors.remove(actor)
        for ref in [ref for ref, other in self._pending.items() if other is actor]:
            del self._pending[ref]
        ray.kill(actor.handle)  # it may live where the network alone is broken

    def _tell_one(self, job: Job) -> None:
        if isinstance(job.error, StoppedError):
            raise job.error
        self._told += 1
        if not self._tell(job):
            raise _EnoughError

    def _stop(self) -> None:
        """Wait for files that are being written, tell of them, and end the actors."""
        refs = [ref for actor in self._actors for ref in actor.messages]
        stops = [actor.handle.stop.remote() for actor in self._actors if actor.messages]
        if refs:
            ready, _ = ray.wait(refs, num_returns=len(refs), timeout=_GRACE_S)
            for ref in ready:
                actor = self._pending.pop(ref)
                with suppress(RayError, _EnoughError, StoppedError):
                    self._take_answer(actor, actor.messages.pop(ref), ray.get(ref))
            ray.wait(stops, num_returns=len(stops), timeout=_GRACE_S)
        for actor in self._actors:
            ray.kill(actor.handle)


def _for_travel(task: Task) -> Task:
    """A task without what an actor has already: the options of reading, with their processes."""
    source: Any = replace(task.source, options=ReadOptions())  # type: ignore[type-var]  # each kind has them
    return replace(task, source=source)


class _Feed:
    """The tasks, taken from their iterator in a thread: a list that is still being written holds up nothing."""

    def __init__(self, tasks: Iterator[Any]) -> None:
        self._queue: Queue[Job | BaseException | None] = Queue(_MOST_WAITING)
        self._is_closed = False
        self.is_at_end = False
        self._thread = threading.Thread(target=self._fill, args=(tasks,), name="feed", daemon=True)
        self._thread.start()

    def take(self, most: int) -> list[Job]:
        """Up to `most` of the jobs that are there. Raises what the iterator raised."""
        jobs: list[Job] = []
        with suppress(Empty):
            while len(jobs) < most and not self.is_at_end:
                item = self._queue.get_nowait()
                if isinstance(item, BaseException):
                    raise item
                if item is None:
                    self.is_at_end = True
                else:
                    jobs.append(item)
        return jobs

    def close(self) -> None:
        """Take no more."""
        self._is_closed = True
        with suppress(Empty):
            while True:
                self._queue.get_nowait()

    def _fill(self, tasks: Iterator[Any]) -> None:
        last: BaseException | None = None
        try:
            for number, task in enumerate(tasks):
                self._queue.put(Job(task, number))
                if self._is_closed:
                    return
        except BaseException as error:  # noqa: BLE001 - raised in the main thread
            last = error
        self._queue.put(last)
