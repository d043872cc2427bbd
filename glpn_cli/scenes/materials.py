"""What a surface is made of: a texture of the kernels, with its colours and numbers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from glpn_cli.scenes.colours import Colour

BLACK: Colour = (0.02, 0.02, 0.02)


class Texture(IntEnum):
    """What a surface looks like; the numbers are those of `textures`."""

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


@dataclass(frozen=True)
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
    b: Colour = BLACK
    c: Colour = BLACK
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
    other: int = 0
    through: float = 0.0

    def row(self) -> list[float]:
        """The numbers that the kernels read."""
        return [
            float(self.texture), *self.a, *self.b, *self.c, self.scale, self.p, self.q, float(self.seed),
            self.r, self.s, self.t, self.glow, self.shine, self.polish, self.mirror, self.haze, self.bump, self.dents,
            self.below, float(self.other), self.through,
        ]  # fmt: skip
