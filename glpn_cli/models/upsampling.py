"""Upsampling of a network's small depth map to the picture's own size, besides the published bicubic one.

`nearest` invents nothing: every depth is one that the network predicted. `guided` takes silhouettes from the picture:
at jumps of depth, each pixel averages nearby depths whose colour is like its own (joint bilateral upsampling, Kopf et
al. 2007); depths on the slope between foreground and background weigh little. Elsewhere it is bicubic. No torch here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glpn_cli.prediction import DepthMap

_RADIUS = 3
"""Radius of the average, in pixels of the small map: a slope between foreground and background is 3 to 5 wide."""

_SPATIAL = 1.5
_COLOR = 14.0
_SLOPE = 0.02
"""Range of neighbouring depths (in logarithm) from which a depth begins to weigh less."""

_JUMP_FROM, _JUMP_TO = 0.08, 0.2
_CHUNK = 1 << 18


def upsample_nearest(small: DepthMap, size: tuple[int, int]) -> DepthMap:
    """(h, w) -> (H, W), each pixel the depth of the nearest one."""
    rows, columns = (_centres(large, small) for large, small in zip(size, small.size, strict=True))
    values = small.values[np.ix_(np.rint(rows).astype(int), np.rint(columns).astype(int))]
    return DepthMap(values, kind=small.kind, limit=small.limit)


def upsample_guided(small: DepthMap, smooth: DepthMap, rgb: NDArray[np.uint8]) -> DepthMap:
    """A depth map at the picture's size with clean silhouettes.

    small:  (h, w), as the network predicted it
    smooth: (H, W), the same upsampled smoothly: kept where there is no jump
    rgb:    uint8 (H, W, 3), or smaller
    """
    height, width = smooth.size
    if rgb.shape[:2] != smooth.size:
        rgb = np.asarray(Image.fromarray(rgb).resize((width, height), Image.Resampling.BILINEAR))
    guide = np.asarray(Image.fromarray(rgb).resize(small.size[::-1], Image.Resampling.BOX), np.float32)
    least, most = small.min_max() or (0.0, 1.0)
    span = np.float32(max(most - least, 1e-6))

    # Jumps are measured in logarithms where ratios mean something, else in shares of the range.
    def to_scale(depths: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.log(depths) if small.kind.has_ratios else depths / span

    def to_depth(scaled: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.exp(scaled) if small.kind.has_ratios else scaled * span

    scaled = to_scale(small.values)
    confidence = (1 / (_SLOPE + _local_range(scaled, 1)) ** 2).astype(np.float32)
    jump = np.clip((_local_range(scaled, _RADIUS) - _JUMP_FROM) / (_JUMP_TO - _JUMP_FROM), 0, 1)
    rows, columns = (_centres(large, low) for large, low in zip(smooth.size, small.size, strict=True))
    near_row, near_column = np.rint(rows).astype(int), np.rint(columns).astype(int)
    ys, xs = np.nonzero((jump > 0)[np.ix_(near_row, near_column)])
    values = smooth.values.copy()
    for start in range(0, len(ys), _CHUNK):
        y, x = ys[start : start + _CHUNK], xs[start : start + _CHUNK]
        found = _average_around(rgb[y, x].astype(np.float32), rows[y], columns[x], guide, scaled, confidence)
        share = jump[near_row[y], near_column[x]]
        values[y, x] = to_depth((1 - share) * to_scale(smooth.values[y, x]) + share * found)
    return DepthMap(values, kind=smooth.kind, valid=smooth.valid, limit=smooth.limit)


def _average_around(
    colors: NDArray[np.float32],
    rows: NDArray[np.float32],
    columns: NDArray[np.float32],
    guide: NDArray[np.float32],
    scaled: NDArray[np.float32],
    confidence: NDArray[np.float32],
) -> NDArray[np.float32]:
    """The average of the depths around pixels of these colours (N, 3), at these places in the small grid (N,)."""
    height, width = scaled.shape
    total, weights = np.zeros(len(rows), np.float32), np.zeros(len(rows), np.float32)
    middle_row, middle_column = np.rint(rows).astype(int), np.rint(columns).astype(int)
    for down in range(-_RADIUS, _RADIUS + 1):
        row = np.clip(middle_row + down, 0, height - 1)
        for right in range(-_RADIUS, _RADIUS + 1):
            column = np.clip(middle_column + right, 0, width - 1)
            apart = ((row - rows) ** 2 + (column - columns) ** 2) / (2 * _SPATIAL**2)
            unlike = ((colors - guide[row, column]) ** 2).sum(1) / (2 * _COLOR**2)
            # Never zero: where no colour is alike, the nearest depths decide.
            weight = np.exp(-apart) * (np.exp(-unlike) + np.float32(1e-4)) * confidence[row, column]
            total += weight * scaled[row, column]
            weights += weight
    return total / weights


def _centres(large: int, small: int) -> NDArray[np.float32]:
    """Positions of the pixels of a side of `large` in the grid of a side of `small`."""
    places = (np.arange(large, dtype=np.float32) + 0.5) * np.float32(small / large) - np.float32(0.5)
    clipped: NDArray[np.float32] = np.clip(places, 0, small - 1)
    return clipped


def _local_range(values: NDArray[np.float32], radius: int) -> NDArray[np.float32]:
    """Largest less smallest value within `radius` pixels, of the same shape."""
    high = low = np.pad(values, radius, mode="edge")
    for axis in (0, 1):
        windows_high = np.lib.stride_tricks.sliding_window_view(high, 2 * radius + 1, axis)
        windows_low = np.lib.stride_tricks.sliding_window_view(low, 2 * radius + 1, axis)
        high, low = windows_high.max(-1), windows_low.min(-1)
    return high - low
