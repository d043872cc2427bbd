from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glpn_cli.errors import UsageError
from glpn_cli.geometry import (
    FocalOption,
    back_project,
    focal_from_35mm,
    focal_from_fov,
    fov_from_focal,
    make_intrinsics,
    parse_focal,
    project,
)
from glpn_cli.prediction import Intrinsics


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("auto", FocalOption()),
        ("518px", FocalOption("px", 518)),
        ("28mm", FocalOption("mm", 28)),
        ("65deg", FocalOption("deg", 65)),
        ("518.5px", FocalOption("px", 518.5)),
        (".5deg", FocalOption("deg", 0.5)),
        ("179.9deg", FocalOption("deg", 179.9)),
    ],
)
def test_focal_options_are_read_and_written(text: str, option: FocalOption) -> None:
    assert parse_focal(text) == option
    assert parse_focal(str(option)) == option


@pytest.mark.parametrize(
    "text",
    ["", "518", "px", "0px", "-3px", "180deg", "0deg", "nanmm", "infpx", "1e3px", "28 mm", "28cm", "28MM", "²8mm"],
)
def test_what_is_no_focal_length_is_told_with_examples(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_focal(text)
    assert repr(text) in caught.value.message
    assert caught.value.hint is not None
    assert "518px" in caught.value.hint


def test_a_full_frame_picture_has_the_lens_that_is_written_on_it() -> None:
    # 36 x 24 mm at 100 pixels per millimetre.
    assert focal_from_35mm(50, (2400, 3600)) == pytest.approx(5000)
    assert focal_from_35mm(50, (3600, 2400)) == pytest.approx(5000)


def test_a_phone_picture_follows_the_diagonal() -> None:
    assert focal_from_35mm(28, (3000, 4000)) == pytest.approx(28 * 5000 / 43.2666, rel=1e-5)


def test_the_angle_is_across_the_width() -> None:
    assert FocalOption("deg", 90).in_pixels((480, 640)) == pytest.approx(320)
    assert FocalOption("deg", 90).in_pixels((640, 480)) == pytest.approx(240)
    assert FocalOption("px", 518).in_pixels((480, 640)) == 518
    assert FocalOption().in_pixels((480, 640)) is None


@given(st.floats(1, 179), st.integers(1, 20_000))
def test_angles_and_focal_lengths_are_inverse(fov: float, pixels: int) -> None:
    assert fov_from_focal(focal_from_fov(fov, pixels), pixels) == pytest.approx(fov)


def test_the_best_known_focal_length_wins() -> None:
    stored = Intrinsics(500, 501, 319, 241, "file")
    size = (480, 640)
    everything = make_intrinsics(size, focal=parse_focal("600px"), stored=stored, focal_35mm=28)
    assert everything == Intrinsics(600, 600, 319.5, 239.5, "option")
    assert make_intrinsics(size, focal=FocalOption(), stored=stored, focal_35mm=28) is stored
    assert make_intrinsics(size, focal_35mm=28) == Intrinsics(
        pytest.approx(28 * 800 / 43.2666, rel=1e-5), pytest.approx(28 * 800 / 43.2666, rel=1e-5), 319.5, 239.5, "exif"
    )
    assumed = make_intrinsics(size)
    assert assumed.source == "assumed"
    assert assumed.fx == pytest.approx(320 / math.tan(math.radians(30)))
    assert make_intrinsics((640, 480)).fx == assumed.fx


@pytest.mark.parametrize("focal_mm", [0.1, 65535.0])
def test_an_impossible_lens_is_not_believed(focal_mm: float) -> None:
    assert make_intrinsics((480, 640), focal_35mm=focal_mm).source == "assumed"


def test_the_middle_of_the_picture_lies_straight_ahead() -> None:
    points = back_project(np.full((3, 5), 2, np.float32), make_intrinsics((3, 5), focal=parse_focal("2px")))
    assert points.dtype == np.float32
    np.testing.assert_allclose(points[1, 2], (0, 0, 2))
    np.testing.assert_allclose(points[0, 0], (-2, -1, 2))
    np.testing.assert_allclose(points[2, 4], (2, 1, 2))


def test_a_wall_is_flat_and_a_floor_is_level() -> None:
    camera = Intrinsics(400, 420, 300, 200)
    rows = np.arange(201, 480)[:, None] - camera.cy
    floor = np.broadcast_to(1.5 * camera.fy / rows, (279, 640)).astype(np.float32)
    points = back_project(np.vstack([np.full((201, 640), 3, np.float32), floor]), camera)
    np.testing.assert_allclose(points[:201, :, 2], 3)
    np.testing.assert_allclose(points[201:, :, 1], 1.5, rtol=1e-5)


def test_projecting_undoes_back_projecting() -> None:
    camera = Intrinsics(400, 420, 30, 20)
    depth = np.random.default_rng(0).uniform(0.5, 8, (48, 64)).astype(np.float32)
    pixels = project(back_project(depth, camera), camera)
    assert pixels.dtype == np.float32
    np.testing.assert_allclose(pixels[..., 0], np.broadcast_to(np.arange(64), (48, 64)), atol=1e-3)
    np.testing.assert_allclose(pixels[..., 1], np.broadcast_to(np.arange(48)[:, None], (48, 64)), atol=1e-3)


def test_what_is_no_depth_is_no_point() -> None:
    depth = np.array([[np.nan, np.inf, 1]], np.float32)
    points = back_project(depth, make_intrinsics((1, 3)))
    assert np.isnan(points[0, 0]).all()
    assert not np.isfinite(points[0, 1]).any()
    assert np.isfinite(points[0, 2]).all()
