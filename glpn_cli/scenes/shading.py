# mypy: warn-return-any=False
"""Light over a whole picture: few rays a pixel, and averages over neighbours on the same plane that smooth them.

Sixteen samples repeat in blocks of 4x4 pixels, so that a filter of that width sees each of them once (see `lighting`).
"""

from __future__ import annotations

import math

import numpy as np

from glpn_cli.scenes.compiled import Floats, Integers, compiled, compiled_small
from glpn_cli.scenes.lighting import gather_light, lamp_light, shine
from glpn_cli.scenes.noise import hash2
from glpn_cli.scenes.world import Seen, World


@compiled_small
def average(spots: Floats, depth: Floats, light: Floats, out: Floats, stride: int) -> None:
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
            r = g = b = 0.0
            tolerance = 0.015 * depth[i, j] + 0.005
            nx, ny, nz = spots[i, j, 3], spots[i, j, 4], spots[i, j, 5]
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
            out[i, j, 0], out[i, j, 1], out[i, j, 2] = r / total, g / total, b / total


@compiled_small
def _pattern(i: int, j: int, spin: float) -> tuple[float, float]:
    """Two numbers in 0..1 for sample (i, j): sixteen well spread pairs in every 4x4 block, jittered in their cells."""
    cell = (j & 3) + 4 * (i & 3)
    a = (((cell * 7) & 15) + hash2(i, j, 77)) / 16.0 + spin
    c = (((cell * 11 + 5) & 15) + hash2(j, i, 78)) / 16.0 + 1.618 * spin
    return a - math.floor(a), c - math.floor(c)


@compiled
def add_gathered(world: World, stack: Integers, seen: Seen, spin: float, smooth: Floats) -> None:
    """Add light between surfaces to `smooth` (H, W, 3).

    Gathered at every second pixel of every second row, averaged, and handed to the pixels between; a pixel with no such
    neighbour on its own plane gathers for itself.
    """
    spots, depth = seen.spots, seen.depth
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
            light[i, j, 0], light[i, j, 1], light[i, j, 2] = gather_light(world, stack, coarse[i, j], other, u, v)
    average(coarse, far, light, mean, 1)
    average(coarse, far, mean, light, 3)
    mean = light
    for i in range(height):
        for j in range(width):
            nx, ny, nz = spots[i, j, 3], spots[i, j, 4], spots[i, j, 5]
            offset = nx * spots[i, j, 0] + ny * spots[i, j, 1] + nz * spots[i, j, 2]
            tolerance = 0.02 * depth[i, j] + 0.005
            total = 0.0
            r = g = b = 0.0
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
                r, g, b = gather_light(world, stack, spots[i, j], other, u, v)
                total = 1.0
            smooth[i, j, 0] += r / total
            smooth[i, j, 1] += g / total
            smooth[i, j, 2] += b / total


@compiled
def add_lamps(
    world: World, stack: Integers, camera: Floats, seen: Seen, spin: float, light: Floats, gloss: Floats
) -> None:
    """Fill `light` and `gloss` (H, W, 3) with what lamps give and what shines.

    The white fields of a chessboard are traced; a black one takes the mean of its neighbours where they show the same
    surface and agree, and is traced where they do not.
    """
    mats = world.materials
    spots, who, what = seen.spots, seen.who, seen.what
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
                lamp_light(world, stack, spot, u, v, mats[k, 26], light[i, j])
                if shiny:
                    dx, dy, dz = spot[0] - camera[0], spot[1] - camera[1], spot[2] - camera[2]
                    shine(world, stack, spot, other, k, dx, dy, dz, u, v, gloss[i, j])
