"""Batches for training: from positions in the endless row of pictures to tensors, read ahead by worker processes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context

import numpy as np
import torch
from torch import Tensor

from glpn_cli.data.augment import Augmentation, augment
from glpn_cli.data.samples import Sample, SampleSource, index_at, read_ahead
from glpn_cli.errors import ErrorCode, InputError, StoppedError
from glpn_cli.process_pool.worker import follow_parent

_AUGMENT_STREAM = 1
"""Keeps the augmentation's random numbers apart from those of anything else with the same seed."""
_MOST_BROKEN = 5


@dataclass(frozen=True)
class BatchRequest:
    """One step's pictures; the same request and source give the same batch in any process.

    positions: in the row of pictures.
    size:      (h, w).
    limit_m:   the network's largest depth; the loss ignores what lies beyond.
    focal_px:  the focal length, at `size`, that the network's depths belong to; None leaves depths as they are.
    """

    positions: tuple[int, ...]
    size: tuple[int, int]
    augmentation: Augmentation
    limit_m: float
    focal_px: float | None
    seed: int


@dataclass(frozen=True, eq=False)
class Batch:
    """The pictures of one process in one step.

    rgb:     uint8 (B, h, w, 3).
    depth:   float32 (B, h, w), metres, 0 where unknown.
    skipped: a message for each picture that could not be used.
    """

    rgb: Tensor
    depth: Tensor
    skipped: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rgb)

    @classmethod
    def read(cls, source: SampleSource, request: BatchRequest) -> Batch:
        """Read and augment the pictures of a request; leave out and name those that cannot be used."""
        samples: list[Sample] = []
        skipped: list[str] = []
        for position in request.positions:
            try:
                sample = source.read(index_at(position, length=source.length, seed=request.seed))
            except InputError as error:
                skipped.append(error.message)
                continue
            sample = augment(
                sample,
                size=request.size,
                how=request.augmentation,
                limit_m=request.limit_m,
                focal_px=request.focal_px,
                rng=np.random.default_rng([request.seed, position, _AUGMENT_STREAM]),
            )
            known = (sample.depth > 0) & (sample.depth < request.limit_m)
            if not known.any():
                skipped.append(f"{sample.name}: the crop has no pixel of known depth under {request.limit_m:g} m")
                continue
            samples.append(replace(sample, depth=np.where(known, sample.depth, np.float32(0))))
        h, w = request.size
        rgb = np.stack([s.rgb for s in samples]) if samples else np.zeros((0, h, w, 3), np.uint8)
        depth = np.stack([s.depth for s in samples]) if samples else np.zeros((0, h, w), np.float32)
        return cls(torch.from_numpy(rgb), torch.from_numpy(depth), tuple(skipped))


class Feed:
    """Batches in order, read ahead by `workers` processes; with 0 each is read when it is needed.

    A batch whose worker died is read here, and a new worker is started: a signal to all processes of a run, or a system
    short of memory, costs time and no picture. Raises StoppedError where workers keep dying.
    """

    def __init__(self, source: SampleSource, *, workers: int) -> None:
        self.source = source
        self.workers = workers
        self._pool: ProcessPoolExecutor | None = None
        self._broken = 0

    def batches(self, requests: Iterable[BatchRequest]) -> Iterator[Batch]:
        """One batch for each request."""
        for request, reading in read_ahead(requests, self._submit, ahead=2 * self.workers):
            batch = None
            if reading is not None:
                with suppress(BrokenProcessPool):
                    batch = reading.result()
            yield Batch.read(self.source, request) if batch is None else batch

    def close(self) -> None:
        """End the workers, and drop the batches that they had read ahead."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def _submit(self, request: BatchRequest) -> Future[Batch] | None:
        """Have a worker read a batch; None where there are no workers."""
        if self.workers == 0:
            return None
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self.workers, mp_context=get_context("spawn"), initializer=_start_worker, initargs=(self.source,)
            )
        try:
            return self._pool.submit(_read_in_worker, request)
        except BrokenProcessPool as error:
            self.close()
            self._broken += 1
            if self._broken > _MOST_BROKEN:
                raise StoppedError(
                    "the processes that read pictures keep dying",
                    hint="Go on from the last save by --resume, with fewer --workers.",
                    code=ErrorCode.CRASH,
                ) from error
            return self._submit(request)


_source: SampleSource | None = None


def _start_worker(source: SampleSource) -> None:
    """Make this process a worker of the one that started it."""
    global _source  # noqa: PLW0603 - a worker has one source, sent once
    follow_parent()
    torch.set_num_threads(1)
    _source = source


def _read_in_worker(request: BatchRequest) -> Batch:
    assert _source is not None
    return Batch.read(_source, request)
