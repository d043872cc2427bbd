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
from glpn_cli.scenes.vectors import Vector, along, dot, length, minus, three, times

FAR = 1.0e9
BOX, BALL, PIPE, CUSHION, LEAF, LATTICE = 0, 1, 2, 3, 4, 5


@compiled_small
def invert(value: float) -> float:
    """1 / value, large and of the same sign where that does not exist."""
    if abs(value) < 1e-9:
        return 1e9 if value >= 0 else -1e9
    return 1.0 / value


@compiled_small
def _turn(s: Floats, v: Vector) -> Vector:
    """A direction of the world in the axes of a solid."""
    return dot(three(s, 3), v), dot(three(s, 6), v), dot(three(s, 9), v)


@compiled_small
def hit_solid(s: Floats, origin: Vector, way: Vector, far: float) -> float:
    """The ray parameter at which the ray enters (or leaves) a solid within (0, far), else FAR."""
    px, py, pz = _turn(s, minus(origin, three(s, 0)))
    qx, qy, qz = _turn(s, way)
    hx, hy, hz = three(s, 12)
    kind = int(s[15])
    shape = s[16]
    if kind == BALL:
        p = (px / hx, py / hy, pz / hz)
        q = (qx / hx, qy / hy, qz / hz)
        a, b = dot(q, q), dot(p, q)
        disc = b * b - a * (dot(p, p) - 1.0)
        if disc <= 0.0:
            return FAR
        root = math.sqrt(disc)
        for t in ((-b - root) / a, (-b + root) / a):
            if 0.0 < t < far and p[2] + t * q[2] <= shape:
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
            if 0.0 < t < far:
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
        disc = b * b - a * c
        if abs(a) > 1e-12 and disc > 0.0:
            root = math.sqrt(disc)
            for t in ((-b - root) / a, (-b + root) / a):
                if 0.0 < t < min(far, best) and abs(pz + t * qz) <= hz and m + kz * t > 0.0:
                    best = t
        if s[17] == 0.0 and abs(qz) > 1e-12:
            for z, radius in ((-hz, 1.0), (hz, shape)):
                t = (z - pz) / qz
                if 0.0 < t < min(far, best):
                    u, v = x + t * ex, y + t * ey
                    if u * u + v * v <= radius * radius:
                        best = t
        return best
    # Box, cushion and lattice begin with the slabs of their box.
    ix, iy, iz = invert(qx), invert(qy), invert(qz)
    tx, ty, tz = -px * ix, -py * iy, -pz * iz
    wx, wy, wz = abs(hx * ix), abs(hy * iy), abs(hz * iz)
    enter = max(tx - wx, ty - wy, tz - wz)
    leave = min(tx + wx, ty + wy, tz + wz)
    if enter > leave or leave < 0.0 or enter > far:
        return FAR
    if kind == BOX:
        if enter > 0.0:
            return enter
        return leave if leave < far else FAR
    if kind == LATTICE:  # a thin sheet with holes: bars every `shape` along x (and along y where col 18 says so)
        t = tz
        if not 0.0 < t < far:
            return FAR
        x, y = (px + t * qx) / shape, (py + t * qy) / shape
        if abs(px + t * qx) > hx or abs(py + t * qy) > hy:
            return FAR
        fill = s[17]
        if x - math.floor(x) < fill or (s[18] > 0.0 and y - math.floor(y) < fill):
            return t
        return FAR
    # A cushion: a box with round edges of radius `shape`, found by sphere tracing.
    speed = length((qx, qy, qz))
    t = max(enter, 0.0)
    bx, by, bz = hx - shape, hy - shape, hz - shape
    for _ in range(40):
        ex, ey, ez = abs(px + t * qx) - bx, abs(py + t * qy) - by, abs(pz + t * qz) - bz
        inside = min(max(ex, ey, ez), 0.0)
        gap = length((max(ex, 0.0), max(ey, 0.0), max(ez, 0.0))) + inside - shape
        if gap < 1e-4:
            return t if 0.0 < t < far else FAR
        t += gap / speed
        if t > leave:
            return FAR
    return FAR


@compiled_small
def surface(s: Floats, place: Vector) -> tuple[Vector, float, float, float, float, float]:
    """At a world point on a solid: (normal; u, v in metres; half extents of u, v; face)."""
    px, py, pz = _turn(s, minus(place, three(s, 0)))
    hx, hy, hz = three(s, 12)
    kind = int(s[15])
    shape = s[16]
    u, v, hu, hv = px, py, hx, hy
    face = 0.0
    if kind == BALL:
        n = (px / (hx * hx), py / (hy * hy), pz / (hz * hz))
        radius = 0.5 * (hx + hy)
        u, v, hu, hv = math.atan2(py, px) * radius, pz, 3.1416 * radius, hz
    elif kind == LEAF:
        n = (2.0 * shape * px, 0.0, 1.0)
    elif kind == PIPE and (abs(pz) <= hz - 1e-5 or s[17] != 0.0):
        k = (shape - 1.0) / (2.0 * hz)
        n = (px / (hx * hx), py / (hy * hy), -k * (0.5 * (1.0 + shape) + k * pz))
        u, v, hu, hv = math.atan2(py, px) * hx, pz, 3.1416 * hx, hz
    elif kind == CUSHION:
        ex = max(abs(px) - hx + shape, 0.0)
        ey = max(abs(py) - hy + shape, 0.0)
        ez = max(abs(pz) - hz + shape, 0.0)
        n = (ex if px > 0 else -ex, ey if py > 0 else -ey, ez if pz > 0 else -ez)
        if ex >= ey and ex >= ez:
            u, v, hu, hv = py, pz, hy, hz
        elif ey >= ez:
            u, v, hu, hv = px, pz, hx, hz
        else:
            face = 4.0
    else:  # a side of a box, an end of a pipe, a lattice
        fx, fy, fz = hx - abs(px), hy - abs(py), hz - abs(pz)
        if kind != BOX or (fz <= fx and fz <= fy):
            n = (0.0, 0.0, 1.0 if pz > 0 else -1.0)
            face = 4.0
        elif fx <= fy:
            n = (1.0 if px > 0 else -1.0, 0.0, 0.0)
            u, v, hu, hv = py, pz, hy, hz
            face = 1.0
        else:
            n = (0.0, 1.0 if py > 0 else -1.0, 0.0)
            u, v, hu, hv = px, pz, hx, hz
            face = 2.0
    n = along(along(times(three(s, 3), n[0]), n[1], three(s, 6)), n[2], three(s, 9))
    return times(n, 1.0 / (length(n) + 1e-20)), u, v, hu, hv, face
