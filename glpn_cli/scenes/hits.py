# mypy: warn-return-any=False
"""What a ray sees where it ends: the surface's direction, its colour, its glow."""

from __future__ import annotations

import math

from glpn_cli.scenes.compiled import Floats, Integers, compiled_small
from glpn_cli.scenes.noise import wave2
from glpn_cli.scenes.rays import leave_shell, trace
from glpn_cli.scenes.solids import surface
from glpn_cli.scenes.textures import texture
from glpn_cli.scenes.world import World


@compiled_small
def _shell_surface(
    shell: Floats, k: int, face: int, x: float, y: float, z: float
) -> tuple[float, float, float, float, float, float, float]:
    """Inward normal, u, v and half extents on a face of the shell."""
    hx = 0.5 * (shell[k, 3] - shell[k, 0])
    hy = 0.5 * (shell[k, 4] - shell[k, 1])
    hz = 0.5 * (shell[k, 5] - shell[k, 2])
    sign = 1.0 if face % 2 == 0 else -1.0
    if face < 2:
        return sign, 0.0, 0.0, y, z, hy, hz
    if face < 4:
        return 0.0, sign, 0.0, x, z, hx, hz
    return 0.0, 0.0, sign, x, y, hx, hy


@compiled_small
def paint_hit(
    world: World,
    who: int,
    x: float,
    y: float,
    z: float,
    dx: float,
    dy: float,
    dz: float,
    width: float,
    bumpy: bool,
    out: Floats,
) -> int:
    """Fill out[0:3] normal with its dents, [3:6] colour, [6] glow, [7:10] true normal; return the material.

    who: row of a solid, or -(cuboid * 6 + face) - 1 for the shell. width: of a pixel at this distance, metres.
    """
    solids, shell, mats = world.solids, world.air, world.materials
    tone = 0
    if who >= 0:
        nx, ny, nz, u, v, hu, hv, face = surface(solids, who, x, y, z)
        k = int(solids[who, 19])
        tone = int(solids[who, 22])
        if mats[k, 25] > 0.0 and face != solids[who, 23]:
            k = int(mats[k, 25])
    else:
        code = -who - 1
        c = code // 6
        face6 = code % 6
        nx, ny, nz, u, v, hu, hv = _shell_surface(shell, c, face6, x, y, z)
        k = int(shell[c, 6 + face6])
        for _ in range(2):
            if face6 < 4 and mats[k, 25] > 0.0 and z < mats[k, 24]:
                k = int(mats[k, 25])
        if mats[k, 17] > 0.0:  # what is seen through a window belongs to the window
            if face6 < 2:
                u -= 0.5 * (shell[c, 1] + shell[c, 4])
                v -= 0.5 * (shell[c, 2] + shell[c, 5])
            elif face6 < 4:
                u -= 0.5 * (shell[c, 0] + shell[c, 3])
                v -= 0.5 * (shell[c, 2] + shell[c, 5])
    length = math.sqrt(dx * dx + dy * dy + dz * dz)
    cosine = (nx * dx + ny * dy + nz * dz) / length
    if cosine > 0.0:
        nx, ny, nz = -nx, -ny, -nz
    out[7], out[8], out[9] = nx, ny, nz
    slant = math.sqrt(max(abs(cosine), 0.08))
    foot = width / (slant * math.sqrt(slant))
    r, g, b, glow = texture(mats, k, u, v, hu, hv, foot, tone)
    if bumpy and mats[k, 22] > 0.0:
        s = mats[k, 23]
        keep = mats[k, 22] * max(1.0 - foot / s, 0.0)
        if keep > 0.0:
            a = keep * (wave2(u / s + 0.3, v / s, 3) - wave2(u / s - 0.3, v / s, 3))
            c2 = keep * (wave2(u / s, v / s + 0.3, 3) - wave2(u / s, v / s - 0.3, 3))
            if abs(nz) < 0.7:
                tx, ty = -ny, nx
                nx += a * tx
                ny += a * ty
                nz += c2
            else:
                nx, ny = nx + a, ny + c2
            length = math.sqrt(nx * nx + ny * ny + nz * nz)
            nx, ny, nz = nx / length, ny / length, nz / length
    out[0], out[1], out[2] = nx, ny, nz
    out[3], out[4], out[5] = r, g, b
    out[6] = glow * mats[k, 17]
    return k


@compiled_small
def first_hit(
    world: World, stack: Integers, ox: float, oy: float, oz: float, dx: float, dy: float, dz: float
) -> tuple[float, int]:
    """The nearest surface of all: (ray parameter, who as in `paint_hit`)."""
    far, cuboid, face = leave_shell(world.air, ox, oy, oz, dx, dy, dz)
    t, who = trace(world.nodes, world.solids, stack, ox, oy, oz, dx, dy, dz, 0.0, far, False)
    if who < 0:
        return far, -(cuboid * 6 + face) - 1
    return t, who
