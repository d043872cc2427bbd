"""Clouds of points: read by others, flat where the room is flat, and back into the map that they were made of."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from io import BytesIO

import numpy as np
import plyfile
import pytest
from depth_samples import PROVENANCE, SIZE, make_depth, make_result

from glpn_cli.depth_files import PointCloudOptions, make_writer, read_depth, read_record
from glpn_cli.depth_files.ply import Ply
from glpn_cli.errors import ErrorCode, InputError, OutputError, UsageError
from glpn_cli.geometry import Axes, FocalChoice, back_project, focal_to_35mm, make_camera
from glpn_cli.prediction import DepthKind, DepthMap, Intrinsics

CAMERA = make_camera(60.0, SIZE, source="exif")


def read_points(data: bytes) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """xyz (N, 3), rgb (N, 3) and the comments, as plyfile sees them."""
    ply = plyfile.PlyData.read(BytesIO(data))
    vertex = ply["vertex"]
    xyz = np.stack([vertex[name] for name in "xyz"], 1)
    return xyz, np.stack([vertex[name] for name in ("red", "green", "blue")], 1), ply.comments


def test_plyfile_reads_points_colours_and_what_the_file_says_of_itself() -> None:
    depth = make_depth(holes=True)
    xyz, rgb, comments = read_points(Ply().encode(make_result(depth, intrinsics=CAMERA)).data)
    assert depth.valid is not None
    np.testing.assert_array_equal(xyz, back_project(depth.values, CAMERA)[depth.valid])
    assert (rgb == (200, 100, 50)).all()
    assert "glpn:unit m" in comments
    assert "glpn:model nyu" in comments
    assert f"glpn:weights_sha256 {'ab' * 32}" in comments
    assert "glpn:focal_px 60" in comments
    assert "glpn:focal_source exif" in comments
    assert "glpn:source rooms/a.jpg" in comments


@pytest.mark.parametrize("axes", Axes)
def test_every_choice_of_axes_goes_back_into_the_same_map(axes: Axes) -> None:
    depth = make_depth(holes=True)
    data = Ply(PointCloudOptions(axes=axes)).encode(make_result(depth, intrinsics=CAMERA)).data
    stored = read_depth(data)
    assert np.array_equal(stored.depth.valid, depth.valid)
    assert np.array_equal(stored.depth.valid_values(), depth.valid_values())
    x, y, z = read_points(data)[0].T
    match axes:
        case Axes.OPENCV:
            assert z.min() > 0
        case Axes.OPENGL:
            assert z.max() < 0
        case Axes.BLENDER:
            assert y.min() > 0
    assert x.min() < 0 < x.max()


def test_the_first_row_is_above_the_last_where_up_is_up() -> None:
    depth = DepthMap(np.ones((9, 5), np.float32))
    result = make_result(depth, size=(9, 5))
    assert read_points(Ply(PointCloudOptions(axes=Axes.OPENGL)).encode(result).data)[0][0, 1] > 0
    assert read_points(Ply(PointCloudOptions(axes=Axes.BLENDER)).encode(result).data)[0][0, 2] > 0
    assert read_points(Ply().encode(result).data)[0][0, 1] < 0


def test_without_a_camera_the_focal_that_was_asked_for_is_used_and_recorded() -> None:
    record = read_record(Ply(PointCloudOptions(focal=FocalChoice("90deg"))).encode(make_result(make_depth())).data)
    assert record is not None
    assert record.cloud is not None
    assert record.cloud.camera is not None
    assert record.cloud.camera.fx == pytest.approx(SIZE[1] / 2)
    assert record.size == SIZE


def test_edge_cull_drops_the_curtain_and_nothing_else() -> None:
    line = np.concatenate([np.full(30, 1.0), [1.7, 2.4, 3.1], np.full(31, 4.0)])
    depth = DepthMap(np.tile(line, (SIZE[0], 1)).astype(np.float32), limit=10.0)
    camera = make_camera(300.0, SIZE, source="option")
    kept = {
        cull: read_points(Ply(PointCloudOptions(edge_cull=cull)).encode(make_result(depth, intrinsics=camera)).data)[0][
            :, 2
        ]
        for cull in (False, True)
    }
    assert len(kept[False]) == depth.values.size
    inner = SIZE[0] - 2
    assert len(kept[True]) <= depth.values.size - 3 * inner
    assert sorted(set(np.round(kept[True][61:-61], 1))) == [1.0, 4.0]
    assert (kept[True] == 4.0).sum() == (kept[False] == 4.0).sum()


@pytest.mark.parametrize("kind", [DepthKind.SCALE, DepthKind.AFFINE, DepthKind.DISPARITY])
def test_depth_that_is_no_metres_is_refused_with_the_way_out(kind: DepthKind) -> None:
    with pytest.raises(UsageError, match=f"ply needs depth in metres, and this is {kind.value} depth") as caught:
        make_writer("ply", kind=kind, limit_m=None)
    assert "--calibrat" in (caught.value.hint or "")
    with pytest.raises(OutputError) as late:
        Ply().encode(make_result(make_depth(kind=kind)))
    assert late.value.code is ErrorCode.RANGE


@dataclass(frozen=True)
class NoPicture:
    """A stored map whose picture is elsewhere."""

    name: str = "x.jpg"

    def read_colors(self) -> np.ndarray:
        raise InputError("it is not here")


def test_a_map_without_its_picture_is_painted_near_warm() -> None:
    depth = make_depth()
    _, rgb, _ = read_points(Ply().encode(replace(make_result(depth), source=NoPicture())).data)
    near, far = rgb[: SIZE[1]].astype(int).mean(0), rgb[-SIZE[1] :].astype(int).mean(0)
    assert near[0] > near[2]
    assert far[2] > far[0]


def test_a_picture_of_another_size_lends_no_colours() -> None:
    with pytest.raises(OutputError, match="the picture is 64x48, its depth map 3x2"):
        Ply().encode(make_result(DepthMap(np.ones((2, 3), np.float32))))


def test_other_axes_or_focal_are_another_recipe() -> None:
    record = read_record(
        Ply(PointCloudOptions(axes=Axes.OPENGL)).encode(make_result(make_depth(), intrinsics=CAMERA)).data
    )
    assert record is not None
    for cloud, keys in (
        (PointCloudOptions(axes=Axes.OPENGL), []),
        (PointCloudOptions(), ["axes"]),
        (PointCloudOptions(FocalChoice("60px"), Axes.OPENGL, edge_cull=True), ["focal", "edge_cull"]),
    ):
        expected = Ply(cloud).expect("rooms/a.jpg", kind=DepthKind.METRIC, provenance=PROVENANCE)
        assert expected is not None
        assert [difference.key for difference in record.differences(expected)] == keys


def test_clouds_of_others_and_damaged_ones_are_no_depth_maps() -> None:
    data = Ply().encode(make_result(make_depth(), intrinsics=CAMERA)).data
    assert len(read_depth(data).depth.valid_values()) == SIZE[0] * SIZE[1]
    with pytest.raises(InputError, match="does not say which pixels"):
        read_depth(data.replace(b"comment Software glpn-cli", b"comment Software meshlabs"))
    for damaged in (data[:-7], data + b"\0" * 15, data[:200]):
        with pytest.raises(InputError):
            read_depth(damaged)
    unsigned = re.sub(rb"comment glpn:\w+_crc32 \w+\n", b"", data)  # as earlier versions wrote it
    assert np.array_equal(read_depth(unsigned).depth.values, read_depth(data).depth.values)
    with pytest.raises(InputError, match="outside"):
        read_depth(unsigned.replace(b"glpn:size 64x48", b"glpn:size 48x48"))
    with pytest.raises(InputError, match="0x4800"):
        read_depth(unsigned.replace(b"glpn:size 64x48", b"glpn:size 0x4800"))


def box_room(camera: Intrinsics, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An empty room of 4 x 2.5 x 5 m seen from within, turned 25 degrees and looking 12 down.

    Returns z-depth float32 (H, W), which wall each pixel is on, and the walls' normals (6, 3) in the camera's frame.
    """
    yaw, pitch = np.radians([25, 12])
    turn_yaw = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    turn_pitch = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
    turn = turn_yaw @ turn_pitch  # camera -> room
    rows, columns = np.mgrid[: size[0], : size[1]]
    rays = np.stack([(columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy, np.ones(size)], -1) @ turn.T
    distances = np.array([[2.0, 1.4, 3.0], [-2.0, -1.1, -2.0]])
    with np.errstate(divide="ignore"):
        hits = distances[:, None, None, :] / rays  # (2, H, W, 3)
    hits = np.where(hits > 0, hits, np.inf).transpose(1, 2, 0, 3).reshape(*size, 6)
    normals = np.concatenate([np.eye(3), -np.eye(3)]) @ turn
    return hits.min(-1).astype(np.float32), hits.argmin(-1), normals


def fit_planes(xyz: np.ndarray, wall: np.ndarray) -> dict[int, tuple[np.ndarray, float]]:
    """Wall -> (normal, largest distance of a point from the plane in metres)."""
    planes = {}
    for index in np.unique(wall):
        points = xyz[wall.ravel() == index].astype(np.float64)
        if len(points) < 200:
            continue
        centred = points - points.mean(0)
        normal = np.linalg.svd(centred, full_matrices=False)[2][2]
        planes[int(index)] = (normal, float(np.abs(centred @ normal).max()))
    return planes


def test_a_room_seen_by_its_true_camera_has_planar_walls_and_right_angles() -> None:
    size = (120, 160)
    true = make_camera(140.0, size, source="file")
    depth, wall, _ = box_room(true, size)
    xyz, _, _ = read_points(Ply().encode(make_result(DepthMap(depth), size=size, intrinsics=true)).data)
    planes = fit_planes(xyz, wall)
    assert len(planes) >= 3
    assert max(off for _, off in planes.values()) < 1e-4
    normals = [normal for normal, _ in planes.values()]
    for one in range(len(normals)):
        for other in range(one):
            cosine = abs(float(normals[one] @ normals[other]))
            assert cosine < 1e-4 or cosine > 1 - 1e-4


def test_exif_is_off_by_no_more_than_its_rounding_explains() -> None:
    size = (120, 160)
    true = make_camera(140.0, size, source="file")
    depth, wall, _ = box_room(true, size)
    written = round(focal_to_35mm(true.fx, size))  # a camera writes whole millimetres
    by_exif = FocalChoice().camera(size, exif_mm=written)
    assert abs(by_exif.fx / true.fx - 1) <= 0.5 / written + 1e-9
    xyz, _, _ = read_points(Ply().encode(make_result(DepthMap(depth), size=size, intrinsics=by_exif)).data)
    expected = back_project(depth, true).reshape(-1, 3) * np.array([true.fx / by_exif.fx] * 2 + [1])
    np.testing.assert_allclose(xyz, expected, atol=1e-5)
    # A wrong focal stretches space across the axis, which keeps planes planar and bends right angles by a little.
    planes = fit_planes(xyz, wall)
    assert max(off for _, off in planes.values()) < 1e-4
    cosines = [abs(float(a @ b)) for a, _ in planes.values() for b, _ in planes.values() if a is not b]
    assert max(min(cosine, 1 - cosine) for cosine in cosines) < np.sin(np.radians(2))


@pytest.mark.parametrize(("source", "read"), [("assumed", "assumed"), ("exif", "file"), ("option", "file")])
def test_a_camera_that_was_assumed_is_not_known_when_it_is_read(source: str, read: str) -> None:
    made = make_result(make_depth(), intrinsics=make_camera(60.0, SIZE, source=source))
    assert read_depth(Ply().encode(made).data).camera == make_camera(60.0, SIZE, source=read)


def test_every_third_row_and_column_is_kept_and_comes_back_as_a_map_with_holes() -> None:
    depth = make_depth()
    data = Ply(PointCloudOptions(stride=3)).encode(make_result(depth, intrinsics=CAMERA)).data
    xyz, _, _ = read_points(data)
    assert len(xyz) == len(range(0, SIZE[0], 3)) * len(range(0, SIZE[1], 3))
    stored = read_depth(data)
    assert stored.depth.valid is not None
    np.testing.assert_array_equal(stored.depth.values[::3, ::3], depth.values[::3, ::3])
    assert stored.depth.valid.sum() == len(xyz)
    assert stored.record is not None
    assert stored.record.cloud is not None
    assert stored.record.cloud.stride == 3


@pytest.mark.parametrize("side_m", [0.01, 0.3, 2.0, 1e-12, 1e-25, 1e-50])
def test_one_point_stays_in_every_cube_and_none_moves(side_m: float) -> None:
    depth = make_depth()
    whole = read_points(Ply().encode(make_result(depth, intrinsics=CAMERA)).data)[0]
    thin = read_points(Ply(PointCloudOptions(voxel_m=side_m)).encode(make_result(depth, intrinsics=CAMERA)).data)[0]
    if side_m < 1e-9:  # more cubes than can be counted
        np.testing.assert_array_equal(thin, whole)
        return
    cubes = [set(map(tuple, np.floor(points / np.float32(side_m)).astype(int))) for points in (whole, thin)]
    assert cubes[0] == cubes[1]
    assert len(thin) == len(cubes[1])
    assert set(map(tuple, thin)) <= set(map(tuple, whole))


@pytest.mark.parametrize("side_m", [0.0, -1.0, float("nan"), float("inf")])
def test_cubes_that_are_none_are_refused(side_m: float) -> None:
    with pytest.raises(UsageError, match="cubes of"):
        PointCloudOptions(voxel_m=side_m)


def test_points_in_left_handed_axes_are_refused() -> None:
    with pytest.raises(UsageError, match="directx"):
        make_writer("ply", kind=DepthKind.METRIC, limit_m=10.0, cloud=PointCloudOptions(axes=Axes.DIRECTX))
