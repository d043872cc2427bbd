"""Replies of a worker, whose memory a decoder may have written over: values and arrays, and nothing else is called."""

from __future__ import annotations

import pickle
import socket
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from byte_mutator import mutate
from hypothesis import given, settings
from hypothesis import strategies as st

from glpn_cli.errors import ErrorCode, InputError
from glpn_cli.images import Picture
from glpn_cli.prediction import DepthKind, DepthMap
from glpn_cli.process_pool import _LostError, _Worker


@pytest.fixture(scope="module")
def ended() -> Iterator[subprocess.Popen[bytes]]:
    """A process that is over, as a worker is that has sent its last words."""
    with subprocess.Popen([sys.executable, "-S", "-c", ""]) as process:
        process.wait()
        yield process


def receive(data: bytes, ended: subprocess.Popen[bytes]) -> Any:
    """The message out of the bytes that a worker sent before it ended."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(data)  # small enough for the socket
        theirs.shutdown(socket.SHUT_WR)
        worker = _Worker.__new__(_Worker)
        worker.process = ended
        with ours.makefile("rb") as worker._replies:
            return worker._receive(time.monotonic() + 10)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@settings(deadline=None)
@given(value=VALUES)
def test_plain_values_come_as_they_went(value: Any, ended: subprocess.Popen[bytes]) -> None:
    assert receive(pickle.dumps(value, protocol=5), ended) == value


MESSAGES = [
    pickle.dumps(("done", value, error), protocol=5)
    for value, error in (
        ({"a": [np.arange(6).reshape(2, 3), "x"], "b": (np.zeros((0, 3), np.uint8), np.array([1.5, 2]))}, None),
        (DepthMap(np.ones((2, 3), np.float32), DepthKind.SCALE), None),
        (Picture(np.zeros((2, 3, 3), np.uint8), (2, 3), warnings=("W_TINY",)), None),
        (None, InputError("too many", hint="Do.", code=ErrorCode.TOO_LARGE)),
        (None, FileNotFoundError(2, "No such file", "x")),
    )
]


def test_all_that_readers_return_comes_as_it_went(ended: subprocess.Popen[bytes]) -> None:
    values = [receive(message, ended)[1:] for message in MESSAGES]
    np.testing.assert_array_equal(values[0][0]["a"][0], np.arange(6).reshape(2, 3))
    assert (values[1][0].kind, values[1][0].size) == (DepthKind.SCALE, (2, 3))
    assert values[2][0].warnings == ("W_TINY",)
    assert (values[3][1].message, values[3][1].hint, values[3][1].code) == ("too many", "Do.", ErrorCode.TOO_LARGE)
    assert values[4][1].filename == "x"


@settings(deadline=None)
@given(data=st.binary(max_size=200))
def test_any_bytes_are_a_plain_value_or_a_crash(data: bytes, ended: subprocess.Popen[bytes]) -> None:
    try:
        receive(data, ended)
    except _LostError:
        return


@settings(deadline=None, max_examples=300)
@given(message=st.sampled_from(MESSAGES), seed=st.integers(0, 1 << 30))
def test_a_damaged_reply_is_a_value_or_a_crash(message: bytes, seed: int, ended: subprocess.Popen[bytes]) -> None:
    try:
        receive(mutate(message, seed), ended)
    except _LostError:
        return


class OddArray:
    """Goes out as an array with a state of our choice."""

    def __init__(self, state: object) -> None:
        self.state = state

    def __reduce__(self) -> tuple[object, ...]:
        return np._core.multiarray._reconstruct, (np.ndarray, (0,), b"b"), self.state


@pytest.mark.parametrize(
    "state",
    [
        (1, (2,), np.dtype("O"), False, b"\x01" * 16),
        (1, (2,), np.dtype("f8"), False, b"\x01" * 8),
        (1, (1 << 40,), np.dtype("u1"), False, b"\x01" * 8),
        (1, (-1,), np.dtype("u1"), False, b""),
        (1, "x", np.dtype("u1"), False, b""),
    ],
    ids=["objects", "too few bytes", "too large", "less than nothing", "no shape"],
)
def test_an_array_of_anything_but_its_numbers_is_garbled(state: object, ended: subprocess.Popen[bytes]) -> None:
    """NumPy itself ends the process over some of these."""
    with pytest.raises(_LostError):
        receive(pickle.dumps(OddArray(state), protocol=5), ended)


def test_an_array_with_gaps_comes_as_it_went(ended: subprocess.Popen[bytes]) -> None:
    """It is sent as its state, the others as a buffer."""
    for array in (np.arange(6.0)[::2], np.arange(12, dtype=np.uint8).reshape(3, 4)[:, ::2]):
        np.testing.assert_array_equal(receive(pickle.dumps(array, protocol=5), ended), array)


def test_a_large_number_in_a_reply_takes_no_memory(ended: subprocess.Popen[bytes]) -> None:
    """Python's unpickler in C makes room for so many objects: here a quarter of a gigabyte."""
    place = b"r\xff\xff\xff\x00"
    tracemalloc.start()
    try:
        assert receive(b"\x80\x04N" + place + b".", ended) is None
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 1 << 20


def test_bytes_that_are_promised_and_do_not_come_take_no_memory(ended: subprocess.Popen[bytes]) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(_LostError):
            receive(b"\x80\x05\x96" + (1 << 62).to_bytes(8, "little") + b"abc", ended)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 1 << 23


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("builtins", "type"),
        ("posix", "system"),
        ("subprocess", "Popen"),
        ("numpy", "load"),
        ("glpn_cli.atomic_write", "write_atomically"),
        ("glpn_cli.process_pool", "Workers"),
        ("glpn_cli.process_pool", "os.system"),
        ("glpn_cli.no_such_room", "x"),
    ],
)
def test_nothing_foreign_is_called(module: str, name: str, ended: subprocess.Popen[bytes]) -> None:
    call = b"\x80\x04\x8c" + bytes([len(module)]) + module.encode() + b"\x8c" + bytes([len(name)]) + name.encode()
    with pytest.raises(_LostError, match="garbled") as caught:
        receive(call + b"\x93\x8c\x04trueR.", ended)
    assert isinstance(caught.value.__cause__, pickle.UnpicklingError)
    assert name in str(caught.value.__cause__)
