"""Metres at pixels, in boxes and in space, in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from glpn_cli.errors import ErrorCode, InputError, UsageError
from glpn_cli.geometry import make_camera
from glpn_cli.pipeline.measuring import Box, Pixel, look_up_known
from glpn_cli.prediction import DepthMap

RAMP = DepthMap(np.arange(1, 101, dtype=np.float32).reshape(10, 10))
HOLES = DepthMap(RAMP.values, valid=RAMP.values > 50)


def test_a_pixel_is_x_then_y_from_the_top_left() -> None:
    assert Pixel.parse("3,2").depth_in(RAMP) == 24
    assert Pixel.parse("0,0").depth_in(RAMP) == 1
    assert Pixel(3, 2).depth_in(HOLES) is None


@pytest.mark.parametrize("text", ["3", "3,", "3;2", "3,2,1", "-1,2", "1.5,2", "x,y", ""])
def test_nonsense_is_no_pixel(text: str) -> None:
    with pytest.raises(UsageError, match="no pixel"):
        Pixel.parse(text)


def test_pixels_outside_are_refused_with_the_size() -> None:
    with pytest.raises(UsageError, match="10x10"):
        Pixel(10, 0).depth_in(RAMP)
    with pytest.raises(UsageError, match="outside"):
        Pixel(0, 10).depth_in(RAMP)


def test_a_box_tells_median_and_spread_of_what_is_known() -> None:
    spread = Box.parse("0,0,10,10").measure(RAMP)
    assert (spread.middle, spread.nearest, spread.farthest) == (50.5, 1, 100)
    assert (spread.low, spread.high) == (25.75, 75.25)
    part = Box(0, 4, 10, 6).measure(HOLES)
    assert part.valid_share == 0.5
    assert (part.nearest, part.farthest) == (51, 60)
    empty = Box(0, 0, 2, 2).measure(HOLES)
    assert (empty.valid_share, empty.middle) == (0, None)


@pytest.mark.parametrize("text", ["0,0,0,5", "5,5,4,9", "1,2,3", "a,b,c,d"])
def test_a_box_with_nothing_in_it_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--box"):
        Box.parse(text)


def test_a_box_that_reaches_out_is_refused() -> None:
    with pytest.raises(UsageError, match="ends at 11,10"):
        Box(0, 0, 11, 10).measure(RAMP)


def test_two_points_and_a_field_of_view_give_their_distance_in_space() -> None:
    depth = DepthMap(np.full((101, 101), 4, np.float32))
    camera = make_camera(100.0, (101, 101), source="option")
    # 100 px apart at 4 m with 100 px of focal length: 4 m.
    assert Pixel(0, 50).distance_to(Pixel(100, 50), depth, camera) == pytest.approx(4)
    behind = DepthMap(np.where(np.arange(101) < 50, 3, 7).astype(np.float32)[None].repeat(101, 0))
    assert Pixel(49, 50).distance_to(Pixel(50, 50), behind, camera) == pytest.approx(4, rel=1e-3)
    assert Pixel(0, 0).distance_to(Pixel(9, 9), HOLES, make_camera(9, (10, 10), source="option")) is None


def test_known_distances_are_pixels_with_metres() -> None:
    (point,) = look_up_known(["3,2=2.35"], RAMP)
    assert (point.x, point.y, point.found, point.metres) == (3, 2, 24, 2.35)
    for text in ("3,2", "3,2=", "3,2=0", "3,2=-1", "3,2=nan", "2.35"):
        with pytest.raises(UsageError, match="no known distance"):
            look_up_known([text], RAMP)
    with pytest.raises(InputError, match="knows nothing at 3,2") as caught:
        look_up_known(["3,2=1"], HOLES)
    assert (caught.value.code, "Choose a pixel" in str(caught.value.hint)) == (ErrorCode.DATA, True)
