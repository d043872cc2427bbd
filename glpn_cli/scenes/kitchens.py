"""Fitted kitchens: lines of units along one, two or three walls, with one front and a worktop that goes round."""

from __future__ import annotations

from dataclasses import replace

from glpn_cli.scenes.furniture.wet import Kitchen, choose_kitchen, draw_units
from glpn_cli.scenes.room import YAWS, Room, Wall
from glpn_cli.scenes.style import Style


def fit_kitchen(style: Style, room: Room) -> None:
    """Put units along a wall and, mostly, round one or both of its corners, as far as doors let them."""
    d = style.chance
    kitchen = choose_kitchen(style)
    kitchen = replace(kitchen, tall=min(kitchen.tall, room.height - kitchen.low - 0.02))
    wall = d.pick(room.walls)
    corners = d.pick([(True, False), (False, True)])[: d.weigh([(1, 0), (5, 1), (2, 2)])]
    length = wall.high - wall.low
    if len(corners) == 2:  # from corner to corner
        kitchen = replace(kitchen, unit=length / round(length / kitchen.unit))
    most = 20 if len(corners) == 2 else d.whole(3, 7)
    _fit_line(style, room, kitchen, wall, from_low=corners[0] if corners else d.yes(0.5), start=0.0, most=most)
    for is_low in corners:
        side = (0 if is_low else 1) + (2 if wall.side < 2 else 0)
        _fit_line(style, room, kitchen, room.walls[side], from_low=wall.side % 2 == 0, start=kitchen.depth,
                  most=d.whole(2, 6))  # fmt: skip


def _fit_line(
    style: Style, room: Room, kitchen: Kitchen, wall: Wall, *, from_low: bool, start: float, most: int
) -> None:
    """Units along a wall from `start` metres off one of its ends, up to `most` or to what is in the way."""
    d = style.chance
    above: list[bool] = []
    is_hung = d.yes(0.8)
    for i in range(most):
        low = wall.low + start + i * kitchen.unit if from_low else wall.high - start - (i + 1) * kitchen.unit
        high = low + kitchen.unit
        box = _footprint(wall, low + 0.01, high - 0.01, kitchen.depth)
        if room.is_taken(box, 0.0) or not wall.is_free(low + 0.01, high - 0.01, 0.0, kitchen.height):
            break
        above.append(is_hung and wall.is_free(low + 0.01, high - 0.01, kitchen.low, kitchen.low + kitchen.tall))
    if len(above) < 2:
        return
    end = start + len(above) * kitchen.unit
    low, high = (wall.low + start, wall.low + end) if from_low else (wall.high - end, wall.high - start)
    if from_low != (wall.side in (0, 3)):  # whose left end is the low one, as they are looked at
        above.reverse()
    x, y = wall.place(0.5 * (low + high), 0.5 * kitchen.depth)
    with style.parts.frame(x, y, 0, YAWS[wall.side]):
        draw_units(style, kitchen, above)
    room.taken.append(_footprint(wall, low, high, kitchen.depth))
    wall.taken.append((low, high, -(kitchen.low + kitchen.tall if any(above) else kitchen.height)))
    room.tops.append((x, y, kitchen.height))


def _footprint(wall: Wall, low: float, high: float, depth: float) -> tuple[float, float, float, float]:
    (a, b), (c, e) = wall.place(low, 0.0), wall.place(high, depth)
    return min(a, c), min(b, e), max(a, c), max(b, e)
