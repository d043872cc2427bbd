"""Whether the results of two programs agree, by one measure for each kind of result.

Ours is compared with transformers in fp32. Where ours is in bf16 or fp16, transformers in the same precision is
compared with it too: its difference is the cost of rounding for these weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_METRIC_LARGEST = 1e-5
_METRIC_MEAN = 2e-3
_METRIC_LEVELS = 0.9
_INVERSE_LARGEST = 1e-4
_LABELS_DIFFERENT = 1e-4
_ROUNDING = 1.5
"""Without a unit, our rounding error may be half as much again as that of transformers."""


@dataclass(frozen=True)
class _DepthAgreement:
    """How far two depth maps in metres differ.

    largest:         the largest difference, as a share of the limit
    mean_relative:   the mean of |ours - theirs| / theirs
    levels, levels_of: numbers of different whole millimetres in ours and in theirs
    rounding:        `mean_relative` of transformers in our precision; None where ours is fp32
    """

    largest: float
    mean_relative: float
    levels: int
    levels_of: int
    rounding: float | None = None

    @property
    def level_share(self) -> float:
        """Levels of ours per level of theirs; under 1 where depth comes in steps."""
        return self.levels / self.levels_of

    @property
    def agrees(self) -> bool:
        """Under 1e-5 of the limit in fp32; in less, under 0.2 % on average with at least 90 % of the millimetres."""
        if self.rounding is None:
            return self.largest <= _METRIC_LARGEST
        return self.mean_relative <= _METRIC_MEAN and self.level_share >= _METRIC_LEVELS

    @property
    def figures(self) -> dict[str, Any]:
        """Its numbers, as JSON has them."""
        return {
            "largest_difference": self.largest,
            "mean_relative_difference": self.mean_relative,
            "millimetres": self.levels,
            "millimetres_of": self.levels_of,
        }

    def describe(self, rounding: str) -> str:
        """The same in words, `rounding` among them."""
        return (
            f"at most {self.largest:.1e} of the limit, {self.mean_relative:.2%} on average{rounding}; "
            f"{self.levels:,} different millimetres for {self.levels_of:,} ({self.level_share:.0%})"
        )


@dataclass(frozen=True)
class _InverseAgreement:
    """How far two maps without a unit differ, as shares of the range of theirs.

    largest, mean: of |ours - theirs|
    rounding:      `mean` of transformers in our precision; None where ours is fp32
    """

    largest: float
    mean: float
    rounding: float | None = None

    @property
    def agrees(self) -> bool:
        """Under 1e-4 of the range in fp32; in less, at most 1.5 times the rounding error of transformers."""
        return self.largest <= _INVERSE_LARGEST if self.rounding is None else self.mean <= _ROUNDING * self.rounding

    @property
    def figures(self) -> dict[str, Any]:
        """Its numbers, as JSON has them."""
        return {"largest_difference": self.largest, "mean_difference": self.mean}

    def describe(self, rounding: str) -> str:
        """The same in words, `rounding` among them."""
        return f"at most {self.largest:.1e} of the range, {self.mean:.2%} on average{rounding}"


@dataclass(frozen=True)
class _LabelAgreement:
    """How many pixels have another label than in theirs.

    different: a share
    labels:    number of labels in theirs
    rounding:  `different` of transformers in our precision; None where ours is fp32
    """

    different: float
    labels: int
    rounding: float | None = None

    @property
    def agrees(self) -> bool:
        """At most one pixel in ten thousand (two scores may tie), and 1.5 times the rounding error of transformers."""
        return self.different <= _LABELS_DIFFERENT + _ROUNDING * (self.rounding or 0)

    @property
    def figures(self) -> dict[str, Any]:
        """Its numbers, as JSON has them."""
        return {"labels": self.labels, "labels_apart": self.different}

    def describe(self, rounding: str) -> str:
        """The same in words, `rounding` among them."""
        return f"another one of {self.labels} labels at {self.different:.2%} of pixels{rounding}"


Agreement = _DepthAgreement | _InverseAgreement | _LabelAgreement
_Values = NDArray[np.float32]


def compare_depths(
    ours: _Values, theirs: _Values, *, limit_m: float, rounded: _Values | None = None
) -> _DepthAgreement:
    """Compare two maps in metres. rounded: by transformers in our precision, where that is not fp32."""
    levels, levels_of = (np.unique(np.rint(1000 * values.astype(np.float64))).size for values in (ours, theirs))
    largest = float(np.abs(ours.astype(np.float64) - theirs).max() / limit_m)
    rounding = None if rounded is None else _mean_relative(rounded, theirs)
    return _DepthAgreement(largest, _mean_relative(ours, theirs), levels, levels_of, rounding)


def compare_inverse(ours: _Values, theirs: _Values, *, rounded: _Values | None = None) -> _InverseAgreement:
    """Compare two maps without a unit."""
    difference = _difference_in_range(ours, theirs)
    rounding = None if rounded is None else float(_difference_in_range(rounded, theirs).mean())
    return _InverseAgreement(float(difference.max()), float(difference.mean()), rounding)


def compare_labels(ours: _Values, theirs: _Values, *, rounded: _Values | None = None) -> _LabelAgreement:
    """Compare the best labels of scores (labels, h, w)."""
    best = theirs.argmax(axis=0)
    different = [float((scores.argmax(axis=0) != best).mean()) for scores in (ours, rounded) if scores is not None]
    return _LabelAgreement(different[0], np.unique(best).size, None if rounded is None else different[1])


def _mean_relative(values: _Values, theirs: _Values) -> float:
    scale = np.maximum(np.abs(theirs), np.finfo(np.float32).tiny)
    return float((np.abs(values.astype(np.float64) - theirs) / scale).mean())


def _difference_in_range(values: _Values, theirs: _Values) -> NDArray[np.float64]:
    difference: NDArray[np.float64] = np.abs(values.astype(np.float64) - theirs)
    return difference / max(float(np.ptp(theirs)), float(np.finfo(np.float32).tiny))
