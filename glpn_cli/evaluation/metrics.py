"""The field's measures of depth, one picture at a time, and the bootstrap interval of their mean over pictures.

All are over pixels whose true depth is known, d predicted and g true, in metres (Eigen et al. 2014, arXiv 1406.2283,
section 4). Where the field has two conventions under one name, both are here under two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float32] | NDArray[np.float64]

RESAMPLES = 2000
LEVEL = 0.95
_PICKS_AT_ONCE = 2**20


@dataclass(frozen=True)
class Scores:
    """How far one map, or the mean over many, is from the truth.

    d1, d2, d3: share of pixels with max(d/g, g/d) under 1.25, 1.25², 1.25³; higher is better, all others lower.
    abs_rel:    mean |d - g| / g.
    sq_rel:     mean (d - g)² / g, metres.
    rmse:       root mean (d - g)², metres.
    rmse_log:   root mean (ln d - ln g)².
    log10:      mean |log10 d - log10 g|.
    silog_half: sqrt(mean e² - 0.5 mean(e)²), e = ln d - ln g: GLPN's own code, and its training loss.
    silog_100:  100 sqrt(mean e² - mean(e)²): the KITTI benchmark and most others.
    """

    d1: float
    d2: float
    d3: float
    abs_rel: float
    sq_rel: float
    rmse: float
    rmse_log: float
    log10: float
    silog_half: float
    silog_100: float


METRICS = tuple(field.name for field in fields(Scores))


def score(predicted: Values, target: Values) -> Scores:
    """Scores of the pixels of one picture.

    predicted, target: (N,), metres, finite and > 0; N > 0.
    """
    d, g = predicted.astype(np.float64), target.astype(np.float64)
    if d.size == 0 or d.shape != g.shape:
        raise ValueError(f"scores need pixels in pairs, not {d.shape} against {g.shape}")
    ratio = np.maximum(d / g, g / d)
    error = np.log(d) - np.log(g)
    mean_square, mean = np.mean(error**2), np.mean(error)
    return Scores(
        d1=float(np.mean(ratio < 1.25)),
        d2=float(np.mean(ratio < 1.25**2)),
        d3=float(np.mean(ratio < 1.25**3)),
        abs_rel=float(np.mean(np.abs(d - g) / g)),
        sq_rel=float(np.mean((d - g) ** 2 / g)),
        rmse=float(np.sqrt(np.mean((d - g) ** 2))),
        rmse_log=float(np.sqrt(mean_square)),
        log10=float(np.mean(np.abs(error)) / np.log(10)),
        # Rounding can bring a variance of nothing below it.
        silog_half=float(np.sqrt(max(mean_square - 0.5 * mean**2, 0.0))),
        silog_100=float(100 * np.sqrt(max(mean_square - mean**2, 0.0))),
    )


def mean_scores(scores: Sequence[Scores]) -> Scores:
    """The mean over pictures, every picture counting alike."""
    return Scores(*np.mean([astuple(each) for each in scores], axis=0).tolist())


@dataclass(frozen=True)
class Interval:
    """A mean with the bounds that hold 95 % of the resampled means; None for that of one picture, which has none."""

    mean: float
    low: float | None
    high: float | None


def bootstrap(values: NDArray[np.float64], *, seed: int = 0) -> Interval:
    """The interval of the mean of one number a picture, (N,), N > 0; always the same for the same numbers."""
    if len(values) == 1:
        return Interval(float(values[0]), None, None)
    rng = np.random.default_rng(seed)
    rows = max(1, min(RESAMPLES, _PICKS_AT_ONCE // len(values)))
    counts = [min(rows, RESAMPLES - done) for done in range(0, RESAMPLES, rows)]
    means = np.concatenate(
        [values[rng.integers(0, len(values), (count, len(values)))].mean(axis=1) for count in counts]
    )
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(values.mean()), float(low), float(high))


def bootstrap_difference(ours: NDArray[np.float64], theirs: NDArray[np.float64], *, seed: int = 0) -> Interval:
    """The interval of the mean difference over the same pictures, (N,) each: tighter than two beside each other.

    A difference whose interval does not hold 0 is more than the luck of the pictures.
    """
    return bootstrap(ours - theirs, seed=seed)
