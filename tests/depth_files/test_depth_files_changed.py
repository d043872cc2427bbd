"""Files that another program changed while it kept their record are no depth: their metres would be wrong."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from depth_samples import SIZE, make_depth, make_result
from numpy.typing import NDArray

from glpn_cli.depth_files import FORMATS, make_writer, read_depth, read_record
from glpn_cli.depth_files.exr import Exr
from glpn_cli.depth_files.labels import Labels, read_labels
from glpn_cli.depth_files.npy import Npz, archive_array
from glpn_cli.depth_files.png import decode_png, encode_png
from glpn_cli.depth_files.png16 import Png16
from glpn_cli.depth_files.record import CHECKSUM, Record
from glpn_cli.depth_files.tiff import Tiff, encode_tiff
from glpn_cli.depth_files.uncertainty import Uncertainty, read_uncertainty
from glpn_cli.errors import ErrorCode, InputError
from glpn_cli.images.exr import encode_channels
from glpn_cli.prediction import DepthKind, LabelMap, Result

DEPTH = make_depth(holes=True)
WITH_RECORD = ("png16", "npz", "tiff", "exr", "gray", "gray16", "ply")
PIXELS = ("png16", "npz", "tiff", "exr", "gray", "gray16")

CHANGES: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "half as large": lambda pixels: pixels[::2, ::2],
    "cut": lambda pixels: pixels[:, 5:],
    "on its side": np.rot90,
    "upside down": lambda pixels: pixels[::-1],
    "lightened": lambda pixels: np.where(pixels > 1, pixels + 1, pixels).astype(pixels.dtype),
}


def encode(name: str) -> bytes:
    return make_writer(name, kind=DepthKind.METRIC, limit_m=10.0).encode(make_result(DEPTH)).data


def write_with_record(name: str, pixels: NDArray[Any], record: Record) -> bytes:
    """A file as a program writes it that passes texts on: sound, with the record of another one."""
    pixels = np.ascontiguousarray(pixels)
    match name:
        case "npz":
            return archive_array("depth", pixels, record)
        case "tiff":
            return encode_tiff(pixels, text=record.to_text())
        case "exr":
            return encode_channels({"Y": pixels, "Z": pixels}, text=record.to_text())
        case _:
            return encode_png(pixels, text=record.to_text())


def read_pixels(name: str, data: bytes) -> NDArray[Any]:
    reader = {"npz": Npz, "tiff": Tiff, "exr": Exr}.get(name)
    if reader is not None:
        return reader.read_array(data, 1 << 20)[0]
    return decode_png(data)[0]


@pytest.mark.parametrize("name", PIXELS)
def test_pixels_that_were_written_again_as_they_are_stay_depth(name: str) -> None:
    data = encode(name)
    record = read_record(data)
    assert record is not None
    assert record.size == SIZE
    again = write_with_record(name, read_pixels(name, data), record)
    assert np.array_equal(read_depth(again).depth.values, read_depth(data).depth.values)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", PIXELS)
def test_pixels_that_were_changed_are_no_depth_any_more(name: str, change: str) -> None:
    data = encode(name)
    record = read_record(data)
    assert record is not None
    changed = write_with_record(name, CHANGES[change](read_pixels(name, data)), record)
    with pytest.raises(InputError, match="another program changed them") as caught:
        read_depth(changed)
    assert caught.value.code is ErrorCode.DATA
    assert "--as depth --depth-scale" in str(caught.value.hint)


@pytest.mark.parametrize("name", WITH_RECORD)
def test_a_digit_that_changed_in_a_record_is_told_in_every_format(name: str) -> None:
    data = encode(name)
    assert data.count(b"640x480") >= 1
    start = data.index(b"glpn:limit_m")
    at = data.index(b"10", start)
    changed = bytearray(data)
    changed[at : at + 2] = b"90"
    if name in ("png16", "gray", "gray16"):
        _sign_chunk(changed, start)
    if name == "npz":
        _sign_member(changed)
    for read in (read_depth, read_record):
        with pytest.raises(InputError, match="its record is not as it was written"):
            read(bytes(changed))


def _sign_chunk(data: bytearray, start: int) -> None:
    """Make the checksum of PNG's chunk anew, whose text begins at `start`."""
    (length,) = struct.unpack_from(">I", data, start - 8)
    struct.pack_into(">I", data, start + length, zlib.crc32(data[start - 4 : start + length]))


def _sign_member(data: bytearray) -> None:
    """Make the checksums of the first member of a zip archive anew."""
    length, (names, extra) = struct.unpack_from("<I", data, 22)[0], struct.unpack_from("<HH", data, 26)
    begin = 30 + names + extra
    checksum = zlib.crc32(data[begin : begin + length])
    struct.pack_into("<I", data, 14, checksum)
    struct.pack_into("<I", data, data.index(b"PK\x01\x02") + 16, checksum)


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in ("npy", "pfm")])
def test_every_record_is_signed_behind_all_that_it_says(name: str) -> None:
    record = read_record(encode(name))
    assert record is not None
    assert list(record.to_text())[-1] == CHECKSUM


def test_files_of_earlier_versions_are_read() -> None:
    pixels = Png16().quantize(DEPTH)
    text = Png16().encode(make_result(DEPTH)).record.to_text()  # type: ignore[union-attr]
    old = {key: text[key] for key in text if key not in (CHECKSUM, "glpn:size", "glpn:pixels_crc32")}
    assert np.array_equal(
        read_depth(encode_png(pixels, text=old)).depth.values, read_depth(encode("png16")).depth.values
    )


def test_labels_and_uncertainty_that_were_changed_are_none() -> None:
    labels = np.arange(SIZE[0] * SIZE[1], dtype=np.int64).reshape(SIZE) % 3
    made = Labels().encode(Result(LabelMap(labels, ("a", "b", "c")), make_result(DEPTH).source))
    assert np.array_equal(read_labels(made.data).labels, labels)
    assert made.record is not None
    with pytest.raises(InputError, match="another program changed them"):
        read_labels(encode_png(labels[::-1].astype(np.uint8), text=made.record.to_text()))
    spread = Uncertainty().encode(Result(DEPTH, make_result(DEPTH).source, uncertainty=np.full(SIZE, 0.5, np.float32)))
    assert spread.record is not None
    assert read_uncertainty(spread.data)[0].size == SIZE
    with pytest.raises(InputError, match="another program changed them"):
        read_uncertainty(encode_tiff(np.full((9, 9), 0.5, np.float32), text=spread.record.to_text()))


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in ("npy", "pfm", "exr", "normals-exr")])
def test_a_file_that_is_cut_short_is_seen_without_decoding_it(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    data = encode(name)
    path.write_bytes(data)
    assert read_record(path, whole=True) == read_record(path)
    for length in (len(data) - 1, len(data) * 2 // 3):
        path.write_bytes(data[:length])
        with pytest.raises(InputError, match="cut short"):
            read_record(path, whole=True)
