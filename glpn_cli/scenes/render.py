"""Renders a scene from (seed, index): draws the room, chooses a view, traces light and depth, develops a photograph."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glpn_cli.geometry import make_camera
from glpn_cli.prediction import Intrinsics
from glpn_cli.scenes.arrange import furnish
from glpn_cli.scenes.camera import choose_focal, develop, is_clear, propose_pose
from glpn_cli.scenes.chance import Chance
from glpn_cli.scenes.hangings import hang_things, light_ceiling
from glpn_cli.scenes.parts import Parts
from glpn_cli.scenes.room import KINDS, Room
from glpn_cli.scenes.shell import build_shell
from glpn_cli.scenes.style import Style
from glpn_cli.scenes.world import Pose, World

GENERATOR = "2"
"""Changes whenever the same (seed, index) would give another picture."""


@dataclass(frozen=True, eq=False)
class Scene:
    """One rendered photograph with its ground truth.

    rgb:        uint8 (H, W, 3)
    depth:      float32 (H, W), metres along the optical axis at the pixel's centre; finite and > 0 everywhere
    intrinsics: the pinhole camera, in pixels
    normals:    float32 (H, W, 3), unit, towards the camera, in its frame (x right, y down, z forward)
    labels:     uint8 (H, W), see `parts.Label`
    kind:       what sort of room it is
    pose:       where the camera is
    """

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    intrinsics: Intrinsics
    normals: NDArray[np.float32]
    labels: NDArray[np.uint8]
    kind: str
    pose: Pose


def _draw_room(chance: Chance) -> tuple[World, Room]:
    """Design, furnish and light one room."""
    parts = Parts()
    style = Style(parts, chance)
    room = build_shell(style, chance.weigh([(often, kind) for kind, (often, _, _) in KINDS.items()]))
    light_ceiling(style, room)
    furnish(style, room)
    hang_things(style, room)
    solids, air, materials, lights = parts.arrays()
    nodes, order = plant_tree(solids)
    return World(nodes, solids[order], air, materials, lights, _make_sky(style, room)), room


def plant_tree(solids: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The tree over solids, see `rays.grow_tree`, and the order (N,) in which its leaves hold them."""
    from glpn_cli.scenes.rays import grow_tree

    order = np.arange(len(solids))
    nodes = np.empty((max(len(solids), 1), 14))
    used = grow_tree(np.hstack(bound_solids(solids)), order, nodes)
    return nodes[:used], order


def bound_solids(solids: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Corners (N, 3) of the axis-aligned boxes around solids."""
    axes = np.abs(solids[:, 3:12].reshape(-1, 3, 3))
    half = solids[:, 12:15].copy()
    cones = (solids[:, 15] == 2) & (solids[:, 16] > 1)  # wider at the top than at the foot
    half[cones, :2] *= solids[cones, 16:17]
    reach = np.einsum("nij,ni->nj", axes, half)
    return solids[:, 0:3] - reach, solids[:, 0:3] + reach


def _make_sky(style: Style, room: Room) -> NDArray[np.float64]:
    """Ambient light and, on some bright days, the sun through the windows."""
    d = style.chance
    level = d.between(0.05, 0.25)
    tint = style.near((240, 235, 228), 10)
    sky = np.zeros(9)
    sky[0:3] = [level * c for c in tint]
    if room.lit_by_day() and d.yes(0.35):
        a, e = d.between(0, 2 * math.pi), math.radians(d.between(12, 55))
        sky[3:6] = [math.cos(e) * math.cos(a), math.cos(e) * math.sin(a), math.sin(e)]
        power = d.between(2.0, 9.0)
        sky[6:9] = [power * c for c in style.near((255, 236, 205), 8)]
    return sky


def _choose_view(chance: Chance, world: World, room: Room, camera: Intrinsics, size: tuple[int, int]) -> Pose:
    """Choose the proposed view whose depths are most like those of photographs."""
    from glpn_cli.scenes.tracer import look_around

    depth = np.empty((9, 12))
    tangents = (0.5 * size[1] / camera.fx, 0.5 * size[0] / camera.fy)
    best: Pose | None = None
    least = math.inf
    for attempt in range(20):
        pose, want = propose_pose(chance, room)
        if not is_clear(world.solids, pose.position, 0.1 if attempt < 16 else 0.02):
            continue
        changes = look_around(pose, tangents, world, depth)
        near, middle, far = np.percentile(depth, [3, 50, 97])
        cost = (
            abs(math.log(middle / want)) + 2.0 * max(0.0, math.log(0.45 / near)) + 0.3 * max(0.0, math.log(far / 9.0))
        )
        # Empty walls are seen often enough by themselves.
        cost += max(0.0, 0.9 - 0.035 * changes)
        if cost < least:
            best, least = pose, cost
        if least < 0.15:
            break
    if best is None:
        best, _ = propose_pose(chance, room)
    return best


def render_scene(
    seed: int, index: int, *, size: tuple[int, int] = (192, 256), focal_px: float | None = None, extra_rays: int = 3
) -> Scene:
    """Scene `index` of stream `seed`: a pure function of its arguments.

    size:       (H, W) of the picture
    focal_px:   of every picture; None varies it, as among handheld cameras
    extra_rays: more rays for the colour of pixels on edges
    Raises UsageError without numba.
    """
    view = Chance(seed, index, 2)
    world, room, pose, camera = design_scene(seed, index, size=size, focal_px=focal_px, view=view)
    light, depth, normals, labels = trace_picture(pose, camera, world, view.unit(), extra_rays, size=size)
    rgb = develop(Chance(seed, index, 3), light, depth)
    return Scene(rgb, depth, camera, normals, labels, room.kind, pose)


def design_scene(
    seed: int, index: int, *, size: tuple[int, int], focal_px: float | None, view: Chance | None = None
) -> tuple[World, Room, Pose, Intrinsics]:
    """A furnished room, and the place in it where scene `index` is taken, through which camera.

    view: the stream of random numbers that the place is chosen with; it goes on from there
    """
    world, room = _draw_room(Chance(seed, index))
    camera = camera_of(seed, index, size=size, focal_px=focal_px)
    return world, room, _choose_view(view or Chance(seed, index, 2), world, room, camera, size), camera


def trace_picture(
    pose: Pose, camera: Intrinsics, world: World, spin: float, extra_rays: int, *, size: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.uint8]]:
    """Trace a picture; return linear colours (H, W, 3), depth (H, W), normals (H, W, 3), labels (H, W)."""
    from glpn_cli.scenes.tracer import draw

    colour, normals = np.empty((*size, 3), np.float32), np.empty((*size, 3), np.float32)
    depth, labels = np.empty(size, np.float32), np.empty(size, np.uint8)
    lens = np.array([camera.fx, camera.fy, camera.cx, camera.cy])
    draw(pose, lens, world, spin, extra_rays, colour, depth, normals, labels)
    return colour, depth, normals, labels


def camera_of(
    seed: int, index: int, *, size: tuple[int, int] = (192, 256), focal_px: float | None = None
) -> Intrinsics:
    """The camera of a scene, without rendering it; a field of view is chosen for the picture's longer side."""
    if focal_px is None:
        focal_px = 0.5 * max(size) / math.tan(0.5 * choose_focal(Chance(seed, index, 1)))
    return make_camera(focal_px, size, source="file")
