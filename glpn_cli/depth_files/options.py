"""The settings of painted maps and of point clouds, as `predict` and `export` take them and records keep them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from glpn_cli.colormaps import COLORMAPS, IMAGE_RANGE, RangePolicy
from glpn_cli.errors import UsageError
from glpn_cli.geometry import Axes, FocalChoice
from glpn_cli.prediction import DepthKind, Intrinsics

MAX_FACES = 1_000_000
"""The most triangles of a mesh, unless more are asked for: viewers on a phone still turn it."""


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
    colormap: str = "spectral"
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
        if self.contours_m is not None and not kind.is_metric:
            raise UsageError(f"contours need metres, and this model gives {kind.value} depth")


@dataclass(frozen=True)
class PointCloudOptions:
    """How depth becomes points, meshes and normals in space.

    focal:     the focal length that was asked for
    axes:      which way x, y and z go; None: as is usual in the format
    edge_cull: leave out points that hang between a foreground and a background, and cut meshes there
    stride:    keep every so-manieth row and column
    voxel_m:   keep one point in every cube with sides of so many metres
    max_faces: the most triangles of a mesh
    size:      (H, W) of the map that the points are of; None until there is one
    camera:    the camera that they were seen by; None until it is known
    """

    focal: FocalChoice = field(default_factory=FocalChoice)
    axes: Axes | None = None
    edge_cull: bool = False
    stride: int = 1
    voxel_m: float | None = None
    max_faces: int = MAX_FACES
    size: tuple[int, int] | None = None
    camera: Intrinsics | None = None

    def __post_init__(self) -> None:
        if self.voxel_m is not None and not 0 < self.voxel_m < math.inf:
            raise UsageError(f"cubes of {self.voxel_m:g} m make no sense", hint="Write --voxel 0.02, for example.")
