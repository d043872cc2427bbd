"""PLY: the valid pixels as coloured points in space, in metres; binary, with the record as comments.

The points stand in the order of the picture's rows. Since the record tells camera and size, a cloud of ours goes back
into the depth map that it was made of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from glpn_cli.depth_files.base import EncodedFile, StoredDepth, check_size, depth_from_values
from glpn_cli.depth_files.record import PROGRAM, Record, pixels_checksum
from glpn_cli.depth_files.space import SpaceFormat, read_point_colors
from glpn_cli.errors import ErrorCode, InputError, UsageError
from glpn_cli.geometry import Axes, back_project, find_hanging, project
from glpn_cli.prediction import DepthKind, Intrinsics, Result

SIGNATURE = b"ply\n"
_FORMAT = b"format binary_little_endian 1.0\n"
_COMMENT = b"comment "
_OWN_HEAD = SIGNATURE + _FORMAT + _COMMENT + b"Software " + PROGRAM.encode() + b" "
_MAX_HEADER = 1 << 16
_BLOCK = 1 << 18
"""Points that are brought back to pixels at once: all of them took 75 bytes a pixel."""

_POINT = np.dtype([("xyz", "<f4", 3), ("rgb", "u1", 3)])
_PROPERTIES = (
    b"property float x\nproperty float y\nproperty float z\n"
    b"property uchar red\nproperty uchar green\nproperty uchar blue\n"
)
_END = b"end_header\n"


class Ply(SpaceFormat):
    """Depth as a cloud of points, in the colours of the picture; painted by depth where that is not at hand."""

    format: ClassVar[str] = "ply"
    extension: ClassVar[str] = ".ply"
    map: ClassVar[str] = "points"
    uses: ClassVar[tuple[str, ...]] = ("edge_cull", "stride", "voxel_m")
    own_marks: ClassVar[tuple[tuple[bytes, int], ...]] = ((_OWN_HEAD, 0),)

    @classmethod
    def sniff(cls, head: bytes) -> bool:
        """Whether a file is PLY."""
        return head.startswith(SIGNATURE)

    @classmethod
    def peek(cls, head: bytes) -> Mapping[str, str]:
        """The comments at the beginning of one of our files."""
        if not head.startswith(_OWN_HEAD):
            return {}
        text: dict[str, str] = {}
        for line in head[len(SIGNATURE + _FORMAT) :].split(b"\n"):
            if not line.startswith(_COMMENT):
                break
            key, _, value = line[len(_COMMENT) :].decode("latin-1").partition(" ")
            text[key] = value
        return text

    @classmethod
    def ends_whole(cls, head: bytes, tail: bytes, length: int) -> bool:  # noqa: ARG003
        """Whether all points are there that the header counts."""
        end = head.find(_END) + len(_END)
        return end < len(_END) or head[: end - len(_END)].endswith(_elements((length - end) // _POINT.itemsize))

    @classmethod
    def decode(cls, data: bytes, *, depth_scale: float | None, kind: DepthKind, max_pixels: int) -> StoredDepth:  # noqa: ARG003
        """The map of a cloud of ours, with holes where there is no point. Raises InputError."""
        end = data.find(_END, 0, _MAX_HEADER)
        record = Record.from_text(cls.peek(data[:end])) if end >= 0 else None
        if record is None or record.cloud is None or record.size is None or record.cloud.camera is None:
            raise InputError(
                "this is a cloud of points that does not say which pixels they were", code=ErrorCode.UNSUPPORTED
            )
        check_size(*record.size, max_pixels)
        body = memoryview(data)[end + len(_END) :]
        count = len(body) // _POINT.itemsize
        if len(body) % _POINT.itemsize or not data[:end].endswith(_elements(count)):
            raise InputError("the PLY file is damaged or cut short")
        record.check_pixels(np.frombuffer(body, np.uint8))
        values = _to_map(
            np.frombuffer(body, _POINT)["xyz"], record.cloud.axes or cls.usual, record.cloud.camera, record.size
        )
        return StoredDepth(
            depth_from_values(values, kind=record.depth_kind, limit_m=record.limit_m), record, cls.format
        )

    def check(self, kind: DepthKind, limit_m: float | None) -> None:
        """Refuse depth that is no metres, and axes that points cannot have (UsageError)."""
        super().check(kind, limit_m)
        if self.axes is Axes.DIRECTX:
            raise UsageError("--axes directx is for normals: points in it would be a mirror image")

    def encode(self, result: Result) -> EncodedFile:
        """The PLY file."""
        depth = self.depth_of(result)
        record, camera = self.make_record(result, depth)
        cloud = self.cloud
        kept = np.zeros(depth.size, np.bool_)
        thinned = slice(None, None, cloud.stride), slice(None, None, cloud.stride)
        kept[thinned] = True if depth.valid is None else depth.valid[thinned]
        if cloud.edge_cull:
            kept &= ~find_hanging(depth, camera)
        # The values of holes may be anything; only points that are kept are asked for.
        with np.errstate(all="ignore"):
            places = back_project(depth.values, camera)[kept]
        colors = read_point_colors(result, depth)[kept]
        if cloud.voxel_m is not None:
            one_each = _one_in_each_cube(places, cloud.voxel_m)
            places, colors = places[one_each], colors[one_each]
        points = np.empty(len(places), _POINT)
        points["xyz"] = places @ self.axes.from_camera.T
        points["rgb"] = colors
        record = replace(record, pixels_crc32=pixels_checksum(points.view(np.uint8)))
        return EncodedFile(_header(record.to_text(), len(points)) + points.tobytes(), record)


def _one_in_each_cube(points: NDArray[np.float32], side_m: float) -> NDArray[np.intp]:
    """The indices of the first point, (N, 3), in every cube with sides of `side_m` metres, in their order."""
    # Cubes are numbered; where there are more than int64 counts, every point has one of its own.
    with np.errstate(all="ignore"):
        steps = np.floor(points / np.float32(side_m))
    if not np.abs(steps).max(initial=0) < 2.0**62:
        return np.arange(len(points))
    cubes = steps.astype(np.int64)
    cubes -= cubes.min(axis=0, initial=0)
    spans = cubes.max(axis=0, initial=0) + 1
    if float(spans[0]) * float(spans[1]) * float(spans[2]) >= 2.0**63:
        return np.arange(len(points))
    _, first = np.unique((cubes[:, 0] * spans[1] + cubes[:, 1]) * spans[2] + cubes[:, 2], return_index=True)
    return np.sort(first)


def _header(text: Mapping[str, str], count: int) -> bytes:
    comments = "".join(f"comment {key} {value}\n" for key, value in text.items())
    return SIGNATURE + _FORMAT + comments.encode("ascii") + _elements(count) + _END


def _elements(count: int) -> bytes:
    return b"element vertex %d\n" % count + _PROPERTIES


def _to_map(points: NDArray[np.float32], axes: Axes, camera: Intrinsics, size: tuple[int, int]) -> NDArray[np.float32]:
    """float32 (H, W) of points (N, 3). Raises InputError where one is at no pixel."""
    depth = np.full(size, np.nan, np.float32)
    for start in range(0, len(points), _BLOCK):
        seen = points[start : start + _BLOCK] @ axes.from_camera
        where = np.rint(project(seen, camera))
        is_inside = (where >= 0) & (where < (size[1], size[0]))  # false for what is no number too
        if not is_inside.all():
            raise InputError("the PLY file is damaged: a point lies outside of its picture")
        columns, rows = where.astype(np.intp).T
        depth[rows, columns] = seen[:, 2]
    return depth
