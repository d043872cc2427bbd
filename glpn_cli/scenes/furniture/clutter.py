"""Small things that stand and lie on surfaces: cups, bottles, books, paper, boxes, bowls of fruit, phones."""

from __future__ import annotations

import math
from collections.abc import Callable

from glpn_cli.scenes.materials import Material, Texture, scaled
from glpn_cli.scenes.parts import Label, around
from glpn_cli.scenes.style import Style

Thing = Callable[[Style], float]


def _cup(style: Style) -> float:
    """A cup or glass, perhaps with a handle."""
    d, p = style.chance, style.parts
    m = style.ceramic() if d.yes(0.7) else style.plastic()
    r, h = d.between(0.03, 0.045), d.between(0.07, 0.13)
    p.pipe((0, 0, 0), h, r * d.between(0.75, 1.0), m, top=d.between(1.0, 1.25), hollow=True)
    p.pipe((0, 0, 0.005), 0.6 * h, r * 0.8, style.anything())
    if d.yes(0.5):
        p.ball((r * 1.2, 0, 0.5 * h), (0.035, 0.012, 0.06), m)
    return r


def _bottle(style: Style) -> float:
    """A bottle: body, shoulder, neck, label, cap."""
    d, p = style.chance, style.parts
    r, h = d.between(0.028, 0.05), d.between(0.14, 0.26)
    glass = Material(Texture.PLAIN, style.any_colour(0.9, 10, 200), scale=0.1, shine=0.2, polish=60, mirror=0.25)
    p.pipe((0, 0, 0), 0.62 * h, r, glass)
    p.pipe((0, 0, 0.62 * h), 0.15 * h, r, glass, top=0.4)
    p.pipe((0, 0, 0.77 * h), 0.2 * h, r * 0.4, glass)
    p.pipe((0, 0, 0.95 * h), 0.05 * h, r * 0.45, style.plastic())
    if d.yes(0.7):
        p.pipe((0, 0, 0.15 * h), 0.3 * h, r * 1.01, style.label(scale=1.0))
    return r


def _pile(style: Style) -> float:
    """Books or magazines on top of each other."""
    d, p = style.chance, style.parts
    z = 0.0
    w, long = d.between(0.13, 0.24), d.between(0.18, 0.32)
    for _ in range(d.whole(1, 5)):
        t = d.between(0.008, 0.045)
        cover = style.anything() if d.yes(0.6) else style.poster()
        p.box(
            (0, 0, z + t / 2),
            (w * d.between(0.8, 1.05), long * d.between(0.8, 1.05), t),
            cover,
            yaw=d.bell(0, 0.15, -1, 1),
        )
        z += t
    return 0.15


def _sheet(style: Style) -> float:
    """Loose paper."""
    d, p = style.chance, style.parts
    for _ in range(d.whole(1, 3)):
        m = style.paper() if d.yes(0.75) else style.poster()
        p.box(
            (d.between(-0.05, 0.05), d.between(-0.05, 0.05), 0.002),
            (0.21, 0.297, 0.002),
            m,
            yaw=d.between(0, 3.1),
            face=4,
        )
    return 0.15


def _carton(style: Style) -> float:
    """A package, tin or parcel."""
    d, p = style.chance, style.parts
    w, long, h = d.between(0.04, 0.22), d.between(0.04, 0.2), d.between(0.04, 0.28)
    m = d.weigh([(3, style.label()), (2, style.cardboard()), (1, style.anything())])
    if d.yes(0.25):
        p.pipe((0, 0, 0), h, w * 0.5, m)
    else:
        p.box((0, 0, h / 2), (w, long, h), m)
    return 0.5 * math.hypot(w, long)


def _bowl(style: Style) -> float:
    """A bowl or basket, often with fruit."""
    d, p = style.chance, style.parts
    r, h = d.between(0.06, 0.18), d.between(0.05, 0.1)
    if d.yes(0.3):
        wicker = Material(Texture.WEAVE, style.near((170, 120, 70)), style.near((120, 80, 45)), scale=0.02, p=0.6)
        p.pipe((0, 0, 0), h, r * 0.85, wicker, top=1.15, hollow=True)
    else:
        p.ball((0, 0, h), (2 * r, 2 * r, 2 * h), style.ceramic(), cut=0.0)
    if d.yes(0.6):
        colour = style.near(d.pick([(220, 60, 30), (230, 170, 40), (120, 170, 50), (240, 210, 60), (140, 30, 40)]))
        fruit = Material(Texture.PLAIN, colour, scale=0.05, p=0.3, shine=0.05, polish=15)
        for _ in range(d.whole(3, 9)):
            a, q = d.between(0, 6.28), r * 0.6 * d.unit()
            s = d.between(0.06, 0.085)
            p.ball(around(q, a, h * 0.7 + d.between(0, 0.05)), (s, s, s * d.between(0.8, 1.1)), fruit)
    return r


def _plate(style: Style) -> float:
    """A plate, perhaps with food and cutlery."""
    d, p = style.chance, style.parts
    r = d.between(0.08, 0.14)
    p.pipe((0, 0, 0), 0.015, r * 0.7, style.ceramic(), top=1.4)
    if d.yes(0.5):
        p.ball((0, 0, 0.02), (r, r * 0.8, 0.05), style.anything())
    if d.yes(0.5):
        m = style.metal()
        p.box((r + 0.02, 0, 0.004), (0.02, 0.18, 0.004), m)
        p.box((-r - 0.02, 0, 0.004), (0.02, 0.18, 0.004), m)
    return r


def _vase(style: Style) -> float:
    """A vase, with or without flowers."""
    d, p = style.chance, style.parts
    m = style.ceramic() if d.yes(0.6) else style.anything()
    r, h = d.between(0.04, 0.1), d.between(0.1, 0.3)
    if d.yes(0.5):
        p.ball((0, 0, 0.45 * h), (2 * r, 2 * r, 0.9 * h), m)
        p.pipe((0, 0, 0.7 * h), 0.3 * h, r * 0.4, m, top=1.3, hollow=True)
    else:
        p.pipe((0, 0, 0), h, r * 0.7, m, top=d.between(0.7, 1.5), hollow=True)
    if d.yes(0.65):
        _flowers(style, h, d.between(0.12, 0.35))
    return r


def _flowers(style: Style, z: float, size: float) -> None:
    """Stems, leaves and blossoms above z."""
    d, p = style.chance, style.parts
    green = style.leaves()
    blossom = Material(Texture.PLAIN, style.any_colour(1.0, 120, 250), scale=0.02, p=0.4, through=0.3)
    with p.labelled(Label.PLANT):
        for _ in range(d.whole(4, 14)):
            a, lean, length = d.between(0, 6.28), d.between(0.0, 0.7), size * d.between(0.6, 1.1)
            x, y, top = around(length * math.sin(lean), a, z + length * math.cos(lean))
            p.rod((0, 0, z - 0.02), (x, y, top), 0.003, green)
            if d.yes(0.6):
                s = d.between(0.03, 0.09)
                p.ball((x, y, top), (s, s, s * 0.7), blossom)
            p.leaf(
                (0.7 * x, 0.7 * y, z + 0.7 * (top - z)),
                (d.between(0.06, 0.16), 0.05),
                green,
                bend=2.0,
                yaw=a,
                roll=-0.5,
            )


def _phone(style: Style) -> float:
    """A phone, remote control, mouse or calculator."""
    d, p = style.chance, style.parts
    if d.yes(0.5):
        p.box((0, 0, 0.005), (0.075, 0.15, 0.009), style.screen(on=d.yes(0.3)), yaw=d.between(0, 3.1), face=4)
    else:
        colour = style.grey(15, 60) if d.yes(0.6) else style.grey(180, 240)
        m = Material(Texture.KEYS, colour, scaled(colour, 0.4), style.grey(120, 240), scale=0.015, seed=style.seed())
        p.box((0, 0, 0.01), (0.05, d.between(0.1, 0.2), 0.02), m, yaw=d.between(0, 3.1))
    return 0.08


def _figure(style: Style) -> float:
    """A toy, a statue, a clock: a few solids on top of each other."""
    d, p = style.chance, style.parts
    m = style.anything()
    z = 0.0
    r = d.between(0.02, 0.07)
    for _ in range(d.whole(1, 4)):
        h = d.between(0.03, 0.12)
        q = r * d.between(0.5, 1.2)
        kind = d.whole(0, 2)
        if kind == 0:
            p.ball((0, 0, z + h / 2), (2 * q, 2 * q, h), m)
        elif kind == 1:
            p.box((0, 0, z + h / 2), (2 * q, 1.4 * q, h), m, yaw=d.between(0, 1.5))
        else:
            p.pipe((0, 0, z), h, q, m, top=d.between(0.3, 1.3))
        z += h
        if d.yes(0.4):
            m = style.anything()
    return r


def _bag(style: Style) -> float:
    """A soft bag or a crumpled cloth."""
    d, p = style.chance, style.parts
    m = style.cloth()
    w, long, h = d.between(0.2, 0.4), d.between(0.12, 0.25), d.between(0.12, 0.35)
    p.cushion((0, 0, h / 2), (w, long, h), m, radius=0.08, tilt=d.bell(0, 0.1, -0.2, 0.2))
    if d.yes(0.6):
        p.ball((0, 0, h), (w * 0.6, 0.02, 0.2), m)
        p.ball((d.between(-0.1, 0.1), -long * 0.3, h * 0.4), (w * 0.6, long * 0.7, h * 0.6), m)
    return 0.2


def _frame_on_stand(style: Style) -> float:
    """A small picture in a frame, leaning back."""
    d, p = style.chance, style.parts
    w, h = d.between(0.1, 0.25), d.between(0.12, 0.3)
    p.box((0, 0.012, h / 2), (w + 0.03, 0.015, h + 0.03), style.wood(), tilt=-0.2)
    p.box((0, 0.002, h / 2), (w, 0.008, h), style.picture(), tilt=-0.2)
    return w / 2


SMALL: tuple[tuple[float, Thing], ...] = (
    (3, _cup), (2.5, _bottle), (2, _pile), (2.5, _sheet), (3, _carton), (1.2, _bowl), (0.8, _plate), (1.2, _vase),
    (2, _phone), (1.5, _figure), (0.5, _bag), (0.6, _frame_on_stand),
)  # fmt: skip


def scatter(
    style: Style, low: tuple[float, float], high: tuple[float, float], z: float, density: float, *, limit: int = 14
) -> None:
    """Put small things on the rectangle low..high at height z; density: things a square metre, about."""
    d, p = style.chance, style.parts
    area = max(high[0] - low[0], 0.0) * max(high[1] - low[1], 0.0)
    count = min(int(area * density * d.between(0.3, 2.6) + d.unit()), limit)
    taken: list[tuple[float, float, float]] = []
    with p.labelled(Label.CLUTTER):
        for _ in range(count):
            thing = d.weigh(SMALL)
            x, y = d.between(low[0], high[0]), d.between(low[1], high[1])
            if any(math.hypot(x - a, y - b) < c for a, b, c in taken):
                continue
            with p.frame(x, y, z, d.between(-0.8, 0.8)):
                r = thing(style)
            taken.append((x, y, r + 0.08))
