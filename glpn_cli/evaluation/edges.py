"""Whether a map breaks where the truth does: precision, recall and F1 of depth edges.

The definition is that of Depth Pro (Bochkovskii et al. 2024, arXiv 2410.02073, "Evaluation metrics for sharp
boundaries"). Between neighbours i and j in a row or a column there is an edge at threshold t where d(j) / d(i) > t; one
of the prediction is right where the truth has one with the same pixel in front. Over all neighbours of a picture,
precision is the share of predicted edges that are right, recall the share of true edges that were found, and F1 is
2 P R / (P + R). All three are averaged over ten thresholds from 1.05 to 1.25, which also are their weights. They depend
on ratios alone: one factor on the whole map changes nothing.

Where the paper leaves a choice:
- Edges of all directions are counted together, as in its formula. The authors' program takes the mean of four
  directions instead, and counts 0 for one without edges, so it can be lower.
- Precision of no predicted edge, and recall of no true one, is 0, as in that program; but a threshold at which neither
  map has an edge says nothing, and is left out of the average.
- Neighbours count where both have a true and a predicted depth.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

EDGE_METRICS = ("edge_precision", "edge_recall", "edge_f1")
THRESHOLDS = np.linspace(1.05, 1.25, 10)


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
