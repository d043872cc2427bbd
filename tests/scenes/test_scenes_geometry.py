"""Rays end where geometry says: solids in closed form, the tree against trying everything, walls to the millimetre."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pytest

from glpn_cli.prediction import Intrinsics
from glpn_cli.scenes import rays, solids
from glpn_cli.scenes.camera import make_pose
from glpn_cli.scenes.compiled import compiled
from glpn_cli.scenes.materials import Material
from glpn_cli.scenes.parts import Parts
from glpn_cli.scenes.render import plant_tree, trace_picture
from glpn_cli.scenes.solids import FAR
from glpn_cli.scenes.vectors import Vector
from glpn_cli.scenes.world import World

GREY = Material()
hit_solid, surface = compiled(solids.hit_solid), compiled(solids.surface)
trace, leave_shell = compiled(rays.trace), compiled(rays.leave_shell)


def vector(numbers: Iterable[float]) -> Vector:
    """As floats alone, since numba compiles anew for every mixture of kinds of numbers."""
    x, y, z = map(float, numbers)
    return x, y, z


def hit(parts: Parts, origin: tuple[float, float, float], direction: tuple[float, float, float]) -> float:
    rows, *_ = parts.arrays()
    return hit_solid(rows[0], vector(origin), vector(direction), FAR)


def test_a_box_is_hit_on_its_near_face_wherever_it_is_turned() -> None:
    parts = Parts()
    parts.box((2.0, 0.0, 1.0), (1.0, 1.0, 1.0), GREY)
    assert hit(parts, (0, 0, 1), (1, 0, 0)) == pytest.approx(1.5)
    turned = Parts()
    turned.box((2.0, 0.0, 1.0), (1.0, 1.0, 1.0), GREY, yaw=math.pi / 4)
    assert hit(turned, (0, 0, 1), (1, 0, 0)) == pytest.approx(2.0 - math.sqrt(0.5))


def test_the_parameter_of_a_hit_counts_in_lengths_of_the_direction() -> None:
    parts = Parts()
    parts.box((2.0, 0.0, 0.0), (1.0, 1.0, 1.0), GREY)
    assert hit(parts, (0, 0, 0), (0.5, 0, 0)) == pytest.approx(3.0)


def test_a_ball_a_pipe_and_a_cushion_are_hit_where_they_are_round() -> None:
    ball, pipe, cushion = Parts(), Parts(), Parts()
    ball.ball((3.0, 0.0, 0.0), (2.0, 2.0, 2.0), GREY)
    pipe.pipe((3.0, 0.0, -1.0), 2.0, 1.0, GREY)
    cushion.cushion((3.0, 0.0, 0.0), (2.0, 2.0, 2.0), GREY, radius=0.3)
    beside = math.sqrt(1.0 - 0.6**2)
    assert hit(ball, (0, 0.6, 0), (1, 0, 0)) == pytest.approx(3.0 - beside)
    assert hit(pipe, (0, 0.6, 0.5), (1, 0, 0)) == pytest.approx(3.0 - beside)
    assert hit(pipe, (3.2, 0.3, 5.0), (0, 0, -1)) == pytest.approx(4.0)
    assert hit(cushion, (0, 0, 0), (1, 0, 0)) == pytest.approx(2.0, abs=2e-4)
    assert hit(cushion, (0, 0.99, 0.99), (1, 0, 0)) == FAR


def test_a_cone_narrows_and_a_cut_ball_is_open() -> None:
    cone, bowl = Parts(), Parts()
    cone.pipe((3.0, 0.0, 0.0), 2.0, 1.0, GREY, top=0.0)
    bowl.ball((3.0, 0.0, 0.0), (2.0, 2.0, 2.0), GREY, cut=0.0)
    assert hit(cone, (0, 0, 1.0), (1, 0, 0)) == pytest.approx(2.5)
    assert hit(bowl, (3.0, 0.0, 5.0), (0, 0, -1)) == pytest.approx(6.0)
    assert hit(bowl, (0, 0, 0.5), (1, 0, 0)) == FAR


def test_a_rod_runs_between_its_ends() -> None:
    parts = Parts()
    parts.rod((1.0, -1.0, 0.0), (1.0, 1.0, 1.0), 0.05, GREY)
    assert hit(parts, (0, 0, 0.5), (1, 0, 0)) == pytest.approx(0.95)
    assert hit(parts, (0, 0.9, 0.1), (1, 0, 0)) == FAR


def test_a_leaf_is_hit_inside_its_outline_only() -> None:
    parts = Parts()
    parts.leaf((0.0, 0.0, 1.0), (0.4, 0.1), GREY)
    assert hit(parts, (0, 0, 2), (0, 0, -1)) == pytest.approx(1.0)
    assert hit(parts, (0.19, 0.045, 2), (0, 0, -1)) == FAR


def test_a_frame_turns_and_moves_what_is_drawn_in_it() -> None:
    parts = Parts()
    with parts.frame(5.0, 0.0, 0.0, math.pi / 2), parts.frame(1.0, 0.0, 0.5):
        parts.box((0, 0, 0), (0.2, 0.2, 0.2), GREY)
    assert parts.solids[0][:3] == pytest.approx([5.0, 1.0, 0.5])


def make_heap(count: int) -> Parts:
    rng = np.random.default_rng(5)
    parts = Parts()
    for k in range(count):
        at, size = rng.uniform(-3, 3, 3).tolist(), rng.uniform(0.1, 0.8, 3).tolist()
        turn = {"yaw": rng.uniform(0, 6), "tilt": rng.uniform(-1, 1), "roll": rng.uniform(-1, 1)}
        draw_one = (parts.box, parts.ball, parts.cushion)[k % 3]
        draw_one(at, size, GREY, **turn)
        parts.pipe(rng.uniform(-3, 3, 3).tolist(), 0.5, 0.2, GREY, top=rng.uniform(0, 1.8), **turn)
        parts.leaf(rng.uniform(-3, 3, 3).tolist(), (0.6, 0.3), GREY, bend=rng.uniform(0, 2), **turn)
    return parts


def test_the_tree_finds_what_trying_every_solid_finds() -> None:
    rows, *_ = make_heap(60).arrays()
    nodes, order = plant_tree(rows)
    assert sorted(order) == list(range(len(rows)))
    sorted_rows, stack = rows[order], np.empty(128, np.int64)
    rng = np.random.default_rng(6)
    hits = 0
    for _ in range(400):
        o, d = vector(rng.uniform(-4, 4, 3)), vector(rng.normal(size=3))
        every = min(hit_solid(row, o, d, FAR) for row in rows)
        found, who = trace(nodes, sorted_rows, stack, o, d, FAR, False)
        assert found == pytest.approx(every, rel=1e-9)
        assert (who >= 0) == (every < FAR)
        hits += who >= 0
    assert 50 < hits < 400


def test_air_is_left_where_the_last_cuboid_ends() -> None:
    parts = Parts()
    parts.open_air((0, 0, 0), (4, 3, 2.5), [GREY] * 6)
    parts.open_air((3.9, 1, 0), (6, 2, 2), [GREY] * 6)  # a doorway's recess
    _, air, _, _ = parts.arrays()
    assert leave_shell(air, (1.0, 1.5, 1.0), (1.0, 0.0, 0.0)) == pytest.approx((5.0, 1, 1))
    assert leave_shell(air, (1.0, 0.5, 1.0), (1.0, 0.0, 0.0)) == pytest.approx((3.0, 0, 1))
    assert leave_shell(air, (1.0, 1.5, 1.0), (0.0, 0.0, 2.0)) == pytest.approx((0.75, 0, 5))


@pytest.mark.parametrize("make", [Parts.box, Parts.ball, Parts.cushion])
def test_normals_point_out_of_solids(make: object) -> None:
    parts = Parts()
    assert callable(make)
    make(parts, (1.0, 2.0, 3.0), (0.8, 0.6, 0.4), GREY, yaw=0.7, tilt=0.3)
    rows, *_ = parts.arrays()
    rng = np.random.default_rng(1)
    for _ in range(50):
        d = rng.normal(size=3)
        origin = np.array([1.0, 2.0, 3.0]) - 5 * d / np.linalg.norm(d)
        t = hit_solid(rows[0], vector(origin), vector(d), FAR)
        normal, *_ = surface(rows[0], vector(origin + t * d))
        assert np.dot(normal, d) < 0
        assert np.dot(normal, normal) == pytest.approx(1.0)


def test_back_projected_walls_are_planar_to_the_millimetre() -> None:
    parts = Parts()
    parts.open_air((0, 0, 0), (6.0, 4.0, 2.5), [GREY] * 6)
    parts.lamp((3, 2, 2.2), (5, 5, 5))
    rows, air, materials, lights = parts.arrays()
    nodes, _ = plant_tree(rows)
    pose = make_pose((1.0, 1.2, 1.4), 0.4, -0.1, 0.05)
    height, width, focal = 72, 96, 80.0
    camera = Intrinsics(focal, focal, 0.5 * (width - 1), 0.5 * (height - 1))
    sky = np.array([0.2, 0.2, 0.2, 0, 0, 0, 0, 0, 0.0])
    empty = World(nodes, rows, air, materials, lights, sky)
    _, depth, normals, labels = trace_picture(pose, camera, empty, 0.3, 0, size=(height, width))
    v, u = np.mgrid[:height, :width]
    points = np.stack([(u - camera.cx) / focal * depth, (v - camera.cy) / focal * depth, depth], axis=-1)
    axes = np.array([pose.right, pose.down, pose.forward])
    world = points @ axes + np.array(pose.position)
    inward = normals @ axes
    for axis, plane, sign in ((0, 6.0, -1), (1, 4.0, -1), (2, 0.0, 1), (2, 2.5, -1)):
        here = inward[..., axis] * sign > 0.99
        assert here.sum() > 100
        assert np.abs(world[here][:, axis] - plane).max() < 1e-3
    assert set(np.unique(labels)) == {0, 1, 2}
