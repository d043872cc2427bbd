# mypy: warn-return-any=False
"""What a ray sees where it ends: the surface's direction, its colour, its glow."""

from __future__ import annotations

import math

from glpn_cli.scenes.compiled import Floats, Integers, compiled_small
from glpn_cli.scenes.noise import wave2
from glpn_cli.scenes.rays import leave_shell, trace
from glpn_cli.scenes.solids import surface
from glpn_cli.scenes.textures import texture
from glpn_cli.scenes.vectors import Vector, dot, length, minus, three, times
from glpn_cli.scenes.world import World


@compiled_small
def _shell_surface(air: Floats, face: int, place: Vector) -> tuple[Vector, float, float, float, float]:
    """Inward normal, u, v and half extents on a face of a cuboid of air."""
    x, y, z = place
    hx, hy, hz = times(minus(three(air, 3), three(air, 0)), 0.5)
    sign = 1.0 if face % 2 == 0 else -1.0
    if face < 2:
        return (sign, 0.0, 0.0), y, z, hy, hz
    if face < 4:
        return (0.0, sign, 0.0), x, z, hx, hz
    return (0.0, 0.0, sign), x, y, hx, hy


@compiled_small
def paint_hit(
    world: World, who: int, place: Vector, way: Vector, width: float, bumpy: bool
) -> tuple[int, Vector, Vector, Vector, float]:
    """The material where a ray ends, its normal towards the ray, the same with its dents, its colour, and its glow.

    who: row of a solid, or -(cuboid * 6 + face) - 1 for the shell. width: of a pixel at this distance, metres.
    """
    mats = world.materials
    tone = 0
    if who >= 0:
        solid = world.solids[who]
        flat, u, v, hu, hv, side = surface(solid, place)
        k = int(solid[19])
        tone = int(solid[22])
        if mats[k, 25] > 0.0 and side != solid[23]:
            k = int(mats[k, 25])
    else:
        air = world.air[(-who - 1) // 6]
        face = (-who - 1) % 6
        flat, u, v, hu, hv = _shell_surface(air, face, place)
        k = int(air[6 + face])
        for _ in range(2):
            if face < 4 and mats[k, 25] > 0.0 and place[2] < mats[k, 24]:
                k = int(mats[k, 25])
        if mats[k, 17] > 0.0 and face < 4:  # what is seen through a window belongs to the window
            across = 1 if face < 2 else 0
            u -= 0.5 * (air[across] + air[3 + across])
            v -= 0.5 * (air[2] + air[5])
    m = mats[k]
    cosine = dot(flat, way) / length(way)
    if cosine > 0.0:
        flat = times(flat, -1.0)
    slant = math.sqrt(max(abs(cosine), 0.08))
    foot = width / (slant * math.sqrt(slant))
    colour, glow = texture(m, u, v, hu, hv, foot, tone)
    normal = flat
    if bumpy and m[22] > 0.0:
        s = m[23]
        keep = m[22] * max(1.0 - foot / s, 0.0)
        if keep > 0.0:
            a = keep * (wave2(u / s + 0.3, v / s, 3) - wave2(u / s - 0.3, v / s, 3))
            b = keep * (wave2(u / s, v / s + 0.3, 3) - wave2(u / s, v / s - 0.3, 3))
            x, y, z = flat
            normal = (x - a * y, y + a * x, z + b) if abs(z) < 0.7 else (x + a, y + b, z)
            normal = times(normal, 1.0 / length(normal))
    return k, flat, normal, colour, glow * m[17]


@compiled_small
def first_hit(world: World, stack: Integers, origin: Vector, way: Vector) -> tuple[float, int]:
    """The nearest surface of all: (ray parameter, who as in `paint_hit`)."""
    far, cuboid, face = leave_shell(world.air, origin, way)
    t, who = trace(world.nodes, world.solids, stack, origin, way, far, False)
    if who < 0:
        return far, -(cuboid * 6 + face) - 1
    return t, who
