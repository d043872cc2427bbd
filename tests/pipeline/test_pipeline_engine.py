"""The engine on toy stages: order, bounds, batches, faults at every stage, interrupts."""

from __future__ import annotations

import _thread
import gc
import threading
import time
import weakref
from collections.abc import Callable, Hashable, Iterator, Sequence
from queue import SimpleQueue
from typing import Any

import pytest

from glpn_cli.errors import ErrorCode, InputError, StoppedError
from glpn_cli.pipeline.engine import Engine, Job
from glpn_cli.pipeline.report import Outcome, RunEnd, Status
from glpn_cli.pipeline.stages import Parallelism


class Toy:
    """Doubles numbers; subclasses break or watch something."""

    def __init__(self) -> None:
        self.opened = 0
        self.batches: list[list[int]] = []
        self.finished: list[int] = []

    def open(self) -> None:
        self.opened += 1

    def decode(self, task: int) -> int:
        return task

    def group(self, decoded: int) -> Hashable:
        return decoded % 2

    def infer(self, tasks: Sequence[int], batch: Sequence[int]) -> list[int]:
        self.batches.append(list(batch))
        return [2 * each for each in batch]

    def finish(self, task: int, answer: int) -> str:
        self.finished.append(task)
        return f"{task}->{answer}"


class Wide(Toy):
    """Infers in lanes, and counts how many do at one time."""

    lanes = 3

    def __init__(self) -> None:
        super().__init__()
        self.busy = 0
        self.most = 0
        self.counting = threading.Lock()

    def open(self) -> Parallelism:  # type: ignore[override]
        return Parallelism(lanes=self.lanes)

    def infer(self, tasks: Sequence[int], batch: Sequence[int]) -> list[int]:
        assert threading.current_thread() is not threading.main_thread()
        with self.counting:
            self.busy += 1
            self.most = max(self.most, self.busy)
        time.sleep(0.003)
        with self.counting:
            self.busy -= 1
        return super().infer(tasks, batch)


def run(
    stages: Any, tasks: Any, *, go_on: Callable[[Any], bool] = lambda job: True, **settings: int
) -> tuple[RunEnd, list[Any]]:
    jobs: list[Any] = []

    def report(job: Job) -> bool:
        assert threading.current_thread() is threading.main_thread()
        jobs.append(job)
        return go_on(job)

    ended = Engine(stages, report, **settings).run(tasks)
    return ended, jobs


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_every_task_is_done_once_and_reported_once(workers: int, batch_size: int) -> None:
    toy = Toy()
    ended, jobs = run(toy, range(50), workers=workers, batch_size=batch_size)
    assert ended == RunEnd()
    assert sorted(job.outcome for job in jobs) == sorted(f"{task}->{2 * task}" for task in range(50))
    assert toy.opened == 1
    assert all(job.decoded is None and job.result is None for job in jobs), "reported jobs keep no arrays alive"


def test_no_task_at_all_is_fine() -> None:
    assert run(Toy(), []) == (RunEnd(), [])


def test_batches_are_full_where_they_can_be_and_never_mix_groups() -> None:
    toy = Toy()
    run(toy, range(40), workers=2, batch_size=4)
    assert all(len({each % 2 for each in batch}) == 1 for batch in toy.batches)
    assert max(len(batch) for batch in toy.batches) == 4
    assert len(toy.batches) <= 14


def test_pictures_are_decoded_only_a_few_ahead_of_the_network() -> None:
    class Slow(Toy):
        ahead = 0
        most = 0

        def decode(self, task: int) -> int:
            self.ahead += 1
            self.most = max(self.most, self.ahead)
            return task

        def infer(self, tasks: Sequence[int], batch: Sequence[int]) -> list[int]:
            time.sleep(0.005)
            self.ahead -= len(batch)
            return list(batch)

    slow = Slow()
    run(slow, range(40), workers=2)
    assert slow.most <= 4


def test_answers_do_not_pile_up_before_a_slow_disk() -> None:
    class SlowDisk(Toy):
        unwritten = 0
        most = 0

        def infer(self, tasks: Sequence[int], batch: Sequence[int]) -> list[int]:
            self.unwritten += len(batch)
            self.most = max(self.most, self.unwritten)
            return list(batch)

        def finish(self, task: int, answer: int) -> str:
            time.sleep(0.005)
            self.unwritten -= 1
            return ""

    disk = SlowDisk()
    run(disk, range(40), workers=2)
    assert disk.most <= 4


@pytest.mark.parametrize("stage", ["decode", "infer", "finish"])
@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (InputError("bad", code=ErrorCode.UNSUPPORTED), ErrorCode.UNSUPPORTED),
        (MemoryError(), ErrorCode.OUT_OF_MEMORY),
        (PermissionError(13, "Permission denied"), ErrorCode.PERMISSION),
        (ZeroDivisionError("oops"), ErrorCode.INTERNAL),
    ],
)
@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_fault_in_one_task_is_that_tasks_error_alone(
    stage: str, fault: Exception, code: ErrorCode, batch_size: int
) -> None:
    class Broken(Toy):
        def trip(self, where: str, numbers: Sequence[int]) -> None:
            if where == stage and 7 in numbers:
                raise fault

        def decode(self, task: int) -> int:
            self.trip("decode", [task])
            return super().decode(task)

        def infer(self, tasks: Sequence[int], batch: Sequence[int]) -> list[int]:
            self.trip("infer", batch)
            return super().infer(tasks, batch)

        def finish(self, task: int, answer: int) -> str:
            self.trip("finish", [task])
            return super().finish(task, answer)

    ended, jobs = run(Broken(), range(20), batch_size=batch_size)
    assert ended == RunEnd()
    failed = [job for job in jobs if job.error is not None]
    assert [job.task for job in failed] == [7]
    assert failed[0].error.code is code
    assert len(jobs) == 20


def test_a_full_disk_stops_the_run_and_the_rest_is_left() -> None:
    class Full(Toy):
        def finish(self, task: int, answer: int) -> str:
            if task == 5:
                raise StoppedError("no space", code=ErrorCode.NO_SPACE)
            return super().finish(task, answer)

    ended, jobs = run(Full(), range(1000))
    assert ended.stopped is not None
    assert ended.stopped.code is ErrorCode.NO_SPACE
    assert len(jobs) < 20
    assert 5 not in {job.task for job in jobs}


def test_a_report_that_has_seen_enough_ends_the_run() -> None:
    ended, jobs = run(Toy(), range(1000), go_on=lambda job: job.task < 3)
    assert ended == RunEnd(is_enough=True)
    assert len(jobs) < 20


def test_an_interrupt_ends_the_run_and_reports_what_was_being_written() -> None:
    writing = threading.Event()

    class Interrupted(Toy):
        def infer(self, tasks: Sequence[int], batch: Sequence[int]) -> list[int]:
            if 1 in batch:
                assert writing.wait(5)
                raise KeyboardInterrupt(143)
            return super().infer(tasks, batch)

        def finish(self, task: int, answer: int) -> str:
            writing.set()
            time.sleep(0.05)
            return super().finish(task, answer)

    toy = Interrupted()
    ended, jobs = run(toy, range(1000), workers=1)
    assert ended.interrupt is not None
    assert ended.interrupt.args == (143,)
    assert [job.task for job in jobs] == [0] == toy.finished


def test_a_model_that_cannot_be_loaded_ends_the_run_before_any_report() -> None:
    class NoModel(Toy):
        def open(self) -> None:
            raise InputError("no model")

    with pytest.raises(InputError, match="no model"):
        run(NoModel(), range(1000))


def test_a_report_that_fails_ends_the_run_with_its_error() -> None:
    def broken(job: object) -> bool:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        run(Toy(), range(1000), go_on=broken)


def test_tasks_are_taken_one_by_one_as_they_are_needed() -> None:
    taken = []

    def tasks() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    run(Toy(), tasks(), go_on=lambda job: False)
    assert len(taken) < 20


def test_no_thread_is_left_behind() -> None:
    before = threading.active_count()
    run(Toy(), range(20), workers=3)
    deadline = time.monotonic() + 2
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before


@pytest.mark.parametrize("started", range(5))
def test_threads_that_cannot_be_started_stop_the_run(started: int, monkeypatch: pytest.MonkeyPatch) -> None:
    before = threading.active_count()
    start, left = threading.Thread.start, [started]

    def start_few(thread: threading.Thread) -> None:
        if not left[0]:
            raise RuntimeError("can't start new thread")
        left[0] -= 1
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_few)
    ended, jobs = run(Wide(), range(1000), workers=2)
    assert ended.stopped is not None
    assert ended.stopped.code is ErrorCode.OUT_OF_MEMORY
    assert "starts no more threads" in ended.stopped.message
    assert jobs == []
    deadline = time.monotonic() + 2
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before


# Tasks that come one by one


class Feed:
    """Tasks that come when they are put, from a list that stays open."""

    def __init__(self) -> None:
        self.queue: SimpleQueue[int | None] = SimpleQueue()
        self.told: SimpleQueue[int] = SimpleQueue()

    def __iter__(self) -> Iterator[int]:
        while (task := self.queue.get()) is not None:
            yield task

    def put(self, *tasks: int) -> None:
        for task in tasks:
            self.queue.put(task)

    def answers(self, count: int) -> set[int]:
        return {self.told.get(timeout=5) for _ in range(count)}

    def run_while(self, feeding: Callable[[], None], *, stages: Toy, batch_size: int, workers: int = 2) -> None:
        """Run in this thread what another one feeds; the list ends with it, whatever it meets."""
        met: list[BaseException] = []

        def feed() -> None:
            try:
                feeding()
            except BaseException as error:  # noqa: BLE001 - raised again below
                met.append(error)
            finally:
                self.queue.put(None)

        def report(job: Job) -> bool:
            self.told.put(job.task)
            return True

        feeder = threading.Thread(target=feed)
        feeder.start()
        Engine(stages, report, workers=workers, batch_size=batch_size, is_stream=True).run(iter(self))
        feeder.join()
        if met:
            raise met[0]


@pytest.mark.parametrize("kind", [Toy, Wide])
@pytest.mark.parametrize("workers", [1, 3])
def test_a_batch_waits_for_no_task_that_has_not_come(kind: type[Toy], workers: int) -> None:
    feed, toy = Feed(), kind()

    def feeding() -> None:
        for tasks in ((0,), (2,), (1, 4), (3, 5, *range(6, 60, 2))):
            feed.put(*tasks)
            assert feed.answers(len(tasks)) == set(tasks), "the next come after the answers"

    feed.run_while(feeding, stages=toy, batch_size=4, workers=workers)
    assert max(map(len, toy.batches)) == 4, "what is at hand goes together"


def test_what_needs_no_company_waits_for_none_and_keeps_none_waiting() -> None:
    class Mixed(Toy):
        def group(self, decoded: int) -> Hashable:
            return None if decoded % 2 else "even"

    toy = Mixed()
    run(toy, range(21), workers=1, batch_size=4)
    assert all(len(batch) == 1 for batch in toy.batches if batch[0] % 2)
    assert max(map(len, toy.batches)) == 4
    assert toy.batches[0] == [1], "it overtakes what waits"


# Several at once


@pytest.mark.parametrize("batch_size", [1, 4])
def test_lanes_infer_side_by_side_and_every_task_once(batch_size: int) -> None:
    toy = Wide()
    ended, jobs = run(toy, range(60), workers=3, batch_size=batch_size)
    assert ended == RunEnd()
    assert sorted(job.task for job in jobs) == list(range(60))
    assert all(job.outcome == f"{job.task}->{2 * job.task}" for job in jobs)
    assert toy.most == Wide.lanes
    if batch_size > 1:
        assert all(len({number % 2 for number in batch}) == 1 for batch in toy.batches)
        assert max(map(len, toy.batches)) == batch_size


def test_what_stages_call_quickest_is_what_they_get_unless_someone_asked() -> None:
    class Batching(Toy):
        def open(self) -> Parallelism:  # type: ignore[override]
            return Parallelism(batch_size=4)

    toy = Batching()
    run(toy, range(0, 64, 2))
    assert {len(batch) for batch in toy.batches} == {4}
    toy = Batching()
    run(toy, range(0, 64, 2), batch_size=2)
    assert {len(batch) for batch in toy.batches} == {2}


def test_batches_halve_until_they_fit_into_memory_and_stay_so() -> None:
    class Small(Toy):
        def infer(self, tasks: Sequence[int], batch: Sequence[int]) -> list[int]:
            self.batches.append(list(batch))
            if len(batch) > 2:
                raise InputError("out of memory", code=ErrorCode.OUT_OF_MEMORY)
            return [2 * each for each in batch]

    toy = Small()
    ended, jobs = run(toy, range(0, 80, 2), batch_size=8)
    assert ended == RunEnd()
    assert sorted(job.task for job in jobs) == list(range(0, 80, 2))
    assert all(job.error is None for job in jobs)
    assert [len(batch) for batch in toy.batches if len(batch) > 2] == [8, 4]


def test_where_lanes_do_not_fit_side_by_side_one_goes_on_alone() -> None:
    class Narrow(Wide):
        def infer(self, tasks: Sequence[int], batch: Sequence[int]) -> list[int]:
            with self.counting:
                others = self.busy
            if others or not self.batches:
                with self.counting:
                    self.batches.append(list(batch))
                raise InputError("out of memory", code=ErrorCode.OUT_OF_MEMORY)
            return super().infer(tasks, batch)

    toy = Narrow()
    ended, jobs = run(toy, range(20), workers=3)
    assert ended == RunEnd()
    assert sorted(job.task for job in jobs) == list(range(20))
    assert all(job.error is None for job in jobs)
    assert toy.most == 1


@pytest.mark.parametrize(("kind", "batch_size"), [(Toy, 1), (Toy, 4), (Wide, 1), (Wide, 4)])
def test_a_task_that_does_not_fit_alone_fails_alone(kind: type[Toy], batch_size: int) -> None:
    class Large(kind):  # type: ignore[misc,valid-type]
        def infer(self, tasks: Sequence[int], batch: Sequence[int]) -> list[int]:
            if 7 in batch:
                raise MemoryError
            answers: list[int] = super().infer(tasks, batch)
            return answers

    ended, jobs = run(Large(), range(20), batch_size=batch_size)
    assert ended == RunEnd()
    assert sorted(job.task for job in jobs) == list(range(20))
    failed = [job for job in jobs if job.error is not None]
    assert [job.task for job in failed] == [7]
    assert failed[0].error.code is ErrorCode.OUT_OF_MEMORY


def test_an_interrupt_drops_what_lanes_infer_and_leaves_none_behind() -> None:
    before = threading.active_count()

    class Interrupted(Wide):
        def decode(self, task: int) -> int:
            if task == 10:
                _thread.interrupt_main()
            return task

    ended, jobs = run(Interrupted(), range(1000))
    assert ended.interrupt is not None
    assert len(jobs) < 30
    deadline = time.monotonic() + 2
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_what_a_failed_task_held_is_let_go() -> None:
    class Held:
        pass

    seen: list[weakref.ref[Held]] = []

    class Failing(Toy):
        def infer(self, tasks: Sequence[int], batch: Sequence[int]) -> list[int]:
            large = Held()
            seen.append(weakref.ref(large))
            raise ValueError("no")

    gc.disable()
    try:
        _, jobs = run(Failing(), range(3))
        assert [job.error is None for job in jobs] == [False] * 3
        assert [ref() for ref in seen] == [None] * 3
    finally:
        gc.enable()


# In order


def test_in_order_every_job_is_told_in_its_turn_and_an_error_after_those_before_it() -> None:
    class Uneven(Toy):
        def decode(self, task: int) -> int:
            if task == 7:
                raise InputError("cut short")
            return task

        def finish(self, task: int, answer: int) -> str:
            time.sleep(0.01)
            return super().finish(task, answer)

    ended, jobs = run(Uneven(), range(20), workers=1, in_order=True)
    assert ended == RunEnd()
    assert [job.task for job in jobs] == list(range(20))
    ended, jobs = run(Uneven(), range(20), workers=1, in_order=True, go_on=lambda job: job.error is None)
    assert ended == RunEnd(is_enough=True)
    assert [job.task for job in jobs] == list(range(8)), "those before the error are told first, and none behind it"


# Threads


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_ends_without_a_word_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def die(item: object) -> None:
        raise MemoryError

    monkeypatch.setattr("concurrent.futures.thread._WorkItem.run", die)
    monkeypatch.setattr("concurrent.futures._base.LOGGER.critical", lambda *_, **__: None)
    ended, jobs = run(Toy(), range(20))
    assert ended.stopped is not None
    assert ended.stopped.code is ErrorCode.OUT_OF_MEMORY
    assert jobs == []


def test_outcomes_among_the_tasks_are_told_as_they_are() -> None:
    known = Outcome(Status.SKIPPED, "a", "a", "a")
    toy = Toy()
    _, jobs = run(toy, [known] * 20 + [0, known, 2])
    assert len(jobs) == 23
    assert sum(job.outcome is known for job in jobs) == 21
    assert sorted(toy.finished) == [0, 2]
