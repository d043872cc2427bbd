"""16-bit PNG: metres times a scale, rounded; 0 where nothing is known. What Open3D, KITTI and TUM tools read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from glpn_cli.depth_files.base import (
    EncodedFile,
    Format,
    Guess,
    StoredDepth,
    count_not_depth,
    depth_of,
    need_scale,
    without_largest,
)
from glpn_cli.depth_files.png import END, SIGNATURE, decode_png, encode_png, is_deep_grey, peek_text
from glpn_cli.depth_files.record import PROGRAM, Record, number_text
from glpn_cli.depth_files.styles import depth_of_levels
from glpn_cli.errors import ErrorCode, InputError, OutputError, UsageError
from glpn_cli.prediction import DepthKind, DepthMap, Provenance, Result

_MAX_STORED = 65535
MILLIMETRES = 1000.0  # NYU's convention, to 65.5 m
_KITTI_SCALE = 256.0  # to 256 m, in steps of 4 mm
# Above this many metres the default scale is KITTI's: 65.535 m is all that millimetres can say.
_MILLIMETRES_REACH_M = 65.0
# Values are scaled in float64, this many at a time, so that rounding is exact and memory stays small.
_BLOCK = 1 << 16


def default_scale(limit_m: float | None) -> float:
    """Stored units per metre when nobody asked for others: millimetres, or KITTI's 256 for models that see farther."""
    return _KITTI_SCALE if limit_m is not None and limit_m > _MILLIMETRES_REACH_M else MILLIMETRES


@dataclass(frozen=True)
class Png16(Format):
    """Depth as 16-bit PNG: stored = metres x `depth_scale`, to the nearest whole number; never 0 for a valid pixel.

    It reads every other PNG file of grey pixels too.
    """

    depth_scale: float = MILLIMETRES

    format: ClassVar[str] = "png16"
    extension: ClassVar[str] = ".png"
    # Behind the header, a chunk of 25 bytes, our first text has its length and its type.
    own_marks: ClassVar[tuple[tuple[bytes, int], ...]] = (
        (f"tEXtSoftware\0{PROGRAM} ".encode(), len(SIGNATURE) + 25 + 4),
    )

    def __post_init__(self) -> None:
        check_scale(self.depth_scale)

    @classmethod
    def sniff(cls, head: bytes) -> bool:
        """Whether a file is PNG."""
        return head.startswith(SIGNATURE)

    @classmethod
    def guess(cls, source: Path | bytes, head: bytes) -> Guess:  # noqa: ARG003 - the header comes first
        """Greys of 16 bits may be depth."""
        return Guess.AMBIGUOUS if is_deep_grey(head) else Guess.PICTURE

    @classmethod
    def peek(cls, head: bytes) -> Mapping[str, str]:
        """The text in front of the pixels."""
        return peek_text(head)

    @classmethod
    def ends_whole(cls, head: bytes, tail: bytes, length: int) -> bool:  # noqa: ARG003
        """Whether the last chunk is the one that ends a file."""
        return tail.endswith(END)

    @classmethod
    def decode(cls, data: bytes, *, depth_scale: float | None, kind: DepthKind, max_pixels: int) -> StoredDepth:
        """Read a PNG file of depth, or of grey levels that tell their range. Raises InputError."""
        record = Record.from_text(peek_text(data))
        if record is not None and record.depth_kind and record.map == "color":  # labels are told first
            raise InputError(
                "this is a coloured picture of a depth map, not the map itself",
                hint="Give the depth map that was written beside it, or write one with -f png16.",
                code=ErrorCode.UNSUPPORTED,
            )
        pixels, _ = decode_png(data, max_pixels=max_pixels)
        if pixels.ndim != 2:
            raise InputError("the PNG file holds colours; a depth map holds grey pixels", code=ErrorCode.UNSUPPORTED)
        if record is None:
            if not kind.is_metric:
                raise InputError(
                    f"integer pixels that do not say their range cannot be {kind.value} depth",
                    code=ErrorCode.UNSUPPORTED,
                )
            scale = need_scale(depth_scale, pixels.dtype.name)
            depth = _dequantize(without_largest(pixels), depth_scale=scale, limit_m=None)
            return StoredDepth(depth, None, cls.format, count_not_depth(pixels))
        record.check_pixels(pixels)
        return StoredDepth(decode_levels(pixels, record), record, record.format)

    def check(self, kind: DepthKind, limit_m: float | None) -> None:
        """Refuse depth that is not in metres, and a limit that 16 bits cannot hold at this scale (UsageError).

        Steps larger than all there is are refused too: every depth would become the same, and far beyond the limit.
        """
        if not kind.is_metric:
            raise UsageError(
                f"png16 holds metres, and this is {kind.value} depth, which has no unit",
                hint="Use -f tiff, npz or npy, which hold any numbers, or -f gray16.",
                code=ErrorCode.RANGE,
            )
        if limit_m is not None and round(limit_m * self.depth_scale) > _MAX_STORED:
            raise UsageError(
                f"{limit_m:g} m x {number_text(self.depth_scale)} units per metre does not fit 16 bits "
                f"(the most is {self._reach_m:g} m)",
                hint=f"Use --depth-scale {_fitting_scale(limit_m):g} or less, or -f tiff.",
                code=ErrorCode.RANGE,
            )

        if limit_m is not None and limit_m * self.depth_scale < 1:
            raise UsageError(
                f"{number_text(self.depth_scale)} units per metre are steps of {1 / self.depth_scale:g} m, and the "
                f"model sees to {limit_m:g} m",
                hint=f"Use --depth-scale {_fitting_scale(limit_m):g}, or something near it.",
                code=ErrorCode.RANGE,
            )

    def expect(self, source: str, *, kind: DepthKind, provenance: Provenance | None) -> Record | None:
        """The record of a file written now for `source`."""
        return replace(self.expect_depth(source, kind=kind, provenance=provenance), depth_scale=self.depth_scale)

    def encode(self, result: Result) -> EncodedFile:
        """The PNG file. Raises OutputError where a depth does not fit, or is not in metres."""
        stored = self.quantize(depth_of(result))
        record = self.depth_record(result, depth_scale=self.depth_scale).with_pixels(stored)
        return EncodedFile(encode_png(stored, text=record.to_text()), record)

    def quantize(self, depth: DepthMap) -> NDArray[np.uint16]:
        """The stored numbers, uint16 (H, W): 1 to 65535 where valid, 0 elsewhere. Raises OutputError."""
        if not depth.kind.is_metric:
            hint = "Write it with -f tiff, npz, npy or gray16."
            raise OutputError(
                f"png16 holds metres, and this is {depth.kind.value} depth", hint=hint, code=ErrorCode.RANGE
            )
        min_max = depth.min_max()
        if min_max is not None and round(min_max[1] * self.depth_scale) > _MAX_STORED:
            raise OutputError(
                f"a depth of {min_max[1]:g} m x {number_text(self.depth_scale)} does not fit 16 bits",
                hint=f"Use --depth-scale {_fitting_scale(min_max[1]):g} or less, or -f tiff.",
                code=ErrorCode.RANGE,
            )
        stored = np.empty(depth.values.shape, np.uint16)
        flat, values = stored.reshape(-1), np.ravel(depth.values)
        valid = None if depth.valid is None else np.ravel(depth.valid)
        for start in range(0, flat.size, _BLOCK):
            block = slice(start, start + _BLOCK)
            metres = values[block] if valid is None else np.where(valid[block], values[block], 0)
            scaled = np.multiply(metres, self.depth_scale, dtype=np.float64)
            units = np.maximum(np.rint(scaled, out=scaled), 1, out=scaled)
            flat[block] = units if valid is None else units * valid[block]
        return stored

    @property
    def _reach_m(self) -> float:
        return _MAX_STORED / self.depth_scale


def check_scale(depth_scale: float) -> None:
    """Refuse a scale that is no number of units per metre (UsageError)."""
    if not 0 < depth_scale < math.inf:
        raise UsageError(
            f"--depth-scale {depth_scale:g} makes no sense: it is the stored units per metre",
            hint="Write for example 1000 (millimetres), 256 (KITTI) or 5000 (TUM).",
        )


def decode_levels(levels: NDArray[np.uint8] | NDArray[np.uint16], record: Record) -> DepthMap:
    """The depths (H, W) that stored numbers stand for, by their record. Raises InputError where it makes no sense."""
    if record.map == "gray" and record.painted is not None:
        return depth_of_levels(levels, record)
    if record.depth_scale is None or not record.depth_kind.is_metric:
        raise InputError("its record makes no sense: integer pixels without a scale in metres")
    return _dequantize(levels, depth_scale=record.depth_scale, limit_m=record.limit_m)


def _dequantize(stored: NDArray[np.unsignedinteger], *, depth_scale: float, limit_m: float | None) -> DepthMap:
    """Metres from stored numbers, uint8 or uint16 (H, W): exactly stored / depth_scale, in float32; 0 is a hole."""
    metres = (np.arange(np.iinfo(stored.dtype).max + 1) / depth_scale).astype(np.float32)
    valid = stored > 0
    return DepthMap(metres.take(stored), valid=None if valid.all() else valid, limit=limit_m)


def _fitting_scale(reach_m: float) -> float:
    """The usual scale that holds this many metres, or the largest whole one (or power of ten below one) that does."""
    for usual in (MILLIMETRES, _KITTI_SCALE):
        if reach_m * usual <= _MAX_STORED:
            return usual
    most = _MAX_STORED / reach_m
    return math.floor(most) if most >= 1 else 10.0 ** math.floor(math.log10(most))
