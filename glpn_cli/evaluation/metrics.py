"""The field's metrics, one picture at a time, and the bootstrap interval of their mean over pictures.

All are over pixels whose true depth is known, d predicted and g true, in metres (Eigen et al. 2014, arXiv 1406.2283,
section 4). Where the field has two conventions under one name, both are here under two.

Beside depth there are the edges of a map, and the normals of its surfaces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, fields
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from glpn_cli.errors import UsageError
from glpn_cli.evaluation.temporal import TEMPORAL_METRICS
from glpn_cli.geometry import find_normals
from glpn_cli.prediction import DepthMap, Intrinsics

_Values = NDArray[np.float32] | NDArray[np.float64]

_RESAMPLES = 2000
LEVEL = 0.95
_PICKS_AT_ONCE = 2**20

EDGE_METRICS = ("edge_precision", "edge_recall", "edge_f1")
THRESHOLDS = np.linspace(1.05, 1.25, 10)

_WITHIN_DEG = {"normal_11_25": 11.25, "normal_22_5": 22.5, "normal_30": 30.0}
NORMAL_METRICS = ("normal_mean", "normal_median", *_WITHIN_DEG)


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

    @classmethod
    def of(cls, predicted: _Values, target: _Values) -> Scores:
        """Scores of the pixels of one picture.

        predicted, target: (N,), metres, finite and > 0; N > 0.
        """
        d, g = predicted.astype(np.float64), target.astype(np.float64)
        if d.size == 0 or d.shape != g.shape:
            raise ValueError(f"scores need pixels in pairs, not {d.shape} against {g.shape}")
        ratio = np.maximum(d / g, g / d)
        error = np.log(d) - np.log(g)
        mean_square, mean = np.mean(error**2), np.mean(error)
        return cls(
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

    @classmethod
    def mean(cls, scores: Sequence[Scores]) -> Scores:
        """The mean over pictures, every picture counting alike."""
        return cls(*np.mean([astuple(each) for each in scores], axis=0).tolist())


METRICS = tuple(field.name for field in fields(Scores))


@dataclass(frozen=True)
class Interval:
    """A mean with the bounds that hold 95 % of the resampled means; None for that of one picture, which has none."""

    mean: float
    low: float | None
    high: float | None

    @classmethod
    def bootstrap(cls, values: NDArray[np.float64]) -> Interval:
        """The interval of the mean of one number a picture, (N,), N > 0; always the same for the same numbers."""
        if len(values) == 1:
            return cls(float(values[0]), None, None)
        rng = np.random.default_rng(0)
        rows = max(1, min(_RESAMPLES, _PICKS_AT_ONCE // len(values)))
        counts = [min(rows, _RESAMPLES - done) for done in range(0, _RESAMPLES, rows)]
        means = np.concatenate(
            [values[rng.integers(0, len(values), (count, len(values)))].mean(axis=1) for count in counts]
        )
        low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return cls(float(values.mean()), float(low), float(high))


def find_steps(depth: NDArray[np.float64], counted: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The ratio of depths, farther to nearer, of all neighbours in rows, then in columns: (N,).

    It is negative where the second one, to the right or below, is nearer.

    depth:   (H, W), in any unit, > 0 where it counts.
    counted: bool (H, W); neighbours have a step where both count.
    """
    steps: list[NDArray[np.float64]] = []
    for values, known in ((depth, counted), (depth.T, counted.T)):
        pairs = known[:, :-1] & known[:, 1:]
        first, second = values[:, :-1][pairs], values[:, 1:][pairs]
        steps.append(np.where(second > first, second / first, -first / second))
    return np.concatenate(steps)


def score_edges(predicted: NDArray[np.float64], target: NDArray[np.float64]) -> dict[str, float]:
    """Precision, recall and F1 of edges, each 0 to 1, higher is better; empty where neither map has an edge.

    The definition is that of Depth Pro (Bochkovskii et al. 2024, arXiv 2410.02073, "Evaluation metrics for sharp
    boundaries"). Between neighbours i and j in a row or a column there is an edge at threshold t where d(j) / d(i) > t;
    one of the prediction is right where the truth has one with the same pixel in front. Over all neighbours of a
    picture, precision is the share of predicted edges that are right, recall the share of true edges that were found,
    and F1 is 2 P R / (P + R). All three are averaged over ten thresholds from 1.05 to 1.25, which also are their
    weights. They depend on ratios alone: one factor on the whole map changes nothing.

    Where the paper leaves a choice:
    - Edges of all directions are counted together, as in its formula. The authors' program takes the mean of four
      directions instead, and counts 0 for one without edges, so it can be lower.
    - Precision of no predicted edge, and recall of no true one, is 0, as in that program; but a threshold at which
      neither map has an edge says nothing, and is left out of the average.
    - Neighbours count where both have a true and a predicted depth.

    predicted, target: (N,), the steps of the same neighbours, from `find_steps`.
    """
    scores: list[tuple[float, float, float]] = []
    weights: list[float] = []
    for threshold in THRESHOLDS.tolist():
        forward, backward = predicted > threshold, predicted < -threshold
        right = int(np.count_nonzero((forward & (target > threshold)) | (backward & (target < -threshold))))
        ours = int(np.count_nonzero(forward) + np.count_nonzero(backward))
        theirs = int(np.count_nonzero(np.abs(target) > threshold))
        if ours + theirs > 0:
            scores.append((right / max(ours, 1), right / max(theirs, 1), 2 * right / (ours + theirs)))
            weights.append(threshold)
    if not scores:
        return {}
    return dict(zip(EDGE_METRICS, np.average(scores, axis=0, weights=weights).tolist(), strict=True))


def score_normals(predicted: NDArray[np.float32], target: NDArray[np.float32]) -> dict[str, float]:
    """The angle between the normals of two maps of one picture: the measures of Fouhey et al. (ICCV 2013).

    normal_mean, normal_median: of the angle, degrees; lower is better.
    normal_11_25, normal_22_5, normal_30: share of pixels with an angle under so many degrees; higher is better.

    predicted, target: float32 (H, W, 3), unit vectors, 0, 0, 0 where there is none, as `find_normals` gives them.
    Pixels with both count; the result is empty where there are none.
    """
    both = predicted.any(axis=2) & target.any(axis=2)
    if not both.any():
        return {}
    ours, theirs = predicted[both].astype(np.float64), target[both].astype(np.float64)
    sine, cosine = np.linalg.norm(np.cross(ours, theirs), axis=1), (ours * theirs).sum(axis=1)
    angle = np.degrees(np.arctan2(sine, cosine))  # an arc cosine would lose small angles
    shares = {name: float(np.mean(angle < limit)) for name, limit in _WITHIN_DEG.items()}
    return {"normal_mean": float(angle.mean()), "normal_median": float(np.median(angle)), **shares}


class MetricGroup(StrEnum):
    """Names as on the command line."""

    DEPTH = "depth"
    NORMALS = "normals"
    EDGES = "edges"
    TEMPORAL = "temporal"

    @classmethod
    def parse_list(cls, text: str) -> tuple[MetricGroup, ...]:
        """Read `depth,normals`. Raises UsageError."""
        known = [group.value for group in cls if group is not cls.TEMPORAL]  # an option of its own
        words = [word.strip() for word in text.split(",")]
        if wrong := [word for word in words if word not in known]:
            raise UsageError(f"--metrics {wrong[0]!r} is none of {', '.join(known)}")
        return tuple(group for group in cls if group in words)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of its metrics."""
        return {
            "depth": METRICS,
            "normals": NORMAL_METRICS,
            "edges": EDGE_METRICS,
            "temporal": TEMPORAL_METRICS,
        }[self]


class Measures:
    """The metrics of one picture; what the truth alone decides is computed once for all alignments.

    truth:      (H, W), metres.
    counted:    bool (H, W); the pixels that count and have a depth in both maps. The others are holes in both.
    intrinsics: the camera of the picture; None where it is not known, and then there are no normals.
    """

    def __init__(
        self,
        groups: Sequence[MetricGroup],
        truth: NDArray[np.float32],
        counted: NDArray[np.bool_],
        intrinsics: Intrinsics | None,
    ) -> None:
        self._has_depth = MetricGroup.DEPTH in groups
        self._counted = counted
        self._camera = intrinsics if MetricGroup.NORMALS in groups else None
        self._target = truth[counted].astype(np.float64)
        self._normals = None if self._camera is None else self._find_normals(self._target, self._camera)
        self._steps = self._find_steps(self._target) if MetricGroup.EDGES in groups else None

    def score(self, predicted: NDArray[np.float64]) -> dict[str, float]:
        """The metrics by name, without those that make no sense here: normals of lone pixels, edges of a flat wall.

        predicted: (N,), metres, the pixels that count.
        """
        scores = asdict(Scores.of(predicted, self._target)) if self._has_depth else {}
        if self._normals is not None and self._camera is not None:
            scores |= score_normals(self._find_normals(predicted, self._camera), self._normals)
        if self._steps is not None:
            scores |= score_edges(self._find_steps(predicted), self._steps)
        return scores

    def _find_normals(self, values: NDArray[np.float64], camera: Intrinsics) -> NDArray[np.float32]:
        return find_normals(DepthMap(self._map(values).astype(np.float32), valid=self._counted), camera)

    def _find_steps(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return find_steps(self._map(values), self._counted)

    def _map(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The values of the pixels that count, back in their places; 1 elsewhere."""
        depth = np.ones(self._counted.shape)
        depth[self._counted] = values
        return depth
