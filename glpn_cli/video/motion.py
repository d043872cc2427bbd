"""The camera's motion between two pictures, out of their grey values and the depth of the first.

Direct alignment (Steinbruecker et al. 2011, Kerl et al. 2013): the motion is the one under which the first picture,
carried by its depth, looks like the second; found by Gauss-Newton from coarse to fine. Depth may be wrong by a factor:
the motion then has that factor, too, and carries points to the same pixels. Everything happens on small grids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glpn_cli.poses import Matrix

Grid = NDArray[np.float32]
Mask = NDArray[np.bool_]

_GRID_SIDE = 96
"""Pixels along the longer side of the finest grid."""

_LEVELS = 4
_STEPS = 6
_MOST_POINTS = 2000
_CLOSE = 3e-4
# How far a motion usually lies from the one before; weighed against what the pictures say.
_LIKELY_SHIFT, _LIKELY_TURN = 0.006, 0.01  # of the depth; radians
_LIKELY_LIGHT = 0.05
_FAINT = 2 * 0.03**2
"""Less variance of grey than this is noise."""


def shrink(values: Grid, size: tuple[int, int]) -> Grid:
    """The mean of what falls into each cell of a grid, or what lies between them; float32, `size` is (h, w)."""
    box = values.shape[0] > size[0]
    how = Image.Resampling.BOX if box else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(values).resize((size[1], size[0]), how))


def scale_smoothly(values: Grid, factors: Grid) -> Grid:
    """Values (H, W) times factors on a coarser grid (h, w), interpolated bilinearly; float32."""
    (height, width), count = values.shape, len(factors)
    if height <= count or width <= factors.shape[1]:
        return values * shrink(factors, values.shape)
    wide = shrink(factors, (count, width))
    rows = (np.arange(height, dtype=np.float32) + np.float32(0.5)) * np.float32(count / height) - np.float32(0.5)
    scaled = np.empty_like(values)
    # The rows between two of the grid at a time: they stay in the processor's cache.
    starts = np.searchsorted(rows, np.arange(-1, count + 1))
    for row, (begin, end) in enumerate(pairwise(starts), -1):
        above, below = wide[max(row, 0)], wide[min(row + 1, count - 1)]
        part = scaled[begin:end]
        np.multiply(rows[begin:end, None] - np.float32(row), below - above, out=part)
        part += above
        part *= values[begin:end]
    return scaled


def interpolate(grids: Grid, x: Grid, y: Grid) -> Grid:
    """The values between cells, bilinear; places outside take those of the edge.

    grids: float32 (h, w), or (n, h, w) for several at once
    x, y:  float32, of any one shape; returns that shape, after n where there is one
    """
    height, width = grids.shape[-2:]
    x, y = np.clip(x, 0, width - 1.001), np.clip(y, 0, height - 1.001)
    i, j = np.floor(x), np.floor(y)
    x, y, place = x - i, y - j, (j * width + i).astype(np.intp)
    flat = grids.reshape(*grids.shape[:-2], -1)
    above, right = flat.take(place, axis=-1), flat.take(place + 1, axis=-1)
    above = above + (right - above) * x
    place += width
    below, right = flat.take(place, axis=-1), flat.take(place + 1, axis=-1)
    below = below + (right - below) * x
    between: Grid = above + (below - above) * y
    return between


def interpolate_each(grids: Sequence[Grid], x: Grid, y: Grid) -> Grid:
    """The same of several grids (m, h, w), each at places of its own: x, y (n, h, w), returns (m, n, h, w)."""
    height = grids[0].shape[-2]
    rows = height * np.arange(len(grids), dtype=np.float32)[:, None, None]  # they stand one below the other
    return interpolate(np.concatenate(grids, axis=-2), x, np.clip(y, 0, height - 1.001) + rows)


@dataclass(frozen=True, eq=False)
class View:
    """A picture and its depth on a small grid.

    grey:      float32 (h, w), 0 to 1
    log_depth: float32 (h, w), the logarithm of depth, up to a factor
    focal:     in cells of the grid; the axis meets its middle
    """

    grey: Grid
    log_depth: Grid
    focal: float

    @classmethod
    def of(cls, picture: NDArray[np.uint8], depth: Grid, focal_px: float) -> View:
        """The view of a picture, uint8 (h, w, 3), with its depth, float32 (H, W) > 0; focal_px is of the depth.

        The picture may have fewer pixels than the depth, `enough_for_view` of them.
        """
        height, width = depth.shape
        scale = _GRID_SIDE / max(height, width)
        size = (max(8, round(height * scale)), max(8, round(width * scale)))
        grey = shrink(np.asarray(Image.fromarray(picture).convert("L"), np.float32), size) / np.float32(255)
        skip = max(1, min(height // size[0], width // size[1]) // 4)
        return cls(
            _soften(grey), np.log(shrink(depth[skip // 2 :: skip, skip // 2 :: skip], size)), focal_px * size[1] / width
        )

    @cached_property
    def rays(self) -> Grid:
        """What depth 1 is at every cell: float32 (3, h, w)."""
        height, width = self.grey.shape
        x = (np.arange(width) - 0.5 * (width - 1)) / self.focal
        y = (np.arange(height) - 0.5 * (height - 1)) / self.focal
        return np.stack([*np.meshgrid(x, y), np.ones((height, width))]).astype(np.float32)

    @cached_property
    def both(self) -> Grid:
        """The logarithm of depth, and the grey values: float32 (2, h, w)."""
        return np.stack([self.log_depth, self.grey])

    @property
    def coarser(self) -> View:
        """The one of half the size; itself where that would be too small."""
        return self.levels[1 % len(self.levels)]

    @property
    def levels(self) -> tuple[View, ...]:
        """Itself, and coarser ones of half the size each."""
        return (self, *self._coarser)

    @cached_property
    def _coarser(self) -> tuple[View, ...]:
        # Without itself: a view that held itself would stay in memory until the collector of cycles comes by.
        levels: list[View] = []
        last = self
        while len(levels) + 1 < _LEVELS and min(last.grey.shape) >= 16:
            last = View(_halve(last.grey), _halve(last.log_depth), 0.5 * last.focal)
            levels.append(last)
        return tuple(levels)

    def carry(self, motion: Matrix) -> tuple[Grid, Grid, Grid, Mask]:
        """Where cells are after a motion: x, y, the logarithm of their depth, and whether they can be seen; (h, w).

        Of several motions, (n, 4, 4), each is (n, h, w).
        """
        return self._project(self._points, motion)

    @cached_property
    def _points(self) -> Grid:
        return self.rays * np.exp(self.log_depth)

    def _project(self, points: Grid, motion: Matrix) -> tuple[Grid, Grid, Grid, Mask]:
        height, width = self.grey.shape
        turn, shift = motion[..., :3, :3].astype(np.float32), motion[..., :3, 3:].astype(np.float32)
        moved = (turn @ points.reshape(3, -1) + shift).reshape(*motion.shape[:-2], *points.shape)
        a, b, c = np.moveaxis(moved, motion.ndim - 2, 0)
        z = np.maximum(c, np.float32(1e-3))
        x = a / z * np.float32(self.focal) + np.float32(0.5 * (width - 1))
        y = b / z * np.float32(self.focal) + np.float32(0.5 * (height - 1))
        seen = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1) & (c > 1e-3)
        return x, y, np.log(z), seen

    @cached_property
    def _anchors(self) -> tuple[Grid, Grid, Grid]:
        """The cells that tell most of a motion: points (3, N), grey (N,), and the grey's change (N, 8) with motion.

        The columns are shift and turn along x, y, z, then what light does: a factor, and an offset.
        """
        down, right = (np.asarray(np.gradient(self.grey, axis=axis), np.float32) for axis in (0, 1))
        strength = np.hypot(down, right)
        strength[[0, -1]] = strength[:, [0, -1]] = 0
        least = np.quantile(strength, max(0.3, 1 - _MOST_POINTS / strength.size))
        chosen = strength > max(float(least), 1e-4)
        z, (x, y, _) = np.exp(self.log_depth[chosen]), self.rays[:, chosen]
        gx, gy = right[chosen] * np.float32(self.focal), down[chosen] * np.float32(self.focal)
        along = gx * x + gy * y
        turns = [-gy - along * y, gx + along * x, gy * x - gx * y]
        grey = self.grey[chosen]
        change = np.stack([gx / z, gy / z, -along / z, *turns, -grey, -np.ones_like(grey)], axis=1)
        return np.stack([x * z, y * z, z]), grey, change

    def motion_to(self, other: View, expected: Matrix) -> Matrix:
        """What takes points of this view to the other one, float64 (4, 4).

        expected: a likely motion, such as the one before; where the pictures say nothing, it is the answer
        """
        motion = expected
        for one, second in zip(reversed(self.levels), reversed(other.levels), strict=True):
            motion = one._improve(second, motion, expected)
        return motion

    def likeness(self, other: View, motion: Matrix) -> float:
        """How much this picture looks like the other where a motion takes it: -1 to 1, and 0 with nothing in common.

        It is the structural similarity of all that both see (Wang et al. 2004, over one window), at half the size,
        where noise is less, and less where they have under half of the picture in common. Bare walls are alike.
        """
        one, second = self.coarser, other.coarser
        x, y, _, seen = one.carry(motion)
        if np.count_nonzero(seen) < 20:
            return 0.0
        a, b = one.grey[seen], interpolate(second.grey, x, y)[seen]
        together = float(np.mean((a - a.mean()) * (b - b.mean())))
        light = (2 * a.mean() * b.mean() + 1e-4) / (a.mean() ** 2 + b.mean() ** 2 + 1e-4)
        shape = (2 * together + _FAINT) / (a.var() + b.var() + _FAINT)
        return float(light * shape * min(1.0, 2 * seen.mean()))

    def _improve(self, other: View, motion: Matrix, expected: Matrix) -> Matrix:
        """A few steps from `motion` towards the one that makes this picture look like the other."""
        points, grey, change = self._anchors
        if grey.size < 30:
            return motion
        shift = _LIKELY_SHIFT * float(np.median(points[2]))
        doubt = np.array([shift] * 3 + [_LIKELY_TURN] * 3 + [_LIKELY_LIGHT] * 2)
        light = np.array([1.0, 0.0])
        back = np.linalg.inv(expected)
        for _ in range(_STEPS):
            x, y, _, seen = self._project(points, motion)
            if np.count_nonzero(seen) < 30:
                break
            wrong = (interpolate(other.grey, x, y) - light[0] * grey - light[1])[seen].astype(np.float64)
            spread = 2.0 * float(np.median(np.abs(wrong))) + 1e-3
            weights = 1 / (np.maximum(1, np.abs(wrong) / spread) * spread**2)  # Huber's
            rows = change[seen].astype(np.float64)
            weighed = (rows * weights[:, None]).T
            away = back @ motion
            strayed = [*away[:3, 3], away[2, 1], away[0, 2], away[1, 0], light[0] - 1, light[1]]
            pull = weighed @ wrong + strayed / doubt**2
            step = np.linalg.solve(weighed @ rows + np.diag(1 / doubt**2), -pull)
            motion, light = motion @ _rigid(step[:6]), light + step[6:]
            if np.abs(step[:6]).max() < _CLOSE:
                break
        return motion


def enough_for_view(size: tuple[int, int]) -> tuple[int, int]:
    """The size at which a picture of (H, W) pixels still makes the same view: two pixels a cell along each side."""
    height, width = (-(-side * 2 * _GRID_SIDE // max(size)) for side in size)
    return height, width


def _halve(grid: Grid) -> Grid:
    height, width = (side // 2 * 2 for side in grid.shape)
    even = grid[:height, :width]
    halved: Grid = (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / np.float32(4)
    return halved


def _soften(grid: Grid) -> Grid:
    """Each cell with its neighbours at weights 1 2 1, so that slopes hold for more than a cell."""
    edged = np.pad(grid, 1, mode="edge")
    rows = edged[:-2] + 2 * edged[1:-1] + edged[2:]
    soft: Grid = (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / np.float32(16)
    return soft


def _rigid(twist: NDArray[np.float64]) -> Matrix:
    """The motion of a small shift (3,) and turn (3,); radians."""
    x, y, z = twist[3:]
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = max(float(np.linalg.norm(twist[3:])), 1e-9)
    motion = np.eye(4)
    motion[:3, :3] += np.sin(angle) / angle * cross + (1 - np.cos(angle)) / angle**2 * cross @ cross
    motion[:3, 3] = twist[:3]
    return motion
