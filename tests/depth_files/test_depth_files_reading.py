"""What a file is, told from its first bytes; and nothing but InputError from whatever it may hold."""

from __future__ import annotations

import os
import threading
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from depth_samples import PROVENANCE, make_depth, make_result
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from glpn_cli.depth_files import (
    FORMATS,
    is_depth_file,
    is_own_output,
    make_writer,
    npy,
    read_depth,
    read_record,
)
from glpn_cli.depth_files.labels import read_labels
from glpn_cli.depth_files.uncertainty import read_uncertainty
from glpn_cli.errors import ErrorCode, InputError
from glpn_cli.prediction import DepthKind

ENCODED = {
    name: make_writer(name, kind=DepthKind.METRIC, limit_m=10.0).encode(make_result(make_depth(holes=True))).data
    for name in FORMATS
}


def written(folder: Path, name: str) -> Path:
    path = folder / f"x{FORMATS[name].extension}"
    path.write_bytes(ENCODED[name])
    return path


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_is_known_for_what_it_is(name: str, tmp_path: Path) -> None:
    path = written(tmp_path, name)
    assert is_depth_file(path) == (FORMATS[name].map == "depth")
    assert is_own_output(path) == FORMATS[name].carries_record
    assert (read_record(path) is not None) == FORMATS[name].carries_record
    assert read_record(str(path)) == read_record(path)


@pytest.mark.parametrize("name", FORMATS)
def test_a_source_with_the_longest_name_there_is_is_still_known(name: str, tmp_path: Path) -> None:
    source = "ä" * 2040 + "/\udcff.jpg"
    writer = make_writer(name, kind=DepthKind.METRIC, limit_m=10.0)
    path = tmp_path / f"x{writer.extension}"
    path.write_bytes(writer.encode(make_result(make_depth(), name=source)).data)
    assert is_own_output(path) == writer.carries_record
    record = read_record(path)
    if writer.carries_record:
        assert record is not None
        assert record.source == source
        assert record.provenance == PROVENANCE


def test_pictures_of_others_are_neither_ours_nor_depth(tmp_path: Path) -> None:
    for extension in (".png", ".jpg", ".tif"):
        path = tmp_path / f"x{extension}"
        Image.new("RGB", (8, 8)).save(path)
        assert not is_own_output(path)
        assert not is_depth_file(path)
        assert read_record(path) is None


def test_what_cannot_be_opened_is_nothing_to_a_scan_and_an_error_to_a_reader(tmp_path: Path) -> None:
    missing = tmp_path / "missing.png"
    assert not is_own_output(missing)
    assert not is_depth_file(missing)
    for read in (read_depth, read_record):
        with pytest.raises(InputError, match="no such file") as caught:
            read(missing)
        assert caught.value.code is ErrorCode.NOT_FOUND
        with pytest.raises(InputError, match="is a directory"):
            read(tmp_path)


@pytest.mark.parametrize(("data", "said"), [(b"", "empty"), (b"hello", "no depth file"), (b"\xff\xd8\xff", "no depth")])
def test_what_is_no_depth_file_is_told(data: bytes, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_depth(data)


@pytest.mark.parametrize("name", FORMATS)
def test_every_cut_file_is_an_input_error(name: str) -> None:
    data = ENCODED[name]
    for length in {*range(min(len(data), 600)), *np.linspace(600, len(data) - 1, 40, dtype=int).tolist()}:
        with pytest.raises(InputError):
            read_depth(data[:length])


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(sorted(FORMATS)), st.lists(st.tuples(st.integers(0, 1 << 20), st.binary(max_size=9)), max_size=4)
)
def test_a_damaged_file_is_a_depth_map_or_an_input_error(name: str, patches: list[tuple[int, bytes]]) -> None:
    data = bytearray(ENCODED[name])
    for place, patch in patches:
        # Half of the damage goes where the structure is: into the first bytes.
        start = place % (len(data) if place % 2 else 200)
        data[start : start + len(patch)] = patch
    for read in (read_depth, read_record):
        with suppress(InputError):
            read(bytes(data))


@settings(deadline=None, max_examples=100)
@given(st.sampled_from([data[:12] for data in ENCODED.values()]), st.binary(max_size=300))
def test_bytes_behind_a_good_signature_are_an_input_error(signature: bytes, rest: bytes) -> None:
    with pytest.raises(InputError):
        read_depth(signature + rest)


def test_a_tiff_whose_strips_lie_at_fractions_is_an_input_error() -> None:
    data = bytearray(ENCODED["tiff"])
    entries = range(10, 10 + 12 * 13, 12)
    offsets = next(at for at in entries if data[at : at + 2] == b"\x11\x01")
    data[offsets + 2] = 11  # floats
    with pytest.raises(InputError, match="strips"):
        read_depth(bytes(data))


def test_a_tiff_whose_description_is_a_number_has_no_record() -> None:
    data = bytearray(ENCODED["tiff"])
    description = next(at for at in range(10, 10 + 12 * 13, 12) if data[at : at + 2] == b"\x0e\x01")
    data[description + 2 : description + 8] = b"\4\0\1\0\0\0"  # one integer
    assert read_record(bytes(data)) is None
    assert read_depth(bytes(data)).record is None


def test_asking_whether_a_file_is_ours_reads_little(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    path.write_bytes(ENCODED["png16"][:4096])
    os.truncate(path, 1 << 40)  # a sparse terabyte: reading it whole would not end
    assert is_own_output(path)
    assert is_depth_file(path)


def test_a_small_file_asks_for_little_memory(tmp_path: Path) -> None:
    """A machine with little of it refuses to set gigabytes aside, needed or not."""
    path = written(tmp_path, "npz")
    tracemalloc.start()
    try:
        read_depth(path)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 10 << 20


@pytest.mark.parametrize("read", [read_depth, read_labels, read_uncertainty])
def test_a_file_that_is_too_large_for_a_map_is_refused(read: Callable[..., object], tmp_path: Path) -> None:
    path = written(tmp_path, "tiff")
    os.truncate(path, (1 << 20) + 8 * 1000 + 1)
    with pytest.raises(InputError, match="too large for a depth map") as caught:
        read(path, max_pixels=1000)
    assert caught.value.code is ErrorCode.TOO_LARGE


@pytest.mark.parametrize("pause", [0, 1 << 10])
def test_a_file_that_comes_through_a_pipe_is_read_whole(pause: int, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.npy"
    os.mkfifo(pipe)
    array = np.full((300, 400), 2.5, np.float32)
    data = npy.encode_array(array)

    def feed() -> None:
        with pipe.open("wb", buffering=0) as stream:
            for start in range(0, len(data), pause or len(data)):
                stream.write(data[start : start + (pause or len(data))])

    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    np.testing.assert_array_equal(read_depth(pipe).depth.values, array)
    feeder.join()
