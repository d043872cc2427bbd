"""Pictures with depth, sources of them, the order in which training sees them, reading ahead, and KITTI's window."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from glpn_cli.errors import ErrorCode, InputError
from glpn_cli.images import ImageSource
from glpn_cli.poses import Matrix
from glpn_cli.prediction import Intrinsics

KB_SIZE = (352, 1216)
"""(height, width) that the KITTI benchmark crops every frame to."""

_Item = TypeVar("_Item")
_Submitted = TypeVar("_Submitted")
_Array = TypeVar("_Array", NDArray[np.uint8], NDArray[np.float32], NDArray[np.bool_])


@dataclass(frozen=True, eq=False)
class Sample:
    """One picture with the depth of its pixels.

    rgb:        uint8 (H, W, 3).
    depth:      float32 (H, W), metres along the optical axis; 0 where nothing is known.
    focal_px:   focal length in pixels of this picture, None if unknown.
    name:       for messages.
    uncut:      (H, W) before it was cut to KITTI's benchmark window; None where it was not.
    source:     the file of the picture; None where it was rendered.
    intrinsics: the whole camera, for points in space; None if unknown, or if the picture was cut for training.
    pose:       where the camera stands, float64 (4, 4), see `poses`; None if unknown.
    clip:       the film that the picture is a frame of; pictures of one source that name none are one film.
    """

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    focal_px: float | None = None
    name: str = ""
    uncut: tuple[int, int] | None = None
    source: ImageSource | None = None
    intrinsics: Intrinsics | None = None
    pose: Matrix | None = None
    clip: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        height, width = self.depth.shape
        return height, width

    def kb_cropped(self) -> Sample:
        """Cut a picture with depth and camera to KITTI's window; `uncut` keeps the frame's size. Raises InputError."""
        rgb, depth = kb_crop(self.rgb, what=self.name), kb_crop(self.depth, what=self.name)
        camera = None if self.intrinsics is None else kb_camera(self.intrinsics, self.size)
        return replace(self, rgb=rgb, depth=depth, uncut=self.uncut or self.size, intrinsics=camera)


class SampleSource(Protocol):
    """Pictures by index, the same each time they are read.

    It is sent to worker processes, so it must survive pickling.
    """

    @property
    def name(self) -> str:
        """A word or a path that identifies the data; a resumed run compares it."""

    @property
    def length(self) -> int | None:
        """The number of pictures; None if they never end."""

    def name_of(self, index: int) -> str:
        """The name of picture `index`, without reading it."""

    def read(self, index: int) -> Sample:
        """Read picture `index`. Raises InputError if it cannot be used."""


@dataclass(frozen=True)
class ChangedSource:
    """The pictures of a source, each changed on its way.

    change: a function that survives pickling; it may raise InputError
    """

    source: SampleSource
    change: Callable[[Sample], Sample]

    @property
    def name(self) -> str:
        """That of the source."""
        return self.source.name

    @property
    def length(self) -> int | None:
        """That of the source."""
        return self.source.length

    def name_of(self, index: int) -> str:
        """The name of picture `index`."""
        return self.source.name_of(index)

    def read(self, index: int) -> Sample:
        """Picture `index`, changed."""
        return self.change(self.source.read(index))


@dataclass(frozen=True)
class _JoinedSource:
    """Several finite sources as one: the pictures of the first, then those of the next."""

    parts: tuple[SampleSource, ...]

    @property
    def name(self) -> str:
        """The names of all."""
        return " + ".join(part.name for part in self.parts)

    @property
    def length(self) -> int:
        """The number of pictures of all."""
        return sum(part.length or 0 for part in self.parts)

    def name_of(self, index: int) -> str:
        """The name of picture `index`."""
        part, place = self._find(index)
        return part.name_of(place)

    def read(self, index: int) -> Sample:
        """Read picture `index`."""
        part, place = self._find(index)
        return part.read(place)

    def _find(self, index: int) -> tuple[SampleSource, int]:
        for part in self.parts:
            if index < (part.length or 0):
                return part, index
            index -= part.length or 0
        raise IndexError(index)


def join_sources(sources: Sequence[SampleSource]) -> SampleSource:
    """One source of all pictures; of several, each must be finite."""
    return sources[0] if len(sources) == 1 else _JoinedSource(tuple(sources))


def index_at(position: int, *, length: int | None, seed: int) -> int:
    """The index of the picture that training sees after `position` others, counted over all processes.

    An endless source is read in its own order. A finite one is shuffled anew for every pass. The result depends on the
    position alone, so a run can resume anywhere.
    """
    if length is None:
        return position
    epoch, place = divmod(position, length)
    return int(_permutation(length, seed, epoch)[place])


@lru_cache(maxsize=1)  # positions are consecutive
def _permutation(length: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order of one pass."""
    return np.random.default_rng([seed, epoch]).permutation(length)


def read_ahead(
    items: Iterable[_Item], submit: Callable[[_Item], _Submitted], *, ahead: int
) -> Iterator[tuple[_Item, _Submitted]]:
    """Submit the items in order, up to `ahead` before they are needed; yield each with the result of `submit`.

    submit: starts the reading of an item, usually in a pool, and returns its future.
    """
    waiting: deque[tuple[_Item, _Submitted]] = deque()
    for item in items:
        waiting.append((item, submit(item)))
        if len(waiting) > ahead:
            yield waiting.popleft()
    while waiting:
        yield waiting.popleft()


def kb_crop(array: _Array, *, what: str) -> _Array:
    """Cut the KITTI benchmark's window, 352x1216 at the bottom centre of a frame; such a window stays as it is.

    array: (H, W) or (H, W, 3). Raises InputError naming `what` if the frame is smaller.
    """
    (height, width), (tall, wide) = array.shape[:2], KB_SIZE
    if height < tall or width < wide:
        raise InputError(
            f"{what}: {width}x{height} is smaller than KITTI's {wide}x{tall} window",
            hint="Use KITTI's frames as they were published, or other pictures without its protocol.",
            code=ErrorCode.DATA,
        )
    top, left = height - tall, (width - wide) // 2
    return array[top : top + tall, left : left + wide]


def kb_camera(intrinsics: Intrinsics, size: tuple[int, int]) -> Intrinsics:
    """The camera of a frame of (H, W), in pixels of the window that is cut out of it."""
    (height, width), (tall, wide) = size, KB_SIZE
    return replace(intrinsics, cx=intrinsics.cx - (width - wide) // 2, cy=intrinsics.cy - (height - tall))
