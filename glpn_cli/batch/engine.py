"""The engine: threads that decode and write, around the main thread, which computes.

    tasks -> [decode threads] -> waiting -> main thread, or lanes (infer) -> [finish threads] -> report

Every arrow is bounded: a picture is decoded only when a slot is free, and a slot becomes free when its picture has been
through the network; the network waits while too many answers are unwritten. So memory does not grow with the number of
inputs. Whatever happens to a task is reported in the main thread, when it happens.

Lanes are threads that each infer a batch, side by side. Where memory runs out, less goes through the network at once:
smaller batches, then one lane; only a task that does not fit alone has that for its error.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

from glpn_cli.batch.mishaps import as_error, forget_locals, out_of_memory, start_thread
from glpn_cli.errors import ErrorCode, GlpnError, StoppedError

T = TypeVar("T")  # what to do
D = TypeVar("D")  # what came off the disk
A = TypeVar("A")  # what the network answered
W = TypeVar("W")  # what was written
_T_contra = TypeVar("_T_contra", contravariant=True)
_W_co = TypeVar("_W_co", covariant=True)

_GRACE_S = 1.5
"""How long an interrupted run waits for the files that are being written."""

_WATCH_S = 1.0
"""How often the main thread, while it waits, makes sure that the others live."""

_PATIENCE_S = 0.05
"""How long a batch that is not full waits for a list that is still being written."""


@dataclass(frozen=True)
class Width:
    """How much is inferred at once: batches side by side, each of so many tasks."""

    lanes: int = 1
    batch_size: int = 1


class Stages(Protocol[_T_contra, D, A, _W_co]):
    """What one kind of run does with each of its tasks. What a method raises becomes that task's error."""

    def open(self) -> Width | None:
        """Load what all tasks need. Called once, in the main thread, while the first tasks are being decoded.

        Says how much at once is quickest; None is one task at a time.
        """

    def decode(self, task: _T_contra) -> D:
        """Read it from disk. Called in threads."""

    def group(self, decoded: D) -> Hashable:
        """What tasks must have in common to share a batch; None for one that needs no company.

        Called in the main thread.
        """

    def infer(self, batch: Sequence[D]) -> Sequence[A]:
        """Answer a batch, one answer each. Called in the main thread, or in as many threads as there are lanes."""

    def finish(self, task: _T_contra, answer: A) -> _W_co:
        """Encode and publish. Called in threads."""


@dataclass(slots=True)
class Job(Generic[T, D, A, W]):
    """One task on its way. At its end either `written` or `error` is set; `seconds` counts work, not waiting."""

    task: T
    decoded: D | None = None
    answer: A | None = None
    written: W | None = None
    error: GlpnError | None = None
    seconds: float = 0.0


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
    """Runs tasks through the stages.

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
        self._batch_size = batch_size or 1
        self._lanes = 1
        self._capacity = workers + 1
        self._slots = threading.Semaphore(self._capacity)
        self._is_fed = is_fed
        self._taking = threading.Lock()
        self._asked_at: float | None = None  # since when the list of tasks is asked for the next
        self._taken = 0  # tasks, by the decode threads
        self._delivered = 0  # by them
        self._is_ending = False
        self._events: SimpleQueue[Callable[[], None]] = SimpleQueue()  # what the main thread should do next
        self._answered: SimpleQueue[Job[T, D, A, W] | None] = SimpleQueue()
        self._waiting: deque[Job[T, D, A, W]] = deque()  # decoded
        self._batches: SimpleQueue[tuple[list[Job[T, D, A, W]], int] | None] = SimpleQueue()  # for lanes to infer
        self._busy = 0  # lanes that infer
        self._inferred = 0  # tasks in them
        self._decoders = 0  # alive
        self._unwritten = 0  # handed to the finish threads

    def run(self, tasks: Iterable[T]) -> Ended:
        """Run all tasks. Errors of `open`, of `report` and of the iterator `tasks` pass through.

        An interrupt, or an error that is no input's, ends the run: what is being written is finished and reported, the
        rest is dropped.
        """
        remaining = iter(tasks)
        self._decoders = self._workers
        decoders: list[threading.Thread] = []
        others: list[threading.Thread] = []
        lanes = 0
        try:
            for _ in range(self._workers):
                decoders.append(self._start(self._decode_tasks, remaining))
                others.append(self._start(self._finish_jobs))
            self._widen(self._stages.open() or Width())
            lanes = self._lanes if self._lanes > 1 else 0
            others += (self._start(self._infer_batches) for _ in range(lanes))
            while self._decoders or self._waiting or self._busy or self._unwritten:
                batch = self._next_batch()
                if not batch:
                    self._next_event(decoders, others)()
                    continue
                self._busy += 1
                self._inferred += len(batch)
                if lanes:
                    self._batches.put((batch, self._lanes))
                else:
                    self._infer(batch)
                    self._take_inferred(batch, 1)
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
            self._stop_threads(others, lanes)
        return self._report_rest(ended)

    def _widen(self, width: Width) -> None:
        """Take as much at once as is quickest, and let as much be decoded beforehand."""
        self._lanes = width.lanes
        self._batch_size = self._asked_batch_size or width.batch_size
        more = max(0, 2 * self._batch_size - self._capacity) + self._lanes - 1
        self._capacity += more
        if more:
            self._slots.release(more)

    def _start(self, work: Callable[..., None], *arguments: object) -> threading.Thread:
        """A daemon, so that a second Ctrl-C need not wait for a decoder. Raises StoppedError."""

        def live() -> None:
            try:
                work(*arguments)
            except BaseException as error:  # noqa: BLE001 - the main thread would wait for this one for ever
                self._events.put(partial(_raise, error))

        return start_thread(live)

    # In decode threads

    def _decode_tasks(self, remaining: Iterator[T]) -> None:
        while True:
            self._slots.acquire()
            try:
                task = self._take_task(remaining)
            except Exception as error:  # noqa: BLE001 - of the list of tasks itself: the main thread's business
                self._events.put(partial(_raise, error))
                task = None
            if task is None:
                self._slots.release()
                self._events.put(self._lose_decoder)
                return
            job: Job[T, D, A, W] = Job(task)
            with _work_on(job):
                job.decoded = self._stages.decode(task)
            self._events.put(partial(self._take_decoded, job))

    def _take_task(self, remaining: Iterator[T]) -> T | None:
        with self._taking:
            if self._is_ending:
                return None
            self._asked_at = time.monotonic()
            task = next(remaining, None)
            self._asked_at = None
            self._taken += task is not None
            return task

    # In finish threads

    def _finish_jobs(self) -> None:
        while (job := self._answered.get()) is not None:
            assert job.answer is not None
            with _work_on(job):
                job.written = self._stages.finish(job.task, job.answer)
            job.answer = None
            self._events.put(partial(self._take_finished, job))

    # In the main thread, or in lanes

    def _infer_batches(self) -> None:
        while (given := self._batches.get()) is not None:
            batch, lanes = given
            self._infer(batch)
            self._events.put(partial(self._take_inferred, batch, lanes))

    def _infer(self, batch: Sequence[Job[T, D, A, W]]) -> None:
        """Give every job of a batch its answer, or its error."""
        started = time.perf_counter()
        try:
            answers = self._stages.infer([job.decoded for job in batch])  # type: ignore[misc]
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this input's, and told
            forget_locals(error)
            known = as_error(error)
            if len(batch) > 1 and known.code is not ErrorCode.OUT_OF_MEMORY:  # one of them is to blame
                for job in batch:
                    self._infer([job])
                return
            for job in batch:
                job.error = known
        else:
            for job, answer in zip(batch, answers, strict=True):
                job.answer = answer
        for job in batch:
            job.seconds += (time.perf_counter() - started) / len(batch)

    # In the main thread

    def _next_event(
        self, decoders: Sequence[threading.Thread], others: Sequence[threading.Thread]
    ) -> Callable[[], None]:
        """What a thread has to tell, as soon as it does; nothing where a batch has waited long enough to be full.

        Raises MemoryError when a thread ended without a word.
        """
        is_patient = not (self._is_fed and self._waiting)
        while True:
            try:
                return self._events.get(timeout=_WATCH_S if is_patient else _PATIENCE_S)
            except Empty:
                alive = sum(thread.is_alive() for thread in decoders)
                if (alive < self._decoders or not all(thread.is_alive() for thread in others)) and (
                    self._events.empty()
                ):
                    raise MemoryError from None  # nothing else leaves a thread no time for it
                if not is_patient:
                    return _do_nothing

    def _lose_decoder(self) -> None:
        self._decoders -= 1

    def _take_decoded(self, job: Job[T, D, A, W]) -> None:
        self._delivered += 1
        if job.error is None:
            self._waiting.append(job)
        else:
            self._slots.release()
            self._end(job)

    def _take_finished(self, job: Job[T, D, A, W]) -> None:
        self._unwritten -= 1
        self._end(job)

    def _end(self, job: Job[T, D, A, W]) -> None:
        if isinstance(job.error, StoppedError):
            raise job.error
        if not self._report(job):
            raise _EnoughError

    def _next_batch(self) -> list[Job[T, D, A, W]]:
        """The jobs to infer now; none while a fuller batch may come, or too many answers are unwritten."""
        is_full = self._busy >= self._lanes or self._unwritten >= self._workers + self._batch_size
        if not self._waiting or is_full:
            return []
        if self._batch_size == 1:
            return [self._waiting.popleft()]
        groups = [self._stages.group(job.decoded) for job in self._waiting]  # type: ignore[arg-type]
        if None in groups:
            batch = [self._waiting[groups.index(None)]]
        else:
            batch = [job for job, group in zip(self._waiting, groups, strict=True) if group == groups[0]]
            is_all = not self._decoders or len(self._waiting) + self._inferred >= self._capacity or self._is_dry()
            if len(batch) < self._batch_size and not is_all:
                return []
            del batch[self._batch_size :]
        for job in batch:
            self._waiting.remove(job)
        return batch

    def _is_dry(self) -> bool:
        """Whether the list of tasks is being written so slowly that nothing more is at hand."""
        asked_at = self._asked_at
        is_asking = asked_at is not None and time.monotonic() - asked_at >= _PATIENCE_S
        return self._is_fed and is_asking and self._taken == self._delivered

    def _take_inferred(self, batch: Sequence[Job[T, D, A, W]], lanes: int) -> None:
        """Pass a batch on; what did not fit into memory while `lanes` lanes were open is to be tried again."""
        self._busy -= 1
        self._inferred -= len(batch)
        again = [job for job in batch if job.error is not None and job.error.code is ErrorCode.OUT_OF_MEMORY]
        if again and self._narrow(len(batch), lanes):
            for job in reversed(again):
                job.error = None
                self._waiting.appendleft(job)
        for job in batch:
            if job.error is None and job.answer is None:
                continue
            job.decoded = None
            self._slots.release()
            if job.error is not None:
                self._end(job)
            else:
                self._unwritten += 1
                self._answered.put(job)

    def _narrow(self, size: int, lanes: int) -> bool:
        """Take less at once from now on than a batch of `size` beside others; says whether there is less."""
        if size > 1:
            self._batch_size = max(1, min(self._batch_size, size // 2))
        elif lanes > 1:
            self._lanes = 1
        return size > 1 or lanes > 1

    def _stop_threads(self, others: Sequence[threading.Thread], lanes: int) -> None:
        """Let files that are being written be finished, and nothing else begin."""
        self._is_ending = True
        for _ in range(self._workers):
            self._slots.release()
        _drain(self._answered)
        _drain(self._batches)
        for _ in range(self._workers):
            self._answered.put(None)
        for _ in range(lanes):
            self._batches.put(None)
        deadline = time.monotonic() + _GRACE_S
        for thread in others:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _report_rest(self, ended: Ended) -> Ended:
        """Report what was finished while the threads were stopping."""
        while True:
            try:
                event = self._events.get_nowait()
            except Empty:
                return ended
            if isinstance(event, partial) and event.func == self._take_finished:
                try:
                    event()
                except (_EnoughError, StoppedError):
                    continue


def _raise(error: BaseException) -> None:
    raise error


def _do_nothing() -> None:
    pass


def _drain(queue: SimpleQueue[Any]) -> None:
    with suppress(Empty):
        while True:
            queue.get_nowait()


class _work_on:  # noqa: N801 - a context manager, read as a verb
    """Time what is done for a job, and make what goes wrong its error."""

    def __init__(self, job: Job[T, D, A, W]) -> None:
        self._job = job

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._job.seconds += time.perf_counter() - self._started
        if isinstance(error, Exception):
            forget_locals(error)
            self._job.error = as_error(error)
            return True
        return False
