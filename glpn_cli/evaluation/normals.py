"""How far predicted surface normals are from the true ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

WITHIN_DEG = {"normal_11_25": 11.25, "normal_22_5": 22.5, "normal_30": 30.0}
NORMAL_METRICS = ("normal_mean", "normal_median", *WITHIN_DEG)


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
    shares = {name: float(np.mean(angle < limit)) for name, limit in WITHIN_DEG.items()}
    return {"normal_mean": float(angle.mean()), "normal_median": float(np.median(angle)), **shares}
