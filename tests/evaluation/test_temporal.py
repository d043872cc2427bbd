"""Temporal metrics in closed form: films whose flicker, jitter and alignment are known beforehand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from glpn_cli.data.samples import Sample
from glpn_cli.errors import UsageError
from glpn_cli.evaluation.alignment import Alignment
from glpn_cli.evaluation.evaluate import Evaluation, evaluate
from glpn_cli.evaluation.metrics import MetricGroup
from glpn_cli.evaluation.predictors import RowFit
from glpn_cli.evaluation.protocols import Protocol
from glpn_cli.evaluation.temporal import ScoredFrame, carry, follow
from glpn_cli.poses import Matrix
from glpn_cli.prediction import DepthKind, Intrinsics

SIZE = (24, 32)
CAMERA = Intrinsics(20.0, 20.0, 15.5, 11.5)
Values = NDArray[np.float32]


def pose_at(x: float, y: float, z: float) -> Matrix:
    pose = np.eye(4)
    pose[:3, 3] = x, y, z
    return pose


def wall(distance: float) -> Values:
    return np.full(SIZE, distance, np.float32)


def frame(truth: Values, predicted: Values, pose: Matrix | None = None, clip: str = "") -> ScoredFrame:
    sample = Sample(np.zeros((*SIZE, 3), np.uint8), truth, intrinsics=CAMERA, pose=pose, clip=clip)
    return ScoredFrame(sample, predicted, truth > 0)


def test_a_perfect_film_of_a_moving_camera_scores_nothing() -> None:
    first = frame(wall(4), wall(4), pose_at(0, 0, 0))
    second = frame(wall(3), wall(3), pose_at(0.5, 0, 1))
    assert first.score_change(second) == pytest.approx({"scale_jitter": 0, "flicker": 0, "tae": 0}, abs=1e-6)


def test_a_frame_three_percent_too_far_is_jitter_and_flicker_of_three_percent() -> None:
    first = frame(wall(4), wall(4), pose_at(0, 0, 0))
    scores = first.score_change(frame(wall(3), wall(3) * np.float32(1.03), pose_at(0, 0, 1)))
    assert scores["scale_jitter"] == pytest.approx(math.log(1.03), rel=1e-5)
    assert scores["flicker"] == pytest.approx(math.log(1.03), rel=1e-5)
    # Forth: 4 m at 1 m less is 3 m, and there 3.09 m is predicted. Back: 3.09 + 1 m, and there 4 m.
    assert scores["tae"] == pytest.approx((0.09 / 3.09 + 0.09 / 4) / 2, rel=1e-4)


def test_one_wrong_scale_all_along_is_steady() -> None:
    first = frame(wall(4), wall(6), pose_at(0, 0, 0))
    scores = first.score_change(frame(wall(3), wall(4.5), pose_at(0, 0, 1)))
    assert (scores["scale_jitter"], scores["flicker"]) == pytest.approx((0, 0), abs=1e-6)
    assert scores["tae"] > 0.05  # metres that the pose contradicts


def test_halves_that_change_against_each_other_flicker_and_do_not_jitter() -> None:
    waves = np.where(np.arange(32) % 2 == 0, 1.02, 1 / 1.02).astype(np.float32)
    still = pose_at(0, 0, 0)
    scores = frame(wall(4), wall(4) * waves, still).score_change(frame(wall(4), wall(4) / waves, still))
    assert scores["flicker"] == pytest.approx(2 * math.log(1.02), rel=1e-4)
    assert scores["scale_jitter"] == pytest.approx(0, abs=1e-6)


def test_points_that_are_hidden_in_the_other_frame_do_not_count() -> None:
    truth = wall(4)
    truth[:, 10:20] = 1  # a post, which hides other parts of the wall from beside
    step = pose_at(0.4, 0, 0)
    other = wall(4)
    other[:, 2:12] = 1  # 20 px times 0.4 m is 8 px at 1 m, and 2 px at 4 m
    at, was = follow(truth, other, CAMERA, np.linalg.inv(step), within=0.02)
    assert np.allclose(truth.ravel()[at], other.ravel()[was])
    assert {10 - 8, 19 - 8} <= set((was % 32).tolist())
    seen = set((at % 32).tolist())
    assert not set(range(4, 10)) & seen  # of the wall, 2 px to the left: behind the post
    assert set(range(10, 20)) <= seen


def test_a_point_moves_as_a_pinhole_says() -> None:
    moved = carry(wall(4), CAMERA, pose_at(0.4, 0, 1))
    assert moved[11, 15] == pytest.approx([(-0.5 / 20 * 4 + 0.4) / 5 * 20 + 15.5, (-0.5 / 20 * 4) / 5 * 20 + 11.5, 5])


def test_holes_and_cuts_and_missing_poses_say_nothing() -> None:
    holes = wall(4)
    holes[:, 16:] = 0
    first, second = frame(holes, wall(4)), frame(wall(4), wall(5))
    assert first.score_change(second) == pytest.approx({"scale_jitter": math.log(5 / 4)})
    assert first.score_change(frame(wall(4), wall(5), clip="another")) == {}


class Film:
    """Four frames before a wall, and a second clip of one frame."""

    name = "film"
    length = 5

    def name_of(self, index: int) -> str:
        return f"{index}.png"

    def read(self, index: int) -> Sample:
        rgb = np.full((*SIZE, 3), index, np.uint8)
        clip = "a" if index < 4 else "b"
        return Sample(rgb, wall(4), 20.0, str(index), intrinsics=CAMERA, pose=np.eye(4), clip=clip)


def test_a_film_is_scored_in_order_beside_its_accuracy() -> None:
    protocol, groups = Protocol(), (MetricGroup.DEPTH, MetricGroup.TEMPORAL)
    evaluation = Evaluation.begin(RowFit(4.0, 4.0), Film(), protocol=protocol, groups=groups)
    rows = [row for (row,) in evaluate(Film(), [evaluation])]
    scores = [row.scores[Alignment.NONE] for row in rows]
    assert ["flicker" in each for each in scores] == [False, True, True, True, False]
    assert all(each["abs_rel"] < 1e-6 for each in scores)
    assert all("flicker" not in row.scores[Alignment.MEDIAN] for row in rows)


def test_maps_without_a_scale_are_refused() -> None:
    asked = {"protocol": Protocol(), "groups": (MetricGroup.TEMPORAL,)}
    Evaluation.begin(RowFit(1.0, 2.0), Film(), **asked)
    with pytest.raises(UsageError, match="affine"):
        Evaluation.begin(RowFit(1.0, 2.0, kind=DepthKind.AFFINE), Film(), **asked)
