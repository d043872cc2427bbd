"""A picture with its depth, where it comes from, the order in which training sees it, and reading ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from glpn_cli.images import ImageSource
from glpn_cli.prediction import Intrinsics

Item = TypeVar("Item")
Taken = TypeVar("Taken")


@dataclass(frozen=True, eq=False)
class Sample:
    """One picture with the depth of its pixels.

    rgb:        uint8 (H, W, 3).
    depth:      float32 (H, W), metres along the optical axis; 0 where nothing is known.
    focal_px:   focal length in pixels of this picture, None where nobody said.
    name:       what to call it in messages.
    uncut:      (H, W) before it was cut to KITTI's benchmark window; None where it was not.
    source:     the file of the picture; None where it was rendered.
    intrinsics: the whole camera, for points in space; None where nobody said, or the picture was cut for training.
    """

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    focal_px: float | None = None
    name: str = ""
    uncut: tuple[int, int] | None = None
    source: ImageSource | None = None
    intrinsics: Intrinsics | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        height, width = self.depth.shape
        return height, width


class SampleSource(Protocol):
    """Something that answers "the i-th picture, please", the same each time it is asked.

    It crosses into worker processes, so it must survive pickling.
    """

    @property
    def name(self) -> str:
        """What it is, in a word or a path; a resumed run compares it."""

    @property
    def length(self) -> int | None:
        """How many pictures there are; None where they never end."""

    def name_of(self, index: int) -> str:
        """What picture `index` is called, without reading it."""

    def read(self, index: int) -> Sample:
        """Picture `index`. Raises InputError where it cannot be used."""


def index_at(position: int, *, length: int | None, seed: int) -> int:
    """Which picture training sees at `position`, the number of pictures that all processes have seen before it.

    An endless source is read in its own order. A finite one is shuffled anew for every pass over it; position alone
    decides, so a run can be picked up anywhere.
    """
    if length is None:
        return position
    epoch, place = divmod(position, length)
    return int(_permutation(length, seed, epoch)[place])


_latest: tuple[tuple[int, int, int], NDArray[np.int64]] | None = None


def _permutation(length: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order of one pass; the latest is kept, since positions come one after the other."""
    global _latest  # noqa: PLW0603 - a cache of one
    key = (length, seed, epoch)
    if _latest is None or _latest[0] != key:
        _latest = (key, np.random.default_rng([seed, epoch]).permutation(length))
    return _latest[1]


def read_ahead(items: Iterable[Item], submit: Callable[[Item], Taken], *, ahead: int) -> Iterator[tuple[Item, Taken]]:
    """Submit the items in their order, up to `ahead` before they are asked for; give each with what its submission was.

    submit: starts the reading of an item, mostly in a pool, whose future is then given back here.
    """
    waiting: deque[tuple[Item, Taken]] = deque()
    for item in items:
        waiting.append((item, submit(item)))
        if len(waiting) > ahead:
            yield waiting.popleft()
    while waiting:
        yield waiting.popleft()
