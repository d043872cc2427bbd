"""A picture that ends early is damaged, in formats whose decoders do not say so; a whole one never is."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from glpn_cli.errors import ErrorCode, InputError
from glpn_cli.images import Picture, ReadOptions, read_rgb

NOISE = np.random.default_rng(0).integers(0, 256, (64, 48, 3), dtype=np.uint8)


def encode(rgb: NDArray[np.uint8], kind: str, **options: Any) -> bytearray:
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, kind, **options)
    return bytearray(stream.getvalue())


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(share: float, rgb: NDArray[np.uint8] = NOISE, *, interlaced: bool = False) -> bytes:
    """A PNG of perfect checksums whose compressed data are whole, and those of the first rows only."""
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    rows = b"".join(b"\0" + row.tobytes() for top, left, down, right in passes for row in rgb[top::down, left::right])
    header = struct.pack(">IIBBBBB", rgb.shape[1], rgb.shape[0], 8, 2, 0, 0, interlaced)
    data = zlib.compress(rows[: int(share * len(rows))])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def more_rows(data: bytearray, marker: bytes) -> bytes:
    """A JPEG whose header promises twice the rows that follow."""
    at = data.index(marker) + 5
    struct.pack_into(">H", data, at, 2 * struct.unpack_from(">H", data, at)[0])
    return bytes(data)


def tall_jpeg2000() -> bytes:
    data = encode(NOISE, "JPEG2000")
    struct.pack_into(">I", data, data.index(b"\xff\x51") + 10, 128)
    struct.pack_into(">I", data, data.index(b"ihdr") + 4, 128)
    return bytes(data)


def grey_below(**options: Any) -> bytearray:
    rgb = NOISE.copy()
    rgb[32:] = 128
    return encode(rgb, "JPEG", **options)


def tiff(
    compression: str, share: float = 1, *, grey: NDArray[np.uint8] = NOISE[..., 0], strips: int = 4, **tags: int
) -> bytes:
    """A TIFF of JPEG or fax whose last strip ends after this share of it; tags by number, as in n266=2."""
    image = Image.fromarray(grey)
    image = image if compression == "jpeg" else image.convert("1", dither=Image.Dither.NONE)
    stream = io.BytesIO()
    size = -(-image.width // (1 if compression == "jpeg" else 8)) * image.height // strips
    info = {int(name[1:]): value for name, value in tags.items()}
    image.save(stream, "TIFF", compression=compression, strip_size=size, tiffinfo=info)
    data = bytearray(stream.getvalue())
    at, form, count, place = tiff_entry(data, 279)
    width = "<H" if form == 3 else "<I"
    where = at + 8 if count * struct.calcsize(width) <= 4 else place
    where += (count - 1) * struct.calcsize(width)
    struct.pack_into(width, data, where, int(share * struct.unpack_from(width, data, where)[0]))
    return bytes(data)


def tiff_entry(data: bytes | bytearray, wanted: int) -> tuple[int, int, int, int]:
    """(where it is, type, count, value or where the values are) of a tag."""
    (start,) = struct.unpack_from("<I", data, 4)
    for at in range(start + 2, start + 2 + 12 * struct.unpack_from("<H", data, start)[0], 12):
        tag, *entry = struct.unpack_from("<HHII", data, at)
        if tag == wanted:
            return at, entry[0], entry[1], entry[2]
    raise KeyError(wanted)


def tall_tiff(compression: str) -> bytes:
    data = bytearray(tiff(compression, strips=1))
    for tag in (257, 278):
        struct.pack_into("<HII", data, tiff_entry(data, tag)[0] + 2, 4, 1, 128)
    return bytes(data)


FAXES: list[tuple[str, dict[str, int]]] = [
    *(("jpeg", {}), ("tiff_ccitt", {}), ("group3", {}), ("group3", {"n292": 1}), ("group3", {"n292": 4})),
    *(("group4", {}), ("group4", {"n266": 2})),
]

SHORT = {
    **{
        f"tiff {name} {tags} of {strips} to {share}": tiff(name, share, strips=strips, **tags)
        for name, tags in FAXES
        for strips in (1, 4)
        for share in (0.2, 0.5, 0.9)
    },
    **{f"tiff {name} of more rows": tall_tiff(name) for name in ("jpeg", "tiff_ccitt", "group3", "group4")},
    "png": png(0.25),
    "png without its last row": png(0.99),
    "png interlaced": png(0.7, interlaced=True),
    "jpeg": more_rows(encode(NOISE, "JPEG"), b"\xff\xc0"),
    "jpeg grey below": more_rows(grey_below(), b"\xff\xc0"),
    "jpeg progressive": more_rows(encode(NOISE, "JPEG", progressive=True), b"\xff\xc2"),
    "jpeg with restarts": more_rows(encode(NOISE, "JPEG", restart_marker_rows=1), b"\xff\xc0"),
    "jpeg of greys": more_rows(encode(NOISE[..., 0], "JPEG"), b"\xff\xc0"),
    "jpeg2000": tall_jpeg2000(),
    "gif": bytes(encode(NOISE, "GIF"))[:-300] + b"\0;",
    "tiff lzw": bytes(encode(NOISE, "TIFF", compression="tiff_lzw")).replace(
        b"\x01\x01\x03\x00\x01\0\0\0\x40", b"\x01\x01\x03\x00\x01\0\0\0\x7f"
    ),
    "bmp": bytes(encode(NOISE, "BMP"))[:-100],
    "qoi": bytes(encode(NOISE, "QOI"))[:-100],
}


@pytest.mark.parametrize("name", SHORT)
def test_a_picture_that_ends_early_is_an_error(name: str) -> None:
    with pytest.raises(InputError) as caught:
        read_rgb(SHORT[name])
    assert caught.value.code is ErrorCode.DECODE


def test_a_tiff_of_jpeg_or_fax_in_many_strips_is_whole_where_it_is() -> None:
    checked = (np.add.outer(np.arange(64), np.arange(48)) // 9 % 2 * 255).astype(np.uint8)
    for name, tags in FAXES:
        for grey in (NOISE[..., 0], checked, BLACK[..., 0], np.full_like(checked, 255), np.zeros_like(checked)):
            for strips in (1, 4):
                assert read_rgb(tiff(name, grey=grey, strips=strips, **tags)).warnings == ()


@pytest.mark.parametrize(
    "name", [name for name in SHORT if name.startswith(("png", "jpeg", "tiff jpeg", "tiff group4"))]
)
def test_what_is_there_is_taken_where_that_is_allowed(name: str) -> None:
    picture = read_rgb(SHORT[name], ReadOptions(allow_truncated=True))
    assert "W_TRUNCATED" in picture.warnings


BLACK = NOISE.copy()
BLACK[-20:] = 0


@pytest.mark.parametrize(
    "data",
    [
        png(1, BLACK),
        png(1, BLACK, interlaced=True),
        bytes(encode(BLACK[..., 0], "PNG")),
        bytes(encode(BLACK, "JPEG")),
        bytes(grey_below()),
        bytes(grey_below(progressive=True)),
        bytes(grey_below(restart_marker_rows=1)),
        bytes(grey_below(subsampling=0, quality=100)),
        bytes(encode(np.full((64, 48, 3), 128, np.uint8), "JPEG")),
        bytes(encode(NOISE, "JPEG2000", tile_size=(16, 16))),
        bytes(encode(NOISE, "JPEG2000", no_jp2=True)),
    ],
    ids=["black", "interlaced", "greys", "black jpeg", *["grey jpeg"] * 5, "tiles", "codestream"],
)
@pytest.mark.parametrize("allowed", [False, True])
def test_a_whole_picture_that_looks_like_a_short_one_is_whole(data: bytes, allowed: bool) -> None:
    picture = read_rgb(data, ReadOptions(allow_truncated=allowed))
    assert isinstance(picture, Picture)
    assert picture.size == (64, 48)
    assert picture.warnings == ()


def test_a_grey_photograph_decoded_to_fewer_pixels_is_whole() -> None:
    for size in ((501, 403), (500, 400)):
        data = bytes(encode(np.full((*size, 3), 128, np.uint8), "JPEG"))
        picture = read_rgb(data, at_least=(100, 90))
        assert picture.size != size
        assert picture.warnings == ()


def test_another_picture_behind_the_first_is_told() -> None:
    """`cat a.jpg b.jpg | glpn predict -` gave one map and no word."""
    png_bytes, jpeg = png(1), bytes(encode(NOISE, "JPEG"))
    for data in (jpeg + jpeg, jpeg + png_bytes, png_bytes + jpeg, bytes(encode(NOISE, "WEBP")) + jpeg):
        assert read_rgb(data).warnings == ("W_MORE",)
    for data in (jpeg, png_bytes, jpeg + b"trailer", png_bytes + bytes(100)):
        assert read_rgb(data).warnings == ()


def test_a_stereo_photograph_is_one_picture() -> None:
    stream = io.BytesIO()
    both = [Image.fromarray(NOISE), Image.fromarray(NOISE[::-1])]
    both[0].save(stream, "MPO", save_all=True, append_images=both[1:])
    assert read_rgb(stream.getvalue()).warnings == ()
