"""Coloured pictures of depth, for people: with a scale in metres, lines, and the picture beside, where asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from glpn_cli.colormaps import PaintRange, add_colorbar, draw_contours, paint, put_side_by_side, resolve_range
from glpn_cli.depth_files.look import Look
from glpn_cli.depth_files.png import encode_png
from glpn_cli.depth_files.record import Record, make_record
from glpn_cli.depth_files.writer import depth_of, expect_painted
from glpn_cli.errors import OutputError
from glpn_cli.prediction import DepthKind, DepthMap, PictureSource, Provenance, Result


@dataclass(frozen=True)
class Color:
    """Depth as an 8-bit RGB PNG, painted as `look` says."""

    look: Look = field(default_factory=Look)

    format: ClassVar[str] = "color"
    extension: ClassVar[str] = ".png"
    map: ClassVar[str] = "color"
    carries_record: ClassVar[bool] = True

    def check(self, kind: DepthKind, limit_m: float | None) -> None:
        """Refuse a range or contours that maps of this kind do not have (UsageError)."""
        self.look.check(kind, limit_m)

    def expect(self, source: str, *, kind: DepthKind, provenance: Provenance | None) -> Record | None:
        """What a file written now for `source` would say."""
        return expect_painted(self, source, kind=kind, provenance=provenance, look=self.look)

    def encode(self, result: Result) -> bytes:
        """The PNG file. The picture is read again only where it stands beside its map."""
        depth = depth_of(result)
        ends = resolve_range(self.look.range, depth)
        record = make_record(
            result, depth, format=self.format, map=self.map, look=self.look, painted=(ends.near, ends.far)
        )
        return encode_png(self._render(result, depth, ends), text=record.to_text())

    def _render(self, result: Result, depth: DepthMap, ends: PaintRange) -> NDArray[np.uint8]:
        look = self.look
        canvas = paint(depth, range=ends, colormap=look.colormap, invert=look.invert)
        if look.contours_m is not None:
            canvas = draw_contours(canvas, depth, every_m=look.contours_m)
        if look.side_by_side:
            canvas = put_beside_picture(result.source, canvas, what="depth map")
        if look.colorbar:
            canvas = add_colorbar(canvas, range=ends, colormap=look.colormap, invert=look.invert, kind=depth.kind)
        return canvas


def put_beside_picture(source: PictureSource, painted: NDArray[np.uint8], *, what: str) -> NDArray[np.uint8]:
    """The picture at the left of what was painted of it, (H, 2 W, 3). Raises OutputError where their sizes differ."""
    picture = source.read_colors()
    if picture.shape != painted.shape:
        raise OutputError(
            f"the picture is {picture.shape[1]}x{picture.shape[0]}, its {what} "
            f"{painted.shape[1]}x{painted.shape[0]}: they do not belong side by side"
        )
    return put_side_by_side(picture, painted)
