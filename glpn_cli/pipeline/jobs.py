"""One task on its way through the stages. Whatever goes wrong there becomes its error, and nobody else's."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, TypeVar

from glpn_cli.errors import ErrorCode, GlpnError, wrap_exception
from glpn_cli.pipeline.mishaps import forget_locals
from glpn_cli.pipeline.stages import Stages

T = TypeVar("T")  # what to do
D = TypeVar("D")  # what came off the disk
A = TypeVar("A")  # what the network answered
W = TypeVar("W")  # what was written


@dataclass(slots=True, eq=False)
class Job(Generic[T, D, A, W]):
    """One task on its way. At its end either `written` or `error` is set; `seconds` counts work, not waiting."""

    task: T
    decoded: D | None = None
    answer: A | None = None
    written: W | None = None
    error: GlpnError | None = None
    seconds: float = 0.0


def decode_task(stages: Stages[T, D, A, W], task: T) -> Job[T, D, A, W]:
    """A task's job, with what came off the disk, or its error."""
    job: Job[T, D, A, W] = Job(task)
    with _work_on(job):
        job.decoded = stages.decode(task)
    return job


def infer_jobs(stages: Stages[T, D, A, W], jobs: Sequence[Job[T, D, A, W]]) -> None:
    """Give every job of a batch its answer, or its error; where one of several is to blame, the others are answered."""
    started = time.perf_counter()
    try:
        answers = stages.infer([job.decoded for job in jobs])  # type: ignore[misc]
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this input's, and told
        forget_locals(error)
        known = wrap_exception(error)
        if len(jobs) > 1 and known.code is not ErrorCode.OUT_OF_MEMORY:
            for job in jobs:
                infer_jobs(stages, [job])
            return
        for job in jobs:
            job.error = known
    else:
        for job, answer in zip(jobs, answers, strict=True):
            job.answer = answer
    for job in jobs:
        job.seconds += (time.perf_counter() - started) / len(jobs)


def finish_job(stages: Stages[T, D, A, W], job: Job[T, D, A, W]) -> None:
    """Write a job's answer, and let go of it."""
    assert job.answer is not None
    with _work_on(job):
        job.written = stages.finish(job.task, job.answer)
    job.answer = None


class _work_on:  # noqa: N801 - a context manager, read as a verb
    """Time what is done for a job, and make what goes wrong its error."""

    def __init__(self, job: Job[Any, Any, Any, Any]) -> None:
        self._job = job

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._job.seconds += time.perf_counter() - self._started
        if isinstance(error, Exception):
            forget_locals(error)
            self._job.error = wrap_exception(error)
            return True
        return False
