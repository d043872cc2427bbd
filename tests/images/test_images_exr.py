"""OpenEXR pictures: linear light becomes sRGB."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import OpenEXR
import pytest

from glpn_cli.errors import ErrorCode, InputError
from glpn_cli.images import PICTURE_EXTENSIONS, ReadOptions, read_rgb


def save(path: Path, compression: OpenEXR.Compression = OpenEXR.PIZ_COMPRESSION, **channels: np.ndarray) -> Path:
    OpenEXR.File({"compression": compression, "type": OpenEXR.scanlineimage}, channels).write(str(path))
    return path


def test_linear_light_is_brought_to_srgb_and_clipped_at_white(tmp_path: Path) -> None:
    # 0.2140 is middle grey, 128 in sRGB; below 0.0031308 the curve is straight.
    light = np.array([[0, 0.001, 0.2140, 1, 7, np.inf, -1, np.nan]], np.float32)
    expected = [0, round(0.001 * 12.92 * 255), 127, 255, 255, 255, 0, 0]
    zero = np.zeros_like(light)
    picture = read_rgb(save(tmp_path / "x.exr", R=light, G=zero, B=zero))
    assert np.abs(picture.rgb[0, :, 0].astype(int) - expected).max() <= 1
    assert not picture.rgb[..., 1:].any()
    assert picture.full_size == (1, 8)


def test_halves_and_transparent_parts(tmp_path: Path) -> None:
    half = np.full((4, 6), 0.25, np.float16)  # premultiplied: 0.5 of light at half opacity
    alpha = np.full((4, 6), 0.5, np.float16)
    alpha[0] = 0
    picture = read_rgb(save(tmp_path / "x.exr", R=half, G=half, B=half, A=alpha))
    assert picture.valid is not None
    assert not picture.valid[0].any()
    assert picture.valid[1:].all()
    assert (picture.rgb[0] == 128).all()
    assert np.abs(picture.rgb[1:].astype(int) - (188 + 128) // 2).max() <= 2


def test_depth_is_no_picture(tmp_path: Path) -> None:
    path = save(tmp_path / "x.exr", Z=np.ones((3, 3), np.float32))
    with pytest.raises(InputError, match=r"no channels R, G, B \(found: Z\)") as caught:
        read_rgb(path)
    assert caught.value.code is ErrorCode.UNSUPPORTED


def test_the_size_is_checked_before_anything_is_decoded(tmp_path: Path) -> None:
    ones = np.ones((30, 30), np.float32)
    path = save(tmp_path / "x.exr", R=ones, G=ones, B=ones)
    with pytest.raises(InputError, match="900 pixels"):
        read_rgb(path, ReadOptions(max_pixels=899))


@pytest.mark.parametrize("keep", [4, 100, 330, -40])
def test_files_that_are_cut_short_are_errors(tmp_path: Path, keep: int) -> None:
    noise = np.random.default_rng(0).uniform(0, 1, (30, 30)).astype(np.float32)
    path = save(tmp_path / "x.exr", R=noise, G=noise, B=noise)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError):
        read_rgb(path)


def test_a_large_picture_takes_little_more_memory_than_its_numbers(tmp_path: Path) -> None:
    """It took 100 bytes a pixel, twenty gigabytes for 200 megapixels."""
    half = np.full((1500, 2000), 0.25, np.float16)
    path = save(tmp_path / "x.exr", R=half, G=half, B=half, A=half)
    tracemalloc.start()
    try:
        assert read_rgb(path).rgb[-1, -1].tolist() == [160] * 3
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40 * half.size


def test_folder_scans_take_them() -> None:
    assert ".exr" in PICTURE_EXTENSIONS
