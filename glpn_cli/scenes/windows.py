"""Windows: what they show, what hangs before them, and the daylight that they let in."""

from __future__ import annotations

from glpn_cli.scenes.materials import Material, Texture
from glpn_cli.scenes.parts import Label
from glpn_cli.scenes.room import YAWS, Room, Wall
from glpn_cli.scenes.style import Style
from glpn_cli.scenes.surfaces import make_view


def span(
    side: int, at: float, low: float, high: float, depth: float, z0: float, z1: float
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """A cuboid behind a wall: from its plane `depth` outwards, `low` to `high` along it."""
    near, far = (at - depth, at + 0.001) if side % 2 == 0 else (at - 0.001, at + depth)
    if side < 2:
        return (near, low, z0), (far, high, z1)
    return (low, near, z0), (high, far, z1)


def add_windows(style: Style, room: Room, wall: Wall) -> None:
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
    view = make_view(
        style, night=room.night, glow=glow, bars=(max(1, int(wide / 0.7)), d.weigh([(3, 1), (2, 2), (0.5, 4)]))
    )
    reveal = style.parts.material(Material(Texture.PLAIN, style.grey(180, 245), scale=0.3, p=0.03))
    dressing = d.weigh([(4, "none"), (3, "curtains"), (1.6, "blinds"), (0.8, "shade")])
    cloth = parts.material(style.make_cloth())
    radiator = d.yes(0.45) and sill > 0.6
    curtain = (d.between(0.02, 0.12), d.between(0.15, 0.5))
    closed = d.between(0.1, 1.0)
    if not room.night:
        x, y = wall.place(0.5 * (wall.low + wall.high), 0.0)
        _daylight(style, wall, (x, y, 0.5 * (sill + top)), length - 2 * gap, top - sill, glow * count * wide / length)
    for i in range(count):
        low = wall.low + gap + i * (wide + gap)
        a, b = span(wall.side, wall.at, low, low + wide, recess, sill, top)
        faces = [reveal] * 6
        faces[wall.side] = view
        parts.open_air(a, b, faces)
        wall.taken.append((low - 0.05, low + wide + 0.05, sill - 0.02))
        x, y = wall.place(low + wide / 2, 0.0)
        with parts.frame(x, y, 0, YAWS[wall.side]), parts.labelled(Label.WALL_THING):
            if d.yes(0.7):
                parts.box((0, -0.06, sill - 0.02), (wide + 0.1, 0.16, 0.03), reveal)
            _dress(style, dressing, cloth, wide, sill, top, curtain, closed, room)
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
    style: Style, kind: str, cloth: int, wide: float, sill: float, top: float, fold: tuple[float, float], closed: float,
    room: Room,
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
        slat = p.material(Material(Texture.PLAIN, style.grey(160, 245), through=0.2))
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
        m = p.material(Material(Texture.RIBS, white, c=(0.3, 0.3, 0.3), scale=0.04, p=0.15, r=0.5))
        p.box((0, -0.08, 0.12 + h / 2), (wide, 0.08, h), m)
    else:
        m = p.material(Material(Texture.PLAIN, white, shine=0.03))
        x = -wide / 2
        while x < wide / 2 and len(p.solids) < 2500:
            p.cushion((x, -0.1, 0.12 + h / 2), (0.045, 0.12, h), m, radius=0.02)
            x += 0.06
