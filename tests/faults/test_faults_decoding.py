"""Cases 1 to 30 of the catalogue of faults: pictures that are broken, hostile, or merely odd.

Each goes through the whole program, in the company of a good picture that must be done whatever happens beside it.
"""

from __future__ import annotations

import io
import os
import pickle
import resource
import stat
import struct
import sys
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_rgb
from journeys import Journey, depth_of, encode, glpn, good_png, predict, predict_files, written
from PIL import ExifTags, Image, ImageCms, PngImagePlugin


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLPN_MODEL", str(tiny_model))


RGB = make_rgb(40, 56, seed=3)


@cache
def picture(kind: str, **options: Any) -> bytes:
    image = Image.fromarray(RGB)
    return encode(image.quantize(64) if kind == "GIF" else image, kind, **options)


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, depth: int, color: int, data: bytes, *chunks: bytes) -> bytes:
    """A PNG from its very parts. data: what its IDAT unpacks to."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    body = png_chunk(b"IDAT", zlib.compress(data, 1))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + body + png_chunk(b"IEND", b"")


def same(journey: Journey, name: str, other: str, *warnings: str, within: float = 0.0) -> None:
    """Check that two inputs came to the same depth, in metres of difference at most."""
    np.testing.assert_allclose(journey.made(name, *warnings), depth_of(other), rtol=0, atol=within)


# Damage


def test_case_01_an_empty_file_is_damaged_and_said_to_be_empty() -> None:
    journey = predict_files({"empty.jpg": b"", "empty.png": b""})
    journey.refused("empty.jpg", "E_DECODE", "empty")
    journey.refused("empty.png", "E_DECODE", "empty")


SMALL = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
CUT = {
    "png": ("PNG", {}),
    "jpg": ("JPEG", {}),
    "webp": ("WEBP", {"lossless": True}),
    "gif": ("GIF", {}),
    "tif": ("TIFF", {}),
    "bmp": ("BMP", {}),
    "avif": ("AVIF", {}),
    "ppm": ("PPM", {}),
    "jp2": ("JPEG2000", {}),
}


@pytest.mark.parametrize("extension", CUT)
def test_case_02_a_file_cut_at_any_byte_is_an_error_or_the_same_picture(extension: str) -> None:
    kind, options = CUT[extension]
    image = Image.fromarray(SMALL)
    data = encode(image.quantize(8) if kind == "GIF" else image, kind, **options)
    # JPEG carries 600 bytes of tables: beyond the first of them, every one is like the next.
    step = 1 if len(data) < 300 else 5
    folder = Path("in")
    folder.mkdir()
    cuts = sorted({*range(1, len(data), step), *range(len(data) - 12, len(data))})
    for cut in cuts:
        (folder / f"{cut:04d}.{extension}").write_bytes(data[:cut])
    (folder / f"whole.{extension}").write_bytes(data)
    journey = predict("in")
    assert journey.exit_code == 3
    assert len(journey.records) == len(cuts) + 1
    whole = depth_of(f"whole.{extension}")
    kept = [name for name, code in journey.codes.items() if code == "ok" and not name.startswith("whole")]
    for name in kept:
        np.testing.assert_array_equal(depth_of(name), whole)
    assert len(kept) <= {"png": 12, "gif": 2, "bmp": 3}.get(extension, 0), kept
    assert {code for code in journey.codes.values() if code != "ok"} <= {"E_DECODE", "E_UNSUPPORTED"}
    assert len(written()) == len(kept) + 1


def test_case_03_a_jpeg_without_its_end_is_an_error_unless_that_is_allowed() -> None:
    data = picture("JPEG")
    middle = (data.index(b"\xff\xda") + len(data)) // 2  # of the pixels: no header can be missed
    files = {"no_end.jpg": data[:-2], "half.jpg": data[:middle]}
    journey = predict_files(files)
    for name in files:
        journey.refused(name, "E_DECODE")
        assert "--allow-truncated" in journey.records[name]["error"]["hint"]
    journey = predict_files({**files, "whole.jpg": data}, "--allow-truncated")
    journey.made("half.jpg", "W_TRUNCATED")
    same(journey, "no_end.jpg", "whole.jpg", "W_TRUNCATED")
    journey = predict("in/whole.jpg", "--allow-truncated", "--existing", "overwrite")
    journey.made("whole.jpg")


LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"


def test_case_04_what_only_bears_a_pictures_name_is_told_for_what_it_is() -> None:
    noise = np.random.default_rng(1).bytes(2000)
    journey = predict_files(
        {
            "noise.jpg": b"\0" + noise,
            "text.jpg": b"hello\n",
            "page.jpg": b"<!DOCTYPE html><p>no",
            "lfs.jpg": LFS_POINTER,
        }
    )
    journey.refused("noise.jpg", "E_UNSUPPORTED")
    journey.refused("text.jpg", "E_UNSUPPORTED", "text")
    journey.refused("page.jpg", "E_UNSUPPORTED", "web page")
    journey.refused("lfs.jpg", "E_UNSUPPORTED", "git-LFS pointer")
    assert "git lfs pull" in journey.records["lfs.jpg"]["error"]["hint"]


def test_case_05_the_content_decides_and_not_the_name() -> None:
    journey = predict_files({"really.jpg": picture("PNG"), "named.png": picture("PNG")})
    same(journey, "really.jpg", "named.png")


def test_case_06_flipped_bits_are_noticed_where_a_checksum_covers_them() -> None:
    data = encode(np.random.default_rng(2).integers(0, 256, (40, 56, 3), dtype=np.uint8), "PNG")
    start = data.index(b"IDAT") + 4
    length = int.from_bytes(data[start - 8 : start - 4], "big")
    body = bytearray(data[start : start + length])
    body[-1] ^= 1  # the sum over the unpacked pixels
    bad_sum = data[: start - 8] + png_chunk(b"IDAT", bytes(body)) + data[start + length + 4 :]

    def flipped(place: int) -> bytes:
        return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]

    files = {
        "crc_of_header.png": flipped(29),
        "crc_of_pixels.png": flipped(start + length),
        "adler.png": bad_sum,
        "pixels.png": flipped(start + length // 2),
        "type.png": flipped(start - 3),
    }
    journey = predict_files(files)
    for name in files:
        journey.refused(name, "E_DECODE")


# Bombs


@pytest.mark.parametrize("name", [b"zTXt", b"iTXt"])
def test_case_07_a_bomb_of_text_fails_fast_and_small(name: bytes) -> None:
    packed = zlib.compress(bytes(300 << 20), 9)
    head = b"k\0\0" if name == b"zTXt" else b"k\0\1\0\0\0"
    bomb = png(8, 8, 8, 2, bytes(8 * 25), *[png_chunk(name, head + packed)] * 4)
    del packed
    predict_files({})  # what the first run of all costs is no part of it
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    journey = predict_files({"bomb.png": bomb})
    assert time.perf_counter() - started < 1.5
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 200 << 10  # kilobytes on Linux
    journey.refused("bomb.png", "E_TOO_LARGE", "text")


def test_case_08_headers_that_promise_gigapixels_are_too_large() -> None:
    gif = bytearray(picture("GIF"))
    gif[6:10] = b"\xff" * 4
    bmp = bytearray(picture("BMP"))
    bmp[18:26] = struct.pack("<ii", 100_000, 100_000)
    inner = png(30_000, 30_000, 1, 0, bytes(100))
    ico = struct.pack("<HHH", 0, 1, 1) + struct.pack("<BBBBHHII", 0, 0, 0, 0, 1, 32, len(inner), 22) + inner
    journey = predict_files({"bomb.gif": bytes(gif), "bomb.bmp": bytes(bmp), "bomb.ico": ico})
    for name in ("bomb.gif", "bomb.bmp", "bomb.ico"):
        journey.refused(name, "E_TOO_LARGE")


def test_case_09_a_picture_of_400_megapixels_is_refused_from_its_header() -> None:
    data = png(20_000, 20_000, 1, 0, bytes(20_000 * 2501))  # whole and sound: 50 MB of nothing
    started = time.perf_counter()
    journey = predict_files({"huge.png": data})
    assert time.perf_counter() - started < 5
    journey.refused("huge.png", "E_TOO_LARGE", "400,000,000 pixels (20000x20000)")
    assert journey.records["huge.png"]["error"]["hint"] == "Allow it with --max-pixels 400000000."


def test_case_10_what_pillow_would_warn_of_is_done_or_refused_by_our_own_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1500)  # 40x56 is between one and two of it, where Pillow warns
    monkeypatch.setattr(sys.modules["glpn_cli.images.decode"], "_PILLOW_PIXELS", 3000)
    files = {f"zone.{kind.lower()}": picture(kind) for kind in ("PNG", "GIF", "JPEG", "BMP")}
    journey = predict_files(files)
    for name in files:
        journey.made(name)
    journey = predict("in/zone.png", "--max-pixels", "2000", "--existing", "overwrite")
    assert (journey.exit_code, journey.codes) == (1, {"zone.png": "E_TOO_LARGE"})


# Sizes


def test_case_12_a_single_pixel_becomes_a_single_depth() -> None:
    journey = predict_files({"one.png": encode(RGB[:1, :1], "PNG")})
    assert journey.made("one.png", "W_TINY").shape == (1, 1)


def test_case_13_sizes_around_the_networks_grid_come_back_as_they_were() -> None:
    sizes = [(31, 31), (31, 32), (33, 33)]
    files = {f"{width}x{height}.png": encode(make_rgb(height, width), "PNG") for height, width in sizes}
    journey = predict_files(files)
    for height, width in sizes:
        warnings = ["W_TINY"] if min(height, width) < 32 else []
        assert journey.made(f"{width}x{height}.png", *warnings).shape == (height, width)


def test_case_14_strips_are_done_or_refused_and_memory_stays_bounded() -> None:
    sizes = [(10_000, 1), (1, 10_000), (20_000, 32)]
    files = {
        f"{width}x{height}.png": encode(np.full((height, width, 3), 90, np.uint8), "PNG") for height, width in sizes
    }
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    journey = predict_files(files)
    for height, width in sizes:
        name = f"{width}x{height}.png"
        if journey.codes[name] == "ok":
            assert depth_of(name).shape == (height, width)
        else:
            journey.refused(name, "E_TOO_LARGE")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20


# Modes


def test_case_15_greys_of_16_and_12_bits_come_to_the_depth_of_their_8_bit_twins() -> None:
    grey = np.asarray(Image.fromarray(RGB).convert("L"))
    deep = grey.astype(np.uint16) * 257
    files = {
        "8.png": encode(grey, "PNG"),
        "16.png": encode(Image.fromarray(deep), "PNG"),
        "16.tif": encode(Image.fromarray(deep), "TIFF"),
        "16b.tif": grey_tiff(deep.astype(">u2"), bits=16),
        "12.tif": grey_tiff((deep >> 4).astype("<u2"), bits=12),
    }
    journey = predict_files(files)
    for name in ("16.png", "16.tif", "16b.tif"):
        same(journey, name, "8.png")
    same(journey, "12.tif", "8.png", within=0.05)


def grey_tiff(values: np.ndarray, *, bits: int) -> bytes:
    """A grey TIFF by hand, in the values' byte order; 12 bits are packed, two samples in three bytes."""
    height, width = values.shape
    order = ">" if values.dtype.byteorder == ">" else "<"
    data = values.tobytes()
    if bits == 12:
        pairs = values.reshape(height, width // 2, 2).astype(np.uint32)
        packed = pairs[..., 0] << 12 | pairs[..., 1]
        data = np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=-1).astype(np.uint8).tobytes()
    tags = [(256, 3, width), (257, 3, height), (258, 3, bits), (259, 3, 1), (262, 3, 1), (273, 4, 8)]
    tags += [(277, 3, 1), (278, 3, height), (279, 4, len(data))]
    directory = struct.pack(order + "H", len(tags))
    for tag, kind, value in tags:
        directory += struct.pack(order + ("HHIHxx" if kind == 3 else "HHII"), tag, kind, 1, value)
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8 + len(data))
    return head + data + directory + bytes(4)


def test_case_16_numbers_without_a_range_are_stretched_and_that_is_said() -> None:
    values = np.linspace(-3.0, 5.0, 40 * 56, dtype=np.float32).reshape(40, 56)
    holed = values.copy()
    holed[0, :5] = [np.nan, np.inf, -np.inf, 1, 2]
    pfm = b"Pf\n56 40\n-1.0\n" + values[::-1].tobytes()
    files = {
        "int.tif": encode(Image.fromarray((values * 1000).astype(np.int32)), "TIFF"),
        "float.tif": encode(Image.fromarray(values), "TIFF"),
        "holes.tif": encode(Image.fromarray(holed), "TIFF"),
        "nothing.tif": encode(Image.fromarray(np.full((40, 56), np.nan, np.float32)), "TIFF"),
        "float.pfm": pfm,
    }
    journey = predict_files(files, "--as", "picture")
    assert journey.codes == {
        "int.tif": "ok",
        "float.tif": "ok",
        "holes.tif": "ok",
        "nothing.tif": "E_UNSUPPORTED",
        "float.pfm": "ok",
        "good.png": "ok",
    }
    for name in files.keys() - {"nothing.tif"}:
        journey.made(name, "W_RANGE")
    alone = predict("in/float.pfm")
    assert (alone.exit_code, alone.records) == (2, {})  # a depth file already, unless somebody says otherwise
