"""The base of every format, and the parts that several of them share."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from glpn_cli.depth_files.record import PREFIX, Record
from glpn_cli.errors import ErrorCode, InputError, OutputError, code_of, reason_of
from glpn_cli.geometry import make_camera
from glpn_cli.images.formats import check_pixels
from glpn_cli.options import MAX_PIXELS
from glpn_cli.prediction import DepthKind, DepthMap, Intrinsics, Provenance, Result, UncertaintyMap

_PIECE_BYTES = 1 << 16

# Greys of more bits than this may be depth.
DEEPEST_GREY_BITS = 8

# Renderers write 1e10 where a ray meets nothing, others inf or the largest float.
_NOTHING_FROM = 1e9
# What a float of 16 bits has for both, and what is left of 65535 in a file of floats.
_LARGEST_HALF, _LARGEST_UINT16 = 65504, 65535


@dataclass(frozen=True, eq=False)
class StoredDepth:
    """A depth map that came from a file.

    record:    what the file says about itself; None where it says nothing
    format:    the word of the format that it is in
    not_depth: pixels with a number that is no depth, in files of others: see `count_not_depth`
    is_float:  whether it is a file of others that holds floats, which no scale divides
    """

    depth: DepthMap
    record: Record | None
    format: str
    not_depth: int = 0
    is_float: bool = False

    def require_whole_numbers(self) -> None:
        """Raise InputError for floats of others: a scale that was asked for changes nothing in them."""
        if self.is_float:
            raise InputError(
                "--depth-scale is for whole numbers, and the file holds floats, which are taken as they are",
                hint="Leave it out where they are metres; else divide them first: numpy.save(path, depth / 1000).",
                code=ErrorCode.UNSUPPORTED,
            )

    @property
    def camera(self) -> Intrinsics | None:
        """The camera that the file tells of; None where it does not."""
        record = self.record
        if record is None or record.focal_px is None:
            return None
        source = "assumed" if record.focal_source == "assumed" else "file"
        if record.cloud is not None and record.cloud.camera is not None:
            return replace(record.cloud.camera, source=source)
        if record.intrinsics is not None:
            return record.intrinsics
        return make_camera(record.focal_px, self.depth.size, source=source)


class EncodedFile(NamedTuple):
    """The bytes of a file, and the record in them; None for formats without record."""

    data: bytes
    record: Record | None = None


class Guess(StrEnum):
    """What the pixels of a file look like.

    DEPTH      one float a pixel, which no photograph has
    AMBIGUOUS  greys of more than 8 bits: depth from a sensor or a program, or a photograph
    PICTURE    everything else
    """

    DEPTH = "depth"
    AMBIGUOUS = "ambiguous"
    PICTURE = "picture"


@dataclass(frozen=True)
class Format:
    """A format: how its files are recognised, peeked at, read and written. By default it holds floats and is not read.

    format:         the word of `--format`
    extension:      of its files, with the dot
    map:            the `{map}` of file names: depth, color, gray
    carries_record: whether the file says what it is; where not, only its presence can be checked
    own_marks:      (bytes, offset) that files of ours begin with; one of them is enough

    Reading begins with a file's first bytes, `head`: 256 tell whether it is ours, 16 kB hold the record.
    """

    format: ClassVar[str]
    extension: ClassVar[str]
    map: ClassVar[str] = "depth"
    carries_record: ClassVar[bool] = True
    own_marks: ClassVar[tuple[tuple[bytes, int], ...]] = ()

    @classmethod
    def sniff(cls, head: bytes) -> bool:  # noqa: ARG003 - the others look at it
        """Whether a file is of this format."""
        return False

    @classmethod
    def is_own(cls, head: bytes) -> bool:
        """Whether a file is of this format, and ours."""
        return cls.sniff(head) and any(head.startswith(mark, at) for mark, at in cls.own_marks)

    @classmethod
    def is_depth(cls, head: bytes) -> bool:
        """Whether a file of this format is taken for depth without being asked: where its record says so."""
        return cls.is_own(head) and cls.peek(head).get(PREFIX + "map") == "depth"

    @classmethod
    def guess(cls, source: Path | bytes, head: bytes) -> Guess:  # noqa: ARG003
        """What a file of this format without a record holds, by how its pixels are stored.

        source: a path, or the file's bytes, where the first of them, `head`, do not tell
        """
        return Guess.PICTURE

    @classmethod
    def peek(cls, head: bytes) -> Mapping[str, str]:  # noqa: ARG003
        """The text of the record, without a pixel; empty where there is none."""
        return {}

    @classmethod
    def ends_whole(cls, head: bytes, tail: bytes, length: int) -> bool:  # noqa: ARG003
        """Whether one of our files of so many bytes is not cut short, as far as its first and last bytes tell."""
        return True

    @classmethod
    def decode(cls, data: bytes, *, depth_scale: float | None, kind: DepthKind, max_pixels: int) -> StoredDepth:
        """Read a file; what is asked is as of `read_depth`. Raises InputError."""
        array, text = cls.read_array(data, max_pixels)
        record = Record.from_text(text)
        if record is None:
            depth = _depth_from_array(without_largest(array), kind=kind, depth_scale=depth_scale)
            return StoredDepth(depth, None, cls.format, count_not_depth(array), array.dtype.kind == "f")
        if record.map in ("uncertainty", "normals"):
            raise InputError(
                f"this is a map of {record.map}, not of depth",
                hint="Give the depth map that was written beside it.",
                code=ErrorCode.UNSUPPORTED,
            )
        kind, scale = record.depth_kind, record.depth_scale
        record.check_pixels(array)
        depth = _depth_from_array(array, kind=kind, limit_m=record.limit_m, depth_scale=scale)
        return StoredDepth(depth, record, cls.format)

    @classmethod
    def read_array(cls, data: bytes, max_pixels: int) -> tuple[NDArray[Any], Mapping[str, str]]:
        """The stored numbers, and the text of the record. Raises InputError."""
        raise NotImplementedError

    def check(self, kind: DepthKind, limit_m: float | None) -> None:
        """Refuse, before anything is computed, depths that the format cannot hold (UsageError)."""

    def expect(self, source: str, *, kind: DepthKind, provenance: Provenance | None) -> Record | None:
        """The record of a file written now for `source`, as far as `Record.differences` asks; None without record.

        provenance: as far as it is known before the network runs
        """
        return self.expect_depth(source, kind=kind, provenance=provenance) if self.carries_record else None

    def expect_depth(self, source: str, *, kind: DepthKind, provenance: Provenance | None) -> Record:
        """The record of a file of depths written now."""
        limit_m = provenance.limit_m if provenance and kind.is_metric else None
        return Record(self.format, self.map, kind, source, limit_m, provenance=provenance)

    def depth_record(self, result: Result, *, depth_scale: float | None = None) -> Record:
        """The record of a file of a result's depths."""
        return Record.of_result(result, depth_of(result), format=self.format, map=self.map, depth_scale=depth_scale)

    def encode(self, result: Result) -> EncodedFile:
        """The file and its record. Raises OutputError (code RANGE) where the format cannot hold a value."""
        raise NotImplementedError


class ValuesOnly(Format):
    """A format of numbers, which hold depth whatever wrote them; no record beside them.

    signature: what its files begin with
    """

    carries_record: ClassVar[bool] = False
    signature: ClassVar[re.Pattern[bytes]]

    @classmethod
    def sniff(cls, head: bytes) -> bool:
        """Whether a file is of this format."""
        return cls.signature.match(head) is not None

    @classmethod
    def is_depth(cls, head: bytes) -> bool:
        """Always."""
        return cls.sniff(head)


def depth_of(result: Result) -> DepthMap:
    """The result's depth map. Raises OutputError where it is no depth."""
    if isinstance(result.prediction, DepthMap):
        return result.prediction
    raise OutputError("labels are not depths: this format cannot hold them", code=ErrorCode.UNSUPPORTED)


def with_holes(depth: DepthMap | UncertaintyMap) -> NDArray[np.float32]:
    """The values with NaN wherever nothing is known, little-endian float32 (H, W), contiguous."""
    if depth.valid is None:
        return np.ascontiguousarray(depth.values, dtype="<f4")
    return np.where(depth.valid, depth.values, np.float32(np.nan)).astype("<f4", copy=False)


def _depth_from_array(
    array: NDArray[Any], *, kind: DepthKind, limit_m: float | None = None, depth_scale: float | None = None
) -> DepthMap:
    """A depth map of an array that somebody stored: (H, W), or (1, H, W) or (H, W, 1).

    Floats are taken as they are; integers need `depth_scale`, their units per metre. Raises InputError.
    """
    while array.ndim > 2 and 1 in (array.shape[0], array.shape[-1]):
        array = array[0] if array.shape[0] == 1 else array[..., 0]
    if array.ndim != 2 or not array.size or array.dtype.kind not in "fiu":
        shape = "x".join(map(str, array.shape)) or "a single value"
        raise InputError(f"the array is {shape} {array.dtype.name}; a depth map is H x W numbers")
    if array.dtype.kind != "f":
        array = array / need_scale(depth_scale, array.dtype.name)
    with np.errstate(over="ignore"):
        return depth_from_values(array.astype(np.float32, copy=False), kind=kind, limit_m=limit_m)


def depth_from_values(values: NDArray[np.float32], *, kind: DepthKind, limit_m: float | None) -> DepthMap:
    """A depth map of stored floats, float32 (H, W): what is not above 0 and below 1e9 is a hole."""
    valid = (values > 0) & (values < _NOTHING_FROM)
    limit = limit_m if kind.is_metric else None
    if valid.all():
        return DepthMap(np.ascontiguousarray(values), kind=kind, limit=limit)
    return DepthMap(np.where(valid, values, np.float32(0)), kind=kind, valid=valid, limit=limit)


def without_largest(array: NDArray[Any]) -> NDArray[Any]:
    """Numbers with 0 for the largest there is, which sensors and programs write where nothing is known.

    Of integers of 16 bits and more that is their own largest; of floats, that of those of 16 bits, and 65535.
    """
    if array.dtype.kind == "f":
        is_largest = (array == _LARGEST_HALF) | (array == _LARGEST_UINT16)
        return np.where(is_largest, array.dtype.type(0), array) if is_largest.any() else array
    if array.dtype.kind not in "iu" or array.dtype.itemsize < 2:
        return array
    return np.where(array == np.iinfo(array.dtype).max, array.dtype.type(0), array)


def count_not_depth(array: NDArray[Any]) -> int:
    """How many numbers are no depth, nor the usual holes, 0 and NaN: negative, 1e9 and more, 65535 in 16 bits."""
    if array.dtype.kind == "f":
        is_largest = (array == _LARGEST_HALF) | (array == _LARGEST_UINT16)
        return int(np.count_nonzero((array < 0) | (array >= _NOTHING_FROM) | is_largest))
    return int(np.count_nonzero((array < 0) | (without_largest(array) != array)))


def need_scale(depth_scale: float | None, stored_as: str) -> float:
    """The scale of integers that do not say their own. Raises InputError telling how to say it."""
    if depth_scale is None:
        raise InputError(
            f"the file holds {stored_as} numbers and does not say how many of them are a metre",
            hint="Say it with --depth-scale: 1000 for millimetres, 256 for KITTI, 5000 for TUM.",
            code=ErrorCode.UNSUPPORTED,
        )
    return depth_scale


def read_contents(source: str | Path | bytes, *, max_pixels: int = MAX_PIXELS) -> bytes:
    """All bytes. Raises InputError where they cannot be read, or are too many for a map of `max_pixels`."""
    if isinstance(source, bytes):
        return source
    most = 8 * max_pixels + (1 << 20)  # a float64 a pixel
    data = read_head(source, most + 1)
    if len(data) > most:
        raise InputError("the file is too large for a depth map", code=ErrorCode.TOO_LARGE)
    return data


def read_head(source: str | Path | bytes, count: int) -> bytes:
    """The first `count` bytes; fewer only where there are no more. Raises InputError."""
    if isinstance(source, bytes):
        return source[:count]
    pieces: list[bytes] = []
    try:
        with Path(source).open("rb", buffering=0) as file:
            # Room for what is asked for is set aside before it is read: no more than there is to come.
            size = os.fstat(file.fileno()).st_size
            while count > 0 and (piece := file.read(min(count, max(size, _PIECE_BYTES)))):
                pieces.append(piece)
                count, size = count - len(piece), size - len(piece)
    except OSError as error:
        raise InputError(f"the file cannot be read: {reason_of(error)}", code=code_of(error)) from error
    return b"".join(pieces)


def read_tail(path: Path) -> tuple[bytes, int]:
    """The last bytes of a file, 64 where there are as many, and its length. Raises InputError."""
    try:
        with path.open("rb") as file:
            length = file.seek(0, os.SEEK_END)
            file.seek(max(0, length - 64))
            return file.read(), length
    except OSError as error:
        raise InputError(f"the file cannot be read: {reason_of(error)}", code=code_of(error)) from error


def check_size(height: int, width: int, max_pixels: int) -> None:
    """Raise InputError for a size that is none, or with more than `max_pixels`."""
    if height < 1 or width < 1:
        raise InputError(f"the file is damaged: its size is {width}x{height}")
    check_pixels((height, width), max_pixels, label="the map")
