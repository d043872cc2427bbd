"""Which tasks go through the network next, and how many together: as many of one group as do it good and fit.

Where memory runs out, less goes through the network at once: smaller batches, then one lane; only a task that does not
fit alone has that for its error.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from glpn_cli.errors import ErrorCode
from glpn_cli.pipeline.jobs import Job
from glpn_cli.pipeline.stages import Width

T = TypeVar("T")  # what to do
D = TypeVar("D")  # what came off the disk
A = TypeVar("A")  # what the network answered
W = TypeVar("W")  # what was written


@dataclass(frozen=True)
class Batch(Generic[T, D, A, W]):
    """Jobs that are inferred together.

    lanes: how many batches, this one among them, may have shared the memory with it
    """

    jobs: list[Job[T, D, A, W]]
    lanes: int


class Batches(Generic[T, D, A, W]):
    """Decoded jobs that wait for the network or are in it. For the main thread alone.

    group: what jobs must have in common to share a batch; None for one that needs no company
    """

    def __init__(self, group: Callable[[D], Hashable]) -> None:
        self.width = Width()
        self._group = group
        self._waiting: deque[Job[T, D, A, W]] = deque()
        self._begun = 0  # batches in the network
        self._inferred = 0  # jobs in them

    def __len__(self) -> int:
        """Jobs that wait or are being inferred."""
        return len(self._waiting) + self._inferred

    @property
    def is_any_waiting(self) -> bool:
        """Whether a job waits for the network."""
        return bool(self._waiting)

    def add(self, job: Job[T, D, A, W]) -> None:
        """A job that has been decoded."""
        self._waiting.append(job)

    def begin(self, *, is_all: bool) -> Batch[T, D, A, W] | None:
        """The batch to infer now; None while all lanes are taken, or a fuller batch may come.

        is_all: no other job comes before one of these has been inferred
        """
        if not self._waiting or self._begun >= self.width.lanes:
            return None
        jobs = self._choose(is_all=is_all)
        if not jobs:
            return None
        for job in jobs:
            self._waiting.remove(job)
        self._begun += 1
        self._inferred += len(jobs)
        return Batch(jobs, self.width.lanes)

    def end(self, batch: Batch[T, D, A, W]) -> list[Job[T, D, A, W]]:
        """The jobs of a batch that the network is done with: they have their answer, or their error.

        What did not fit into memory waits again, as long as there is less to try at once.
        """
        self._begun -= 1
        self._inferred -= len(batch.jobs)
        too_large = [job for job in batch.jobs if job.error is not None and job.error.code is ErrorCode.OUT_OF_MEMORY]
        if too_large and self._narrow(batch):
            for job in reversed(too_large):
                job.error = None
                self._waiting.appendleft(job)
        return [job for job in batch.jobs if job.error is not None or job.answer is not None]

    def _choose(self, *, is_all: bool) -> list[Job[T, D, A, W]]:
        """Of those that wait, the first that needs no company, else the first and as many of its group as go along."""
        most = self.width.batch_size
        if most == 1:
            return [self._waiting[0]]
        groups = [self._group(job.decoded) for job in self._waiting]  # type: ignore[arg-type]
        if None in groups:
            return [self._waiting[groups.index(None)]]
        jobs = [job for job, group in zip(self._waiting, groups, strict=True) if group == groups[0]]
        return jobs[:most] if is_all or len(jobs) >= most else []

    def _narrow(self, batch: Batch[T, D, A, W]) -> bool:
        """Take less at once from now on than this batch and what was beside it; says whether there is less."""
        size = len(batch.jobs)
        if size > 1:
            self.width = replace(self.width, batch_size=min(self.width.batch_size, size // 2))
        elif batch.lanes > 1:
            self.width = replace(self.width, lanes=1)
        return size > 1 or batch.lanes > 1
