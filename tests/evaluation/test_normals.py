from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from glpn_cli.evaluation.metrics import NORMAL_METRICS, Measures, MetricGroup, score_normals
from glpn_cli.geometry import depth_from_ray
from glpn_cli.prediction import Intrinsics

CAMERA = Intrinsics(80, 90, 20, 31)
SIZE = (48, 64)


def plane(tilt_deg: float, *, camera: Intrinsics = CAMERA, size: tuple[int, int] = SIZE) -> NDArray[np.float64]:
    """The depth of a wall that is turned away around the vertical, 3 m from the camera: its normal is known."""
    x = (np.arange(size[1]) - camera.cx) / camera.fx
    normal = math.sin(math.radians(tilt_deg)), -math.cos(math.radians(tilt_deg))
    return np.repeat(-3 / (normal[0] * x + normal[1])[None], size[0], axis=0)


def angles_of(predicted: NDArray[np.float64], truth: NDArray[np.float64], camera: Intrinsics) -> dict[str, float]:
    counted = np.ones(truth.shape, bool)
    measures = Measures((MetricGroup.NORMALS,), truth.astype(np.float32), counted, camera)
    return measures.score(predicted.ravel())


@pytest.mark.parametrize(
    ("ours", "theirs", "within"), [(10, 0, (1, 1, 1)), (-5, 7, (0, 1, 1)), (25, 0, (0, 0, 1)), (40, 5, (0, 0, 0))]
)
def test_planes_at_known_angles_are_that_far_apart(ours: float, theirs: float, within: tuple[int, int, int]) -> None:
    scores = angles_of(plane(ours), plane(theirs), CAMERA)
    assert scores["normal_mean"] == pytest.approx(abs(ours - theirs), abs=1e-3)  # depths are float32
    assert scores["normal_median"] == pytest.approx(abs(ours - theirs), abs=1e-3)
    assert tuple(scores[name] for name in NORMAL_METRICS[2:]) == within


def test_one_factor_on_a_map_changes_no_normal() -> None:
    assert angles_of(2.5 * plane(20), plane(20), CAMERA)["normal_mean"] == pytest.approx(0, abs=1e-3)


def test_the_principal_point_of_the_picture_decides() -> None:
    truth, seen = plane(20), plane(35)
    scores = [angles_of(seen, truth, camera)["normal_mean"] for camera in (CAMERA, Intrinsics(80, 90, 31.5, 23.5))]
    assert scores[0] == pytest.approx(15, abs=1e-3)
    assert abs(scores[1] - 15) > 0.1


def test_angles_agree_with_plain_arithmetic_to_a_millionth() -> None:
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(2, 6, 7, 3))
    ours, theirs = (maps / np.linalg.norm(maps, axis=3, keepdims=True)).astype(np.float32)
    ours[0, :3], theirs[2, 2] = 0, 0
    angles = []
    for a, b in zip(ours.reshape(-1, 3).tolist(), theirs.reshape(-1, 3).tolist(), strict=True):
        if any(a) and any(b):
            dot = math.fsum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))
            angles.append(math.degrees(math.acos(dot)))
    angles.sort()
    assert len(angles) == 38
    expected = {
        "normal_mean": math.fsum(angles) / 38,
        "normal_median": (angles[18] + angles[19]) / 2,
        "normal_11_25": sum(angle < 11.25 for angle in angles) / 38,
        "normal_22_5": sum(angle < 22.5 for angle in angles) / 38,
        "normal_30": sum(angle < 30 for angle in angles) / 38,
    }
    assert score_normals(ours, theirs) == pytest.approx(expected, abs=1e-6)
    assert tuple(expected) == NORMAL_METRICS


def test_lone_pixels_have_no_normals_and_no_scores() -> None:
    counted = np.zeros(SIZE, bool)
    counted[::2, ::2] = True
    measures = Measures((MetricGroup.NORMALS,), plane(0).astype(np.float32), counted, CAMERA)
    assert measures.score(plane(0)[counted]) == {}


def test_the_ray_of_a_pixel_is_longer_than_its_depth_by_what_its_angle_says() -> None:
    depth = plane(20)
    y, x = np.indices(SIZE)
    points = np.stack([(x - 20) / 80 * depth, (y - 31) / 90 * depth, depth], axis=-1)
    length = np.linalg.norm(points, axis=-1).astype(np.float32)
    length[0, 0] = 0
    back = depth_from_ray(length, CAMERA)
    assert back.dtype == np.float32
    assert back[0, 0] == 0
    np.testing.assert_allclose(back.ravel()[1:], depth.ravel()[1:], rtol=1e-6)
