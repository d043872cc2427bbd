"""OpenEXR: what we write the library reads, and what renderers write we read."""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import OpenEXR
import pytest
from depth_samples import make_depth, make_result

from glpn_cli.depth_files import is_depth_file, make_writer, read_depth, read_record
from glpn_cli.depth_files.exr import Exr
from glpn_cli.errors import ErrorCode, InputError, UsageError
from glpn_cli.images.exr import encode_channels
from glpn_cli.prediction import DepthKind, DepthMap


def write_by_library(path: Path, compression: OpenEXR.Compression, **channels: np.ndarray) -> Path:
    OpenEXR.File({"compression": compression, "type": OpenEXR.scanlineimage}, channels).write(str(path))
    return path


def test_the_library_reads_metres_and_what_the_file_says_of_itself() -> None:
    depth = make_depth(holes=True)
    data = Exr().encode(make_result(depth)).data
    file = OpenEXR.File(BytesIO(data), separate_channels=True, num_threads=0)
    pixels = file.channels()["Z"].pixels
    assert pixels.dtype == np.float32
    # Blender and OpenCV know of no depth in an EXR file, but show what is in Y.
    assert list(file.channels()) == ["Y", "Z"]
    assert np.array_equal(file.channels()["Y"].pixels, pixels)
    assert depth.valid is not None
    assert np.array_equal(pixels[depth.valid], depth.valid_values())
    assert np.isinf(pixels[~depth.valid]).all()
    header = file.header()
    assert header["glpn:unit"] == "m"
    assert header["glpn:model"] == "nyu"
    assert header["glpn:source"] == "rooms/a.jpg"
    assert header["compression"] == OpenEXR.ZIP_COMPRESSION


@pytest.mark.parametrize("shape", [(1, 1), (16, 5), (17, 5), (1, 100), (100, 1), (33, 47)])
@pytest.mark.parametrize("noisy", [False, True])
def test_every_shape_comes_back(shape: tuple[int, int], noisy: bool) -> None:
    rng = np.random.default_rng(3)
    values = rng.uniform(0.5, 9, shape) if noisy else np.full(shape, 2.5)
    values = values.astype(np.float32)
    data = encode_channels({"Y": values, "Z": values}, text={"Software": "somebody else"})
    file = OpenEXR.File(BytesIO(data), separate_channels=True, num_threads=0)
    assert np.array_equal(file.channels()["Z"].pixels, values)
    assert np.array_equal(read_depth(data).depth.values, values)


@pytest.mark.parametrize("compression", ["NO", "RLE", "ZIPS", "ZIP", "PIZ"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_depth_of_renderers_is_read_in_any_compression(compression: str, dtype: type, tmp_path: Path) -> None:
    values = np.linspace(0.5, 8, 20 * 30).reshape(20, 30).astype(dtype)
    values[0, 0] = 1e4 if dtype is np.float16 else 1e10  # Blender's nothing, where the type can hold it
    kind = getattr(OpenEXR, f"{compression}_COMPRESSION")
    path = write_by_library(tmp_path / "x.exr", kind, Z=values)
    assert is_depth_file(path)
    depth = read_depth(path).depth
    assert np.array_equal(depth.values[1:], values[1:].astype(np.float32))
    assert (depth.valid is not None and not depth.valid[0, 0]) == (dtype is np.float32)


@pytest.mark.parametrize(
    "shown", [((0, 0), (9, 7)), ((-2, -3), (9, 7)), ((2, 1), (4, 3)), ((5, 5), (20, 20)), ((50, 50), (60, 60))]
)
def test_a_map_is_as_large_as_it_is_shown_whatever_part_of_it_is_stored(
    shown: tuple[tuple[int, int], tuple[int, int]], tmp_path: Path
) -> None:
    stored = np.arange(1, 81, dtype=np.float32).reshape(8, 10)
    (left, top), (right, bottom) = shown
    windows = {
        "dataWindow": (np.array([0, 0], np.int32), np.array([9, 7], np.int32)),
        "displayWindow": tuple(np.array(corner, np.int32) for corner in shown),
    }
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage, **windows}
    OpenEXR.File(header, {"Z": stored}).write(str(tmp_path / "x.exr"))
    around = np.zeros((200, 200), np.float32)
    around[100:108, 100:110] = stored
    expected = around[100 + top : 101 + bottom, 100 + left : 101 + right]
    depth = read_depth(tmp_path / "x.exr").depth
    assert np.array_equal(np.where(expected > 0, depth.values, 0), expected)
    assert depth.valid is None or np.array_equal(depth.valid, expected > 0)
    with pytest.raises(InputError, match="pixels"):
        read_depth(tmp_path / "x.exr", max_pixels=max(stored.size, expected.size) - 1)


def test_the_channel_of_depth_is_found_by_its_name(tmp_path: Path) -> None:
    one, two = np.full((4, 4), 1, np.float32), np.full((4, 4), 2, np.float32)
    none = OpenEXR.NO_COMPRESSION
    for channels in ({"Z": one, "A": two}, {"ViewLayer.Depth.Z": one, "ViewLayer.Alpha": two}, {"Y": one}, {"V": one}):
        path = write_by_library(tmp_path / "x.exr", none, **channels)
        assert read_depth(path).depth.valid_values().tolist() == [1] * 16
    path = write_by_library(tmp_path / "x.exr", none, left=one, right=two)
    with pytest.raises(InputError, match=r"no channel Z \(found: left, right\)"):
        read_depth(path)
    colours = write_by_library(tmp_path / "x.exr", none, R=one, G=one, B=one)
    assert not is_depth_file(colours)


def test_damaged_files_are_told() -> None:
    data = Exr().encode(make_result(make_depth())).data
    for damaged in (data[:100], data[:-9], data[:-2000], data.replace(b"Z\0\2", b"Z\0\7"), data[:8]):
        with pytest.raises(InputError):
            read_depth(damaged)
    huge = data.replace(np.array([0, 0, 63, 47], "<i4").tobytes(), np.array([0, 0, 2**30, 2**30], "<i4").tobytes())
    with pytest.raises(InputError, match="pixels"):
        read_depth(huge)
    swapped = data.replace(np.array([0, 0, 63, 47], "<i4").tobytes(), np.array([9, 0, 3, 47], "<i4").tobytes())
    with pytest.raises(InputError, match="-5x48"):
        read_depth(swapped)


def test_the_same_map_gives_the_same_bytes() -> None:
    result = make_result(DepthMap(np.full((50, 40), 2, np.float32)))
    assert Exr().encode(result).data == Exr().encode(result).data


def test_without_the_library_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Exr().encode(make_result(make_depth())).data
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    with pytest.raises(UsageError) as refused:
        make_writer("exr", kind=DepthKind.METRIC, limit_m=10)
    with pytest.raises(InputError) as unread:
        read_depth(data)
    for caught in (refused, unread):
        assert "pip install 'glpn-cli[exr]'" in caught.value.hint
        assert caught.value.code is ErrorCode.UNSUPPORTED
    record = read_record(data)
    assert record is not None
    assert record.format == "exr"


def test_damage_is_told_in_the_error_and_nowhere_else(capfd: pytest.CaptureFixture[str]) -> None:
    """Standard output carries JSON lines, and maps."""
    data = Exr().encode(make_result(make_depth())).data
    with pytest.raises(InputError):
        read_depth(data[:-2000])
    assert capfd.readouterr().out == ""
