"""Pictures on disk with a label for every pixel: a CSV of pictures and grey or palette PNGs, as data sets have them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glpn_cli.data.rows import Row, has_column, read_rows
from glpn_cli.depth_files import read_record
from glpn_cli.depth_files.contents import read_contents
from glpn_cli.depth_files.labels import read_labels
from glpn_cli.depth_files.png import SIGNATURE, decode_png
from glpn_cli.errors import ErrorCode, InputError, UsageError, about_file
from glpn_cli.images import AtLeast, Picture, ReadOptions, read_rgb
from glpn_cli.prediction import LabelMap

CSV_COLUMNS = ("rgb_path", "label_path")
NO_LABEL = 255
"""What stored numbers of one byte mean by none."""

_HERE = ReadOptions()


@dataclass(frozen=True)
class LabelPair:
    """A picture and its labels.

    first_label: the stored number that means label 0; smaller ones mean none, as does 255 (ADE20K's is 1).
    name:        what messages call it.
    """

    rgb_path: Path
    label_path: Path
    first_label: int = 0
    name: str = ""

    def read(
        self, count: int, reading: ReadOptions = _HERE, *, at_least: AtLeast | None = None
    ) -> tuple[Picture, NDArray[np.int64]]:
        """The upright picture, and one of `count` labels for every pixel, int64 (H, W), -1 where there is none.

        reading:  how, and in which processes, both are decoded.
        at_least: how few pixels of the picture will do, as in `read_rgb`.

        Raises InputError for a half that is missing or unreadable, and for halves of different size.
        """
        picture = read_rgb(self.rgb_path, reading, at_least=at_least)
        with about_file(self.label_path):
            stored = reading.run(_read_stored, self.label_path, reading.max_pixels, about="it")
        if stored.shape != picture.full_size:
            height, width = picture.full_size
            raise InputError(
                f"{self.name}: the picture is {width}x{height}, its labels {stored.shape[1]}x{stored.shape[0]}",
                hint="Both halves of a pair must have the same size.",
                code=ErrorCode.DATA,
            )
        labels = stored.astype(np.int64) - self.first_label
        is_none = stored == NO_LABEL if stored.dtype.itemsize == 1 else np.zeros(stored.shape, np.bool_)
        return picture, np.where((labels >= 0) & (labels < count) & ~is_none, labels, -1)


def _read_stored(path: Path, max_pixels: int) -> NDArray[Any]:
    """The numbers of a grey or palette PNG, or of a file of ours. Raises InputError."""
    if read_record(path) is not None:
        return _numbers_of(read_labels(path, max_pixels=max_pixels))
    data = read_contents(path, max_pixels=max_pixels)
    if not data.startswith(SIGNATURE):
        raise InputError("it is no PNG file")
    numbers, _ = decode_png(data, takes_palette=True, max_pixels=max_pixels)
    if numbers.ndim != 2:
        raise InputError("it holds RGB pixels; labels are grey or palette ones", code=ErrorCode.UNSUPPORTED)
    return numbers


def _numbers_of(prediction: LabelMap) -> NDArray[np.int64]:
    """Those of a file of ours, -1 where it has none."""
    numbers = prediction.labels.astype(np.int64)
    return numbers if prediction.valid is None else np.where(prediction.valid, numbers, -1)


def is_label_data(spec: str) -> bool:
    """Whether `--data` names a CSV file whose first line has a column for labels."""
    return has_column(Path(spec).expanduser(), CSV_COLUMNS[1])


def read_label_pairs(path: Path, *, may_be_empty: bool = False) -> tuple[LabelPair, ...]:
    """Pairs of a CSV file: `rgb_path,label_path[,first_label]`, paths relative to it. Other columns are ignored.

    Raises UsageError where it is no such file, naming the line.
    """
    hint = f"For labels the first line must name {','.join(CSV_COLUMNS)}, and may name first_label."
    rows = read_rows(path, needed=CSV_COLUMNS, paths=CSV_COLUMNS, hint=hint, may_be_empty=may_be_empty)
    return tuple(_pair_of(path, row) for row in rows)


def _pair_of(path: Path, row: Row) -> LabelPair:
    rgb, first = row.get("rgb_path"), row.get("first_label") or "0"
    if not (first.isascii() and first.isdigit()):
        raise UsageError(f"{row.where}: first_label {first!r} is no whole number", code=ErrorCode.DATA)
    return LabelPair(path.parent / rgb, path.parent / row.get("label_path"), int(first), Path(rgb).as_posix())
