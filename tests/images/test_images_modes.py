"""Every mode of pixels, and every way to be transparent."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from glpn_cli.errors import ErrorCode, InputError
from glpn_cli.images import BACKGROUND, Picture, PictureWarning, ReadOptions, from_pillow, read_rgb
from glpn_cli.images.pixel_modes import flatten

MODES = "1 L LA La P PA RGB RGBA RGBa RGBX CMYK YCbCr LAB HSV I F I;16 I;16L I;16B I;16N".split()
SIZE = (40, 36)


def ramp() -> NDArray[np.uint8]:
    """Every grey there is, uint8 (40, 36)."""
    return np.linspace(0, 255, SIZE[0] * SIZE[1]).astype(np.uint8).reshape(SIZE)


def read(image: Image.Image | NDArray[Any], kind: str, **options: Any) -> Picture:
    stream = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(stream, kind, **options)
    return read_rgb(stream.getvalue())


def make_tiff(
    values: bytes, *, bits: int, sample_format: int, order: str = "<", orientation: int = 1, photometric: int = 1
) -> bytes:
    """A TIFF of one channel, uncompressed, in one strip, written by hand."""
    height, width = SIZE
    tags = [
        (256, width),
        (257, height),
        (258, bits),
        (259, 1),
        (262, photometric),
        (273, 0),
        (274, orientation),
        (277, 1),
        (278, height),
        (279, len(values)),
        (339, sample_format),
    ]
    start = 8 + 2 + 12 * len(tags) + 4
    out = (b"II" if order == "<" else b"MM") + struct.pack(order + "HIH", 42, 8, len(tags))
    for tag, value in tags:
        out += struct.pack(order + "HHII", tag, 4, 1, start if tag == 273 else value)
    return out + struct.pack(order + "I", 0) + values


def make_png(values: bytes, *, depth: int, color: int, transparent: bytes) -> bytes:
    """A PNG with a transparent colour, written by hand; `values` are rows of pixels without filter bytes."""
    height, width = SIZE

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    stride = len(values) // height
    rows = b"".join(b"\0" + values[row * stride : (row + 1) * stride] for row in range(height))
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"tRNS", transparent)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


# Greys of 16 bits


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM", "JPEG2000"])
def test_a_16_bit_grey_equals_its_8_bit_twin(kind: str) -> None:
    picture = read(ramp().astype(np.uint16) * 257, kind)
    np.testing.assert_array_equal(picture.rgb, np.dstack([ramp()] * 3))
    assert picture.warnings == ()


@pytest.mark.parametrize("order", ["<", ">"])
def test_both_byte_orders_of_16_bits_are_read(order: str) -> None:
    values = (ramp().astype(np.uint16) * 257).astype(order + "u2").tobytes()
    picture = read_rgb(make_tiff(values, bits=16, sample_format=1, order=order))
    np.testing.assert_array_equal(picture.rgb[..., 1], ramp())


@pytest.mark.parametrize("bits", [8, 16])
def test_where_white_is_zero_the_largest_value_is_black(bits: int) -> None:
    values = ramp().astype("<u2") * 257 if bits == 16 else ramp()
    picture = read_rgb(make_tiff(values.tobytes(), bits=bits, sample_format=1, photometric=0))
    np.testing.assert_array_equal(picture.rgb[..., 1], 255 - ramp())


def pack_twelve_bits() -> bytes:
    twelve = np.round(ramp() * (4095 / 255)).astype(int).ravel()
    packed = bytearray()
    for a, b in zip(twelve[::2], twelve[1::2], strict=True):
        packed += bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255])
    return bytes(packed)


def test_twelve_bits_are_scaled_by_twelve_bits() -> None:
    picture = read_rgb(make_tiff(pack_twelve_bits(), bits=12, sample_format=1))
    np.testing.assert_array_equal(picture.rgb[..., 0], ramp())


def test_twelve_bits_are_twelve_bits_however_the_picture_is_turned_and_whoever_opened_it() -> None:
    """As stored, or opened by somebody else, they came out sixteen times too dark: a copy has no tags."""
    data = make_tiff(pack_twelve_bits(), bits=12, sample_format=1, orientation=6)
    upright = np.rot90(ramp(), -1)
    np.testing.assert_array_equal(read_rgb(data).rgb[..., 0], upright)
    np.testing.assert_array_equal(read_rgb(data, ReadOptions(orientation="ignore")).rgb[..., 0], ramp())
    np.testing.assert_array_equal(from_pillow(Image.open(io.BytesIO(data))).rgb[..., 0], upright)


def test_long_integers_are_stretched_whoever_opened_them() -> None:
    data = make_tiff((ramp().astype("<u4") * 100).tobytes(), bits=32, sample_format=1)
    adopted = from_pillow(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(adopted.rgb, read_rgb(data).rgb)
    assert adopted.warnings == (PictureWarning.RANGE,)


def test_twelve_bits_in_sixteen_are_dark_and_never_clipped() -> None:
    values = np.round(ramp() * (4095 / 255)).astype(np.uint16)
    picture = read(values, "PNG")
    assert picture.rgb.max() == 16
    assert len(np.unique(picture.rgb)) == 17


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("bits", [10, 12])
def test_few_bits_in_sixteen_are_told_and_white_brings_them_right(kind: str, bits: int) -> None:
    """Such a picture is nearly black, and its depths are wrong."""
    most = 2**bits - 1
    values = np.round(ramp() / 255 * most).astype(np.uint16)
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, kind)
    assert read_rgb(stream.getvalue()).warnings == ("W_DARK",)
    picture = read_rgb(stream.getvalue(), ReadOptions(white=most))
    assert picture.warnings == ()
    assert np.abs(picture.rgb[..., 0].astype(int) - ramp()).max() <= 1


def test_a_night_of_sixteen_bits_with_one_light_is_not_told() -> None:
    values = np.full((40, 50), 300, np.uint16)
    values[3, 4] = 40_000
    assert read(values, "PNG").warnings == ()
    assert read(np.zeros((40, 50), np.uint16), "PNG").warnings == ()


def test_white_changes_nothing_for_eight_bits_and_is_refused_for_colours_of_sixteen() -> None:
    stream = io.BytesIO()
    Image.fromarray(ramp()).save(stream, "PNG")
    assert read_rgb(stream.getvalue(), ReadOptions(white=4095)).rgb.max() == 255
    rgb = (np.stack([ramp()] * 3, axis=-1).astype(np.uint16) * 16).astype(">u2").tobytes()
    data = make_png(rgb, depth=16, color=2, transparent=b"\xff" * 6)
    assert "W_DARK" in read_rgb(data).warnings
    with pytest.raises(InputError) as caught:
        read_rgb(data, ReadOptions(white=4095))
    assert caught.value.code is ErrorCode.UNSUPPORTED


@pytest.mark.parametrize("white", [0, -1, 65_536])
def test_a_white_that_is_none_is_refused(white: int) -> None:
    with pytest.raises(ValueError, match="white"):
        ReadOptions(white=white)


def test_white_is_part_of_the_view_that_records_keep() -> None:
    assert ReadOptions(white=4095, frame=2).view == "frame 2, white 4095"
    assert ReadOptions().view is None


def test_a_16_bit_colour_picture_is_brought_to_8_bits() -> None:
    rgb = np.dstack([ramp(), ramp()[::-1], ramp()[:, ::-1]])
    values = (rgb.astype(np.uint16) * 257).astype(">u2").tobytes()
    data = make_png(values, depth=16, color=2, transparent=bytes(6)).replace(b"tRNS", b"tEXt", 1)
    picture = read_rgb(
        data.replace(
            struct.pack(">I", zlib.crc32(b"tRNS" + bytes(6))), struct.pack(">I", zlib.crc32(b"tEXt" + bytes(6)))
        )
    )
    np.testing.assert_array_equal(picture.rgb, rgb)


# Values without a range


def test_signed_integers_are_stretched_with_a_warning() -> None:
    picture = read(ramp().astype(np.int32) * 1_000_000 - 5, "TIFF")
    np.testing.assert_array_equal(picture.rgb[..., 0], ramp())
    assert picture.warnings == ("W_RANGE",)


def test_unsigned_integers_above_31_bits_do_not_wrap() -> None:
    values = (ramp().astype(np.uint32) * 0x01010101).astype("<u4").tobytes()
    picture = read_rgb(make_tiff(values, bits=32, sample_format=1))
    np.testing.assert_array_equal(picture.rgb[..., 0], ramp())


@pytest.mark.parametrize("scale", [1 / 255, 1.0, 1e30, 1e-30])
def test_floats_are_stretched_with_a_warning(scale: float) -> None:
    picture = read((ramp() * scale).astype(np.float32), "TIFF")
    np.testing.assert_array_equal(picture.rgb[..., 0], ramp())
    assert picture.warnings == ("W_RANGE",)
    assert picture.valid is None


def test_the_widest_range_of_floats_does_not_overflow() -> None:
    largest = float(np.finfo(np.float32).max)
    values = np.where(ramp() < 128, -largest, largest).astype(np.float32)
    np.testing.assert_array_equal(read(values, "TIFF").rgb[..., 0], np.where(ramp() < 128, 0, 255))


def test_what_is_no_number_is_not_valid() -> None:
    values = ramp().astype(np.float32)
    values[0, 0], values[1, 1], values[2, 2] = np.nan, np.inf, -np.inf
    picture = read(values, "TIFF")
    assert picture.valid is not None
    assert np.argwhere(~picture.valid).tolist() == [[0, 0], [1, 1], [2, 2]]
    assert (picture.rgb[~picture.valid] == BACKGROUND).all()
    assert picture.rgb[-1, -1, 0] == 255


def test_a_float_picture_without_a_number_is_refused() -> None:
    with pytest.raises(InputError, match="not one of its values is a number") as caught:
        read(np.full(SIZE, np.nan, np.float32), "TIFF")
    assert caught.value.code is ErrorCode.UNSUPPORTED


def test_a_constant_float_picture_is_grey() -> None:
    assert (read(np.full(SIZE, 7, np.float32), "TIFF").rgb == BACKGROUND).all()


# Channels


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_is_brought_to_rgb(mode: str) -> None:
    flat = flatten(Image.new(mode, (7, 5)))
    assert flat.rgb.shape == (5, 7, 3)
    assert flat.rgb.dtype == np.uint8


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_ink_comes_out_in_the_right_colours(kind: str) -> None:
    rgb = np.zeros((64, 96, 3), np.uint8)
    rgb[:, :32], rgb[:, 32:64], rgb[:, 64:] = (255, 0, 0), (255, 255, 255), (0, 0, 255)
    picture = read(Image.fromarray(rgb).convert("CMYK"), kind)
    assert np.abs(picture.rgb.astype(int) - rgb).mean() < 4


@pytest.mark.parametrize("mode", ["YCbCr", "LAB"])
def test_colours_told_by_lightness_come_out_right(mode: str) -> None:
    rgb = np.zeros((32, 64, 3), np.uint8)
    rgb[:, :32], rgb[:, 32:] = (200, 80, 40), (40, 90, 200)
    picture = read(Image.fromarray(rgb).convert(mode), "TIFF")
    assert np.abs(picture.rgb.astype(int) - rgb).max() < 6


def test_black_and_white_is_black_and_white() -> None:
    picture = read(ramp() > 127, "PNG")
    np.testing.assert_array_equal(picture.rgb[..., 2], np.where(ramp() > 127, 255, 0))


# Transparency


def rgba() -> NDArray[np.uint8]:
    """Red everywhere; alpha runs from 0 to 255."""
    red = np.zeros((*SIZE, 3), np.uint8)
    red[..., 0] = 255
    return np.dstack([red, ramp()])


def test_the_colour_under_full_transparency_never_shows() -> None:
    values = rgba()
    values[..., 3] = 0
    picture = read(values, "PNG")
    assert (picture.rgb == BACKGROUND).all()
    assert picture.valid is not None
    assert not picture.valid.any()


def test_half_transparent_pixels_blend_and_are_valid_from_half_on() -> None:
    picture = read(rgba(), "PNG")
    alpha = ramp()[..., None] / 255
    expected = np.array([255, 0, 0]) * alpha + np.array(BACKGROUND) * (1 - alpha)
    assert np.abs(picture.rgb - expected).max() <= 1
    np.testing.assert_array_equal(picture.valid, ramp() >= 128)


def test_an_opaque_alpha_channel_changes_nothing() -> None:
    values = rgba()
    values[..., 3] = 255
    picture = read(values, "PNG")
    assert picture.valid is None
    assert (picture.rgb == (255, 0, 0)).all()


@pytest.mark.parametrize("mode", ["LA", "RGBA", "La", "RGBa", "PA"])
def test_every_kind_of_alpha_counts(mode: str) -> None:
    image = Image.fromarray(np.dstack([ramp(), np.where(ramp() > 200, 0, 255).astype(np.uint8)]))
    if mode == "La":
        image = image.convert("La")
    elif mode == "PA":
        image = Image.fromarray(ramp()).convert("P").convert("PA")
        image.putalpha(Image.fromarray(np.where(ramp() > 200, 0, 255).astype(np.uint8)))
    elif mode != "LA":
        image = image.convert("RGBA").convert(mode)
    flat = flatten(image)
    np.testing.assert_array_equal(flat.valid, ramp() <= 200)
    assert (flat.rgb[ramp() > 200] == BACKGROUND).all()
    np.testing.assert_array_equal(flat.rgb[ramp() <= 200][:, 0], ramp()[ramp() <= 200])


@pytest.mark.parametrize(
    ("kind", "transparency"), [("PNG", 3), ("PNG", bytes([255, 255, 255, 0, 255, 255, 255, 255])), ("GIF", 3)]
)
def test_transparent_palette_entries_are_not_valid(kind: str, transparency: int | bytes) -> None:
    index = (ramp() // 32).astype(np.uint8)
    image = Image.fromarray(index).convert("P")
    image.putdata(index.ravel().tolist())
    image.putpalette([value for level in range(8) for value in (level * 30, 0, 255)])
    picture = read(image, kind, transparency=transparency)
    np.testing.assert_array_equal(picture.valid, index != 3)
    assert (picture.rgb[index == 3] == BACKGROUND).all()
    np.testing.assert_array_equal(picture.rgb[index != 3][:, 0], index[index != 3] * 30)


@pytest.mark.parametrize(
    ("values", "depth", "color", "transparent"),
    [
        (np.where(ramp() > 200, 9, 100).astype(np.uint8), 8, 0, struct.pack(">H", 9)),
        (np.where(ramp() > 200, 999, 30_000).astype(">u2"), 16, 0, struct.pack(">H", 999)),
        (np.dstack([np.where(ramp() > 200, 9, 100)] * 3).astype(np.uint8), 8, 2, struct.pack(">HHH", 9, 9, 9)),
        (np.dstack([np.where(ramp() > 200, 999, 30_000)] * 3).astype(">u2"), 16, 2, struct.pack(">HHH", 999, 999, 999)),
        (np.packbits(ramp() <= 200, axis=1), 1, 0, struct.pack(">H", 0)),
    ],
    ids=["grey", "grey16", "rgb", "rgb16", "bits"],
)
def test_a_transparent_colour_is_not_valid(values: NDArray[Any], depth: int, color: int, transparent: bytes) -> None:
    picture = read_rgb(make_png(values.tobytes(), depth=depth, color=color, transparent=transparent))
    np.testing.assert_array_equal(picture.valid, ramp() <= 200)
    assert (picture.rgb[ramp() > 200] == BACKGROUND).all()


def test_a_large_float_picture_takes_little_more_memory_than_itself() -> None:
    """It took 40 bytes a pixel, eight gigabytes for 200 megapixels."""
    image = Image.fromarray(np.linspace(0, 1, 4_000_000, dtype=np.float32).reshape(2000, 2000))
    tracemalloc.start()
    try:
        flat = flatten(image)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert flat.rgb[0, 0, 0] == 0
    assert flat.rgb[-1, -1, 0] == 255
    assert peak < 16 * 4_000_000
