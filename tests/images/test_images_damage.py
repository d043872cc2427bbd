"""Files that are cut short or bent: never a wrong picture without a word, never anything but an InputError."""

from __future__ import annotations

import io
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from glpn_cli.errors import ErrorCode, InputError
from glpn_cli.images import Picture, ReadOptions, read_rgb

KINDS: dict[str, dict[str, Any]] = {
    "png": {},
    "png interlaced": {},
    "apng": {"save_all": True},
    "jpeg": {},
    "jpeg progressive": {"progressive": True},
    "jpeg restarting": {"restart_marker_rows": 1},
    "mpo": {"save_all": True},
    "webp": {},
    "webp lossless": {"lossless": True},
    "webp animated": {"save_all": True},
    "gif": {"interlace": 0},
    "gif interlaced": {"interlace": 1},
    "gif animated": {"save_all": True},
    "tiff": {},
    "tiff pages": {"save_all": True},
    "tiff lzw": {"compression": "tiff_lzw"},
    "tiff deflate": {"compression": "tiff_deflate"},
    "tiff packbits": {"compression": "packbits"},
    "bmp": {},
    "avif": {},
    "ppm": {},
    "jpeg2000": {},
    "tga": {"compression": "tga_rle"},
    "qoi": {},
    "sgi": {},
    "pcx": {},
    "ico": {"sizes": [(45, 37)]},
    "dds": {},
}
# Where every byte of the picture is under a checksum.
CHECKED = ["png", "png interlaced", "apng"]


@cache
def noise(number: int = 0) -> NDArray[np.uint8]:
    """Nothing in it can be guessed from the rest."""
    return np.random.default_rng(number).integers(0, 256, (37, 45, 3), dtype=np.uint8)


@cache
def encoded(kind: str) -> bytes:
    name = {"apng": "png"}.get(kind, kind.partition(" ")[0]).upper()
    images = [Image.fromarray(noise(number)) for number in range(2)]
    if name == "GIF":
        images = [image.quantize() for image in images]
    options = dict(KINDS[kind])
    if options.get("save_all"):
        options["append_images"] = images[1:]
    stream = io.BytesIO()
    images[0].save(stream, name, **options)
    data = stream.getvalue()
    return interlaced() if kind == "png interlaced" else data


def interlaced() -> bytes:
    """An Adam7 PNG of one grey byte per pixel, which Pillow reads but does not write."""
    import struct
    import zlib

    grey = noise()[..., 0]
    rows = b""
    for top, left, down, right in (
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    ):
        for row in grey[top::down, left::right]:
            rows += b"\0" + row.tobytes()

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 45, 37, 8, 0, 0, 0, 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@cache
def whole(kind: str) -> Picture:
    return read_rgb(encoded(kind))


def read_or_refuse(data: bytes, **options: Any) -> Picture | InputError:
    """Anything but an InputError fails the test."""
    try:
        return read_rgb(data, ReadOptions(max_pixels=10**7, **options))
    except InputError as error:
        return error


@settings(max_examples=400, deadline=None)
@given(kind=st.sampled_from(sorted(KINDS)), share=st.floats(0, 1, exclude_max=True), from_end=st.booleans())
def test_a_file_cut_anywhere_is_an_error_or_the_same_picture(kind: str, share: float, from_end: bool) -> None:
    data = encoded(kind)
    # Half of the cuts within the last bytes, where a trailer may be missing and nothing else.
    length = len(data) - 1 - int(share * min(40, len(data) - 1)) if from_end else int(share * len(data))
    result = read_or_refuse(data[:length])
    if isinstance(result, Picture):
        np.testing.assert_array_equal(result.rgb, whole(kind).rgb)
        assert "W_TRUNCATED" not in result.warnings
    else:
        assert result.code in (ErrorCode.DECODE, ErrorCode.UNSUPPORTED)


@pytest.mark.soak
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_file_cut_at_every_byte_is_an_error_or_the_same_picture(kind: str) -> None:
    data = encoded(kind)
    for length in range(len(data)):
        result = read_or_refuse(data[:length])
        if isinstance(result, Picture):
            np.testing.assert_array_equal(result.rgb, whole(kind).rgb)


@settings(max_examples=300, deadline=None)
@given(kind=st.sampled_from(sorted(KINDS)), share=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_an_error_or_some_picture(kind: str, share: float, bit: int) -> None:
    data = bytearray(encoded(kind))
    data[int(share * len(data))] ^= 1 << bit
    result = read_or_refuse(bytes(data))
    if isinstance(result, Picture) and kind in CHECKED:
        np.testing.assert_array_equal(result.rgb, whole(kind).rgb)


@settings(max_examples=200, deadline=None)
@given(kind=st.sampled_from(sorted(KINDS)), tail=st.binary(max_size=200), share=st.floats(0, 1))
def test_a_head_with_junk_behind_it_is_an_error_or_some_picture(kind: str, tail: bytes, share: float) -> None:
    data = encoded(kind)
    read_or_refuse(data[: int(share * 200)] + tail)
    read_or_refuse(data[: int(share * len(data))] + tail, allow_truncated=True)


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=300))
def test_any_bytes_are_an_error_or_a_picture(data: bytes) -> None:
    read_or_refuse(data)


# Taking what is there


@pytest.mark.parametrize("kind", ["jpeg", "jpeg progressive", "png", "gif", "bmp", "ppm", "tiff"])
def test_what_is_there_of_a_cut_file_is_taken_where_that_is_allowed(kind: str) -> None:
    data = encoded(kind)[: len(encoded(kind)) * 3 // 4]
    error = read_or_refuse(data)
    assert isinstance(error, InputError)
    assert error.code is ErrorCode.DECODE
    assert error.hint == "Take what is there with --allow-truncated."
    picture = read_or_refuse(data, allow_truncated=True)
    assert isinstance(picture, Picture)
    assert picture.warnings == ("W_TRUNCATED",)
    assert picture.size == (37, 45)
    same = (picture.rgb == whole(kind).rgb).all(axis=(1, 2))
    if kind == "jpeg progressive":
        return  # every row is there, and no row in full
    good, bad = (same[:12], same[-4:]) if kind != "bmp" else (same[-12:], same[:4])  # a BMP begins below
    assert good.all()
    assert not bad.any()


@pytest.mark.parametrize("kind", ["jpeg", "png", "gif", "webp", "tiff lzw", "avif", "jpeg2000"])
def test_whole_files_carry_no_warning_where_cut_ones_are_allowed(kind: str) -> None:
    picture = read_or_refuse(encoded(kind), allow_truncated=True)
    assert isinstance(picture, Picture)
    assert picture.warnings == ()
    np.testing.assert_array_equal(picture.rgb, whole(kind).rgb)


@pytest.mark.parametrize("kind", ["webp", "avif", "png"])
def test_where_nothing_can_be_taken_it_is_an_error_without_the_same_hint(kind: str) -> None:
    error = read_or_refuse(encoded(kind)[:30], allow_truncated=True)
    assert isinstance(error, InputError)
    assert error.code is ErrorCode.DECODE
    assert "--allow-truncated" not in error.hint
