# mypy: warn-return-any=False
"""Where a ray ends: solids in a bounding-volume tree, inside a shell that is a union of cuboids.

The shell is the air of the rooms: a ray ends where it leaves the last cuboid that it can reach.
"""

from __future__ import annotations

import numpy as np

from glpn_cli.scenes.compiled import Floats, Integers, compiled, compiled_small
from glpn_cli.scenes.solids import FAR, hit_solid, inverse


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
    ix, iy, iz = inverse(dx), inverse(dy), inverse(dz)
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
        x0, x1 = (nodes[node, 0] - ox) * ix, (nodes[node, 3] - ox) * ix
        y0, y1 = (nodes[node, 1] - oy) * iy, (nodes[node, 4] - oy) * iy
        z0, z1 = (nodes[node, 2] - oz) * iz, (nodes[node, 5] - oz) * iz
        enter_l = max(min(x0, x1), min(y0, y1), min(z0, z1), near)
        leave_l = min(max(x0, x1), max(y0, y1), max(z0, z1), best)
        x0, x1 = (nodes[node, 6] - ox) * ix, (nodes[node, 9] - ox) * ix
        y0, y1 = (nodes[node, 7] - oy) * iy, (nodes[node, 10] - oy) * iy
        z0, z1 = (nodes[node, 8] - oz) * iz, (nodes[node, 11] - oz) * iz
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
    ix, iy, iz = inverse(dx), inverse(dy), inverse(dz)
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
def _grow(box: Floats, other: Floats) -> float:
    """Make a box, low then high, hold another one too; half of its surface."""
    for c in range(3):
        box[c] = min(box[c], other[c])
        box[3 + c] = max(box[3 + c], other[3 + c])
    dx, dy, dz = max(box[3] - box[0], 0.0), max(box[4] - box[1], 0.0), max(box[5] - box[2], 0.0)
    return dx * dy + dy * dz + dz * dx


@compiled
def grow_tree(low: Floats, high: Floats, order: Integers, nodes: Floats) -> int:
    """Fill the first rows of `nodes` with a tree over boxes [low, high] (N, 3); how many rows.

    order: (N,), permuted so that leaves are runs of it. nodes: (N, 14), one row at least.
    Node row: bounds of the left child, bounds of the right child, left link, right link. A link >= 0 is a node; a
    negative one is a leaf of `code % 8` solids from `code // 8`, where code = -link - 1.
    """
    n = order.shape[0]
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
        a, b = starts[pending], ends[pending]
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
                costs[slot] = total * _grow(box, bounds[slot])
            box[0:3] = FAR
            box[3:6] = -FAR
            total = 0
            for slot in range(11):
                total += counts[slot]
                cost = costs[slot + 1] + total * _grow(box, bounds[slot])
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
    return used
