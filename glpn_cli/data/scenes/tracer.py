# mypy: warn-return-any=False
"""The picture: every pixel's ray, its light, its colour, its depth. See `lighting` for the idea."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from glpn_cli.data.scenes.compiled import Floats, Integers, compiled, compiled_small
from glpn_cli.data.scenes.hits import first_hit, paint_hit
from glpn_cli.data.scenes.lighting import gather_light, lamp_light, shine
from glpn_cli.data.scenes.noise import hash2

Single = NDArray[np.float32]
OUTSIDE_LABEL = 7


@compiled
def look_around(
    camera: Floats, rows: int, columns: int, nodes: Floats, solids: Floats, shell: Floats
) -> tuple[Floats, int]:
    """Depth (rows, columns) of a coarse view, and how often the surface changes from one ray to the next.

    camera: 0-2 position, 3-5 right, 6-8 down, 9-11 forward, 12-13 tangents of half the field of view.
    """
    stack = np.empty(128, np.int64)
    depth = np.empty((rows, columns))
    changes = 0
    last = 0
    for i in range(rows):
        for j in range(columns):
            a = ((j + 0.5) / columns * 2.0 - 1.0) * camera[12]
            b = ((i + 0.5) / rows * 2.0 - 1.0) * camera[13]
            dx = a * camera[3] + b * camera[6] + camera[9]
            dy = a * camera[4] + b * camera[7] + camera[10]
            dz = a * camera[5] + b * camera[8] + camera[11]
            t, who = first_hit(nodes, solids, shell, stack, camera[0], camera[1], camera[2], dx, dy, dz, 0.0)
            depth[i, j] = t
            if who != last:
                changes += 1
            last = who
    return depth, changes


@compiled_small
def _average(spots: Floats, depth: Single, light: Floats, out: Floats, stride: int) -> None:
    """Average `light` (h, w, 3) over 5x5 neighbours, `stride` apart, on the same plane; spots (h, w, 7)."""
    height, width = depth.shape
    for i in range(height):
        for j in range(width):
            if stride == 1 and 0 < i < height - 1 and 0 < j < width - 1:
                # Where the neighbours agree there is nothing to average.
                here = light[i, j, 1]
                gap = abs(light[i - 1, j, 1] - here) + abs(light[i + 1, j, 1] - here)
                gap += abs(light[i, j - 1, 1] - here) + abs(light[i, j + 1, 1] - here)
                if gap <= 0.03 * here:
                    for c in range(3):
                        out[i, j, c] = light[i, j, c]
                    continue
            total = 0.0
            r = 0.0
            g = 0.0
            b = 0.0
            tolerance = 0.015 * depth[i, j] + 0.005
            nx = spots[i, j, 3]
            ny = spots[i, j, 4]
            nz = spots[i, j, 5]
            offset = nx * spots[i, j, 0] + ny * spots[i, j, 1] + nz * spots[i, j, 2]
            for di in range(-2, 3):
                p = i + stride * di
                if p < 0 or p >= height:
                    continue
                for dj in range(-2, 3):
                    q = j + stride * dj
                    if q < 0 or q >= width:
                        continue
                    plane = nx * spots[p, q, 0] + ny * spots[p, q, 1] + nz * spots[p, q, 2] - offset
                    bend = nx * spots[p, q, 3] + ny * spots[p, q, 4] + nz * spots[p, q, 5]
                    if abs(plane) > tolerance or bend < 0.75:
                        continue
                    # Half weight at the rim: every cell of the 4x4 pattern counts once.
                    weight = (0.5 if abs(di) == 2 else 1.0) * (0.5 if abs(dj) == 2 else 1.0)
                    total += weight
                    r += weight * light[p, q, 0]
                    g += weight * light[p, q, 1]
                    b += weight * light[p, q, 2]
            out[i, j, 0] = r / total
            out[i, j, 1] = g / total
            out[i, j, 2] = b / total


@compiled_small
def _pattern(i: int, j: int, spin: float) -> tuple[float, float]:
    """Two numbers in 0..1 for sample (i, j): sixteen well spread pairs in every 4x4 block, jittered in their cells."""
    cell = (j & 3) + 4 * (i & 3)
    a = (((cell * 7) & 15) + hash2(i, j, 77)) / 16.0 + spin
    c = (((cell * 11 + 5) & 15) + hash2(j, i, 78)) / 16.0 + 1.618 * spin
    return a - math.floor(a), c - math.floor(c)


@compiled
def _add_gathered(
    nodes: Floats,
    solids: Floats,
    shell: Floats,
    mats: Floats,
    lights: Floats,
    sky: Floats,
    stack: Integers,
    spots: Floats,
    depth: Single,
    spin: float,
    smooth: Floats,
) -> None:
    """Add light between surfaces to `smooth` (H, W, 3).

    Gathered at every second pixel of every second row, averaged, and handed to the pixels between; a pixel with no such
    neighbour on its own plane gathers for itself.
    """
    height, width = depth.shape
    rows = (height + 1) // 2
    columns = (width + 1) // 2
    other = np.empty(10)
    light = np.empty((rows, columns, 3), np.float32)
    mean = np.empty((rows, columns, 3), np.float32)
    coarse = np.empty((rows, columns, 7), np.float32)
    far = np.empty((rows, columns), np.float32)
    for i in range(rows):
        for j in range(columns):
            far[i, j] = depth[2 * i, 2 * j] * 2.0
            for c in range(7):
                coarse[i, j, c] = spots[2 * i, 2 * j, c]
            u, v = _pattern(i, j, spin)
            gather_light(nodes, solids, shell, mats, lights, sky, stack, coarse[i, j], other, u, v, light[i, j])
    _average(coarse, far, light, mean, 1)
    _average(coarse, far, mean, light, 3)
    mean = light
    for i in range(height):
        for j in range(width):
            nx = spots[i, j, 3]
            ny = spots[i, j, 4]
            nz = spots[i, j, 5]
            offset = nx * spots[i, j, 0] + ny * spots[i, j, 1] + nz * spots[i, j, 2]
            tolerance = 0.02 * depth[i, j] + 0.005
            total = 0.0
            r = 0.0
            g = 0.0
            b = 0.0
            for p in range((i - 1) // 2, (i + 2) // 2 + 1):
                if p < 0 or p >= rows:
                    continue
                for q in range((j - 1) // 2, (j + 2) // 2 + 1):
                    if q < 0 or q >= columns:
                        continue
                    plane = nx * coarse[p, q, 0] + ny * coarse[p, q, 1] + nz * coarse[p, q, 2] - offset
                    bend = nx * coarse[p, q, 3] + ny * coarse[p, q, 4] + nz * coarse[p, q, 5]
                    if abs(plane) > tolerance or bend < 0.75:
                        continue
                    weight = 1.0 / (1.0 + abs(2 * p - i) + abs(2 * q - j))
                    total += weight
                    r += weight * mean[p, q, 0]
                    g += weight * mean[p, q, 1]
                    b += weight * mean[p, q, 2]
            if total == 0.0:
                u, v = _pattern(i, j, spin)
                gather_light(nodes, solids, shell, mats, lights, sky, stack, spots[i, j], other, u, v, other[7:10])
                r = other[7]
                g = other[8]
                b = other[9]
                total = 1.0
            smooth[i, j, 0] += r / total
            smooth[i, j, 1] += g / total
            smooth[i, j, 2] += b / total


@compiled
def _add_lamps(
    nodes: Floats,
    solids: Floats,
    shell: Floats,
    mats: Floats,
    lights: Floats,
    sky: Floats,
    stack: Integers,
    camera: Floats,
    spots: Floats,
    who: Integers,
    what: Integers,
    spin: float,
    light: Floats,
    gloss: Floats,
) -> None:
    """Fill `light` and `gloss` (H, W, 3) with what lamps give and what shines.

    The white fields of a chessboard are traced; a black one takes the mean of its neighbours where they show the same
    surface and agree, and is traced where they do not.
    """
    height, width = who.shape
    other = np.empty(10)
    for parity in range(2):
        for i in range(height):
            for j in range((i + parity) & 1, width, 2):
                k = what[i, j]
                shiny = mats[k, 18] > 0.0 or mats[k, 20] > 0.0
                agree = False
                if parity == 1 and 0 < i < height - 1 and 0 < j < width - 1:
                    w = who[i, j]
                    if who[i - 1, j] == w and who[i + 1, j] == w and who[i, j - 1] == w and who[i, j + 1] == w:
                        a = light[i - 1, j, 1]
                        b = light[i + 1, j, 1]
                        c = light[i, j - 1, 1]
                        d = light[i, j + 1, 1]
                        if max(a, b, c, d) <= 1.3 * min(a, b, c, d) + 0.01:
                            agree = True
                            for n in range(3):
                                light[i, j, n] = 0.25 * (
                                    light[i - 1, j, n] + light[i + 1, j, n] + light[i, j - 1, n] + light[i, j + 1, n]
                                )
                                gloss[i, j, n] = 0.25 * (
                                    gloss[i - 1, j, n] + gloss[i + 1, j, n] + gloss[i, j - 1, n] + gloss[i, j + 1, n]
                                )
                if agree:
                    continue
                u, v = _pattern(i, j, spin)
                spot = spots[i, j]
                lamp_light(nodes, solids, shell, mats, lights, sky, stack, spot, u, v, mats[k, 26], light[i, j])
                if shiny:
                    dx = spot[0] - camera[0]
                    dy = spot[1] - camera[1]
                    dz = spot[2] - camera[2]
                    shine(nodes, solids, shell, mats, lights, sky, stack, spot, other, k, dx, dy, dz, u, v, gloss[i, j])


@compiled
def draw(
    camera: Floats,
    lens: Floats,
    height: int,
    width: int,
    nodes: Floats,
    solids: Floats,
    shell: Floats,
    mats: Floats,
    lights: Floats,
    sky: Floats,
    spin: float,
    extra: int,
) -> tuple[Single, Single, Single, NDArray[np.uint8]]:
    """Linear colours (H, W, 3), z-depth (H, W) in metres, normals (H, W, 3) in the camera's frame, labels (H, W).

    lens: fx, fy, cx, cy in pixels. extra: rays more for a pixel on a silhouette.
    """
    stack = np.empty(128, np.int64)
    depth = np.empty((height, width), np.float32)
    colour = np.empty((height, width, 3), np.float32)
    normals = np.empty((height, width, 3), np.float32)
    labels = np.empty((height, width), np.uint8)
    who = np.empty((height, width), np.int64)
    what = np.empty((height, width), np.int64)
    spots = np.empty((height, width, 7), np.float32)
    albedo = np.empty((height, width, 4), np.float32)
    light = np.empty((height, width, 3), np.float32)
    gloss = np.zeros((height, width, 3), np.float32)
    smooth = np.empty((height, width, 3), np.float32)
    out = np.empty(10)
    ox = camera[0]
    oy = camera[1]
    oz = camera[2]
    pixel = 1.0 / lens[0]
    for i in range(height):
        for j in range(width):
            a = (j - lens[2]) / lens[0]
            b = (i - lens[3]) / lens[1]
            dx = a * camera[3] + b * camera[6] + camera[9]
            dy = a * camera[4] + b * camera[7] + camera[10]
            dz = a * camera[5] + b * camera[8] + camera[11]
            t, w = first_hit(nodes, solids, shell, stack, ox, oy, oz, dx, dy, dz, 0.0)
            x = ox + t * dx
            y = oy + t * dy
            z = oz + t * dz
            k = paint_hit(solids, shell, mats, w, x, y, z, dx, dy, dz, t * pixel, True, out)
            depth[i, j] = t
            who[i, j] = w
            spot = spots[i, j]
            spot[0] = x
            spot[1] = y
            spot[2] = z
            spot[3] = out[0]
            spot[4] = out[1]
            spot[5] = out[2]
            spot[6] = 2e-4 + 1e-4 * t
            for c in range(4):
                albedo[i, j, c] = out[3 + c]
            for c in range(3):
                normals[i, j, c] = out[7] * camera[3 + 3 * c] + out[8] * camera[4 + 3 * c] + out[9] * camera[5 + 3 * c]
            if w >= 0:
                labels[i, j] = int(solids[w, 21])
            elif mats[k, 17] > 0.0:
                labels[i, j] = OUTSIDE_LABEL
            else:
                face = (-w - 1) % 6
                labels[i, j] = 0 if face < 4 else (1 if face == 4 else 2)
            what[i, j] = k
    _add_lamps(nodes, solids, shell, mats, lights, sky, stack, camera, spots, who, what, spin, light, gloss)
    # Hazy mirrors are traced with one ray a pixel; their grain goes the same way.
    _average(spots, depth, gloss, smooth, 1)
    for i in range(height):
        for j in range(width):
            if mats[what[i, j], 21] > 0.04:
                for c in range(3):
                    gloss[i, j, c] = smooth[i, j, c]
    _average(spots, depth, light, smooth, 1)
    _add_gathered(nodes, solids, shell, mats, lights, sky, stack, spots, depth, spin, smooth)
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
                dx = a * camera[3] + b * camera[6] + camera[9]
                dy = a * camera[4] + b * camera[7] + camera[10]
                dz = a * camera[5] + b * camera[8] + camera[11]
                t, w = first_hit(nodes, solids, shell, stack, ox, oy, oz, dx, dy, dz, 0.0)
                x = ox + t * dx
                y = oy + t * dy
                z = oz + t * dz
                paint_hit(solids, shell, mats, w, x, y, z, dx, dy, dz, t * pixel * 0.7, False, out)
                # Its light is that of the neighbour which shows the same surface, else of the nearest in depth.
                best = 1e9
                bi = i
                bj = j
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
                            bi = p
                            bj = q
                for c in range(3):
                    colour[i, j, c] += out[3 + c] * (smooth[bi, bj, c] + out[6]) + gloss[bi, bj, c]
            for c in range(3):
                colour[i, j, c] /= extra + 1.0
    return colour, depth, normals, labels
