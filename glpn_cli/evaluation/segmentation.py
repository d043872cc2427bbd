"""How well pixels are labelled: pixel accuracy and mean IoU, over whole data sets, as the field counts them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glpn_cli.depth_files import read_record
from glpn_cli.depth_files.labels import read_labels
from glpn_cli.errors import ErrorCode, InputError, UsageError, reason_of
from glpn_cli.evaluation.reading import read_ahead
from glpn_cli.images import Picture, ReadOptions, read_rgb
from glpn_cli.prediction import LabelMap

CSV_COLUMNS = ("rgb_path", "label_path")
NO_LABEL = 255
"""What stored numbers of one byte mean by none."""


_HERE = ReadOptions()
_NUMBER_MODES = ("L", "P", "1", "I;16")


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

    def read(self, count: int, reading: ReadOptions = _HERE) -> tuple[Picture, NDArray[np.int64]]:
        """The upright picture, and one of `count` labels for every pixel, int64 (H, W), -1 where there is none.

        reading: how, and in which processes, both are decoded.

        Raises InputError for a half that is missing or unreadable, and for halves of different size.
        """
        picture = read_rgb(self.rgb_path, reading)
        stored = self._stored(reading)
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

    def _stored(self, reading: ReadOptions) -> NDArray[Any]:
        """The numbers of a grey or palette PNG, or of a file of ours."""
        try:
            return reading.run(_read_stored, self.label_path, about="it")
        except InputError as error:
            raise InputError(f"{self.label_path}: {error.message}", hint=error.hint, code=error.code) from error


def _read_stored(path: Path) -> NDArray[Any]:
    """The numbers of a grey or palette PNG, or of a file of ours. Raises InputError."""
    return _read_numbers(path) if read_record(path) is None else _numbers_of(read_labels(path))


def _numbers_of(prediction: LabelMap) -> NDArray[np.int64]:
    """Those of a file of ours, -1 where it has none."""
    numbers = prediction.labels.astype(np.int64)
    return numbers if prediction.valid is None else np.where(prediction.valid, numbers, -1)


def _read_numbers(path: Path) -> NDArray[Any]:
    """The numbers of a grey or palette PNG. Raises InputError."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            mode, numbers = image.mode, np.asarray(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"it cannot be read as a PNG file: {error}") from error
    if mode not in _NUMBER_MODES:
        raise InputError(f"it holds {mode} pixels; labels are grey or palette ones", code=ErrorCode.UNSUPPORTED)
    return numbers


def is_label_data(spec: str) -> bool:
    """Whether `--data` names a CSV file whose first line has a column for labels."""
    try:
        with Path(spec).expanduser().open(newline="", encoding="utf-8-sig") as file:
            return "label_path" in next(csv.reader(file), [])
    except (OSError, ValueError, csv.Error):
        return False


def read_label_pairs(path: Path, *, may_be_empty: bool = False) -> tuple[LabelPair, ...]:
    """Pairs of a CSV file: `rgb_path,label_path[,first_label]`, paths relative to it. Other columns are ignored.

    Raises UsageError where it is no such file, naming the line.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            if missing := [column for column in CSV_COLUMNS if column not in (rows.fieldnames or ())]:
                raise UsageError(
                    f"{path} has no column {', '.join(missing)}",
                    hint=f"For labels the first line must name {','.join(CSV_COLUMNS)}, and may name first_label.",
                    code=ErrorCode.DATA,
                )
            pairs = tuple(_pairs_of_rows(path, rows))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {reason_of(error)}", code=ErrorCode.NOT_FOUND) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} is no CSV file: {error}", code=ErrorCode.DATA) from error
    if not pairs and not may_be_empty:
        raise UsageError(f"{path} lists no pairs", code=ErrorCode.DATA)
    return pairs


def _pairs_of_rows(path: Path, rows: csv.DictReader[str]) -> Iterator[LabelPair]:
    for row in rows:
        where, first = f"{path} line {rows.line_num}", row.get("first_label") or "0"
        if not row["rgb_path"] or not row["label_path"]:
            raise UsageError(f"{where}: a path is empty", code=ErrorCode.DATA)
        if not (first.isascii() and first.isdigit()):
            raise UsageError(f"{where}: first_label {first!r} is no whole number", code=ErrorCode.DATA)
        yield LabelPair(
            path.parent / row["rgb_path"], path.parent / row["label_path"], int(first), Path(row["rgb_path"]).as_posix()
        )


@dataclass(frozen=True, eq=False)
class LabelScores:
    """Counts over any number of pictures, from which the scores follow; they add up.

    correct:   pixels of each label that were given it, int64 (labels,)
    true:      pixels of each label
    predicted: pixels that were given each label, among those that have one
    pictures:  how many were counted
    """

    correct: NDArray[np.int64]
    true: NDArray[np.int64]
    predicted: NDArray[np.int64]
    pictures: int = 0

    @classmethod
    def of(cls, predicted: LabelMap, truth: NDArray[np.int64]) -> LabelScores:
        """Those of one picture; truth is (H, W), -1 where there is no label.

        Pixels that were given none, because the picture is transparent there, do not count.
        """
        count, known = len(predicted.names), truth >= 0
        if predicted.valid is not None:
            known &= predicted.valid
        given, true = predicted.labels[known].astype(np.int64), truth[known]
        return cls(
            np.bincount(true[true == given], minlength=count),
            np.bincount(true, minlength=count),
            np.bincount(given, minlength=count),
            1,
        )

    def __add__(self, other: LabelScores) -> LabelScores:
        return LabelScores(
            self.correct + other.correct,
            self.true + other.true,
            self.predicted + other.predicted,
            self.pictures + other.pictures,
        )

    @property
    def pixel_accuracy(self) -> float:
        """Share of the pixels with a label that were given it; nan where there is none."""
        total = int(self.true.sum())
        return float(self.correct.sum()) / total if total else float("nan")

    @property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union of each label, (labels,); nan where a label is neither there nor given."""
        union = self.true + self.predicted - self.correct
        shares = np.full(union.shape, np.nan)
        np.divide(self.correct, union, out=shares, where=union > 0)
        return shares

    @property
    def mean_iou(self) -> float:
        """The mean over the labels that are there or were given, as the field's tools count it."""
        known = self.iou[~np.isnan(self.iou)]
        return float(known.mean()) if known.size else float("nan")


def score_labels(
    pairs: Sequence[LabelPair],
    label: Callable[[Sequence[Picture]], Sequence[LabelMap]],
    *,
    labels: int,
    workers: int = 1,
    batch_size: int = 1,
    reading: ReadOptions = _HERE,
) -> Iterator[LabelScores | InputError]:
    """The scores on every pair in turn, or why there are none.

    label:      labels pictures; raises InputError where one of them cannot be
    labels:     how many labels there are
    workers:    threads that read pairs while others are labelled
    batch_size: pictures that are labelled at once
    reading:    how, and in which processes, pairs are decoded
    """

    def read(index: int) -> tuple[Picture, NDArray[np.int64]] | InputError:
        try:
            return pairs[index].read(labels, reading)
        except InputError as error:
            return error

    halves = read_ahead(read, len(pairs), workers=workers, ahead=workers + batch_size)
    while batch := list(islice(halves, batch_size)):
        answers = iter(_label_each([each[0] for each in batch if isinstance(each, tuple)], label))
        for each in batch:
            answer = next(answers) if isinstance(each, tuple) else each
            if isinstance(answer, InputError):
                yield answer
            elif isinstance(each, tuple):
                yield LabelScores.of(answer, each[1])


def _label_each(
    pictures: Sequence[Picture], label: Callable[[Sequence[Picture]], Sequence[LabelMap]]
) -> list[LabelMap | InputError]:
    """The labels of every picture, or why it has none."""
    if not pictures:
        return []
    try:
        return [*label(pictures)]
    except InputError as error:
        if len(pictures) == 1:
            return [error]
        return [answer for picture in pictures for answer in _label_each([picture], label)]  # which, they say alone


def sum_scores(scores: Sequence[LabelScores], *, labels: int) -> LabelScores:
    """All together; zeros where there are none."""
    nothing = np.zeros(labels, np.int64)
    total = LabelScores(nothing, nothing, nothing)
    for each in scores:
        total = total + each
    return total
