# mypy: warn-return-any=False
"""Where a ray ends: analytic solids in a bounding-volume tree, inside a shell that is a union of cuboids.

A solid is one row of numbers, see `parts.Column`; its own axes are orthonormal, so ray parameters are the same in the
world and in the solid. The shell is the air of the rooms: a ray ends where it leaves the last cuboid that it can reach.
"""

from __future__ import annotations

import math

import numpy as np

from glpn_cli.data.scenes.compiled import Floats, Integers, compiled, compiled_small

FAR = 1.0e9
BOX, BALL, PIPE, CUSHION, LEAF, LATTICE = 0, 1, 2, 3, 4, 5


@compiled_small
def _inverse(value: float) -> float:
    if abs(value) < 1e-9:
        return 1e9 if value >= 0 else -1e9
    return 1.0 / value


@compiled_small
def hit_solid(
    s: Floats, i: int, ox: float, oy: float, oz: float, dx: float, dy: float, dz: float, near: float, far: float
) -> float:
    """The ray parameter at which the ray enters (or leaves) solid `i` within (near, far), else FAR."""
    ax = ox - s[i, 0]
    ay = oy - s[i, 1]
    az = oz - s[i, 2]
    px = s[i, 3] * ax + s[i, 4] * ay + s[i, 5] * az
    py = s[i, 6] * ax + s[i, 7] * ay + s[i, 8] * az
    pz = s[i, 9] * ax + s[i, 10] * ay + s[i, 11] * az
    qx = s[i, 3] * dx + s[i, 4] * dy + s[i, 5] * dz
    qy = s[i, 6] * dx + s[i, 7] * dy + s[i, 8] * dz
    qz = s[i, 9] * dx + s[i, 10] * dy + s[i, 11] * dz
    hx = s[i, 12]
    hy = s[i, 13]
    hz = s[i, 14]
    kind = int(s[i, 15])
    shape = s[i, 16]
    if kind == BALL:
        px /= hx
        py /= hy
        pz /= hz
        qx /= hx
        qy /= hy
        qz /= hz
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
        x = px / hx
        y = py / hy
        ex = qx / hx
        ey = qy / hy
        k = (shape - 1.0) / (2.0 * hz)
        m = 0.5 * (1.0 + shape) + k * pz
        kz = k * qz
        a = ex * ex + ey * ey - kz * kz
        b = x * ex + y * ey - m * kz
        c = x * x + y * y - m * m
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
                    u = x + t * ex
                    v = y + t * ey
                    if u * u + v * v <= radius * radius:
                        best = t
        return best
    # Box, cushion and lattice begin with the slabs of their box.
    ix = _inverse(qx)
    iy = _inverse(qy)
    iz = _inverse(qz)
    tx = -px * ix
    ty = -py * iy
    tz = -pz * iz
    wx = abs(hx * ix)
    wy = abs(hy * iy)
    wz = abs(hz * iz)
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
        x = (px + t * qx) / shape
        y = (py + t * qy) / shape
        if abs(px + t * qx) > hx or abs(py + t * qy) > hy:
            return FAR
        fill = s[i, 17]
        if x - math.floor(x) < fill or (s[i, 18] > 0.0 and y - math.floor(y) < fill):
            return t
        return FAR
    # A cushion: a box with round edges of radius `shape`, found by sphere tracing.
    length = math.sqrt(qx * qx + qy * qy + qz * qz)
    t = max(enter, near)
    bx = hx - shape
    by = hy - shape
    bz = hz - shape
    for _ in range(40):
        ex = abs(px + t * qx) - bx
        ey = abs(py + t * qy) - by
        ez = abs(pz + t * qz) - bz
        inside = min(max(ex, ey, ez), 0.0)
        ex = max(ex, 0.0)
        ey = max(ey, 0.0)
        ez = max(ez, 0.0)
        gap = math.sqrt(ex * ex + ey * ey + ez * ez) + inside - shape
        if gap < 1e-4:
            return t if near < t < far else FAR
        t += gap / length
        if t > leave:
            return FAR
    return FAR


@compiled_small
def trace(
    nodes: Floats,
    solids: Floats,
    stack: Integers,
    ox: float,
    oy: float,
    oz: float,
    dx: float,
    dy: float,
    dz: float,
    near: float,
    far: float,
    shadow: bool,
) -> tuple[float, int]:
    """The nearest solid along a ray: (ray parameter, row), or (far, -1).

    shadow: any solid that casts a shadow will do.
    """
    best = far
    which = -1
    ix = _inverse(dx)
    iy = _inverse(dy)
    iz = _inverse(dz)
    stack[0] = 0
    depth = 1
    while depth > 0:
        depth -= 1
        node = stack[depth]
        if node < 0:
            code = -node - 1
            first = code // 8
            for i in range(first, first + code % 8):
                if shadow and solids[i, 20] == 0.0:
                    continue
                t = hit_solid(solids, i, ox, oy, oz, dx, dy, dz, near, best)
                if t < best:
                    best = t
                    which = i
                    if shadow:
                        return best, which
            continue
        x0 = (nodes[node, 0] - ox) * ix
        x1 = (nodes[node, 3] - ox) * ix
        y0 = (nodes[node, 1] - oy) * iy
        y1 = (nodes[node, 4] - oy) * iy
        z0 = (nodes[node, 2] - oz) * iz
        z1 = (nodes[node, 5] - oz) * iz
        enter_l = max(min(x0, x1), min(y0, y1), min(z0, z1), near)
        leave_l = min(max(x0, x1), max(y0, y1), max(z0, z1), best)
        x0 = (nodes[node, 6] - ox) * ix
        x1 = (nodes[node, 9] - ox) * ix
        y0 = (nodes[node, 7] - oy) * iy
        y1 = (nodes[node, 10] - oy) * iy
        z0 = (nodes[node, 8] - oz) * iz
        z1 = (nodes[node, 11] - oz) * iz
        enter_r = max(min(x0, x1), min(y0, y1), min(z0, z1), near)
        leave_r = min(max(x0, x1), max(y0, y1), max(z0, z1), best)
        left = enter_l <= leave_l
        right = enter_r <= leave_r
        if left and right:
            if enter_l < enter_r:
                stack[depth] = int(nodes[node, 13])
                stack[depth + 1] = int(nodes[node, 12])
            else:
                stack[depth] = int(nodes[node, 12])
                stack[depth + 1] = int(nodes[node, 13])
            depth += 2
        elif left:
            stack[depth] = int(nodes[node, 12])
            depth += 1
        elif right:
            stack[depth] = int(nodes[node, 13])
            depth += 1
    return best, which


@compiled_small
def leave_shell(
    shell: Floats, ox: float, oy: float, oz: float, dx: float, dy: float, dz: float
) -> tuple[float, int, int]:
    """Where a ray leaves the air of the rooms: (ray parameter, cuboid, face 0..5 = -x +x -y +y -z +z)."""
    ix = _inverse(dx)
    iy = _inverse(dy)
    iz = _inverse(dz)
    now = 1e-7
    cuboid = -1
    face = 0
    grown = True
    while grown:
        grown = False
        for k in range(shell.shape[0]):
            if k == cuboid:
                continue
            fx = ((shell[k, 3] if dx >= 0 else shell[k, 0]) - ox) * ix
            fy = ((shell[k, 4] if dy >= 0 else shell[k, 1]) - oy) * iy
            fz = ((shell[k, 5] if dz >= 0 else shell[k, 2]) - oz) * iz
            leave = min(fx, fy, fz)
            if leave <= now:
                continue
            nx = ((shell[k, 0] if dx >= 0 else shell[k, 3]) - ox) * ix
            ny = ((shell[k, 1] if dy >= 0 else shell[k, 4]) - oy) * iy
            nz = ((shell[k, 2] if dz >= 0 else shell[k, 5]) - oz) * iz
            if max(nx, ny, nz) <= now + 1e-6:
                now = leave
                cuboid = k
                if leave == fx:
                    face = 1 if dx >= 0 else 0
                elif leave == fy:
                    face = 3 if dy >= 0 else 2
                else:
                    face = 5 if dz >= 0 else 4
                grown = True
    return now, cuboid, face


@compiled_small
def surface(
    s: Floats, i: int, x: float, y: float, z: float
) -> tuple[float, float, float, float, float, float, float, float]:
    """At a world point on solid `i`: (normal x, y, z; u, v in metres; half extents of u, v; face)."""
    ax = x - s[i, 0]
    ay = y - s[i, 1]
    az = z - s[i, 2]
    px = s[i, 3] * ax + s[i, 4] * ay + s[i, 5] * az
    py = s[i, 6] * ax + s[i, 7] * ay + s[i, 8] * az
    pz = s[i, 9] * ax + s[i, 10] * ay + s[i, 11] * az
    hx = s[i, 12]
    hy = s[i, 13]
    hz = s[i, 14]
    kind = int(s[i, 15])
    shape = s[i, 16]
    face = 0.0
    if kind == BALL:
        nx = px / (hx * hx)
        ny = py / (hy * hy)
        nz = pz / (hz * hz)
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
            nx = px / (hx * hx)
            ny = py / (hy * hy)
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
        fx = hx - abs(px)
        fy = hy - abs(py)
        fz = hz - abs(pz)
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


@compiled
def grow_tree(low: Floats, high: Floats, order: Integers) -> Floats:
    """A tree over boxes [low, high] (N, 3); `order` (N,) is permuted so that leaves are runs of it.

    Node row: bounds of the left child, bounds of the right child, left link, right link. A link >= 0 is a node; a
    negative one is a leaf of `code % 8` solids from `code // 8`, where code = -link - 1.
    """
    n = order.shape[0]
    nodes = np.empty((max(n, 1), 14))
    used = 1
    starts = np.empty(128, np.int64)
    ends = np.empty(128, np.int64)
    owners = np.empty(128, np.int64)
    starts[0] = 0
    ends[0] = n
    owners[0] = 0
    pending = 1
    bounds = np.empty((12, 6))
    counts = np.empty(12, np.int64)
    costs = np.empty(12)
    box = np.empty(6)
    while pending > 0:
        pending -= 1
        a = starts[pending]
        b = ends[pending]
        node = owners[pending]
        # Where the surface-area heuristic is least, among twelve planes on each axis.
        best = FAR
        best_axis = -1
        best_plane = 0.0
        for axis in range(3):
            least = FAR
            most = -FAR
            for k in range(a, b):
                centre = low[order[k], axis] + high[order[k], axis]
                least = min(least, centre)
                most = max(most, centre)
            if most - least < 1e-9:
                continue
            bounds[:, 0:3] = FAR
            bounds[:, 3:6] = -FAR
            counts[:] = 0
            for k in range(a, b):
                centre = low[order[k], axis] + high[order[k], axis]
                slot = min(int(12.0 * (centre - least) / (most - least)), 11)
                counts[slot] += 1
                for c in range(3):
                    bounds[slot, c] = min(bounds[slot, c], low[order[k], c])
                    bounds[slot, 3 + c] = max(bounds[slot, 3 + c], high[order[k], c])
            # Sweep from the right, then from the left.
            box[0:3] = FAR
            box[3:6] = -FAR
            total = 0
            for slot in range(11, 0, -1):
                total += counts[slot]
                for c in range(3):
                    box[c] = min(box[c], bounds[slot, c])
                    box[3 + c] = max(box[3 + c], bounds[slot, 3 + c])
                dx = max(box[3] - box[0], 0.0)
                dy = max(box[4] - box[1], 0.0)
                dz = max(box[5] - box[2], 0.0)
                costs[slot] = total * (dx * dy + dy * dz + dz * dx)
            box[0:3] = FAR
            box[3:6] = -FAR
            total = 0
            for slot in range(11):
                total += counts[slot]
                for c in range(3):
                    box[c] = min(box[c], bounds[slot, c])
                    box[3 + c] = max(box[3 + c], bounds[slot, 3 + c])
                dx = max(box[3] - box[0], 0.0)
                dy = max(box[4] - box[1], 0.0)
                dz = max(box[5] - box[2], 0.0)
                cost = costs[slot + 1] + total * (dx * dy + dy * dz + dz * dx)
                if 0 < total < b - a and cost < best:
                    best = cost
                    best_axis = axis
                    best_plane = least + (most - least) * (slot + 1) / 12.0
        m = a
        if best_axis >= 0:
            for k in range(a, b):
                if low[order[k], best_axis] + high[order[k], best_axis] < best_plane:
                    order[k], order[m] = order[m], order[k]
                    m += 1
        if m in (a, b):
            m = a + (b - a) // 2
        for side in range(2):
            c = a if side == 0 else m
            d = m if side == 0 else b
            for axis in range(3):
                least = FAR
                most = -FAR
                for k in range(c, d):
                    least = min(least, low[order[k], axis])
                    most = max(most, high[order[k], axis])
                nodes[node, side * 6 + axis] = least - 1e-5
                nodes[node, side * 6 + 3 + axis] = most + 1e-5
            if d - c <= 2:
                nodes[node, 12 + side] = -(c * 8 + (d - c)) - 1
            else:
                nodes[node, 12 + side] = used
                starts[pending] = c
                ends[pending] = d
                owners[pending] = used
                used += 1
                pending += 1
    return nodes[:used]
