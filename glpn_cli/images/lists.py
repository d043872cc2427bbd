"""Lists of file names, one per line or separated by zero bytes, read as they come."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from glpn_cli.errors import UsageError

# No path is this long; what has no separator for so many bytes is no list.
_LONGEST_NAME = 1 << 16


@dataclass(frozen=True, slots=True)
class ListFile:
    """A file that lists inputs.

    path:      the file, or `-` for standard input.
    is_nulled: names end in a zero byte (`find -print0`) instead of a line's end.
    """

    path: str
    is_nulled: bool = False


class ByteStream(Protocol):
    """What a list is read from; `read1` gives what is there without waiting for more."""

    def read1(self, size: int = ..., /) -> bytes:
        """Up to `size` bytes, b'' at the end."""


def iterate_names(stream: ByteStream, *, is_nulled: bool = False) -> Iterator[str]:
    """Each name as soon as it is complete.

    Bytes that are no text in the file system's encoding survive. Empty names are left out, and of lines the ends that
    Windows writes.

    Raises UsageError for something that is no list.
    """
    end = b"\0" if is_nulled else b"\n"
    rest = b""
    is_first = True
    while chunk := stream.read1(1 << 16):
        *names, rest = (rest + chunk).split(end)
        for name in names:
            if text := _decode(name, is_nulled=is_nulled, is_first=is_first):
                yield text
            is_first = False
        if len(rest) > _LONGEST_NAME:
            raise UsageError(f"this is no list of file names: no end of a name within {_LONGEST_NAME:,} bytes")
    if text := _decode(rest, is_nulled=is_nulled, is_first=is_first):
        yield text


def _decode(name: bytes, *, is_nulled: bool, is_first: bool) -> str:
    if not is_nulled:
        name = name.removesuffix(b"\r")
        if is_first:
            name = name.removeprefix(b"\xef\xbb\xbf")
    return os.fsdecode(name)
