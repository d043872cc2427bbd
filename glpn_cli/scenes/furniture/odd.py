"""Things that fit no list: stairs, pianos, machines, toys, partitions, and assemblies that no one has a name for.

Real rooms are full of the unnamed. `odd_thing` draws some solids that touch each other, so that a network cannot rely
on knowing every shape.
"""

from __future__ import annotations

import math

from glpn_cli.scenes.furniture import Piece
from glpn_cli.scenes.furniture.clutter import scatter
from glpn_cli.scenes.furniture.living import plant
from glpn_cli.scenes.materials import Material, Texture
from glpn_cli.scenes.parts import Label, around
from glpn_cli.scenes.style import Style


def odd_thing(style: Style) -> Piece:
    """Between three and sixteen solids, each touching one before it."""
    d, p = style.chance, style.parts
    size = d.between(0.3, 1.1)
    n = d.whole(3, 16)
    thin = d.yes(0.4)

    def draw() -> None:
        m = style.anything()
        spots = [(0.0, 0.0, 0.0)]
        for _ in range(n):
            if d.yes(0.35):
                m = style.anything()
            x, y, z = d.pick(spots)
            s = size * d.between(0.08, 0.5)
            w = s * (d.between(0.08, 0.3) if thin else d.between(0.3, 1.0))
            kind = d.whole(0, 4)
            if kind == 0:
                p.box((x, y, z + s / 2), (w, s, s), m, yaw=d.between(0, 1.5))
            elif kind == 1:
                p.pipe((x, y, z), s, w / 2, m, top=d.between(0.4, 1.4))
            elif kind == 2:
                p.ball((x, y, z + s / 2), (w, s, s), m)
            elif kind == 3:
                a = d.between(0, 6.28)
                end = (x + s * math.cos(a), y + s * math.sin(a), max(z + d.between(-0.3, 1.0) * s, 0.02))
                p.rod((x, y, z), end, 0.2 * w + 0.005, m)
                spots.append(end)
                continue
            else:
                p.cushion((x, y, z + s / 2), (s, w, s), m, radius=0.2 * w, yaw=d.between(0, 3.1))
            a = d.between(0, 6.28)
            spots.append((x, y, z + s))
            spots.append((x + 0.5 * w * math.cos(a), y + 0.5 * w * math.sin(a), z + d.unit() * s))

    return Piece(size, size, draw, height=size * 1.3)


def stairs(style: Style) -> Piece:
    """A flight of stairs with a rail."""
    d, p = style.chance, style.parts
    w, n = d.between(0.8, 1.2), d.whole(4, 14)
    rise, run = d.between(0.16, 0.19), d.between(0.24, 0.3)
    m, rail = style.wood(), style.metal()
    closed = d.yes(0.6)

    def draw() -> None:
        long = n * run
        for i in range(n):
            y = -long / 2 + (i + 0.5) * run
            z = (i + 1) * rise
            if closed:
                p.slab((-w / 2, y - run / 2, 0), (w / 2, long / 2, z), m)
            else:
                p.box((0, y, z - 0.02), (w, run + 0.03, 0.04), m)
            if d.yes(0.8):
                p.rod((-w / 2 + 0.03, y, z), (-w / 2 + 0.03, y, z + 0.9), 0.012, rail)
        p.rod((-w / 2 + 0.03, -long / 2, 0.95), (-w / 2 + 0.03, long / 2, n * rise + 0.9), 0.025, m)

    return Piece(w, n * run, draw, height=n * rise + 0.9)


def piano(style: Style) -> Piece:
    """An upright piano with its stool."""
    d, p = style.chance, style.parts
    m = style.make_lacquer()
    white = style.grey(215, 245, 3)
    keys = Material(Texture.STRIPES, white, (0.02, 0.02, 0.02), scale=0.028, p=0.4)

    def draw() -> None:
        p.slab((-0.75, -0.05, 0), (0.75, 0.3, 1.2), m)
        p.slab((-0.75, -0.32, 0.6), (0.75, 0.0, 0.7), m)
        p.box((0, -0.24, 0.705), (1.3, 0.14, 0.02), keys, face=4)
        for s in (-1, 1):
            p.slab((s * 0.72 - 0.03, -0.32, 0), (s * 0.72 + 0.03, 0.0, 0.66), m)
        scatter(style, (-0.7, 0.0), (0.7, 0.25), 1.2, 8)
        p.box((0, -0.06, 0.9), (0.4, 0.01, 0.3), style.paper(), tilt=-0.2)
        p.cushion((d.between(-0.2, 0.2), -0.65, 0.46), (0.5, 0.35, 0.08), style.cloth(), radius=0.03)
        p.pipe((0, -0.65, 0), 0.43, 0.12, m)

    return Piece(1.5, 0.65, draw, height=1.2)


def fireplace(style: Style) -> Piece:
    """A fireplace, lit or not, with a mantelpiece and things on it."""
    d, p = style.chance, style.parts
    w, h = d.between(1.0, 1.6), d.between(1.0, 1.3)
    texture = d.pick([Texture.BRICKS, Texture.CELLS, Texture.MARBLE, Texture.PLAIN])
    colours = (style.grey(60, 220), style.grey(60, 200), style.grey(120, 210))
    stone = Material(texture, *colours, scale=0.2, p=0.08, q=0.35, seed=style.seed())

    def draw() -> None:
        p.slab((-w / 2, -0.15, 0), (-w / 2 + 0.25, 0.2, h), stone)
        p.slab((w / 2 - 0.25, -0.15, 0), (w / 2, 0.2, h), stone)
        p.slab((-w / 2, -0.15, h - 0.3), (w / 2, 0.2, h), stone)
        p.slab((-w / 2, 0.1, 0), (w / 2, 0.2, h), Material(a=(0.01, 0.01, 0.01)))
        p.box((0, -0.02, h + 0.03), (w + 0.2, 0.42, 0.06), style.wood())
        scatter(style, (-w / 2, -0.15), (w / 2, 0.15), h + 0.06, 14)
        if d.yes(0.4):
            fire = Material(Texture.CAMO, (0.9, 0.3, 0.05), (0.95, 0.7, 0.2), (0.3, 0.05, 0.01), scale=0.08, glow=1.5)
            p.ball((0, 0.02, 0.15), (0.5, 0.14, 0.4), fire)

    return Piece(w + 0.2, 0.42, draw, height=h)


def machine(style: Style) -> Piece:
    """A copier, vending machine, server rack, heater, treadmill: cabinets with panels."""
    d, p = style.chance, style.parts
    w, long, h = d.between(0.4, 1.0), d.between(0.4, 0.8), d.between(0.5, 1.9)
    m = style.plastic()

    def draw() -> None:
        z = 0.0
        front = -long / 2
        while z < h:
            t = min(d.between(0.1, 0.6), h - z + 0.05)
            inset = d.between(0.0, 0.08) if d.yes(0.4) else 0.0
            kind = d.weigh([(3, "plain"), (1, "screen"), (1.5, "keys"), (1.5, "drawer"), (1, "poster"), (1, "ribs")])
            if kind == "drawer":
                k = style.drawers(1, 1)
            elif kind == "poster":
                k = style.poster()
            elif kind == "ribs":
                k = Material(Texture.RIBS, style.grey(20, 220), c=(0.02, 0.02, 0.02), scale=0.03, p=0.3, r=0.5, q=1.0)
            else:
                k = m if d.yes(0.6) else style.plastic()
            p.slab((-w / 2 + inset, front + inset, z), (w / 2 - inset, long / 2, z + t), k)
            if kind == "screen":
                p.box(
                    (d.between(-0.2, 0.2) * w, front + inset - 0.005, z + t / 2),
                    (w * 0.4, 0.02, t * 0.6),
                    style.screen(on=d.yes(0.6)),
                )
            if kind == "keys":
                gap, key, mark = style.grey(10, 60), style.grey(60, 220), style.any_colour()
                keys = Material(Texture.KEYS, key, gap, mark, scale=0.04, seed=style.seed())
                p.box((d.between(-0.2, 0.2) * w, front + inset - 0.005, z + t / 2), (w * 0.4, 0.02, t * 0.5), keys)
            z += t
        if d.yes(0.4):
            scatter(style, (-w * 0.4, -long * 0.4), (w * 0.4, long * 0.4), z, 8)

    return Piece(w, long, draw, height=h)


def toys(style: Style) -> Piece:
    """Toys on the floor."""
    d, p = style.chance, style.parts

    def draw() -> None:
        with p.labelled(Label.CLUTTER):
            for _ in range(d.whole(5, 18)):
                x, y, s = d.bell(0, 0.25, -0.6, 0.6), d.bell(0, 0.25, -0.6, 0.6), d.between(0.04, 0.16)
                m = Material(Texture.PLAIN, style.any_colour(1.0), shine=0.04)
                kind = d.whole(0, 3)
                if kind == 0:
                    p.box((x, y, s / 2), (s, s * d.between(0.5, 2), s), m, yaw=d.between(0, 3))
                elif kind == 1:
                    p.ball((x, y, s / 2), (s, s, s), m)
                elif kind == 2:
                    p.pipe((x, y, 0), s, s * 0.4, m, top=d.between(0.2, 1.0))
                else:
                    with p.frame(x, y, 0, d.between(0, 6.28)):
                        p.box((0, 0, s * 0.5), (s * 2, s, s * 0.5), m)
                        p.box((0, 0, s * 0.9), (s, s * 0.9, s * 0.4), style.anything())
                        for e in (-1, 1):
                            p.pipe((e * s * 0.6, -s * 0.5, s * 0.1), s, s * 0.25, style.plastic(), tilt=1.5708)

    return Piece(1.0, 1.0, draw, height=0.3)


def easel(style: Style) -> Piece:
    """An easel, a flip chart, a music stand, a clothes horse, a tripod."""
    d, p = style.chance, style.parts
    h = d.between(1.2, 1.9)
    m = style.wood() if d.yes(0.5) else style.metal()

    def draw() -> None:
        for a in (-0.6, 0.6, math.pi):
            p.rod((0, 0, h * 0.95), (0.45 * math.sin(a), -0.45 * math.cos(a), 0), 0.016, m)
        kind = d.whole(0, 3)
        if kind == 0:
            p.box((0, -0.14, h * 0.65), (0.7, 0.02, 0.95), style.paper() if d.yes(0.5) else style.picture(), tilt=-0.15)
        elif kind == 1:
            p.box((0, -0.1, h * 0.85), (0.5, 0.02, 0.35), style.plastic(), tilt=-0.4)
        elif kind == 2:
            p.ball((0, 0, h), (0.2, 0.25, 0.15), style.plastic())
        else:
            for i in range(5):
                p.rod((-0.5, -0.2 + 0.1 * i, h * 0.6), (0.5, -0.2 + 0.1 * i, h * 0.6), 0.008, m)
            c = style.make_cloth()
            p.box((0, -0.2, h * 0.45), (0.6, 0.02, h * 0.3), c)

    return Piece(0.9, 0.9, draw, height=h)


def cubicle(style: Style) -> Piece:
    """A partition: cloth, glass bars, lattice or board."""
    d, p = style.chance, style.parts
    w, h = d.between(0.8, 2.4), d.between(1.1, 2.0)
    m, frame = style.cloth(), style.metal()
    kind = d.weigh([(3, "cloth"), (1.5, "lattice"), (1, "bars")])
    angle = d.yes(0.3)

    def panel() -> None:
        for s in (-1, 1):
            p.box((s * w / 2, 0, h / 2), (0.04, 0.05, h), frame)
        p.box((0, 0, h), (w, 0.05, 0.04), frame)
        if kind == "cloth":
            p.box((0, 0, h / 2 + 0.05), (w, 0.04, h - 0.15), m)
        elif kind == "lattice":
            p.lattice(
                (0, 0, h / 2),
                (w, h),
                style.wood(),
                period=d.between(0.04, 0.15),
                fill=d.between(0.2, 0.5),
                tilt=1.5708,
            )
        else:
            n = max(3, int(w / 0.12))
            for i in range(n):
                p.box(((i + 0.5) / n * w - w / 2, 0, h / 2), (0.03, 0.03, h), frame)

    def draw() -> None:
        with p.frame(0, w / 2 if angle else 0.0):
            panel()
        if angle:
            with p.frame(w / 2, 0, 0, 1.5708):
                panel()

    return Piece(w, w if angle else 0.2, draw, height=h)


def hanging_plant(style: Style) -> Piece:
    """A plant on a stool or stand."""
    d, p = style.chance, style.parts
    h = d.between(0.4, 0.9)
    green = plant(style)
    m = style.wood()

    def draw() -> None:
        p.pipe((0, 0, h - 0.03), 0.03, 0.17, m)
        for i in range(3):
            a = i * 2.1
            p.rod(around(0.1, a, h), around(0.17, a), 0.012, m)
        with p.frame(0, 0, h):
            green.draw()

    return Piece(0.4, 0.4, draw, height=h + green.height)
