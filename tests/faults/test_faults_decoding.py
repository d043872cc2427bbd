"""Cases 1 to 30 of the catalogue of faults: pictures that are broken, hostile, or merely odd.

Each goes through the whole program, in the company of a good picture that must be done whatever happens beside it.
"""

from __future__ import annotations

import io
import os
import pickle
import resource
import struct
import sys
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_rgb
from moody_decoder import ppm
from PIL import ExifTags, Image, ImageCms, PngImagePlugin
from program_runs import Journey, depth_of, depth_path, encode, good_png, predict, predict_files, written

from glpn_cli.depth_files import read_depth
from glpn_cli.images import ImageSource, Picture
from glpn_cli.pipeline import settings


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
    started = time.process_time()
    journey = predict_files({"bomb.png": bomb})
    assert time.process_time() - started < 1.5
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
    started = time.process_time()
    journey = predict_files({"huge.png": data})
    assert time.process_time() - started < 5
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
        same(journey, name, "8.png", "W_DEPTH_LIKE")
    same(journey, "12.tif", "8.png", "W_DEPTH_LIKE", within=0.05)


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


def test_case_17_16_bit_colours_come_to_the_depth_of_their_8_bit_twins() -> None:
    deep = RGB.astype(">u2") * 257
    rows = b"".join(b"\0" + row.tobytes() for row in deep)
    files = {
        "8.png": picture("PNG"),
        "16.png": png(56, 40, 16, 2, rows),
        "16.tif": color_tiff(deep),
    }
    journey = predict_files(files)
    same(journey, "16.png", "8.png")
    same(journey, "16.tif", "8.png")


def color_tiff(values: np.ndarray) -> bytes:
    """A 16-bit RGB TIFF by hand, big-endian."""
    height, width, _ = values.shape
    data = values.astype(">u2").tobytes()
    bits_at = 8 + len(data)
    tags = [(256, 3, 1, width << 16), (257, 3, 1, height << 16), (258, 3, 3, bits_at), (259, 3, 1, 1 << 16)]
    tags += [(262, 3, 1, 2 << 16), (273, 4, 1, 8), (277, 3, 1, 3 << 16), (278, 3, 1, height << 16)]
    tags += [(279, 4, 1, len(data))]
    directory = struct.pack(">H", len(tags)) + b"".join(struct.pack(">HHII", *tag) for tag in tags) + bytes(4)
    return b"MM" + struct.pack(">HI", 42, bits_at + 6) + data + struct.pack(">HHH", 16, 16, 16) + directory


def test_case_18_inks_come_out_in_their_colours() -> None:
    cmyk = Image.fromarray(RGB).convert("CMYK")
    adobe = encode(cmyk, "JPEG", quality=100, subsampling=0)
    assert b"Adobe" in adobe, "which means inverted, as every CMYK picture of Adobe's is"
    plain = encode(Image.fromarray(RGB), "JPEG", quality=100, subsampling=0)
    ycck = bytearray(adobe)
    journey = predict_files(
        {"rgb.jpg": plain, "cmyk.jpg": adobe, "cmyk.tif": encode(cmyk, "TIFF"), "ycck.jpg": as_ycck(bytes(ycck))}
    )
    # The tiny network moves by tenths of a metre where colours are inverted.
    same(journey, "cmyk.tif", "rgb.jpg", within=0.05)
    same(journey, "cmyk.jpg", "rgb.jpg", within=0.05)
    journey.made("ycck.jpg")


def as_ycck(cmyk: bytes) -> bytes:
    """The same JPEG, which says that its inks are brightness and colour differences."""
    place = cmyk.index(b"Adobe") + 11
    return cmyk[:place] + b"\x02" + cmyk[place + 1 :]


def test_case_19_rare_modes_are_done_or_refused_by_name() -> None:
    image = Image.fromarray(RGB)
    grey = image.convert("L")
    files = {
        "rgb.png": picture("PNG"),
        "lab.tif": encode(as_lab(image), "TIFF"),
        "ycbcr.tif": encode(image.convert("YCbCr"), "TIFF"),
        "bits.png": encode(grey.convert("1"), "PNG"),
        "bits.tif": encode(grey.convert("1"), "TIFF"),
        "alpha.png": encode(grey.convert("LA"), "PNG"),
        "palette.png": encode(image.quantize(16), "PNG"),
        "premultiplied.tif": premultiplied_tiff(),
    }
    journey = predict_files(files)
    same(journey, "lab.tif", "rgb.png", within=0.1)
    same(journey, "ycbcr.tif", "rgb.png", within=0.05)
    for name in ("bits.png", "bits.tif", "alpha.png", "palette.png"):
        journey.made(name)
    assert journey.codes["premultiplied.tif"] in ("ok", "E_UNSUPPORTED")


def as_lab(image: Image.Image) -> Image.Image:
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    converted = ImageCms.applyTransform(image, to_lab)
    assert converted is not None
    return converted


def premultiplied_tiff() -> bytes:
    """An RGBA TIFF whose colours are multiplied by their alpha already, Pillow's mode RGBa."""
    data = bytearray(encode(Image.fromarray(RGB).convert("RGBA"), "TIFF"))
    start = struct.unpack_from("<I", data, 4)[0]
    for index in range(struct.unpack_from("<H", data, start)[0]):
        place = start + 2 + 12 * index
        if struct.unpack_from("<H", data, place)[0] == 338:  # ExtraSamples
            struct.pack_into("<H", data, place + 8, 1)
    return bytes(data)


def test_case_20_what_hides_under_transparency_never_shows() -> None:
    alpha = np.full((40, 56, 1), 255, np.uint8)
    alpha[:, :20] = 0
    hidden = RGB.copy()
    hidden[:, :20] = [255, 0, 0]
    clear = np.concatenate([RGB, alpha], axis=-1)
    red = np.concatenate([hidden, alpha], axis=-1)
    flat = RGB.copy()
    flat[:, :20] = 128
    palette = Image.fromarray(RGB).quantize(16)
    transparent = encode(palette, "PNG", transparency=bytes([0, 255] * 8))
    files = {
        "flat.png": encode(flat, "PNG"),
        "clear.png": encode(clear, "PNG"),
        "red.png": encode(red, "PNG"),
        "red.webp": encode(red, "WEBP", lossless=True, exact=True),
        "palette.png": transparent,
        "grey.png": encode(Image.fromarray(red).convert("LA"), "PNG"),
    }
    journey = predict_files(files)
    flat_depth = journey.made("flat.png")
    for name in ("clear.png", "red.png", "red.webp"):
        depth = read_depth(depth_path(name)).depth
        assert depth.valid is not None
        assert not depth.valid[:, :20].any()
        assert depth.valid[:, 20:].all()
        np.testing.assert_array_equal(depth.values[:, 20:], flat_depth[:, 20:])
    for name in ("palette.png", "grey.png"):
        assert journey.codes[name] == "ok"


# Frames and pages


def frames(kind: str) -> bytes:
    images = [Image.fromarray(RGB), Image.fromarray(RGB[:, ::-1])]
    if kind == "GIF":
        images = [image.quantize(64) for image in images]
    options: dict[str, Any] = {"WEBP": {"lossless": True}, "AVIF": {"quality": 100}}.get(kind, {})
    return encode(images[0], kind, save_all=True, append_images=images[1:], **options)


ANIMATED = {"x.gif": "GIF", "x.webp": "WEBP", "x.png": "PNG", "x.avif": "AVIF"}


def test_case_21_the_first_frame_counts_and_a_frame_that_is_not_there_is_a_usage_error() -> None:
    journey = predict_files({name: frames(kind) for name, kind in ANIMATED.items()} | {"still.png": picture("PNG")})
    for name in ANIMATED:
        journey.made(name, "W_ANIMATED")
    same(journey, "x.png", "still.png", "W_ANIMATED")
    assert "--frame N chooses" in journey.stderr
    # The result of another frame does not stand for the one that is asked for.
    assert predict("in/x.gif", "--frame", "1").codes == {"x.gif": "E_EXISTS"}
    assert predict("in/x.gif", "--frame", "1", "--existing", "update").exit_code == 0
    assert predict("in/x.gif", "--frame", "1").codes == {"x.gif": "skipped"}
    # Where no input has the frame, the request makes no sense; among others, that is one input's own error.
    alone = predict("in/x.gif", "--frame", "9", "--existing", "update")
    assert (alone.exit_code, alone.codes) == (2, {"x.gif": "E_USAGE"})
    assert "has no frame 9: it has 2 frames, counted from 0 [E_USAGE]" in alone.stderr
    both = predict("in/x.gif", "in/x.webp", "--frame", "9", "--existing", "overwrite")
    assert (both.exit_code, both.codes) == (2, {"x.gif": "E_USAGE", "x.webp": "E_USAGE"})
    Path("in/longer.webp").write_bytes(
        encode(
            Image.fromarray(RGB),
            "WEBP",
            save_all=True,
            append_images=[Image.fromarray(RGB + np.uint8(n)) for n in range(1, 12)],
        )
    )
    some = predict("in/x.gif", "in/longer.webp", "--frame", "9", "--existing", "overwrite")
    assert (some.exit_code, some.codes) == (3, {"x.gif": "E_USAGE", "longer.webp": "ok"})


def test_case_22_an_animation_with_broken_frames_is_its_first_frame_or_an_error() -> None:
    whole = frames("PNG")
    chunks = list(png_chunks(whole))
    second = [index for index, (name, _) in enumerate(chunks) if name == b"fcTL"][1]
    without = [chunk for index, chunk in enumerate(chunks) if index != second]
    first_gone = [chunk for index, chunk in enumerate(chunks) if index != second - 2]
    short = [(name, data[:10] if index == second else data) for index, (name, data) in enumerate(chunks)]
    files = {
        "still.png": picture("PNG"),
        "no_fctl.png": from_chunks(without),
        "first_fctl_gone.png": from_chunks(first_gone),
        "short_fctl.png": from_chunks(short),
        "no_frames.png": from_chunks([(name, bytes(8) if name == b"acTL" else data) for name, data in chunks]),
    }
    journey = predict_files(files)
    for name in files.keys() - {"still.png"}:
        if journey.codes[name] == "ok":
            np.testing.assert_array_equal(depth_of(name), depth_of("still.png"))
        else:
            journey.refused(name, "E_DECODE")
    second_frames = predict(
        *(f"in/{name}" for name in files if name != "still.png"), "--frame", "1", "--existing", "overwrite"
    )
    assert set(second_frames.codes.values()) <= {"E_DECODE", "E_USAGE", "ok"}


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 8
    while place < len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        yield data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        place += length + 12


def from_chunks(chunks: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(name, data) for name, data in chunks)


def test_case_23_the_first_page_counts_and_circles_of_pages_end() -> None:
    circle = bytearray(picture("TIFF"))
    start = struct.unpack_from("<I", circle, 4)[0]
    count = struct.unpack_from("<H", circle, start)[0]
    struct.pack_into("<I", circle, start + 2 + 12 * count, start)  # the next page is this one
    ultra = picture("JPEG") + picture("JPEG")  # a gain map follows the picture
    files = {
        "still.png": picture("PNG"),
        "pages.tif": frames("TIFF"),
        "circle.tif": bytes(circle),
        "still.jpg": picture("JPEG"),
        "stereo.mpo": frames("MPO"),
        "ultra.jpg": ultra,
    }
    journey = predict_files(files)
    same(journey, "pages.tif", "still.png", "W_ANIMATED")
    same(journey, "circle.tif", "still.png")
    same(journey, "stereo.mpo", "still.jpg")
    same(journey, "ultra.jpg", "still.jpg")
    started = time.process_time()
    last = predict("in/circle.tif", "in/pages.tif", "--frame", "1", "--existing", "overwrite")
    assert time.process_time() - started < 2
    assert last.codes == {"circle.tif": "E_USAGE", "pages.tif": "ok"}


# Metadata

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
LOSSLESS: dict[str, dict[str, Any]] = {
    "webp": {"lossless": True},
    "tiff": {},
    "png": {},
    "avif": {"quality": 100},
    "jpeg": {"quality": 100, "subsampling": 0},
}


def test_case_24_turned_pictures_come_out_upright_with_the_depth_of_their_twins() -> None:
    files = {}
    for kind, options in LOSSLESS.items():
        for orientation in range(1, 9):
            stored = Image.fromarray(RGB)
            stored = stored.transpose(TURNS[orientation]) if orientation in TURNS else stored
            exif = Image.Exif()
            exif[ExifTags.Base.Orientation] = orientation
            files[f"{orientation}.{kind}"] = encode(stored, kind.upper(), exif=exif, **options)
            if kind == "png":
                text = PngImagePlugin.PngInfo()
                tag = f"<tiff:Orientation>{orientation}</tiff:Orientation>"
                text.add_itxt("XML:com.adobe.xmp", f'<x:xmpmeta xmlns:x="adobe:ns:meta/">{tag}</x:xmpmeta>')
                files[f"{orientation}.xmp.png"] = encode(stored, "PNG", pnginfo=text)
    journey = predict_files(files)
    for name in files:
        kind = name.rpartition(".")[2]
        within = {"jpeg": 0.1, "avif": 0.1}.get(kind, 0.0)
        assert journey.made(name).shape == (40, 56), name
        same(journey, name, f"1.{kind}", within=within)


def test_case_25_an_orientation_that_means_nothing_and_broken_metadata_are_ignored() -> None:
    files = {"plain.jpg": picture("JPEG")}
    for orientation in (0, 9, 65535):
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        files[f"{orientation}.jpg"] = picture("JPEG").replace(
            b"\xff\xdb", exif_segment(exif.tobytes()) + b"\xff\xdb", 1
        )
    for number, junk in enumerate([b"", b"II*\0", b"II*\0\xff\xff\xff\xff", b"\xff" * 40, b"MM\0*\0\0\0\x08\xff\xff"]):
        files[f"junk{number}.jpg"] = picture("JPEG").replace(
            b"\xff\xdb", exif_segment(b"Exif\0\0" + junk) + b"\xff\xdb", 1
        )
    journey = predict_files(files)
    for name in files:
        same(journey, name, "plain.jpg")


def exif_segment(data: bytes) -> bytes:
    data = data if data.startswith(b"Exif") else b"Exif\0\0" + data
    return b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data


def test_case_26_other_colour_spaces_are_brought_to_srgb_and_broken_profiles_are_told() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    lab = ImageCms.createProfile("LAB")
    wide = swapped_profile(srgb)
    del lab
    files = {
        "plain.png": picture("PNG"),
        "srgb.png": picture("PNG", icc_profile=srgb),
        "broken.png": picture("PNG", icc_profile=srgb[:100]),
        "broken.jpg": picture("JPEG", icc_profile=b"\0" * 200),
        "wide.png": picture("PNG", icc_profile=wide),
    }
    journey = predict_files(files)
    same(journey, "srgb.png", "plain.png")
    same(journey, "broken.png", "plain.png", "W_ICC")
    journey.made("broken.jpg", "W_ICC")
    assert not np.array_equal(journey.made("wide.png"), depth_of("plain.png"))


def swapped_profile(profile: bytes) -> bytes:
    """The profile of a space whose red is sRGB's blue: no colour but grey is what it was."""
    count = struct.unpack_from(">I", profile, 128)[0]
    table = bytearray(profile)
    places = {}
    for index in range(count):
        name, offset, length = struct.unpack_from(">4sII", profile, 132 + 12 * index)
        places[bytes(name)] = (132 + 12 * index, offset, length)
    (red, *_), (blue, *_) = places[b"rXYZ"], places[b"bXYZ"]
    table[red + 4 : red + 12], table[blue + 4 : blue + 12] = profile[blue + 4 : blue + 12], profile[red + 4 : red + 12]
    return bytes(table)


# Other formats

FOREIGN = {
    "x.heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100), "heif"),
    "x.jxl": (b"\xff\x0a" + bytes(100), "jxl"),
    "x.cr2": (b"II*\0\x10\0\0\0CR\2\0" + bytes(100), "raw"),
    "x.pdf": (b"%PDF-1.7\n" + bytes(100), "PDF"),
    "x.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
    "x.svg": (b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
    "x.mp4": (b"\0\0\0\x18ftypisom\0\0\0\0isommp41" + bytes(100), "a clip"),
}


def test_case_27_foreign_formats_are_named_and_start_no_other_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("gs", "gswin32c", "convert", "inkscape"):
        (tools / tool).write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
        (tools / tool).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    for module in ("pillow_heif", "pillow_jxl"):
        monkeypatch.setitem(sys.modules, module, None)  # as where the extras are not installed
    journey = predict_files({name.replace("x.", "x_") + ".jpg": data for name, (data, _) in FOREIGN.items()})
    for name, (_, words) in FOREIGN.items():
        named = name.replace("x.", "x_") + ".jpg"
        journey.refused(named, "E_UNSUPPORTED")
        told = journey.records[named]["error"]
        assert words.lower() in (told["message"] + told["hint"]).lower()
    for extra in ("heif", "jxl"):
        assert f"pip install 'glpn-cli[{extra}]'" in journey.stderr
    assert not (tmp_path / "started").exists()


class Trap:
    """A pickle that leaves a trace if anybody opens it."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.system, (f"touch {Path('sprung').absolute()}",)


def test_case_28_archives_pickles_and_files_of_two_minds_are_no_pictures() -> None:
    zipped, tarred = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("picture.png", good_png())
    with tarfile.open(fileobj=tarred, mode="w") as tape:
        entry = tarfile.TarInfo("picture.png")
        entry.size = len(good_png())
        tape.addfile(entry, io.BytesIO(good_png()))
    files = {
        "zip.png": zipped.getvalue(),
        "tar.png": tarred.getvalue(),
        "pickle.png": pickle.dumps(Trap()),
        "zip_behind.png": picture("PNG") + zipped.getvalue(),
        "pickle_behind.jpg": b"GIF89" + pickle.dumps(Trap()),
        "still.png": picture("PNG"),
    }
    journey = predict_files(files)
    for name in ("zip.png", "tar.png", "pickle.png", "pickle_behind.jpg"):
        journey.refused(name, "E_UNSUPPORTED")
    same(journey, "zip_behind.png", "still.png")  # a picture, whatever follows it
    assert not Path("sprung").exists()


# Too much of it, for too long, or too bad


def test_case_11_a_large_jpeg_is_decoded_no_larger_than_is_needed_and_within_the_limit_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = encode(np.full((3000, 4000), 90, np.uint8), "JPEG")  # like 200 megapixels, in less time
    seen = []
    read = ImageSource.read

    def watch(self: ImageSource, **settings: Any) -> Picture:
        seen.append(read(self, **settings))
        return seen[-1]

    monkeypatch.setattr(ImageSource, "read", watch)
    journey = predict_files({"large.jpg": data}, "--max-pixels", "12M", "--workers", "1")
    assert journey.codes["large.jpg"] == "ok"
    assert depth_of("large.jpg").shape == (3000, 4000)
    assert max(picture.size for picture in seen if picture.full_size == (3000, 4000)) <= (1500, 2000)
    refused = predict("in/large.jpg", "--max-pixels", "11M", "--existing", "overwrite")
    assert refused.codes == {"large.jpg": "E_TOO_LARGE"}
    assert refused.records["large.jpg"]["error"]["hint"] == "Allow it with --max-pixels 12000000."


@pytest.fixture
def _moody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that decode do what some pictures tell them to: crash, or never end."""
    monkeypatch.setenv("MOODY_DECODER", "1")
    monkeypatch.setattr(settings, "WORKER_MODULES", ("glpn_cli.images", "moody_decoder"))


@pytest.mark.usefixtures("_moody")
def test_case_29_a_decode_that_never_ends_is_given_up_in_time() -> None:
    started = time.perf_counter()
    journey = predict_files({"endless.ppm": ppm("sleep 300", RGB)}, "--timeout", "2", "--workers", "1")
    assert time.perf_counter() - started < 60
    journey.refused("endless.ppm", "E_TIMEOUT", "was not read within 2 s")
    assert "--timeout" in journey.records["endless.ppm"]["error"]["hint"]


@pytest.mark.usefixtures("_moody")
def test_case_30_a_decoder_that_crashes_costs_its_file_and_no_other() -> None:
    files = {"first.ppm": ppm("crash SIGSEGV", RGB), "second.ppm": ppm("crash SIGABRT", RGB), "third.png": good_png()}
    journey = predict_files(files, "--isolate", "--workers", "1")
    journey.refused("first.ppm", "E_CRASH", "SIGSEGV")
    journey.refused("second.ppm", "E_CRASH", "SIGABRT")
    journey.made("third.png")
