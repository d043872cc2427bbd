"""Batches for the loop: from a position in the endless row of pictures to tensors, read ahead by workers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context

import numpy as np
import torch
from torch import Tensor

from glpn_cli.data.augment import Augmentation, augment
from glpn_cli.data.samples import Sample, SampleSource, index_at
from glpn_cli.errors import ErrorCode, InputError, StoppedError
from glpn_cli.process_pool import follow_parent

_AUGMENT_STREAM = 1  # keeps the augmentation's random numbers apart from those of anything else with the same seed
_MOST_BROKEN = 5


@dataclass(frozen=True)
class Recipe:
    """What becomes of the pictures of one step; the same recipe, source and position give the same batch anywhere.

    size:     (h, w).
    limit_m:  the network's largest depth; what lies beyond is unknown to the loss.
    focal_px: the focal length, at `size`, that the network's depths belong to; None leaves depths as they are.
    """

    size: tuple[int, int]
    augmentation: Augmentation
    limit_m: float
    focal_px: float | None
    seed: int


Wanted = tuple[list[int], Recipe]
"""Positions in the row of pictures, and what becomes of those."""


@dataclass(frozen=True, eq=False)
class Batch:
    """What one process sees in one step.

    rgb:     uint8 (B, h, w, 3).
    depth:   float32 (B, h, w), metres, 0 where unknown.
    skipped: why each picture that is missing here is missing.
    """

    rgb: Tensor
    depth: Tensor
    skipped: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rgb)


def read_batch(source: SampleSource, positions: list[int], recipe: Recipe) -> Batch:
    """Read and augment the pictures at `positions`; what cannot be used is left out and named."""
    samples: list[Sample] = []
    skipped: list[str] = []
    for position in positions:
        try:
            sample = source.read(index_at(position, length=source.length, seed=recipe.seed))
        except InputError as error:
            skipped.append(error.message)
            continue
        rng = np.random.default_rng([recipe.seed, position, _AUGMENT_STREAM])
        sample = augment(
            sample,
            size=recipe.size,
            how=recipe.augmentation,
            limit_m=recipe.limit_m,
            focal_px=recipe.focal_px,
            rng=rng,
        )
        known = (sample.depth > 0) & (sample.depth < recipe.limit_m)
        if not known.any():
            skipped.append(f"{sample.name}: the crop has no pixel of known depth under {recipe.limit_m:g} m")
            continue
        samples.append(replace(sample, depth=np.where(known, sample.depth, np.float32(0))))
    h, w = recipe.size
    rgb = np.stack([s.rgb for s in samples]) if samples else np.zeros((0, h, w, 3), np.uint8)
    depth = np.stack([s.depth for s in samples]) if samples else np.zeros((0, h, w), np.float32)
    return Batch(torch.from_numpy(rgb), torch.from_numpy(depth), tuple(skipped))


class Feed:
    """Batches in order, read ahead by `workers` processes; 0 reads each when it is wanted.

    What a worker that died was to read is read here, and others take its place: a signal to all processes of a run, or
    a system short of memory, costs time and no picture. Raises StoppedError where they keep dying.
    """

    def __init__(self, source: SampleSource, *, workers: int) -> None:
        self.source = source
        self.workers = workers
        self._pool: ProcessPoolExecutor | None = None
        self._broken = 0

    def batches(self, wanted: Iterator[Wanted]) -> Iterator[Batch]:
        """One batch for each that is wanted."""
        waiting: deque[tuple[Wanted, Future[Batch] | None]] = deque()
        for each in wanted:
            waiting.append((each, self._submit(each)))
            if len(waiting) > 2 * self.workers:
                yield self._receive(*waiting.popleft())
        while waiting:
            yield self._receive(*waiting.popleft())

    def close(self) -> None:
        """End the workers; what they had read ahead is dropped."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def _submit(self, wanted: Wanted) -> Future[Batch] | None:
        """Have a batch read by a worker; None where there are none."""
        if self.workers == 0:
            return None
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self.workers, mp_context=get_context("spawn"), initializer=_start_worker, initargs=(self.source,)
            )
        try:
            return self._pool.submit(_read_in_worker, *wanted)
        except BrokenProcessPool as error:
            self.close()
            self._broken += 1
            if self._broken > _MOST_BROKEN:
                raise StoppedError(
                    "the processes that read pictures keep dying",
                    hint="Go on from the last save by --resume, with fewer --workers.",
                    code=ErrorCode.CRASH,
                ) from error
            return self._submit(wanted)

    def _receive(self, wanted: Wanted, reading: Future[Batch] | None) -> Batch:
        if reading is not None:
            with suppress(BrokenProcessPool):
                return reading.result()
        return read_batch(self.source, *wanted)


_source: SampleSource | None = None


def _start_worker(source: SampleSource) -> None:
    """Make this process a worker of the one that started it."""
    global _source  # noqa: PLW0603 - a worker has one source, sent once
    follow_parent()
    torch.set_num_threads(1)
    _source = source


def _read_in_worker(positions: list[int], recipe: Recipe) -> Batch:
    assert _source is not None
    return read_batch(_source, positions, recipe)
