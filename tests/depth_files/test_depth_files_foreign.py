"""Files of others and of attackers: numbers that are no depth, files that are not whole, sizes that are not true."""

from __future__ import annotations

import struct
import subprocess
import sys
import zipfile
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from depth_samples import make_depth, make_result
from PIL import Image, TiffImagePlugin

from glpn_cli.depth_files import is_depth_file, make_writer, read_depth
from glpn_cli.depth_files.npy import encode_array
from glpn_cli.depth_files.png import encode_png
from glpn_cli.depth_files.summary import DepthSummary
from glpn_cli.errors import ErrorCode, InputError
from glpn_cli.geometry import FocalChoice
from glpn_cli.images.exr import encode_channels
from glpn_cli.prediction import DepthKind, DepthMap

SENSOR = np.array([[1000, 2000, 65535], [0, 65535, 3000]], np.uint16)
FLOATS = np.array([[1.5, 2.5, np.inf], [1e9, -1, 3.5], [3e38, np.nan, 0]], np.float32)


def in_every_integer_format(array: np.ndarray) -> dict[str, bytes]:
    tiff, npz = BytesIO(), BytesIO()
    Image.fromarray(array).save(tiff, "TIFF", compression="tiff_lzw")
    np.savez_compressed(npz, depth=array)
    return {
        "png": encode_png(array, text={}), "tiff": tiff.getvalue(), "npy": encode_array(array), "npz": npz.getvalue()
    }  # fmt: skip


def in_every_float_format(array: np.ndarray) -> dict[str, bytes]:
    tiff, npz = BytesIO(), BytesIO()
    Image.fromarray(array).save(tiff, "TIFF")
    np.savez(npz, depth=array)
    pfm = f"Pf\n{array.shape[1]} {array.shape[0]}\n-1\n".encode() + array[::-1].tobytes()
    exr = encode_channels({"Z": array}, text={})
    return {"tiff": tiff.getvalue(), "npy": encode_array(array), "npz": npz.getvalue(), "pfm": pfm, "exr": exr}


@pytest.mark.parametrize("name", ["png", "tiff", "npy", "npz"])
def test_65535_in_16_bits_is_no_depth(name: str, tmp_path: Path) -> None:
    """A score against such truth was 31.8 m where 0.52 is right."""
    path = tmp_path / "x"
    path.write_bytes(in_every_integer_format(SENSOR)[name])
    assert read_depth(path, depth_scale=1000).depth.valid_values().tolist() == [1, 2, 3]
    summary = DepthSummary.of(path, depth_scale=1000)
    assert summary.not_depth == 2
    assert summary.min_max == (1, 3)
    assert summary.percentiles[-1][1] <= 3


@pytest.mark.parametrize("name", ["tiff", "npy", "npz", "pfm", "exr"])
def test_infinite_huge_and_negative_floats_are_no_depth(name: str) -> None:
    data = in_every_float_format(FLOATS)[name]
    assert is_depth_file(data)
    stored = read_depth(data)
    assert stored.depth.valid_values().tolist() == [1.5, 2.5, 3.5]
    assert stored.not_depth == 4


def test_the_largest_number_of_our_own_16_bit_map_is_a_depth() -> None:
    """Our maps say 0 where nothing is known, so 65535 is a distance in them."""
    depth = DepthMap(np.array([[1, 65.535]], np.float32))
    stored = read_depth(make_writer("png16", kind=DepthKind.METRIC, limit_m=None, depth_scale=1000).encode(
        make_result(depth)
    ).data)  # fmt: skip
    assert stored.depth.valid_values() == pytest.approx([1, 65.535])
    assert stored.not_depth == 0


def test_a_png_whose_data_end_before_its_last_row_is_an_error() -> None:
    data = encode_png(np.full((64, 48), 1500, np.uint16), text={})
    at = data.index(b"IDAT") - 4
    (length,) = struct.unpack_from(">I", data, at)
    rows = zlib.decompress(data[at + 8 : at + 8 + length])
    for kept in (rows[: len(rows) // 4], rows[:-1]):
        short = zlib.compress(kept)
        chunk = struct.pack(">I4s", len(short), b"IDAT") + short + struct.pack(">I", zlib.crc32(b"IDAT" + short))
        with pytest.raises(InputError):
            read_depth(data[:at] + chunk + data[at + 12 + length :], depth_scale=1000)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_a_tiff_that_ends_early_is_an_error(compression: str) -> None:
    values = np.random.default_rng(0).integers(1, 60000, (64, 48)).astype(np.uint16)
    file = BytesIO()
    Image.fromarray(values).save(file, "TIFF", compression=compression)
    data = file.getvalue()
    where = TAGS[compression]
    with pytest.raises(InputError):
        read_depth(data[: len(data) // 2] if where == "end" else data[:8] + data[8 + 2000 :], depth_scale=1000)


# libtiff writes the tags behind the pixels.
TAGS = {"raw": "end", "tiff_lzw": "start", "tiff_adobe_deflate": "start", "packbits": "start"}


@pytest.mark.parametrize("width", [16, 64])
@pytest.mark.parametrize("compression", ["raw", "tiff_adobe_deflate"])
def test_floats_of_any_width_are_read_from_tiff(width: int, compression: str) -> None:
    values = np.array([[1.5, 2.25], [np.nan, 4]], f"<f{width // 8}")
    strip = values.tobytes() if compression == "raw" else zlib.compress(values.tobytes())
    tags = {256: 2, 257: 2, 258: width, 259: 1 if compression == "raw" else 8, 262: 1, 273: 8, 277: 1, 278: 2}
    tags |= {279: len(strip), 339: 3}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    data = struct.pack("<4sI", b"II*\0", 8 + len(strip)) + strip + struct.pack("<H", len(tags)) + entries + b"\0" * 4
    assert read_depth(data).depth.valid_values().tolist() == [1.5, 2.25, 4]


def test_every_flipped_bit_of_the_pixels_of_a_tiff_is_an_error() -> None:
    """Through libtiff 799 of 9,000 came back as other depths."""
    depth = make_depth()
    data = make_writer("tiff", kind=DepthKind.METRIC, limit_m=10.0).encode(make_result(depth)).data
    rng = np.random.default_rng(0)
    for place in rng.integers(len(data) - 5000, len(data), 500):
        flipped = bytearray(data)
        flipped[place] ^= 1 << int(rng.integers(8))
        try:
            values = read_depth(bytes(flipped)).depth.values
        except InputError:
            continue
        assert np.array_equal(values, depth.values)


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_members_that_numpy_does_not_write_are_an_input_error(compression: int) -> None:
    file = BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("depth.npy", encode_array(np.ones((4, 4), np.float32)))
    data = file.getvalue()
    with pytest.raises(InputError):
        read_depth(data)
    for place in range(60, len(data) - 60, 3):
        with pytest.raises(InputError):
            read_depth(data[:place] + b"\xff" + data[place + 1 :])


@pytest.mark.parametrize("name", ["png", "tiff", "npy", "npz", "pfm", "exr"])
def test_more_pixels_than_are_allowed_are_refused_in_every_format(name: str) -> None:
    data = (in_every_float_format(np.ones((8, 8), np.float32)) | {"png": encode_png(SENSOR.repeat(11, 1), text={})})[
        name
    ]
    with pytest.raises(InputError) as caught:
        read_depth(data, depth_scale=1000, max_pixels=63)
    assert caught.value.code is ErrorCode.TOO_LARGE


def make_bombs() -> dict[str, bytes]:
    """Small files that claim 40,000 x 40,000 pixels or gigabytes of numbers."""
    npz = BytesIO()
    with zipfile.ZipFile(npz, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("depth.npy", "w") as member:
        member.write(encode_array(np.ones((4, 4), np.float32)))
        for _ in range(300):
            member.write(bytes(1 << 20))
    exr = encode_channels({"Z": np.ones((4, 4), np.float32)}, text={})
    window, huge = struct.pack("<4i", 0, 0, 3, 3), struct.pack("<4i", 0, 0, 39999, 39999)
    tiff = (
        make_writer("tiff", kind=DepthKind.METRIC, limit_m=None)
        .encode(make_result(DepthMap(np.ones((4, 4), "f4"))))
        .data
    )
    tags = struct.pack("<HHII", 256, 4, 1, 4), struct.pack("<HHII", 256, 4, 1, 1 << 30)
    png = encode_png(np.ones((4, 4), np.uint16), text={})
    header = b"IHDR" + struct.pack(">IIBBBBB", 40000, 40000, 16, 0, 0, 0, 0)
    png = png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]
    assert window in exr
    assert tags[0] in tiff
    return {"npz": npz.getvalue(), "exr": exr.replace(window, huge), "tiff": tiff.replace(*tags), "png": png}


@pytest.mark.parametrize("name", ["npz", "exr", "tiff", "png"])
def test_a_small_file_that_claims_much_takes_little_memory(name: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(make_bombs()[name])
    script = (
        "import resource, sys\n"
        "from glpn_cli.depth_files import read_depth\n"
        "from glpn_cli.errors import InputError\n"
        "import OpenEXR\n"
        "resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: read_depth(sys.argv[1], depth_scale=1000)\n"
        "except InputError as error: print(error.code.value)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    code, megabytes = done.stdout.split()
    assert code in (ErrorCode.TOO_LARGE, ErrorCode.DECODE)
    assert int(megabytes) < 64


@pytest.mark.parametrize("focal", ["1e-300", "1e300", "0"])
def test_a_record_with_a_focal_length_that_is_none_is_an_input_error(focal: str) -> None:
    camera = FocalChoice("50px").camera((48, 64))
    for name, key in (("png16", b"glpn:focal_px\x0050"), ("ply", b"glpn:camera 50.0 50.0")):
        data = (
            make_writer(name, kind=DepthKind.METRIC, limit_m=10.0)
            .encode(make_result(make_depth(), intrinsics=camera))
            .data
        )
        assert key in data
        put = key.replace(b"50.0", focal.encode()).replace(b"\x0050", b"\0" + focal.encode())
        at = data.index(key)
        changed = data.replace(key, put)
        if name == "png16":
            start = data.rindex(b"tEXt", 0, at)
            text = changed[start : start + 4 + struct.unpack(">I", data[start - 4 : start])[0] + len(put) - len(key)]
            size = struct.pack(">I", len(text) - 4)
            changed = data[: start - 4] + size + text + struct.pack(">I", zlib.crc32(text)) + changed[
                start + len(text) + 4 :
            ]  # fmt: skip
        with pytest.raises(InputError, match="record"):
            read_depth(changed)


@pytest.mark.parametrize(("dtype", "nothing"), [("<f4", -9999.0), ("<f4", 12345.0), ("<u2", 4095.0)])
def test_the_number_that_gdal_says_is_nothing_is_a_hole(dtype: str, nothing: float, tmp_path: Path) -> None:
    values = np.array([[2, 3], [nothing, 4]], dtype)
    info = TiffImagePlugin.ImageFileDirectory_v2()
    info[42113] = f"{nothing:g}"
    Image.fromarray(values).save(tmp_path / "x.tiff", tiffinfo=info)
    depth = read_depth(tmp_path / "x.tiff", depth_scale=1).depth
    assert sorted(depth.valid_values()) == [2, 3, 4]


@pytest.mark.parametrize("largest", [65504, 65535])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_largest_numbers_of_16_bits_are_nothing_in_floats_too(largest: int, dtype: type, tmp_path: Path) -> None:
    with np.errstate(over="ignore"):
        values = np.array([[2, 3], [largest, 4]]).astype(dtype)
    np.save(tmp_path / "x.npy", values)
    stored = read_depth(tmp_path / "x.npy")
    assert sorted(stored.depth.valid_values()) == [2, 3, 4]
    assert stored.not_depth == 1


@pytest.mark.parametrize("dtype", [np.float32, np.uint16])
def test_of_several_maps_in_one_tiff_none_is_taken_in_silence(dtype: type, tmp_path: Path) -> None:
    maps = [Image.fromarray(np.full((20, 30), each, dtype)) for each in (2, 7)]
    maps[0].save(tmp_path / "x.tiff", save_all=True, append_images=maps[1:])
    with pytest.raises(InputError, match="several maps") as caught:
        read_depth(tmp_path / "x.tiff", depth_scale=1)
    assert caught.value.code is ErrorCode.UNSUPPORTED
    smaller = Image.fromarray(np.full((10, 15), 7, dtype))
    maps[0].save(tmp_path / "overview.tiff", save_all=True, append_images=[smaller])
    assert read_depth(tmp_path / "overview.tiff", depth_scale=1).depth.size == (20, 30)
