"""Cameras: how long a focal length is in pixels, and where in space the pixels of a depth map are.

The camera is a pinhole that looks along z, with x to the right and y down (OpenCV's frame); pixel (x, y) counts from 0,
its centre is at whole numbers, and the optical axis meets the middle of the picture.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from glpn_cli.errors import ErrorCode, InputError, UsageError
from glpn_cli.options import MAX_FACES
from glpn_cli.prediction import DepthMap, Intrinsics
from glpn_cli.text import size_text

ASSUMED_FOV_DEG = 60.0
"""The field of view along the longer side where it is not known: a phone's main camera has 57 to 68."""

# A 35 mm film frame is 36 mm x 24 mm. Pictures have other shapes, so equivalents are by the diagonal, as cameras do it.
_FILM_DIAGONAL_MM = math.hypot(36.0, 24.0)
_LEAST_FOCAL = 0.01
_NUMBER = r"(\d+(?:\.\d*)?|\.\d+)"
_FOCAL = re.compile(_NUMBER + " ?(px|mm|deg)")
_INTRINSICS = re.compile(", ?".join([_NUMBER] * 4))
_MOST_PX = 1e6

# A slide from a foreground to a background: steeper than a surface turned away by 70 degrees, a tenth of the depth at
# least, and going on beyond its ends for a third of what a plane would.
_STEEP = math.tan(math.radians(70.0))
_LEAST_STEP = 0.1
_GOING_ON = 0.33
_WELL_BETWEEN = 0.15
_BAND_PIXELS = 1 << 18
_DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))

_T = TypeVar("_T", bound=np.generic)


class Axes(StrEnum):
    """Which way the axes of points in space go.

    OPENCV   x right, y down, z forward
    OPENGL   x right, y up, z backward
    BLENDER  x right, y forward, z up
    DIRECTX  x right, y down, z backward: left-handed, for normals alone
    """

    OPENCV = "opencv"
    OPENGL = "opengl"
    BLENDER = "blender"
    DIRECTX = "directx"

    @property
    def from_camera(self) -> NDArray[np.float32]:
        """float32 (3, 3): turns OpenCV's axes into these; rows are the new axes. Its transpose turns them back."""
        return np.array(_AXES[self], np.float32)


_AXES = {
    Axes.OPENCV: ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    Axes.OPENGL: ((1, 0, 0), (0, -1, 0), (0, 0, -1)),
    Axes.BLENDER: ((1, 0, 0), (0, 0, 1), (0, -1, 0)),
    Axes.DIRECTX: ((1, 0, 0), (0, 1, 0), (0, 0, -1)),
}


@dataclass(frozen=True)
class FocalChoice:
    """The focal length that was asked for: `auto`, a number of px, mm or deg, or intrinsics: `fx,fy,cx,cy`.

    px:  pixels of the upright picture
    mm:  as on a 35 mm camera, by the diagonal
    deg: the horizontal field of view

    fx and fy are focal lengths in pixels of the upright picture; cx and cy is where the optical axis meets it, from 0
    in the middle of the pixel at the top left. Raises UsageError for anything else.
    """

    text: str = "auto"

    @classmethod
    def from_intrinsics(cls, text: str) -> FocalChoice:
        """Read `fx,fy,cx,cy` alone. Raises UsageError."""
        if _INTRINSICS.fullmatch(text) is None:
            raise UsageError(
                f"--intrinsics {text!r} is no camera",
                hint="Write fx,fy,cx,cy in pixels of the upright picture: --intrinsics 525,525,319.5,239.5.",
            )
        return cls(text)

    def __post_init__(self) -> None:
        if self.text == "auto":
            return
        if (camera := _INTRINSICS.fullmatch(self.text)) is not None:
            if not all(_LEAST_FOCAL <= float(focal) <= _MOST_PX for focal in camera.group(1, 2)):
                raise UsageError(f"--intrinsics {self.text!r}: fx and fy go from {_LEAST_FOCAL:g} to {_MOST_PX:g}")
            return
        found = _FOCAL.fullmatch(self.text)
        if found is None:
            raise UsageError(
                f"--focal {self.text!r} is no focal length",
                hint="Write for example 518px (pixels of the picture), 28mm (35 mm equivalent) or 65deg (horizontal).",
            )
        value = float(found[1])
        most = {"px": _MOST_PX, "mm": 10_000.0, "deg": 179.0}[found[2]]
        if not _LEAST_FOCAL <= value <= most:
            raise UsageError(f"--focal {self.text!r} is out of range: {_LEAST_FOCAL:g} to {most:g}{found[2]}")

    def camera(
        self, size: tuple[int, int], *, exif_mm: float | None = None, known: Intrinsics | None = None
    ) -> Intrinsics:
        """The camera of a picture of (H, W): from the option, else from the depth file, else by EXIF, else assumed.

        exif_mm: the 35 mm equivalent that the camera wrote
        known:   what a depth file recorded; an assumption in it counts for nothing

        Raises InputError for intrinsics whose optical axis is outside of the picture: they are of another size.
        """
        if (given := _INTRINSICS.fullmatch(self.text)) is not None:
            fx, fy, cx, cy = map(float, given.groups())
            if cx > size[1] - 1 or cy > size[0] - 1:
                raise InputError(
                    f"the optical axis of --intrinsics is at {cx:g},{cy:g}, outside of the picture, which is "
                    f"{size_text(size)}",
                    hint="Scale the intrinsics to the size of the pictures.",
                    code=ErrorCode.DATA,
                )
            return Intrinsics(fx, fy, cx, cy, "option")
        if (found := _FOCAL.fullmatch(self.text)) is not None:
            value = float(found[1])
            match found[2]:
                case "px":
                    focal = value
                case "mm":
                    focal = _focal_from_35mm(value, size)
                case _:
                    focal = focal_from_fov(value, size[1])
            return make_camera(focal, size, source="option")
        if known is not None and known.source != "assumed":
            return known
        if exif_mm is not None:
            return make_camera(_focal_from_35mm(exif_mm, size), size, source="exif")
        return make_camera(focal_from_fov(ASSUMED_FOV_DEG, max(size)), size, source="assumed")


@dataclass(frozen=True)
class PointCloudOptions:
    """How depth becomes points, meshes and normals in space.

    focal:     the focal length that was asked for
    axes:      which way x, y and z go; None: as is usual in the format
    edge_cull: leave out points that hang between a foreground and a background, and cut meshes there
    stride:    2 keeps every second row and column
    voxel_m:   keep one point in every cube with sides of this many metres
    max_faces: the most triangles of a mesh
    camera:    the camera of the picture; None until it is known
    """

    focal: FocalChoice = field(default_factory=FocalChoice)
    axes: Axes | None = None
    edge_cull: bool = False
    stride: int = 1
    voxel_m: float | None = None
    max_faces: int = MAX_FACES
    camera: Intrinsics | None = None

    def __post_init__(self) -> None:
        if self.voxel_m is not None and not 0 < self.voxel_m < math.inf:
            raise UsageError(f"cubes of {self.voxel_m:g} m make no sense", hint="Write --voxel 0.02, for example.")


def make_camera(focal_px: float, size: tuple[int, int], *, source: str) -> Intrinsics:
    """A camera with square pixels whose axis meets the middle of a picture of (H, W)."""
    height, width = size
    return Intrinsics(focal_px, focal_px, (width - 1) / 2, (height - 1) / 2, source)


def _focal_from_35mm(focal_mm: float, size: tuple[int, int]) -> float:
    """A 35 mm equivalent in pixels of a picture of (H, W), by the diagonal: turning the picture changes nothing."""
    return focal_mm * math.hypot(*size) / _FILM_DIAGONAL_MM


def focal_to_35mm(focal_px: float, size: tuple[int, int]) -> float:
    """The 35 mm equivalent of a focal length in pixels of a picture of (H, W)."""
    return focal_px * _FILM_DIAGONAL_MM / math.hypot(*size)


def focal_from_fov(fov_deg: float, side: int) -> float:
    """The focal length, in pixels, that sees `fov_deg` degrees along a side of `side` pixels."""
    return 0.5 * side / math.tan(math.radians(fov_deg) / 2)


def fov_deg(focal_px: float, side: int) -> float:
    """The field of view along a side of `side` pixels, degrees."""
    return 2 * math.degrees(math.atan2(side / 2, focal_px))


def back_project(depth: NDArray[np.float32], intrinsics: Intrinsics) -> NDArray[np.float32]:
    """Where the pixels of a depth map are in space.

    depth: float32 (H, W), along the optical axis. Returns float32 (H, W, 3), OpenCV's axes, in the depth's unit.
    """
    height, width = depth.shape
    points = np.empty((height, width, 3), np.float32)
    np.multiply(depth, ((np.arange(width) - intrinsics.cx) / intrinsics.fx).astype(np.float32), out=points[..., 0])
    down = ((np.arange(height) - intrinsics.cy) / intrinsics.fy).astype(np.float32)
    np.multiply(depth, down[:, None], out=points[..., 1])
    points[..., 2] = depth
    return points


def depth_from_ray(length: NDArray[np.float32], intrinsics: Intrinsics) -> NDArray[np.float32]:
    """Depth along the optical axis from length along the ray of each pixel: both float32 (H, W), one unit, 0 stays 0.

    z = length / sqrt(1 + ((x - cx) / fx)^2 + ((y - cy) / fy)^2); renderers and laser scanners often store length.
    """
    height, width = length.shape
    x, y = (np.arange(width) - intrinsics.cx) / intrinsics.fx, (np.arange(height) - intrinsics.cy) / intrinsics.fy
    return (length / np.sqrt(1 + x**2 + y[:, None] ** 2)).astype(np.float32)


def project(points: NDArray[np.float32], intrinsics: Intrinsics) -> NDArray[np.float64]:
    """Where points in space, (N, 3) in OpenCV's axes with z > 0, are in the picture: float64 (N, 2), x and y."""
    x, y, z = points.astype(np.float64).T
    return np.stack([x / z * intrinsics.fx + intrinsics.cx, y / z * intrinsics.fy + intrinsics.cy], axis=1)


def find_normals(depth: DepthMap, intrinsics: Intrinsics) -> NDArray[np.float32]:
    """Unit normals of the surfaces, towards the camera: float32 (H, W, 3), OpenCV's axes; 0, 0, 0 in holes.

    They are exact on planes. At a silhouette, a pixel takes the slope towards the neighbour that is nearer in depth.
    The depth's scale does not matter. Borders have normals too; a pixel without two neighbours has none.
    """
    height, width = depth.size
    normals = np.empty((height, width, 3), np.float32)
    rows = max(1, _BAND_PIXELS // width)
    for start in range(0, height, rows):  # a band at a time, with the rows beside it
        top, stop = max(0, start - 1), min(height, start + rows)
        band = slice(top, min(height, stop + 1))
        with np.errstate(all="ignore"):  # the values of holes may be anything
            points = back_project(depth.values[band], replace(intrinsics, cy=intrinsics.cy - top))
            if depth.valid is not None:
                points[~depth.valid[band]] = np.nan
            normal = np.cross(_slope(points, 0), _slope(points, 1))
            normal /= np.linalg.norm(normal, axis=2, keepdims=True)
            normal[(normal * points).sum(axis=2) > 0] *= -1
        normals[start:stop] = np.nan_to_num(normal[start - top : stop - top], copy=False, nan=0, posinf=0, neginf=0)
    return normals


def _slope(points: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """How far the next point along an axis is, (H, W, 3): by both neighbours where they agree, else by the nearer."""
    step = np.diff(points, axis=axis)
    gap = np.full((points.shape[0], 1, 3) if axis else (1, points.shape[1], 3), np.nan, np.float32)
    forward, backward = np.concatenate([step, gap], axis), np.concatenate([gap, step], axis)
    ahead, behind = (np.nan_to_num(np.abs(each[..., 2:]), nan=np.inf) for each in (forward, backward))
    both = (ahead <= 2 * behind) & (behind <= 2 * ahead) & (ahead < np.inf)
    return np.where(both, forward + backward, np.where(ahead < behind, forward, backward))


def find_parting(depths: NDArray[np.float32], intrinsics: Intrinsics, *, stride: float) -> NDArray[np.bool_]:
    """Which triangles span two surfaces: depths (N, 3) of corners that are `stride` pixels apart; bool (N,)."""
    steepest = max(_LEAST_STEP, stride * math.hypot(1 / intrinsics.fx, 1 / intrinsics.fy) * _STEEP)
    parts: NDArray[np.bool_] = np.log(depths.max(axis=1) / depths.min(axis=1)) > steepest
    return parts


def find_hanging(depth: DepthMap, intrinsics: Intrinsics) -> NDArray[np.bool_]:
    """Which pixels hang in the air between a foreground and a background, bool (H, W).

    Networks do not jump at a silhouette but slide, and back-projected the slide is a curtain between two surfaces. A
    slide is steep and then ends. A surface, however steep, goes on: the inverse depth of a plane is linear in the
    picture, so over twice the distance it changes twice as much. A pixel hangs where, along a row, a column or a
    diagonal, it is well between a nearer and a farther pixel, the step from one to the other is steep, and twice as far
    out it is hardly more. Slides may be as wide as a thirtieth of the picture. The two surfaces keep their last pixels.
    """
    height, width = depth.size
    hanging = np.zeros((height, width), np.bool_)
    known = depth.values > 0 if depth.valid is None else depth.valid & (depth.values > 0)
    metres: NDArray[np.float32] = np.where(known, depth.values, np.float32(np.nan))
    inverse: NDArray[np.float32] = np.reciprocal(metres)
    log_depth: NDArray[np.float32] = np.log(metres)
    reach = 1
    while reach <= max(4, min(height, width) // 60):
        for down, right in _DIRECTIONS:
            before, after = (-reach * down, -reach * right), (reach * down, reach * right)
            # A surface turned away by an angle from facing the camera changes by tan(angle) / f of itself in a pixel.
            apart = 2 * math.hypot(after[0] / intrinsics.fy, after[1] / intrinsics.fx)
            steepest = max(_LEAST_STEP, apart * _STEEP)
            if 4 * after[0] < height and 4 * abs(after[1]) < width:
                _mark_slides(hanging, inverse, log_depth, before, after, steepest)
        reach *= 2
    return hanging


def _mark_slides(
    hanging: NDArray[np.bool_],
    inverse: NDArray[np.float32],
    log_depth: NDArray[np.float32],
    before: tuple[int, int],
    after: tuple[int, int],
    steepest: float,
) -> None:
    """Mark the pixels in the middle of slides between two places beside them, given as (down, right)."""
    margin = 2 * after[0], 2 * abs(after[1])

    def at(values: NDArray[_T], place: tuple[int, int], times: int = 1) -> NDArray[_T]:
        """The values beside each of the pixels that have room for two such steps on either side."""
        return values[_shifted(times * place[0], margin[0]), _shifted(times * place[1], margin[1])]

    with np.errstate(divide="ignore", invalid="ignore"):
        step = at(log_depth, after) - at(log_depth, before)
        share = (at(log_depth, (0, 0)) - at(log_depth, before)) / step
        between = (np.abs(step) > steepest) & (share > _WELL_BETWEEN) & (share < 1 - _WELL_BETWEEN)
        beyond_after = np.abs(at(inverse, after, 2) - at(inverse, after))
        beyond_before = np.abs(at(inverse, before) - at(inverse, before, 2))
        ends = beyond_after + beyond_before < _GOING_ON * np.abs(at(inverse, after) - at(inverse, before))
    at(hanging, (0, 0))[...] |= between & ends


def _shifted(by: int, margin: int) -> slice:
    """The rows or columns `by` behind those that keep `margin` from both ends."""
    return slice(margin + by, by - margin or None)
