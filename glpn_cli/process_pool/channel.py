"""What a process and its worker say to each other: whole messages over two pipes, arrays without a copy in between.

A message is a pickle whose arrays follow it as they are. What comes from a worker is read with care, because a decoder
may have written all over its memory: nothing but plain values, errors, and values of our own types is made of it.
"""

from __future__ import annotations

import io
import math
import os
import pickle
import select
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

_HEAD = struct.Struct("<IQ")  # how many arrays, bytes of the pickle
_SIZE = struct.Struct("<Q")
_MOST_ARRAYS = 64
_MOST_BYTES = 1 << 40
_LONGEST_WAIT_MS = 2**31 - 1
_TRANSFER_S = 60.0


@dataclass(frozen=True)
class Call:
    """What a worker is to do.

    asks: names of arguments that are functions over here, which the worker asks for when it needs an answer
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()
    named: dict[str, Any] = field(default_factory=dict)
    asks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Question:
    """A worker's question: what is the function `name` of `arguments`?"""

    name: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Reply:
    """What a function came to: a value, or what it raised."""

    value: Any = None
    error: Exception | None = None

    @classmethod
    def of(cls, function: Callable[..., Any], *arguments: Any, **named: Any) -> Reply:
        """Call the function."""
        try:
            return cls(function(*arguments, **named))
        except Exception as error:  # noqa: BLE001 - it is for the other side
            return cls(error=error)

    def get(self) -> Any:
        """The value; raises what was raised."""
        if self.error is not None:
            raise self.error
        return self.value


class GarbledError(Exception):
    """What came is no message."""


class LateError(Exception):
    """Nothing came in time."""


class Channel:
    """One end of the two pipes.

    incoming, outgoing: file descriptors, which stay the caller's
    trusts:             whether the other end may send anything; otherwise `receive` raises GarbledError for what is
                        neither plain nor ours
    most_bytes:         an array with more is garbled, too
    """

    def __init__(self, incoming: int, outgoing: int, *, trusts: bool = False, most_bytes: int | None = None) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._trusts = trusts
        self._most_bytes = most_bytes or _MOST_BYTES
        self._expires = math.inf

    def send(self, message: object) -> None:
        """Raises BrokenPipeError where nobody is left to hear it."""
        arrays: list[pickle.PickleBuffer] = []
        text = io.BytesIO()
        _Pickler(text, protocol=5, buffer_callback=arrays.append).dump(message)
        views = [array.raw() for array in arrays]
        sizes = b"".join(_SIZE.pack(view.nbytes) for view in views)
        head = _HEAD.pack(len(views), text.tell()) + sizes
        for part in (memoryview(head), text.getbuffer(), *views):
            rest = memoryview(part)
            while rest:
                rest = rest[os.write(self._outgoing, rest) :]

    def receive(self, *, expires: float = math.inf) -> Any:
        """The next message.

        expires: when it must have begun to come, by the monotonic clock; it then has a minute to arrive

        Raises EOFError where nobody is left to send one, LateError, GarbledError.
        """
        self._expires = expires
        count, size = _HEAD.unpack(self._read(_HEAD.size))
        if expires < math.inf:
            self._expires = time.monotonic() + _TRANSFER_S
        sizes = [_SIZE.unpack(self._read(_SIZE.size))[0] for _ in range(self._checked(count, _MOST_ARRAYS))]
        text = self._read(self._checked(size, self._most_bytes))
        arrays = [self._read(self._checked(each, self._most_bytes)) for each in sizes]
        unpickler = pickle.Unpickler if self._trusts else _CarefulUnpickler
        try:
            return unpickler(io.BytesIO(text), buffers=arrays).load()
        except Exception as error:
            raise GarbledError(f"{type(error).__name__}: {error}") from error

    def _checked(self, number: int, most: int) -> int:
        if number > most:
            raise GarbledError(f"{number} of at most {most}")
        return number

    def _read(self, size: int) -> memoryview:
        """So many bytes."""
        data = rest = np.empty(size, np.uint8).data
        while rest:
            self._wait()
            rest = rest[self._read_into(rest) :]
        return data

    def _read_into(self, place: memoryview) -> int:
        if not (count := os.readv(self._incoming, [place])):
            raise EOFError
        return count

    def _wait(self) -> None:
        """Until there is something to read, or the end of it."""
        if self._expires == math.inf:
            return  # reading waits by itself
        poll = select.poll()
        poll.register(self._incoming, select.POLLIN)
        left_ms = min(max(0.0, self._expires - time.monotonic()) * 1000, _LONGEST_WAIT_MS)
        if not poll.poll(left_ms):
            raise LateError


class _Pickler(pickle.Pickler):
    """Arrays of numbers go out of band, as their bytes; the order of their rows may not matter to the other end."""

    def reducer_override(self, obj: object) -> Any:
        if isinstance(obj, np.ndarray) and obj.dtype.kind in "biuf":
            buffer = pickle.PickleBuffer(np.ascontiguousarray(obj).reshape(-1).data)
            return _array, (buffer, obj.dtype.str, obj.shape)
        return NotImplemented


def _array(buffer: Any, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    if np.dtype(dtype).kind not in "biuf":
        raise GarbledError(f"an array of {dtype}")
    return np.frombuffer(buffer, dtype).reshape(shape)


class _CarefulUnpickler(pickle.Unpickler):
    """Makes our own dataclasses, enumerations and errors, and Python's errors; calls nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == (__name__, _array.__name__):
            return _array
        if module == "builtins" or (module.startswith("glpn_cli.") and module in sys.modules):
            found = super().find_class(module, name)
            kinds = (Exception,) if module == "builtins" else (Exception, Enum)
            if isinstance(found, type) and (issubclass(found, kinds) or hasattr(found, "__dataclass_fields__")):
                return found
        raise GarbledError(f"a {module}.{name}")
