"""A rendered room as a cloud of points: flat where its walls are flat, square where they are square."""

from __future__ import annotations

from io import BytesIO
from itertools import combinations

import numpy as np
import plyfile
import pytest
from depth_files.depth_samples import make_result

from glpn_cli.depth_files import make_writer
from glpn_cli.geometry import FocalChoice, back_project, find_normals, focal_to_35mm
from glpn_cli.prediction import DepthKind, DepthMap, Intrinsics
from glpn_cli.scenes import Scene, render_scene
from glpn_cli.scenes.parts import Label

SIZE = (192, 256)
ROOMS = (0, 2, 3, 4)  # whose walls have no round pillars among them
FLAT = (Label.WALL, Label.FLOOR, Label.CEILING)
MILLIMETRE = 1e-3


@pytest.fixture(scope="module", params=ROOMS)
def room(request: pytest.FixtureRequest) -> Scene:
    return render_scene(2026, request.param, size=SIZE, extra_rays=0)


def points_of(room: Scene, camera: Intrinsics) -> np.ndarray:
    """The room as plyfile reads it, float64 (H, W, 3)."""
    result = make_result(DepthMap(room.depth), size=SIZE, intrinsics=camera)
    data = make_writer("ply", kind=DepthKind.METRIC, limit_m=None).encode(result).data
    vertex = plyfile.PlyData.read(BytesIO(data))["vertex"]
    return np.stack([vertex[axis] for axis in "xyz"], -1).astype(np.float64).reshape(*SIZE, 3)


def flat_faces(room: Scene) -> list[np.ndarray]:
    """Which pixels each wall, floor and ceiling covers, bool (H, W): by the renderer's labels, normals and depths.

    Plaster and carpets bend normals a little, so pixels belong together where they look about the same way and lie
    within a centimetre of one plane; the walls of the room behind a door look that way too, and lie farther off.
    """
    points = back_project(room.depth, room.intrinsics).astype(np.float64)
    left = np.isin(room.labels, FLAT)
    faces = []
    for _ in range(12):
        coarse = np.round(room.normals[left] * 8).astype(int) @ [1, 100, 10_000]
        if not coarse.size:
            break
        keys, counts = np.unique(coarse, return_counts=True)
        normal = room.normals[left][coarse == keys[counts.argmax()]].mean(0)
        normal = normal / np.linalg.norm(normal)
        like = left & (room.normals @ normal > 0.97)
        away = points @ normal
        at, edges = np.histogram(away[like], np.arange(away[like].min(), away[like].max() + 0.04, 0.02))
        middle = edges[at.argmax()] + 0.01
        face = like & (np.abs(away - middle) < 0.04)
        for _ in range(2):  # once more by the plane itself
            centre = points[face].mean(0)
            normal = np.linalg.svd(points[face] - centre, full_matrices=False)[2][2]
            face = like & (np.abs((points - centre) @ normal) < 0.01)
        left &= ~(like & (np.abs(away - middle) < 0.04))
        if face.sum() > 400:
            faces.append(face)
    return faces


def fit_plane(points: np.ndarray) -> tuple[np.ndarray, float]:
    """A plane's normal, and the largest distance of a point from it."""
    centred = points - points.mean(0)
    normal = np.linalg.svd(centred, full_matrices=False)[2][2]
    return normal, float(np.abs(centred @ normal).max())


def angles_off(normals: list[np.ndarray]) -> list[float]:
    """How far from square or parallel each two of them are, degrees."""
    angles = [np.degrees(np.arccos(min(1.0, abs(float(one @ other))))) for one, other in combinations(normals, 2)]
    return [min(angle, 90 - angle) for angle in angles]


def test_with_its_true_camera_its_walls_are_flat_to_the_millimetre_and_square(room: Scene) -> None:
    points = points_of(room, room.intrinsics)
    faces = flat_faces(room)
    assert len(faces) >= 3
    assert sum(face.mean() for face in faces) > 0.1  # of the picture: no sliver
    planes = [fit_plane(points[face]) for face in faces]
    assert max(off for _, off in planes) < MILLIMETRE
    assert max(angles_off([normal for normal, _ in planes])) < 0.05


def test_with_exifs_focal_it_differs_by_what_rounding_to_a_millimetre_explains(room: Scene) -> None:
    true = room.intrinsics
    written = round(focal_to_35mm(true.fx, SIZE))
    by_exif = FocalChoice().camera(SIZE, exif_mm=written)
    assert by_exif.source == "exif"
    stretch = true.fx / by_exif.fx
    assert abs(stretch - 1) <= 0.5 / (written - 0.5)
    points, seen = points_of(room, true), points_of(room, by_exif)
    np.testing.assert_allclose(seen, points * [stretch, stretch, 1], atol=1e-5)
    planes = [fit_plane(seen[face]) for face in flat_faces(room)]
    assert max(off for _, off in planes) < MILLIMETRE  # a plane that is stretched is a plane
    # A stretch of 1 + e across the axis turns no plane by more than e / 2, and so no angle by more than e.
    assert max(angles_off([normal for normal, _ in planes])) <= np.degrees(abs(stretch - 1)) + 0.05


def test_a_wrong_focal_bends_its_corners(room: Scene) -> None:
    points = points_of(room, FocalChoice("100deg").camera(SIZE))
    assert max(angles_off([fit_plane(points[face])[0] for face in flat_faces(room)])) > 3


def test_the_normals_of_exact_depth_are_those_of_the_renderer(room: Scene) -> None:
    """Within half a degree, apart from silhouettes and from what is finer than a pixel."""
    normals = find_normals(DepthMap(room.depth), room.intrinsics)
    cosine = np.sum(normals.astype(np.float64) * room.normals, axis=-1)
    off = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    assert np.percentile(off[np.isin(room.labels, FLAT)], 90) < 0.5
    assert np.percentile(off, 80) < 0.5
