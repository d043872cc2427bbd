"""Collects the solids, materials, air and lamps of a scene, in metres, and turns them into arrays.

Furniture is drawn in its own frame: x to the right, y away from the viewer who stands before it (so its back is at +y),
z up, the origin on the floor under its middle. `Parts.frame` sets where that frame stands in the room.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from glpn_cli.scenes.materials import Material

_Point = Sequence[float]
"""x, y, z in metres."""
CORNERS = ((-1, -1), (-1, 1), (1, -1), (1, 1))
"""Signs of x and y at the corners of a rectangle about the origin."""


def around(radius: float, angle: float, z: float = 0.0) -> tuple[float, float, float]:
    """The point `radius` metres off the z axis at an angle about it, radians from x, and at height z."""
    return radius * math.cos(angle), radius * math.sin(angle), z


class Label(IntEnum):
    """The class of a pixel, for auxiliary supervision."""

    WALL = 0
    FLOOR = 1
    CEILING = 2
    FURNITURE = 3
    CLUTTER = 4
    PERSON = 5
    PLANT = 6
    OUTSIDE = 7
    WALL_THING = 8


@dataclass(frozen=True)
class _Frame:
    """The place of a piece: origin and heading (radians about z)."""

    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    yaw: float = 0.0

    def point(self, x: float, y: float, z: float) -> tuple[float, float, float]:
        """A point of the frame, in the world."""
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        return self.x + c * x - s * y, self.y + s * x + c * y, self.z + z


class _How(TypedDict, total=False):
    """How a solid stands in its frame, radians: `roll` about its y, then `tilt` about x, then `yaw` about z.

    shadow: whether it casts one
    face:   which faces carry a one-sided texture: 1 x, 2 y (as it is unless said), 4 z
    """

    yaw: float
    tilt: float
    roll: float
    shadow: bool
    face: int


_SOLID_COLUMNS = 24


def _halves(size: _Point) -> tuple[float, float, float]:
    return 0.5 * size[0], 0.5 * size[1], 0.5 * size[2]


@dataclass
class Parts:
    """The parts of a scene while it is being drawn."""

    solids: list[list[float]] = field(default_factory=list)
    materials: list[list[float]] = field(default_factory=lambda: [Material().row()])
    rows: dict[Material, int] = field(default_factory=dict)
    air: list[list[float]] = field(default_factory=list)
    lights: list[list[float]] = field(default_factory=list)
    here: _Frame = field(default_factory=_Frame)
    label: Label = Label.FURNITURE

    def row(self, material: Material | None) -> int:
        """The row of a material among `materials`, where it is added when it is first used; 0 for None."""
        if material is None:
            return 0
        if material not in self.rows:
            self.materials.append(material.row(self.row(material.other)))
            self.rows[material] = len(self.materials) - 1
        return self.rows[material]

    @contextmanager
    def frame(self, x: float, y: float, z: float = 0.0, yaw: float = 0.0) -> Iterator[None]:
        """Draw relative to a place in the current frame."""
        before = self.here
        px, py, pz = before.point(x, y, z)
        self.here = _Frame(px, py, pz, before.yaw + yaw)
        try:
            yield
        finally:
            self.here = before

    @contextmanager
    def labelled(self, label: Label) -> Iterator[None]:
        """Draw things of another kind."""
        before = self.label
        self.label = label
        try:
            yield
        finally:
            self.label = before

    def _solid(self, kind: int, centre: _Point, half: _Point, material: Material, how: _How, *shape: float) -> None:
        """Add a row, see `solids`; shape: its columns 16 to 18, 0 where they are not given."""
        x, y, z = self.here.point(centre[0], centre[1], centre[2])
        yaw, tilt, roll = self.here.yaw + how.get("yaw", 0.0), how.get("tilt", 0.0), how.get("roll", 0.0)
        cy, sy = math.cos(yaw), math.sin(yaw)
        if tilt == 0.0 and roll == 0.0:
            rotation = [cy, sy, 0.0, -sy, cy, 0.0, 0.0, 0.0, 1.0]
        else:
            cp, sp = math.cos(tilt), math.sin(tilt)
            cr, sr = math.cos(roll), math.sin(roll)
            # Columns of Rz(yaw) Rx(tilt) Ry(roll): the solid's own axes in the world, here as rows.
            rotation = [
                cy * cr - sy * sp * sr, sy * cr + cy * sp * sr, -cp * sr,
                -sy * cp, cy * cp, sp,
                cy * sr + sy * sp * cr, sy * sr - cy * sp * cr, cp * cr,
            ]  # fmt: skip
        shows = (self.row(material), how.get("shadow", True), self.label, 7 * len(self.solids), how.get("face", 2))
        numbers = (kind, *shape, *[0.0] * (3 - len(shape)), *shows)
        self.solids.append([x, y, z, *rotation, *[max(h, 1e-4) for h in half], *map(float, numbers)])

    def box(self, centre: _Point, size: _Point, material: Material, **how: Unpack[_How]) -> None:
        """A box of full `size` about `centre`."""
        self._solid(0, centre, _halves(size), material, how)

    def slab(self, low: _Point, high: _Point, material: Material) -> None:
        """A box between two corners."""
        centre = [0.5 * (a + b) for a, b in zip(low, high, strict=True)]
        self.box(centre, [b - a for a, b in zip(low, high, strict=True)], material)

    def cushion(
        self, centre: _Point, size: _Point, material: Material, *, radius: float = 0.05, **how: Unpack[_How]
    ) -> None:
        """A box with round edges."""
        half = _halves(size)
        self._solid(3, centre, half, material, how, min(radius, *[h * 0.98 for h in half]))

    def ball(self, centre: _Point, size: _Point, material: Material, *, cut: float = 2.0, **how: Unpack[_How]) -> None:
        """An ellipsoid of full `size`; what lies above `cut` (in half heights from the middle) is cut away, hollow."""
        self._solid(1, centre, _halves(size), material, how, cut)

    def pipe(
        self,
        foot: _Point,
        height: float,
        radius: float,
        material: Material,
        *,
        top: float = 1.0,
        radius_y: float | None = None,
        hollow: bool = False,
        **how: Unpack[_How],
    ) -> None:
        """A cylinder or cone standing on `foot`; `top` is the upper radius in units of the lower."""
        centre = (foot[0], foot[1], foot[2] + 0.5 * height)
        half = (radius, radius if radius_y is None else radius_y, 0.5 * height)
        self._solid(2, centre, half, material, how, top, hollow)

    def rod(self, start: _Point, end: _Point, radius: float, material: Material) -> None:
        """A round bar between two points."""
        d = [b - a for a, b in zip(start, end, strict=True)]
        length = math.sqrt(d[0] ** 2 + d[1] ** 2 + d[2] ** 2) + 1e-9
        # Turn about z so that the bar leans along y, then tilt z onto it.
        yaw = math.atan2(d[1], d[0]) + 0.5 * math.pi
        tilt = math.acos(max(-1.0, min(1.0, d[2] / length)))
        centre = [0.5 * (a + b) for a, b in zip(start, end, strict=True)]
        self._solid(2, centre, (radius, radius, 0.5 * length), material, {"yaw": yaw, "tilt": tilt}, 1.0)

    def leaf(self, centre: _Point, size: _Point, material: Material, *, bend: float = 0.0, **how: Unpack[_How]) -> None:
        """A leaf of full length and width `size`, drooping by `bend` (1/m) to both ends."""
        length = 0.5 * size[0]
        half = (length, 0.5 * size[1], abs(bend) * length * length + 0.002)
        self._solid(4, centre, half, material, how, bend)

    def lattice(
        self, centre: _Point, size: _Point, material: Material, *, period: float, fill: float, **how: Unpack[_How]
    ) -> None:
        """A flat sheet in its xy plane, with holes: bars every `period` across x and y, `fill` of it solid."""
        self._solid(5, centre, (0.5 * size[0], 0.5 * size[1], 0.002), material, how, period, fill, 1.0)

    def open_air(self, low: _Point, high: _Point, faces: Sequence[Material]) -> None:
        """Add a cuboid of air in the world; faces: materials of -x +x -y +y -z +z."""
        self.air.append([*low, *high, *[float(self.row(face)) for face in faces]])

    def lamp(
        self,
        centre: _Point,
        colour: _Point,
        *,
        size: float = 0.1,
        kind: int = 0,
        u: _Point | None = None,
        v: _Point | None = None,
        normal: _Point = (0.0, 0.0, -1.0),
        cosine: float = 0.8,
    ) -> None:
        """A light in the world: 0 a lamp of radius `size`, 1 a shining rectangle of half edges u, v, 2 a spot."""
        u = (size, 0.0, 0.0) if u is None else u
        v = (0.0, size, 0.0) if v is None else v
        soft = 0.02 + 0.12 * (sum(c * c for c in u) + sum(c * c for c in v))
        self.lights.append([float(kind), *centre, *u, *v, *normal, *colour, cosine, soft])

    def arrays(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """(solids, air, materials, lights) as arrays; empty ones have zero rows."""
        return (
            np.array(self.solids, np.float64).reshape(-1, _SOLID_COLUMNS),
            np.array(self.air, np.float64),
            np.array(self.materials, np.float64),
            np.array(self.lights, np.float64).reshape(-1, 18),
        )
