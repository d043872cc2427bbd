"""What lives in rooms: plants, people, pets; and lamps that stand."""

from __future__ import annotations

import math

from glpn_cli.scenes.furniture import Piece
from glpn_cli.scenes.materials import Material, Texture
from glpn_cli.scenes.parts import Label, around
from glpn_cli.scenes.style import Style


def plant(style: Style) -> Piece:
    """A plant in a pot: a bush, a palm, a rubber tree, a trailing one, a cactus."""
    d, p = style.chance, style.parts
    size = d.weigh([(2, d.between(0.25, 0.6)), (3, d.between(0.6, 1.3)), (1.5, d.between(1.3, 2.2))])
    kind = d.weigh([(3, "bush"), (3, "palm"), (2, "tree"), (1, "blades"), (0.4, "cactus"), (2, "dragon tree")])
    pot_r = min(0.08 + 0.1 * size, 0.24) * d.between(0.8, 1.2)
    pot_h = d.between(0.25, 0.45) * min(size, 1.0) + 0.08
    pot = style.plastic() if d.yes(0.5) else style.ceramic()
    square = d.yes(0.25)

    def draw() -> None:
        if square:
            p.box((0, 0, pot_h / 2), (1.7 * pot_r, 1.7 * pot_r, pot_h), pot)
        else:
            p.pipe((0, 0, 0), pot_h, pot_r * d.between(0.65, 1.0), pot, top=1.25, hollow=True)
            p.pipe(
                (0, 0, 0), pot_h * 0.9, pot_r * 0.62, Material(Texture.PLASTER, (0.05, 0.035, 0.02), scale=0.02, p=0.8)
            )
        with p.labelled(Label.PLANT):
            _grow(style, kind, size, pot_h)

    return Piece(max(2 * pot_r, 0.5 * size), max(2 * pot_r, 0.5 * size), draw, height=size)


def _grow(style: Style, kind: str, size: float, z: float) -> None:
    d, p = style.chance, style.parts
    green = style.leaves()
    stem = Material(Texture.PLAIN, style.near((90, 75, 50)), scale=0.05, p=0.5)
    if kind == "cactus":
        for i in range(d.whole(1, 4)):
            h = size * d.between(0.3, 0.8)
            x = 0.0 if i == 0 else d.between(-0.1, 0.1)
            p.ball((x, d.between(-0.05, 0.05), z + h / 2), (0.12, 0.12, h), green)
        return
    if kind == "blades":
        for _ in range(d.whole(8, 22)):
            a, lean = d.between(0, 6.28), d.between(0.05, 0.5)
            length = size * d.between(0.5, 0.9)
            c = 0.5 * length
            middle = around(c * math.sin(lean), a, z + c * math.cos(lean))
            p.leaf(middle, (length, d.between(0.04, 0.09)), green, bend=0.4, yaw=a, roll=lean - 1.57)
        return
    if kind == "dragon tree":
        for _ in range(d.whole(1, 4)):
            x, y, h = d.bell(0, 0.06, -0.15, 0.15), d.bell(0, 0.06, -0.15, 0.15), size * d.between(0.35, 0.85)
            p.rod((0.5 * x, 0.5 * y, z - 0.02), (x, y, z + h), 0.015, stem)
            top = z + h
            for _ in range(d.whole(2, 5)):  # whorls of narrow leaves
                for _ in range(d.whole(9, 16)):
                    a, lean = d.between(0, 6.28), d.between(0.3, 1.9)
                    long = size * d.between(0.12, 0.24)
                    c = 0.5 * long
                    dx, dy, height = around(c * math.sin(lean), a, top + c * math.cos(lean))
                    flat = (long, d.between(0.02, 0.05))
                    p.leaf((x + dx, y + dy, height), flat, green, bend=d.between(0.5, 3.0), yaw=a, roll=lean - 1.57)
                top -= size * d.between(0.05, 0.15)
        return
    if kind == "palm":
        fronds = d.whole(6, 16)
        trunk = size * d.between(0.0, 0.5)
        p.pipe((0, 0, z - 0.02), trunk + 0.04, 0.025, stem)
        for _ in range(fronds):
            a, lean = d.between(0, 6.28), d.between(0.15, 1.3)
            length = size * d.between(0.35, 0.7)
            foot = z + trunk * d.between(0.7, 1.0)
            n = d.whole(5, 9)
            for k in range(n):
                t = (k + 1) / n
                droop = 0.8 * t * t * length * math.sin(lean)
                x, y, zz = around(t * length * math.sin(lean), a, foot + t * length * math.cos(lean) - droop * 0.5)
                leaf = 0.42 * length * (1.0 - 0.5 * t)
                for s in (-1, 1):
                    middle = (x - s * 0.4 * leaf * math.sin(a), y + s * 0.4 * leaf * math.cos(a), zz)
                    flat = (leaf, 0.12 * leaf + 0.01)
                    p.leaf(middle, flat, green, bend=1.0, yaw=a + s * 1.1, roll=d.between(-0.4, 0.3))
            p.rod((0, 0, foot), (x, y, zz), 0.004, green)
        return
    tree = kind == "tree"
    branches = d.whole(3, 7) if tree else 1
    leaves = d.whole(40, 130)
    trunk = size * (0.35 if tree else 0.1)
    p.rod((0, 0, z - 0.05), (d.bell(0, 0.03, -0.1, 0.1), 0, z + size * 0.7), 0.012, stem)
    length = size * d.between(0.1, 0.22) + 0.04
    spread = size * d.between(0.22, 0.4)
    centres = [(d.bell(0, spread * 0.5, -spread, spread), d.bell(0, spread * 0.5, -spread, spread),
                z + trunk + (size - trunk) * d.between(0.2, 0.9)) for _ in range(branches)]  # fmt: skip
    for centre in centres:
        p.rod((0, 0, z + trunk * 0.8), centre, 0.006, stem)
    for _ in range(leaves):
        cx, cy, cz = d.pick(centres)
        a, e = d.between(0, 6.28), d.between(-0.6, 1.4)
        r = spread * d.between(0.3, 1.0) * (0.75 if tree else 1.0)
        x, y, zz = cx + r * math.cos(e) * math.cos(a), cy + r * math.cos(e) * math.sin(a), cz + r * math.sin(e) * 0.9
        p.leaf((x, y, max(zz, z * 0.8)), (length * d.between(0.7, 1.2), length * d.between(0.3, 0.5)), green,
               bend=d.between(0, 3), yaw=a, roll=d.between(-0.2, 0.9), tilt=d.bell(0, 0.4, -1, 1))  # fmt: skip


def person(style: Style) -> Piece:
    """Someone who stands or sits (then on a simple stool)."""
    d, p = style.chance, style.parts
    sits = d.yes(0.35)
    k = d.between(0.82, 1.1)  # stature, 1 is 1.72 m
    wide = d.between(0.85, 1.25)
    pants, shirt = style.make_cloth(), style.make_cloth()
    skin = style.skin()
    tint = style.near(d.pick([(30, 22, 18), (70, 50, 35), (170, 130, 80), (120, 118, 115)]), 10)
    hair = Material(Texture.FUR, tint, scale=0.01)
    shoes = style.plastic()

    def draw() -> None:
        with p.labelled(Label.PERSON):
            if sits:
                hip = 0.5 * k
                style.parts.cushion((0, 0.05, 0.22), (0.4, 0.4, 0.44), style.cloth(), radius=0.04)
            else:
                hip = 0.88 * k
            step = d.bell(0, 0.08, -0.2, 0.2)
            for s in (-1, 1):
                x = 0.1 * s * k * wide
                if sits:
                    knee = (x * 1.3, -0.42 * k, 0.5 * k)
                    foot = (x * 1.4, -0.42 * k + d.between(-0.1, 0.15), 0.08)
                else:
                    knee = (x * 1.1, -0.03 + s * step, 0.48 * k)
                    foot = (x * 1.2, s * 1.5 * step, 0.08)
                p.rod((x, 0, hip), knee, 0.075 * k * wide, pants)
                p.ball(knee, (0.15 * k * wide, 0.15 * k, 0.15 * k), pants)
                p.rod(knee, foot, 0.058 * k * wide, pants)
                p.cushion((foot[0], foot[1] - 0.06, 0.045), (0.1, 0.27, 0.09), shoes, radius=0.04)
            p.cushion((0, 0, hip + 0.27 * k), (0.38 * k * wide, 0.24 * k * wide, 0.62 * k), shirt, radius=0.11)
            shoulder = hip + 0.52 * k
            for s in (-1, 1):
                x = 0.2 * s * k * wide
                forward = d.between(-0.1, 0.9)
                elbow = (x * 1.25, -0.28 * k * math.sin(forward), shoulder - 0.28 * k * math.cos(forward))
                reach = forward + d.between(0.0, 1.6)
                hand = (
                    elbow[0] * d.between(0.5, 1.1),
                    elbow[1] - 0.25 * k * math.sin(reach),
                    elbow[2] - 0.25 * k * math.cos(reach),
                )
                p.ball((x, 0, shoulder), (0.13 * k, 0.13 * k, 0.13 * k), shirt)
                p.rod((x, 0, shoulder), elbow, 0.05 * k, shirt)
                p.rod(elbow, hand, 0.038 * k, shirt if d.yes(0.6) else skin)
                p.ball(hand, (0.09, 0.1, 0.11), skin)
            p.pipe((0, 0, shoulder + 0.02), 0.12 * k, 0.055, skin)
            top = shoulder + 0.25 * k
            p.ball((0, -0.01, top), (0.16, 0.2, 0.24), skin)
            p.ball((0, 0.02, top + 0.04), (0.185, 0.2, 0.21), hair)
            if d.yes(0.4):
                p.ball((0, 0.06, top - 0.08), (0.2, 0.12, d.between(0.3, 0.5)), hair)

    return Piece(0.55, 0.6, draw, height=1.7 * k)


def pet(style: Style) -> Piece:
    """A cat or a dog, lying or standing."""
    d, p = style.chance, style.parts
    k = d.between(0.6, 1.5)
    coat = style.near(d.pick([(150, 120, 90), (60, 55, 50), (220, 210, 200), (190, 130, 70)]))
    spots = style.grey(15, 90)
    fur = Material(Texture.FUR, coat, spots, scale=0.015, p=1.0, q=d.between(6, 18), seed=style.seed())
    lies = d.yes(0.6)

    def draw() -> None:
        z = 0.09 * k if lies else 0.28 * k
        p.ball((0, 0, z), (0.5 * k, 0.2 * k, 0.19 * k), fur)
        p.ball((0.27 * k, 0, z + 0.08 * k), (0.15 * k, 0.14 * k, 0.14 * k), fur)
        for s in (-1, 1):
            p.ball((0.27 * k, s * 0.05 * k, z + 0.15 * k), (0.03 * k, 0.04 * k, 0.07 * k), fur)
            for e in (-1, 1):
                if lies:
                    p.rod((e * 0.16 * k, s * 0.06 * k, z * 0.5), (e * 0.22 * k, s * 0.16 * k, 0.03), 0.025 * k, fur)
                else:
                    p.rod((e * 0.17 * k, s * 0.05 * k, z), (e * 0.18 * k, s * 0.06 * k, 0), 0.028 * k, fur)
        p.rod((-0.23 * k, 0, z), (-0.4 * k, 0.1 * k, z + d.between(-0.05, 0.15) * k), 0.02 * k, fur)

    return Piece(0.6 * k, 0.3 * k, draw, height=0.4 * k)


def floor_lamp(style: Style) -> Piece:
    """A standing lamp, on or off."""
    d, p = style.chance, style.parts
    h = d.between(1.2, 1.8)
    on = d.yes(0.5)
    m = style.metal()

    def draw() -> None:
        p.pipe((0, 0, 0), 0.03, 0.14, m)
        p.rod((0, 0, 0), (0, 0, h), 0.012, m)
        shade(style, (0, 0, h - 0.1), d.between(0.14, 0.25), on=on)

    return Piece(0.4, 0.4, draw, height=h)


def shade(style: Style, at: tuple[float, float, float], r: float, *, on: bool, power: float = 1.0) -> None:
    """A lamp shade around `at` in the current frame; lit, it is a light."""
    d, p = style.chance, style.parts
    warm = style.near((255, 225, 175), 8)
    h = r * d.between(1.0, 1.8)
    colour = warm if d.yes(0.7) else style.any_colour(0.7, 120, 250)
    m = Material(Texture.SHADE, colour, scale=0.02, glow=d.between(1.0, 3.0) if on else 0.0, through=0.4)
    if not on:
        m = Material(Texture.WEAVE, colour, colour, scale=0.01, p=0.2, through=0.4)
    if d.yes(0.3):
        p.ball(at, (2 * r, 2 * r, 2 * r), m, shadow=not on)
    else:
        p.pipe((at[0], at[1], at[2] - h / 2), h, r, m, top=d.between(0.4, 1.0), hollow=True, shadow=not on)
    if on:
        x, y, z = p.here.point(*at)
        b = power * d.between(0.3, 1.2)
        p.lamp((x, y, z), [b * c for c in warm], size=r * 0.5)
