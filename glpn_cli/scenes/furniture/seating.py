"""Things to sit and lie on: chairs of several schools, stools, armchairs, sofas, benches, beds."""

from __future__ import annotations

import math

from glpn_cli.scenes.furniture import Piece
from glpn_cli.scenes.materials import Material
from glpn_cli.scenes.parts import CORNERS, Label, around
from glpn_cli.scenes.style import Style


def chair(style: Style) -> Piece:
    """A chair: wooden, cantilever, shell, slatted, or a swivel chair."""
    d, p = style.chance, style.parts
    kind = d.weigh([(4, "wood"), (2.5, "cantilever"), (2, "shell"), (2.5, "office"), (1, "stool"), (1, "folding")])
    w, long, seat = d.between(0.38, 0.5), d.between(0.4, 0.5), d.between(0.42, 0.48)
    back = seat + d.between(0.32, 0.55)
    frame = style.wood() if kind in ("wood", "stool") and d.yes(0.8) else style.metal()
    pad = d.weigh([(2, frame), (2, style.cloth()), (1, style.plastic())])
    slats = d.whole(0, 3)
    lean = d.between(0.05, 0.22)
    arms = d.yes(0.25)

    def draw() -> None:
        if kind == "office":
            _swivel(style, w, seat, back, pad)
            return
        t = 0.016 if kind in ("cantilever", "folding", "shell") else 0.02
        x, y = w / 2 - t, long / 2 - t
        p.cushion((0, 0, seat - 0.02), (w, long, 0.045), pad, radius=0.02)
        if kind == "cantilever":
            for s in (-1, 1):
                p.rod((s * x, y, 0.015), (s * x, -y, 0.015), t, frame)
                p.rod((s * x, -y, 0.015), (s * x, -y, seat), t, frame)
                p.rod((s * x, -y, seat - 0.03), (s * x, y, seat - 0.03), t, frame)
                p.rod((s * x, y, seat - 0.03), (s * x, y + lean * 0.4, back), t, frame)
            p.rod((-x, y, 0.015), (x, y, 0.015), t, frame)
        else:
            splay = 0.05 if kind in ("shell", "folding") else 0.01
            for sx, sy in CORNERS:
                p.rod(
                    (sx * (x - 0.02), sy * (y - 0.02), seat - 0.03), (sx * (x + splay), sy * (y + splay), 0), t, frame
                )
        if kind == "stool":
            return
        if kind == "shell":
            p.cushion(
                (0, y + 0.03, 0.5 * (seat + back)), (w * 0.95, 0.03, back - seat + 0.06), pad, radius=0.014, tilt=-lean
            )
            return
        if kind != "cantilever":
            for s in (-1, 1):
                p.rod((s * x, y, seat - 0.03), (s * x, y + lean * 0.4, back), t, frame)
        if slats == 0:
            p.cushion((0, y + 0.25 * lean, back - 0.14), (w * 0.9, 0.03, 0.28), pad, radius=0.014, tilt=-lean)
        elif slats == 1:
            for i in range(5):
                u = (i - 2) * w * 0.18
                p.rod((u, y, seat), (u, y + lean * 0.4, back - 0.02), 0.009, frame)
            p.box((0, y + lean * 0.4, back - 0.03), (w, 0.03, 0.07), frame, tilt=-lean)
        else:
            for i in range(slats + 1):
                z = back - 0.04 - i * 0.11
                p.box((0, y + lean * 0.3, z), (w * 0.95, 0.02, 0.05), frame, tilt=-lean)
        if arms:
            for s in (-1, 1):
                p.box((s * (x + 0.02), 0, seat + 0.2), (0.05, long * 0.9, 0.03), frame)
                p.rod((s * (x + 0.02), -y + 0.03, seat), (s * (x + 0.02), -y + 0.03, seat + 0.2), t, frame)

    return Piece(w + 0.04, long + 0.06, draw, height=back)


def _swivel(style: Style, w: float, seat: float, back: float, pad: Material) -> None:
    d, p = style.chance, style.parts
    base = style.plastic()
    turn = d.between(0, 1.2)
    for i in range(5):
        a = turn + i * 2 * math.pi / 5
        p.rod((0, 0, 0.1), around(0.3, a, 0.06), 0.018, base)
        p.ball(around(0.3, a, 0.03), (0.055, 0.055, 0.06), base)
    p.pipe((0, 0, 0.08), seat - 0.1, 0.027, style.metal())
    p.cushion((0, 0, seat), (w + 0.06, w + 0.06, 0.09), pad, radius=0.04)
    p.rod((0, 0.22, seat), (0, 0.3, seat + 0.2), 0.02, base)
    high = d.yes(0.4)
    h = back - seat + (0.2 if high else 0.05)
    net = d.yes(0.3)
    if net:
        p.lattice((0, 0.29, seat + 0.12 + h / 2), (w, h), pad, period=0.012, fill=0.5, tilt=1.5708 - 0.12)
    else:
        p.cushion((0, 0.29, seat + 0.12 + h / 2), (w, 0.07, h), pad, radius=0.034, tilt=-0.12)
    if d.yes(0.6):
        for s in (-1, 1):
            p.box((s * (w / 2 + 0.05), 0.02, seat + 0.22), (0.06, 0.26, 0.035), base)
            p.rod((s * (w / 2 + 0.04), 0.05, seat), (s * (w / 2 + 0.05), 0.05, seat + 0.21), 0.014, base)


def bar_stool(style: Style) -> Piece:
    """A high stool."""
    d, p = style.chance, style.parts
    seat, r = d.between(0.62, 0.8), d.between(0.15, 0.2)
    m, pad = style.metal(), style.anything()
    one_leg = d.yes(0.4)

    def draw() -> None:
        if one_leg:
            p.pipe((0, 0, 0), 0.03, 0.2, m)
            p.pipe((0, 0, 0), seat, 0.025, m)
        else:
            for i in range(4):
                a = 0.785 + i * 1.5708
                p.rod(around(0.1, a, seat), around(0.22, a), 0.014, m)
        p.pipe((0, 0, seat - 0.02), 0.06, r, pad)

    return Piece(0.42, 0.42, draw, height=seat)


def sofa(style: Style) -> Piece:
    """A sofa or an armchair: base, arms, back, seat cushions, throw pillows, sometimes a chaise."""
    d, p = style.chance, style.parts
    seats = d.weigh([(3, 1), (4, 2), (3, 3)])
    unit = d.between(0.55, 0.75)
    arm = d.between(0.08, 0.26)
    w = seats * unit + 2 * arm
    long = d.between(0.78, 1.0)
    seat, back, arm_h = d.between(0.38, 0.46), d.between(0.68, 0.98), d.between(0.5, 0.7)
    cloth = style.cloth()
    radius = d.pick([0.03, 0.06, 0.1, 0.14])
    legs = d.yes(0.5)
    chaise = seats == 3 and d.yes(0.3)
    loose = d.yes(0.7)

    def draw() -> None:
        foot = 0.1 if legs else 0.02
        p.cushion((0, 0, 0.5 * (foot + seat - 0.1)), (w - 0.02, long - 0.04, seat - 0.1 - foot), cloth, radius=0.03)
        thick = 0.16 + 0.06 * d.unit()
        p.cushion(
            (0, long / 2 - thick / 2, 0.5 * (foot + back)),
            (w - 0.04, thick, back - foot),
            cloth,
            radius=radius,
            tilt=-0.06,
        )
        for s in (-1, 1):
            p.cushion(
                (s * (w - arm) / 2, 0, 0.5 * (foot + arm_h)),
                (arm, long, arm_h - foot),
                cloth,
                radius=min(radius, arm * 0.45),
            )
        for i in range(seats):
            x = (i - (seats - 1) / 2) * unit
            depth = long - thick - 0.02
            p.cushion((x, -thick / 2, seat - 0.06), (unit - 0.01, depth, 0.16), cloth, radius=0.05)
            if loose:
                p.cushion(
                    (x, long / 2 - thick - 0.08, seat + 0.2), (unit - 0.03, 0.17, 0.4), cloth, radius=0.075, tilt=-0.2
                )
        if chaise:
            p.cushion((w / 2 - arm - unit / 2, -long / 2 - 0.3, seat / 2 + 0.02), (unit, 0.7, seat), cloth, radius=0.05)
        if legs:
            m = style.wood()
            for sx, sy in CORNERS:
                p.pipe((sx * (w / 2 - 0.08), sy * (long / 2 - 0.08), 0), 0.11, 0.02, m)
        with p.labelled(Label.CLUTTER):
            for _ in range(d.whole(0, seats + 1)):
                m = style.make_cloth()
                x = d.between(-0.5, 0.5) * (w - 2 * arm - 0.3)
                side = d.between(0.35, 0.5)
                p.cushion(
                    (x, d.between(-0.05, 0.15), seat + 0.22),
                    (side, 0.14, side),
                    m,
                    radius=0.065,
                    yaw=d.bell(0, 0.3, -1, 1),
                    tilt=-d.between(0.2, 0.6),
                    roll=d.bell(0, 0.2, -0.7, 0.7),
                )
            if d.yes(0.25):
                m = style.make_cloth()
                p.cushion(
                    (d.between(-0.3, 0.3) * w, 0.0, seat + 0.03), (0.7, 0.6, 0.06), m, radius=0.028, yaw=d.between(0, 1)
                )

    return Piece(w, long + (0.6 if chaise else 0.0), draw, height=back)


def ottoman(style: Style) -> Piece:
    """A pouf."""
    d, p = style.chance, style.parts
    w, h = d.between(0.4, 0.7), d.between(0.35, 0.45)
    m = style.cloth()
    round_one = d.yes(0.4)

    def draw() -> None:
        if round_one:
            p.pipe((0, 0, 0.02), h - 0.08, w / 2, m)
            p.ball((0, 0, h - 0.06), (w, w, 0.14), m)
        else:
            p.cushion((0, 0, h / 2 + 0.02), (w, w, h), m, radius=0.06)

    return Piece(w, w, draw, height=h)


def bench(style: Style) -> Piece:
    """A bench, or a row of seats as in waiting rooms."""
    d, p = style.chance, style.parts
    w, long, h = d.between(0.9, 2.0), d.between(0.3, 0.45), d.between(0.42, 0.5)
    m, leg = style.wood(), style.metal()

    def draw() -> None:
        p.box((0, 0, h - 0.02), (w, long, 0.04), m)
        for s in (-1, 1):
            p.box((s * (w / 2 - 0.12), 0, h / 2 - 0.02), (0.05, long * 0.9, h - 0.04), leg)

    return Piece(w, long, draw, height=h)


def bed(style: Style) -> Piece:
    """A bed with headboard, mattress, blanket and pillows; sometimes unmade, sometimes a bunk."""
    d, p = style.chance, style.parts
    w, long = d.pick([0.9, 1.0, 1.4, 1.6, 1.8]), d.between(1.95, 2.1)
    h = d.between(0.42, 0.62)
    wood = style.wood() if d.yes(0.6) else style.cloth()
    sheet = style.make_cloth()
    blanket = style.make_cloth()
    head = h + d.between(0.2, 0.75)
    bunk = w < 1.1 and d.yes(0.12)

    def mattress(z: float) -> None:
        p.cushion((0, 0, z - 0.1), (w, long, 0.22), sheet, radius=0.06)
        reach = d.between(0.55, 0.85) * long
        p.cushion((0, -long / 2 + reach / 2, z - 0.05), (w + 0.06, reach + 0.04, 0.24), blanket, radius=0.08)
        for _ in range(d.whole(0, 5)):  # folds
            p.ball(
                (d.between(-0.4, 0.4) * w, -long / 2 + reach * d.unit(), z + 0.06),
                (d.between(0.3, 0.9), d.between(0.15, 0.5), d.between(0.04, 0.14)),
                blanket,
                yaw=d.between(0, 3.1),
            )
        for i in range(2 if w > 1.2 else 1):
            x = (i - 0.5) * w * 0.48 if w > 1.2 else 0.0
            for k in range(d.whole(1, 2)):
                p.cushion(
                    (x + d.bell(0, 0.04, -0.1, 0.1), long / 2 - 0.28 - 0.1 * k, z + 0.08 + 0.08 * k),
                    (0.62, 0.42, 0.16),
                    sheet if d.yes(0.5) else style.make_cloth(),
                    radius=0.075,
                    tilt=d.between(0.1, 0.6),
                    yaw=d.bell(0, 0.15, -0.5, 0.5),
                )

    def draw() -> None:
        p.box((0, 0, h - 0.28), (w + 0.06, long + 0.04, 0.2), wood)
        for sx, sy in CORNERS:
            p.box((sx * w / 2, sy * long / 2, (h - 0.2) / 2), (0.07, 0.07, h - 0.2), wood)
        p.box((0, long / 2 + 0.04, head / 2), (w + 0.08, 0.06, head), wood)
        if d.yes(0.3):
            p.box((0, -long / 2 - 0.03, h / 2 + 0.05), (w + 0.08, 0.05, h + 0.1), wood)
        mattress(h)
        if bunk:
            mattress(h + 1.0)
            p.box((0, 0, h + 0.78), (w + 0.06, long, 0.1), wood)
            for sx, sy in CORNERS:
                p.box((sx * w / 2, sy * long / 2, 0.9), (0.07, 0.07, 1.8), wood)
            p.box((-w / 2, 0, h + 1.2), (0.03, long, 0.12), wood)

    return Piece(w + 0.1, long + 0.12, draw, height=head)
