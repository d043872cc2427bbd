"""A furnished room in arrays, as the kernels see it; `render` makes it of what `parts` has drawn."""

from __future__ import annotations

from typing import Any, NamedTuple

from numpy.typing import NDArray


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
