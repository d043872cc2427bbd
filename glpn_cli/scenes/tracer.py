# mypy: warn-return-any=False
"""The picture: every pixel's ray, its light, its colour, its depth. See `lighting` for the idea."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glpn_cli.scenes.compiled import Floats, Integers, compiled, compiled_small
from glpn_cli.scenes.hits import first_hit, paint_hit
from glpn_cli.scenes.shading import add_gathered, add_lamps, average
from glpn_cli.scenes.world import Seen, World

Single = NDArray[np.float32]
_OUTSIDE_LABEL = 7


@compiled_small
def _ray(camera: Floats, a: float, b: float) -> tuple[float, float, float]:
    """The direction through a to the right and b down on a plane 1 m ahead; 1 m of depth is 1 of its length."""
    dx = a * camera[3] + b * camera[6] + camera[9]
    dy = a * camera[4] + b * camera[7] + camera[10]
    dz = a * camera[5] + b * camera[8] + camera[11]
    return dx, dy, dz


@compiled
def look_around(camera: Floats, world: World, depth: Floats) -> int:
    """Fill depth (rows, columns) of a coarse view; how often the surface changes from one ray to the next.

    camera: 0-2 position, 3-5 right, 6-8 down, 9-11 forward, 12-13 tangents of half the field of view.
    """
    stack = np.empty(128, np.int64)
    rows, columns = depth.shape
    changes = 0
    last = 0
    for i in range(rows):
        for j in range(columns):
            a = ((j + 0.5) / columns * 2.0 - 1.0) * camera[12]
            b = ((i + 0.5) / rows * 2.0 - 1.0) * camera[13]
            dx, dy, dz = _ray(camera, a, b)
            t, who = first_hit(world, stack, camera[0], camera[1], camera[2], dx, dy, dz)
            depth[i, j] = t
            if who != last:
                changes += 1
            last = who
    return changes


@compiled_small
def _see(camera: Floats, lens: Floats, world: World, stack: Integers, out: Floats, seen: Seen) -> None:
    """Fill `seen`, one ray through the middle of each pixel."""
    solids, mats = world.solids, world.materials
    depth, who, what, spots, albedo, normals, labels = seen
    height, width = depth.shape
    ox, oy, oz = camera[0], camera[1], camera[2]
    pixel = 1.0 / lens[0]
    for i in range(height):
        for j in range(width):
            a, b = (j - lens[2]) / lens[0], (i - lens[3]) / lens[1]
            dx, dy, dz = _ray(camera, a, b)
            t, w = first_hit(world, stack, ox, oy, oz, dx, dy, dz)
            x, y, z = ox + t * dx, oy + t * dy, oz + t * dz
            k = paint_hit(world, w, x, y, z, dx, dy, dz, t * pixel, True, out)
            depth[i, j] = t
            who[i, j] = w
            spot = spots[i, j]
            spot[0], spot[1], spot[2] = x, y, z
            spot[3], spot[4], spot[5] = out[0], out[1], out[2]
            spot[6] = 2e-4 + 1e-4 * t
            for c in range(4):
                albedo[i, j, c] = out[3 + c]
            for c in range(3):
                normals[i, j, c] = out[7] * camera[3 + 3 * c] + out[8] * camera[4 + 3 * c] + out[9] * camera[5 + 3 * c]
            if w >= 0:
                labels[i, j] = int(solids[w, 21])
            elif mats[k, 17] > 0.0:
                labels[i, j] = _OUTSIDE_LABEL
            else:
                face = (-w - 1) % 6
                labels[i, j] = 0 if face < 4 else (1 if face == 4 else 2)
            what[i, j] = k


@compiled_small
def _mix(
    camera: Floats,
    lens: Floats,
    world: World,
    stack: Integers,
    out: Floats,
    seen: Seen,
    smooth: Floats,
    gloss: Floats,
    extra: int,
    colour: Floats,
) -> None:
    """Fill `colour` (H, W, 3) from light and gloss; pixels on a silhouette look with `extra` rays more."""
    who, spots, albedo = seen.who, seen.spots, seen.albedo
    height, width = who.shape
    ox, oy, oz = camera[0], camera[1], camera[2]
    pixel = 1.0 / lens[0]
    for i in range(height):
        for j in range(width):
            edge = False
            if extra > 0:
                for n in range(4):
                    p = min(max(i + (1 if n == 0 else (-1 if n == 1 else 0)), 0), height - 1)
                    q = min(max(j + (1 if n == 2 else (-1 if n == 3 else 0)), 0), width - 1)
                    if who[p, q] != who[i, j] or abs(albedo[p, q, 1] - albedo[i, j, 1]) > 0.1 + 0.2 * albedo[i, j, 1]:
                        edge = True
            for c in range(3):
                colour[i, j, c] = albedo[i, j, c] * (smooth[i, j, c] + albedo[i, j, 3]) + gloss[i, j, c]
            if not edge:
                continue
            for n in range(extra):
                a = (j - lens[2] + ((n * 0.618034 + 0.3) % 1.0) - 0.5) / lens[0]
                b = (i - lens[3] + (n + 0.5) / extra - 0.5) / lens[1]
                dx, dy, dz = _ray(camera, a, b)
                t, w = first_hit(world, stack, ox, oy, oz, dx, dy, dz)
                x, y, z = ox + t * dx, oy + t * dy, oz + t * dz
                paint_hit(world, w, x, y, z, dx, dy, dz, t * pixel * 0.7, False, out)
                # Its light is that of the neighbour which shows the same surface, else of the nearest in depth.
                best = 1e9
                bi, bj = i, j
                for di in range(-1, 2):
                    for dj in range(-1, 2):
                        p = min(max(i + di, 0), height - 1)
                        q = min(max(j + dj, 0), width - 1)
                        gap = abs(spots[p, q, 0] - x) + abs(spots[p, q, 1] - y) + abs(spots[p, q, 2] - z)
                        bend = out[0] * spots[p, q, 3] + out[1] * spots[p, q, 4] + out[2] * spots[p, q, 5]
                        gap *= 1.2 - bend
                        if who[p, q] != w:
                            gap += 0.1
                        if gap < best:
                            best = gap
                            bi, bj = p, q
                for c in range(3):
                    colour[i, j, c] += out[3 + c] * (smooth[bi, bj, c] + out[6]) + gloss[bi, bj, c]
            for c in range(3):
                colour[i, j, c] /= extra + 1.0


@compiled
def draw(
    camera: Floats,
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

    camera: as in `look_around`. lens: fx, fy, cx, cy in pixels. spin: 0..1, turns the pattern of the samples.
    extra: rays more for a pixel on a silhouette.
    """
    height, width = depth.shape
    stack = np.empty(128, np.int64)
    out = np.empty(10)
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
    _see(camera, lens, world, stack, out, seen)
    add_lamps(world, stack, camera, seen, spin, light, gloss)
    # Hazy mirrors are traced with one ray a pixel; their grain goes the same way.
    average(seen.spots, seen.depth, gloss, smooth, 1)
    for i in range(height):
        for j in range(width):
            if mats[what[i, j], 21] > 0.04:
                for c in range(3):
                    gloss[i, j, c] = smooth[i, j, c]
    average(seen.spots, seen.depth, light, smooth, 1)
    add_gathered(world, stack, seen, spin, smooth)
    _mix(camera, lens, world, stack, out, seen, smooth, gloss, extra, colour)
