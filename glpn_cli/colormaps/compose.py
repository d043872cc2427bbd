"""Additions to a painted map: the picture beside it, and lines of equal depth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glpn_cli.prediction import DepthMap

# Lines are mixed into the colours with this share of black (or of white, on dark colours).
_LINE_SHARE = 0.6
_DARK = 80


def put_side_by_side(picture: NDArray[np.uint8], painted: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture at the left of its painted map, both uint8 (H, W, 3) of one size -> (H, 2 W, 3)."""
    if picture.shape != painted.shape:
        raise ValueError(f"the picture is {picture.shape}, its map {painted.shape}")
    return np.concatenate([picture, painted], axis=1)


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
