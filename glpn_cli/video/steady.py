"""Depth maps of a film without flicker.

A network sees every frame alone: a pixel of shift or a little noise changes the scale of the map and of its parts.
`Steady` carries the maps of neighbouring frames into each frame along the camera's motion, see `motion`, takes the mean
of how much they disagree with its own, and corrects it by that:

- global first: the median disagreement with each neighbour (for maps of unknown scale and shift: the best line);
- then local, as a smooth field: the rest of the disagreement, averaged over a part of the picture. Cells whose grey
  value or depth shows another thing (hidden, or moving by itself) do not count.

The map is multiplied by a field without edges, so its own edges stay as they are. Depth that changes because the camera
walks is no disagreement: it is part of the motion. A cut, where a frame does not look like the one before, starts anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from glpn_cli.errors import GlpnError
from glpn_cli.geometry import ASSUMED_FOV_DEG, focal_from_fov
from glpn_cli.poses import Matrix
from glpn_cli.prediction import DepthKind, DepthMap, Result
from glpn_cli.video.motion import (
    Grid,
    Mask,
    View,
    enough_for_view,
    interpolate_each,
    scale_smoothly,
)

if TYPE_CHECKING:
    from glpn_cli.video.frame import Frame
    from glpn_cli.video.run import Results

_LOOK_AHEAD = 8
"""Frames that are waited for."""

_LEAST_LIKENESS = 0.7
_LEAST_COMMON = 0.2
_OTHER_THING = 0.7
"""A disagreement of this much in log depth, beyond the frame's own, is another surface."""
_REACH = 1
"""Cells of the half grid on each side that are taken together."""
_DOUBT = 0.3
"""Where less than this share of the cells around shows the same thing, the local part is left out."""
_STILL = np.eye(4)


@dataclass(eq=False)
class _Frame:
    """A frame in the window.

    motion: takes points of the frame before to this one
    depth:  its map, None once it was given away
    """

    view: View
    motion: Matrix
    depth: DepthMap | None


class Steady:
    """Takes the flicker out of the maps of a film, frame by frame, in bounded memory.

    Every map that is pushed comes back, in order, once the frames after it are known; `flush` gives the last ones.

    focal_px: of the pictures; None: a field of view of 60 degrees is assumed. A wrong one costs little
    ahead:    frames to wait for, and to look back at; memory holds as many maps
    """

    def __init__(self, *, focal_px: float | None = None, ahead: int = _LOOK_AHEAD) -> None:
        self._focal_px = focal_px
        self._ahead = ahead
        self._frames: deque[_Frame] = deque()

    def push(self, depth: DepthMap, picture: NDArray[np.uint8]) -> list[DepthMap]:
        """Add a frame; the maps that are ready.

        depth:   of the picture; of any kind, with or without holes
        picture: uint8 (h, w, 3), upright, of the depth's size or `enough_for_view`
        """
        focal_px = self._focal_px or focal_from_fov(ASSUMED_FOV_DEG, max(depth.size))
        view = View.of(picture, _working_depth(depth), focal_px)
        ready: list[DepthMap] = []
        motion = _STILL
        if self._frames:
            latest = self._frames[-1]
            same = latest.view.grey.shape == view.grey.shape
            motion, alike = _follow(latest, view) if same else (_STILL, 0.0)
            if alike < _LEAST_LIKENESS:
                ready, motion = self.flush(), _STILL
        self._frames.append(_Frame(view, motion, depth))
        if self._waiting > self._ahead:
            ready.append(self._settle(len(self._frames) - 1 - self._ahead))
        while len(self._frames) > 2 * self._ahead:
            self._frames.popleft()
        return ready

    def flush(self) -> list[DepthMap]:
        """The maps that are left, at the end of the film; what is pushed afterwards is another one."""
        first = len(self._frames) - self._waiting
        ready = [self._settle(place) for place in range(first, len(self._frames))]
        self._frames.clear()
        return ready

    @property
    def _waiting(self) -> int:
        return sum(frame.depth is not None for frame in self._frames)

    def _settle(self, place: int) -> DepthMap:
        """The steadied map of the frame at a place in the window, which gives its own away."""
        frame = self._frames[place]
        depth = frame.depth
        assert depth is not None
        others: list[View] = []
        motions: list[Matrix] = []
        for way in (1, -1):
            motion = _STILL
            for there in range(place + way, place + way * (self._ahead + 1), way):
                if not 0 <= there < len(self._frames):
                    break
                between = self._frames[there if way > 0 else there + 1].motion
                motion = (between if way > 0 else np.linalg.inv(between)) @ motion
                others.append(self._frames[there].view.coarser)
                motions.append(motion)
        frame.depth = None
        return _correct(depth, _compare(frame.view.coarser, others, motions, depth.kind)) if others else depth


def _follow(latest: _Frame, view: View) -> tuple[Matrix, float]:
    """The motion from a frame to the next one, and how alike they are then.

    A hand goes on as before, or it stops: the better of the two.
    """
    best, most = _STILL, -1.0
    for expected in (_STILL,) if latest.motion is _STILL else (latest.motion, _STILL):
        motion = latest.view.motion_to(view, expected)
        alike = latest.view.likeness(view, motion)
        if alike > most:
            best, most = motion, alike
        if most > 0.9:
            break
    return best, most


def _compare(view: View, others: Sequence[View], motions: Sequence[Matrix], kind: DepthKind) -> Grid:
    """How much farther other frames and this one take every cell to be in the mean, in log depth, (h, w).

    motions: takes points of the view to each of the others; those that see too little of it are left out
    """
    x, y, expected, seen = view.carry(np.stack(motions))
    common = seen.mean(axis=(1, 2)) >= _LEAST_COMMON
    if not common.any():
        return np.zeros_like(view.grey)
    x, y, expected, seen = x[common], y[common], expected[common], seen[common]
    both = [other.both for other, is_common in zip(others, common, strict=True) if is_common]
    log_depth, grey = interpolate_each(both, x, y)
    farther = log_depth - expected
    change = np.abs(grey - view.grey)
    whole = np.stack([_agree(*each, kind) for each in zip(farther, expected, seen, strict=True)])
    usual = [4 * np.median(each[where]) + 0.02 for each, where in zip(change, seen, strict=True)]
    rest = farther - whole
    unlike = change / np.array(usual, np.float32)[:, None, None]
    weights = seen * np.square(np.maximum(0, 1 - np.square(rest / _OTHER_THING))) / (1 + np.square(unlike))
    around = _spread(weights)
    share = around / np.float32((2 * _REACH + 1) ** 2)  # of the part of the picture that shows the same
    trust = 1 / (1 + np.square(np.square(np.float32(_DOUBT) / np.maximum(share, np.float32(1e-3)))))
    local = trust * _spread(weights * rest) / np.maximum(around, np.float32(1e-3))
    field: Grid = np.sum(whole + local, axis=0) / np.float32(len(both) + 1)  # its own map is one of them
    return field


def _agree(farther: Grid, expected: Grid, seen: Mask, kind: DepthKind) -> Grid:
    """The part of a disagreement that is of the whole frame, (h, w).

    One factor is the median. Scale and shift are a line between the values of both maps, found by weighted least
    squares, where outliers weigh less (Cauchy).
    """
    if kind.has_ratios:
        return np.full_like(farther, np.median(farther[seen]))
    sign = -1 if kind is DepthKind.DISPARITY else 1
    ours = np.exp(sign * expected)
    theirs = ours * np.exp(sign * farther)
    a, b, weights = 1.0, 0.0, np.ones_like(ours[seen])
    for _ in range(4):
        x, y = ours[seen], theirs[seen]
        mean_x, mean_y = np.average(x, weights=weights), np.average(y, weights=weights)
        a = float(np.sum(weights * (x - mean_x) * (y - mean_y)) / (np.sum(weights * (x - mean_x) ** 2) + 1e-9))
        a, b = (a, float(mean_y - a * mean_x)) if a > 0 else (float(mean_y / mean_x), 0.0)
        wrong = np.abs(y - a * x - b)
        weights = 1 / (1 + (wrong / (2 * np.median(wrong) + 1e-6)) ** 2)
    fitted = np.maximum(a * ours + b, 0.1 * ours)
    whole: Grid = sign * np.log(fitted / ours)
    return whole


def _spread(grids: Grid) -> Grid:
    """The sum over the square around each cell, (n, h, w)."""
    side = 2 * _REACH + 1
    padded = np.pad(grids, ((0, 0), *[(_REACH + 1, _REACH)] * 2))
    sums = np.cumsum(np.cumsum(padded, axis=1, dtype=np.float32), axis=2, dtype=np.float32)
    rows = sums[:, side:] - sums[:, :-side]
    return rows[:, :, side:] - rows[:, :, :-side]


def _working_depth(depth: DepthMap) -> Grid:
    """Numbers that grow with distance, > 0 everywhere: inverse disparity; holes are as far as the median."""
    if depth.kind.has_ratios and depth.valid is None:
        return depth.values
    known = depth.valid_values()
    middle = float(np.median(known)) if known.size else 1.0
    values = depth.values if depth.valid is None else np.where(depth.valid, depth.values, np.float32(middle))
    if depth.kind.has_ratios:
        return values
    values = np.maximum(values, np.float32(0.05 * middle))  # a shift can bring some near 0
    return np.reciprocal(values) if depth.kind is DepthKind.DISPARITY else values


def _correct(depth: DepthMap, field: Grid) -> DepthMap:
    """The map, multiplied by a field of log depth on a small grid; within what the network can express."""
    factor = np.exp(-field if depth.kind is DepthKind.DISPARITY else field)
    values = scale_smoothly(depth.values, factor)
    if depth.limit is not None:
        np.minimum(values, np.float32(depth.limit), out=values)
    return replace(depth, values=values)


def steady_results(results: Results) -> Results:
    """The same results, steadied, in their order; errors pass at once. At most `2 * _LOOK_AHEAD` maps are held."""
    steady: Steady | None = None
    waiting: deque[tuple[Frame, Result]] = deque()
    for frame, one in results:
        if isinstance(one, GlpnError) or not isinstance(one.prediction, DepthMap):
            yield frame, one
            continue
        if steady is None:
            camera = one.intrinsics
            is_known = camera is not None and camera.source != "assumed"
            steady = Steady(focal_px=camera.fx if camera is not None and is_known else None)
        waiting.append((frame, one))
        yield from _pair_up(waiting, steady.push(one.prediction, frame.read(at_least=enough_for_view).rgb))
    if steady is not None:
        yield from _pair_up(waiting, steady.flush())


def _pair_up(waiting: deque[tuple[Frame, Result]], depths: list[DepthMap]) -> Results:
    for depth in depths:
        frame, result = waiting.popleft()
        yield frame, replace(result, prediction=depth)
