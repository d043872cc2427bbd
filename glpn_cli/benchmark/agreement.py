"""Whether two programs answer one picture alike, each kind of answer by its own measure.

Ours is held against transformers in fp32. Where ours is less than fp32, transformers in the same precision is held
against it too: what it loses is what rounding costs these weights, however it is done.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_METRIC_LARGEST = 1e-5
_METRIC_MEAN = 2e-3
_METRIC_LEVELS = 0.9
_INVERSE_LARGEST = 1e-4
_LABELS_APART = 1e-4
_ROUNDING = 1.5
"""Without a unit there is no promise: ours may lose half as much again as transformers loses."""


@dataclass(frozen=True)
class DepthAgreement:
    """How far two answers in metres lie apart.

    largest:         the largest difference, as a share of the limit
    mean_relative:   the mean of |ours - theirs| / theirs
    levels, levels_of: how many different whole millimetres ours holds, and theirs
    rounding:        `mean_relative` of transformers in our precision; None where ours is fp32
    """

    largest: float
    mean_relative: float
    levels: int
    levels_of: int
    rounding: float | None = None

    @property
    def level_share(self) -> float:
        """Ours of theirs; under 1 where depth comes in steps."""
        return self.levels / self.levels_of

    @property
    def agrees(self) -> bool:
        """Under 1e-5 of the limit in fp32; in less, under 0.2 % on average with at least 90 % of the millimetres."""
        if self.rounding is None:
            return self.largest <= _METRIC_LARGEST
        return self.mean_relative <= _METRIC_MEAN and self.level_share >= _METRIC_LEVELS


@dataclass(frozen=True)
class InverseAgreement:
    """The same without a unit, where ratios mean nothing: shares of the range of theirs.

    largest, mean: of |ours - theirs|
    rounding:      `mean` of transformers in our precision; None where ours is fp32
    """

    largest: float
    mean: float
    rounding: float | None = None

    @property
    def agrees(self) -> bool:
        """Under 1e-4 of the range in fp32; in less, no farther than rounding brings transformers, and half of that."""
        return self.largest <= _INVERSE_LARGEST if self.rounding is None else self.mean <= _ROUNDING * self.rounding


@dataclass(frozen=True)
class LabelAgreement:
    """How many pixels have another label than in theirs.

    apart:    a share
    labels:   how many labels theirs holds
    rounding: `apart` of transformers in our precision; None where ours is fp32
    """

    apart: float
    labels: int
    rounding: float | None = None

    @property
    def agrees(self) -> bool:
        """At most one in ten thousand, whose two best scores are as good as equal, and what rounding may change."""
        return self.apart <= _LABELS_APART + _ROUNDING * (self.rounding or 0)


Agreement = DepthAgreement | InverseAgreement | LabelAgreement
Values = NDArray[np.float32]
Scores = NDArray[np.float32]


def compare_depths(ours: Values, theirs: Values, *, limit_m: float, rounded: Values | None = None) -> DepthAgreement:
    """Hold two maps of metres against each other. rounded: by transformers in our precision, where that is not fp32."""
    levels, levels_of = (np.unique(np.rint(1000 * values.astype(np.float64))).size for values in (ours, theirs))
    largest = float(np.abs(ours.astype(np.float64) - theirs).max() / limit_m)
    rounding = None if rounded is None else _mean_relative(rounded, theirs)
    return DepthAgreement(largest, _mean_relative(ours, theirs), levels, levels_of, rounding)


def compare_inverse(ours: Values, theirs: Values, *, rounded: Values | None = None) -> InverseAgreement:
    """Hold two maps without a unit against each other."""
    apart = _apart_in_range(ours, theirs)
    rounding = None if rounded is None else float(_apart_in_range(rounded, theirs).mean())
    return InverseAgreement(float(apart.max()), float(apart.mean()), rounding)


def compare_labels(ours: Scores, theirs: Scores, *, rounded: Scores | None = None) -> LabelAgreement:
    """Hold the labels of scores (labels, h, w) against each other."""
    best = theirs.argmax(axis=0)
    apart = [float((scores.argmax(axis=0) != best).mean()) for scores in (ours, rounded) if scores is not None]
    return LabelAgreement(apart[0], np.unique(best).size, None if rounded is None else apart[1])


def _mean_relative(values: Values, theirs: Values) -> float:
    scale = np.maximum(np.abs(theirs), np.finfo(np.float32).tiny)
    return float((np.abs(values.astype(np.float64) - theirs) / scale).mean())


def _apart_in_range(values: Values, theirs: Values) -> NDArray[np.float64]:
    apart: NDArray[np.float64] = np.abs(values.astype(np.float64) - theirs)
    return apart / max(float(np.ptp(theirs)), float(np.finfo(np.float32).tiny))
