"""A map becomes a picture: one colour per depth, on a scale where equal ratios of depth are equal steps."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from glpn_cli.colormaps.ranges import PaintRange
from glpn_cli.colormaps.tables import read_table
from glpn_cli.prediction import DepthKind, DepthMap

# A dark neutral grey, which is in none of the coloured tables: nothing is known here.
HOLE_COLOR = (64, 64, 64)
_LAST = 255
_BLOCK = 1 << 16
"""Pixels that are painted at a time: few enough to stay in the cache from the logarithm to the colour."""


def is_log_scale(kind: DepthKind) -> bool:
    """Whether ratios mean something, so that equal ratios get equal steps; where a shift is unknown they do not."""
    return kind in (DepthKind.METRIC, DepthKind.SCALE)


def paint(
    depth: DepthMap,
    *,
    range: PaintRange,  # noqa: A002 - the word of the command line
    colormap: str = "spectral",
    invert: bool = False,
) -> NDArray[np.uint8]:
    """Paint a map, uint8 (H, W, 3): warm (or bright) where it is near, cold (or dark) where it is far.

    Metric depth, and depth up to a factor, go by their logarithm; disparity and depth up to a shift go linearly.
    Depths outside `range` get the colour of its end; holes are `HOLE_COLOR`. `invert` turns the colours round.
    """
    table = read_table(colormap, invert=invert)
    painted = np.empty((*depth.size, 3), np.uint8)
    for band in _bands(depth.size):
        values = depth.values[band]
        if depth.valid is not None:
            values = np.where(depth.valid[band], values, np.float32(range.near))
        table.take(_steps(values, range, depth.kind), axis=0, out=painted[band], mode="clip")
        if depth.valid is not None:
            painted[band][~depth.valid[band]] = HOLE_COLOR
    return painted


def _bands(size: tuple[int, int]) -> list[slice]:
    """The rows of (H, W) in bands of about `_BLOCK` pixels."""
    height, width = size
    rows = max(1, _BLOCK // width)
    return [slice(start, start + rows) for start in range(0, height, rows)]


def _steps(values: NDArray[np.float32], ends: PaintRange, kind: DepthKind) -> NDArray[np.uint8]:
    """Which of the 256 colours each value gets, uint8 (H, W): 0 at the near end, 255 at the far one."""
    near, far = ends.near, ends.far
    if is_log_scale(kind):
        steps = np.log(values)
        near, far = math.log(near), math.log(far)
        steps -= np.float32(near)
    else:
        steps = values - np.float32(near)
    steps *= np.float32(_LAST / (far - near))
    np.clip(steps, 0, _LAST, out=steps)
    return np.rint(steps, out=steps).astype(np.uint8)
