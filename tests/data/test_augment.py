from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from glpn_cli.data.augment import (
    PAPER,
    ROOMS,
    Augmentation,
    augment,
    erase,
    largest_window,
    mirror,
    random_window,
    relight,
    resize_window,
    retake,
    through_camera,
    vertical_cut_depth,
)
from glpn_cli.data.samples import Sample


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def room(height: int = 96, width: int = 128) -> Sample:
    """Depth rises from left to right; the picture's red channel is the column, green the row."""
    rows, columns = np.mgrid[:height, :width]
    rgb = np.stack([columns * 255 // width, rows * 255 // height, np.full_like(rows, 128)], axis=-1).astype(np.uint8)
    return Sample(rgb, (1 + columns / width * 4).astype(np.float32), focal_px=110.0, name="room")


@pytest.mark.parametrize("how", [PAPER, ROOMS], ids=["paper", "rooms"])
def test_the_same_seed_gives_the_same_picture_and_another_seed_another(how: Augmentation) -> None:
    def once(seed: int) -> Sample:
        return augment(room(), size=(64, 96), how=how, limit_m=10, focal_px=80, rng=rng(seed))

    first, again, other = once(1), once(1), once(2)
    assert first.rgb.shape == (64, 96, 3)
    assert first.rgb.dtype == np.uint8
    assert first.depth.dtype == np.float32
    assert np.array_equal(first.rgb, again.rgb)
    assert np.array_equal(first.depth, again.depth)
    assert not np.array_equal(first.rgb, other.rgb)


def test_without_zoom_a_crop_shows_untouched_pixels_of_the_picture() -> None:
    sample = room()
    crop = random_window(sample, size=(88, 120), zoom=None, rng=rng(3))
    left = int(np.flatnonzero(sample.depth[0] == crop.depth[0, 0])[0])
    top = int(np.flatnonzero(sample.rgb[:, 0, 1] == crop.rgb[0, 0, 1])[0])
    assert np.array_equal(crop.depth, sample.depth[top : top + 88, left : left + 120])
    assert crop.focal_px == sample.focal_px
    # Rows share a green value where 96 rows are spread over 255 values; equal colours prove the same place.
    assert np.array_equal(crop.rgb, sample.rgb[top : top + 88, left : left + 120])


def test_a_picture_smaller_than_the_crop_is_enlarged() -> None:
    crop = random_window(room(48, 64), size=(96, 128), zoom=None, rng=rng())
    assert crop.size == (96, 128)
    assert crop.focal_px == pytest.approx(220.0)


def test_a_crop_out_of_a_large_picture_shows_nearly_all_of_it_as_the_network_sees_it_in_use() -> None:
    crop = random_window(room(480, 640), size=(96, 128), zoom=None, rng=rng())
    assert crop.focal_px == pytest.approx(110 * 128 / 640 * 1.1)
    assert np.ptp(crop.rgb[..., 0]) > 0.85 * 255


def test_zooming_in_by_two_doubles_the_focal_length_and_keeps_the_depth() -> None:
    whole = resize_window(room(), box=(0, 0, 96, 128), size=(96, 128))
    middle = resize_window(room(), box=(24, 32, 48, 64), size=(96, 128))
    assert whole.focal_px == pytest.approx(110)
    assert middle.focal_px == pytest.approx(220)
    assert np.array_equal(whole.depth, room().depth)
    assert middle.depth[0, 0] == room().depth[0, 32]
    assert middle.depth[-1, -1] == room().depth[0, 95]


def test_depth_and_colours_stay_together_when_resized() -> None:
    seen = resize_window(room(), box=(10.3, 7.7, 60.5, 90.75), size=(64, 96))
    column_of_colour = seen.rgb[..., 0].astype(float) * 128 / 255
    column_of_depth = (seen.depth - 1) / 4 * 128
    assert np.abs(column_of_colour - column_of_depth).max() < 1.5


def test_depth_is_never_averaged_across_an_edge() -> None:
    depth = np.where(np.arange(128) < 61, 1.0, 7.0).astype(np.float32) * np.ones((96, 1), np.float32)
    seen = resize_window(replace(room(), depth=depth), box=(0, 0, 96, 128), size=(32, 32))
    assert set(np.unique(seen.depth)) == {1.0, 7.0}


def test_one_lens_for_all_scales_depth_by_the_ratio_of_focal_lengths() -> None:
    seen = through_camera(room(), focal_px=55.0)
    assert np.allclose(seen.depth, room().depth / 2)
    assert through_camera(room(), focal_px=None).depth is not None
    unknown = replace(room(), focal_px=None)
    assert through_camera(unknown, focal_px=55.0) is unknown


def test_two_windows_of_one_room_agree_on_depth_through_one_lens_up_to_their_zoom() -> None:
    wide = through_camera(resize_window(room(), box=(0, 0, 96, 128), size=(96, 128)), focal_px=100)
    near = through_camera(resize_window(room(), box=(24, 32, 48, 64), size=(96, 128)), focal_px=100)
    assert near.depth[48, 64] == pytest.approx(wide.depth[48, 64] / 2, rel=0.02)


def test_mirroring_twice_changes_nothing() -> None:
    once = mirror(room())
    assert once.depth[0, 0] == room().depth[0, -1]
    assert np.array_equal(mirror(once).rgb, room().rgb)


def test_other_light_leaves_the_picture_alone_at_probability_zero_and_moves_it_a_little_otherwise() -> None:
    picture = room().rgb
    assert relight(picture, probability=0, strength=1, rng=rng()) is picture
    moved = relight(picture, probability=1, strength=1, rng=rng(4))
    difference = np.abs(moved.astype(int) - picture).mean()
    assert 1 < difference < 80


def test_grey_stays_grey_when_only_hue_and_saturation_change() -> None:
    grey = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    from glpn_cli.data.augment import _hue_matrix

    matrix = np.array(_hue_matrix(0.3, 1.4)).reshape(3, 4)[:, :3]
    assert np.allclose(matrix @ grey[0].T, grey[0].T, atol=1e-9)


def test_another_camera_adds_what_cameras_add() -> None:
    picture = room().rgb
    assert retake(picture, probability=0, rng=rng()) is picture
    retaken = retake(picture, probability=1, rng=rng(5))
    assert retaken.shape == picture.shape
    assert 0.1 < np.abs(retaken.astype(int) - picture).mean() < 30


def test_an_erased_rectangle_is_one_colour_and_leaves_the_original_alone() -> None:
    picture = room().rgb
    before = picture.copy()
    erased = erase(picture, rng=rng(6))
    changed = (erased != picture).any(axis=-1)
    assert np.array_equal(picture, before)
    assert 0.01 < changed.mean() < 0.15
    assert len(np.unique(erased[changed], axis=0)) == 1


@pytest.mark.parametrize("seed", range(20))
def test_vertical_cut_depth_pastes_a_full_height_stripe_of_depth(seed: int) -> None:
    sample = room()
    cut = vertical_cut_depth(sample, limit_m=10, width=0.75, rng=rng(seed))
    alpha, beta = rng(seed).random(2)
    left = int(alpha * 128)
    wide = max(int((128 - alpha * 128) * beta * 0.75), 1)
    expected = sample.rgb.copy()
    grey = np.round(sample.depth[:, left : left + wide] / 10 * 255).astype(np.uint8)
    expected[:, left : left + wide] = grey[..., None]
    assert np.array_equal(cut.rgb, expected)
    assert np.array_equal(cut.depth, sample.depth)


def test_depth_beyond_the_limit_is_pasted_white_and_never_wraps() -> None:
    far = replace(room(), depth=np.full((96, 128), 40, np.float32))
    cut = vertical_cut_depth(far, limit_m=10, width=0.75, rng=rng(1))
    changed = (cut.rgb != far.rgb).any(axis=-1)
    assert changed.any()
    assert (cut.rgb[changed] == 255).all()


def test_a_quarter_of_the_samples_are_cut_by_the_papers_recipe() -> None:
    still = replace(PAPER, flip=0, light=0)
    sample = room()
    count = 0
    for seed in range(400):
        seen = augment(sample, size=(96, 128), how=still, limit_m=10, focal_px=None, rng=rng(seed))
        count += not np.array_equal(seen.rgb, sample.rgb)
    assert 70 < count < 130


def test_validation_sees_the_middle_of_the_picture() -> None:
    seen = largest_window(room(96, 160), size=(96, 128))
    assert np.array_equal(seen.depth, room(96, 160).depth[:, 16:144])


def test_rooms_are_learned_at_the_distances_that_whole_pictures_have() -> None:
    whole = through_camera(largest_window(room(), size=(96, 128)), focal_px=100)
    seen = [augment(room(), size=(96, 128), how=ROOMS, limit_m=10, focal_px=100, rng=rng(i)).depth for i in range(40)]
    far = float(np.mean([np.log(depth).mean() for depth in seen])) - float(np.log(whole.depth).mean())
    assert abs(far) < 0.01, "a bias here is a bias of every prediction"
