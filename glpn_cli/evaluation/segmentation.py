"""Scores of label maps: pixel accuracy and mean IoU over a whole data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glpn_cli.data.pairs import LabelPair
from glpn_cli.errors import InputError
from glpn_cli.evaluation.evaluate import predict_each, read_batches
from glpn_cli.images import AtLeast, Picture, ReadOptions
from glpn_cli.prediction import LabelMap


@dataclass(frozen=True, eq=False)
class LabelScores:
    """Counts of pixels, which add up over pictures, and the scores that follow from them.

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

    @classmethod
    def nothing(cls, labels: int) -> LabelScores:
        """Those of no picture, to add others to."""
        zeros = np.zeros(labels, np.int64)
        return cls(zeros, zeros, zeros)

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
    reading: ReadOptions = ReadOptions(),  # noqa: B008 - frozen
    at_least: AtLeast | None = None,
) -> Iterator[LabelScores | InputError]:
    """The scores of every pair in turn, or its error.

    label:      labels a batch of pictures; raises InputError where it cannot label one of them
    labels:     number of labels
    workers:    threads that read pairs ahead
    batch_size: pictures per batch
    reading:    how, and in which processes, pairs are decoded
    at_least:   how few pixels of a picture will do, as in `read_rgb`
    """

    def read(index: int) -> tuple[Picture, NDArray[np.int64]] | InputError:
        try:
            return pairs[index].read(labels, reading, at_least=at_least)
        except InputError as error:
            return error

    for batch in read_batches(read, len(pairs), workers=workers, batch_size=batch_size):
        answers = iter(predict_each(label, [each[0] for each in batch if isinstance(each, tuple)]))
        for each in batch:
            answer = next(answers) if isinstance(each, tuple) else each
            if isinstance(answer, InputError):
                yield answer
            elif isinstance(each, tuple):
                yield LabelScores.of(answer, each[1])
