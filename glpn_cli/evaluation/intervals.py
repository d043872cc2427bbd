"""How much a mean over pictures would move had other pictures of the same sort been taken: the bootstrap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
LEVEL = 0.95
_PICKS_AT_ONCE = 2**20


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
