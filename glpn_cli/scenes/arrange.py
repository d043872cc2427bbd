"""Furnishes rooms: each kind has a list of likely pieces, along walls or free, without overlap; fitted kitchens too."""

from __future__ import annotations

import math
from dataclasses import replace

from glpn_cli.scenes.furniture import Maker, Piece
from glpn_cli.scenes.furniture.clutter import SMALL
from glpn_cli.scenes.furniture.living import floor_lamp, person, pet, plant
from glpn_cli.scenes.furniture.odd import (
    cubicle,
    easel,
    fireplace,
    hanging_plant,
    machine,
    odd_thing,
    piano,
    stairs,
    toys,
)
from glpn_cli.scenes.furniture.seating import bar_stool, bed, bench, chair, ottoman, sofa
from glpn_cli.scenes.furniture.storage import boxes, cupboard, rack, shelf, shop_rack, tv_stand
from glpn_cli.scenes.furniture.tables import coffee_table, desk, side_table, table
from glpn_cli.scenes.furniture.wet import (
    Kitchen,
    basin,
    bathtub,
    choose_kitchen,
    counter,
    draw_units,
    fridge,
    toilet,
    washing_machine,
)
from glpn_cli.scenes.materials import Material, Texture
from glpn_cli.scenes.parts import Label
from glpn_cli.scenes.room import YAWS, Room, Wall
from glpn_cli.scenes.style import Style

# kind -> (along walls: (expected number, maker)), (free: (expected number, maker))
_Plan = tuple[tuple[tuple[float, Maker], ...], tuple[tuple[float, Maker], ...]]
PLANS: dict[str, _Plan] = {
    "living": (
        ((1.3, sofa), (0.9, shelf), (0.8, tv_stand), (0.7, cupboard), (0.6, side_table), (1, plant), (0.5, floor_lamp),
         (0.5, chair), (0.3, desk), (0.2, boxes)),
        ((0.8, coffee_table), (0.5, sofa), (0.4, ottoman), (0.3, table), (0.3, person), (0.2, pet), (0.2, plant)),
    ),
    "bedroom": (
        ((1.2, bed), (1.2, side_table), (1.1, cupboard), (0.5, desk), (0.5, shelf), (0.4, chair), (0.3, plant),
         (0.3, floor_lamp), (0.3, boxes), (0.2, rack)),
        ((0.2, ottoman), (0.15, person), (0.2, pet), (0.2, boxes), (0.2, chair)),
    ),
    "kitchen": (
        ((0.6, counter), (0.9, fridge), (0.4, shelf), (0.4, cupboard), (0.2, washing_machine), (0.3, boxes)),
        ((0.7, table), (0.5, bar_stool), (0.2, person), (0.15, counter)),
    ),
    "open": (
        ((0.9, fridge), (0.9, sofa), (0.7, shelf), (0.6, tv_stand), (0.5, cupboard), (0.6, plant), (0.4, floor_lamp),
         (0.3, desk)),
        ((1.2, table), (0.7, sofa), (0.7, coffee_table), (0.5, counter), (0.5, bar_stool), (0.3, chair), (0.3, plant),
         (0.4, person)),
    ),
    "dining": (
        ((0.9, cupboard), (0.7, shelf), (0.6, plant), (0.3, sofa), (0.3, chair), (0.3, floor_lamp), (0.3, counter)),
        ((1.1, table), (0.3, person), (0.2, table), (0.2, chair)),
    ),
    "study": (
        ((1.2, desk), (1.6, shelf), (0.6, cupboard), (0.4, sofa), (0.5, plant), (0.4, floor_lamp), (0.6, boxes)),
        ((0.2, person), (0.3, chair), (0.2, boxes), (0.15, pet)),
    ),
    "office": (
        ((2.5, desk), (1.6, cupboard), (1.2, shelf), (0.8, plant), (0.5, boxes), (0.3, sofa), (0.4, table)),
        ((3.0, desk), (0.7, person), (0.5, table), (0.6, chair), (0.4, plant)),
    ),
    "meeting": (
        ((0.7, cupboard), (0.7, plant), (0.4, shelf), (0.6, chair), (0.3, tv_stand)),
        ((1.2, table), (0.6, person), (0.3, chair)),
    ),
    "classroom": (
        ((0.8, cupboard), (0.8, shelf), (0.5, desk), (0.3, plant), (0.3, boxes)),
        ((5.0, table), (2.0, desk), (1.0, person), (2.0, chair)),
    ),
    "corridor": (
        ((0.8, cupboard), (0.6, plant), (0.5, bench), (0.4, boxes), (0.4, chair), (0.4, shelf), (0.3, rack)),
        ((0.4, person), (0.1, boxes)),
    ),
    "bathroom": (
        ((1.0, basin), (0.9, toilet), (0.7, bathtub), (0.4, washing_machine), (0.4, cupboard), (0.4, shelf)),
        ((0.1, person),),
    ),
    "shop": (
        ((3.0, shop_rack), (1.2, shelf), (0.6, cupboard), (0.6, rack), (0.4, plant)),
        ((3.0, shop_rack), (1.2, table), (1.2, person), (1.0, rack), (0.7, boxes)),
    ),
    "library": (
        ((4.0, shelf), (0.5, desk), (0.4, plant), (0.4, cupboard)),
        ((3.0, shelf), (1.2, table), (0.6, person), (0.5, sofa), (0.3, chair)),
    ),
    "storage": (
        ((2.5, boxes), (2.0, shelf), (0.8, cupboard), (0.4, washing_machine), (0.5, rack), (0.4, fridge)),
        ((1.5, boxes), (0.3, bench), (0.3, table), (0.2, chair)),
    ),
    "lobby": (
        ((1.2, sofa), (1.5, plant), (0.8, bench), (0.6, cupboard), (0.5, shelf), (0.4, counter)),
        ((1.2, sofa), (1.2, coffee_table), (1.2, table), (1.5, person), (1.0, plant), (0.5, bar_stool)),
    ),
    "attic": (
        ((0.8, bed), (0.7, desk), (0.8, boxes), (0.6, side_table), (0.5, plant), (0.4, chair)),
        ((0.4, sofa), (0.4, boxes), (0.3, table), (0.3, chair)),
    ),
}  # fmt: skip


def furnish(style: Style, room: Room) -> None:
    """Fill the room."""
    d = style.chance
    along, free = PLANS[room.kind]
    fullness = d.between(0.6, 2.4)
    area = (room.width * room.length / 16.0) ** 0.5
    if room.kind == "open" or (room.kind == "kitchen" and d.yes(0.75)):
        fit_kitchen(style, room)
    for expected, maker in along:
        for _ in range(int(expected * fullness * area + d.unit())):
            _stand_at_wall(style, room, maker(style))
    for expected, maker in free:
        if maker is person:
            expected *= 0.5  # noqa: PLW2901
        for _ in range(int(expected * fullness * area + d.unit())):
            _stand_free(style, room, maker(style))
    for _ in range(d.weigh([(5, 0), (3, 1), (1, 2)])):
        piece = d.weigh(ODD)(style)
        (_stand_at_wall if d.yes(0.6) else _stand_free)(style, room, piece)
    if d.yes(0.35) and room.kind not in ("corridor", "storage"):
        _lay_rug(style, room)
    _litter(style, room, fullness)
    for low, high in room.beyond:
        _furnish_beyond(style, low, high)


# What may stand anywhere, now and then.
ODD: tuple[tuple[float, Maker], ...] = (
    (3, odd_thing), (1, toys), (1, easel), (0.7, piano), (0.7, fireplace), (1, machine), (0.8, stairs), (1, cubicle),
    (1, boxes), (0.7, hanging_plant),
)  # fmt: skip


def _furnish_beyond(style: Style, low: tuple[float, float, float], high: tuple[float, float, float]) -> None:
    """Place a few pieces in a neighbouring room, which is seen only through a door, without a plan."""
    d, p = style.chance, style.parts
    makers = (table, sofa, shelf, cupboard, plant, desk, chair, bed, counter, boxes, person, fridge, floor_lamp)
    taken: list[tuple[float, float]] = []
    for _ in range(min(int((high[0] - low[0]) * (high[1] - low[1]) / 3.0 * d.between(0.2, 1.2) + d.unit()), 5)):
        piece = d.pick(makers)(style)
        r = 0.5 * max(piece.width, piece.depth)
        if 2 * r > high[0] - low[0] or 2 * r > high[1] - low[1]:
            continue
        x, y = d.between(low[0] + r, high[0] - r), d.between(low[1] + r, high[1] - r)
        if any(math.hypot(x - a, y - b) < 1.0 for a, b in taken):
            continue
        taken.append((x, y))
        with p.frame(x, y, 0, d.pick(YAWS)):
            piece.draw()


def _stand_at_wall(style: Style, room: Room, piece: Piece) -> None:
    d, p = style.chance, style.parts
    for _ in range(7):
        wall = d.pick(room.walls)
        if wall.high - wall.low < piece.width + 0.04:
            continue
        s = d.between(wall.low + piece.width / 2 + 0.02, wall.high - piece.width / 2 - 0.02)
        if d.yes(0.3):  # into a corner
            s = wall.low + piece.width / 2 + 0.02 if d.yes(0.5) else wall.high - piece.width / 2 - 0.02
        if not wall.is_free(s - piece.width / 2, s + piece.width / 2, 0.0, piece.height):
            continue
        gap = d.weigh([(3, 0.01), (2, d.between(0.02, 0.12))])
        x, y = wall.place(s, piece.depth / 2 + gap)
        half = (piece.depth / 2, piece.width / 2) if wall.side < 2 else (piece.width / 2, piece.depth / 2)
        box = (x - half[0], y - half[1], x + half[0], y + half[1])
        if box[0] < 0 or box[1] < 0 or box[2] > room.width or box[3] > room.length or room.is_taken(box, -0.005):
            continue
        with p.frame(x, y, 0, YAWS[wall.side] + (d.bell(0, 0.03, -0.1, 0.1) if d.yes(0.2) else 0.0)):
            piece.draw()
        room.taken.append(box)
        wall.taken.append((s - piece.width / 2, s + piece.width / 2, -piece.height))
        room.tops.append((x, y, min(piece.height, 1.6)))
        return


def _stand_free(style: Style, room: Room, piece: Piece) -> None:
    d, p = style.chance, style.parts
    for _ in range(7):
        yaw = d.pick([0.0, 0.5 * math.pi, math.pi, -0.5 * math.pi]) + (d.between(-0.6, 0.6) if d.yes(0.4) else 0.0)
        c, s = abs(math.cos(yaw)), abs(math.sin(yaw))
        hx, hy = 0.5 * (c * piece.width + s * piece.depth), 0.5 * (s * piece.width + c * piece.depth)
        if 2 * hx > room.width - 0.3 or 2 * hy > room.length - 0.3:
            continue
        x, y = d.between(hx + 0.1, room.width - hx - 0.1), d.between(hy + 0.1, room.length - hy - 0.1)
        box = (x - hx, y - hy, x + hx, y + hy)
        if room.is_taken(box, 0.05):
            continue
        with p.frame(x, y, 0, yaw):
            piece.draw()
        room.taken.append(box)
        room.tops.append((x, y, min(piece.height, 1.4)))
        return


def _lay_rug(style: Style, room: Room) -> None:
    d, p = style.chance, style.parts
    w, long = min(d.between(1.0, 3.0), room.width * 0.8), min(d.between(0.7, 2.2), room.length * 0.8)
    x, y = d.between(w / 2, room.width - w / 2), d.between(long / 2, room.length - long / 2)
    a, b, c = style.any_colour(0.8), style.any_colour(0.8), style.any_colour(0.8)
    kind = d.weigh([(3, "rug"), (2, "cloth"), (1, "fur")])
    if kind == "rug":
        m = Material(Texture.RUG, a, b, c, scale=d.between(0.1, 0.4), seed=style.seed())
    elif kind == "cloth":
        m = style.make_cloth()
    else:
        m = Material(Texture.FUR, a, b, scale=0.03, p=d.pick([0.0, 0.4]), q=5.0, seed=style.seed())
    with p.labelled(Label.FLOOR):
        if d.yes(0.2):
            p.pipe((x, y, 0), 0.012, w / 2, m)
        else:
            p.box((x, y, 0.006), (w, long, 0.012), m, yaw=d.bell(0, 0.1, -0.5, 0.5) if d.yes(0.4) else 0.0, face=4)


def _litter(style: Style, room: Room, fullness: float) -> None:
    """Things on the floor: bags, shoes, balls, cables, bins, papers."""
    d, p = style.chance, style.parts
    for _ in range(int(d.between(0, 5) * fullness * (1.0 if d.yes(0.7) else 3.0))):
        x, y = d.between(0.15, room.width - 0.15), d.between(0.15, room.length - 0.15)
        box = (x - 0.12, y - 0.12, x + 0.12, y + 0.12)
        if room.is_taken(box, 0.0):
            continue
        room.taken.append(box)
        with p.frame(x, y, 0.012, d.between(0, 6.28)), p.labelled(Label.CLUTTER):
            kind = d.weigh([(2, "bin"), (1.5, "shoes"), (1, "ball"), (1.5, "cable"), (3, "thing"), (1, "bag")])
            if kind == "bin":
                h, r = d.between(0.25, 0.6), d.between(0.1, 0.2)
                p.pipe((0, 0, 0), h, r, style.plastic(), top=d.between(1.0, 1.3), hollow=True)
                p.pipe((0, 0, 0.02), h * 0.5, r, style.anything(), top=1.05)
            elif kind == "shoes":
                m = style.anything()
                for s in (-1, 1):
                    p.cushion(
                        (s * 0.06, d.between(-0.03, 0.03), 0.04),
                        (0.09, 0.27, 0.08),
                        m,
                        radius=0.035,
                        yaw=d.bell(0, 0.2, -1, 1),
                    )
                    p.ball((s * 0.06, 0.06, 0.07), (0.085, 0.12, 0.09), m)
            elif kind == "ball":
                size = d.between(0.08, 0.3)
                p.ball((0, 0, size / 2), (size, size, size), style.anything())
            elif kind == "cable":
                m = style.plastic()
                a, px, py = d.between(0, 6.28), 0.0, 0.0
                for _k in range(d.whole(5, 14)):
                    a += d.bell(0, 0.7, -1.2, 1.2)
                    qx, qy = px + 0.08 * math.cos(a), py + 0.08 * math.sin(a)
                    p.rod((px, py, 0), (qx, qy, 0), 0.005, m)
                    px, py = qx, qy
            elif kind == "bag":
                m = style.cloth()
                p.cushion((0, 0, 0.2), (0.34, 0.2, 0.4), m, radius=0.09, tilt=d.bell(-0.1, 0.1, -0.3, 0.3))
                p.cushion((0, -0.1, 0.14), (0.24, 0.1, 0.2), m, radius=0.045)
            else:
                d.weigh(SMALL)(style)


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
    """Place units along a wall from `start` metres off one of its ends: at most `most`, up to the first obstacle."""
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
