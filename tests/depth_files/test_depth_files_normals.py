"""Normals: exact on planes, right on a sphere, one surface at a silhouette, and encoded as engines read them."""

from __future__ import annotations

from io import BytesIO

import cv2
import numpy as np
import pytest
from depth_samples import SIZE, make_depth, make_result

from glpn_cli.depth_files import PointCloudOptions, make_writer, read_depth, read_record
from glpn_cli.depth_files.normals import Normals, Normals16, NormalsExr, NormalsNpz
from glpn_cli.errors import InputError, UsageError
from glpn_cli.geometry import Axes, find_normals, make_camera
from glpn_cli.images.exr import read_channels
from glpn_cli.prediction import DepthKind, DepthMap, Intrinsics

CAMERA = make_camera(60.0, SIZE, source="exif")


def plane(normal: tuple[float, float, float], *, distance: float = 2.0, camera: Intrinsics = CAMERA) -> DepthMap:
    """The depth of a plane that faces the camera from `distance`, with a unit normal in OpenCV's axes."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    rays = np.stack([(x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy, np.ones(SIZE)], axis=2)
    return DepthMap((-distance / (rays @ np.array(normal))).astype(np.float32))


def angles(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Degrees between vectors (..., 3)."""
    return np.degrees(np.arccos(np.clip((found.astype(np.float64) * wanted).sum(axis=-1), -1, 1)))


@pytest.mark.parametrize("normal", [(0, 0, -1), (0.6, 0, -0.8), (0, -0.6, -0.8), (0.48, 0.36, -0.8)])
def test_planes_have_their_normal_at_every_pixel_borders_too(normal: tuple[float, float, float]) -> None:
    off_centre = Intrinsics(60.0, 55.0, 20.0, 30.0, "option")
    for camera in (CAMERA, off_centre):
        found = find_normals(plane(normal, camera=camera), camera)
        assert angles(found, np.array(normal)).max() < 0.1


def test_bands_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    depth = make_depth(holes=True)
    whole = find_normals(depth, CAMERA)
    monkeypatch.setattr("glpn_cli.geometry._BAND_PIXELS", 5 * SIZE[1])
    np.testing.assert_allclose(find_normals(depth, CAMERA), whole, atol=1e-5)


def test_a_sphere_faces_away_from_its_middle() -> None:
    camera = make_camera(600.0, (480, 640), source="exif")
    y, x = np.mgrid[:480, :640]
    rays = np.stack([(x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy, np.ones((480, 640))], axis=2)
    # |t ray - (0, 0, 3)| = 1
    squared, along = (rays**2).sum(axis=2), 3 * rays[..., 2]
    inside = along**2 - 8 * squared
    near = (along - np.sqrt(np.maximum(inside, 0))) / squared
    hit = inside > 0.05
    found = find_normals(DepthMap(np.where(hit, near, 0).astype(np.float32), valid=hit), camera)
    wanted = rays * near[..., None] - (0, 0, 3)
    off = angles(found[hit], wanted[hit])
    assert np.median(off) < 0.1
    assert np.percentile(off, 99) < 1


def test_the_sides_of_a_silhouette_keep_their_own_normals() -> None:
    values = plane((0, 0, -1)).values.copy()
    values[:, 32:] = plane((0.6, 0, -0.8), distance=4).values[:, 32:]
    found = find_normals(DepthMap(values), CAMERA)
    assert angles(found[:, :32], np.array((0, 0, -1))).max() < 0.1
    assert angles(found[:, 32:], np.array((0.6, 0, -0.8))).max() < 0.1


def test_holes_and_single_pixels_have_none() -> None:
    valid = np.ones(SIZE, np.bool_)
    valid[10:20, 10:20] = False
    valid[:, 40] = valid[:, 42] = False
    valid[:5, 41], valid[6, 41], valid[7:, 41] = False, True, False
    found = find_normals(DepthMap(plane((0, 0, -1)).values, valid=valid), CAMERA)
    assert not found[~valid].any()
    assert not found[6, 41].any()
    length = np.linalg.norm(found[valid & (np.arange(SIZE[1]) != 41)], axis=1)
    np.testing.assert_allclose(length, 1, rtol=1e-5)


def test_a_factor_changes_nothing() -> None:
    depth = plane((0.48, 0.36, -0.8))
    larger = DepthMap(depth.values * 7, kind=DepthKind.SCALE)
    np.testing.assert_allclose(find_normals(larger, CAMERA), find_normals(depth, CAMERA), atol=1e-4)
    make_writer("normals", kind=DepthKind.SCALE, limit_m=None)
    with pytest.raises(UsageError, match="normals16 needs depth"):
        make_writer("normals16", kind=DepthKind.DISPARITY, limit_m=None)


@pytest.mark.parametrize(("writer", "most", "degrees"), [(Normals, 255, 1), (Normals16, 65535, 0.1)])
@pytest.mark.parametrize(
    ("axes", "signs"), [(None, (1, -1, -1)), (Axes.DIRECTX, (1, 1, -1)), (Axes.OPENCV, (1, 1, 1))], ids=str
)
def test_opencv_reads_the_picture_the_right_way_round(
    writer: type[Normals], most: int, degrees: float, axes: Axes | None, signs: tuple[int, int, int]
) -> None:
    normal = np.array((0.48, 0.36, -0.8))  # towards the right and down
    result = make_result(plane(tuple(normal)), intrinsics=CAMERA)
    data = writer(PointCloudOptions(axes=axes)).encode(result).data
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)[..., ::-1]
    assert pixels.dtype == (np.uint8 if most == 255 else np.uint16)
    found = pixels / most * 2 - 1
    assert angles(found / np.linalg.norm(found, axis=2, keepdims=True), normal * signs).max() < degrees
    record = read_record(data)
    assert record is not None
    assert record.cloud is not None
    assert record.cloud.axes is (axes or Axes.OPENGL)
    assert record.map == "normals"


def test_holes_are_black_in_pictures_and_0_in_floats() -> None:
    depth = make_depth(holes=True)
    assert depth.valid is not None
    result = make_result(depth, intrinsics=CAMERA)
    pixels = cv2.imdecode(np.frombuffer(Normals().encode(result).data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert not pixels[~depth.valid].any()
    assert pixels[depth.valid].any(axis=1).mean() > 0.95
    array = np.load(BytesIO(NormalsNpz().encode(result).data))["normals"]
    np.testing.assert_allclose(array, find_normals(depth, CAMERA) * (1, -1, -1), atol=1e-6)
    channels = read_channels(BytesIO(NormalsExr().encode(result).data), ["N.X", "N.Y", "N.Z"], max_pixels=10**6)
    np.testing.assert_array_equal(np.stack(channels, axis=2), array)


@pytest.mark.parametrize("writer", [Normals, NormalsNpz, NormalsExr])
def test_normals_are_no_depth_map(writer: type[Normals]) -> None:
    data = writer().encode(make_result(make_depth(), intrinsics=CAMERA)).data
    with pytest.raises(InputError):
        read_depth(data)
