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
from glpn_cli.scenes.vectors import Vector, along, dot, length, minus, three, times
from glpn_cli.scenes.world import World


@compiled_small
def _lamp_term(lamp: Floats, place: Vector, a: float, b: float) -> tuple[Vector, float]:
    """Vector to the point (a, b in -1..1) of a lamp, not normalised, and its light's strength there."""
    way = minus(along(along(three(lamp, 1), a, three(lamp, 4)), b, three(lamp, 7)), place)
    d2 = dot(way, way) + lamp[17]
    strength = 1.0 / d2
    kind = int(lamp[0])
    if kind > 0:
        cosine = -dot(way, three(lamp, 10)) / math.sqrt(d2)
        if kind == 1:
            strength *= max(cosine, 0.0)
        else:
            strength *= min(max((cosine - lamp[16]) / (1.0 - lamp[16]) * 2.5, 0.0), 1.0) + 0.02
    return way, strength


@compiled_small
def _rough_light(world: World, place: Vector, normal: Vector) -> Vector:
    """Light without shadows at a point that is only seen by way of another."""
    light = times(three(world.sky, 0), 0.8 + 0.2 * normal[2])
    for lamp in world.lights:
        way, strength = _lamp_term(lamp, place, 0.0, 0.0)
        cosine = dot(way, normal) / math.sqrt(dot(way, way) + 1e-6)
        light = along(light, 0.7 * min(strength, 1.0) * max(cosine, 0.0), three(lamp, 13))
    # A spot close to a lamp would make its neighbours sparkle.
    r, g, b = light
    return r / (1.0 + 0.3 * r), g / (1.0 + 0.3 * g), b / (1.0 + 0.3 * b)


@compiled_small
def lamp_light(world: World, stack: Integers, spot: Floats, a: float, c: float, through: float) -> Vector:
    """Light of lamps, windows and sun that falls on a spot, see `world.Seen`.

    a, c: 0..1, where on each lamp. through: share of light let through from behind.
    """
    shell, sky = world.air, world.sky
    place, normal = three(spot, 0), three(spot, 3)
    inside = shell[0, 0] <= place[0] <= shell[0, 3] and shell[0, 1] <= place[1] <= shell[0, 4]
    light = (0.0, 0.0, 0.0)
    most = 0.0
    for lamp in world.lights:
        way, strength = _lamp_term(lamp, place, 0.0, 0.0)
        cosine = dot(way, normal) / math.sqrt(dot(way, way) + 1e-9)
        most = max(most, strength * max(cosine, -through * cosine) * lamp[14])
    for lamp in world.lights:
        way, strength = _lamp_term(lamp, place, 2.0 * a - 1.0, 2.0 * c - 1.0)
        cosine = dot(way, normal) / math.sqrt(dot(way, way) + 1e-9)
        side = 1.0
        if cosine < 0.0:
            cosine *= -through
            side = -1.0
        w = min(strength, 4.0) * cosine
        if w <= 1e-5:
            continue
        colour = three(lamp, 13)
        if w * colour[1] < 0.12 * most:  # too weak for its shadow to be seen
            light = along(light, 0.5 * w, colour)
            continue
        start = along(place, side * spot[6], normal)
        x, y, _ = along(start, 1.0, way)
        if not (inside and shell[0, 0] < x < shell[0, 3] and shell[0, 1] < y < shell[0, 4]):
            far, _, _ = leave_shell(shell, start, way)
            if far < 0.93:  # behind a wall; lamps may sit a little inside one
                continue
        _, who = trace(world.nodes, world.solids, stack, start, way, 0.97, True)
        if who < 0:
            light = along(light, w, colour)
    if sky[6] > 0.0:
        sun = (sky[3] + 0.012 * (a - 0.5), sky[4] + 0.012 * (c - 0.5), sky[5])
        cosine = dot(sun, normal)
        if cosine > 0.0:
            start = _ray_start(spot)
            far, k, face = leave_shell(shell, start, sun)
            if k >= 0 and world.materials[int(shell[k, 6 + face]), 17] > 0.0:
                _, who = trace(world.nodes, world.solids, stack, start, sun, far, True)
                if who < 0:
                    light = along(light, cosine, three(sky, 6))
    return light


@compiled_small
def _ray_start(spot: Floats) -> Vector:
    """Where rays leave a surface, a little above it."""
    return (
        np.float64(spot[0] + spot[3] * spot[6]),
        np.float64(spot[1] + spot[4] * spot[6]),
        np.float64(spot[2] + spot[5] * spot[6]),
    )


@compiled_small
def gather_light(world: World, stack: Integers, spot: Floats, a: float, e: float) -> Vector:
    """Light that one other surface, in a direction drawn from a, e in 0..1 (cosine-weighted), sends here."""
    start, normal = _ray_start(spot), three(spot, 3)
    nx, ny, nz = spot[3], spot[4], spot[5]
    tx, ty, tz = (-ny, nx, 0.0) if abs(nx) > 0.6 else (0.0, -nz, ny)
    norm = math.sqrt(tx * tx + ty * ty + tz * tz) + 1e-12
    tx, ty, tz = side = (tx / norm, ty / norm, tz / norm)
    third = (ny * tz - nz * ty, nz * tx - nx * tz, nx * ty - ny * tx)
    radius, angle = math.sqrt(e), 6.2831853 * a
    way = times(normal, math.sqrt(max(1.0 - e, 0.0)) + 0.02)
    way = along(along(way, radius * math.cos(angle), side), radius * math.sin(angle), third)
    t, who = first_hit(world, stack, start, way)
    place = along(start, t, way)
    _, _, facing, (r, g, b), glow = paint_hit(world, who, place, way, 0.15 + 0.3 * t, False)
    x, y, z = _rough_light(world, place, facing)
    glow = min(glow, 1.0) * 0.5
    return r * (x + glow), g * (y + glow), b * (z + glow)


@compiled_small
def shine(world: World, stack: Integers, spot: Floats, m: Floats, way: Vector, a: float, c: float) -> Vector:
    """Highlights of the lamps and the mirror image of the room on a material, seen along `way`."""
    place, normal = three(spot, 0), three(spot, 3)
    way = times(way, 1.0 / length(way))
    cosine = dot(way, normal)
    back = along(way, -2.0 * cosine, normal)
    light = (0.0, 0.0, 0.0)
    if m[18] > 0.0:
        for lamp in world.lights:
            to_lamp, strength = _lamp_term(lamp, place, 0.0, 0.0)
            facing = dot(to_lamp, back) / length(to_lamp)
            if facing > 0.0:
                light = along(light, m[18] * strength * facing ** m[19], three(lamp, 13))
    fresnel = m[20] * (0.35 + 0.65 * (1.0 - min(abs(cosine), 1.0)) ** 3)
    if fresnel > 0.02:
        blur = m[21]
        back = along(along(back, blur, (a - 0.5, c - 0.5, a + c - 1.0)), 0.02, normal)
        start = _ray_start(spot)
        t, who = first_hit(world, stack, start, back)
        place = along(start, t, back)
        _, _, other, (r, g, b), glow = paint_hit(world, who, place, back, 0.004 + 0.004 * t + blur * t, False)
        x, y, z = _rough_light(world, place, other)
        light = along(light, fresnel, (r * (x + glow), g * (y + glow), b * (z + glow)))
    return light
