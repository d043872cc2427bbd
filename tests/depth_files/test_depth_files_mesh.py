"""Meshes in glTF 2.0: its structure as others read it, flat where the room is flat, cut where surfaces part."""

from __future__ import annotations

import json
import math
import struct
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from depth_samples import SIZE, make_depth, make_result
from PIL import Image

from glpn_cli.depth_files import PointCloudOptions, is_own_output, make_writer, read_depth, read_record
from glpn_cli.depth_files.glb import Glb
from glpn_cli.errors import ErrorCode, InputError, OutputError, UsageError
from glpn_cli.geometry import Axes, make_camera
from glpn_cli.prediction import DepthKind, DepthMap

CAMERA = make_camera(60.0, SIZE, source="exif")


class Mesh:
    """A GLB file, read by the words of the specification alone."""

    def __init__(self, data: bytes) -> None:
        magic, version, length = struct.unpack_from("<4sII", data)
        assert (magic, version, length) == (b"glTF", 2, len(data))
        size, kind = struct.unpack_from("<I4s", data, 12)
        assert (kind, size % 4) == (b"JSON", 0)
        self.tree: dict[str, Any] = json.loads(data[20 : 20 + size])
        body_size, kind = struct.unpack_from("<I4s", data, 20 + size)
        assert kind == b"BIN\0"
        self.body = data[28 + size :]
        assert len(self.body) == body_size == self.tree["buffers"][0]["byteLength"]
        primitive = self.tree["meshes"][0]["primitives"][0]
        self.points = self.array(primitive["attributes"]["POSITION"])
        self.places = self.array(primitive["attributes"]["TEXCOORD_0"])
        self.faces = self.array(primitive["indices"]).reshape(-1, 3)

    def array(self, number: int) -> np.ndarray:
        accessor = self.tree["accessors"][number]
        dtype, width = {5126: "<f4", 5125: "<u4"}[accessor["componentType"]], {"SCALAR": 1, "VEC2": 2, "VEC3": 3}
        raw = self.view(accessor["bufferView"])
        return np.frombuffer(raw, dtype).reshape(accessor["count"], width[accessor["type"]])

    def view(self, number: int) -> bytes:
        view = self.tree["bufferViews"][number]
        assert view["byteOffset"] % 4 == 0
        return self.body[view["byteOffset"] :][: view["byteLength"]]


def make_mesh(depth: DepthMap, **options: Any) -> Mesh:
    return Mesh(Glb(PointCloudOptions(**options)).encode(make_result(depth, intrinsics=CAMERA)).data)


def wall(distance: float = 2.0) -> np.ndarray:
    return np.full(SIZE, distance, np.float32)


def test_a_wall_is_a_flat_rectangle_upright_before_the_camera() -> None:
    mesh = make_mesh(DepthMap(wall()))
    height, width = SIZE
    assert len(mesh.points) == height * width
    assert len(mesh.faces) == 2 * (height - 1) * (width - 1)
    np.testing.assert_allclose(mesh.points[:, 2], -2)
    top_left = mesh.points[0]
    np.testing.assert_allclose(top_left, [-(width - 1) / 2 / 60 * 2, (height - 1) / 2 / 60 * 2, -2], rtol=1e-6)
    np.testing.assert_allclose(mesh.places[0], [0.5 / width, 0.5 / height], rtol=1e-6)
    corners = mesh.points[mesh.faces].astype(np.float64)
    facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (facing[:, 2] > 0).all(), "every triangle shows its front to the camera"


def test_stated_bounds_are_those_of_the_points() -> None:
    mesh = make_mesh(make_depth(holes=True))
    accessor = mesh.tree["accessors"][0]
    np.testing.assert_array_equal(np.float32(accessor["min"]), mesh.points.min(axis=0))
    np.testing.assert_array_equal(np.float32(accessor["max"]), mesh.points.max(axis=0))


def test_the_texture_is_the_picture_and_the_camera_sees_what_it_saw() -> None:
    mesh = make_mesh(DepthMap(wall()))
    image = Image.open(BytesIO(mesh.view(mesh.tree["images"][0]["bufferView"])))
    assert image.size == (SIZE[1], SIZE[0])
    np.testing.assert_allclose(np.asarray(image).reshape(-1, 3).mean(axis=0), (200, 100, 50), atol=2)
    seen = mesh.tree["cameras"][0]["perspective"]
    assert seen["yfov"] == pytest.approx(2 * math.atan(SIZE[0] / 2 / 60))
    assert seen["aspectRatio"] == pytest.approx(SIZE[1] / SIZE[0])


def test_holes_are_holes_and_every_vertex_is_used() -> None:
    depth = make_depth(holes=True)
    assert depth.valid is not None
    mesh = make_mesh(depth)
    assert set(np.unique(mesh.faces)) == set(range(len(mesh.points)))
    assert len(mesh.points) <= depth.valid.sum()
    assert np.isfinite(mesh.points).all()


def test_surfaces_that_part_are_cut_where_that_is_asked_for() -> None:
    values = wall()
    values[:, 32:] = 4
    sheet, cut = make_mesh(DepthMap(values)), make_mesh(DepthMap(values), edge_cull=True)

    def spans(mesh: Mesh) -> int:
        return int((np.ptp(mesh.points[mesh.faces][..., 2], axis=1) > 1).sum())

    assert spans(sheet) == 2 * (SIZE[0] - 1)
    assert spans(cut) == 0
    assert len(cut.faces) == len(sheet.faces) - 2 * (SIZE[0] - 1)


def test_a_steep_floor_is_not_cut() -> None:
    rows = np.arange(SIZE[0])[:, None] - CAMERA.cy
    below = np.where(rows > 12, 1.2 * CAMERA.fy / np.maximum(rows, 1), np.nan)
    values = np.broadcast_to(below, SIZE).astype(np.float32)
    floor = DepthMap(np.nan_to_num(values, nan=0), valid=np.isfinite(values))
    assert len(make_mesh(floor, edge_cull=True).faces) == len(make_mesh(floor).faces)


@pytest.mark.parametrize("most", [2, 7, 100, 5000])
def test_no_more_faces_than_are_allowed_from_border_to_border(most: int) -> None:
    mesh = make_mesh(DepthMap(wall()), max_faces=most)
    assert 0 < len(mesh.faces) <= most
    whole = make_mesh(DepthMap(wall()))
    np.testing.assert_array_equal(mesh.points.min(axis=0), whole.points.min(axis=0))
    np.testing.assert_array_equal(mesh.points.max(axis=0), whole.points.max(axis=0))


def test_the_record_stands_in_the_extras_of_the_asset() -> None:
    data = Glb(PointCloudOptions(edge_cull=True)).encode(make_result(make_depth(), intrinsics=CAMERA)).data
    extras = Mesh(data).tree["asset"]["extras"]
    assert extras["glpn:map"] == "mesh"
    assert extras["glpn:unit"] == "m"
    record = read_record(data)
    assert record is not None
    assert record.to_text() == extras
    assert record.cloud is not None
    assert record.cloud.axes is Axes.OPENGL
    assert record.cloud.camera is not None
    assert record.cloud.camera.fx == 60
    assert is_own_output(data)


def test_a_mesh_is_no_depth_map() -> None:
    data = Glb().encode(make_result(make_depth())).data
    with pytest.raises(InputError, match="mesh"):
        read_depth(data)


def test_depth_without_metres_is_refused_at_planning_and_while_writing() -> None:
    with pytest.raises(UsageError, match="metres") as planned:
        make_writer("glb", kind=DepthKind.DISPARITY, limit_m=None)
    assert planned.value.code is ErrorCode.RANGE
    with pytest.raises(OutputError, match="metres"):
        Glb().encode(make_result(make_depth(kind=DepthKind.AFFINE)))


@pytest.mark.parametrize("size", [(1, 64), (48, 1), (1, 1)])
def test_a_map_one_pixel_wide_has_no_surface(size: tuple[int, int]) -> None:
    with pytest.raises(OutputError, match="surface"):
        Glb().encode(make_result(DepthMap(np.ones(size, np.float32)), size=size))
