# mypy: warn-return-any=False
"""Light: a ray to every lamp that matters, and a ray that gathers what surfaces send each other.

Both use sixteen places on the lamp, sixteen directions, that repeat in blocks of 4x4 samples, so that a filter of that
width sees each of them once, and light comes out smooth wherever surfaces are (interleaved sampling, see `tracer`).

Light row: 0 kind (0 lamp, 1 window or panel that shines along its normal, 2 spot), 1-3 centre, 4-6 and 7-9 half edges,
10-12 normal, 13-15 colour, 16 spot cosine, 17 square metres that keep near points from sparkling.
Sky row: 0-2 ambient colour, 3-5 direction to the sun, 6-8 sun's colour.
"""

from __future__ import annotations

import math

import numpy as np

from glpn_cli.scenes.compiled import Floats, Integers, compiled_small
from glpn_cli.scenes.hits import first_hit, paint_hit
from glpn_cli.scenes.rays import leave_shell, trace
from glpn_cli.scenes.world import World


@compiled_small
def _lamp_term(
    lights: Floats, k: int, x: float, y: float, z: float, a: float, b: float
) -> tuple[float, float, float, float]:
    """Vector to the point (a, b in -1..1) of light `k`, not normalised, and the light's strength there."""
    lx = lights[k, 1] + a * lights[k, 4] + b * lights[k, 7] - x
    ly = lights[k, 2] + a * lights[k, 5] + b * lights[k, 8] - y
    lz = lights[k, 3] + a * lights[k, 6] + b * lights[k, 9] - z
    d2 = lx * lx + ly * ly + lz * lz + lights[k, 17]
    strength = 1.0 / d2
    kind = int(lights[k, 0])
    if kind > 0:
        cosine = -(lx * lights[k, 10] + ly * lights[k, 11] + lz * lights[k, 12]) / math.sqrt(d2)
        if kind == 1:
            strength *= max(cosine, 0.0)
        else:
            strength *= min(max((cosine - lights[k, 16]) / (1.0 - lights[k, 16]) * 2.5, 0.0), 1.0) + 0.02
    return lx, ly, lz, strength


@compiled_small
def _rough_light(world: World, x: float, y: float, z: float, nx: float, ny: float, nz: float, out: Floats) -> None:
    """Light without shadows at a point that is only seen by way of another; fills out[7:10]."""
    lights, sky = world.lights, world.sky
    r, g, b = sky[0] * (0.8 + 0.2 * nz), sky[1] * (0.8 + 0.2 * nz), sky[2] * (0.8 + 0.2 * nz)
    for k in range(lights.shape[0]):
        lx, ly, lz, strength = _lamp_term(lights, k, x, y, z, 0.0, 0.0)
        cosine = (lx * nx + ly * ny + lz * nz) / math.sqrt(lx * lx + ly * ly + lz * lz + 1e-6)
        w = 0.7 * min(strength, 1.0) * max(cosine, 0.0)
        r += w * lights[k, 13]
        g += w * lights[k, 14]
        b += w * lights[k, 15]
    # A spot close to a lamp would make its neighbours sparkle.
    out[7], out[8], out[9] = r / (1.0 + 0.3 * r), g / (1.0 + 0.3 * g), b / (1.0 + 0.3 * b)


@compiled_small
def lamp_light(world: World, stack: Integers, spot: Floats, a: float, c: float, through: float, out: Floats) -> None:
    """Light of lamps, windows and sun that falls on the surface at spot[0:3] with normal spot[3:6]; fills out[0:3].

    a, c: 0..1, where on each lamp. through: share of light let through from behind.
    """
    nodes, solids, shell, mats, lights, sky = world
    x, y, z = spot[0], spot[1], spot[2]
    nx, ny, nz = spot[3], spot[4], spot[5]
    lift = spot[6]
    r = g = b = 0.0
    inside = shell[0, 0] <= x <= shell[0, 3] and shell[0, 1] <= y <= shell[0, 4]
    most = 0.0
    for k in range(lights.shape[0]):
        lx, ly, lz, strength = _lamp_term(lights, k, x, y, z, 0.0, 0.0)
        cosine = (lx * nx + ly * ny + lz * nz) / math.sqrt(lx * lx + ly * ly + lz * lz + 1e-9)
        most = max(most, strength * max(cosine, -through * cosine) * lights[k, 14])
    for k in range(lights.shape[0]):
        lx, ly, lz, strength = _lamp_term(lights, k, x, y, z, 2.0 * a - 1.0, 2.0 * c - 1.0)
        cosine = (lx * nx + ly * ny + lz * nz) / math.sqrt(lx * lx + ly * ly + lz * lz + 1e-9)
        side = 1.0
        if cosine < 0.0:
            cosine *= -through
            side = -1.0
        w = min(strength, 4.0) * cosine
        if w <= 1e-5:
            continue
        if w * lights[k, 14] < 0.12 * most:  # too weak for its shadow to be seen
            r += 0.5 * w * lights[k, 13]
            g += 0.5 * w * lights[k, 14]
            b += 0.5 * w * lights[k, 15]
            continue
        ex, ey, ez = x + side * nx * lift, y + side * ny * lift, z + side * nz * lift
        if not (inside and shell[0, 0] < ex + lx < shell[0, 3] and shell[0, 1] < ey + ly < shell[0, 4]):
            far, _, _ = leave_shell(shell, ex, ey, ez, lx, ly, lz)
            if far < 0.93:  # behind a wall; lamps may sit a little inside one
                continue
        _, who = trace(nodes, solids, stack, ex, ey, ez, lx, ly, lz, 0.0, 0.97, True)
        if who < 0:
            r += w * lights[k, 13]
            g += w * lights[k, 14]
            b += w * lights[k, 15]
    if sky[6] > 0.0:
        jx = sky[3] + 0.012 * (a - 0.5)
        jy = sky[4] + 0.012 * (c - 0.5)
        jz = sky[5]
        cosine = jx * nx + jy * ny + jz * nz
        if cosine > 0.0:
            ex, ey, ez = _ray_start(spot)
            far, k, face = leave_shell(shell, ex, ey, ez, jx, jy, jz)
            if k >= 0 and mats[int(shell[k, 6 + face]), 17] > 0.0:
                _, who = trace(nodes, solids, stack, ex, ey, ez, jx, jy, jz, 0.0, far, True)
                if who < 0:
                    r += cosine * sky[6]
                    g += cosine * sky[7]
                    b += cosine * sky[8]
    out[0], out[1], out[2] = r, g, b


@compiled_small
def _ray_start(spot: Floats) -> tuple[float, float, float]:
    """Where rays leave a surface, a little above it; float64, so that they are compiled for one kind of number."""
    return (
        np.float64(spot[0] + spot[3] * spot[6]),
        np.float64(spot[1] + spot[4] * spot[6]),
        np.float64(spot[2] + spot[5] * spot[6]),
    )


@compiled_small
def gather_light(
    world: World, stack: Integers, spot: Floats, other: Floats, a: float, e: float
) -> tuple[float, float, float]:
    """Light that one other surface, in a direction drawn from a, e in 0..1 (cosine-weighted), sends here."""
    nx, ny, nz = spot[3], spot[4], spot[5]
    sx, sy, sz = _ray_start(spot)
    radius = math.sqrt(e)
    angle = 6.2831853 * a
    up = math.sqrt(max(1.0 - e, 0.0)) + 0.02
    if abs(nx) > 0.6:
        tx, ty, tz = -ny, nx, 0.0
    else:
        tx, ty, tz = 0.0, -nz, ny
    norm = math.sqrt(tx * tx + ty * ty + tz * tz) + 1e-12
    tx, ty, tz = tx / norm, ty / norm, tz / norm
    bx, by, bz = ny * tz - nz * ty, nz * tx - nx * tz, nx * ty - ny * tx
    ca = radius * math.cos(angle)
    sa = radius * math.sin(angle)
    dx, dy, dz = up * nx + ca * tx + sa * bx, up * ny + ca * ty + sa * by, up * nz + ca * tz + sa * bz
    t, who = first_hit(world, stack, sx, sy, sz, dx, dy, dz)
    hx, hy, hz = sx + t * dx, sy + t * dy, sz + t * dz
    paint_hit(world, who, hx, hy, hz, dx, dy, dz, 0.15 + 0.3 * t, False, other)
    _rough_light(world, hx, hy, hz, other[0], other[1], other[2], other)
    glow = min(other[6], 1.0) * 0.5
    return other[3] * (other[7] + glow), other[4] * (other[8] + glow), other[5] * (other[9] + glow)


@compiled_small
def shine(
    world: World,
    stack: Integers,
    spot: Floats,
    other: Floats,
    k: int,
    dx: float,
    dy: float,
    dz: float,
    a: float,
    c: float,
    out: Floats,
) -> None:
    """Highlights of the lamps and the mirror image of the room on material `k`; fills out[0:3]."""
    mats, lights = world.materials, world.lights
    nx, ny, nz = spot[3], spot[4], spot[5]
    length = math.sqrt(dx * dx + dy * dy + dz * dz)
    dx, dy, dz = dx / length, dy / length, dz / length
    along = dx * nx + dy * ny + dz * nz
    rx, ry, rz = dx - 2.0 * along * nx, dy - 2.0 * along * ny, dz - 2.0 * along * nz
    r = g = b = 0.0
    if mats[k, 18] > 0.0:
        for j in range(lights.shape[0]):
            lx, ly, lz, strength = _lamp_term(lights, j, spot[0], spot[1], spot[2], 0.0, 0.0)
            distance = math.sqrt(lx * lx + ly * ly + lz * lz)
            cosine = (lx * rx + ly * ry + lz * rz) / distance
            if cosine > 0.0:
                w = mats[k, 18] * strength * cosine ** mats[k, 19]
                r += w * lights[j, 13]
                g += w * lights[j, 14]
                b += w * lights[j, 15]
    fresnel = mats[k, 20] * (0.35 + 0.65 * (1.0 - min(abs(along), 1.0)) ** 3)
    if fresnel > 0.02:
        blur = mats[k, 21]
        rx += blur * (a - 0.5) + 0.02 * nx
        ry += blur * (c - 0.5) + 0.02 * ny
        rz += blur * (a + c - 1.0) + 0.02 * nz
        ox, oy, oz = _ray_start(spot)
        t, who = first_hit(world, stack, ox, oy, oz, rx, ry, rz)
        hx, hy, hz = ox + t * rx, oy + t * ry, oz + t * rz
        paint_hit(world, who, hx, hy, hz, rx, ry, rz, 0.004 + 0.004 * t + blur * t, False, other)
        _rough_light(world, hx, hy, hz, other[0], other[1], other[2], other)
        r += fresnel * other[3] * (other[7] + other[6])
        g += fresnel * other[4] * (other[8] + other[6])
        b += fresnel * other[5] * (other[9] + other[6])
    out[0], out[1], out[2] = r, g, b
