"""Cameras in closed form: focal lengths of every unit, and pixels back in space."""

from __future__ import annotations

import math

import numpy as np
import pytest

from glpn_cli.errors import UsageError
from glpn_cli.geometry import (
    Axes,
    FocalChoice,
    back_project,
    find_hanging,
    focal_to_35mm,
    fov_deg,
    make_camera,
    project,
)
from glpn_cli.prediction import DepthMap, Intrinsics

SIZE = (480, 640)


def test_pixels_are_pixels_of_the_upright_picture() -> None:
    camera = FocalChoice("518px").camera(SIZE, exif_mm=50)
    assert camera == Intrinsics(518, 518, 319.5, 239.5, "option")


def test_degrees_are_horizontal() -> None:
    assert FocalChoice("90deg").camera(SIZE).fx == pytest.approx(320)
    assert fov_deg(320, 640) == pytest.approx(90)


def test_a_35_mm_equivalent_goes_by_the_diagonal_so_that_turning_the_picture_changes_nothing() -> None:
    # 4000 x 3000 at 28 mm: 5000 px of diagonal over 43.27 mm.
    expected = 28 * 5000 / 43.2666
    for size in ((3000, 4000), (4000, 3000)):
        assert FocalChoice("28mm").camera(size).fx == pytest.approx(expected, rel=1e-5)
        by_exif = FocalChoice().camera(size, exif_mm=28)
        assert by_exif.fx == pytest.approx(expected, rel=1e-5)
        assert by_exif.source == "exif"
    assert focal_to_35mm(expected, (3000, 4000)) == pytest.approx(28, rel=1e-5)


def test_what_is_said_wins_over_what_a_file_knows_over_exif_over_an_assumption() -> None:
    known = Intrinsics(700, 700, 319.5, 239.5, "file")
    assert FocalChoice("518px").camera(SIZE, exif_mm=28, known=known).source == "option"
    assert FocalChoice().camera(SIZE, exif_mm=28, known=known) is known
    assert FocalChoice().camera(SIZE, exif_mm=28).source == "exif"
    guessed = FocalChoice().camera(SIZE)
    assert guessed.source == "assumed"
    assert fov_deg(guessed.fx, 640) == pytest.approx(60)
    assert FocalChoice().camera(SIZE, exif_mm=28, known=guessed).source == "exif"


def test_an_assumed_field_of_view_belongs_to_the_longer_side() -> None:
    assert FocalChoice().camera((640, 480)).fx == FocalChoice().camera((480, 640)).fx


@pytest.mark.parametrize("text", ["518", "px", "-3px", "0mm", "180deg", "1e3px", "nanpx", "28 inch", "", "99999999px"])
def test_nonsense_is_no_focal_length(text: str) -> None:
    with pytest.raises(UsageError, match="--focal"):
        FocalChoice(text)


def test_pixels_back_in_space_project_to_where_they_were() -> None:
    rng = np.random.default_rng(1)
    depth = rng.uniform(0.5, 9, (7, 11)).astype(np.float32)
    camera = Intrinsics(20, 25, 4.5, 3.5)
    points = back_project(depth, camera)
    assert points.dtype == np.float32
    assert np.array_equal(points[..., 2], depth)
    assert points[3, 4, 0] == pytest.approx(depth[3, 4] * (4 - 4.5) / 20)
    where = project(points.reshape(-1, 3), camera)
    rows, columns = np.mgrid[:7, :11]
    np.testing.assert_allclose(where, np.stack([columns.ravel(), rows.ravel()], 1), atol=1e-5)


def test_a_wall_seen_at_an_angle_is_planar_in_space() -> None:
    camera = make_camera(50.0, (30, 40), source="option")
    normal = np.array([0.6, 0.0, 0.8])  # a wall through (0, 0, 3)
    rows, columns = np.mgrid[:30, :40]
    rays = np.stack([(columns - camera.cx) / 50, (rows - camera.cy) / 50, np.ones((30, 40))], -1)
    depth = (3 * 0.8 / (rays @ normal)).astype(np.float32)
    points = back_project(depth, camera)
    np.testing.assert_allclose(points @ normal, 2.4, atol=1e-5)


@pytest.mark.parametrize(
    ("axes", "expected"), [(Axes.OPENCV, (1, 2, 3)), (Axes.OPENGL, (1, -2, -3)), (Axes.BLENDER, (1, 3, -2))]
)
def test_axes_turn_right_handed_into_right_handed(axes: Axes, expected: tuple[float, ...]) -> None:
    turn = axes.from_camera
    assert tuple(turn @ np.array([1, 2, 3], np.float32)) == expected
    assert np.linalg.det(turn) == pytest.approx(1)
    assert np.array_equal(turn.T @ turn, np.eye(3))


def slide(width: int = 5) -> np.ndarray:
    """A thing at 1 m before a wall at 4 m, with a slide of `width` pixels between them, float32 (240, 320)."""
    line = np.concatenate([np.ones(125), np.linspace(1, 4, width + 2)[1:-1], np.full(195 - width, 4.0)])
    return np.tile(line, (240, 1)).astype(np.float32)


def hangs(depth: np.ndarray, focal_px: float = 300) -> np.ndarray:
    return find_hanging(DepthMap(depth), make_camera(focal_px, depth.shape, source="option"))


@pytest.mark.parametrize("turned", [False, True])
def test_what_hangs_between_foreground_and_background_is_found_and_the_surfaces_stay(turned: bool) -> None:
    found = hangs(slide().T.copy()).T if turned else hangs(slide())
    inner = found[20:-20]
    assert inner[:, 125:129].all()
    assert not found[:, :125].any()
    assert not found[:, 130:].any()


def test_the_slides_of_a_map_that_was_enlarged_are_found_however_soft() -> None:
    small = np.where(np.arange(64) < 32, 1.5, 3.0)
    soft = np.interp((np.arange(640) + 0.5) / 10 - 0.5, np.arange(64), small)  # ten times as large: 10 pixels wide
    found = hangs(np.tile(soft, (480, 1)).astype(np.float32), 550)[40:-40]
    is_between = (soft > 1.8) & (soft < 2.6)
    assert found[:, is_between].all()
    assert not found[:, (soft == 1.5) | (soft == 3.0)].any()


def test_a_clean_step_has_nothing_hanging() -> None:
    assert not hangs(slide(0)).any()


def test_a_floor_that_runs_away_stays() -> None:
    rows = np.arange(1, 241)[::-1, None]  # pixels below the horizon
    depth = (300 * 1.5 / np.tile(rows, (1, 320))).astype(np.float32)  # a camera 1.5 m above the floor
    assert not hangs(depth).any()
    assert math.isclose(depth.max(), 450)


def test_the_corner_of_a_corridor_stays() -> None:
    across = np.abs(np.arange(320) - 160) + 20.0  # two walls that meet, far away
    depth = np.tile(300 / across, (240, 1)).astype(np.float32)
    assert not hangs(depth).any()


def test_holes_and_tiny_maps_hang_nowhere() -> None:
    depth = slide()
    valid = np.ones(depth.shape, np.bool_)
    valid[:, 127] = False
    depth[:, 127] = 0
    hanging = find_hanging(DepthMap(depth, valid=valid), make_camera(300, depth.shape, source="option"))
    assert not hanging[:, 127].any()
    for shape in ((1, 1), (2, 5), (5, 2)):
        assert not find_hanging(DepthMap(np.ones(shape, np.float32)), make_camera(300, shape, source="option")).any()
