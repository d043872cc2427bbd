"""Batches for the loop: from a position in the endless row of pictures to tensors, read ahead by workers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
import torch
from torch import Tensor

from glpn_cli.data.augment import Augmentation, augment
from glpn_cli.data.samples import Sample, SampleSource, index_at
from glpn_cli.errors import InputError

_AUGMENT_STREAM = 1  # keeps the augmentation's random numbers apart from those of anything else with the same seed


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
        if not (sample.depth > 0).any():
            skipped.append(f"{sample.name}: the crop has no pixel of known depth")
            continue
        samples.append(sample)
    h, w = recipe.size
    rgb = np.stack([s.rgb for s in samples]) if samples else np.zeros((0, h, w, 3), np.uint8)
    depth = np.stack([s.depth for s in samples]) if samples else np.zeros((0, h, w), np.float32)
    depth = np.where(depth < recipe.limit_m, depth, np.float32(0))
    return Batch(torch.from_numpy(rgb), torch.from_numpy(depth), tuple(skipped))


class Feed:
    """Batches in order, read ahead by `workers` processes; 0 reads each when it is wanted."""

    def __init__(self, source: SampleSource, *, workers: int) -> None:
        self.source = source
        self.ahead = 2 * workers
        self._pool = (
            ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start_worker, initargs=(source,))
            if workers
            else None
        )

    def batches(self, wanted: Iterator[tuple[list[int], Recipe]]) -> Iterator[Batch]:
        """One batch for every (positions, recipe) that is wanted."""
        if self._pool is None:
            for positions, recipe in wanted:
                yield read_batch(self.source, positions, recipe)
            return
        waiting: deque[Future[Batch]] = deque()
        for positions, recipe in wanted:
            waiting.append(self._pool.submit(_read_in_worker, positions, recipe))
            if len(waiting) > self.ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def close(self) -> None:
        """End the workers; what they had read ahead is dropped."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


_source: SampleSource | None = None


def _start_worker(source: SampleSource) -> None:
    global _source  # noqa: PLW0603 - a worker has one source, sent once
    torch.set_num_threads(1)
    _source = source


def _read_in_worker(positions: list[int], recipe: Recipe) -> Batch:
    assert _source is not None
    return read_batch(_source, positions, recipe)
