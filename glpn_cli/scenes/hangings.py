"""Things that hang: pictures, posters, boards, shelves, clocks, switches on walls; lamps, pipes, fans on ceilings."""

from __future__ import annotations

import math
from dataclasses import replace

from glpn_cli.scenes.furniture.clutter import scatter
from glpn_cli.scenes.furniture.living import shade
from glpn_cli.scenes.materials import MIRROR, Material, Texture
from glpn_cli.scenes.parts import Label
from glpn_cli.scenes.room import PUBLIC, YAWS, Room, Wall
from glpn_cli.scenes.style import Style


def hang_things(style: Style, room: Room) -> None:
    """Cover the walls as people do."""
    d = style.chance
    density = d.between(0.05, 1.1)
    for wall in room.walls:
        for _ in range(int((wall.high - wall.low) * density + d.unit())):
            kinds = [
                (4, "picture"),
                (2, "poster"),
                (1.2, "shelf"),
                (0.7, "small"),
                (0.5, "clock"),
                (0.4, "tv"),
                (0.6, "mirror"),
                (0.4, "hooks"),
                (0.4, "cupboard"),
            ]
            if room.kind in PUBLIC:
                kinds += [(3, "board"), (3, "poster"), (1, "screen")]
            _hang(style, room, wall, d.weigh(kinds))


def _hang(style: Style, room: Room, wall: Wall, kind: str) -> None:
    d, p = style.chance, style.parts
    w, h = d.between(0.25, 1.0), d.between(0.25, 0.8)
    z = d.bell(1.5, 0.15, 1.0, 2.0)
    if kind == "poster":
        w, h = d.between(0.3, 0.9), d.between(0.4, 1.3)
    elif kind in ("board", "screen"):
        w, h = d.between(1.0, 3.0), d.between(0.8, 1.3)
    elif kind == "shelf":
        w, h = d.between(0.4, 1.4), 0.35
    elif kind == "tv":
        w, h = d.between(0.8, 1.4), d.between(0.45, 0.8)
    elif kind in ("small", "clock"):
        w = h = d.between(0.08, 0.35)
        z = d.between(0.3, 2.1)
    elif kind == "cupboard":
        w, h, z = d.between(0.5, 1.5), d.between(0.5, 0.8), 1.8
    z = min(z, room.height - h / 2 - 0.05)
    s = d.between(wall.low + w / 2 + 0.03, max(wall.high - w / 2 - 0.03, wall.low + w / 2 + 0.04))
    if not wall.is_free(s - w / 2, s + w / 2, z - h / 2, z + h / 2):
        return
    wall.taken.append((s - w / 2, s + w / 2, -(z + h / 2)))
    x, y = wall.place(s, 0.0)
    room.tops.append((*wall.place(s, 0.05), z))
    with p.frame(x, y, 0, YAWS[wall.side]), p.labelled(Label.WALL_THING):
        if kind == "picture":
            t = d.between(0.015, 0.06)
            p.box((0, -0.01, z), (w + 2 * t, 0.03, h + 2 * t), style.wood() if d.yes(0.5) else style.lacquer())
            p.box((0, -0.014, z), (w, 0.026, h), style.picture())
        elif kind == "poster":
            p.box(
                (0, -0.002, z),
                (w, 0.006, h),
                style.poster() if d.yes(0.7) else style.picture(),
                roll=d.bell(0, 0.01, -0.05, 0.05),
            )
        elif kind == "board":
            dark = d.yes(0.25)
            ground = style.grey(15, 50) if dark else style.grey(225, 250, 3)
            ink = style.grey(170, 230) if dark else style.any_colour(1.0, 20, 160)
            m = Material(
                Texture.SCRIBBLE, ground, style.any_colour(1.0, 60, 200), ink, shine=0.05, polish=40, haze=0.15
            )
            m = replace(m, scale=d.between(0.06, 0.16), p=d.between(0, 0.9), seed=style.seed())
            if d.yes(0.3):
                m = style.poster()
            elif not dark:
                m = replace(m, mirror=0.12)
            p.box((0, -0.01, z), (w + 0.05, 0.025, h + 0.05), style.metal())
            p.box((0, -0.014, z), (w, 0.025, h), m)
            p.box((0, -0.05, z - h / 2), (w * 0.6, 0.07, 0.015), style.metal())
        elif kind in ("tv", "screen"):
            p.box((0, -0.04, z), (w, 0.06, h), style.plastic())
            p.box((0, -0.068, z), (w - 0.02, 0.008, h - 0.02), style.screen(on=d.yes(0.4)))
        elif kind == "mirror":
            p.box((0, -0.01, z), (w + 0.05, 0.025, h + 0.05), style.lacquer())
            p.box((0, -0.014, z), (w, 0.025, h), MIRROR)
        elif kind == "shelf":
            p.box((0, -0.11, z - 0.15), (w, 0.22, 0.025), style.wood())
            if d.yes(0.5):
                p.slab(
                    (-w * 0.45, -0.2, z - 0.138),
                    (w * d.between(-0.2, 0.45), -0.02, z + d.between(0.05, 0.12)),
                    style.books(),
                )
            else:
                scatter(style, (-w * 0.45, -0.17), (w * 0.45, -0.06), z - 0.138, 40, limit=6)
        elif kind == "clock":
            p.pipe((0, -0.02, z - 0.02), 0.04, w / 2, style.ceramic(), tilt=1.5708)
        elif kind == "hooks":
            p.box((0, -0.01, z + 0.1), (w, 0.02, 0.08), style.wood())
            for _ in range(d.whole(1, 3)):
                t = d.between(0.3, 0.8)
                p.cushion(
                    (d.between(-0.4, 0.4) * w, -0.1, z + 0.1 - t / 2), (0.3, 0.16, t), style.make_cloth(), radius=0.07
                )
        elif kind == "cupboard":
            p.box((0, -0.17, z), (w, 0.34, h), style.drawers(d.whole(1, 3), 1, height=0.15))
        else:
            m = style.ceramic() if d.yes(0.7) else style.anything()
            p.box((0, -0.01, z), (w * 0.4, 0.025, w * 0.5), m)


def light_ceiling(style: Style, room: Room) -> None:
    """Lamps of one kind, on or off, and other things that hang from ceilings."""
    d, p = style.chance, style.parts
    kinds = [(3, "pendant"), (3, "dome"), (2, "spots"), (1, "none"), (0.5, "fan"), (0.6, "tracks")]
    if room.kind in PUBLIC:
        kinds += [(8, "panels"), (4, "tubes")]
    kind = d.weigh(kinds)
    on = d.yes(0.95 if room.night else 0.6)
    if not room.lit_by_day() and not on:
        on = d.yes(0.9)
    z = room.height
    tone = style.near(
        d.weigh([(3, (255, 222, 175)), (3, (255, 242, 225)), (2, (235, 243, 255)), (0.5, (255, 190, 120))]), 6
    )
    power = d.between(0.6, 2.2)
    glow = Material(Texture.PLAIN, tone, glow=d.between(3, 9) if on else 0.0, scale=1.0)
    w, long = room.width, room.length
    nx, ny = max(1, round(w / d.between(2.0, 3.5))), max(1, round(long / d.between(2.0, 3.5)))
    if kind in ("pendant", "dome", "fan"):
        nx, ny = (1, 1) if room.kind not in PUBLIC else (min(nx, 2), min(ny, 2))
    spots = [((i + 0.5) * w / nx, (j + 0.5) * long / ny) for i in range(nx) for j in range(ny)]
    count = len(spots)
    share = power * max(w * long, 8.0) ** 0.7 * 0.6 / count
    with p.labelled(Label.CEILING):
        if kind in ("panels", "tubes"):
            _panels(style, room, spots, glow, kind)
            if on:
                _sheet_light(style, room, tone, power)
            return
        drop = d.between(0.3, 1.0) if kind == "pendant" else 0.0
        for k, (x, y) in enumerate(spots):
            if kind == "pendant":
                p.rod((x, y, z), (x, y, z - drop), 0.006, style.plastic())
                with p.frame(x, y):
                    shade(style, (0, 0, z - drop - 0.1), d.between(0.1, 0.28), on=on, power=0.01)
            elif kind == "dome":
                p.ball((x, y, z), (0.4, 0.4, 0.2), glow, shadow=not on)
            elif kind == "fan":
                p.pipe((x, y, z - 0.3), 0.3, 0.03, style.metal())
                a0, m = d.between(0, 6), style.wood()
                for b in range(4):
                    a = a0 + b * 1.5708
                    p.box((x + 0.4 * math.cos(a), y + 0.4 * math.sin(a), z - 0.3), (0.6, 0.12, 0.01), m, yaw=a)
                p.ball((x, y, z - 0.38), (0.24, 0.24, 0.16), glow, shadow=False)
            else:
                p.pipe(
                    (x, y, z - 0.02 if kind == "spots" else z - 0.22),
                    0.02 if kind == "spots" else 0.14,
                    0.05,
                    glow,
                    shadow=False,
                )
                if kind == "tracks" and k == 0:
                    p.box((w / 2, y, z - 0.02), (w * 0.9, 0.04, 0.04), style.plastic())
            if on and k < 4:
                below = z - drop - (0.45 if kind in ("pendant", "fan") else 0.25)
                b = share * count / min(count, 4)
                spot = kind in ("spots", "tracks")
                p.lamp(
                    (x, y, below + 0.1),
                    [b * c for c in tone],
                    size=0.12,
                    kind=2 if spot else 0,
                    cosine=d.between(0.3, 0.8),
                )
    if d.yes(0.12):
        m = style.metal()
        y = d.between(0.2, room.length - 0.2)
        for k in range(d.whole(1, 3)):
            p.rod((0, y + 0.15 * k, z - 0.2), (w, y + 0.15 * k, z - 0.2), d.between(0.02, 0.15), m)


def _panels(style: Style, room: Room, spots: list[tuple[float, float]], glow: Material, kind: str) -> None:
    d, p = style.chance, style.parts
    z = room.height
    size = (0.6, 0.6) if kind == "panels" and d.yes(0.5) else (d.pick([0.3, 0.15]), d.between(1.1, 1.6))
    if d.yes(0.5):
        size = (size[1], size[0])
    low = z - (d.between(0.0, 0.5) if kind == "tubes" else 0.0)
    for x, y in spots:
        p.box((x, y, low - 0.005), (*size, 0.03), glow, shadow=False)
        if z - low > 0.1:
            p.box((x, y, low + 0.02), (size[0] * 1.05, size[1] * 1.05, 0.03), style.ceramic())
            p.rod((x, y, low), (x, y, z), 0.004, style.metal())


def _sheet_light(style: Style, room: Room, tone: tuple[float, float, float], power: float) -> None:
    """Many lamps as one or two big ones."""
    p = style.parts
    w, long, z = room.width, room.length, room.height
    parts = 2 if max(w, long) > 7 else 1
    for k in range(parts):
        share = (k + 0.5) / parts
        x, y = (w * share, long / 2) if w > long else (w / 2, long * share)
        u = w / (2 * parts) * 0.7 if w > long else w * 0.35
        v = long * 0.35 if w > long else long / (2 * parts) * 0.7
        b = power * 0.35 * (w * long) ** 0.9 / parts
        p.lamp((x, y, z - 0.12), [b * c for c in tone], kind=1, u=(u, 0, 0), v=(0, v, 0), normal=(0, 0, -1))
