"""Colours in linear light, textures, and the materials that are made of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

Colour = tuple[float, float, float]
"""Linear light, 0..1."""


def linear(r: float, g: float, b: float) -> Colour:
    """SRGB 0..255 to linear 0..1."""
    return _to_linear(r), _to_linear(g), _to_linear(b)


def _to_linear(value: float) -> float:
    value = min(max(value / 255.0, 0.0), 1.0)
    return float(value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4)


def scaled(colour: Colour, factor: float) -> Colour:
    """A lighter or darker colour."""
    return (min(colour[0] * factor, 0.95), min(colour[1] * factor, 0.95), min(colour[2] * factor, 0.95))


_BLACK: Colour = (0.02, 0.02, 0.02)


class Texture(IntEnum):
    """The texture of a surface, see `textures`."""

    PLAIN = 0
    TILES = 1
    BRICKS = 2
    PLANKS = 3
    GRAIN = 4
    CARPET = 5
    STRIPES = 6
    PLASTER = 7
    MARBLE = 8
    WEAVE = 9
    PLAID = 10
    DOTS = 11
    BOOKS = 12
    PICTURE = 13
    PAGE = 14
    FOLIAGE = 15
    SCREEN = 16
    OUTDOORS = 17
    CELLS = 18
    RUG = 19
    KEYS = 20
    RIBS = 21
    DRAWERS = 22
    PANELS = 23
    LEATHER = 24
    SCRIBBLE = 25
    POSTER = 26
    GRADIENT = 27
    DOOR = 28
    CAMO = 29
    SHADE = 30
    FUR = 31
    CHEVRON = 32
    LABELS = 33


@dataclass(frozen=True, eq=False)
class Material:
    """One surface. Colours are linear, 0..1; `scale` is the texture's period in metres; p, q, r, s, t are its own.

    glow:    light it sends out itself, in units of a well lit white wall
    shine:   strength of lamps' highlights, `polish` their exponent
    mirror:  share of the room's mirror image seen at grazing angles, `haze` its blur
    bump:    slope of small dents of size `dents` metres
    below:   height in metres under which material `other` takes over (skirting, tiles); on solids: `other` covers
             every face but the one that carries the texture
    through: share of light let through from behind
    """

    texture: Texture = Texture.PLAIN
    a: Colour = (0.5, 0.5, 0.5)
    b: Colour = _BLACK
    c: Colour = _BLACK
    scale: float = 1.0
    p: float = 0.0
    q: float = 0.0
    seed: int = 0
    r: float = 0.0
    s: float = 0.0
    t: float = 0.0
    glow: float = 0.0
    shine: float = 0.0
    polish: float = 20.0
    mirror: float = 0.0
    haze: float = 0.0
    bump: float = 0.0
    dents: float = 0.02
    below: float = 0.0
    other: Material | None = None
    through: float = 0.0

    def row(self, other: int = 0) -> list[float]:
        """The numbers that the kernels read; other: the row of `other`, 0 where there is none."""
        return [
            float(self.texture), *self.a, *self.b, *self.c, self.scale, self.p, self.q, float(self.seed),
            self.r, self.s, self.t, self.glow, self.shine, self.polish, self.mirror, self.haze, self.bump, self.dents,
            self.below, float(other), self.through,
        ]  # fmt: skip


MIRROR = Material(Texture.PLAIN, (0.03, 0.035, 0.035), mirror=2.2)
