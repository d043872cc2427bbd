"""Painted depth, for people and for tools that take grey pictures.

Coloured pictures come with a scale in metres, lines, and the picture beside, where asked for. In grey ones near is
white and far is black, by inverse depth, as ControlNet and parallax tools expect; those of ours can be read back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from glpn_cli.colormaps import ColorizeOptions, PaintRange, draw_contours, paint
from glpn_cli.depth_files.base import EncodedFile, Format, depth_of
from glpn_cli.depth_files.png import encode_png
from glpn_cli.depth_files.record import Record
from glpn_cli.errors import OutputError
from glpn_cli.prediction import DepthKind, DepthMap, PictureSource, Provenance, Result
from glpn_cli.text import size_text

_SAME = 1e-4
"""Records tell the least and the most in six digits."""

# Kinds whose numbers cannot be inverted: disparity already is, and depth with an unknown shift has no inverse.
_LINEAR = frozenset({DepthKind.DISPARITY, DepthKind.AFFINE, DepthKind.UNKNOWN})


@dataclass(frozen=True)
class Painted(Format):
    """A picture made of depth, as `look` says."""

    look: ColorizeOptions = field(default_factory=ColorizeOptions)

    extension: ClassVar[str] = ".png"

    @property
    def recorded_look(self) -> ColorizeOptions:
        """As much of the look as changes the picture."""
        return self.look

    def expect(self, source: str, *, kind: DepthKind, provenance: Provenance | None) -> Record | None:
        """The record of a file written now for `source`; its range only where it is known before the depths are."""
        ends = self.look.range.ends_for(kind)
        record = self.expect_depth(source, kind=kind, provenance=provenance)
        return replace(record, look=self.recorded_look, painted=None if ends is None else (ends.near, ends.far))

    def painted_record(self, result: Result, ends: PaintRange) -> Record:
        """The record of a result that is painted in a range."""
        return replace(self.depth_record(result), look=self.recorded_look, painted=(ends.near, ends.far))


class Color(Painted):
    """Depth as an 8-bit RGB PNG."""

    format: ClassVar[str] = "color"
    map: ClassVar[str] = "color"

    def check(self, kind: DepthKind, limit_m: float | None) -> None:
        """Refuse a range or contours that maps of this kind do not have (UsageError)."""
        self.look.check(kind, limit_m)

    def encode(self, result: Result) -> EncodedFile:
        """The PNG file. The picture is read again only where it stands beside its map."""
        ends = self.look.range.resolve(depth_of(result))
        record = self.painted_record(result, ends)
        return EncodedFile(encode_png(self.render(result, ends), text=record.to_text()), record)

    def render(self, result: Result, ends: PaintRange) -> NDArray[np.uint8]:
        """The painted map with all that stands beside it, uint8 (H, W, 3). Raises OutputError."""
        look, depth = self.look, depth_of(result)
        look.check_contours(depth.kind)  # again: maps of several kinds may be in one run
        canvas = paint(depth, range=ends, colormap=look.colormap, invert=look.invert)
        if look.contours_m is not None:
            canvas = draw_contours(canvas, depth, every_m=look.contours_m)
        if look.side_by_side:
            canvas = put_beside_picture(result.source, canvas, what="depth map")
        if look.colorbar:
            from glpn_cli.colormaps.colorbar import add_colorbar

            canvas = add_colorbar(canvas, range=ends, colormap=look.colormap, invert=look.invert, kind=depth.kind)
        return canvas


def put_beside_picture(source: PictureSource, painted: NDArray[np.uint8], *, what: str) -> NDArray[np.uint8]:
    """The picture at the left of what was painted of it, (H, 2 W, 3). Raises OutputError where their sizes differ."""
    picture = source.read_colors()
    if picture.shape != painted.shape:
        raise OutputError(
            f"the picture is {size_text(picture.shape)}, its {what} "
            f"{size_text(painted.shape)}: they do not belong side by side"
        )
    return np.concatenate([picture, painted], axis=1)


class Gray(Painted):
    """Depth as an 8-bit grey PNG: 255 at the near end of the range, 1 at the far one, 0 where nothing is known.

    Between the ends it goes by inverse depth: linearly in 1 / metres, and in the numbers of a disparity map themselves.
    """

    format: ClassVar[str] = "gray"
    map: ClassVar[str] = "gray"
    dtype: ClassVar[np.dtype[Any]] = np.dtype(np.uint8)

    def check(self, kind: DepthKind, limit_m: float | None) -> None:
        """Refuse a range that maps of this kind do not have (UsageError)."""
        self.look.range.check(kind, limit_m)

    def encode(self, result: Result) -> EncodedFile:
        """The PNG file."""
        depth = depth_of(result)
        ends = self.look.range.resolve(depth)
        levels = self.quantize(depth, ends)
        record = self.painted_record(result, ends).with_pixels(levels)
        return EncodedFile(encode_png(levels, text=record.to_text()), record)

    def quantize(self, depth: DepthMap, ends: PaintRange) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """The grey levels, uint8 or uint16 (H, W): 1 to the largest where valid, 0 elsewhere."""
        first, last = _levels_of(ends, depth.kind)
        values = depth.values if depth.valid is None else np.where(depth.valid, depth.values, np.float32(1))
        with np.errstate(over="ignore"):  # nearer than a float can invert is as near as it gets
            inverse = values if depth.kind in _LINEAR else np.float32(1) / values
        share = (inverse - np.float32(first)) * np.float32(1 / (last - first))
        np.clip(share, 0, 1, out=share)
        if self.look.invert:
            np.subtract(1, share, out=share)
        share *= np.iinfo(self.dtype).max - 1
        levels: NDArray[np.uint8] | NDArray[np.uint16] = (np.rint(share, out=share) + 1).astype(self.dtype)
        if depth.valid is not None:
            levels[~depth.valid] = 0
        return levels

    @property
    def recorded_look(self) -> ColorizeOptions:
        """The range, and whether it is inverted."""
        return ColorizeOptions(range=self.look.range, colormap="gray", invert=self.look.invert)


class Gray16(Gray):
    """The same in 16 bits: 65535 at the near end, 1 at the far one, 0 where nothing is known."""

    format: ClassVar[str] = "gray16"
    dtype: ClassVar[np.dtype[Any]] = np.dtype(np.uint16)


def depth_of_levels(levels: NDArray[np.uint8] | NDArray[np.uint16], record: Record) -> DepthMap:
    """The depths that grey levels stand for; 0 is a hole, and so is an end of the range where more lay beyond it."""
    assert record.painted is not None
    ends = PaintRange(*record.painted)
    first, last = _levels_of(ends, record.depth_kind)
    most = np.iinfo(levels.dtype).max
    share = (np.arange(most + 1) - 1) / (most - 1)
    if record.look is not None and record.look.invert:
        share = 1 - share
    inverse = first + share * (last - first)
    inverse[0] = first  # a hole; any number but 0
    table = (inverse if record.depth_kind in _LINEAR else 1 / inverse).astype(np.float32)
    valid = levels > 0
    low, high = record.min_max or (0.0, math.inf)
    is_inverted = record.look is not None and record.look.invert
    (least, level_of_least), (largest, level_of_largest) = sorted(
        ((ends.near, 1 if is_inverted else most), (ends.far, most if is_inverted else 1))
    )
    if low < least * (1 - _SAME):
        valid &= levels != level_of_least
    if high > largest * (1 + _SAME):
        valid &= levels != level_of_largest
    return DepthMap(
        table.take(levels),
        kind=record.depth_kind,
        valid=None if valid.all() else valid,
        limit=record.limit_m if record.depth_kind.is_metric else None,
    )


def _levels_of(ends: PaintRange, kind: DepthKind) -> tuple[float, float]:
    """The values of the darkest and the brightest valid level: inverse depth, or the numbers of a linear kind."""
    return (ends.far, ends.near) if kind in _LINEAR else (1 / ends.far, 1 / ends.near)
