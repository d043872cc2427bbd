"""A map becomes a picture: one colour per depth, lines of equal depth, and the picture beside it.

The tables of colours are vendored from their sources (see NOTICE).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glpn_cli.colormaps.ranges import IMAGE_RANGE, PaintRange, RangePolicy
from glpn_cli.errors import UsageError
from glpn_cli.options import DEFAULT_COLORMAP
from glpn_cli.prediction import DepthKind, DepthMap, LabelMap

# Name -> whether the table as published runs from cold (or dark) to warm (or bright); only Spectral starts warm.
_ENDS_WARM = {
    "spectral": False,
    "turbo": True,
    "inferno": True,
    "magma": True,
    "viridis": True,
    "plasma": True,
    "cividis": True,
    "gray": True,
}
COLORMAPS: tuple[str, ...] = tuple(_ENDS_WARM)
_TABLES = Path(__file__).with_name("tables.npz")

# A dark neutral grey, which is in none of the coloured tables: nothing is known here.
HOLE_COLOR = (64, 64, 64)
_LAST = 255
_LABEL_COLORS = 256
_BLOCK = 1 << 16
"""Pixels that are painted at a time: few enough to stay in the cache from the logarithm to the colour."""

# Lines are mixed into the colours with this share of black (or of white, on dark colours).
_LINE_SHARE = 0.6
_DARK = 80


@cache
def read_table(name: str, *, invert: bool = False) -> NDArray[np.uint8]:
    """The colours from the nearest to the farthest, uint8 (256, 3), read-only; near is warm unless `invert`."""
    with np.load(_TABLES, allow_pickle=False) as tables:
        published: NDArray[np.uint8] = tables[name]
    from_near = published[::-1] if _ENDS_WARM[name] != invert else published
    table = np.ascontiguousarray(from_near)
    table.flags.writeable = False
    return table


@dataclass(frozen=True)
class ColorizeOptions:
    """How a map is painted.

    range:        from which depth to which
    colormap:     one of `COLORMAPS`; near is warm
    invert:       turn the colours round: near is cold
    colorbar:     a scale beside the picture
    side_by_side: the picture at the left of its map
    contours_m:   lines every so many metres

    Raises UsageError for a colormap that does not exist and for contours that are no distance.
    """

    range: RangePolicy = IMAGE_RANGE
    colormap: str = DEFAULT_COLORMAP
    invert: bool = False
    colorbar: bool = False
    side_by_side: bool = False
    contours_m: float | None = None

    def __post_init__(self) -> None:
        if self.colormap not in COLORMAPS:
            raise UsageError(f"there is no colormap '{self.colormap}'", hint=f"Choose from {', '.join(COLORMAPS)}.")
        if self.contours_m is not None and not 0 < self.contours_m < math.inf:
            raise UsageError(
                f"contours every {self.contours_m:g} m make no sense", hint="Write --contours 0.5, for example."
            )

    def check(self, kind: DepthKind, limit_m: float | None) -> None:
        """Refuse at planning what maps of this kind cannot be painted with (UsageError)."""
        self.range.check(kind, limit_m)
        self.check_contours(kind)

    def check_contours(self, kind: DepthKind) -> None:
        """Refuse lines every so many metres where there are none (UsageError)."""
        if self.contours_m is not None and not kind.is_metric:
            raise UsageError(f"contours need metres, and this is {kind.value} depth", hint="Leave out --contours.")


def paint(
    depth: DepthMap,
    *,
    range: PaintRange,  # noqa: A002 - the word of the command line
    colormap: str = DEFAULT_COLORMAP,
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
    if kind.has_ratios:
        steps = np.log(values)
        near, far = math.log(near), math.log(far)
        steps -= np.float32(near)
    else:
        steps = values - np.float32(near)
    steps *= np.float32(_LAST / (far - near))
    np.clip(steps, 0, _LAST, out=steps)
    return np.rint(steps, out=steps).astype(np.uint8)


def draw_contours(painted: NDArray[np.uint8], depth: DepthMap, *, every_m: float) -> NDArray[np.uint8]:
    """Lines where the depth passes a multiple of `every_m` metres, on a painted map, uint8 (H, W, 3) -> same.

    The lines grow with the picture; they are dark on light colours and light on dark ones. None runs along a hole.
    """
    values = depth.values if depth.valid is None else np.where(depth.valid, depth.values, np.float32(0))
    levels = np.floor(values / np.float32(every_m))
    line = np.zeros(levels.shape, np.bool_)
    valid = depth.valid
    for here, there in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        passes = levels[here] != levels[there]
        if valid is not None:
            passes &= valid[here] & valid[there]
        line[here] |= passes
    for _ in range(round(min(levels.shape) / 600)):
        line = _thicken(line)
    lined = painted.copy()
    under = painted[line].astype(np.float32)
    ink = np.where(under.mean(axis=1, keepdims=True) < _DARK, np.float32(255), np.float32(0))
    lined[line] = np.rint(under + (ink - under) * np.float32(_LINE_SHARE)).astype(np.uint8)
    return lined


def _thicken(line: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """One pixel more to the right and below."""
    thick = line.copy()
    thick[:, 1:] |= line[:, :-1]
    thick[1:] |= line[:-1]
    return thick


def label_palette(count: int) -> NDArray[np.uint8]:
    """One colour a label, uint8 (count, 3): PASCAL VOC's, whose number's bits, by threes, are the colour's high bits.

    Label 0 is black. There are 256 different ones; beyond these they repeat, without black.
    """
    index = np.arange(count)
    index = np.where(index < _LABEL_COLORS, index, 1 + (index - 1) % (_LABEL_COLORS - 1))
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
