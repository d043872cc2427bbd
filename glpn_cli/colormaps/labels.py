"""Colours for labels: one palette for all, and a legend that says which colour is which."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from glpn_cli.colormaps.colorbar import BACKGROUND, FRAME, INK, read_font, text_size
from glpn_cli.colormaps.painting import HOLE_COLOR
from glpn_cli.prediction import LabelMap

_COLORS = 256
_MOST_LETTERS = 40


def label_palette(count: int) -> NDArray[np.uint8]:
    """One colour a label, uint8 (count, 3): PASCAL VOC's, whose number's bits, by threes, are the colour's high bits.

    Label 0 is black. There are 256 different ones; beyond these they repeat, without black.
    """
    index = np.arange(count)
    index = np.where(index < _COLORS, index, 1 + (index - 1) % (_COLORS - 1))
    colors = np.zeros((count, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colors[:, channel] |= ((index >> (3 * bit + channel)) & 1).astype(np.uint8) << (7 - bit)
    return colors


def paint_labels(prediction: LabelMap) -> NDArray[np.uint8]:
    """Every pixel in its label's colour, uint8 (H, W, 3); those without one in `HOLE_COLOR`."""
    if prediction.valid is None:
        everywhere: NDArray[np.uint8] = label_palette(len(prediction.names)).take(prediction.labels, axis=0)
        return everywhere
    painted = np.full((*prediction.size, 3), HOLE_COLOR, np.uint8)
    painted[prediction.valid] = label_palette(len(prediction.names)).take(prediction.valid_values(), axis=0)
    return painted


def add_legend(rgb: NDArray[np.uint8], prediction: LabelMap) -> NDArray[np.uint8]:
    """A painted map, uint8 (H, W, 3), with the labels that are in it at the right, largest first, (H, wider, 3).

    As many as the height has room for; the last line says how many more there are. Where the picture is too low for
    any text there are colours alone.
    """
    height, width = rgb.shape[:2]
    size = text_size(height, width)
    font, line = read_font(size), math.ceil(1.5 * size)
    pad = min(round(0.9 * size), height // 8)
    room = max(0, (height - 2 * pad) // line)
    counts = np.bincount(prediction.valid_values(), minlength=len(prediction.names))
    present = [int(label) for label in np.argsort(-counts, kind="stable") if counts[label]]
    shown = present if len(present) <= room else present[: max(0, room - 1)]
    lines = [_shortened(prediction.names[label]) for label in shown]
    if len(shown) < len(present) and room:
        lines.append(f"and {len(present) - len(shown)} more")
    swatch, text_left = round(1.1 * size), round(0.7 * size) + round(1.7 * size)
    text_width = max((font.getlength(text) for text in lines), default=0)
    panel = Image.new("RGB", (math.ceil(text_left + text_width + 0.6 * size), height), BACKGROUND)
    draw = ImageDraw.Draw(panel)
    palette = label_palette(len(prediction.names))
    for place, text in enumerate(lines):
        left, top = round(0.7 * size), pad + place * line
        if place < len(shown):
            color = tuple(int(channel) for channel in palette[shown[place]])
            draw.rectangle((left, top, left + swatch, top + swatch), fill=color, outline=FRAME)
        draw.text((text_left, top + swatch / 2), text, fill=INK, font=font, anchor="lm")
    return np.concatenate([rgb, np.asarray(panel)], axis=1)


def _shortened(name: str) -> str:
    """Names are anybody's: one line, printable, of bounded length."""
    text = "".join(letter if letter.isprintable() else "?" for letter in name)
    return text if len(text) <= _MOST_LETTERS else text[: _MOST_LETTERS - 1] + "…"
