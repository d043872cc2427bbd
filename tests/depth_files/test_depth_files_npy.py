"""npy: exact values, holes as NaN, never a pickle, never more memory than the file has bytes."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from depth_samples import make_depth, make_result

from glpn_cli.depth_files import is_depth_file, make_writer, read_depth, read_record
from glpn_cli.errors import InputError
from glpn_cli.prediction import DepthKind


def npy_of(array: np.ndarray) -> bytes:
    file = BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize("kind", list(DepthKind))
@pytest.mark.parametrize("holes", [False, True])
def test_values_come_back_exactly(kind: DepthKind, holes: bool) -> None:
    depth = make_depth(kind=kind, holes=holes)
    writer = make_writer("npy", kind=kind, limit_m=depth.limit)
    data = writer.encode(make_result(depth)).data
    back = read_depth(data, kind=kind)
    assert back.format == "npy"
    assert back.record is None
    assert read_record(data) is None
    assert writer.expect("a.jpg", kind=kind, provenance=None) is None
    assert back.depth.kind is kind
    assert np.array_equal(back.depth.valid_values(), depth.valid_values())
    assert (back.depth.valid is None) == (not holes)


def test_numpy_itself_reads_it_with_nan_in_the_holes(tmp_path: Path) -> None:
    depth = make_depth(holes=True)
    path = tmp_path / "a.npy"
    path.write_bytes(make_writer("npy", kind=DepthKind.METRIC, limit_m=10.0).encode(make_result(depth)).data)
    array = np.load(path, allow_pickle=False)
    assert array.dtype == np.float32
    assert depth.valid is not None
    assert np.array_equal(np.isfinite(array), depth.valid)


@pytest.mark.parametrize(
    "array",
    [
        np.array([[1, 2], [3, np.nan]], np.float16),
        np.array([[1, 2], [3, -np.inf]], np.float64),
        np.array([[1, 2], [3, -1]], ">f4"),
        np.asfortranarray(np.array([[1, 2], [3, 0]], np.float32)),
        np.array([[[1, 2], [3, 0]]], np.float32),
        np.array([[[1], [2]], [[3], [0]]], np.float32),
    ],
    ids=["half", "double", "big-endian", "fortran", "leading one", "trailing one"],
)
def test_arrays_of_others_are_read(array: np.ndarray) -> None:
    depth = read_depth(npy_of(array)).depth
    assert depth.valid_values().tolist() == [1, 2, 3]
    assert depth.values.tolist()[0] == [1, 2]


def test_integers_need_a_scale() -> None:
    data = npy_of(np.array([[0, 1500]], np.int32))
    with pytest.raises(InputError, match="int32"):
        read_depth(data)
    assert read_depth(data, depth_scale=1000).depth.valid_values().tolist() == [1.5]


def test_a_map_of_nan_has_no_valid_pixel() -> None:
    depth = read_depth(npy_of(np.full((3, 4), np.nan, np.float32))).depth
    assert depth.min_max() is None
    assert depth.size == (3, 4)


def header(text: bytes) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (npy_of(np.array([[{}]], object)), "pickled"),
        (npy_of(np.zeros((3, 4, 5), np.float32)), "3x4x5 float32; a depth map is H x W"),
        (npy_of(np.zeros((0, 4), np.float32)), "0x4"),
        (npy_of(np.float32(3)), "a single value"),
        (npy_of(np.zeros((2, 2), np.complex64)), "no plain numbers"),
        (npy_of(np.zeros((2, 2), bool)), "no plain numbers"),
        (npy_of(np.zeros((2, 2), np.float32))[:-1], "holds 15 bytes"),
        (npy_of(np.zeros((2, 2), np.float32))[:40], "header is too long, or cut short"),
        (b"\x93NUMPY", "cut short"),
        (header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (4000000000, 4000000000), }"), "but holds 0 bytes"),
        (header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 99999999999999999999), }"), "x"),
        (header(b"{'descr': '<f3', 'fortran_order': False, 'shape': (1, 1), }"), "no type of number"),
        (header(b"__import__('os').abort()"), "makes no sense"),
    ],
)
def test_what_is_no_depth_map_is_an_input_error(data: bytes, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_depth(data)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_archive_that_numpy_saved_again_keeps_its_record(save: Callable[..., None], tmp_path: Path) -> None:
    path, depth = tmp_path / "a.npz", make_depth(kind=DepthKind.DISPARITY)
    written = make_writer("npz", kind=depth.kind, limit_m=None).encode(make_result(depth)).data
    with np.load(BytesIO(written)) as arrays:
        save(path, **arrays)
    assert (record := read_record(written)) is not None
    assert read_record(path) == record
    assert is_depth_file(path)
    assert read_depth(path).depth.kind is DepthKind.DISPARITY
