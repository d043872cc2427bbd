"""Poses in files and in memory are the same."""

from __future__ import annotations

import numpy as np
import pytest

from glpn_cli.errors import InputError
from glpn_cli.poses import motion_between, pose_numbers, pose_of


def test_numbers_and_matrix_are_one_pose() -> None:
    rng = np.random.default_rng(0)
    turns = [*rng.normal(size=(20, 4)), *np.eye(4)]
    for turn in turns:
        quaternion = turn / np.linalg.norm(turn)
        quaternion = quaternion if quaternion[3] >= 0 else -quaternion
        numbers = (*rng.normal(size=3), *quaternion)
        pose = pose_of(numbers)
        assert np.allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3))
        assert np.linalg.det(pose) == pytest.approx(1)
        assert np.allclose(pose_numbers(pose), numbers, atol=1e-12)


def test_a_quarter_turn_about_z_takes_x_to_y() -> None:
    pose = pose_of((1, 2, 3, 0, 0, np.sqrt(0.5), np.sqrt(0.5)))
    assert np.allclose(pose @ [1, 0, 0, 1], [1, 3, 3, 1])
    assert np.allclose(motion_between(pose, pose), np.eye(4))
    assert np.allclose(motion_between(np.eye(4), pose) @ pose, np.eye(4))


@pytest.mark.parametrize("numbers", [(0,) * 7, (0, 0, np.nan, 0, 0, 0, 1), (0, 0, 0, 1)])
def test_nonsense_is_no_pose(numbers: tuple[float, ...]) -> None:
    with pytest.raises(InputError):
        pose_of(numbers)
