"""Kitchens and bathrooms: counters with sinks and appliances, fridges, washing machines, tubs, toilets, basins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from glpn_cli.scenes.furniture import Piece
from glpn_cli.scenes.furniture.clutter import scatter
from glpn_cli.scenes.materials import MIRROR, Material, Texture, scaled
from glpn_cli.scenes.parts import Label
from glpn_cli.scenes.style import Style


@dataclass(frozen=True)
class Kitchen:
    """The units of one kitchen: their sizes in metres, and the materials that they share.

    unit, depth, height: of what stands on the floor, worktop included
    low, tall:           foot and height of what hangs on the wall
    fronts:              of a unit with a door, of one with drawers, of one that hangs
    splash:              the wall between worktop and wall units, where it has a material of its own
    """

    unit: float
    depth: float
    height: float
    low: float
    tall: float
    fronts: tuple[Material, Material, Material]
    plinth: Material
    top: Material
    splash: Material | None


def choose_kitchen(style: Style) -> Kitchen:
    """One kitchen's sizes and materials; more than a third have fronts of one full, glossy colour."""
    d = style.chance
    board = style.make_gloss() if d.yes(0.4) else style.make_lacquer()
    height = d.between(0.85, 0.95)
    return Kitchen(
        unit=d.between(0.5, 0.65),
        depth=d.between(0.58, 0.66),
        height=height,
        low=height + d.between(0.45, 0.6),
        tall=d.between(0.5, 0.8),
        fronts=(
            style.drawers(1, 1, board, height=d.between(0.6, 0.92)),
            style.drawers(1, d.whole(2, 4), board, height=0.9),
            style.drawers(1, 1, board, height=0.1),
        ),
        plinth=Material(a=scaled(board.a, 0.2)),
        top=d.weigh([(2, style.wood()), (2, style.lacquer()), (2, _stone(style))]),
        splash=d.weigh([(2, None), (1.2, _stone(style)), (1.8, style.lacquer())]),
    )


def counter(style: Style) -> Piece:
    """A kitchen line that stands by itself, with or without wall units."""
    d = style.chance
    kitchen = choose_kitchen(style)
    above = [d.yes(0.7)] * d.whole(2, 6)
    width = len(above) * kitchen.unit
    return Piece(width, kitchen.depth, lambda: draw_units(style, kitchen, above), height=kitchen.height)


def draw_units(style: Style, kitchen: Kitchen, above: Sequence[bool]) -> None:
    """A kitchen line: base units, worktop, sink, hob, oven, splashback, wall units, hood, things.

    above: for every unit, from the left, whether another hangs over it.
    """
    d, p = style.chance, style.parts
    unit, long, h = kitchen.unit, kitchen.depth, kitchen.height
    w = len(above) * unit
    door, drawers, hung = kitchen.fronts
    p.slab((-w / 2, -long / 2 + 0.05, 0), (w / 2, long / 2, 0.1), kitchen.plinth)
    hob = d.whole(0, len(above) - 1)
    sink = d.whole(0, len(above) - 1)
    for i in range(len(above)):
        x0 = -w / 2 + i * unit
        kind = (
            "oven"
            if i == hob and d.yes(0.7)
            else d.weigh([(3, "door"), (2, "drawers"), (0.2, "gap"), (0.4, "machine")])
        )
        if kind == "oven":
            _oven(style, x0, x0 + unit, long, 0.1, h - 0.04)
        elif kind == "machine":
            with p.frame(x0 + unit / 2, 0, 0):
                _front_loader(style, unit - 0.01, long - 0.02, h - 0.05)
        elif kind != "gap":
            p.slab((x0 + 0.002, -long / 2 + 0.02, 0.1), (x0 + unit - 0.002, long / 2, h - 0.04),
                   door if kind == "door" else drawers)  # fmt: skip
    p.slab((-w / 2, -long / 2, h - 0.04), (w / 2, long / 2, h), kitchen.top)
    xh = -w / 2 + (hob + 0.5) * unit
    p.box((xh, 0, h + 0.004), (unit * 0.95, long * 0.8, 0.008), style.glossy_black())
    if sink != hob:
        _sink(style, -w / 2 + (sink + 0.5) * unit, h, unit)
    if d.yes(0.4):
        with p.labelled(Label.CLUTTER):
            p.pipe((xh - 0.12, 0.1, h + 0.01), d.between(0.1, 0.2), d.between(0.08, 0.13), style.metal())
    scatter(style, (-w * 0.48, -long * 0.3), (w * 0.48, long * 0.42), h, d.between(2, 12), limit=16)
    if d.yes(0.5):
        _gadget(style, d.between(-0.45, 0.45) * w, 0.1, h)
    for i, is_hung in enumerate(above):
        if is_hung:
            _wall_unit(style, kitchen, -w / 2 + i * unit, hung, is_hood=i == hob and d.yes(0.6))


def _wall_unit(style: Style, kitchen: Kitchen, x0: float, front: Material, *, is_hood: bool) -> None:
    """One unit that hangs: a hood, a cupboard with things on top, or an open shelf; the splashback under it."""
    d, p = style.chance, style.parts
    unit, long, low, tall = kitchen.unit, kitchen.depth, kitchen.low, kitchen.tall
    if kitchen.splash is not None:
        p.slab((x0, long / 2 - 0.012, kitchen.height), (x0 + unit, long / 2, low), kitchen.splash)
    if is_hood:
        m = style.metal()
        p.slab((x0, long / 2 - 0.45, low), (x0 + unit, long / 2, low + 0.1), m)
        p.slab((x0 + unit * 0.3, long / 2 - 0.3, low + 0.1), (x0 + unit * 0.7, long / 2, low + 1.0), m)
        return
    is_open = d.yes(0.15)
    if is_open:
        p.slab((x0, long / 2 - 0.28, low), (x0 + unit, long / 2, low + 0.02), style.wood())
    else:
        p.slab((x0 + 0.002, long / 2 - 0.35, low), (x0 + unit - 0.002, long / 2, low + tall), front)
    with p.frame(0, long / 2 - 0.14):
        if is_open:
            scatter(style, (x0 + 0.05, -0.08), (x0 + unit - 0.05, 0.08), low + 0.02, 30, limit=4)
        elif d.yes(0.3):
            scatter(style, (x0 + 0.05, -0.1), (x0 + unit - 0.05, 0.08), low + tall, 15, limit=3)


def _stone(style: Style) -> Material:
    d = style.chance
    kind = d.weigh([(2, Texture.CELLS), (2, Texture.MARBLE), (2, Texture.CARPET), (2, Texture.TILES)])
    base = style.grey(30, 230)
    scale, p, q = (0.15, 0.06, 1.0) if kind == Texture.TILES else (0.05, 0.5, 0.0)
    stone = Material(kind, base, style.grey(60, 200), style.grey(80, 220), scale=scale, p=p, q=q, seed=style.seed())
    return replace(stone, shine=0.1, polish=40, mirror=d.between(0, 0.4), haze=0.1)


def _oven(style: Style, x0: float, x1: float, long: float, z0: float, z1: float) -> None:
    p = style.parts
    p.slab((x0 + 0.002, -long / 2 + 0.02, z0), (x1 - 0.002, long / 2, z1), style.metal())
    p.slab((x0 + 0.03, -long / 2 + 0.008, z0 + 0.06), (x1 - 0.03, -long / 2 + 0.03, z1 - 0.16), style.glossy_black())
    p.rod((x0 + 0.06, -long / 2 - 0.02, z1 - 0.13), (x1 - 0.06, -long / 2 - 0.02, z1 - 0.13), 0.01, style.metal())
    for i in range(4):
        x = x0 + (x1 - x0) * (0.2 + 0.2 * i)
        p.ball((x, -long / 2 + 0.01, z1 - 0.06), (0.04, 0.04, 0.04), style.plastic())


def _sink(style: Style, x: float, h: float, unit: float) -> None:
    d, p = style.chance, style.parts
    steel = Material(Texture.PLAIN, style.grey(110, 170, 3), shine=0.3, polish=30, mirror=0.5, haze=0.1)
    dark = Material(
        Texture.GRADIENT, style.grey(50, 90), style.grey(120, 170), shine=0.3, polish=20, mirror=0.4, haze=0.2
    )
    p.box((x, -0.02, h + 0.003), (unit * 0.85, 0.45, 0.006), steel)
    p.box((x, -0.04, h + 0.005), (unit * 0.7, 0.34, 0.005), dark)
    bend = d.between(0.15, 0.32)
    p.rod((x, 0.2, h), (x, 0.2, h + bend), 0.014, steel)
    p.rod((x, 0.2, h + bend), (x, 0.02, h + bend * d.between(0.7, 1.0)), 0.011, steel)


def _gadget(style: Style, x: float, y: float, h: float) -> None:
    d, p = style.chance, style.parts
    kind = d.weigh([(1, "microwave"), (1, "kettle"), (1, "coffee"), (1, "toaster")])
    m = style.plastic()
    with p.labelled(Label.CLUTTER):
        if kind == "microwave":
            p.box((x, y, h + 0.14), (0.48, 0.34, 0.28), m)
            p.box((x - 0.06, y - 0.172, h + 0.14), (0.32, 0.01, 0.22), style.glossy_black())
        elif kind == "kettle":
            p.pipe((x, y, h), 0.2, 0.08, style.metal(), top=0.75)
            p.ball((x + 0.1, y, h + 0.12), (0.06, 0.02, 0.14), m)
        elif kind == "coffee":
            p.box((x, y + 0.08, h + 0.18), (0.22, 0.12, 0.36), m)
            p.box((x, y - 0.02, h + 0.31), (0.2, 0.3, 0.1), m)
            p.box((x, y - 0.02, h + 0.02), (0.2, 0.3, 0.04), m)
            p.pipe((x, y - 0.06, h + 0.04), 0.12, 0.06, style.glossy_black())
        else:
            p.cushion((x, y, h + 0.1), (0.3, 0.18, 0.2), style.metal(), radius=0.05)


def _front_loader(style: Style, w: float, long: float, h: float) -> None:
    p = style.parts
    p.box((0, 0, h / 2), (w, long, h), style.ceramic())
    p.pipe((0, -long / 2 - 0.02, h / 2 - 0.04), 0.04, w * 0.34, style.metal(), tilt=1.5708)
    p.pipe((0, -long / 2 - 0.025, h / 2 - 0.04), 0.04, w * 0.25, style.glossy_black(), tilt=1.5708)
    p.box((0, -long / 2 - 0.002, h - 0.07), (w * 0.96, 0.01, 0.1), style.ceramic())
    p.box((w * 0.2, -long / 2 - 0.008, h - 0.07), (w * 0.25, 0.01, 0.05), style.glossy_black())


def washing_machine(style: Style) -> Piece:
    """A washing machine or dryer."""
    d = style.chance
    h = d.between(0.82, 0.9)

    def draw() -> None:
        _front_loader(style, 0.6, 0.58, h)
        scatter(style, (-0.25, -0.2), (0.25, 0.2), h, 8)

    return Piece(0.6, 0.6, draw, height=h)


def fridge(style: Style) -> Piece:
    """A fridge with two doors, notes and magnets on it."""
    d, p = style.chance, style.parts
    w, long, h = d.between(0.55, 0.92), d.between(0.58, 0.72), d.between(1.3, 2.0)
    m = style.ceramic() if d.yes(0.5) else style.metal()
    split = h * d.between(0.3, 0.7)

    def draw() -> None:
        p.box((0, 0.02, h / 2), (w, long - 0.04, h), m)
        p.slab((-w / 2, -long / 2, 0.05), (w / 2, -long / 2 + 0.06, split - 0.006), m)
        p.slab((-w / 2, -long / 2, split + 0.006), (w / 2, -long / 2 + 0.06, h), m)
        handle = style.metal()
        x = w / 2 - 0.06
        p.rod((x, -long / 2 - 0.03, split - 0.4), (x, -long / 2 - 0.03, split - 0.05), 0.012, handle)
        p.rod((x, -long / 2 - 0.03, split + 0.05), (x, -long / 2 - 0.03, split + 0.4), 0.012, handle)
        for _ in range(d.whole(0, 6)):
            s = d.between(0.04, 0.2)
            p.box((d.between(-0.35, 0.25) * w, -long / 2 - 0.002, d.between(0.5, 0.95) * h), (s, 0.004, s * 1.3),
                  style.paper() if d.yes(0.5) else style.poster(), roll=d.bell(0, 0.1, -0.3, 0.3))  # fmt: skip
        scatter(style, (-w * 0.4, -0.1), (w * 0.4, 0.2), h, 6, limit=3)

    return Piece(w, long, draw, height=h)


def bathtub(style: Style) -> Piece:
    """A tub, sometimes with a curtain."""
    d, p = style.chance, style.parts
    w, long, h = d.between(1.5, 1.8), d.between(0.7, 0.8), d.between(0.5, 0.62)
    m = style.ceramic()
    curtain = d.yes(0.4)

    def draw() -> None:
        t = 0.07
        p.slab((-w / 2, -long / 2, 0), (w / 2, -long / 2 + t, h), m)
        p.slab((-w / 2, long / 2 - t, 0), (w / 2, long / 2, h), m)
        p.slab((-w / 2, -long / 2, 0), (-w / 2 + t, long / 2, h), m)
        p.slab((w / 2 - t, -long / 2, 0), (w / 2, long / 2, h), m)
        p.box((0, 0, 0.08), (w - 0.1, long - 0.1, 0.14), m)
        p.rod((w / 2 - 0.05, 0, h), (w / 2 - 0.05, 0, h + 0.15), 0.015, style.metal())
        p.rod((w / 2 - 0.05, 0, h + 0.15), (w / 2 - 0.2, 0, h + 0.12), 0.013, style.metal())
        if curtain:
            c = style.make_cloth()
            x = -w / 2
            end = x + w * d.between(0.2, 0.7)
            while x < end:
                p.ball((x, -long / 2 + d.bell(0, 0.02, -0.05, 0.05), 1.25), (0.12, 0.06, 1.6), c)
                x += 0.06
            p.rod((-w / 2, -long / 2, 2.02), (w / 2, -long / 2, 2.02), 0.012, style.metal())

    return Piece(w, long, draw, height=h)


def toilet(style: Style) -> Piece:
    """A toilet with its cistern and a brush."""
    d, p = style.chance, style.parts
    m = style.ceramic()
    up = d.yes(0.3)

    def draw() -> None:
        p.cushion((0, 0.28, 0.6), (0.4, 0.18, 0.36), m, radius=0.03)
        p.pipe((0, 0.02, 0), 0.36, 0.13, m, top=1.45, radius_y=0.18)
        p.ball((0, -0.08, 0.38), (0.38, 0.5, 0.09), m)
        if up:
            p.ball((0, 0.17, 0.6), (0.37, 0.03, 0.46), m, tilt=-0.15)
        else:
            p.ball((0, -0.06, 0.43), (0.38, 0.46, 0.03), m)
        if d.yes(0.6):
            p.pipe((0.32, 0.2, 0), 0.15, 0.045, style.plastic())
            p.rod((0.32, 0.2, 0.1), (0.32, 0.2, 0.4), 0.008, style.plastic())

    return Piece(0.45, 0.75, draw, height=0.8)


def basin(style: Style) -> Piece:
    """A wash basin on a column or a cabinet, a mirror above it."""
    d, p = style.chance, style.parts
    w, long, h = d.between(0.5, 1.0), d.between(0.4, 0.5), d.between(0.8, 0.88)
    m = style.ceramic()
    cabinet = d.yes(0.6)
    tall = d.between(0.6, 1.0)

    def draw() -> None:
        if cabinet:
            p.slab(
                (-w / 2, -long / 2 + 0.03, d.pick([0.0, 0.25])),
                (w / 2, long / 2, h - 0.08),
                style.drawers(2, d.whole(1, 2)),
            )
            p.slab((-w / 2 - 0.01, -long / 2, h - 0.08), (w / 2 + 0.01, long / 2, h), m)
            p.ball((0, -0.03, h), (w * 0.6, long * 0.65, 0.02), Material(Texture.PLAIN, style.grey(130, 190)))
        else:
            p.pipe((0, 0.08, 0), h - 0.1, 0.09, m)
            p.ball((0, 0, h), (w, long, 0.34), m, cut=0.0)
        steel = style.metal()
        p.rod((0, long * 0.38, h), (0, long * 0.38, h + 0.14), 0.014, steel)
        p.rod((0, long * 0.38, h + 0.13), (0, long * 0.1, h + 0.11), 0.012, steel)
        scatter(style, (-w * 0.45, long * 0.15), (w * 0.45, long * 0.4), h, 25, limit=5)
        p.box((0, long / 2 - 0.02, h + 0.3 + tall / 2), (w * d.between(0.7, 1.1), 0.02, tall), MIRROR)
        if d.yes(0.5):
            glow = Material(Texture.SHADE, (0.9, 0.85, 0.75), glow=2.0)
            p.box((0, long / 2 - 0.05, h + 0.38 + tall), (w * 0.6, 0.06, 0.06), glow)

    return Piece(w, long, draw, height=h)
