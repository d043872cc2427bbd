"""The shell: rooms as unions of cuboids of air, with doorways, alcoves, neighbours, columns, beams and slopes."""

from __future__ import annotations

import math
from dataclasses import replace

from glpn_cli.scenes.materials import Material, Texture, scaled
from glpn_cli.scenes.parts import Label
from glpn_cli.scenes.room import KINDS, PUBLIC, YAWS, Room, Wall
from glpn_cli.scenes.style import Style
from glpn_cli.scenes.surfaces import make_ceiling, make_floor, make_view, make_wall


def build_shell(style: Style, kind: str) -> Room:
    """Draw the air of one room and of what is seen through its openings; return the room to furnish."""
    d, parts = style.chance, style.parts
    _, shorter, longer = KINDS[kind]
    w, long = d.between(*shorter), d.between(*longer)
    if d.yes(0.5):
        w, long = long, w
    h = d.weigh([(5, d.between(2.3, 2.8)), (2, d.between(2.8, 3.4)), (0.6, d.between(3.4, 4.8))])
    if kind in ("lobby", "shop", "library"):
        h = d.between(2.6, 4.8)
    public = kind in PUBLIC
    wet = kind in ("bathroom", "kitchen") or (kind == "open" and d.yes(0.3))
    wall = make_wall(style, wet=kind == "bathroom")
    accent = make_wall(style) if d.yes(0.25) else wall
    floor = make_floor(style, wet=wet, office=public)
    ceiling = make_ceiling(style, panels=public and d.yes(0.6))
    sides = [wall] * 4
    sides[d.whole(0, 3)] = accent
    faces = (*sides, floor, ceiling)
    parts.open_air((0, 0, 0), (w, long, h), faces)
    walls = [Wall(0, 0.0, 0.0, long), Wall(1, w, 0.0, long), Wall(2, 0.0, 0.0, w), Wall(3, long, 0.0, w)]
    room = Room((0, 0, 0), (w, long, h), kind, walls, night=d.yes(0.25), faces=faces)
    glazed = d.weigh([(1, 0), (5, 1), (2, 2)]) if kind not in ("corridor", "storage", "bathroom") else d.whole(0, 1)
    order = [0, 1, 2, 3]
    for i in range(3):
        j = d.whole(i, 3)
        order[i], order[j] = order[j], order[i]
    for side in order[:glazed]:
        _add_windows(style, room, walls[side])
    for side in order[glazed:]:
        if d.yes(0.35):
            _neighbour(style, room, walls[side])
    for side in order:
        for _ in range(d.whole(0, 3) if kind == "corridor" else d.whole(0, 1)):
            _door(style, room, walls[side])
    if d.yes(0.15) and min(w, long) > 3.0:
        _column(style, room)
    if d.yes(0.12) or (kind in ("attic", "storage") and d.yes(0.5)):
        _beams(style, room)
    if kind == "attic":
        _slopes(style, room)
    return room


def _door(style: Style, room: Room, wall: Wall) -> None:
    """A closed door, frame and all, flush with the wall."""
    d, p = style.chance, style.parts
    wide, tall = d.between(0.75, 1.0), min(d.between(1.95, 2.15), room.height - 0.05)
    if wall.high - wall.low < wide + 0.5:
        return
    s = d.between(wall.low + 0.15 + wide / 2, wall.high - 0.15 - wide / 2)
    if not wall.is_free(s - wide / 2 - 0.1, s + wide / 2 + 0.1, 0.0, tall):
        return
    wall.taken.append((s - wide / 2 - 0.12, s + wide / 2 + 0.12, 0.0))
    board = style.make_lacquer()
    leaf = (replace(board, texture=Texture.DOOR, b=style.grey(140, 220), c=scaled(board.a, 0.6), p=float(d.whole(1, 2)),
                q=float(d.whole(1, 4)), r=1.0 if board.texture == Texture.GRAIN else 0.1, scale=0.1)
        if d.yes(0.6) else board)  # fmt: skip
    frame = Material(Texture.PLAIN, style.grey(190, 245) if d.yes(0.5) else scaled(board.a, d.between(0.5, 1.2)))
    x, y = wall.place(s, 0.0)
    with p.frame(x, y, 0, YAWS[wall.side]), p.labelled(Label.WALL_THING):
        p.box((0, -0.005, tall / 2), (wide, 0.02, tall), leaf)
        for e in (-1, 1):
            p.box((e * (wide / 2 + 0.035), -0.01, tall / 2), (0.07, 0.05, tall), frame)
        p.box((0, -0.01, tall + 0.035), (wide + 0.14, 0.05, 0.07), frame)
        side = d.pick([-1, 1])
        m = style.metal()
        p.rod((side * wide * 0.4, -0.06, 1.02), (side * wide * 0.28, -0.06, 1.02), 0.01, m)
        p.rod((side * wide * 0.4, 0.0, 1.02), (side * wide * 0.4, -0.06, 1.02), 0.01, m)


def _neighbour(style: Style, room: Room, wall: Wall) -> None:
    """An opening in the wall and a room behind it, or an alcove."""
    d, p = style.chance, style.parts
    length = wall.high - wall.low
    wide = d.weigh([(4, d.between(0.75, 1.0)), (2, d.between(1.2, 2.5)), (1, length * d.between(0.4, 0.95))])
    wide = min(wide, length - 0.1)
    s = d.between(wall.low + 0.05 + wide / 2, wall.high - 0.05 - wide / 2)
    tall = min(d.between(1.98, 2.3), room.height - 0.03) if wide < 2.6 and d.yes(0.85) else room.height
    if not wall.is_free(s - wide / 2, s + wide / 2, 0.0, tall):
        return
    thick = d.between(0.08, 0.3)
    reveal = Material(Texture.PLAIN, style.grey(170, 245), scale=0.3, p=0.03)
    same = d.yes(0.5)
    floor = room.faces[4] if same else make_floor(style)
    a, b = _span(wall.side, wall.at, s - wide / 2, s + wide / 2, thick + 0.01, 0.0, tall)
    p.open_air(a, b, (reveal, reveal, reveal, reveal, room.faces[4], reveal))
    wall.taken.append((s - wide / 2 - 0.1, s + wide / 2 + 0.1, 0.0))
    deep = d.weigh([(2, d.between(0.9, 2.0)), (3, d.between(2.0, 5.0)), (1, d.between(5.0, 10.0))])
    left, right = d.between(0.1, 3.0), d.between(0.1, 3.0)
    if d.yes(0.25):
        left = right = 0.0
    outer = wall.at - thick if wall.side % 2 == 0 else wall.at + thick
    a, b = _span(wall.side, outer, s - wide / 2 - left, s + wide / 2 + right, deep, 0.0, d.between(2.3, 3.2))
    if same and d.yes(0.6):
        faces = room.faces
    else:
        side = make_wall(style)
        faces = (side, side, side, side, floor, make_ceiling(style, panels=False))
    p.open_air(a, b, faces)
    trim = d.yes(0.6) and tall < room.height
    x, y = wall.place(s, 0.0)
    if trim:
        m = style.wood() if d.yes(0.5) else reveal
        with p.frame(x, y, 0, YAWS[wall.side]), p.labelled(Label.WALL_THING):
            for e in (-1, 1):
                p.box((e * (wide / 2 + 0.03), -0.005, tall / 2), (0.07, 0.03, tall), m)
            p.box((0, -0.005, tall + 0.03), (wide + 0.13, 0.03, 0.07), m)
    if wide < 1.1 and d.yes(0.5):  # an open door leaf
        swing = d.between(0.3, 1.5)
        board = style.make_lacquer()
        with p.frame(x, y, 0, YAWS[wall.side]), p.frame(-wide / 2, 0.0, 0, -swing), p.labelled(Label.WALL_THING):
            p.box((wide / 2, -0.02, tall / 2), (wide - 0.02, 0.04, tall - 0.02), board)
    centre = [0.5 * (u + v) for u, v in zip(a, b, strict=True)]
    if d.yes(0.8):
        warm = style.near((255, 235, 205), 10)
        p.lamp((centre[0], centre[1], b[2] - 0.3), [c * d.between(0.2, 3.0) for c in warm], size=0.15)
    room.beyond.append((a, b))


def _column(style: Style, room: Room) -> None:
    d, p = style.chance, style.parts
    x = d.between(room.width * 0.25, room.width * 0.75)
    y = d.between(room.length * 0.25, room.length * 0.75)
    s = d.between(0.2, 0.5)
    m = make_wall(style)
    with p.labelled(Label.WALL):
        if d.yes(0.5):
            p.slab((x - s / 2, y - s / 2, 0), (x + s / 2, y + s / 2, room.height), m)
        else:
            p.pipe((x, y, 0), room.height, s / 2, m)
    room.taken.append((x - s / 2, y - s / 2, x + s / 2, y + s / 2))


def _beams(style: Style, room: Room) -> None:
    d, p = style.chance, style.parts
    m = style.wood() if d.yes(0.6) else room.faces[5]
    step, s = d.between(0.6, 1.8), d.between(0.1, 0.25)
    x = step * d.unit()
    with p.labelled(Label.CEILING):
        while x < room.width:
            p.box((x, room.length / 2, room.height - s / 2), (s * 0.8, room.length, s), m)
            x += step


def _slopes(style: Style, room: Room) -> None:
    """Attic: inclined ceilings along one or two sides, big boxes that stick in from above."""
    d, p = style.chance, style.parts
    m = room.faces[5]
    lean = d.between(0.6, 0.95)
    knee = d.between(0.4, 1.3)
    t = 4.0
    with p.labelled(Label.CEILING):
        for s in (-1, 1) if d.yes(0.6) else (1,):
            # The lower surface starts at height `knee` on the wall and rises inwards at angle `lean`.
            edge = 0.0 if s < 0 else room.width
            nx, nz = s * math.sin(lean), math.cos(lean)
            cx, cz = edge + nx * t / 2, knee + nz * t / 2
            p.box((cx, room.length / 2, cz), (12.0, room.length + 8, t), m, roll=s * lean)


def _span(
    side: int, at: float, low: float, high: float, depth: float, z0: float, z1: float
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """A cuboid behind a wall: from its plane `depth` outwards, `low` to `high` along it."""
    near, far = (at - depth, at + 0.001) if side % 2 == 0 else (at - 0.001, at + depth)
    if side < 2:
        return (near, low, z0), (far, high, z1)
    return (low, near, z0), (high, far, z1)


def _add_windows(style: Style, room: Room, wall: Wall) -> None:
    """Open one side to the day or the night: recesses, panes, sills, curtains or blinds, radiators, and the light."""
    d, parts = style.chance, style.parts
    length = wall.high - wall.low
    wide = d.weigh([(3, d.between(0.7, 1.3)), (2, d.between(1.3, 2.4)), (0.8, length * 0.85)])
    wide = min(wide, length * 0.9)
    sill = d.weigh([(5, d.between(0.75, 1.05)), (1, 0.05), (0.6, d.between(1.2, 1.6))])
    top = min(d.between(2.0, 2.5), room.height - 0.08)
    if top - sill < 0.4:
        return
    room.glazed = True
    recess = d.between(0.06, 0.35)
    count = max(1, int(d.between(0.4, 1.0) * length / (wide + 0.3)))
    gap = (length - count * wide) / (count + 1)
    glow = d.weigh([(2, d.between(1.2, 2.5)), (3, d.between(2.5, 6)), (1, d.between(6, 14))])
    bars = (max(1, int(wide / 0.7)), d.weigh([(3, 1), (2, 2), (0.5, 4)]))
    view = make_view(style, night=room.night, glow=glow, bars=bars)
    reveal = Material(Texture.PLAIN, style.grey(180, 245), scale=0.3, p=0.03)
    dressing = d.weigh([(4, "none"), (3, "curtains"), (1.6, "blinds"), (0.8, "shade")])
    cloth = style.make_cloth()
    radiator = d.yes(0.45) and sill > 0.6
    curtain = (d.between(0.02, 0.12), d.between(0.15, 0.5))
    closed = d.between(0.1, 1.0)
    if not room.night:
        x, y = wall.place(0.5 * (wall.low + wall.high), 0.0)
        _daylight(style, wall, (x, y, 0.5 * (sill + top)), length - 2 * gap, top - sill, glow * count * wide / length)
    for i in range(count):
        low = wall.low + gap + i * (wide + gap)
        a, b = _span(wall.side, wall.at, low, low + wide, recess, sill, top)
        faces = [reveal] * 6
        faces[wall.side] = view
        parts.open_air(a, b, faces)
        wall.taken.append((low - 0.05, low + wide + 0.05, sill - 0.02))
        x, y = wall.place(low + wide / 2, 0.0)
        with parts.frame(x, y, 0, YAWS[wall.side]), parts.labelled(Label.WALL_THING):
            if d.yes(0.7):
                parts.box((0, -0.06, sill - 0.02), (wide + 0.1, 0.16, 0.03), reveal)
            _dress(style, room, dressing, cloth, wide, sill, top, curtain, closed)
            if radiator:
                _radiator(style, wide * 0.9, sill)


def _daylight(style: Style, wall: Wall, at: tuple[float, float, float], wide: float, tall: float, glow: float) -> None:
    normal = [0.0, 0.0, -0.25]
    inward = 1.0 if wall.side % 2 == 0 else -1.0
    normal[0 if wall.side < 2 else 1] = inward
    u = (0.0, wide / 2, 0.0) if wall.side < 2 else (wide / 2, 0.0, 0.0)
    power = 0.35 * glow * wide * tall
    d = style.chance
    tint = style.near(d.pick([(240, 245, 255), (255, 250, 240), (225, 238, 255)]), 5)
    x, y, z = at
    if wall.side < 2:
        x += 0.03 * inward
    else:
        y += 0.03 * inward
    style.parts.lamp((x, y, z), [power * c for c in tint], kind=1, u=u, v=(0.0, 0.0, tall / 2), normal=normal)


def _dress(
    style: Style, room: Room, kind: str, cloth: Material, wide: float, sill: float, top: float,
    fold: tuple[float, float], closed: float,
) -> None:  # fmt: skip
    d, p = style.chance, style.parts
    if kind == "curtains":
        bottom = 0.03 if d.yes(0.7) else sill - 0.1
        z1 = min(top + 0.15, room.height - 0.02)
        reach = fold[1] * wide * closed
        for s in (-1, 1):
            x = wide / 2 + 0.15
            while x > wide / 2 + 0.15 - max(reach, 0.15):
                p.pipe(
                    (s * x, -0.14 + d.bell(0, 0.015, -0.04, 0.04), bottom),
                    z1 - bottom,
                    0.05,
                    cloth,
                    radius_y=0.025 + fold[0] * 0.2,
                    roll=d.bell(0, 0.005, -0.02, 0.02),
                )
                x -= 0.075
        p.rod((-wide / 2 - 0.25, -0.13, z1), (wide / 2 + 0.25, -0.13, z1), 0.014, style.metal())
    elif kind == "blinds":
        z = top
        pitch = d.pick([0.025, 0.05, 0.05])
        stop = sill + (top - sill) * (1.0 - closed)
        slat = Material(Texture.PLAIN, style.grey(160, 245), through=0.2)
        tilt = d.between(-0.7, 0.9)
        while z > stop:
            p.box((0, -0.03, z), (wide - 0.02, pitch * 0.9, 0.002), slat, tilt=tilt)
            z -= pitch
    elif kind == "shade":
        p.box((0, -0.02, top - 0.5 * (top - sill) * closed), (wide, 0.004, (top - sill) * closed), cloth)


def _radiator(style: Style, wide: float, sill: float) -> None:
    d, p = style.chance, style.parts
    h = min(0.6, sill - 0.2)
    white = style.grey(190, 240)
    if d.yes(0.5):
        m = Material(Texture.RIBS, white, c=(0.3, 0.3, 0.3), scale=0.04, p=0.15, r=0.5)
        p.box((0, -0.08, 0.12 + h / 2), (wide, 0.08, h), m)
    else:
        m = Material(Texture.PLAIN, white, shine=0.03)
        x = -wide / 2
        while x < wide / 2 and len(p.solids) < 2500:
            p.cushion((x, -0.1, 0.12 + h / 2), (0.045, 0.12, h), m, radius=0.02)
            x += 0.06
