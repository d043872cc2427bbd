# mypy: warn-return-any=False
"""Where a ray ends: solids in a bounding-volume tree, inside a shell that is a union of cuboids.

The shell is the air of the rooms: a ray ends where it leaves the last cuboid that it can reach.
"""

from __future__ import annotations

import numpy as np

from glpn_cli.scenes.compiled import Floats, Integers, compiled, compiled_small
from glpn_cli.scenes.solids import FAR, hit_solid, invert
from glpn_cli.scenes.vectors import Vector, three


@compiled_small
def _reach(corner: Vector, origin: Vector, inverse: Vector) -> Vector:
    """Where a ray crosses the three planes that meet in the corner of a box; inverse: of its direction."""
    return (
        (corner[0] - origin[0]) * inverse[0],
        (corner[1] - origin[1]) * inverse[1],
        (corner[2] - origin[2]) * inverse[2],
    )


@compiled_small
def _cross_box(row: Floats, at: int, origin: Vector, inverse: Vector) -> tuple[float, float]:
    """Where a ray enters and leaves a box, whose low and high corners begin in column `at`."""
    x0, y0, z0 = _reach(three(row, at), origin, inverse)
    x1, y1, z1 = _reach(three(row, at + 3), origin, inverse)
    return max(min(x0, x1), min(y0, y1), min(z0, z1)), min(max(x0, x1), max(y0, y1), max(z0, z1))


@compiled_small
def trace(
    nodes: Floats, solids: Floats, stack: Integers, origin: Vector, way: Vector, far: float, shadow: bool
) -> tuple[float, int]:
    """The nearest solid along a ray: (ray parameter, row), or (far, -1).

    shadow: any solid that casts a shadow will do.
    """
    best = far
    which = -1
    inverse = (invert(way[0]), invert(way[1]), invert(way[2]))
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
                t = hit_solid(solids[i], origin, way, best)
                if t < best:
                    best = t
                    which = i
                    if shadow:
                        return best, which
            continue
        enter, leave = _cross_box(nodes[node], 0, origin, inverse)
        enter_l = max(enter, 0.0)
        left = enter_l <= min(leave, best)
        enter, leave = _cross_box(nodes[node], 6, origin, inverse)
        enter_r = max(enter, 0.0)
        right = enter_r <= min(leave, best)
        links = int(nodes[node, 12]), int(nodes[node, 13])
        if left and right:  # the nearer one is looked into first
            stack[depth], stack[depth + 1] = (links[1], links[0]) if enter_l < enter_r else links
            depth += 2
        elif left or right:
            stack[depth] = links[0] if left else links[1]
            depth += 1
    return best, which


@compiled_small
def leave_shell(shell: Floats, origin: Vector, way: Vector) -> tuple[float, int, int]:
    """Where a ray leaves the air of the rooms: (ray parameter, cuboid, face 0..5 = -x +x -y +y -z +z)."""
    inverse = (invert(way[0]), invert(way[1]), invert(way[2]))
    ahead = (3 if way[0] >= 0 else 0, 4 if way[1] >= 0 else 1, 5 if way[2] >= 0 else 2)
    now = 1e-7
    cuboid = -1
    last = 0
    grown = True
    while grown:
        grown = False
        for k in range(shell.shape[0]):
            if k == cuboid:
                continue
            air = shell[k]
            x, y, z = _reach((air[ahead[0]], air[ahead[1]], air[ahead[2]]), origin, inverse)
            leave = min(x, y, z)
            if leave <= now:
                continue
            enter = max(_reach((air[3 - ahead[0]], air[5 - ahead[1]], air[7 - ahead[2]]), origin, inverse))
            if enter <= now + 1e-6:
                now = leave
                cuboid = k
                last = 0 if leave == x else (1 if leave == y else 2)
                grown = True
    return now, cuboid, 2 * last + (1 if way[last] >= 0 else 0)


@compiled_small
def _grow(box: Floats, other: Floats) -> float:
    """Make a box, low then high, hold another one too; half of its surface."""
    for c in range(3):
        box[c] = min(box[c], other[c])
        box[3 + c] = max(box[3 + c], other[3 + c])
    dx, dy, dz = max(box[3] - box[0], 0.0), max(box[4] - box[1], 0.0), max(box[5] - box[2], 0.0)
    return dx * dy + dy * dz + dz * dx


@compiled
def grow_tree(boxes: Floats, order: Integers, nodes: Floats) -> int:
    """Fill the first rows of `nodes` with a tree over boxes (N, 6), low corner and high corner; how many rows.

    order: (N,), permuted so that leaves are runs of it. nodes: (N, 14), one row at least.
    Node row: bounds of the left child, bounds of the right child, left link, right link. A link >= 0 is a node; a
    negative one is a leaf of `code % 8` solids from `code // 8`, where code = -link - 1.
    """
    used = 1
    pending = np.empty((128, 3), np.int64)  # runs of `order`: from, to, the node that splits them
    pending[0, 0], pending[0, 1], pending[0, 2] = 0, order.shape[0], 0
    count = 1
    bounds = np.empty((12, 6))
    counts = np.empty(12, np.int64)
    costs = np.empty(12)
    box = np.empty(6)
    while count > 0:
        count -= 1
        a, b, node = pending[count, 0], pending[count, 1], pending[count, 2]
        # Where the surface-area heuristic is least, among twelve planes on each axis.
        best = FAR
        best_axis = -1
        best_plane = 0.0
        for axis in range(3):
            least, most = FAR, -FAR
            for k in order[a:b]:
                centre = boxes[k, axis] + boxes[k, 3 + axis]
                least, most = min(least, centre), max(most, centre)
            if most - least < 1e-9:
                continue
            bounds[:, 0:3], bounds[:, 3:6] = FAR, -FAR
            counts[:] = 0
            for k in order[a:b]:
                centre = boxes[k, axis] + boxes[k, 3 + axis]
                slot = min(int(12.0 * (centre - least) / (most - least)), 11)
                counts[slot] += 1
                _grow(bounds[slot], boxes[k])
            # Sweep from the right, then from the left.
            box[0:3], box[3:6] = FAR, -FAR
            total = 0
            for slot in range(11, 0, -1):
                total += counts[slot]
                costs[slot] = total * _grow(box, bounds[slot])
            box[0:3], box[3:6] = FAR, -FAR
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
                if boxes[order[k], best_axis] + boxes[order[k], 3 + best_axis] < best_plane:
                    order[k], order[m] = order[m], order[k]
                    m += 1
        if m in (a, b):
            m = a + (b - a) // 2
        for side in range(2):
            start, end = (a, m) if side == 0 else (m, b)
            box[0:3], box[3:6] = FAR, -FAR
            for k in order[start:end]:
                _grow(box, boxes[k])
            for c in range(3):
                nodes[node, side * 6 + c] = box[c] - 1e-5
                nodes[node, side * 6 + 3 + c] = box[3 + c] + 1e-5
            if end - start <= 2:
                nodes[node, 12 + side] = -(start * 8 + (end - start)) - 1
            else:
                nodes[node, 12 + side] = used
                pending[count, 0], pending[count, 1], pending[count, 2] = start, end, used
                used += 1
                count += 1
    return used
