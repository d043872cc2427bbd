"""Uncertainty: the standard deviation of several answers, as float32 TIFF in the map's own unit, and painted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from glpn_cli.colormaps import paint
from glpn_cli.colormaps.colorbar import add_colorbar
from glpn_cli.depth_files.base import (
    EncodedFile,
    Format,
    depth_of,
    read_contents,
    with_holes,
)
from glpn_cli.depth_files.png import encode_png
from glpn_cli.depth_files.record import UNCERTAINTY, Record, limit_of, round_for_people
from glpn_cli.depth_files.styles import Painted
from glpn_cli.depth_files.tiff import Tiff, encode_tiff
from glpn_cli.errors import ErrorCode, InputError, OutputError
from glpn_cli.options import MAX_PIXELS
from glpn_cli.prediction import DepthKind, DepthMap, Result, UncertaintyMap


class Uncertainty(Format):
    """The standard deviation of several answers at every pixel, as float TIFF, NaN where nothing is known."""

    format: ClassVar[str] = "tiff"
    extension: ClassVar[str] = ".tiff"
    map: ClassVar[str] = UNCERTAINTY

    def encode(self, result: Result) -> EncodedFile:
        """The TIFF file. Raises OutputError for a result without uncertainty."""
        depth = depth_of(result)
        if result.uncertainty is None:
            raise OutputError("the result has no uncertainty", code=ErrorCode.INTERNAL)
        uncertainty = UncertaintyMap(result.uncertainty, depth.kind, depth.valid)
        record = replace(
            Record.of_result(result, depth, format=self.format, map=self.map),
            min_max=round_for_people(uncertainty.min_max()),
        )
        values = with_holes(uncertainty)
        record = record.with_pixels(values)
        return EncodedFile(encode_tiff(values, text=record.to_text()), record)


class UncertaintyColor(Painted):
    """The same painted: warm (or bright) where the answers lie far apart, on a linear scale with a bar in metres."""

    format: ClassVar[str] = "color"
    map: ClassVar[str] = "color"

    def check(self, kind: DepthKind, limit_m: float | None) -> None:  # noqa: ARG002
        """Refuse a range that there is not (UsageError)."""
        self.look.range.check(_PAINTED_AS, None)

    def encode(self, result: Result) -> EncodedFile:
        """The PNG file. Raises OutputError for what is no uncertainty."""
        uncertainty = result.prediction
        if not isinstance(uncertainty, UncertaintyMap):
            raise OutputError("this is no map of uncertainty", code=ErrorCode.UNSUPPORTED)
        shown = DepthMap(_above_zero(uncertainty.values), kind=_PAINTED_AS, valid=uncertainty.valid)
        look, ends = self.look, self.look.range.resolve(shown)
        # Small values are cold: the other way round than depth.
        canvas = paint(shown, range=ends, colormap=look.colormap, invert=not look.invert)
        if look.colorbar:
            unit = uncertainty.kind.unit or ""
            canvas = add_colorbar(
                canvas, range=ends, colormap=look.colormap, invert=not look.invert, kind=_PAINTED_AS, unit=unit
            )
        record = Record(
            format=self.format,
            map=self.map,
            kind=uncertainty.kind,
            source=result.source.name,
            limit_m=limit_of(result.provenance, uncertainty.kind),
            min_max=round_for_people(uncertainty.min_max()),
            provenance=result.provenance,
            look=look,
            painted=(ends.near, ends.far),
        )
        return EncodedFile(encode_png(canvas, text=record.to_text()), record)


def read_uncertainty(source: Path | bytes, *, max_pixels: int = MAX_PIXELS) -> tuple[UncertaintyMap, Record]:
    """Read a map of uncertainty that we wrote, from a file or its bytes. Raises InputError for whatever is not one."""
    data = read_contents(source, max_pixels=max_pixels)
    values, text = Tiff.read_array(data, max_pixels) if Tiff.sniff(data) else (np.empty(0), {})
    record = Record.from_text(text)
    if record is None or record.map != UNCERTAINTY or values.ndim != 2:
        raise InputError("this is no map of uncertainty that glpn wrote", code=ErrorCode.UNSUPPORTED)
    record.check_pixels(values)
    valid = np.isfinite(values) & (values >= 0)
    known = np.where(valid, values, 0).astype(np.float32)
    return UncertaintyMap(known, record.depth_kind, None if valid.all() else valid), record


# Spreads go linearly, and their colours ask nothing else of their kind.
_PAINTED_AS = DepthKind.AFFINE


def _above_zero(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Answers that agree exactly are as good as a millionth apart, and colours need numbers > 0."""
    return np.maximum(values, np.float32(1e-6))
