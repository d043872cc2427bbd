"""Colours as surfaces have them: sRGB in the mind of those who choose, linear light in what they get."""

from __future__ import annotations

from glpn_cli.scenes.chance import Chance

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


class Colours:
    """The colours of one scene."""

    def __init__(self, chance: Chance) -> None:
        self.chance = chance
        self.vivid = chance.yes(0.12)  # a room where anything goes

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
