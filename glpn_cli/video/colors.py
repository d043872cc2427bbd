"""A decoded frame becomes an upright picture in 8-bit sRGB, whatever its matrix, range, depth and light.

High dynamic range (PQ and HLG) and the wide primaries of BT.2020 are brought to sRGB: linear light relative to the
white of ITU-R BT.2408 (203 cd/m2), the matrix of BT.2087, and a shoulder for what is brighter than that white.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glpn_cli.images.picture import AtLeast

# Numbers of ITU-T H.273.
_UNSPECIFIED = 2
_PQ, _HLG = 16, 18
_WIDE = 9  # primaries of BT.2020
_HD_ROWS = 720
"""Frames of so many rows that do not say their matrix have that of BT.709, as players take it; lower ones of BT.601."""

_WHITE_NITS = 203.0
_SHOULDER = 0.8
"""Of white: up to here light stays as it is, beyond it is pressed into what is left."""

_TO_SRGB = np.array(
    ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187)), np.float32
)  # BT.2087, from BT.2020
_LEVELS = 1 << 16


def is_hdr(image: Any) -> bool:
    """Whether a frame has high dynamic range."""
    return image.color_trc in (_PQ, _HLG)


def to_rgb(image: Any, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A PyAV frame in sRGB as it is stored, not turned: uint8 (h, w, 3) of the size asked for, scaled by areas."""
    height, width = size
    is_plain = image.color_primaries != _WIDE and not is_hdr(image)
    asked = {"width": width, "height": height, "format": "rgb24" if is_plain else "rgb48le"}
    if (image.height, image.width) != size:
        asked["interpolation"] = "AREA"
    if image.colorspace == _UNSPECIFIED and image.height >= _HD_ROWS and not image.format.is_rgb:
        asked["src_colorspace"] = "ITU709"
    rgb: NDArray[Any] = image.reformat(**asked).to_ndarray()
    return rgb if is_plain else _to_srgb(rgb, image.color_trc, is_wide=image.color_primaries == _WIDE)


def turn_upright(rgb: NDArray[Any], matrix: tuple[int, int, int, int]) -> NDArray[Any]:
    """An array (H, W, ...) turned by the display matrix (a, b, c, d): x' = a x + c y, y' = b x + d y."""
    a, b, c, d = matrix
    if not lies_on_its_side(matrix):
        return rgb[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
    return rgb.swapaxes(0, 1)[:: -1 if b < 0 else 1, :: -1 if c < 0 else 1]


def lies_on_its_side(matrix: tuple[int, int, int, int]) -> bool:
    """Whether a display matrix swaps rows and columns."""
    a, b, c, d = matrix
    return abs(a) + abs(d) < abs(b) + abs(c)


def is_upright(matrix: tuple[int, int, int, int]) -> bool:
    """Whether a display matrix leaves frames as they are."""
    a, b, c, d = matrix
    return a > 0 and d > 0 and b == c == 0


def read_matrix(image: Any) -> tuple[int, int, int, int]:
    """The display matrix of a frame, (1, 0, 0, 1) where there is none."""
    data = image.side_data.get("DISPLAYMATRIX")
    if data is not None:
        numbers = np.frombuffer(bytes(data), "<i4")
        return int(numbers[0]), int(numbers[1]), int(numbers[3]), int(numbers[4])
    return 1, 0, 0, 1


def reduced_size(size: tuple[int, int], at_least: AtLeast | None) -> tuple[int, int]:
    """A half, a quarter or an eighth of (H, W) where so few pixels will do, as JPEG pictures are read."""
    least = at_least(size) if callable(at_least) else at_least
    if least is None:
        return size
    for factor in (8, 4, 2):
        small = -(-size[0] // factor), -(-size[1] // factor)
        if small[0] >= least[0] and small[1] >= least[1]:
            return small
    return size


def _to_srgb(rgb: NDArray[np.uint16], curve: int, *, is_wide: bool) -> NDArray[np.uint8]:
    """8-bit sRGB from 16-bit values, uint16 (h, w, 3), along a transfer curve of H.273."""
    light = _light_table(curve)[rgb]
    if is_wide:
        light = light @ _TO_SRGB.T
    np.maximum(light, 0, out=light)
    peak = light.max(axis=2, keepdims=True)
    beyond = np.maximum(peak - _SHOULDER, 0) / (1 - _SHOULDER)
    pressed = _SHOULDER + (1 - _SHOULDER) * beyond / (1 + beyond)
    light *= np.where(beyond > 0, pressed / np.maximum(peak, 1e-9), 1)
    made: NDArray[np.uint8] = _srgb_table()[np.clip(light * (_LEVELS - 1), 0, _LEVELS - 1).astype(np.uint16)]
    return made


@cache
def _light_table(curve: int) -> NDArray[np.float32]:
    """Light for each of 65536 levels, 1 = white of standard range: BT.2100 for PQ and HLG, else BT.1886."""
    level = np.arange(_LEVELS) / (_LEVELS - 1)
    if curve == _PQ:
        m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
        root = level ** (1 / m2)
        light = 10000 / _WHITE_NITS * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)
    elif curve == _HLG:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(level <= 0.5, level**2 / 3, (np.exp((level - c) / a) + b) / 12)
        light = 1000 / _WHITE_NITS * scene**1.2  # as a display of 1000 cd/m2 shows it, taken channel by channel
    else:
        light = level**2.4
    return light.astype(np.float32)


@cache
def _srgb_table() -> NDArray[np.uint8]:
    """The 8-bit sRGB level for each of 65536 steps of light."""
    light = np.arange(_LEVELS) / (_LEVELS - 1)
    level = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    table: NDArray[np.uint8] = np.rint(level * 255).astype(np.uint8)
    return table
