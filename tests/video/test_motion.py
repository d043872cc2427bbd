"""The camera's motion, found in pictures of a known wall from known places."""

from __future__ import annotations

import numpy as np
import pytest
from films import FOCAL_PX, WALL_M, photograph, pose_at

from glpn_cli.poses import motion_between
from glpn_cli.video.motion import View, interpolate

STILL = np.eye(4)


@pytest.mark.parametrize(
    ("shift", "turn"), [((0.05, 0, 0), 0.0), ((0, 0.03, 0.08), 0.0), ((0, 0, 0), 0.03), ((0.04, 0.02, -0.05), -0.02)]
)
def test_motion_is_found_from_pictures_and_depth(shift: tuple[float, float, float], turn: float) -> None:
    first, second = pose_at(), pose_at(shift, turn)
    one, other = (View.of(*photograph(pose), FOCAL_PX) for pose in (first, second))
    true, found = motion_between(first, second), one.motion_to(other, STILL)
    x, y, depth, _ = one.carry(true)
    found_x, found_y, found_depth, seen = one.carry(found)
    assert np.median(np.hypot(x - found_x, y - found_y)[seen]) < 0.15  # cells of the grid
    assert np.median(np.abs(depth - found_depth)[seen]) < 0.004
    assert one.likeness(other, found) > max(0.95, one.likeness(other, STILL))


def test_depth_that_is_wrong_by_a_factor_gives_motion_that_is_too() -> None:
    first, second = pose_at(), pose_at((0.05, 0, 0.08))
    (picture, depth), (later, later_depth) = photograph(first), photograph(second)
    one, other = View.of(picture, depth * 2, FOCAL_PX), View.of(later, later_depth * 2, FOCAL_PX)
    found = one.motion_to(other, STILL)
    assert found[:3, 3] == pytest.approx(2 * motion_between(first, second)[:3, 3], abs=0.03)


def test_a_bare_wall_says_nothing_and_the_expected_motion_is_kept() -> None:
    bare = np.full((48, 64, 3), 128, np.uint8)
    view = View.of(bare, np.full((48, 64), WALL_M, np.float32), 50.0)
    expected = pose_at((0.01, 0, 0))
    assert np.array_equal(view.motion_to(view, expected), expected)
    assert view.likeness(view, STILL) == pytest.approx(1, abs=1e-3)


def test_another_place_is_not_alike() -> None:
    one, other = (View.of(*photograph(pose_at(), seed), FOCAL_PX) for seed in (1, 2))
    assert one.likeness(other, one.motion_to(other, STILL)) < 0.5


def test_values_between_cells_are_bilinear() -> None:
    grid = np.arange(12, dtype=np.float32).reshape(3, 4)
    x, y = np.array([0, 1.5, 2.25], np.float32), np.array([0, 0.5, 1.5], np.float32)
    assert interpolate(grid, x, y) == pytest.approx([0, 3.5, 8.25], abs=1e-5)
