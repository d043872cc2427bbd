"""The engine's parts by themselves: what is taken in, which jobs go together, threads that end without a word."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable, Iterator
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest

from glpn_cli.errors import ErrorCode, InputError
from glpn_cli.pipeline.batches import Batch, Batches
from glpn_cli.pipeline.crew import Crew, Event
from glpn_cli.pipeline.intake import Intake
from glpn_cli.pipeline.jobs import Job
from glpn_cli.pipeline.stages import Width

AnyJob = Job[Any, Any, Any, Any]


# The intake


def test_a_task_is_taken_only_where_there_is_a_place_for_it() -> None:
    taken: SimpleQueue[int | None] = SimpleQueue()
    intake: Intake[int] = Intake(room=2)
    intake.open(range(9))
    reader = threading.Thread(target=lambda: [taken.put(intake.take()) for _ in range(3)])
    reader.start()
    assert (taken.get(timeout=5), taken.get(timeout=5)) == (0, 1)
    reader.join(0.05)
    assert reader.is_alive()
    assert intake.held == 2
    intake.free_place()
    assert taken.get(timeout=5) == 2
    reader.join(5)
    assert intake.held == 2


def test_a_closed_intake_lets_everybody_go_who_waits_for_a_place() -> None:
    intake: Intake[int] = Intake(room=1)
    intake.open(range(9))
    assert intake.take() == 0
    got: SimpleQueue[int | None] = SimpleQueue()
    readers = [threading.Thread(target=lambda: got.put(intake.take())) for _ in range(3)]
    for reader in readers:
        reader.start()
    intake.close()
    assert [got.get(timeout=5) for _ in readers] == [None] * 3
    for reader in readers:
        reader.join(5)


def test_a_list_that_breaks_takes_no_place_with_it() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    intake: Intake[int] = Intake(room=2)
    intake.open(broken())
    assert intake.take() == 1
    with pytest.raises(ValueError, match="no more"):
        intake.take()
    assert intake.held == 1
    assert intake.take() is None


# Batches


def batches_of(*waiting: tuple[object, Hashable], width: Width) -> Batches[Any, Any, Any, Any]:
    """Jobs wait that are (task, group)."""
    batches: Batches[Any, Any, Any, Any] = Batches(lambda decoded: decoded[1])
    batches.width = width
    for task, group in waiting:
        batches.add(Job(task, decoded=(np.zeros(3), group)))
    return batches


def begin(batches: Batches[Any, Any, Any, Any], *, is_all: bool = True) -> Batch[Any, Any, Any, Any]:
    batch = batches.begin(is_all=is_all)
    assert batch is not None
    return batch


def tasks_of(batch: Batch[Any, Any, Any, Any]) -> list[object]:
    return [job.task for job in batch.jobs]


def run_out_of_memory(batch: Batch[Any, Any, Any, Any]) -> None:
    for job in batch.jobs:
        job.error = InputError("out of memory", code=ErrorCode.OUT_OF_MEMORY)


def test_a_batch_is_filled_from_one_group_and_waits_until_it_is_full() -> None:
    batches = batches_of((0, "a"), (1, "b"), (2, "a"), (3, "a"), width=Width(batch_size=3))
    assert tasks_of(begin(batches, is_all=False)) == [0, 2, 3]
    batches.width = Width(lanes=2, batch_size=3)
    assert batches.begin(is_all=False) is None
    assert tasks_of(begin(batches)) == [1]
    assert len(batches) == 4, "the network has them all, and is not done"


def test_tasks_given_twice_are_told_apart_without_a_look_at_their_pictures() -> None:
    batches = batches_of(("x.jpg", "a"), ("x.jpg", None), width=Width(batch_size=2))
    only = begin(batches)
    assert only.jobs[0].decoded[1] is None, "what needs no company overtakes"
    only.jobs[0].answer = "answer"
    assert batches.end(only) == only.jobs
    assert begin(batches).jobs[0].decoded[1] == "a"


def test_what_did_not_fit_waits_again_in_its_order_before_the_others_and_half_as_wide() -> None:
    batches = batches_of(*((task, "a") for task in range(6)), width=Width(batch_size=4))
    batch = begin(batches)
    run_out_of_memory(batch)
    assert batches.end(batch) == []
    assert batches.width.batch_size == 2
    assert tasks_of(begin(batches)) == [0, 1]


def test_what_did_not_fit_beside_others_is_tried_alone_and_then_fails() -> None:
    batches = batches_of((0, "a"), (1, "a"), width=Width(lanes=2))
    first, other = begin(batches), begin(batches)
    run_out_of_memory(first)
    assert batches.end(first) == []
    assert batches.begin(is_all=True) is None, "the other is not done"
    other.jobs[0].answer = "answer"
    assert batches.end(other) == other.jobs
    again = begin(batches)
    assert tasks_of(again) == [0]
    run_out_of_memory(again)
    assert batches.end(again) == again.jobs
    assert not batches


# Crews


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_ends_without_a_word_is_missed() -> None:
    def tell(event: Event) -> None:
        raise MemoryError

    crew: Crew[int] = Crew(iter([1]).__next__, lambda item: lambda: None, tell)
    crew.start(1)
    crew.join(deadline=time.monotonic() + 5)
    assert crew.is_missing_one()


def test_a_crew_tells_of_every_item_then_that_its_threads_have_left() -> None:
    events: SimpleQueue[Event] = SimpleQueue()
    items: SimpleQueue[int | None] = SimpleQueue()
    heard: list[int] = []
    crew = Crew(items.get, lambda item: lambda: heard.append(item), events.put)
    crew.start(2)
    for item in (1, 2, 3, None, None):
        items.put(item)
    for _ in range(5):
        events.get(timeout=5)()
    assert sorted(heard) == [1, 2, 3]
    assert crew.at_work == 0
    assert not crew.is_missing_one()
