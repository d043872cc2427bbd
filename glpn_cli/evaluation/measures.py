"""The groups of metrics that can be asked for, and their computation for one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from glpn_cli.errors import UsageError
from glpn_cli.evaluation.metrics import (
    EDGE_METRICS,
    METRICS,
    NORMAL_METRICS,
    Scores,
    find_steps,
    score_edges,
    score_normals,
)
from glpn_cli.evaluation.temporal import TEMPORAL_METRICS
from glpn_cli.geometry import find_normals
from glpn_cli.prediction import DepthMap, Intrinsics


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
