"""Labels on disk: a palette PNG whose pixels are the labels, and a picture of them with a legend.

Pixels without a label, the transparent ones of the picture, are 255 (65535 in 16 bits), which data sets and their
scores know as none; palette PNGs show them transparent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from glpn_cli.colormaps import HOLE_COLOR
from glpn_cli.colormaps.colorbar import add_legend
from glpn_cli.colormaps.painting import label_palette, paint_labels
from glpn_cli.depth_files.base import EncodedFile, Format, read_contents
from glpn_cli.depth_files.png import decode_png, encode_png
from glpn_cli.depth_files.record import Record
from glpn_cli.depth_files.styles import put_beside_picture
from glpn_cli.errors import ErrorCode, InputError, OutputError, UsageError
from glpn_cli.options import MAX_PIXELS
from glpn_cli.prediction import DepthKind, LabelMap, Provenance, Result

_PALETTE_LABELS = 255
_NO_LABEL: dict[np.dtype[Any], int] = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}


class Labels(Format):
    """A label a pixel: 8-bit palette PNG, or 16-bit grey where there are more than 255; names in its record."""

    format: ClassVar[str] = "labels"
    extension: ClassVar[str] = ".png"
    map: ClassVar[str] = "labels"

    def check(self, kind: DepthKind | None, limit_m: float | None) -> None:  # noqa: ARG002
        """Refuse depth (UsageError)."""
        if kind is not None:
            raise UsageError(
                f"{self.format} holds labels, and this model gives {kind.value} depth",
                hint="Use -f png16, tiff, npz or npy.",
                code=ErrorCode.RANGE,
            )

    def expect(self, source: str, *, kind: DepthKind | None = None, provenance: Provenance | None) -> Record:
        """The record of a file written now for `source`."""
        return Record(self.format, self.map, kind, source, provenance=provenance)

    def encode(self, result: Result) -> EncodedFile:
        """The PNG file."""
        prediction = _labels_of(result)
        is_wide = len(prediction.names) > _PALETTE_LABELS
        pixels: NDArray[Any] = prediction.labels.astype(np.uint16 if is_wide else np.uint8)
        none = _NO_LABEL[pixels.dtype]
        if prediction.valid is not None:
            pixels[~prediction.valid] = none
        record = replace(self._record(result), names=prediction.names).with_pixels(pixels)
        text = record.to_text()
        if is_wide:
            return EncodedFile(encode_png(pixels, text=text), record)
        palette = label_palette(len(prediction.names))
        if prediction.valid is None:
            return EncodedFile(encode_png(pixels, text=text, palette=palette), record)
        with_none = np.zeros((none + 1, 3), np.uint8)
        with_none[: len(palette)] = palette
        with_none[none] = HOLE_COLOR
        return EncodedFile(encode_png(pixels, text=text, palette=with_none, transparent=none), record)

    def _record(self, result: Result) -> Record:
        return self.expect(result.source.name, provenance=result.provenance)


@dataclass(frozen=True)
class LabelColor(Labels):
    """The labels painted in the same colours, with a legend.

    side_by_side: the picture at the left
    """

    side_by_side: bool = False

    format: ClassVar[str] = "color"
    map: ClassVar[str] = "color"

    def expect(self, source: str, *, kind: DepthKind | None = None, provenance: Provenance | None) -> Record:
        """The record of a file written now for `source`."""
        return replace(super().expect(source, kind=kind, provenance=provenance), side_by_side=self.side_by_side)

    def encode(self, result: Result) -> EncodedFile:
        """The PNG file. The picture is read again only where it stands beside its labels."""
        prediction = _labels_of(result)
        canvas = paint_labels(prediction)
        if self.side_by_side:
            canvas = put_beside_picture(result.source, canvas, what="labels")
        record = self._record(result)
        return EncodedFile(encode_png(add_legend(canvas, prediction), text=record.to_text()), record)


LABEL_FORMATS = {"labels": Labels, "color": LabelColor}
"""The formats of models that give labels."""


def make_label_writer(format: str, *, side_by_side: bool = False) -> Labels:  # noqa: A002 - as on the command line
    """The writer of a format; side_by_side is for painted ones. Raises UsageError for those that hold depth."""
    if format not in LABEL_FORMATS:
        raise UsageError(
            f"{format} holds depth, and this model gives labels",
            hint=f"Use -f {' or '.join(LABEL_FORMATS)}.",
            code=ErrorCode.RANGE,
        )
    return LabelColor(side_by_side) if format == LabelColor.format else Labels()


def _labels_of(result: Result) -> LabelMap:
    """The result's labels. Raises OutputError where it is depth."""
    if isinstance(result.prediction, LabelMap):
        return result.prediction
    raise OutputError("depths are not labels: this format cannot hold them", code=ErrorCode.UNSUPPORTED)


def read_labels(source: str | Path | bytes, *, max_pixels: int = MAX_PIXELS) -> LabelMap:
    """Read the labels of a file of ours, with their names.

    Raises InputError for whatever is not one.
    """
    data = read_contents(source, max_pixels=max_pixels)
    labels, text = decode_png(data, takes_palette=True, max_pixels=max_pixels)
    record = Record.from_text(text)
    if record is None or record.map != "labels" or not record.names or labels.ndim != 2:
        raise InputError("this is no file of labels that glpn wrote", code=ErrorCode.UNSUPPORTED)
    record.check_pixels(labels)
    count = len(record.names)
    valid = labels != _NO_LABEL[labels.dtype] if count <= _NO_LABEL[labels.dtype] else np.ones(labels.shape, np.bool_)
    known = labels[valid]
    if known.size and known.max() >= count:
        raise InputError(f"it holds label {known.max()}, and names only {count}")
    return LabelMap(labels, record.names, None if valid.all() else valid)
