"""A room to furnish: its box of air, its walls, and its occupied places."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from glpn_cli.scenes.materials import Material

YAWS = (0.5 * math.pi, -0.5 * math.pi, math.pi, 0.0)  # of a piece whose back is at wall -x, +x, -y, +y


@dataclass
class Wall:
    """One side of a room: side 0..3 (-x +x -y +y), its plane, its extent, and its occupied stretches."""

    side: int
    at: float
    low: float
    high: float
    taken: list[tuple[float, float, float]] = field(default_factory=list)  # from, to, height above which it is free

    def place(self, along: float, off: float) -> tuple[float, float]:
        """The point `off` metres in front of the wall."""
        inward = off if self.side % 2 == 0 else -off
        return (self.at + inward, along) if self.side < 2 else (along, self.at + inward)

    def is_free(self, start: float, end: float, bottom: float, top: float) -> bool:
        """Whether a thing from `bottom` to `top` fits between start and end.

        What is taken is so from its height up (a window: 0.9), or from the floor up to minus it (furniture: negative).
        """
        if start < self.low or end > self.high:
            return False
        for a, b, height in self.taken:
            if start < b and end > a and ((height >= 0 and top > height) or (height < 0 and bottom < -height)):
                return False
        return True


@dataclass
class Room:
    """A room's box of air, its walls, and its occupied places."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]
    kind: str
    walls: list[Wall]
    taken: list[tuple[float, float, float, float]] = field(default_factory=list)
    tops: list[tuple[float, float, float]] = field(default_factory=list)  # places worth looking at
    night: bool = False
    glazed: bool = False
    faces: tuple[Material, ...] = ()
    beyond: list[tuple[tuple[float, float, float], tuple[float, float, float]]] = field(default_factory=list)

    @property
    def width(self) -> float:
        """Along x, metres."""
        return self.high[0] - self.low[0]

    @property
    def length(self) -> float:
        """Along y, metres."""
        return self.high[1] - self.low[1]

    @property
    def height(self) -> float:
        """Floor to ceiling, metres."""
        return self.high[2] - self.low[2]

    def is_taken(self, box: tuple[float, float, float, float], margin: float) -> bool:
        """Whether something stands within `margin` metres of the floor's rectangle x0, y0, x1, y1."""
        x0, y0, x1, y1 = box
        return any(
            x0 < c + margin and x1 > a - margin and y0 < e + margin and y1 > b - margin for a, b, c, e in self.taken
        )

    def lit_by_day(self) -> bool:
        """Whether daylight comes in."""
        return self.glazed and not self.night


KINDS: dict[str, tuple[float, tuple[float, float], tuple[float, float]]] = {
    "living": (3.0, (3.0, 5.0), (3.8, 7.0)),
    "bedroom": (3.0, (2.6, 4.2), (3.0, 5.2)),
    "kitchen": (3.2, (2.0, 4.0), (2.8, 6.0)),
    "open": (2.2, (5.0, 6.5), (6.0, 9.0)),
    "dining": (1.6, (2.6, 4.2), (3.2, 6.0)),
    "study": (1.6, (2.2, 3.8), (2.8, 5.0)),
    "office": (3.0, (2.8, 5.5), (4.0, 9.0)),
    "meeting": (1.0, (3.0, 5.0), (4.0, 8.0)),
    "classroom": (1.3, (5.0, 7.5), (6.5, 10.0)),
    "corridor": (1.6, (1.2, 2.4), (5.0, 16.0)),
    "bathroom": (1.3, (1.6, 2.8), (1.9, 4.0)),
    "shop": (1.2, (4.0, 8.0), (6.0, 14.0)),
    "library": (1.0, (3.5, 7.0), (5.0, 12.0)),
    "storage": (0.8, (2.0, 4.5), (3.0, 7.0)),
    "lobby": (1.2, (4.5, 9.0), (6.0, 16.0)),
    "attic": (0.6, (3.0, 5.0), (4.0, 7.0)),
}
"""How often each kind of room comes, and the range of its shorter and its longer side in metres."""
PUBLIC = ("office", "meeting", "classroom", "corridor", "shop", "library", "lobby", "storage")
