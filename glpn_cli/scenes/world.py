"""What the kernels see: a furnished room in arrays, which `render` makes of what `parts` has drawn, and a camera."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Pose(NamedTuple):
    """A camera in the room: position in metres, directions of the picture's right, down and forward."""

    position: tuple[float, float, float]
    right: tuple[float, float, float]
    down: tuple[float, float, float]
    forward: tuple[float, float, float]

    def matrix(self) -> NDArray[np.float64]:
        """float64 (4, 4): takes points of the camera to the room, see `poses`."""
        matrix = np.eye(4)
        matrix[:3] = np.stack([self.right, self.down, self.forward, self.position], axis=1)
        return matrix

    def angles(self) -> tuple[float, float, float]:
        """Yaw, pitch and roll, radians, as `make_pose` takes them."""
        pitch = math.asin(self.forward[2])
        return math.atan2(self.forward[1], self.forward[0]), pitch, math.asin(-self.right[2] / math.cos(pitch))


class World(NamedTuple):
    """Everything that light can meet; all float64.

    nodes:     (N, 14) the tree over the solids, see `rays.grow_tree`
    solids:    (N, 24) see `solids`
    air:       (N, 12) cuboids whose union is the air of the rooms: corners, then the material of each face
    materials: (N, 27) see `materials.Material.row`
    lights:    (N, 18) see `lighting`
    sky:       (9,) see `lighting`
    """

    nodes: NDArray[Any]
    solids: NDArray[Any]
    air: NDArray[Any]
    materials: NDArray[Any]
    lights: NDArray[Any]
    sky: NDArray[Any]


class Seen(NamedTuple):
    """What every pixel of a picture sees; (H, W) each.

    depth:   float32, metres along the optical axis
    who:     int64, the surface, as in `hits.paint_hit`
    what:    int64, its material
    spots:   float32 (H, W, 7): where it is, its normal with its dents, and how far rays that leave it start above it
    albedo:  float32 (H, W, 4): its colour, and its glow
    normals: float32 (H, W, 3), true ones, in the camera's frame
    labels:  uint8, see `parts.Label`
    """

    depth: NDArray[Any]
    who: NDArray[Any]
    what: NDArray[Any]
    spots: NDArray[Any]
    albedo: NDArray[Any]
    normals: NDArray[Any]
    labels: NDArray[Any]
