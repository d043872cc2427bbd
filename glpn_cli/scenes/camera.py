"""The photographer: where a hand holds a phone, what it points at, and the lens in front of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glpn_cli.scenes.chance import Chance
from glpn_cli.scenes.room import Room


@dataclass(frozen=True)
class Pose:
    """A camera in the room: position in metres, directions of the picture's right, down and forward."""

    position: tuple[float, float, float]
    right: tuple[float, float, float]
    down: tuple[float, float, float]
    forward: tuple[float, float, float]

    def row(self, half_width: float, half_height: float) -> NDArray[np.float64]:
        """The numbers that the kernels read; half sizes of the picture at distance 1."""
        return np.array([*self.position, *self.right, *self.down, *self.forward, half_width, half_height])


def make_pose(position: tuple[float, float, float], yaw: float, pitch: float, roll: float) -> Pose:
    """Heading `yaw` about z, raised by `pitch`, turned by `roll`; radians."""
    cp, sp, cy, sy = math.cos(pitch), math.sin(pitch), math.cos(yaw), math.sin(yaw)
    forward = (cp * cy, cp * sy, sp)
    right = (sy, -cy, 0.0)
    down = (cy * sp, sy * sp, -cp)
    c, s = math.cos(roll), math.sin(roll)
    turned = tuple(c * a + s * b for a, b in zip(right, down, strict=True))
    lowered = tuple(c * b - s * a for a, b in zip(right, down, strict=True))
    return Pose(position, (turned[0], turned[1], turned[2]), (lowered[0], lowered[1], lowered[2]), forward)


def choose_focal(chance: Chance) -> float:
    """The horizontal field of view of the 4:3 picture, radians: phones and Kinects, mostly 57 to 66 degrees."""
    degrees = chance.weigh([
        (5, chance.bell(62, 3.5, 54, 72)), (2, chance.between(55, 70)), (1.2, chance.between(45, 80)),
    ])  # fmt: skip
    return math.radians(degrees)


def propose_pose(chance: Chance, room: Room) -> tuple[Pose, float]:
    """A way to hold the camera, and the median depth (metres) that such a view tends to have."""
    d = chance
    mode = d.weigh([(5.4, "room"), (2.6, "thing"), (1.0, "close"), (0.7, "down"), (0.8, "level"), (0.5, "wall"),
                    (2.0, "over")])  # fmt: skip
    height = d.weigh([(6, d.bell(1.45, 0.16, 1.0, 1.85)), (2, d.between(0.7, 1.3)), (0.7, d.between(0.3, 0.8)),
                      (0.6, d.between(1.8, 2.3))])  # fmt: skip
    height = min(height, room.height - 0.15)
    margin = 0.25
    x, y = d.between(margin, room.width - margin), d.between(margin, room.length - margin)
    if mode in ("room", "level") and d.yes(0.75):  # stand back: near a wall
        if d.yes(0.5):
            x = margin + 0.5 * d.unit() if d.yes(0.5) else room.width - margin - 0.5 * d.unit()
        else:
            y = margin + 0.5 * d.unit() if d.yes(0.5) else room.length - margin - 0.5 * d.unit()
    roll = math.radians(d.bell(0, 2.0, -8, 8))
    want = 3.1 * math.exp(d.bell(0, 0.36, -0.9, 0.9))
    target = (d.between(0, room.width), d.between(0, room.length), d.between(0.2, 1.5))
    if mode in ("thing", "close") and room.tops:
        tx, ty, tz = d.pick(room.tops)
        target = (tx, ty, tz * d.between(0.4, 1.0))
        reach = d.between(1.2, 3.2) if mode == "thing" else d.between(0.45, 1.1)
        if mode == "close":
            height = min(max(tz + d.between(0.1, 0.7), 0.5), room.height - 0.1)
            want = d.between(0.6, 1.5)
        else:
            want = d.between(1.4, 3.3)
        for _ in range(8):
            a = d.between(0, 2 * math.pi)
            x, y = tx + reach * math.cos(a), ty + reach * math.sin(a)
            if margin < x < room.width - margin and margin < y < room.length - margin:
                break
        x = min(max(x, margin), room.width - margin)
        y = min(max(y, margin), room.length - margin)
    edges = [top for top in room.tops if 0.4 < top[2] < 1.25] if mode == "over" else []
    if edges:  # from behind a table, a counter, the back of a chair
        target = d.pick(edges)
        a, reach = d.between(0, 2 * math.pi), d.between(0.4, 1.5)
        x = min(max(target[0] + reach * math.cos(a), margin), room.width - margin)
        y = min(max(target[1] + reach * math.sin(a), margin), room.length - margin)
        height = min(target[2] + d.between(0.2, 0.75), room.height - 0.15)
        want = d.between(1.2, 3.2)
    dx, dy = target[0] - x, target[1] - y
    yaw = math.atan2(dy, dx)
    distance = math.hypot(dx, dy)
    pitch = math.radians(d.bell(-11, 10, -42, 16))
    if mode in ("thing", "close"):
        pitch = math.atan2(target[2] - height, max(distance, 0.2)) + math.radians(d.bell(0, 6, -20, 20))
        yaw += math.radians(d.bell(0, 7, -25, 25))
    elif edges:
        pitch = math.radians(d.between(-30, -10))
        yaw += math.radians(d.bell(0, 12, -30, 30))
    elif mode == "down":
        pitch = math.radians(d.between(-52, -25))
        want = d.between(1.2, 2.2)
    elif mode == "level":
        pitch = math.radians(d.bell(-1, 2, -6, 6))
        want = 3.3 * math.exp(d.bell(0, 0.4, -0.9, 0.9))
    elif mode == "wall":
        yaw = d.pick([0.0, 0.5, 1.0, 1.5]) * math.pi + math.radians(d.bell(0, 15, -45, 45))
        want = d.between(0.8, 2.0)
    pitch = min(max(pitch, math.radians(-55)), math.radians(26))
    return make_pose((x, y, height), yaw, pitch, roll), want


def is_clear(solids: NDArray[np.float64], position: tuple[float, float, float], margin: float) -> bool:
    """Whether no solid's box comes within `margin` metres of the camera."""
    if not len(solids):
        return True
    offset = np.asarray(position) - solids[:, 0:3]
    local = np.abs(np.einsum("nij,nj->ni", solids[:, 3:12].reshape(-1, 3, 3), offset))
    return not bool(np.any(np.all(local < solids[:, 12:15] + margin, axis=1)))
