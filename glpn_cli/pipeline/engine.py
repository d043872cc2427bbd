"""The engine: threads that decode, predict and write, around the main thread, which tells the outcomes.

    tasks -> decode pool -> waiting -> network, in lanes -> write pool -> tell

Every arrow is bounded: a picture is decoded only when a place is free, a place becomes free when its picture has been
through the network, and the network waits while too many results are unwritten. So memory does not grow with the number
of inputs. An error of a task is that task's alone.

Where memory runs out, the network gets less at once: smaller batches, then one lane. Only a task that does not fit
alone has that for its error.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from glpn_cli.errors import ErrorCode, GlpnError, StoppedError, uninterrupted, wrap_exception
from glpn_cli.pipeline.report import Outcome, RunEnd
from glpn_cli.pipeline.stages import Parallelism, Stages
from glpn_cli.prediction import Result

_GRACE_S = 1.5
"""How long an interrupted run waits for the files that are being written."""

_WATCH_S = 1.0
"""How often the main thread, while it waits, makes sure that the others live."""

_SLOW_S = 0.05
"""A list that has not given its next task for so long is still being written; no batch waits for it."""


@dataclass(slots=True, eq=False)
class Job:
    """One task on its way; at the end it has an outcome or an error. `seconds` counts work, not waiting."""

    task: Any
    number: int
    decoded: Any = None
    result: Result | None = None
    outcome: Outcome | None = None
    error: GlpnError | None = None
    seconds: float = 0.0


class _EnoughError(Exception):
    """`tell` does not want to go on."""


class Engine:
    """Runs tasks through the stages, once.

    tell:       told of every job at its end, in the main thread; returns whether to go on
    workers:    threads that decode, and as many that write
    batch_size: tasks per batch; None: as `stages.open` says
    is_stream:  the next task may come at any time, or wait for an answer: no batch waits for it
    in_order:   tell outcomes in the order of the tasks
    """

    def __init__(
        self,
        stages: Stages,
        tell: Callable[[Job], bool],
        *,
        workers: int = 2,
        batch_size: int | None = None,
        is_stream: bool = False,
        in_order: bool = False,
    ) -> None:
        self._stages = stages
        self._tell = tell
        self._workers = workers
        self._asked_batch_size = batch_size
        self._is_stream = is_stream
        self._in_order = in_order
        self._parallelism = Parallelism()
        self._room = workers + 1  # tasks that may be between the list and the end of the network
        self._held = 0  # places that are taken
        self._waiting: list[Job] = []  # for the network
        self._inferring = 0  # jobs in the network
        self._batches = 0  # their batches
        self._unwritten = 0  # jobs that wait to be written, or are being written
        self._early: dict[int, Job] = {}  # that ended before their turn to be told
        self._told = 0
        self._pending: dict[Future[Any], Callable[[Any], None]] = {}  # and what the main thread does with each result
        self._pools = [ThreadPoolExecutor(workers, "decode"), ThreadPoolExecutor(workers, "write")]
        self._decoders, self._writers = self._pools
        self._tasks: Iterator[Any] = iter(())
        self._taking = threading.Lock()
        self._taken = 0  # tasks that the list has given
        self._freed = 0  # of them, those that are through the network
        self._asked_at: float | None = None  # since when the list is asked for its next task
        self._has_ended = False  # the list, or the run
        self._is_stopped = False

    def run(self, tasks: Iterable[Any]) -> RunEnd:
        """Run all tasks; an outcome among them is told as it is.

        Errors of `stages.open`, of `tell` and of the iterator pass through. An interrupt, or an error that is no
        input's, ends the run: files that are being written are finished and told, the rest is dropped.
        """
        self._tasks = iter(tasks)
        ended = RunEnd()
        try:
            self._decode_more()
            self._widen(self._stages.open() or Parallelism())
            while self._pending or self._waiting or not self._has_ended:
                self._decode_more()
                self._infer_more()
                self._wait()
        except _EnoughError:
            ended = RunEnd(is_enough=True)
        except StoppedError as error:
            ended = RunEnd(stopped=error)
        except MemoryError as error:
            hint = "Try a smaller --input-size, or fewer --workers."
            stopped = StoppedError("out of memory", hint=hint, code=ErrorCode.OUT_OF_MEMORY)
            stopped.__cause__ = error
            ended = RunEnd(stopped=stopped)
        except KeyboardInterrupt as error:
            ended = RunEnd(interrupt=error)
        finally:
            self._stop()
        if not (self._in_order and ended.is_enough):  # nothing may follow the task that ended it
            self._tell_rest()
        return ended

    def stop(self) -> None:
        """End the run within a second, from another thread, also while its list gives no task."""
        self._is_stopped = True

    # In threads

    def _decode(self) -> Job | None:
        """The next task of the list, decoded; None where there is none."""
        with self._taking:
            if self._has_ended:
                return None
            self._asked_at = time.monotonic()
            task = next(self._tasks, None)
            self._asked_at = None
            if task is None:
                self._has_ended = True
                return None
            job = Job(task, self._taken, outcome=task if isinstance(task, Outcome) else None)
            self._taken += 1
        if job.outcome is None:
            with _working_on(job):
                job.decoded = self._stages.decode(job.task)
        return job

    def _infer(self, jobs: list[Job]) -> None:
        """Give every job of a batch its result or its error; one job's error costs no other job its result."""
        started = time.perf_counter()
        try:
            results = self._stages.infer([job.task for job in jobs], [job.decoded for job in jobs])
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this input's, and told
            _forget_locals(error)
            known = wrap_exception(error)
            if len(jobs) > 1 and known.code is not ErrorCode.OUT_OF_MEMORY:
                for job in jobs:
                    self._infer([job])
                return
            for job in jobs:
                job.error = known
        else:
            for job, result in zip(jobs, results, strict=True):
                job.result = result
        for job in jobs:
            job.seconds += (time.perf_counter() - started) / len(jobs)

    def _write(self, job: Job) -> Job:
        """Write a job's result, and let go of it."""
        assert job.result is not None
        with _working_on(job):
            job.outcome = self._stages.finish(job.task, job.result)
        job.result = None
        return job

    # In the main thread: start work

    def _decode_more(self) -> None:
        while self._held < self._room and not self._has_ended:
            self._held += 1
            self._start(self._decoders, self._take_decoded, self._decode)

    def _infer_more(self) -> None:
        limit = self._workers + self._parallelism.batch_size
        while self._batches < self._parallelism.lanes and self._unwritten < limit and (jobs := self._choose()):
            for job in jobs:
                self._waiting.remove(job)
            self._batches += 1
            self._inferring += len(jobs)
            self._start(self._network, partial(self._take_inferred, jobs, self._parallelism.lanes), self._infer, jobs)

    def _choose(self) -> list[Job]:
        """The next batch: the first job that needs no network, else the first job and those that can share its batch.

        Empty while a fuller batch may come.
        """
        if not self._waiting:
            return []
        most = self._parallelism.batch_size
        if most == 1:
            return [self._waiting[0]]
        groups = [self._stages.group(job.decoded) for job in self._waiting]
        if None in groups:
            return [self._waiting[groups.index(None)]]
        jobs = [job for job, group in zip(self._waiting, groups, strict=True) if group == groups[0]]
        return jobs[:most] if len(jobs) >= most or self._is_all_there() else []

    def _is_all_there(self) -> bool:
        """Whether no other job comes before one of those that are there has been inferred."""
        there = len(self._waiting) + self._inferring
        if there >= self._room or (self._has_ended and there == self._held):
            return True
        asked_at = self._asked_at
        is_slow = asked_at is not None and time.monotonic() - asked_at >= _SLOW_S
        return self._is_stream and is_slow and there == self._taken - self._freed

    def _start(self, pool: ThreadPoolExecutor, then: Callable[[Any], None], work: Callable[..., Any], *of: Any) -> None:
        """Do some work in a thread, and `then` with its result in this one. Raises StoppedError without threads."""
        try:
            self._pending[pool.submit(work, *of)] = then
        except RuntimeError as error:
            raise StoppedError(
                "the system starts no more threads",
                hint="Try fewer --workers and --threads, or run less at once.",
                code=ErrorCode.OUT_OF_MEMORY,
            ) from error

    # In the main thread: take what is done

    def _widen(self, found: Parallelism) -> None:
        """Compute as much at once as is quickest, and let as much be decoded beforehand."""
        batch_size = self._asked_batch_size or found.batch_size
        self._parallelism = Parallelism(found.lanes, batch_size)
        self._room = max(self._room, 2 * batch_size) + found.lanes - 1
        self._network = ThreadPoolExecutor(found.lanes, "infer")
        self._pools.append(self._network)

    def _wait(self) -> None:
        """Take what is done, as soon as something is; a batch of a stream waits a little while for more.

        Raises MemoryError when a thread ended without a word: nothing else leaves it no time for one.
        """
        patience = _SLOW_S if self._is_stream and self._waiting else _WATCH_S
        done, _ = wait(self._pending, timeout=patience, return_when=FIRST_COMPLETED)
        if self._is_stopped:
            raise _EnoughError
        self._take(done)
        if not done and any(not thread.is_alive() for pool in self._pools for thread in pool._threads):
            raise MemoryError

    @uninterrupted
    def _take(self, done: set[Future[Any]]) -> None:
        for future in [each for each in self._pending if each in done]:
            self._pending.pop(future)(future.result())

    def _take_decoded(self, job: Job | None) -> None:
        if job is not None and job.outcome is None and job.error is None:
            self._waiting.append(job)
            return
        self._held -= 1
        if job is not None:
            self._freed += 1
            self._end(job)

    def _take_inferred(self, jobs: list[Job], lanes: int, _: None) -> None:
        self._batches -= 1
        self._inferring -= len(jobs)
        too_large = [job for job in jobs if job.error is not None and job.error.code is ErrorCode.OUT_OF_MEMORY]
        if too_large and (len(jobs) > 1 or lanes > 1):
            if len(jobs) > 1:
                self._parallelism = replace(
                    self._parallelism, batch_size=min(self._parallelism.batch_size, len(jobs) // 2)
                )
            else:
                self._parallelism = replace(self._parallelism, lanes=1)
            for job in too_large:
                job.error = None
            self._waiting[:0] = too_large
            jobs = [job for job in jobs if job not in too_large]
        for job in jobs:
            job.decoded = None
            self._held -= 1
            self._freed += 1
            if job.error is not None:
                self._end(job)
            else:
                self._unwritten += 1
                self._start(self._writers, self._take_written, self._write, job)

    def _take_written(self, job: Job) -> None:
        self._unwritten -= 1
        self._end(job)

    def _end(self, job: Job) -> None:
        """Tell a job, or keep it until those before it are told."""
        if not self._in_order:
            self._tell_one(job)
            return
        self._early[job.number] = job
        while (job_in_turn := self._early.pop(self._told, None)) is not None:
            self._told += 1
            self._tell_one(job_in_turn)

    def _tell_one(self, job: Job) -> None:
        if isinstance(job.error, StoppedError):
            raise job.error
        if not self._tell(job):
            raise _EnoughError

    # In the main thread: the end

    def _stop(self) -> None:
        """Let files that are being written be finished, and nothing else begin."""
        self._has_ended = True
        for pool in self._pools:
            pool.shutdown(wait=not self._pending, cancel_futures=True)
        begun = [each for each, then in self._pending.items() if then != self._take_decoded and not each.cancelled()]
        wait(begun, _GRACE_S)

    def _tell_rest(self) -> None:
        """Tell what was finished while the threads were stopping."""
        for future, then in self._pending.items():
            if then == self._take_written and future.done() and not future.cancelled():
                with suppress(_EnoughError, StoppedError):
                    then(future.result())


@contextmanager
def _working_on(job: Job) -> Iterator[None]:
    """Time the work on a job, and make whatever goes wrong its error."""
    started = time.perf_counter()
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this input's, and told
        _forget_locals(error)
        job.error = wrap_exception(error)
    job.seconds += time.perf_counter() - started


def _forget_locals(error: BaseException) -> None:
    """Let go of what the functions held that an error came through: pictures, and the activations of a network."""
    cause: BaseException | None = error
    while cause is not None:
        traceback.clear_frames(cause.__traceback__)
        cause = cause.__cause__ or cause.__context__
