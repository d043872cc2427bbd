"""The scale beside a painted map: which colour is how many metres."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from glpn_cli.colormaps.painting import is_log_scale
from glpn_cli.colormaps.ranges import PaintRange
from glpn_cli.colormaps.tables import read_table
from glpn_cli.colormaps.ticks import Scale, make_ticks
from glpn_cli.prediction import DepthKind

BACKGROUND = (255, 255, 255)
INK = (32, 32, 36)
FRAME = (170, 170, 174)
_SMALLEST_TEXT = 12
# Labels of one run should not change the panel's width, so it has room for this one unless one of them is wider.
_USUAL_LABEL = "0.00 m"


@dataclass(frozen=True)
class _Label:
    """Text beside the bar; place 0 is its lower (near) end, 1 its upper (far) one."""

    text: str
    place: float


def add_colorbar(
    rgb: NDArray[np.uint8],
    *,
    range: PaintRange,  # noqa: A002 - the word of the command line
    colormap: str = "spectral",
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
    size = text_size(height, width)
    font = read_font(size)
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
    texts = (_USUAL_LABEL, *(label.text for label in labels)) if labels else ()
    text_width = max(map(font.getlength, texts), default=0.0)
    panel = Image.new("RGB", (math.ceil(text_left + text_width + size * 0.6), height), BACKGROUND)
    draw = ImageDraw.Draw(panel)
    stroke = max(1, round(size / 16))
    # A fine frame, without which the white end of a grey scale would run into the panel.
    draw.rectangle((bar_left - 1, pad - 1, bar_left + bar_width, pad + bar_length), outline=FRAME)
    for label in labels:
        y = pad + (1 - label.place) * (bar_length - 1)
        top = round(y - (stroke - 1) / 2)
        draw.rectangle((bar_left + bar_width, top, bar_left + bar_width + tick, top + stroke - 1), fill=INK)
        # "lm" centres on the font's ascent and descent; figures have no descent, so they are centred by their own box.
        _, upper, _, lower = font.getbbox("0", anchor="ls")
        draw.text((text_left, y - (upper + lower) / 2), label.text, fill=INK, font=font, anchor="ls")
    canvas = np.asarray(panel).copy()
    canvas[pad : pad + bar_length, bar_left : bar_left + bar_width] = _gradient(bar_length, colormap, invert)[:, None]
    return np.concatenate([rgb, canvas], axis=1)


def _make_labels(ends: PaintRange, kind: DepthKind, unit: str | None, least_gap: float, margin: float) -> list[_Label]:
    if unit is None:
        return [_Label("near", margin), _Label("far", 1 - margin)]
    scale = Scale(ends.near, ends.far, is_log=is_log_scale(kind))
    ticks = make_ticks(scale, least_gap=least_gap, margin=margin)
    return [_Label(f"{tick.label} {unit}".rstrip(), tick.place) for tick in ticks]


def _gradient(length: int, colormap: str, invert: bool) -> NDArray[np.uint8]:
    """The colours from far (first) to near, uint8 (length, 3)."""
    steps = np.rint(np.linspace(255, 0, length)).astype(np.uint8)
    colors: NDArray[np.uint8] = read_table(colormap, invert=invert)[steps]
    return colors


def text_size(height: int, width: int) -> int:
    """Pixels: a small share of the picture, so that it reads the same when the whole is scaled to a screen."""
    return max(_SMALLEST_TEXT, round(min(math.sqrt(height * width) / 28, height / 8)))


@lru_cache(maxsize=8)
def read_font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, which its wheels carry; its bitmap one where Pillow was built without FreeType."""
    try:
        return ImageFont.load_default(size)
    except ImportError:
        return ImageFont.load_default()
