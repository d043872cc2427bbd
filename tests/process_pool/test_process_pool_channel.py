"""Messages between a process and its worker: values and arrays come whole, and nothing else comes of any bytes."""

from __future__ import annotations

import os
import pickle
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glpn_cli.errors import ErrorCode, InputError
from glpn_cli.process_pool.channel import Channel, GarbledError, LateError, Reply


@contextmanager
def channel_of(data: bytes, *, trusts: bool = False) -> Iterator[Channel]:
    """A channel on which `data` came, and then the other end was closed."""
    incoming, other = os.pipe()
    with os.fdopen(other, "wb") as file:
        file.write(data)  # small enough for a pipe
    try:
        yield Channel(incoming, -1, trusts=trusts)
    finally:
        os.close(incoming)


def message(pickled: bytes) -> bytes:
    return struct.pack("<IQ", 0, len(pickled)) + pickled


def exchange(value: Any) -> Any:
    """What comes out at the other end."""
    incoming, outgoing = os.pipe()
    sender = threading.Thread(target=Channel(-1, outgoing).send, args=(value,))
    sender.start()
    try:
        return Channel(incoming, -1).receive()
    finally:
        sender.join()
        os.close(incoming)
        os.close(outgoing)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(VALUES)
def test_plain_values_come_as_they_went(value: Any) -> None:
    assert exchange(value) == value


def test_arrays_among_values_come_as_they_went() -> None:
    value = {"a": [np.arange(6).reshape(2, 3), "x"], "b": (np.zeros((0, 3), np.uint8), np.array([1.5, np.nan]))}
    back = exchange(value)
    np.testing.assert_equal(back, value)
    assert back["a"][0].dtype == value["a"][0].dtype


def test_errors_of_ours_and_of_python_come_with_all_that_they_say() -> None:
    ours = exchange(Reply(error=InputError("what", hint="Do.", code=ErrorCode.TOO_LARGE))).error
    assert isinstance(ours, InputError)
    assert (ours.message, ours.hint, ours.code) == ("what", "Do.", ErrorCode.TOO_LARGE)
    theirs = exchange(Reply(error=FileNotFoundError(2, "No such file", "x"))).error
    assert isinstance(theirs, FileNotFoundError)
    assert theirs.filename == "x"


@given(st.binary(max_size=200))
def test_any_bytes_are_an_end_or_garbled(data: bytes) -> None:
    with channel_of(data) as channel, pytest.raises((EOFError, GarbledError)):
        channel.receive()


@given(st.binary(max_size=200))
def test_any_pickle_is_a_plain_value_or_garbled(data: bytes) -> None:
    with channel_of(message(data)) as channel:
        try:
            channel.receive()
        except GarbledError:
            return


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
        ("glpn_cli.process_pool.workers", "Workers"),
        ("glpn_cli.process_pool.channel", "os.system"),
        ("glpn_cli.no_such_room", "x"),
    ],
)
def test_nothing_foreign_is_called(module: str, name: str) -> None:
    call = b"\x80\x04\x8c" + bytes([len(module)]) + module.encode() + b"\x8c" + bytes([len(name)]) + name.encode()
    with channel_of(message(call + b"\x93\x8c\x04trueR.")) as channel, pytest.raises(GarbledError, match=name):
        channel.receive()


def test_between_friends_functions_may_be_named() -> None:
    with channel_of(message(pickle.dumps(os.getcwd)), trusts=True) as channel:
        assert channel.receive() is os.getcwd


def test_silence_is_late_after_its_time_and_an_end_is_told_at_once() -> None:
    incoming, outgoing = os.pipe()
    channel = Channel(incoming, -1)
    started = time.monotonic()
    with pytest.raises(LateError):
        channel.receive(expires=started + 0.1)
    assert time.monotonic() - started >= 0.1
    with pytest.raises(LateError):
        channel.receive(expires=started)  # long ago
    os.close(outgoing)
    with pytest.raises(EOFError):
        channel.receive(expires=time.monotonic() + 60)
    assert time.monotonic() - started < 30
    os.close(incoming)


def test_nobody_left_to_hear_it_is_told() -> None:
    incoming, outgoing = os.pipe()
    os.close(incoming)
    with pytest.raises(BrokenPipeError):
        Channel(-1, outgoing).send("hello")
    os.close(outgoing)
