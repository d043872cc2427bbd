"""Walks: one camera on one path, whose poses and depths agree to the millimetre."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from glpn_cli.data.pairs import PairList
from glpn_cli.errors import UsageError
from glpn_cli.geometry import back_project, project
from glpn_cli.poses import motion_between, pose_of
from glpn_cli.scenes.render import Scene, render_scene
from glpn_cli.scenes.walk import find_poses, render_frame
from glpn_cli.scenes.write import plan_scenes

SMALL = (96, 128)


@pytest.fixture(scope="module")
def film() -> list[Scene]:
    return [render_frame(7, 1, frame, frames=12, size=SMALL) for frame in (0, 1, 11)]


def test_a_walk_begins_where_its_scene_was_taken(film: list[Scene]) -> None:
    scene = render_scene(7, 1, size=SMALL)
    assert np.allclose(film[0].pose.matrix(), scene.pose.matrix(), atol=1e-9)
    assert np.allclose(film[0].depth, scene.depth, rtol=1e-5)
    assert film[0].intrinsics == scene.intrinsics


def test_the_camera_moves_as_a_hand_does(film: list[Scene]) -> None:
    poses = [pose.matrix() for pose in find_poses(7, 1, frames=12, size=SMALL, focal_px=None)]
    assert np.allclose(poses[11], film[2].pose.matrix())
    steps = [np.linalg.norm(motion_between(a, b)[:3, 3]) for a, b in pairwise(poses)]
    assert 0 < max(steps) < 0.06  # metres in a thirtieth of a second
    assert not np.array_equal(film[0].rgb, film[1].rgb)


@pytest.mark.parametrize("last", [1, 2])
def test_points_are_where_the_next_frame_sees_them(film: list[Scene], last: int) -> None:
    first, second = film[0], film[last]
    motion = motion_between(first.pose.matrix(), second.pose.matrix())
    points = back_project(first.depth, first.intrinsics).reshape(-1, 3) @ motion[:3, :3].T + motion[:3, 3]
    x, y = np.rint(project(points.astype(np.float32), second.intrinsics)).astype(int).T
    seen = (x >= 0) & (x < SMALL[1]) & (y >= 0) & (y < SMALL[0])
    assert seen.mean() > 0.5
    change = np.abs(second.depth[y[seen], x[seen]] / points[seen, 2] - 1)
    assert np.median(change) < 0.005  # half a pixel of a slanted surface
    assert np.mean(change < 0.05) > 0.85  # the others are hidden


def test_the_list_and_the_trajectory_hold_the_poses(tmp_path: Path) -> None:
    plan = plan_scenes(tmp_path, count=2, seed=7, size=(24, 32), frames=2)
    assert plan.todo == (0, 1, 2, 3)
    listing = plan.write()
    assert PairList.read_csv(listing).length == 4
    lines = (tmp_path / "0001" / "groundtruth.txt").read_text().splitlines()
    time, *numbers = map(float, lines[2].split())
    assert time == pytest.approx(1 / 30, abs=1e-6)
    pose = find_poses(7, 1, frames=2, size=(24, 32), focal_px=None)[1]
    assert np.allclose(pose_of(numbers), pose.matrix(), atol=1e-6)


def test_walks_go_on_and_never_mix_with_lone_pictures(tmp_path: Path) -> None:
    plan_scenes(tmp_path, count=1, seed=7, size=(24, 32), frames=2).write()
    assert plan_scenes(tmp_path, count=2, seed=7, size=(24, 32), frames=2).todo == (2, 3)
    for frames in (None, 3):
        with pytest.raises(UsageError, match="walk"):
            plan_scenes(tmp_path, count=2, seed=7, size=(24, 32), frames=frames)
    plan_scenes(tmp_path, count=2, seed=7, size=(24, 32), frames=2).write()
    assert plan_scenes(tmp_path, count=1, seed=7, size=(24, 32), frames=2).unlisted == (2, 3)


def test_a_pose_has_the_angles_that_it_was_made_of(film: list[Scene]) -> None:
    from glpn_cli.scenes.camera import make_pose

    pose = make_pose((1, 2, 3), 2.5, -0.4, 0.1)
    assert pose.angles() == pytest.approx((2.5, -0.4, 0.1))
    assert pose._replace(position=(0.0, 0.0, 0.0)).matrix()[:3, :3] @ pose.matrix()[:3, :3].T == pytest.approx(
        np.eye(3)
    )
    assert np.linalg.det(film[0].pose.matrix()) == pytest.approx(1)
