# mypy: warn-return-any=False
"""Where a ray meets one solid, and what is there: boxes, balls, pipes, cushions, leaves, lattices, all analytic.

A solid is one row of numbers: 0-2 centre, 3-11 its own axes in the world, 12-14 half sizes, 15 kind, 16 shape (where a
ball is cut, a pipe's upper radius, a cushion's rounding, a leaf's bend, a lattice's period), 17 hollow or filled share,
18 whether a lattice has bars both ways, 19 material, 20 whether it casts a shadow, 21 label, 22 tone, 23 textured face.
Axes are orthonormal, so ray parameters are the same in the world and in the solid.
"""

from __future__ import annotations

import math

from glpn_cli.scenes.compiled import Floats, compiled_small

FAR = 1.0e9
BOX, BALL, PIPE, CUSHION, LEAF, LATTICE = 0, 1, 2, 3, 4, 5


@compiled_small
def inverse(value: float) -> float:
    """1 / value, large and of the same sign where that does not exist."""
    if abs(value) < 1e-9:
        return 1e9 if value >= 0 else -1e9
    return 1.0 / value


@compiled_small
def _turn(s: Floats, i: int, x: float, y: float, z: float) -> tuple[float, float, float]:
    """A direction of the world in the axes of solid `i`."""
    return (
        s[i, 3] * x + s[i, 4] * y + s[i, 5] * z,
        s[i, 6] * x + s[i, 7] * y + s[i, 8] * z,
        s[i, 9] * x + s[i, 10] * y + s[i, 11] * z,
    )


@compiled_small
def hit_solid(
    s: Floats, i: int, ox: float, oy: float, oz: float, dx: float, dy: float, dz: float, near: float, far: float
) -> float:
    """The ray parameter at which the ray enters (or leaves) solid `i` within (near, far), else FAR."""
    px, py, pz = _turn(s, i, ox - s[i, 0], oy - s[i, 1], oz - s[i, 2])
    qx, qy, qz = _turn(s, i, dx, dy, dz)
    hx, hy, hz = s[i, 12], s[i, 13], s[i, 14]
    kind = int(s[i, 15])
    shape = s[i, 16]
    if kind == BALL:
        px, py, pz = px / hx, py / hy, pz / hz
        qx, qy, qz = qx / hx, qy / hy, qz / hz
        a = qx * qx + qy * qy + qz * qz
        b = px * qx + py * qy + pz * qz
        c = px * px + py * py + pz * pz - 1.0
        disc = b * b - a * c
        if disc <= 0.0:
            return FAR
        root = math.sqrt(disc)
        t = (-b - root) / a
        if near < t < far and pz + t * qz <= shape:
            return t
        t = (-b + root) / a
        if near < t < far and pz + t * qz <= shape:
            return t
        return FAR
    if kind == LEAF:  # z = -shape * x^2, cut to a leaf's outline
        a = shape * qx * qx
        b = qz + 2.0 * shape * px * qx
        c = pz + shape * px * px
        if abs(a) < 1e-9:
            if abs(b) < 1e-12:
                return FAR
            t1 = -c / b
            t2 = FAR
        else:
            disc = b * b - 4.0 * a * c
            if disc <= 0.0:
                return FAR
            root = math.sqrt(disc)
            t1 = (-b - root) / (2.0 * a)
            t2 = (-b + root) / (2.0 * a)
            if t1 > t2:
                t1, t2 = t2, t1
        for t in (t1, t2):
            if near < t < far:
                x = (px + t * qx) / hx
                if abs(x) < 1.0 and abs(py + t * qy) < hy * (1.0 - x * x) * (1.0 + 0.35 * x):
                    return t
        return FAR
    if kind == PIPE:  # a frustum along z: radius 1 (in units of hx, hy) below, `shape` above; open when hollow
        x, y = px / hx, py / hy
        ex, ey = qx / hx, qy / hy
        k = (shape - 1.0) / (2.0 * hz)
        m = 0.5 * (1.0 + shape) + k * pz
        kz = k * qz
        a, b, c = ex * ex + ey * ey - kz * kz, x * ex + y * ey - m * kz, x * x + y * y - m * m
        best = FAR
        if abs(a) > 1e-12:
            disc = b * b - a * c
            if disc > 0.0:
                root = math.sqrt(disc)
                t1 = (-b - root) / a
                t2 = (-b + root) / a
                if near < t1 < far and abs(pz + t1 * qz) <= hz and m + kz * t1 > 0.0:
                    best = t1
                if near < t2 < far and t2 < best and abs(pz + t2 * qz) <= hz and m + kz * t2 > 0.0:
                    best = t2
        if s[i, 17] == 0.0 and abs(qz) > 1e-12:
            for end in range(2):
                z = hz if end == 1 else -hz
                radius = shape if end == 1 else 1.0
                t = (z - pz) / qz
                if near < t < far and t < best:
                    u, v = x + t * ex, y + t * ey
                    if u * u + v * v <= radius * radius:
                        best = t
        return best
    # Box, cushion and lattice begin with the slabs of their box.
    ix, iy, iz = inverse(qx), inverse(qy), inverse(qz)
    tx, ty, tz = -px * ix, -py * iy, -pz * iz
    wx, wy, wz = abs(hx * ix), abs(hy * iy), abs(hz * iz)
    enter = max(tx - wx, ty - wy, tz - wz)
    leave = min(tx + wx, ty + wy, tz + wz)
    if enter > leave or leave < near or enter > far:
        return FAR
    if kind == BOX:
        if enter > near:
            return enter
        return leave if leave < far else FAR
    if kind == LATTICE:  # a thin sheet with holes: bars every `shape` along x (and along y where col 18 says so)
        t = tz
        if not near < t < far:
            return FAR
        x, y = (px + t * qx) / shape, (py + t * qy) / shape
        if abs(px + t * qx) > hx or abs(py + t * qy) > hy:
            return FAR
        fill = s[i, 17]
        if x - math.floor(x) < fill or (s[i, 18] > 0.0 and y - math.floor(y) < fill):
            return t
        return FAR
    # A cushion: a box with round edges of radius `shape`, found by sphere tracing.
    length = math.sqrt(qx * qx + qy * qy + qz * qz)
    t = max(enter, near)
    bx, by, bz = hx - shape, hy - shape, hz - shape
    for _ in range(40):
        ex, ey, ez = abs(px + t * qx) - bx, abs(py + t * qy) - by, abs(pz + t * qz) - bz
        inside = min(max(ex, ey, ez), 0.0)
        ex, ey, ez = max(ex, 0.0), max(ey, 0.0), max(ez, 0.0)
        gap = math.sqrt(ex * ex + ey * ey + ez * ez) + inside - shape
        if gap < 1e-4:
            return t if near < t < far else FAR
        t += gap / length
        if t > leave:
            return FAR
    return FAR


@compiled_small
def surface(
    s: Floats, i: int, x: float, y: float, z: float
) -> tuple[float, float, float, float, float, float, float, float]:
    """At a world point on solid `i`: (normal x, y, z; u, v in metres; half extents of u, v; face)."""
    px, py, pz = _turn(s, i, x - s[i, 0], y - s[i, 1], z - s[i, 2])
    hx, hy, hz = s[i, 12], s[i, 13], s[i, 14]
    kind = int(s[i, 15])
    shape = s[i, 16]
    face = 0.0
    if kind == BALL:
        nx, ny, nz = px / (hx * hx), py / (hy * hy), pz / (hz * hz)
        u = math.atan2(py, px) * 0.5 * (hx + hy)
        v = pz
        hu = 3.1416 * 0.5 * (hx + hy)
        hv = hz
    elif kind == LEAF:
        nx = 2.0 * shape * px
        ny = 0.0
        nz = 1.0
        u, v, hu, hv = px, py, hx, hy
    elif kind == PIPE:
        if abs(pz) > hz - 1e-5 and s[i, 17] == 0.0:
            nx, ny = 0.0, 0.0
            nz = 1.0 if pz > 0 else -1.0
            u, v, hu, hv = px, py, hx, hy
            face = 4.0
        else:
            k = (shape - 1.0) / (2.0 * hz)
            m = 0.5 * (1.0 + shape) + k * pz
            nx, ny = px / (hx * hx), py / (hy * hy)
            nz = -k * m
            u = math.atan2(py, px) * hx
            v = pz
            hu = 3.1416 * hx
            hv = hz
    elif kind == CUSHION:
        ex = max(abs(px) - hx + shape, 0.0)
        ey = max(abs(py) - hy + shape, 0.0)
        ez = max(abs(pz) - hz + shape, 0.0)
        nx = ex if px > 0 else -ex
        ny = ey if py > 0 else -ey
        nz = ez if pz > 0 else -ez
        if ex >= ey and ex >= ez:
            u, v, hu, hv = py, pz, hy, hz
        elif ey >= ez:
            u, v, hu, hv = px, pz, hx, hz
        else:
            u, v, hu, hv = px, py, hx, hy
            face = 4.0
    else:
        nx, ny, nz = 0.0, 0.0, 0.0
        fx, fy, fz = hx - abs(px), hy - abs(py), hz - abs(pz)
        if (fz <= fx and fz <= fy) or kind == LATTICE:
            nz = 1.0 if pz > 0 else -1.0
            u, v, hu, hv = px, py, hx, hy
            face = 4.0
        elif fx <= fy:
            nx = 1.0 if px > 0 else -1.0
            u, v, hu, hv = py, pz, hy, hz
            face = 1.0
        else:
            ny = 1.0 if py > 0 else -1.0
            u, v, hu, hv = px, pz, hx, hz
            face = 2.0
    wx = s[i, 3] * nx + s[i, 6] * ny + s[i, 9] * nz
    wy = s[i, 4] * nx + s[i, 7] * ny + s[i, 10] * nz
    wz = s[i, 5] * nx + s[i, 8] * ny + s[i, 11] * nz
    length = math.sqrt(wx * wx + wy * wy + wz * wz) + 1e-20
    return wx / length, wy / length, wz / length, u, v, hu, hv, face
