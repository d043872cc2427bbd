"""Tables of all heights, desks with what stands on them, and the chairs that belong to them."""

from __future__ import annotations

import math

from glpn_cli.scenes.furniture import Piece
from glpn_cli.scenes.furniture.clutter import scatter
from glpn_cli.scenes.furniture.seating import chair
from glpn_cli.scenes.materials import Material, Texture, scaled
from glpn_cli.scenes.parts import CORNERS, Label
from glpn_cli.scenes.style import Style


def _top_and_legs(style: Style, w: float, long: float, h: float, *, round_top: bool = False) -> None:
    d, p = style.chance, style.parts
    top = d.weigh([(4, style.wood()), (2, style.lacquer()), (0.6, style.glossy_black()), (0.5, style.ceramic())])
    leg = d.weigh([(2, style.wood()), (2, style.metal()), (1, top)])
    t = d.between(0.018, 0.05)
    if round_top:
        p.pipe((0, 0, h - t), t, w / 2, top, radius_y=long / 2)
        if d.yes(0.6):
            p.pipe((0, 0, 0), h - t, 0.04, leg)
            p.pipe((0, 0, 0), 0.03, min(w, long) * 0.3, leg)
            return
    else:
        p.box((0, 0, h - t / 2), (w, long, t), top)
    kind = d.weigh([(4, "legs"), (1.5, "panels"), (1, "trestle"), (1, "apron")])
    inset = 0.18 * min(w, long) if round_top else 0.04
    x, y = w / 2 - inset, long / 2 - inset
    r = d.between(0.018, 0.045)
    if kind == "panels":
        for s in (-1, 1):
            p.box((s * x, 0, (h - t) / 2), (0.03, long * 0.85, h - t), leg)
    elif kind == "trestle":
        for s in (-1, 1):
            for e in (-1, 1):
                p.rod((s * (x - 0.1), 0, h - t), (s * (x - 0.1), e * y, 0), r, leg)
        p.rod((-x + 0.1, 0, h * 0.4), (x - 0.1, 0, h * 0.4), r * 0.8, leg)
    else:
        square = d.yes(0.6)
        for sx, sy in CORNERS:
            if square:
                p.box((sx * x, sy * y, (h - t) / 2), (2 * r, 2 * r, h - t), leg)
            else:
                p.pipe((sx * x, sy * y, 0), h - t, r * 0.7, leg, top=1.4)
        if kind == "apron":
            p.box((0, y, h - t - 0.05), (2 * x, 0.02, 0.09), leg)
            p.box((0, -y, h - t - 0.05), (2 * x, 0.02, 0.09), leg)
            for s in (-1, 1):
                p.box((s * x, 0, h - t - 0.05), (0.02, 2 * y, 0.09), leg)


def table(style: Style) -> Piece:
    """A dining or meeting table with its chairs and things on it."""
    d, p = style.chance, style.parts
    w, long, h = d.between(0.7, 2.4), d.between(0.7, 1.1), d.between(0.7, 0.78)
    round_top = d.yes(0.25)
    if round_top:
        w = long = d.between(0.7, 1.4)
    if d.yes(0.12):
        h = d.between(0.9, 1.1)
    seats = d.weigh([(1, 0), (3, 1), (5, 2)])
    same = chair(style)
    density = d.between(0.0, 7.0)

    def draw() -> None:
        _top_and_legs(style, w, long, h, round_top=round_top)
        if d.yes(0.12):  # a table cloth
            m = style.make_cloth()
            p.slab((-w / 2 - 0.01, -long / 2 - 0.01, h - 0.25), (w / 2 + 0.01, long / 2 + 0.01, h + 0.004), m)
        if d.yes(0.15):
            m = style.make_cloth()
            p.box((0, 0, h + 0.003), (w * 0.9, long * 0.3, 0.004), m)
        scatter(style, (-w * 0.42, -long * 0.4), (w * 0.42, long * 0.4), h, density)
        if round_top:
            n = seats * 2
            for i in range(n):
                a = i * 2 * math.pi / max(n, 1) + d.bell(0, 0.2, -0.4, 0.4)
                r = w / 2 + d.between(0.0, 0.35)
                with p.frame(r * math.sin(a), -r * math.cos(a), 0, a + math.pi + d.bell(0, 0.3, -1, 1)):
                    same.draw()
            return
        per_side = max(1, int(w / 0.62)) if seats else 0
        for side in (-1, 1):
            if seats == 1 and side == 1:
                continue
            for i in range(per_side):
                if d.yes(0.12):
                    continue
                x = (i + 0.5 - per_side / 2) * w / per_side + d.bell(0, 0.04, -0.1, 0.1)
                y = side * (long / 2 + d.between(-0.1, 0.35))
                # The chair's front looks at the table.
                with p.frame(x, y, 0, (math.pi if side < 0 else 0.0) + d.bell(0, 0.2, -1.2, 1.2)):
                    same.draw()

    margin = 0.5 if seats else 0.0
    return Piece(w + (2 * margin if round_top else 0.0), long + 2 * margin, draw, height=h)


def coffee_table(style: Style) -> Piece:
    """A low table with magazines and cups."""
    d = style.chance
    w, long, h = d.between(0.5, 1.3), d.between(0.4, 0.8), d.between(0.3, 0.5)
    round_top = d.yes(0.3)

    def draw() -> None:
        _top_and_legs(style, w, long, h, round_top=round_top)
        scatter(style, (-w * 0.35, -long * 0.35), (w * 0.35, long * 0.35), h, 8)
        if d.yes(0.4) and not round_top:
            style.parts.box((0, 0, h * 0.4), (w * 0.85, long * 0.85, 0.02), style.wood())

    return Piece(w, long, draw, height=h)


def side_table(style: Style) -> Piece:
    """A bedside or side table with a lamp or a plant on it."""
    d, p = style.chance, style.parts
    w, h = d.between(0.35, 0.55), d.between(0.4, 0.65)
    closed = d.yes(0.6)

    def draw() -> None:
        if closed:
            p.box((0, 0, h / 2), (w, w * 0.9, h), style.drawers(1, d.whole(1, 3)))
        else:
            _top_and_legs(style, w, w, h, round_top=d.yes(0.4))
        scatter(style, (-w * 0.35, -w * 0.35), (w * 0.35, w * 0.35), h, 14, limit=3)

    return Piece(w, w, draw, height=h)


def _keyboard(style: Style) -> None:
    """A keyboard and a mouse, on the surface at the origin."""
    d, p = style.chance, style.parts
    colour = style.grey(12, 60, 3) if d.yes(0.7) else style.grey(190, 240, 4)
    m = Material(Texture.KEYS, colour, scaled(colour, 0.35), style.grey(150, 240), scale=0.019, seed=style.seed())
    p.box((0, 0, 0.012), (d.between(0.3, 0.45), 0.14, 0.02), m, yaw=d.bell(0, 0.08, -0.3, 0.3), face=4)
    p.ball((0.3, 0.0, 0.015), (0.06, 0.1, 0.04), style.plastic())


def _monitor(style: Style, *, size: float | None = None) -> None:
    """A monitor on its foot, at the origin, facing -y."""
    d, p = style.chance, style.parts
    w = size or d.between(0.42, 0.8)
    h = w * d.between(0.52, 0.62)
    z = d.between(0.08, 0.2)
    shell = style.plastic()
    p.pipe((0, 0.03, 0), 0.012, 0.12, shell)
    p.box((0, 0.05, (z + h / 2) / 2), (0.05, 0.02, z + h / 2), shell)
    p.box((0, 0.02, z + h / 2), (w, 0.03, h), shell)
    p.box((0, 0.0035, z + h / 2), (w - 0.02, 0.006, h - 0.02), style.screen(on=d.yes(0.6)))


def _laptop(style: Style) -> None:
    """An open laptop, facing -y."""
    d, p = style.chance, style.parts
    w, long = d.between(0.28, 0.36), d.between(0.2, 0.25)
    body = style.grey(120, 190, 3) if d.yes(0.6) else style.grey(15, 50, 2)
    m = Material(Texture.KEYS, body, scaled(body, 0.3), body, scale=0.018, seed=style.seed(), shine=0.05)
    p.box((0, 0, 0.009), (w, long, 0.018), m, face=4)
    lean = d.between(0.1, 0.5)
    y, z = long / 2 + 0.5 * long * math.sin(lean), 0.5 * long * math.cos(lean)
    p.box((0, y + 0.004, z + 0.01), (w, 0.008, long), style.plastic(), tilt=-lean)
    p.box((0, y - 0.002, z + 0.011), (w - 0.02, 0.005, long - 0.02), style.screen(on=d.yes(0.8)), tilt=-lean)


def desk(style: Style) -> Piece:
    """A desk: screens, keyboard, paper, a lamp, a chair, a drawer unit, cables."""
    d, p = style.chance, style.parts
    w, long, h = d.between(1.0, 1.9), d.between(0.6, 0.85), d.between(0.7, 0.77)
    seat = chair(style)
    with_chair = d.yes(0.8)
    panel = d.yes(0.2)

    def draw() -> None:
        _top_and_legs(style, w, long, h)
        x = d.between(-0.2, 0.2) * w
        what = d.weigh([(4, "monitor"), (2, "two"), (2, "laptop"), (1.5, "nothing")])
        with p.labelled(Label.CLUTTER):
            if what in ("monitor", "two"):
                for s in (-1, 1) if what == "two" else (0,):
                    with p.frame(x + s * 0.3, long * 0.2, h, -0.25 * s + d.bell(0, 0.1, -0.5, 0.5)):
                        _monitor(style, size=0.52 if what == "two" else None)
                with p.frame(x, -long * 0.18, h):
                    _keyboard(style)
            elif what == "laptop":
                with p.frame(x, -0.02, h, d.bell(0, 0.2, -0.6, 0.6)):
                    _laptop(style)
            if d.yes(0.35):
                with p.frame(-w * 0.4 if x > 0 else w * 0.4, long * 0.25, h, d.between(-1, 1)):
                    _desk_lamp(style)
        scatter(style, (-w * 0.46, -long * 0.42), (w * 0.46, long * 0.42), h, d.between(1, 8))
        if d.yes(0.5):
            s = d.pick([-1, 1])
            p.box((s * (w / 2 - 0.25), 0.05, 0.3), (0.4, long * 0.8, 0.58), style.drawers(1, d.whole(2, 4)))
        if panel:
            p.box((0, long / 2, h + 0.2), (w, 0.03, 0.7), style.cloth())
        if with_chair:
            with p.frame(x, -long / 2 - d.between(-0.05, 0.4), 0, math.pi + d.bell(0, 0.5, -2, 2)):
                seat.draw()

    return Piece(w, long, draw, height=1.2)


def _desk_lamp(style: Style) -> None:
    d, p = style.chance, style.parts
    m = style.metal()
    p.pipe((0, 0, 0), 0.02, 0.08, m)
    p.rod((0, 0, 0.02), (0.0, 0.1, 0.25), 0.008, m)
    p.rod((0, 0.1, 0.25), (0.0, -0.12, 0.42), 0.008, m)
    p.pipe((0, -0.15, 0.34), 0.09, 0.07, m, top=0.5, hollow=True, tilt=d.between(-0.4, 0.3))
