"""Materials of walls, floors, ceilings and window views."""

from __future__ import annotations

from dataclasses import replace

from glpn_cli.scenes.materials import Colour, Material, Texture, scaled
from glpn_cli.scenes.style import Style


def make_wall(style: Style, *, wet: bool = False) -> Material:
    """Paint, plaster, paper, brick, panelling or tiles; often with a skirting board or two tones."""
    d = style.chance
    kind = d.weigh([
        (10, "paint"), (3, "plaster"), (1.2, "paper"), (0.8, "brick"), (0.8, "wood"), (6.0 if wet else 0.3, "tiles"),
        (0.4, "concrete"), (0.3, "ribs"),
    ])  # fmt: skip
    colour: Colour = d.weigh([
        (8, style.grey(195, 248)), (3, style.near((225, 210, 180), 14)), (2, style.grey(110, 195)),
        (1.5, style.any_colour(0.45, 120, 235)), (3.0 if style.vivid else 0.3, style.any_colour(1.0)),
        (0.5, style.grey(25, 90)),
    ])  # fmt: skip
    seed = style.seed()
    wall = Material(Texture.PLASTER, colour, scaled(colour, d.between(0.75, 0.95)), seed=seed, polish=6)
    wall = replace(wall, scale=d.between(0.02, 0.3), p=d.between(0.0, 0.1), q=d.between(0.0, 0.08))
    wall = replace(wall, r=1.0 if d.yes(0.05) else 0.0, shine=d.pick([0.0, 0.0, 0.02]))
    if kind == "plaster":
        wall = replace(wall, p=d.between(0.1, 0.5), bump=d.between(0.1, 0.6), dents=d.between(0.01, 0.06))
    elif kind == "paper":
        other = scaled(colour, d.between(0.5, 1.3)) if d.yes(0.7) else style.any_colour(0.7)
        texture = d.pick([Texture.STRIPES, Texture.DOTS, Texture.CAMO, Texture.DOTS, Texture.PLAID])
        if texture == Texture.CAMO:
            other = scaled(colour, d.between(0.75, 1.25))
        wall = replace(wall, texture=texture, b=other, c=other, scale=d.between(0.05, 0.4), p=d.between(0.15, 0.5),
                       q=0.0 if texture == Texture.STRIPES else d.unit())  # fmt: skip
    elif kind == "brick":
        brick = style.near(d.pick([(150, 80, 60), (120, 70, 55), (190, 180, 170), (225, 220, 212)]), 16)
        other, mortar = scaled(brick, d.between(0.6, 1.0)), style.grey(110, 210)
        wall = replace(wall, texture=Texture.BRICKS, a=brick, b=other, c=mortar)
        wall = replace(wall, scale=d.between(0.19, 0.26), p=d.between(0.06, 0.14), q=0.33)
    elif kind == "wood":
        wood = style.make_wood()
        wall = _make_boards(style, wood) if d.yes(0.6) else replace(wood, scale=0.6)
    elif kind == "tiles":
        wall = _make_tiles(style, d.between(0.05, 0.4))
    elif kind == "concrete":
        wall = replace(wall, a=style.grey(110, 170), b=style.grey(80, 120), scale=0.3, p=0.4, q=0.3, r=1.0)
    elif kind == "ribs":
        wall = replace(
            wall, texture=Texture.RIBS, c=scaled(colour, 0.6), scale=d.between(0.05, 0.2), p=0.1, r=0.6, q=0.0
        )
    return _with_base(style, wall, wet=wet)


def _with_base(style: Style, wall: Material, *, wet: bool) -> Material:
    """The wall with a skirting board, or with another material below breast height, or both."""
    d = style.chance
    if d.yes(0.65):  # a skirting board
        tone = d.weigh([(4, style.grey(200, 245)), (2, style.make_wood().a), (1, scaled(wall.a, 0.4)),
                        (1, style.grey(20, 60))])  # fmt: skip
        skirting = Material(Texture.PLAIN, tone, scale=0.3, p=0.05, shine=0.03, polish=10)
        wall = replace(wall, below=d.between(0.05, 0.14), other=skirting)
    if d.yes(0.5 if wet else 0.12):  # tiles, panelling or another paint below breast height
        if wet or d.yes(0.2):
            lower = _make_tiles(style, d.between(0.06, 0.3))
        else:
            texture = d.pick([Texture.PLAIN, Texture.RIBS, Texture.PLAIN])
            lower = Material(texture, style.any_colour(0.5), c=style.grey(40, 120), scale=0.12, p=0.06, r=0.5)
        if wall.other:
            lower = replace(lower, below=wall.below, other=wall.other)
        wall = replace(wall, below=d.between(0.8, 1.9), other=lower)
    return wall


def _make_boards(style: Style, wood: Material) -> Material:
    """Long boards of a wood, with dark joints."""
    scale = style.chance.between(0.08, 0.2)
    return replace(wood, texture=Texture.PLANKS, c=scaled(wood.a, 0.3), scale=scale, p=20.0, mirror=0.0)


def _make_tiles(style: Style, size: float) -> Material:
    """Ceramic tiles with grout."""
    d = style.chance
    colour = d.weigh([(4, style.grey(190, 245)), (2, style.grey(90, 180)), (1.5, style.any_colour(0.7)),
                      (1, style.near((205, 185, 160)))])  # fmt: skip
    other = style.any_colour(0.8) if d.yes(0.3) else scaled(colour, 0.7)
    grout = style.grey(60, 220)
    joint, ratio = min(d.between(0.003, 0.008) / size, 0.12), d.pick([1.0, 1.0, 1.0, 0.5, 2.0])
    tiles = Material(Texture.TILES, colour, other, grout, scale=size, p=joint, q=ratio, seed=style.seed())
    tiles = replace(tiles, r=d.between(0.0, 0.25), s=d.weigh([(5, 0.0), (1, 0.1), (1, 0.5), (1, 2.0)]))
    shine, polish = d.between(0.0, 0.1), d.between(15, 60)
    mirror = d.weigh([(2, 0.0), (2, d.between(0.05, 0.35))])
    return replace(tiles, shine=shine, polish=polish, mirror=mirror, haze=d.between(0.02, 0.2))


def make_floor(style: Style, *, wet: bool = False, office: bool = False) -> Material:
    """Boards, parquet, carpet, tiles, lino, stone or concrete."""
    d = style.chance
    kind = d.weigh([
        (5.0 if not wet else 0.5, "planks"), (1.2 if not wet else 0.1, "chevron"), (5.0 if office else 2.5, "carpet"),
        (7.0 if wet else 2.0, "tiles"), (1.2, "lino"), (0.8, "concrete"), (0.7, "terrazzo"), (0.5, "marble"),
        (0.4, "fur"),
    ])  # fmt: skip
    seed = style.seed()
    gloss = d.weigh([(4, 0.0), (3, 0.1), (2, 0.3), (1, 0.6)])
    haze = d.between(0.03, 0.25)
    if kind in ("planks", "chevron"):
        wood = style.make_wood()
        texture = Texture.PLANKS if kind == "planks" else Texture.CHEVRON
        boards = replace(wood, texture=texture, b=scaled(wood.a, d.between(0.6, 1.1)), c=scaled(wood.a, 0.3))
        floor = replace(boards, scale=d.between(0.06, 0.22), p=d.between(4, 12), q=d.between(0.2, 0.9))
        return replace(floor, mirror=gloss * 0.6, haze=haze)
    if kind == "tiles":
        return replace(_make_tiles(style, d.between(0.1, 0.65)), mirror=gloss, haze=haze)
    if kind == "carpet":
        colour = d.weigh([(5, style.grey(60, 170)), (2, style.near((150, 130, 105), 18)), (1, style.any_colour(0.8)),
                          (1.5, style.near((40, 80, 165), 20))])  # fmt: skip
        if d.yes(0.25):
            squares = Material(Texture.TILES, colour, scaled(colour, 1.15), scaled(colour, 0.9), scale=0.5, seed=seed)
            return replace(squares, p=0.006, q=1.0, r=0.3, s=d.pick([0.0, 0.3, 2.0]))
        pile = Material(Texture.CARPET, colour, scaled(colour, d.between(0.5, 1.4)), seed=seed)
        pile = replace(pile, scale=d.between(0.004, 0.03), p=d.between(0.2, 1.2), q=d.between(0.0, 0.3))
        return replace(pile, r=d.pick([0.0, 0.3, 1.0]))
    if kind == "fur":
        colour = style.near((170, 155, 130), 20)
        return Material(Texture.FUR, colour, scaled(colour, 0.6), scale=0.03, p=d.pick([0.0, 0.5]), q=5.0, seed=seed)
    if kind == "lino":
        colour = style.grey(70, 210, 12) if d.yes(0.7) else style.any_colour(0.6, 60, 220)
        floor = Material(Texture.CAMO, colour, scaled(colour, 1.15), scaled(colour, 0.85), shine=0.03)
        floor = replace(floor, scale=d.between(0.02, 0.1), mirror=gloss * 0.7)
    elif kind == "terrazzo":
        chips = (style.grey(120, 220), style.any_colour(0.6), style.grey(60, 200))
        floor = Material(Texture.CELLS, *chips, scale=d.between(0.01, 0.05), p=0.25, mirror=gloss)
    elif kind == "marble":
        stone, veins = style.grey(150, 235), style.grey(60, 160)
        floor = Material(Texture.MARBLE, stone, veins, scale=d.between(0.3, 0.8), p=d.unit(), shine=0.1, polish=60)
        floor, haze = replace(floor, mirror=0.3 + 0.5 * gloss), 0.03
    else:
        floor = Material(Texture.PLASTER, style.grey(70, 170), style.grey(60, 120), scale=0.2, p=0.3, q=0.4, r=1.0)
        floor = replace(floor, mirror=gloss * 0.5)
    return replace(floor, seed=seed, haze=haze)


def make_ceiling(style: Style, *, panels: bool) -> Material:
    """White plaster, mostly; boards, concrete, or panels between bars."""
    d = style.chance
    white = style.grey(205, 250, 5)
    if panels:
        return Material(Texture.PANELS, white, style.grey(235, 250, 3), scaled(white, d.between(0.5, 1.1)),
                        scale=d.pick([0.6, 0.625, 1.2]), q=d.pick([1.0, 1.0, 0.5]), p=d.pick([0.0, 0.04, 0.1]),
                        seed=style.seed(), r=d.unit())  # fmt: skip
    kind = d.weigh([(8, "white"), (1, "wood"), (0.6, "concrete"), (0.5, "colour")])
    if kind == "wood":
        return _make_boards(style, style.make_wood())
    colour = white if kind == "white" else (style.grey(90, 180) if kind == "concrete" else style.any_colour(0.6))
    return Material(Texture.PLASTER, colour, scaled(colour, 0.8), scale=d.between(0.03, 0.4), p=d.between(0.0, 0.25),
                    q=d.between(0.0, 0.2), seed=style.seed())  # fmt: skip


def make_view(style: Style, *, night: bool, glow: float, bars: tuple[int, int]) -> Material:
    """The view through a window, behind its bars."""
    d = style.chance
    sky = style.near(d.pick([(235, 240, 250), (200, 220, 250), (250, 248, 240), (170, 200, 245)]), 10)
    green = style.near(d.pick([(70, 100, 50), (90, 120, 60), (110, 110, 80)]), 15)
    frame = style.grey(200, 245) if d.yes(0.7) else style.any_colour(0.6, 20, 160)
    if night:
        sky, green, glow = style.grey(4, 20, 3), style.grey(5, 30, 3), 0.4
    return Material(Texture.OUTDOORS, sky, green, frame, p=float(bars[0]), q=float(bars[1]), seed=style.seed(),
                    r=d.between(0.1, 1.2), glow=glow, mirror=0.35 if night else 0.05, haze=0.01)  # fmt: skip
