"""What `measure` asks of a depth map: metres at pixels, in boxes, and between points in space."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from glpn_cli.calibration import KnownDistance
from glpn_cli.errors import ErrorCode, InputError, UsageError
from glpn_cli.prediction import DepthMap, Intrinsics

_PIXEL = re.compile(r"(\d{1,7}),(\d{1,7})")
_BOX = re.compile(r"(\d{1,7}),(\d{1,7}),(\d{1,7}),(\d{1,7})")
_KNOWN = re.compile(r"(\d{1,7}),(\d{1,7})=(\d+(?:\.\d*)?|\.\d+)m?")


@dataclass(frozen=True)
class Pixel:
    """A pixel of the upright picture: x to the right, y down, from 0 at the top left."""

    x: int
    y: int

    @classmethod
    def parse(cls, text: str) -> Pixel:
        """Read `320,240`. Raises UsageError."""
        if (found := _PIXEL.fullmatch(text)) is None:
            raise UsageError(f"{text!r} is no pixel", hint="Write x,y from the top left, counted from 0: 320,240.")
        return cls(int(found[1]), int(found[2]))

    def depth_in(self, depth: DepthMap) -> float | None:
        """What the map says there; None where it knows nothing. Raises UsageError outside of the picture."""
        height, width = depth.size
        if self.x >= width or self.y >= height:
            raise UsageError(
                f"pixel {self.x},{self.y} is outside of the picture, which is {width}x{height}",
                hint=f"Let x go from 0 to {width - 1}, y from 0 to {height - 1}.",
            )
        if depth.valid is not None and not depth.valid[self.y, self.x]:
            return None
        return float(depth.values[self.y, self.x])

    def distance_to(self, other: Pixel, depth: DepthMap, camera: Intrinsics) -> float | None:
        """How far the points at two pixels are from each other in space, metres; None where one of them is unknown."""
        points = []
        for pixel in (self, other):
            if (z := pixel.depth_in(depth)) is None:
                return None
            points.append(np.array([(pixel.x - camera.cx) / camera.fx, (pixel.y - camera.cy) / camera.fy, 1.0]) * z)
        return float(np.linalg.norm(points[0] - points[1]))


@dataclass(frozen=True)
class Spread:
    """The depths in a box, in the map's unit; None where nothing is known.

    middle, low, high: the median and the quarters around it
    valid_share:       share of its pixels where something is known, 0 to 1
    """

    box: Box
    valid_share: float
    middle: float | None = None
    low: float | None = None
    high: float | None = None
    nearest: float | None = None
    farthest: float | None = None


@dataclass(frozen=True)
class Box:
    """A part of the upright picture: columns x0 up to, but not with, x1; rows y0 up to, but not with, y1."""

    x0: int
    y0: int
    x1: int
    y1: int

    @classmethod
    def parse(cls, text: str) -> Box:
        """Read `100,50,300,200`. Raises UsageError."""
        if (found := _BOX.fullmatch(text)) is None:
            raise UsageError(f"--box {text!r} is no box", hint="Write x0,y0,x1,y1: --box 100,50,300,200.")
        box = cls(*map(int, found.groups()))
        if box.x1 <= box.x0 or box.y1 <= box.y0:
            raise UsageError(f"--box {text!r} has nothing in it", hint="Give the right and the lower end as x1 and y1.")
        return box

    def measure(self, depth: DepthMap) -> Spread:
        """Median and spread of the depths in it. Raises UsageError where it reaches out of the picture."""
        height, width = depth.size
        if self.x1 > width or self.y1 > height:
            raise UsageError(f"the box ends at {self.x1},{self.y1}, and the picture at {width},{height}")
        part = np.s_[self.y0 : self.y1, self.x0 : self.x1]
        values = depth.values[part] if depth.valid is None else depth.values[part][depth.valid[part]]
        share = values.size / ((self.x1 - self.x0) * (self.y1 - self.y0))
        if not values.size:
            return Spread(self, share)
        nearest, low, middle, high, farthest = map(float, np.percentile(values, (0, 25, 50, 75, 100)))
        return Spread(self, share, middle, low, high, nearest, farthest)


def look_up_known(texts: Sequence[str], depth: DepthMap) -> list[KnownDistance]:
    """What the map says where distances are known, from `320,240=2.35`.

    Raises UsageError for nonsense, InputError where the map knows nothing there.
    """
    points = []
    for text in texts:
        found = _KNOWN.fullmatch(text)
        if found is None or not float(found[3]) > 0:
            raise UsageError(
                f"--calibrate {text!r} is no known distance",
                hint="Write a pixel and its metres: --calibrate 320,240=2.35.",
            )
        pixel = Pixel(int(found[1]), int(found[2]))
        value = pixel.depth_in(depth)
        if value is None:
            hint = "Choose a pixel where it has a depth."
            raise InputError(f"the map knows nothing at {pixel.x},{pixel.y}", hint=hint, code=ErrorCode.DATA)
        points.append(KnownDistance(pixel.x, pixel.y, value, float(found[3])))
    return points
