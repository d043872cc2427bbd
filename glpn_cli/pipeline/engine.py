"""The engine: threads that decode and write, around the main thread, which computes.

    tasks -> [decode threads] -> waiting -> main thread, or lanes (infer) -> [finish threads] -> report
       `Intake`                 `Batches`

Every arrow is bounded: a picture is decoded only when a place is free, and a place becomes free when its picture has
been through the network; the network waits while too many answers are unwritten. So memory does not grow with the
number of inputs. Whatever happens to a task is reported in the main thread, when it happens.

Each kind of thread is a `Crew`: it tells the main thread by an event, a call that the main thread is to make. Lanes are
threads that each infer a batch, side by side.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from glpn_cli.errors import StoppedError
from glpn_cli.pipeline.batches import Batch, Batches
from glpn_cli.pipeline.crew import Crew, Event
from glpn_cli.pipeline.intake import SLOW_S, Intake
from glpn_cli.pipeline.jobs import Job, decode_task, finish_job, infer_jobs
from glpn_cli.pipeline.mishaps import out_of_memory
from glpn_cli.pipeline.stages import Stages, Width

T = TypeVar("T")  # what to do
D = TypeVar("D")  # what came off the disk
A = TypeVar("A")  # what the network answered
W = TypeVar("W")  # what was written

_GRACE_S = 1.5
"""How long an interrupted run waits for the files that are being written."""

_WATCH_S = 1.0
"""How often the main thread, while it waits, makes sure that the others live."""


@dataclass(frozen=True)
class Ended:
    """Why a run ended: nothing of it where every task had its turn.

    is_enough: an error of an input ended it, as was asked for, and there may be tasks that had no turn
    """

    stopped: StoppedError | None = None
    interrupt: KeyboardInterrupt | None = None
    is_enough: bool = False


class _EnoughError(Exception):
    """`report` does not want to go on."""


class Engine(Generic[T, D, A, W]):
    """Runs tasks through the stages, once.

    report:     told of every job at its end; says whether to go on
    workers:    threads that decode, and as many that write
    batch_size: tasks of one group that are inferred together; None is as the stages say
    is_fed:     the next task may come at any time, or wait for an answer: no batch is kept waiting for it
    """

    def __init__(
        self,
        stages: Stages[T, D, A, W],
        report: Callable[[Job[T, D, A, W]], bool],
        *,
        workers: int = 2,
        batch_size: int | None = None,
        is_fed: bool = False,
    ) -> None:
        self._stages = stages
        self._report = report
        self._workers = workers
        self._asked_batch_size = batch_size
        self._is_fed = is_fed
        self._intake: Intake[T] = Intake(room=workers + 1)
        self._batches: Batches[T, D, A, W] = Batches(stages.group)
        self._begun: SimpleQueue[Batch[T, D, A, W] | None] = SimpleQueue()  # for lanes to infer
        self._answered: SimpleQueue[Job[T, D, A, W] | None] = SimpleQueue()
        self._unwritten = 0  # of them, and those that are being written
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._decoders = Crew(self._intake.take, self._decode, self._events.put)
        self._lanes = Crew(self._begun.get, self._infer, self._events.put)
        self._writers = Crew(self._answered.get, self._finish, self._events.put)

    def run(self, tasks: Iterable[T]) -> Ended:
        """Run all tasks. Errors of `open`, of `report` and of the iterator `tasks` pass through.

        An interrupt, or an error that is no input's, ends the run: what is being written is finished and reported, the
        rest is dropped.
        """
        self._intake.open(tasks)
        try:
            self._decoders.start(self._workers)
            self._writers.start(self._workers)
            self._widen(self._stages.open() or Width())
            while self._decoders.at_work or self._batches or self._unwritten:
                if (batch := self._next_batch()) is None:
                    self._next_event()()
                elif self._lanes.at_work:
                    self._begun.put(batch)
                else:
                    self._infer(batch)()
        except _EnoughError:
            ended = Ended(is_enough=True)
        except StoppedError as error:
            ended = Ended(stopped=error)
        except MemoryError as error:
            ended = Ended(stopped=out_of_memory(error))
        except KeyboardInterrupt as error:
            ended = Ended(interrupt=error)
        else:
            ended = Ended()
        finally:
            self._stop()
        return self._report_rest(ended)

    # In threads: what is done with each item, and what the main thread should do then

    def _decode(self, task: T) -> Event:
        return partial(self._take_decoded, decode_task(self._stages, task))

    def _infer(self, batch: Batch[T, D, A, W]) -> Event:
        infer_jobs(self._stages, batch.jobs)
        return partial(self._take_inferred, batch)

    def _finish(self, job: Job[T, D, A, W]) -> Event:
        finish_job(self._stages, job)
        return partial(self._take_finished, job)

    # In the main thread: what has come

    def _take_decoded(self, job: Job[T, D, A, W]) -> None:
        if job.error is None:
            self._batches.add(job)
        else:
            self._intake.free_place()
            self._end(job)

    def _take_inferred(self, batch: Batch[T, D, A, W]) -> None:
        for job in self._batches.end(batch):
            job.decoded = None
            self._intake.free_place()
            if job.error is not None:
                self._end(job)
            else:
                self._unwritten += 1
                self._answered.put(job)

    def _take_finished(self, job: Job[T, D, A, W]) -> None:
        self._unwritten -= 1
        self._end(job)

    def _end(self, job: Job[T, D, A, W]) -> None:
        if isinstance(job.error, StoppedError):
            raise job.error
        if not self._report(job):
            raise _EnoughError

    # In the main thread: what to do next

    def _widen(self, width: Width) -> None:
        """Take as much at once as is quickest, and let as much be decoded beforehand."""
        batch_size = self._asked_batch_size or width.batch_size
        self._batches.width = Width(width.lanes, batch_size)
        self._intake.enlarge(max(self._intake.room, 2 * batch_size) + width.lanes - 1)
        self._lanes.start(width.lanes if width.lanes > 1 else 0)

    def _next_batch(self) -> Batch[T, D, A, W] | None:
        """The jobs to infer now; None while a fuller batch may come, or too many answers are unwritten."""
        if self._unwritten >= self._workers + self._batches.width.batch_size:
            return None
        return self._batches.begin(is_all=self._is_all_there())

    def _is_all_there(self) -> bool:
        """Whether no other job comes before one of those that are there has been inferred."""
        there = len(self._batches)
        if not self._decoders.at_work or there >= self._intake.room:
            return True
        return self._is_fed and self._intake.is_slow and self._intake.held == there

    def _next_event(self) -> Event:
        """What a thread has to tell, as soon as it does; nothing where a batch has waited long enough to be full.

        Raises MemoryError when a thread ended without a word.
        """
        is_patient = not (self._is_fed and self._batches.is_any_waiting)
        while True:
            try:
                return self._events.get(timeout=_WATCH_S if is_patient else SLOW_S)
            except Empty:
                crews = (self._decoders, self._lanes, self._writers)
                if any(crew.is_missing_one() for crew in crews) and self._events.empty():
                    raise MemoryError from None  # nothing else leaves a thread no time for it
                if not is_patient:
                    return _do_nothing

    # In the main thread: the end

    def _stop(self) -> None:
        """Let files that are being written be finished, and nothing else begin."""
        self._intake.close()
        _close(self._answered, self._writers.at_work)
        _close(self._begun, self._lanes.at_work)
        deadline = time.monotonic() + _GRACE_S
        self._writers.join(deadline)
        self._lanes.join(deadline)

    def _report_rest(self, ended: Ended) -> Ended:
        """Report what was finished while the threads were stopping."""
        while True:
            try:
                event = self._events.get_nowait()
            except Empty:
                return ended
            if isinstance(event, partial) and event.func == self._take_finished:
                with suppress(_EnoughError, StoppedError):
                    event()


def _do_nothing() -> None:
    pass


def _close(queue: SimpleQueue[Any], readers: int) -> None:
    """Drop what a queue holds, and tell its readers that nothing more comes."""
    with suppress(Empty):
        while True:
            queue.get_nowait()
    for _ in range(readers):
        queue.put(None)
