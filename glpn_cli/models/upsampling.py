"""Ways to bring a network's small answer to the picture's own size, besides the published bicubic one.

`nearest` invents nothing: every depth is one that the network gave. `guided` lets the picture say where a silhouette
is: at jumps of depth, each pixel takes the depth of nearby answers whose colour is like its own (joint bilateral
upsampling, Kopf et al. 2007), and answers that lie on a slide between foreground and background count for little.
Elsewhere it is bicubic. No torch here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glpn_cli.errors import UsageError
from glpn_cli.prediction import DepthKind, DepthMap

_REACH = 3
"""How far around a pixel answers are asked, in pixels of the network's answer: a slide is 3 to 5 of them wide."""

_SPATIAL = 1.5
_COLOR = 14.0
_STEEP = 0.02
"""Spread of neighbouring answers (in logarithm of depth) from which one begins to count for less."""

_JUMP_FROM, _JUMP_TO = 0.08, 0.2
_CHUNK = 1 << 18


class Upsampling(StrEnum):
    """How the answer is brought to the picture's size."""

    BICUBIC = "bicubic"
    NEAREST = "nearest"
    GUIDED = "guided"


def parse_upsampling(text: str) -> Upsampling:
    """Read bicubic, nearest or guided. Raises UsageError."""
    try:
        return Upsampling(text)
    except ValueError as error:
        raise UsageError(f"there is no upsampling {text!r}", hint=f"Choose from {', '.join(Upsampling)}.") from error


def upsample_nearest(answer: DepthMap, size: tuple[int, int]) -> DepthMap:
    """The answer (h, w) at (H, W), every pixel that of the nearest answer."""
    rows, columns = (_centres(large, small) for large, small in zip(size, answer.size, strict=True))
    values = answer.values[np.ix_(np.rint(rows).astype(int), np.rint(columns).astype(int))]
    return DepthMap(values, kind=answer.kind, limit=answer.limit)


def upsample_guided(answer: DepthMap, smooth: DepthMap, rgb: NDArray[np.uint8]) -> DepthMap:
    """The answer at the picture's size with clean silhouettes.

    answer: (h, w), as the network gave it
    smooth: (H, W), the same brought to the picture's size smoothly: kept where there is no jump
    rgb:    uint8 (H, W, 3), or smaller
    """
    height, width = smooth.size
    if rgb.shape[:2] != smooth.size:
        rgb = np.asarray(Image.fromarray(rgb).resize((width, height), Image.Resampling.BILINEAR))
    small = Image.fromarray(rgb).resize(answer.size[::-1], Image.Resampling.BOX)
    guide = np.asarray(small, np.float32)
    scale = _Scale.of(answer)
    bent = scale.bend(answer.values)
    trust = (1 / (_STEEP + _spread(bent, 1)) ** 2).astype(np.float32)
    jump = np.clip((_spread(bent, _REACH) - _JUMP_FROM) / (_JUMP_TO - _JUMP_FROM), 0, 1)
    rows, columns = (_centres(large, low) for large, low in zip(smooth.size, answer.size, strict=True))
    near_row, near_column = np.rint(rows).astype(int), np.rint(columns).astype(int)
    ys, xs = np.nonzero((jump > 0)[np.ix_(near_row, near_column)])
    values = smooth.values.copy()
    for start in range(0, len(ys), _CHUNK):
        y, x = ys[start : start + _CHUNK], xs[start : start + _CHUNK]
        found = _ask_around(rgb[y, x].astype(np.float32), rows[y], columns[x], guide, bent, trust)
        share = jump[near_row[y], near_column[x]]
        values[y, x] = scale.unbend((1 - share) * scale.bend(smooth.values[y, x]) + share * found)
    return DepthMap(values, kind=smooth.kind, valid=smooth.valid, limit=smooth.limit)


def _ask_around(
    colors: NDArray[np.float32],
    rows: NDArray[np.float32],
    columns: NDArray[np.float32],
    guide: NDArray[np.float32],
    bent: NDArray[np.float32],
    trust: NDArray[np.float32],
) -> NDArray[np.float32]:
    """What the answers around say to pixels of these colours (N, 3), at these places in the answer's grid (N,)."""
    height, width = bent.shape
    total, weights = np.zeros(len(rows), np.float32), np.zeros(len(rows), np.float32)
    middle_row, middle_column = np.rint(rows).astype(int), np.rint(columns).astype(int)
    for down in range(-_REACH, _REACH + 1):
        row = np.clip(middle_row + down, 0, height - 1)
        for right in range(-_REACH, _REACH + 1):
            column = np.clip(middle_column + right, 0, width - 1)
            apart = ((row - rows) ** 2 + (column - columns) ** 2) / (2 * _SPATIAL**2)
            unlike = ((colors - guide[row, column]) ** 2).sum(1) / (2 * _COLOR**2)
            # Never nothing: where no colour is alike, the nearest answers decide.
            weight = np.exp(-apart) * (np.exp(-unlike) + np.float32(1e-4)) * trust[row, column]
            total += weight * bent[row, column]
            weights += weight
    return total / weights


def _centres(large: int, small: int) -> NDArray[np.float32]:
    """Where the pixels of a side of `large` are in the grid of a side of `small`."""
    places = (np.arange(large, dtype=np.float32) + 0.5) * np.float32(small / large) - np.float32(0.5)
    clipped: NDArray[np.float32] = np.clip(places, 0, small - 1)
    return clipped


def _spread(values: NDArray[np.float32], reach: int) -> NDArray[np.float32]:
    """Largest less smallest value within `reach` pixels, of the same shape."""
    high = low = np.pad(values, reach, mode="edge")
    for axis in (0, 1):
        windows_high = np.lib.stride_tricks.sliding_window_view(high, 2 * reach + 1, axis)
        windows_low = np.lib.stride_tricks.sliding_window_view(low, 2 * reach + 1, axis)
        high, low = windows_high.max(-1), windows_low.min(-1)
    return high - low


@dataclass(frozen=True)
class _Scale:
    """The scale on which jumps are judged: logarithms where ratios mean something, else shares of the range."""

    is_log: bool
    span: float

    @classmethod
    def of(cls, answer: DepthMap) -> _Scale:
        low, high = answer.extent() or (0.0, 1.0)
        return cls(answer.kind in (DepthKind.METRIC, DepthKind.SCALE), max(high - low, 1e-6))

    def bend(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Depths on this scale."""
        bent: NDArray[np.float32] = np.log(values) if self.is_log else values / np.float32(self.span)
        return bent

    def unbend(self, bent: NDArray[np.float32]) -> NDArray[np.float32]:
        """The way back."""
        values: NDArray[np.float32] = np.exp(bent) if self.is_log else bent * np.float32(self.span)
        return values
