"""One limit of pixels, before anything is laid out, and memory in step with the pixels, in every format."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import misbehaviour
import numpy as np
import OpenEXR
import pytest
from PIL import Image

from glpn_cli.errors import ErrorCode, InputError
from glpn_cli.images import ReadOptions, read_rgb
from glpn_cli.process_pool import Workers

SIDE = 2000
MOST_BYTES_A_PIXEL = 40


def plain(kind: str, mode: str = "RGB", *, side: int = SIDE, **options: Any) -> Callable[[Path], None]:
    """A picture that takes next to nothing on the disk."""

    def save(path: Path) -> None:
        image = Image.new(mode, (side, side), 1 if mode in ("F", "I", "I;16") else None)
        if mode in ("F", "I", "I;16"):
            image.putpixel((3, 4), 200)
        if options.get("save_all"):
            options["append_images"] = [Image.new(mode, (side, side), 255)]
        image.save(path, kind, **options)

    return save


def exr(path: Path) -> None:
    half = np.zeros((SIDE, SIDE), np.float16)
    OpenEXR.File({"compression": OpenEXR.ZIP_COMPRESSION}, dict.fromkeys("RGBA", half)).write(str(path))


def interlaced_png(path: Path) -> None:
    rows = b""
    for top, left, down, right in ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2)):
        rows += bytes(len(range(top, SIDE, down)) * (1 + 8 * len(range(left, SIDE, right))))
    rows += bytes(len(range(1, SIDE, 2)) * (1 + 8 * SIDE))

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", SIDE, SIDE, 16, 6, 0, 0, 1)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )


FORMATS = {
    "png": plain("PNG"),
    "png16": plain("PNG", "I;16"),
    "png rgba": plain("PNG", "RGBA"),
    "png palette": plain("PNG", "P", transparency=0),
    "png interlaced of 16 bits": interlaced_png,
    "apng": plain("PNG", save_all=True),
    "jpeg": plain("JPEG"),
    "jpeg progressive": plain("JPEG", progressive=True),
    "jpeg of inks": plain("JPEG", "CMYK"),
    "webp": plain("WEBP", lossless=True, method=0),
    "gif": plain("GIF", "P", save_all=True),
    "tiff": plain("TIFF", compression="tiff_lzw"),
    "tiff of floats": plain("TIFF", "F", compression="tiff_deflate"),
    "tiff of jpeg": plain("TIFF", compression="jpeg"),
    "tiff of fax": plain("TIFF", "1", compression="group4"),
    "tiff of integers": plain("TIFF", "I", compression="tiff_deflate"),
    "bmp": plain("BMP"),
    "ppm": plain("PPM"),
    "jpeg2000": plain("JPEG2000"),
    "avif": plain("AVIF", speed=10),
    "tga": plain("TGA", compression="tga_rle"),
    "qoi": plain("QOI"),
    "sgi": plain("SGI"),
    "pcx": plain("PCX"),
    "dds": plain("DDS", side=SIDE // 2),  # which Pillow reads pixel by pixel, in Python
    "exr": exr,
}


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured as Linux tells it")
@pytest.mark.parametrize("name", FORMATS)
def test_a_picture_takes_at_most_forty_bytes_a_pixel_and_its_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    FORMATS[name](path)
    small = tmp_path / "small.png"
    Image.new("RGB", (8, 8)).save(small)
    with Workers(1, modules=("glpn_cli.images", "OpenEXR", "PIL.AvifImagePlugin")) as workers:
        workers.run(read_rgb, small, about="x")
        before = workers.run(misbehaviour.peak_memory, about="x")
        height, width = workers.run(read_rgb, path, about="x").size
        taken = workers.run(misbehaviour.peak_memory, about="x") - before
    allowed = MOST_BYTES_A_PIXEL * height * width + path.stat().st_size
    assert taken <= allowed, f"{taken / height / width:.1f} bytes a pixel"


def icon(width: int, height: int) -> bytes:
    """An ICO file that says 64x64, with a PNG of another size inside."""
    stream = io.BytesIO()
    Image.new("L", (width, height)).save(stream, "PNG")
    inner = stream.getvalue()
    return struct.pack("<HHH", 0, 1, 1) + struct.pack("<BBBBHHII", 64, 64, 0, 0, 1, 32, len(inner), 22) + inner


def apple_icon(width: int, height: int, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (width, height)).save(stream, kind)
    inner = stream.getvalue()
    block = b"ic08" + struct.pack(">I", 8 + len(inner)) + inner
    return b"icns" + struct.pack(">I", 8 + len(block)) + block


def bitmap_icon(width: int, height: int) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, width, 2 * height, 1, 32, 0, 0, 0, 0, 0, 0)
    return struct.pack("<HHH", 0, 1, 1) + struct.pack("<BBBBHHII", 64, 64, 0, 0, 1, 32, 40, 22) + header


@pytest.mark.parametrize(
    "data",
    [icon(1200, 1000), bitmap_icon(1200, 1000), apple_icon(1200, 1000), apple_icon(1200, 1000, "JPEG2000")],
    ids=["ico png", "ico bmp", "icns png", "icns jpeg2000"],
)
def test_what_is_inside_an_icon_is_held_to_the_limit_before_it_is_decoded(data: bytes) -> None:
    with pytest.raises(InputError, match="1,200,000 pixels") as caught:
        read_rgb(data, ReadOptions(max_pixels=1_000_000))
    assert caught.value.code is ErrorCode.TOO_LARGE


def test_icons_within_the_limit_are_read() -> None:
    assert read_rgb(icon(64, 64), ReadOptions(max_pixels=4096)).size == (64, 64)
    assert read_rgb(apple_icon(256, 256)).size == (256, 256)


@pytest.mark.parametrize(
    "head", [b"icns\0\0\0\x10ic08\0\0\0\0", b"icns" + b"\xff" * 40, b"\0\0\x01\0\xff\xff" + bytes(90)]
)
def test_broken_icons_are_errors(head: bytes) -> None:
    with pytest.raises(InputError):
        read_rgb(head)
