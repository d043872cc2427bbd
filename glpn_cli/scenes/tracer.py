# mypy: warn-return-any=False
"""The picture: every pixel's ray, its light, its colour, its depth. See `lighting` for the idea."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glpn_cli.scenes.compiled import Floats, Integers, compiled, compiled_small
from glpn_cli.scenes.hits import first_hit, paint_hit
from glpn_cli.scenes.shading import add_gathered, add_lamps, average
from glpn_cli.scenes.vectors import Vector, along, dot, minus, put, three
from glpn_cli.scenes.world import Pose, Seen, World

Single = NDArray[np.float32]
_OUTSIDE_LABEL = 7


@compiled_small
def _ray(pose: Pose, a: float, b: float) -> Vector:
    """The direction through a to the right and b down on a plane 1 m ahead; 1 m of depth is 1 of its length."""
    return along(along(pose.forward, a, pose.right), b, pose.down)


@compiled
def look_around(pose: Pose, tangents: tuple[float, float], world: World, depth: Floats) -> int:
    """Fill depth (rows, columns) of a coarse view; how often the surface changes from one ray to the next.

    tangents: of half the field of view, to the right and down.
    """
    stack = np.empty(128, np.int64)
    rows, columns = depth.shape
    changes = 0
    last = 0
    for i in range(rows):
        for j in range(columns):
            a = ((j + 0.5) / columns * 2.0 - 1.0) * tangents[0]
            b = ((i + 0.5) / rows * 2.0 - 1.0) * tangents[1]
            t, who = first_hit(world, stack, pose.position, _ray(pose, a, b))
            depth[i, j] = t
            if who != last:
                changes += 1
            last = who
    return changes


@compiled_small
def _see(pose: Pose, lens: Floats, world: World, stack: Integers, seen: Seen) -> None:
    """Fill `seen`, one ray through the middle of each pixel."""
    depth, who, what, spots, albedo, normals, labels = seen
    height, width = depth.shape
    pixel = 1.0 / lens[0]
    for i in range(height):
        for j in range(width):
            way = _ray(pose, (j - lens[2]) / lens[0], (i - lens[3]) / lens[1])
            t, w = first_hit(world, stack, pose.position, way)
            place = along(pose.position, t, way)
            k, flat, normal, colour, glow = paint_hit(world, w, place, way, t * pixel, True)
            depth[i, j], who[i, j], what[i, j] = t, w, k
            put(spots[i, j], 0, place)
            put(spots[i, j], 3, normal)
            spots[i, j, 6] = 2e-4 + 1e-4 * t
            put(albedo[i, j], 0, colour)
            albedo[i, j, 3] = glow
            put(normals[i, j], 0, (dot(flat, pose.right), dot(flat, pose.down), dot(flat, pose.forward)))
            if w >= 0:
                labels[i, j] = int(world.solids[w, 21])
            elif world.materials[k, 17] > 0.0:
                labels[i, j] = _OUTSIDE_LABEL
            else:
                face = (-w - 1) % 6
                labels[i, j] = 0 if face < 4 else (1 if face == 4 else 2)


@compiled_small
def _mix(
    pose: Pose,
    lens: Floats,
    world: World,
    stack: Integers,
    seen: Seen,
    smooth: Floats,
    gloss: Floats,
    extra: int,
    colour: Floats,
) -> None:
    """Fill `colour` (H, W, 3) from light and gloss; pixels on a silhouette look with `extra` rays more."""
    who, spots, albedo = seen.who, seen.spots, seen.albedo
    height, width = who.shape
    pixel = 1.0 / lens[0]
    for i in range(height):
        for j in range(width):
            edge = False
            if extra > 0:
                up, down, left, right = max(i - 1, 0), min(i + 1, height - 1), max(j - 1, 0), min(j + 1, width - 1)
                for p, q in ((up, j), (down, j), (i, left), (i, right)):
                    if who[p, q] != who[i, j] or abs(albedo[p, q, 1] - albedo[i, j, 1]) > 0.1 + 0.2 * albedo[i, j, 1]:
                        edge = True
            for c in range(3):
                colour[i, j, c] = albedo[i, j, c] * (smooth[i, j, c] + albedo[i, j, 3]) + gloss[i, j, c]
            if not edge:
                continue
            for n in range(extra):
                a = (j - lens[2] + ((n * 0.618034 + 0.3) % 1.0) - 0.5) / lens[0]
                b = (i - lens[3] + (n + 0.5) / extra - 0.5) / lens[1]
                way = _ray(pose, a, b)
                t, w = first_hit(world, stack, pose.position, way)
                place = along(pose.position, t, way)
                _, _, normal, paint, glow = paint_hit(world, w, place, way, t * pixel * 0.7, False)
                # Its light is that of the neighbour which shows the same surface, else of the nearest in depth.
                best = 1e9
                bi, bj = i, j
                for di in range(-1, 2):
                    for dj in range(-1, 2):
                        p = min(max(i + di, 0), height - 1)
                        q = min(max(j + dj, 0), width - 1)
                        x, y, z = minus(three(spots[p, q], 0), place)
                        gap = (abs(x) + abs(y) + abs(z)) * (1.2 - dot(normal, three(spots[p, q], 3)))
                        if who[p, q] != w:
                            gap += 0.1
                        if gap < best:
                            best = gap
                            bi, bj = p, q
                for c in range(3):
                    colour[i, j, c] += paint[c] * (smooth[bi, bj, c] + glow) + gloss[bi, bj, c]
            for c in range(3):
                colour[i, j, c] /= extra + 1.0


@compiled
def draw(
    pose: Pose,
    lens: Floats,
    world: World,
    spin: float,
    extra: int,
    colour: Single,
    depth: Single,
    normals: Single,
    labels: NDArray[np.uint8],
) -> None:
    """Fill linear colours (H, W, 3), z-depth (H, W) in metres, normals (H, W, 3) in the camera's frame, labels (H, W).

    lens: fx, fy, cx, cy in pixels. spin: 0..1, turns the pattern of the samples.
    extra: rays more for a pixel on a silhouette.
    """
    height, width = depth.shape
    stack = np.empty(128, np.int64)
    seen = Seen(
        depth,
        np.empty((height, width), np.int64),
        np.empty((height, width), np.int64),
        np.empty((height, width, 7), np.float32),
        np.empty((height, width, 4), np.float32),
        normals,
        labels,
    )
    light = np.empty((height, width, 3), np.float32)
    gloss = np.zeros((height, width, 3), np.float32)
    smooth = np.empty((height, width, 3), np.float32)
    mats, what = world.materials, seen.what
    _see(pose, lens, world, stack, seen)
    add_lamps(world, stack, pose, seen, spin, light, gloss)
    # Hazy mirrors are traced with one ray a pixel; their grain goes the same way.
    average(seen.spots, seen.depth, gloss, smooth, 1)
    for i in range(height):
        for j in range(width):
            if mats[what[i, j], 21] > 0.04:
                gloss[i, j] = smooth[i, j]
    average(seen.spots, seen.depth, light, smooth, 1)
    add_gathered(world, stack, seen, spin, smooth)
    _mix(pose, lens, world, stack, seen, smooth, gloss, extra, colour)
