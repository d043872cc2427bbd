"""PLY: the valid pixels as coloured points in space, in metres; binary, with the record as comments.

The points stand in the order of the picture's rows. Since the record tells camera and size, a cloud of ours goes back
into the depth map that it was made of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from glpn_cli.colormaps import IMAGE_RANGE, paint, resolve_range
from glpn_cli.depth_files.base import (
    DepthReadOptions,
    EncodedFile,
    Format,
    StoredDepth,
    depth_from_values,
    depth_of,
    expect_depth,
)
from glpn_cli.depth_files.contents import check_size
from glpn_cli.depth_files.options import PointCloudOptions
from glpn_cli.depth_files.record import PROGRAM, Record, make_record
from glpn_cli.errors import ErrorCode, InputError, OutputError, UsageError
from glpn_cli.geometry import back_project, find_hanging, project
from glpn_cli.prediction import DepthKind, DepthMap, Intrinsics, Provenance, Result

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


@dataclass(frozen=True)
class Ply(Format):
    """Depth as a cloud of points, in the colours of the picture; painted by depth where that is not at hand."""

    cloud: PointCloudOptions = field(default_factory=PointCloudOptions)

    format: ClassVar[str] = "ply"
    extension: ClassVar[str] = ".ply"
    map: ClassVar[str] = "points"
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
    def decode(cls, data: bytes, options: DepthReadOptions) -> StoredDepth:
        """The map of a cloud of ours, with holes where there is no point. Raises InputError."""
        end = data.find(_END, 0, _MAX_HEADER)
        record = Record.from_text(cls.peek(data[:end])) if end >= 0 else None
        if record is None or record.cloud is None or record.cloud.size is None or record.cloud.camera is None:
            raise InputError(
                "this is a cloud of points that does not say which pixels they were", code=ErrorCode.UNSUPPORTED
            )
        check_size(*record.cloud.size, options.max_pixels)
        body = memoryview(data)[end + len(_END) :]
        count = len(body) // _POINT.itemsize
        if len(body) % _POINT.itemsize or not data[:end].endswith(_elements(count)):
            raise InputError("the PLY file is damaged or cut short")
        values = _to_map(np.frombuffer(body, _POINT)["xyz"], record.cloud, record.cloud.camera, record.cloud.size)
        return StoredDepth(
            depth_from_values(values, kind=record.depth_kind, limit_m=record.limit_m), record, cls.format
        )

    def check(self, kind: DepthKind, limit_m: float | None) -> None:  # noqa: ARG002
        """Refuse depth that is no metres (UsageError): without them nobody knows the shape."""
        if not kind.is_metric:
            raise UsageError(_no_metres(kind), hint=_WAY_OUT, code=ErrorCode.RANGE)

    def expect(self, source: str, *, kind: DepthKind, provenance: Provenance | None) -> Record | None:
        """The record of a file written now for `source`."""
        return replace(expect_depth(self, source, kind=kind, provenance=provenance), cloud=self.cloud)

    def encode(self, result: Result) -> EncodedFile:
        """The PLY file."""
        depth = depth_of(result)
        if not depth.kind.is_metric:
            raise OutputError(_no_metres(depth.kind), hint=_WAY_OUT, code=ErrorCode.RANGE)
        camera = result.intrinsics or self.cloud.focal.camera(depth.size)
        kept = np.ones(depth.size, np.bool_) if depth.valid is None else depth.valid
        if self.cloud.edge_cull:
            kept = kept & ~find_hanging(depth, camera)
        points = np.empty(int(kept.sum()), _POINT)
        # The values of holes may be anything; only points that are kept are asked for.
        with np.errstate(all="ignore"):
            points["xyz"] = back_project(depth.values, camera)[kept] @ self.cloud.axes.from_camera.T
        points["rgb"] = _colors(result, depth)[kept]
        record = replace(
            make_record(result, depth, format=self.format, map=self.map),
            cloud=replace(self.cloud, size=depth.size, camera=camera),
        )
        return EncodedFile(_header(record.to_text(), len(points)) + points.tobytes(), record)


_WAY_OUT = "Make metres of it by two known distances, glpn measure --calibrate, and then --calibration FILE."


def _no_metres(kind: DepthKind) -> str:
    return f"ply holds points in metres, and this is {kind.value} depth"


def _colors(result: Result, depth: DepthMap) -> NDArray[np.uint8]:
    """A colour for every pixel, uint8 (H, W, 3). Raises OutputError for a picture of another size."""
    try:
        colors = result.source.read_colors()
    except InputError:  # a stored map whose picture is elsewhere
        return paint(depth, range=resolve_range(IMAGE_RANGE, depth))
    if colors.shape[:2] != depth.size:
        raise OutputError(
            f"the picture is {colors.shape[1]}x{colors.shape[0]}, its depth map {depth.size[1]}x{depth.size[0]}: "
            "its colours do not belong to these points"
        )
    return colors


def _header(text: Mapping[str, str], count: int) -> bytes:
    comments = "".join(f"comment {key} {value}\n" for key, value in text.items())
    return SIGNATURE + _FORMAT + comments.encode("ascii") + _elements(count) + _END


def _elements(count: int) -> bytes:
    return b"element vertex %d\n" % count + _PROPERTIES


def _to_map(
    points: NDArray[np.float32], cloud: PointCloudOptions, camera: Intrinsics, size: tuple[int, int]
) -> NDArray[np.float32]:
    """float32 (H, W) of points (N, 3). Raises InputError where one is at no pixel."""
    depth = np.full(size, np.nan, np.float32)
    for start in range(0, len(points), _BLOCK):
        seen = points[start : start + _BLOCK] @ cloud.axes.from_camera
        where = np.rint(project(seen, camera))
        is_inside = (where >= 0) & (where < (size[1], size[0]))  # false for what is no number too
        if not is_inside.all():
            raise InputError("the PLY file is damaged: a point lies outside of its picture")
        columns, rows = where.astype(np.intp).T
        depth[rows, columns] = seen[:, 2]
    return depth
