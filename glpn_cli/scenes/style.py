"""The style of a home or an office: materials that go together, with priors from real rooms and wide tails.

White, grey and beige walls dominate; wood is brown, appliances are white or steel, screens are black; sometimes
any colour occurs, so that a network does not learn that walls are white.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from glpn_cli.scenes.chance import Chance
from glpn_cli.scenes.materials import Colour, Material, Texture, linear, scaled
from glpn_cli.scenes.parts import Parts

# sRGB, 0..255
_WOODS = (
    (200, 160, 110), (222, 184, 135), (94, 64, 44), (110, 52, 36), (215, 172, 125), (225, 212, 195), (52, 40, 32),
    (150, 132, 114), (181, 130, 78), (139, 90, 52), (168, 106, 62), (235, 205, 160),
)  # fmt: skip
_CLOTHS = (
    (60, 62, 68), (120, 118, 112), (180, 170, 150), (40, 60, 110), (130, 30, 36), (60, 90, 60), (160, 120, 80),
    (230, 225, 215), (24, 24, 26), (90, 70, 60), (200, 170, 60), (70, 120, 140), (150, 90, 110),
)  # fmt: skip


_GLOSSES = (
    (172, 18, 26), (206, 62, 18), (226, 176, 26), (118, 150, 38), (20, 92, 62), (44, 120, 140), (28, 56, 130),
    (92, 22, 66), (22, 22, 25), (238, 238, 234),
)  # fmt: skip


class Style:
    """Colours and materials for one scene. A method that makes nothing new often returns the same material again."""

    def __init__(self, parts: Parts, chance: Chance) -> None:
        self.parts = parts
        self.chance = chance
        self.loyalty = chance.between(0.3, 0.95)  # how often furniture matches
        self.vivid = chance.yes(0.12)  # a room where anything goes
        self._kept: dict[str, Material] = {}

    def any_colour(self, saturation: float = 1.0, low: float = 20.0, high: float = 245.0) -> Colour:
        """Any hue; linear."""
        d = self.chance
        value = d.between(low, high)
        s = saturation * (d.unit() if self.vivid else d.unit() ** 1.6 * 0.9)
        h = 6.0 * d.unit()
        r = min(max(abs(h - 3.0) - 1.0, 0.0), 1.0)
        g = min(max(2.0 - abs(h - 2.0), 0.0), 1.0)
        b = min(max(2.0 - abs(h - 4.0), 0.0), 1.0)
        return linear(value * (1 - s + s * r), value * (1 - s + s * g), value * (1 - s + s * b))

    def near(self, rgb: tuple[float, float, float], spread: float = 14.0) -> Colour:
        """A colour (sRGB 0..255) with jitter; linear."""
        d = self.chance
        shift = d.bell(0, spread, -50, 50)
        return linear(*[v + shift + d.bell(0, spread * 0.4, -30, 30) for v in rgb])

    def grey(self, low: float, high: float, warmth: float = 8.0) -> Colour:
        """A grey between two sRGB values, a little warm or cold; linear."""
        d = self.chance
        v = d.between(low, high)
        w = d.bell(0.3 * warmth, warmth, -20, 30)
        return linear(v + w, v + 0.4 * w, v - w)

    def _kept_or(self, name: str, make: Callable[[], Material]) -> Material:
        if name not in self._kept or not self.chance.yes(self.loyalty):
            self._kept[name] = make()
        return self._kept[name]

    def seed(self) -> int:
        """A seed for a texture."""
        return self.chance.whole(0, 1 << 20)

    def wood(self) -> Material:
        """Wood, with grain."""
        return self._kept_or("wood", self.make_wood)

    def make_wood(self) -> Material:
        """A new piece of wood."""
        d = self.chance
        base = self.near(d.pick(_WOODS))
        polish = d.weigh([(3, 0.0), (4, 0.15), (2, 0.5)])
        return Material(
            Texture.GRAIN, base, scaled(base, d.between(0.55, 0.9)), scale=d.between(0.1, 0.4),
            q=d.between(0.1, 0.5), seed=self.seed(), shine=polish * 0.15, polish=d.between(8, 60),
            mirror=polish * d.between(0.1, 0.45), haze=d.between(0.05, 0.3),
        )  # fmt: skip

    def lacquer(self) -> Material:
        """Painted board: white, grey, black, wood veneer or a colour."""
        return self._kept_or("lacquer", self.make_lacquer)

    def make_lacquer(self) -> Material:
        """A new painted board."""
        d = self.chance
        if d.yes(0.35):
            return self.make_wood()
        colour = d.weigh([
            (4, self.grey(200, 245)), (2, self.grey(90, 190)), (2, self.grey(18, 60, 3)), (1.2, self.any_colour()),
        ])  # fmt: skip
        shine = d.unit() ** 2
        return Material(
            Texture.PLAIN, colour, scale=0.5, p=d.between(0.0, 0.15), seed=self.seed(), shine=0.1 * shine,
            polish=d.between(10, 80), mirror=0.3 * shine, haze=d.between(0.02, 0.3),
        )  # fmt: skip

    def make_gloss(self) -> Material:
        """A new board lacquered in one full colour, in which the room is seen again."""
        d = self.chance
        return Material(
            Texture.PLAIN, self.near(d.pick(_GLOSSES), 12), scale=0.5, p=0.03, seed=self.seed(),
            shine=d.between(0.1, 0.3), polish=d.between(40, 80), mirror=d.between(0.2, 0.9), haze=d.between(0.0, 0.06),
        )  # fmt: skip

    def metal(self) -> Material:
        """Chrome, steel, black or white tube."""
        return self._kept_or("metal", self.make_metal)

    def make_metal(self) -> Material:
        """A new metal."""
        d = self.chance
        kind = d.weigh([(4, "chrome"), (3, "black"), (2, "white"), (2, "brushed"), (1, "brass")])
        if kind == "chrome":
            return Material(Texture.PLAIN, self.grey(90, 150, 3), shine=0.3, polish=60, mirror=0.8, haze=0.03)
        if kind == "brushed":
            return Material(
                Texture.GRAIN, self.grey(120, 170, 4), self.grey(110, 150, 3), scale=0.3, q=0.4,
                shine=0.2, polish=12, mirror=0.35, haze=0.3,
            )  # fmt: skip
        if kind == "brass":
            return Material(Texture.PLAIN, self.near((180, 140, 70)), shine=0.3, polish=30, mirror=0.5, haze=0.15)
        grey = self.grey(10, 40, 3) if kind == "black" else self.grey(205, 240, 4)
        return Material(Texture.PLAIN, grey, shine=0.05, polish=30, mirror=0.06, haze=0.2)

    def plastic(self) -> Material:
        """Black, grey, white or coloured plastic."""
        return self._kept_or("plastic", self.make_plastic)

    def make_plastic(self) -> Material:
        """A new plastic."""
        d = self.chance
        colour = d.weigh([(4, self.grey(12, 50, 3)), (2, self.grey(90, 180)), (3, self.grey(200, 245)),
                          (2, self.any_colour())])  # fmt: skip
        return Material(Texture.PLAIN, colour, scale=0.2, p=0.05, shine=0.06, polish=25, mirror=0.08, haze=0.2)

    def cloth(self) -> Material:
        """Upholstery, bedding, clothes."""
        return self._kept_or("cloth", self.make_cloth)

    def make_cloth(self) -> Material:
        """A new cloth: woven, plain, striped, checked, dotted, leather or with blobs."""
        d = self.chance
        base = self.any_colour(0.9) if d.yes(0.25) else self.near(d.pick(_CLOTHS), 18)
        other = scaled(base, d.between(0.4, 1.6)) if d.yes(0.5) else self.any_colour(0.8)
        seed = self.seed()
        bump = d.between(0.0, 0.5)
        plain = Material(Texture.WEAVE, base, scaled(base, d.between(0.8, 1.1)), seed=seed, bump=bump, through=0.05)
        plain = replace(plain, scale=d.between(0.002, 0.009), p=d.between(0.05, 0.5), q=d.between(0.05, 0.4))
        plain = replace(plain, dents=d.between(0.05, 0.2))
        kind = d.weigh([(8, "plain"), (3, "leather"), (1.5, "stripes"), (1.2, "plaid"), (1.2, "dots"), (1, "camo"),
                        (0.7, "fur"), (0.6, "picture")])  # fmt: skip
        if kind == "leather":
            return replace(
                plain, texture=Texture.LEATHER, scale=d.between(0.02, 0.15), p=0.3, q=d.between(0, 0.8),
                shine=d.between(0.01, 0.08), polish=d.between(6, 20), through=0.0,
            )  # fmt: skip
        if kind == "stripes":
            return replace(
                plain, texture=Texture.STRIPES, b=other, c=self.any_colour(), scale=d.between(0.01, 0.15),
                p=d.between(0.2, 0.6), q=d.pick([0.0, 1.5708]), r=d.pick([0.0, 1.0]),
            )  # fmt: skip
        if kind == "plaid":
            return replace(
                plain, texture=Texture.PLAID, b=other, c=self.any_colour(), scale=d.between(0.03, 0.2), p=0.4
            )
        if kind == "dots":
            return replace(
                plain, texture=Texture.DOTS, b=other, scale=d.between(0.02, 0.15), p=d.between(0.15, 0.4), q=d.unit(),
            )  # fmt: skip
        if kind == "camo":
            return replace(plain, texture=Texture.CAMO, b=other, c=self.any_colour(), scale=d.between(0.05, 0.4))
        if kind == "fur":
            return replace(
                plain, texture=Texture.FUR, b=other, scale=d.between(0.01, 0.04), p=d.pick([0.0, 0.6, 1.0]),
                q=d.between(3, 15),
            )  # fmt: skip
        if kind == "picture":
            return replace(plain, texture=Texture.PICTURE, scale=1.0, p=0.0, q=d.between(0, 0.6))
        return plain

    def ceramic(self) -> Material:
        """White china, mostly."""
        d = self.chance
        colour = self.grey(215, 250, 4) if d.yes(0.8) else self.any_colour(0.7)
        return Material(Texture.PLAIN, colour, scale=0.3, p=0.03, shine=0.12, polish=50, mirror=0.18, haze=0.05)

    def screen(self, on: bool) -> Material:
        """A display, showing something or dark."""
        d = self.chance
        if on:
            return Material(Texture.SCREEN, seed=self.seed(), glow=d.between(0.5, 1.6), q=d.between(0.2, 0.8))
        return Material(Texture.PLAIN, self.grey(4, 18, 2), shine=0.1, polish=80, mirror=0.45, haze=0.02)

    def glossy_black(self) -> Material:
        """Ovens, hobs, black glass."""
        return self.screen(on=False)

    def paper(self) -> Material:
        """A printed page."""
        d = self.chance
        sheet, ink, colour = self.grey(215, 250, 5), self.grey(10, 60), self.any_colour()
        return Material(Texture.PAGE, sheet, ink, colour, scale=d.between(0.006, 0.02), q=0.4, seed=self.seed())

    def anything(self) -> Material:
        """Material of small things."""
        d = self.chance
        kind = d.weigh([(3, "colour"), (2, "label"), (1, "cloth"), (1, "wood"), (1, "metal"), (1, "china")])
        if kind == "colour":
            return Material(Texture.PLAIN, self.any_colour(), scale=0.1, p=0.1, shine=0.08 * d.unit(), polish=20)
        if kind == "label":
            return replace(self.label(), shine=0.04)
        make = {"cloth": self.make_cloth, "wood": self.make_wood, "metal": self.make_metal, "china": self.ceramic}
        return make[kind]()

    def label(self, scale: float = 0.05) -> Material:
        """A printed package."""
        colours = (self.any_colour(), self.any_colour(), self.any_colour())
        return Material(Texture.LABELS, *colours, scale=scale, seed=self.seed())

    def cardboard(self) -> Material:
        """A parcel."""
        d = self.chance
        board, tape = self.near((176, 140, 100)), self.near((196, 164, 120))
        scale, angle = d.between(0.15, 0.5), d.pick([0.0, 1.5708])
        return Material(Texture.STRIPES, board, tape, scale=scale, p=0.15, q=angle, seed=self.seed())

    def leaves(self) -> Material:
        """Green, mostly."""
        d = self.chance
        base = self.near(d.pick([(40, 80, 30), (70, 110, 50), (30, 60, 35), (100, 130, 60), (60, 90, 70)]), 16)
        if d.yes(0.05):
            base = self.any_colour()
        return Material(Texture.STRIPES, base, scaled(base, d.between(0.8, 2.2)), scale=d.between(0.01, 0.06),
                        p=d.between(0.05, 0.4), q=d.between(0.0, 1.57), shine=d.between(0.0, 0.08), polish=12,
                        through=d.between(0.2, 0.5), seed=self.seed())  # fmt: skip

    def skin(self) -> Material:
        """Faces and hands."""
        d = self.chance
        tone = d.pick([(225, 180, 155), (200, 150, 120), (150, 100, 75), (95, 62, 45), (235, 200, 180)])
        return Material(Texture.PLAIN, self.near(tone, 8), scale=0.1, p=0.1, shine=0.02, polish=8)

    def picture(self) -> Material:
        """Content of a picture frame."""
        d = self.chance
        mount, width = self.grey(200, 245), d.pick([0.0, 0.0, 0.1, 0.25])
        picture = Material(Texture.PICTURE, c=mount, p=width, q=d.unit(), seed=self.seed(), shine=0.02, polish=60)
        return replace(picture, mirror=d.pick([0.0, 0.0, 0.12]))

    def poster(self) -> Material:
        """Print with headlines and pictures."""
        d = self.chance
        light = d.yes(0.7)
        ground = self.grey(190, 245) if light else self.any_colour()
        ink = self.grey(10, 60) if light else self.grey(200, 245)
        colour = self.any_colour()
        scale, q = d.between(0.008, 0.02), d.between(0, 0.7)
        return Material(Texture.POSTER, ground, ink, colour, scale=scale, q=q, seed=self.seed())

    def books(self) -> Material:
        """Rows of spines, on the faces towards the room."""
        d = self.chance
        other = Material(Texture.PLAIN, self.grey(150, 220))
        return Material(Texture.BOOKS, scale=d.between(0.04, 0.12), p=d.unit(), seed=self.seed(), other=other)

    def drawers(self, columns: int, rows: int, board: Material | None = None, height: float = 0.8) -> Material:
        """A front of drawers or doors in the room's own board, handles included."""
        d = self.chance
        board = board or self.make_lacquer()
        handle = self.grey(150, 230, 4) if d.yes(0.6) else self.grey(10, 60, 3)
        return replace(
            board, texture=Texture.DRAWERS, b=handle, c=scaled(board.a, 0.25), p=float(columns), q=float(rows),
            r=height, s=d.pick([0.0, 0.015, 0.06, 0.1]), t=1.0 if board.texture == Texture.GRAIN else 0.0, other=board,
        )  # fmt: skip
