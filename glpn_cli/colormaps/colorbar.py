"""The scale beside a painted map: which colour is how many metres, by round numbers whose labels never crowd.

And the legend beside a map of labels: which colour is which.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from glpn_cli.colormaps.painting import label_palette, read_table
from glpn_cli.colormaps.ranges import PaintRange
from glpn_cli.options import DEFAULT_COLORMAP
from glpn_cli.prediction import DepthKind, LabelMap

_BACKGROUND = (255, 255, 255)
_INK = (32, 32, 36)
_FRAME = (170, 170, 174)
_SMALLEST_TEXT = 12
_MOST_LETTERS = 40
# Labels of one run should not change the panel's width, so it has room for this one unless one of them is wider.
_USUAL_LABEL = "0.00 m"

_MOST_TICKS = 9
# Ticks within each power of ten, coarse to fine.
_ROUND = ((1.0,), (1.0, 5.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0))
_STEPS = (1.0, 2.0, 5.0)
# How far the steps go down from the scale's length, and how many values of a family are worth looking at: fine enough
# that some value stands wherever a label has room.
_POWERS = 4
_MOST_OF_A_FAMILY = 200


def add_colorbar(
    rgb: NDArray[np.uint8],
    *,
    range: PaintRange,  # noqa: A002 - the word of the command line
    colormap: str = DEFAULT_COLORMAP,
    invert: bool = False,
    kind: DepthKind = DepthKind.METRIC,
    unit: str | None = None,
) -> NDArray[np.uint8]:
    """A painted map, uint8 (H, W, 3), with its scale at the right, uint8 (H, wider, 3).

    Near is below and far above. Metric depth gets round numbers of metres; other kinds, which have no unit, say which
    end is near. The text grows with the picture; where it is too low for any text the bar stands alone.

    unit: of the numbers, where they are no depths of this kind; may be empty
    """
    height, width = rgb.shape[:2]
    size = _text_size(height, width)
    font = _read_font(size)
    pad = min(round(size * 0.9), height // 8)
    bar_length = height - 2 * pad
    line_height = 1.2 * size
    # Too low for two lines is too low for any: the one number that fits would hardly be a round one.
    margin = max(0.0, line_height / 2 - pad) / bar_length
    unit = kind.unit if unit is None else unit
    least_gap = 1.5 * line_height / bar_length
    labels = _make_labels(range, kind, unit, least_gap, margin) if height >= 2 * line_height else []

    bar_left, bar_width, tick = round(size * 0.7), max(4, round(size * 1.1)), max(2, round(size * 0.35))
    text_left = bar_left + bar_width + tick + max(2, round(size * 0.3))
    texts = (_USUAL_LABEL, *(text for text, _ in labels)) if labels else ()
    text_width = max(map(font.getlength, texts), default=0.0)
    panel = Image.new("RGB", (math.ceil(text_left + text_width + size * 0.6), height), _BACKGROUND)
    draw = ImageDraw.Draw(panel)
    stroke = max(1, round(size / 16))
    # A fine frame, without which the white end of a grey scale would run into the panel.
    draw.rectangle((bar_left - 1, pad - 1, bar_left + bar_width, pad + bar_length), outline=_FRAME)
    for text, place in labels:
        y = pad + (1 - place) * (bar_length - 1)
        top = round(y - (stroke - 1) / 2)
        draw.rectangle((bar_left + bar_width, top, bar_left + bar_width + tick, top + stroke - 1), fill=_INK)
        # "lm" centres on the font's ascent and descent; figures have no descent, so they are centred by their own box.
        _, upper, _, lower = font.getbbox("0", anchor="ls")
        draw.text((text_left, y - (upper + lower) / 2), text, fill=_INK, font=font, anchor="ls")
    canvas = np.asarray(panel).copy()
    steps = np.rint(np.linspace(255, 0, bar_length)).astype(np.uint8)
    colors = read_table(colormap, invert=invert)[steps]
    canvas[pad : pad + bar_length, bar_left : bar_left + bar_width] = colors[:, None]
    return np.concatenate([rgb, canvas], axis=1)


def _make_labels(
    ends: PaintRange, kind: DepthKind, unit: str | None, least_gap: float, margin: float
) -> list[tuple[str, float]]:
    """Texts beside the bar, and their places: 0 is its lower (near) end, 1 its upper (far) one."""
    if unit is None:
        return [("near", margin), ("far", 1 - margin)]
    scale = Scale(ends.near, ends.far, is_log=kind.has_ratios)
    ticks = scale.ticks(least_gap=least_gap, margin=margin)
    return [(f"{tick.label} {unit}".rstrip(), tick.place) for tick in ticks]


def _text_size(height: int, width: int) -> int:
    """Pixels: a small share of the picture, so that it reads the same when the whole is scaled to a screen."""
    return max(_SMALLEST_TEXT, round(min(math.sqrt(height * width) / 28, height / 8)))


@lru_cache(maxsize=8)
def _read_font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, which its wheels carry; its bitmap one where Pillow was built without FreeType."""
    try:
        return ImageFont.load_default(size)
    except ImportError:
        return ImageFont.load_default()


@dataclass(frozen=True)
class Scale:
    """Where values stand between two ends.

    low, high: the ends, 0 < low < high
    is_log:    equal ratios are equal distances
    """

    low: float
    high: float
    is_log: bool = True

    def place(self, value: float) -> float:
        """0 at the low end, 1 at the high one."""
        if self.is_log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self, *, least_gap: float, margin: float = 0.0) -> tuple[_Tick, ...]:
        """The round values that mark it most evenly, from the low end up; at least one.

        least_gap: how far apart two labels must be, as a share of the scale's length
        margin:    how far from either end they must stay, likewise, < 0.5
        """
        families = (_ticks(values, self, margin) for values in _families(self))
        candidates = [ticks for ticks in families if ticks]
        roomy = [ticks for ticks in candidates if len(ticks) <= _MOST_TICKS and _smallest_gap(ticks) >= least_gap]
        if roomy:
            return min(roomy, key=_largest_gap)
        fewest = min(candidates, key=len)
        return (min(fewest, key=lambda tick: abs(tick.place - 0.5)),)


@dataclass(frozen=True)
class _Tick:
    """A round value, where it stands (0 to 1), and its number as people write it."""

    value: float
    place: float
    label: str


def _families(scale: Scale) -> Iterator[list[float]]:
    """Every family of round values that a reader would recognise, coarse to fine.

    On a linear scale these are equal steps alone.
    """
    powers = range(math.floor(math.log10(scale.low)), math.floor(math.log10(scale.high)) + 1)
    for mantissas in _ROUND if scale.is_log else ():
        yield [mantissa * 10.0**power for power in powers for mantissa in mantissas]
    largest = math.floor(math.log10(scale.high - scale.low)) + 1
    for power in range(largest, largest - _POWERS, -1):
        for mantissa in reversed(_STEPS):
            step = mantissa * 10.0**power
            first, last = math.ceil(scale.low / step - 1e-9), math.floor(scale.high / step + 1e-9)
            if last - first <= _MOST_OF_A_FAMILY:
                yield [index * step for index in range(first, last + 1)]


def _ticks(values: Sequence[float], scale: Scale, margin: float) -> tuple[_Tick, ...]:
    """The values that lie on the scale, all with as many decimals as one of them needs."""
    # An end that is a round number has its tick, whatever the last bit of its logarithm says.
    places = [(value, scale.place(value)) for value in values if value > 0]
    shown = [(value, place) for value, place in places if margin - 1e-6 <= place <= 1 - margin + 1e-6]
    decimals = max((_decimals(value) for value, _ in shown), default=0)
    return tuple(_Tick(value, place, f"{value:.{decimals}f}") for value, place in shown)


def _decimals(value: float) -> int:
    """How many a round number needs: 0 for 20, 1 for 1.5, 2 for 0.05."""
    return len(f"{value:.12f}".rstrip("0").partition(".")[2])


def _smallest_gap(ticks: Sequence[_Tick]) -> float:
    places = [tick.place for tick in ticks]
    return min((after - before for before, after in pairwise(places)), default=1.0)


def _largest_gap(ticks: Sequence[_Tick]) -> float:
    places = [0.0, *(tick.place for tick in ticks), 1.0]
    return max(after - before for before, after in pairwise(places))


def add_legend(rgb: NDArray[np.uint8], prediction: LabelMap) -> NDArray[np.uint8]:
    """A painted map, uint8 (H, W, 3), with the labels that are in it at the right, largest first, (H, wider, 3).

    As many as the height has room for; the last line says how many more there are. Where the picture is too low for
    any text there are colours alone.
    """
    height, width = rgb.shape[:2]
    size = _text_size(height, width)
    font, line = _read_font(size), math.ceil(1.5 * size)
    pad = min(round(0.9 * size), height // 8)
    room = max(0, (height - 2 * pad) // line)
    present = list(prediction.counts())
    shown = present if len(present) <= room else present[: max(0, room - 1)]
    lines = [_shortened(prediction.names[label]) for label in shown]
    if len(shown) < len(present) and room:
        lines.append(f"and {len(present) - len(shown)} more")
    swatch, text_left = round(1.1 * size), round(0.7 * size) + round(1.7 * size)
    text_width = max((font.getlength(text) for text in lines), default=0)
    panel = Image.new("RGB", (math.ceil(text_left + text_width + 0.6 * size), height), _BACKGROUND)
    draw = ImageDraw.Draw(panel)
    palette = label_palette(len(prediction.names))
    for place, text in enumerate(lines):
        left, top = round(0.7 * size), pad + place * line
        if place < len(shown):
            color = tuple(int(channel) for channel in palette[shown[place]])
            draw.rectangle((left, top, left + swatch, top + swatch), fill=color, outline=_FRAME)
        draw.text((text_left, top + swatch / 2), text, fill=_INK, font=font, anchor="lm")
    return np.concatenate([rgb, np.asarray(panel)], axis=1)


def _shortened(name: str) -> str:
    """Names are anybody's: one line, printable, of bounded length."""
    text = "".join(letter if letter.isprintable() else "?" for letter in name)
    return text if len(text) <= _MOST_LETTERS else text[: _MOST_LETTERS - 1] + "…"
