"""Whether the maps of a film hold still: a point's depth, and the scale of the whole frame, from one frame to the next.

A map's error at a pixel is e = ln d - ln g, d predicted and g true. Between two frames that follow each other:

flicker:      mean |e2 - e1| over the points that both frames see: how much a point's log depth changes along its true
              motion beyond its true change. This is the warping error of Wang et al. 2023 (NVDS, arXiv 2307.08695, OPW)
              with two differences: the motion is the true one, out of poses and depth, instead of an estimate of
              optical flow, and the true change of depth is taken off, so that a camera that walks is no error.
scale_jitter: |m2 - m1|, m the median of e over all pixels that count. It needs no poses.
tae:          temporal alignment error (Yang et al. 2024, Depth Any Video, arXiv 2410.10815): the mean |z - d| / d of
              predicted points that are carried into the other frame by its true pose, z, and the depth predicted there,
              d; both ways. It is of the maps alone: a map that is wrong the same way in both frames is consistent.

All are ratios: 0.01 is 1 %, lower is better, and one factor on the whole film changes none but tae, where a wrong scale
makes the pose wrong. Nothing is fitted to single frames: that would take the jitter away with the truth's help.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glpn_cli.data.samples import Sample
from glpn_cli.geometry import back_project, project
from glpn_cli.poses import Matrix, motion_between
from glpn_cli.prediction import Intrinsics

TEMPORAL_METRICS = ("scale_jitter", "flicker", "tae")
_SAME_POINT = 0.02
"""Depths of one point, true and carried over, differ by less than this in their logarithm; others hide each other."""

_Depth = NDArray[np.float32]
_Places = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ScoredFrame:
    """A frame of a film, with its truth and its map.

    depth:  float32 (H, W), predicted, > 0 where it counts
    counts: bool (H, W), the pixels that count and have a depth in both maps
    """

    sample: Sample
    depth: _Depth
    counts: NDArray[np.bool_]

    def errors(self) -> NDArray[np.float64]:
        """The error of every pixel, ln d - ln g, (H, W); 0 where it does not count."""
        wrong = np.zeros(self.counts.shape)
        wrong[self.counts] = np.log(self.depth[self.counts]) - np.log(self.sample.depth[self.counts], dtype=np.float64)
        return wrong

    def score_change(self, second: ScoredFrame) -> dict[str, float]:
        """The temporal metrics of two frames in a row, by name, without those that nothing is known of.

        Empty where they belong to two films, or differ in size; flicker and tae need poses, a camera and common points.
        """
        if self.sample.clip != second.sample.clip or self.sample.size != second.sample.size:
            return {}
        before, now = self.errors(), second.errors()
        scores = {"scale_jitter": float(abs(np.median(now[second.counts]) - np.median(before[self.counts])))}
        if self.sample.pose is None or second.sample.pose is None or second.sample.intrinsics is None:
            return scores
        camera = second.sample.intrinsics
        back = motion_between(second.sample.pose, self.sample.pose)
        forth = motion_between(self.sample.pose, second.sample.pose)
        at, was = follow(second.sample.depth, self.sample.depth, camera, back, within=_SAME_POINT)
        both = second.counts.ravel()[at] & self.counts.ravel()[was]
        if both.any():
            scores["flicker"] = float(np.mean(np.abs(now.ravel()[at[both]] - before.ravel()[was[both]])))
        ways = [_misalign(second, self, camera, back), _misalign(self, second, camera, forth)]
        if all(way.size for way in ways):
            scores["tae"] = float(np.mean([way.mean() for way in ways]))
        return scores


def follow(
    depth: _Depth, other: _Depth, camera: Intrinsics, motion: Matrix, *, within: float = np.inf
) -> tuple[_Places, _Places]:
    """Where the points of a frame are in another one: two lists (N,) of places in their maps, flattened.

    depth, other: float32 (H, W), metres; 0 where unknown
    motion:       takes points of the frame to the other camera
    within:       points whose depth there is not the one that is known there, up to this in logarithm, are left out:
                  something hides them
    """
    at = np.flatnonzero(depth)
    x, y, z = carry(depth, camera, motion).reshape(-1, 3)[at].T
    height, width = other.shape
    x, y = np.rint(x), np.rint(y)
    inside = (z > 0) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    at, z = at[inside], z[inside]
    place = y[inside].astype(np.int64) * width + x[inside].astype(np.int64)
    known = other.ravel()[place]
    seen = known > 0
    seen[seen] = np.abs(np.log(z[seen] / known[seen])) < within
    return at[seen], place[seen]


def carry(depth: _Depth, camera: Intrinsics, motion: Matrix) -> NDArray[np.float64]:
    """Where every pixel is in another picture, float64 (H, W, 3): x and y in pixels there, and its depth from there."""
    points = back_project(depth, camera).astype(np.float64) @ motion[:3, :3].T + motion[:3, 3]
    ahead = np.where(points[..., 2:] > 0, points, 1.0)  # what is behind the camera is seen nowhere, and told by its z
    seen = project(ahead.reshape(-1, 3).astype(np.float32), camera).reshape(*depth.shape, 2)
    return np.concatenate([seen, points[..., 2:]], axis=2)


def _misalign(frame: ScoredFrame, other: ScoredFrame, camera: Intrinsics, motion: Matrix) -> NDArray[np.float64]:
    """|z - d| / d of the points of a predicted map that fall on the other one, (N,)."""
    depth = np.where(frame.counts, frame.depth, np.float32(0))
    there = np.where(other.counts, other.depth, np.float32(0))
    at, place = follow(depth, there, camera, motion)
    z = carry(depth, camera, motion)[..., 2].ravel()[at]
    there_m = there.ravel()[place].astype(np.float64)
    wrong: NDArray[np.float64] = np.abs(z - there_m) / there_m
    return wrong
