"""Whether the results of two programs agree, by one measure for each kind of result.

Ours is compared with transformers in fp32. Where ours is in bf16 or fp16, transformers in the same precision is
compared with it too: its difference is the cost of rounding for these weights.
"""

from __future__ import annotations

from collections.abc import Mapping
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


_Values = NDArray[np.float32]


@dataclass(frozen=True)
class Agreement:
    """How far our result is from that of transformers in fp32.

    agrees:   whether it is near enough, by the rule of the function that compared them
    figures:  the differences by name, as JSON has them
    words:    the same for people; `{}` stands where the rounding error of transformers is told
    rounding: the mean difference of transformers in our precision; None where ours is fp32
    """

    agrees: bool
    figures: Mapping[str, Any]
    words: str
    rounding: float | None


def compare_depths(ours: _Values, theirs: _Values, *, limit_m: float, rounded: _Values | None = None) -> Agreement:
    """Compare two maps in metres, and the numbers of different whole millimetres in them.

    They agree under 1e-5 of the limit in fp32; in less, under 0.2 % on average with at least 90 % of the millimetres,
    of which there are fewer where depth comes in steps.

    rounded: by transformers in our precision, where that is not fp32
    """
    largest = float(np.abs(ours.astype(np.float64) - theirs).max() / limit_m)
    mean = _mean_relative(ours, theirs)
    levels, levels_of = (np.unique(np.rint(1000 * values.astype(np.float64))).size for values in (ours, theirs))
    share = levels / levels_of
    return Agreement(
        largest <= _METRIC_LARGEST if rounded is None else mean <= _METRIC_MEAN and share >= _METRIC_LEVELS,
        {
            "largest_difference": largest,
            "mean_relative_difference": mean,
            "millimetres": levels,
            "millimetres_of": levels_of,
        },
        f"at most {largest:.1e} of the limit, {mean:.2%} on average{{}}; "
        f"{levels:,} different millimetres for {levels_of:,} ({share:.0%})",
        None if rounded is None else _mean_relative(rounded, theirs),
    )


def compare_inverse(ours: _Values, theirs: _Values, *, rounded: _Values | None = None) -> Agreement:
    """Compare two maps without a unit, by shares of the range of theirs.

    They agree under 1e-4 of the range in fp32; in less, at 1.5 times the rounding error of transformers at most.
    """
    difference = _difference_in_range(ours, theirs)
    largest, mean = float(difference.max()), float(difference.mean())
    rounding = None if rounded is None else float(_difference_in_range(rounded, theirs).mean())
    return Agreement(
        largest <= _INVERSE_LARGEST if rounding is None else mean <= _ROUNDING * rounding,
        {"largest_difference": largest, "mean_difference": mean},
        f"at most {largest:.1e} of the range, {mean:.2%} on average{{}}",
        rounding,
    )


def compare_labels(ours: _Values, theirs: _Values, *, rounded: _Values | None = None) -> Agreement:
    """Compare the best labels of scores (labels, h, w).

    They agree where at most one pixel in ten thousand has another label (two scores may tie), and 1.5 times as many as
    the rounding of transformers changes.
    """
    best = theirs.argmax(axis=0)
    labels = np.unique(best).size
    different = float((ours.argmax(axis=0) != best).mean())
    rounding = None if rounded is None else float((rounded.argmax(axis=0) != best).mean())
    return Agreement(
        different <= _LABELS_DIFFERENT + _ROUNDING * (rounding or 0),
        {"labels": labels, "labels_apart": different},
        f"another one of {labels} labels at {different:.2%} of pixels{{}}",
        rounding,
    )


def _mean_relative(values: _Values, theirs: _Values) -> float:
    scale = np.maximum(np.abs(theirs), np.finfo(np.float32).tiny)
    return float((np.abs(values.astype(np.float64) - theirs) / scale).mean())


def _difference_in_range(values: _Values, theirs: _Values) -> NDArray[np.float64]:
    difference: NDArray[np.float64] = np.abs(values.astype(np.float64) - theirs)
    return difference / max(float(np.ptp(theirs)), float(np.finfo(np.float32).tiny))
