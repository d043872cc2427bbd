"""The places that clips are read from: image sequences, and standard input."""

from __future__ import annotations

import hashlib
import io
import os
import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from glpn_cli.errors import ErrorCode, InputError
from glpn_cli.images import ImageSource
from glpn_cli.images.picture import ContentId

SEQUENCE = re.compile(r"(?<!%)%0?(\d*)d")
"""The number in the name of an image sequence: frame_%05d.png."""

_PROBE_BYTES = 1 << 16

_BARE = (b"nut/multimedia", b"YUV4MPEG2 ")
"""The containers in which programs pass on bare frames: both begin with their rate."""


def is_sequence(text: str) -> bool:
    """Whether a name stands for the files of an image sequence: frame_%05d.png."""
    return SEQUENCE.search(text.rpartition("/")[2]) is not None and not os.path.exists(text)  # noqa: PTH110 - text


def hash_files(paths: Iterable[Path]) -> ContentId:
    """What tells the bytes of files, one behind the other, from others."""
    hashed, size = hashlib.blake2b(digest_size=16), 0
    for path in paths:
        with path.open("rb") as file:
            while piece := file.read(_PROBE_BYTES):
                hashed.update(piece)
                size += len(piece)
    return ContentId(size, hashed.hexdigest())


def files_of_sequence(path: Path) -> dict[int, Path]:
    """The files of a sequence by number, in order. Raises InputError where there is none, or one is missing between."""
    head, tail = SEQUENCE.split(path.name)[0], SEQUENCE.split(path.name)[-1]
    pattern = re.compile(re.escape(head) + r"(\d+)" + re.escape(tail))
    try:
        found = {int(match[1]): name for name in os.listdir(path.parent) if (match := pattern.fullmatch(name))}  # noqa: PTH208
    except OSError:
        found = {}
    if not found:
        raise InputError(f"there is no picture of the sequence {str(path)!r}", code=ErrorCode.NOT_FOUND)
    first, last = min(found), max(found)
    if len(found) <= last - first:
        missing = next(number for number in range(first, last) if number not in found)
        raise InputError(
            f"the sequence {str(path)!r} lacks number {missing}, and would end there",
            hint="Number its pictures one after the other, or name their folder to take them one by one.",
            code=ErrorCode.DATA,
        )
    return {number: path.parent / found[number] for number in sorted(found)}


class _Pipe:
    """Standard input for PyAV, without Python's lock, which a thread that waits for more would hold at exit."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._left = b""
        try:
            self._number: int | None = stream.fileno()
            self._left = stream.peek() if hasattr(stream, "peek") else b""
            stream.read(len(self._left))
        except (OSError, io.UnsupportedOperation):
            self._number = None

    def read(self, size: int = -1) -> bytes:
        """The bytes that are there, up to `size`."""
        if self._left:
            piece, self._left = self._left[:size], self._left[size:]
            return piece
        return self._stream.read(size) if self._number is None else os.read(self._number, max(size, 1))


def options_of(source: ImageSource) -> dict[str, str]:
    """What FFmpeg is told of a source by its first bytes; nothing is taken from a stream."""
    if source.path is None and (source.data or peek_stdin()).startswith(_BARE):
        return {"fpsprobesize": "0"}  # else it waits for twenty frames to guess the rate that is told
    return {}


def stream_of(source: ImageSource) -> Any:
    """What PyAV reads a stream from."""
    if source.data:
        return io.BytesIO(source.data)
    if sys.stdin is None:
        raise InputError("standard input is closed")
    return _Pipe(sys.stdin.buffer)


def peek_stdin() -> bytes:
    """The first bytes of standard input, which stay there; empty where that cannot be done."""
    stream = getattr(sys.stdin, "buffer", None)
    if stream is None:
        return b""
    if hasattr(stream, "peek"):
        head: bytes = stream.peek(_PROBE_BYTES)
        return head
    with suppress(OSError):
        place = stream.tell()
        head = stream.read(_PROBE_BYTES)
        stream.seek(place)
        return head
    return b""
