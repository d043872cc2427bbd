"""Near is warm, equal ratios are equal steps, a batch shares its range, and the scale's text is never cut."""

from __future__ import annotations

from itertools import pairwise

import cmap
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glpn_cli.colormaps import (
    COLORMAPS,
    HOLE_COLOR,
    DepthHistogram,
    PaintRange,
    RangePolicy,
    draw_contours,
    paint,
    read_table,
)
from glpn_cli.colormaps.colorbar import Scale, add_colorbar
from glpn_cli.errors import UsageError
from glpn_cli.prediction import DepthKind, DepthMap


def row(*values: float, **options: object) -> DepthMap:
    return DepthMap(np.array([values], np.float32), **options)  # type: ignore[arg-type]


# Tables


@pytest.mark.parametrize("name", COLORMAPS)
def test_the_vendored_tables_are_the_published_ones(name: str) -> None:
    published = np.rint(np.asarray(cmap.Colormap(name).lut(256))[:, :3] * 255).astype(np.uint8)
    ours = read_table(name)
    assert np.array_equal(ours, published) or np.array_equal(ours, published[::-1])
    assert np.array_equal(read_table(name, invert=True), ours[::-1])


def test_a_large_map_is_painted_in_bands_that_nobody_sees() -> None:
    random = np.random.default_rng(0)
    values = random.uniform(0.5, 12, (700, 301)).astype(np.float32)
    valid = random.random(values.shape) < 0.9
    ends = PaintRange(1.0, 10.0)
    whole = paint(DepthMap(values, valid=valid), range=ends)
    rows = [paint(DepthMap(values[y : y + 1], valid=valid[y : y + 1]), range=ends) for y in range(len(values))]
    np.testing.assert_array_equal(whole, np.concatenate(rows))


@pytest.mark.parametrize("name", COLORMAPS)
def test_near_is_the_warm_or_bright_end(name: str) -> None:
    near, far = (color.astype(float) for color in read_table(name)[[0, -1]])
    warmer = near[0] - near[2] > far[0] - far[2]  # more red, less blue
    brighter = near.sum() > far.sum()
    assert warmer or brighter
    assert warmer or name == "gray"


# Painting


def test_equal_ratios_of_depth_are_equal_steps_of_colour() -> None:
    painted = paint(row(0.5, 1, 2, 4, 8), range=PaintRange(0.5, 8), colormap="gray")
    assert painted.shape == (1, 5, 3)
    assert painted[0, :, 0].tolist() == [255, 191, 127, 64, 0]


def test_what_lies_outside_the_range_gets_the_colour_of_its_end() -> None:
    painted = paint(row(1e-6, 1, 2, 1e6), range=PaintRange(1, 2))
    assert np.array_equal(painted[0, 0], painted[0, 1])
    assert np.array_equal(painted[0, 2], painted[0, 3])


@pytest.mark.parametrize("kind", list(DepthKind))
def test_near_is_warm_for_every_kind(kind: DepthKind) -> None:
    depth = row(1, 2, 4, kind=kind)
    painted = paint(depth, range=RangePolicy.parse("p0:p100").resolve(depth), colormap="turbo")
    nearest, farthest = (2, 0) if kind is DepthKind.DISPARITY else (0, 2)
    assert np.array_equal(painted[0, nearest], read_table("turbo")[0])
    assert np.array_equal(painted[0, farthest], read_table("turbo")[-1])


def test_holes_are_grey_whatever_they_hold() -> None:
    depth = row(np.nan, 2, -1, 1e30, valid=np.array([[False, True, False, False]]))
    painted = paint(depth, range=PaintRange(1, 4))
    assert [tuple(color) == HOLE_COLOR for color in painted[0]] == [True, False, True, True]


# Ranges


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("image", "image"),
        (" Batch", "batch"),
        ("model", "model"),
        ("p5:p95", "p5:p95"),
        ("p0.5:p99.50", "p0.5:p99.5"),
        ("0.50:8", "0.5:8"),
        ("1e1:80.0", "10:80"),
    ],
)
def test_a_range_has_one_spelling(text: str, spelled: str) -> None:
    policy = RangePolicy.parse(text)
    assert policy.text == spelled
    assert RangePolicy.parse(policy.text) == policy


@pytest.mark.parametrize(
    "text",
    ["", "all", "5", "1:2:3", "8:0.5", "2:2", "0:4", "-1:4", "1:inf", "nan:4", "p5:95", "p95:p5", "p-1:p50", "p1:p101"],
)
def test_a_range_that_is_none_is_refused_by_name(text: str) -> None:
    with pytest.raises(UsageError, match="--range") as caught:
        RangePolicy.parse(text)
    assert "--range 0.5:8" in (caught.value.hint or "")


def test_the_images_range_is_its_second_to_its_98th_percentile() -> None:
    depth = DepthMap(np.linspace(1, 5, 10_001, dtype=np.float32).reshape(1, -1))
    assert RangePolicy.parse("image").resolve(depth) == PaintRange(1.08, 4.92)
    assert RangePolicy.parse("p25:p75").resolve(depth) == PaintRange(2, 4)


def test_the_models_range_ends_at_its_limit() -> None:
    assert RangePolicy.parse("model").resolve(row(1, limit=10.0)) == PaintRange(0.4, 10)
    assert RangePolicy.parse("model").resolve(row(1, limit=80.0)) == PaintRange(3.2, 80)
    with pytest.raises(UsageError, match="limit"):
        RangePolicy.parse("model").resolve(row(1))


def test_a_constant_map_gets_a_narrow_range_about_its_depth() -> None:
    ends = RangePolicy.parse("image").resolve(row(2.5, 2.5, 2.5))
    assert ends.near < 2.5 < ends.far < 2.6


def test_a_map_without_a_valid_pixel_has_a_range_all_the_same() -> None:
    nothing = np.zeros((1, 1), np.bool_)
    assert RangePolicy.parse("image").resolve(row(1, valid=nothing)) == PaintRange(1, 10)
    assert RangePolicy.parse("image").resolve(row(1, valid=nothing, limit=80.0)) == PaintRange(3.2, 80)


def test_for_disparity_the_larger_number_is_the_near_end() -> None:
    depth = row(1, 2, 3, kind=DepthKind.DISPARITY)
    assert RangePolicy.parse("1:3").resolve(depth) == PaintRange(near=3, far=1)
    assert RangePolicy.parse("p0:p100").resolve(depth) == PaintRange(near=3, far=1)


def test_a_batch_shares_the_range_between_the_percentiles_of_all_its_maps() -> None:
    rng = np.random.default_rng(0)
    maps = [DepthMap(rng.uniform(low, low + 1, (50, 80)).astype(np.float32)) for low in (1, 2, 6)]
    policy = RangePolicy.parse("batch").merge(DepthHistogram.of(depth) for depth in maps)
    pooled = np.concatenate([depth.valid_values() for depth in maps])
    for depth in maps:
        ends = policy.resolve(depth)
        assert (ends.near, ends.far) == pytest.approx(np.percentile(pooled, (2, 98)), rel=0.01)
    assert policy.text == "batch"


def test_every_map_of_a_batch_weighs_the_same_whatever_its_size() -> None:
    small, large = row(1.0), DepthMap(np.full((100, 100), 4, np.float32))
    policy = RangePolicy.parse("batch").merge(map(DepthHistogram.of, (small, large)))
    ends = policy.resolve(small)
    assert (ends.near, ends.far) == pytest.approx((1, 4), rel=0.01)


def test_a_batch_must_be_settled_first_and_be_of_one_kind() -> None:
    with pytest.raises(ValueError, match="settled"):
        RangePolicy.parse("batch").resolve(row(1))
    with pytest.raises(UsageError, match="cannot share a range"):
        RangePolicy.parse("batch").merge(map(DepthHistogram.of, (row(1), row(1, kind=DepthKind.DISPARITY))))
    assert RangePolicy.parse("batch").merge([]).ends == (1, 10)


# The scale


@settings(deadline=None)
@given(
    st.floats(1e-3, 1e3),
    st.floats(1.0501, 1e4),
    st.sampled_from([0.05, 0.1, 0.2, 0.5, 2.0]),
    st.booleans(),
)
def test_ticks_are_round_within_the_scale_and_never_crowd(low: float, ratio: float, gap: float, is_log: bool) -> None:
    scale = Scale(low, low * ratio, is_log=is_log)
    ticks = scale.ticks(least_gap=gap)
    assert ticks
    assert len({tick.label for tick in ticks}) == len(ticks)
    for tick in ticks:
        assert -1e-3 <= tick.place <= 1 + 1e-3
        assert float(tick.label) == pytest.approx(tick.value, rel=1e-6)
        assert float(f"{tick.value:.4g}") == pytest.approx(tick.value, rel=1e-9)
    places = [tick.place for tick in ticks]
    assert all(after - before >= gap for before, after in pairwise(places))


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0.4, 10, ["0.5", "0.7", "1.0", "1.5", "2.0", "3.0", "5.0", "7.0", "10.0"]),
        (3.2, 80, ["5", "7", "10", "15", "20", "30", "50", "70"]),
        (1.9, 3.4, ["2.0", "2.2", "2.4", "2.6", "2.8", "3.0", "3.2", "3.4"]),
        (2.0, 2.1, ["2.00", "2.02", "2.04", "2.06", "2.08", "2.10"]),
    ],
)
def test_ticks_are_the_ones_a_reader_would_choose(low: float, high: float, labels: list[str]) -> None:
    assert [tick.label for tick in Scale(low, high).ticks(least_gap=0.06)] == labels


def test_a_linear_scale_has_equal_steps() -> None:
    ticks = Scale(0.03, 0.26, is_log=False).ticks(least_gap=0.06)
    assert [tick.label for tick in ticks] == ["0.05", "0.10", "0.15", "0.20", "0.25"]


SIZES = [(1, 1), (5, 300), (16, 200), (31, 31), (60, 100), (240, 320), (400, 64), (3000, 4000)]


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("ends", [PaintRange(0.4, 10), PaintRange(2.11, 2.19), PaintRange(1, 1000)], ids=str)
def test_the_scale_stands_at_the_right_and_no_text_touches_an_edge(height: int, width: int, ends: PaintRange) -> None:
    picture = np.full((height, width, 3), 77, np.uint8)
    with_bar = add_colorbar(picture, range=ends)
    assert with_bar.shape[0] == height
    assert np.array_equal(with_bar[:, :width], picture)
    panel = with_bar[:, width:]
    dark = panel.max(axis=2) < 100  # ink; the colours of the bar are lighter
    assert not dark[0].any()
    assert not dark[-1].any()
    assert not dark[:, -1].any()
    assert dark.any() == (height >= 31)


@pytest.mark.parametrize(("height", "width", "least"), [(240, 320, 6), (3000, 4000, 60)])
def test_the_text_is_large_enough_to_read_and_has_room(height: int, width: int, least: int) -> None:
    panel = add_colorbar(np.zeros((height, width, 3), np.uint8), range=PaintRange(0.4, 10))[:, width:]
    # The right half holds the "m" of each label: its height is the smallest there is.
    text = (panel.max(axis=2) < 140)[:, panel.shape[1] // 2 :].any(axis=1)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], text, [False]]).astype(int)))
    line_heights = edges[1::2] - edges[::2]
    gaps = edges[2::2] - edges[1:-1:2]
    assert line_heights.min() >= least
    assert gaps.min() >= 0.5 * line_heights.max()


@pytest.mark.parametrize("invert", [False, True])
def test_the_colour_beside_a_tick_is_the_colour_of_its_depth(invert: bool) -> None:
    ends = PaintRange(1, 100)
    panel = add_colorbar(np.zeros((480, 1, 3), np.uint8), range=ends, colormap="viridis", invert=invert)[:, 1:]
    bar = [x for x in range(panel.shape[1]) if len(np.unique(panel[:, x], axis=0)) > 100]
    ticks = np.flatnonzero((panel[:, bar[-1] + 3] < 100).all(axis=1))
    assert len(ticks) >= 3
    colors = paint(row(1, 10, 100), range=ends, colormap="viridis", invert=invert)[0]
    for y, color in ((ticks[0], colors[2]), (ticks[-1], colors[0])):
        assert np.abs(panel[y, bar[0]].astype(int) - color).max() <= 4


def test_kinds_without_a_unit_say_which_end_is_near() -> None:
    picture = np.zeros((200, 10, 3), np.uint8)
    metric = add_colorbar(picture, range=PaintRange(1, 5))
    words = add_colorbar(picture, range=PaintRange(5, 1), kind=DepthKind.DISPARITY)
    assert words.shape[0] == 200
    assert not np.array_equal(metric, words)


def test_the_panel_is_as_wide_for_every_range_of_a_run() -> None:
    picture = np.zeros((240, 320, 3), np.uint8)
    ranges = (PaintRange(0.4, 10), PaintRange(1.3, 4.1), PaintRange(2, 2.1), PaintRange(3, 80))
    assert len({add_colorbar(picture, range=ends).shape for ends in ranges}) == 1


# Upon


def test_contours_run_where_the_depth_passes_a_multiple_and_nowhere_else() -> None:
    depth = DepthMap(np.tile(np.linspace(1.05, 2.95, 20, dtype=np.float32), (4, 1)))
    painted = np.full((4, 20, 3), 200, np.uint8)
    lined = draw_contours(painted, depth, every_m=0.5)
    changed = (lined != painted).any(axis=(0, 2))
    levels = np.floor(depth.values[0] / 0.5)
    assert np.array_equal(np.flatnonzero(changed), np.flatnonzero(np.diff(levels)))
    assert lined.max() == 200  # the input is untouched and lines on light are dark
    assert lined.min() < 100


def test_contours_on_dark_colours_are_light_and_keep_away_from_holes() -> None:
    valid = np.ones((3, 4), np.bool_)
    valid[:, 2] = False
    depth = DepthMap(np.tile(np.array([1, 3, 9, 9], np.float32), (3, 1)), valid=valid)
    lined = draw_contours(np.zeros((3, 4, 3), np.uint8), depth, every_m=1.0)
    assert lined[0, :, 0].tolist() == [153, 0, 0, 0]


def test_where_there_is_no_room_for_text_none_is_kept() -> None:
    low = add_colorbar(np.zeros((28, 60, 3), np.uint8), range=PaintRange(0.4, 10))[:, 60:]
    assert (low[:, -8:] == 255).all()
    assert low.shape[1] < 40
    assert add_colorbar(np.zeros((30, 60, 3), np.uint8), range=PaintRange(0.4, 10)).shape[1] > 60 + 60
