"""Alignments of a map with the truth before it is scored: none, one factor, or scale and shift.

A map whose kind leaves something open (one factor, scale and shift) is scored with exactly that fitted. `focal` fits
nothing: it multiplies metres by the ratio of the picture's focal length to the model's, where both are known.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from glpn_cli.errors import UsageError
from glpn_cli.prediction import DepthKind

_Values = NDArray[np.float64]


class Alignment(StrEnum):
    """Names as on the command line."""

    NONE = "none"
    FOCAL = "focal"
    MEDIAN = "median"
    SCALE_SHIFT = "scale-shift"
    DISPARITY = "disparity"

    @classmethod
    def parse_list(cls, text: str | None) -> tuple[Alignment, ...]:
        """Read `none,median`; empty for None. Raises UsageError."""
        words = [] if text is None else [word.strip() for word in text.split(",")]
        if wrong := [word for word in words if word not in list(cls)]:
            raise UsageError(f"--align {wrong[0]!r} is none of {', '.join(cls)}")
        return tuple(map(cls, dict.fromkeys(words)))

    def bounds_m(self, range_m: tuple[float, float] | None) -> tuple[float, float] | None:
        """The smallest and the largest depth that a fit may give, metres; None for alignments without bounds.

        A fitted line can pass through zero, in metres as in their inverse, so both fits are clipped to numbers that
        are depths: at least a millimetre, and for a disparity at most a kilometre. Where a range counts, both are
        clipped to it, as MiDaS clips the far end and Marigold both ends of a data set's range. The smallest and largest
        true depth are no bounds: they would tell the predictor a part of the answer.

        range_m: near and far of the true depths that count, metres; the far bound is inf where there is none.
        """
        if self not in (Alignment.SCALE_SHIFT, Alignment.DISPARITY):
            return None
        if range_m is not None:
            return max(range_m[0], _FLOOR_M), range_m[1]
        return _FLOOR_M, _HORIZON_M if self is Alignment.DISPARITY else np.inf


FAIR = {
    DepthKind.METRIC: tuple(Alignment),
    DepthKind.SCALE: (Alignment.MEDIAN, Alignment.SCALE_SHIFT, Alignment.DISPARITY),
    DepthKind.AFFINE: (Alignment.SCALE_SHIFT,),
    DepthKind.DISPARITY: (Alignment.DISPARITY,),
    DepthKind.UNKNOWN: (Alignment.MEDIAN, Alignment.SCALE_SHIFT, Alignment.DISPARITY),
}
"""The alignments that make sense for a map of each kind."""

DEFAULT = {
    DepthKind.METRIC: (Alignment.NONE, Alignment.MEDIAN),
    DepthKind.SCALE: (Alignment.MEDIAN,),
    DepthKind.AFFINE: (Alignment.SCALE_SHIFT,),
    DepthKind.DISPARITY: (Alignment.DISPARITY,),
    DepthKind.UNKNOWN: (Alignment.MEDIAN,),
}
"""The alignments that are reported where the user names none."""


_FLOOR_M, _HORIZON_M = 1e-3, 1e3


def align(
    predicted: _Values,
    target: _Values,
    *,
    how: Alignment,
    kind: DepthKind,
    range_m: tuple[float, float] | None,
) -> _Values:
    """The prediction in metres after the fit of `how` to the truth; `none` and `focal` fit nothing.

    predicted, target: (N,), the pixels that count; target metres > 0; predicted in the unit of its kind.
    range_m:           near and far of the true depths that count, metres; see `Alignment.bounds_m`.
    """
    if how in (Alignment.NONE, Alignment.FOCAL):
        return predicted
    if how is Alignment.MEDIAN:
        return predicted * (np.median(target) / np.median(predicted))
    bounds = how.bounds_m(range_m)
    assert bounds is not None
    near, far = bounds
    if how is Alignment.SCALE_SHIFT:
        return _fit_line(predicted, target).clip(near, far)
    disparity = predicted if kind is DepthKind.DISPARITY else 1 / predicted
    fitted = _fit_line(disparity, 1 / target)
    return 1 / fitted.clip(1 / far, 1 / near)


def _fit_line(values: _Values, target: _Values) -> _Values:
    """The least-squares line from `values` to `target`; the mean of `target` for a constant map."""
    centred = values - values.mean()
    spread = np.mean(centred**2)
    scale = np.mean(centred * (target - target.mean())) / spread if spread > 0 else 0.0
    fitted: _Values = scale * centred + target.mean()
    return fitted
