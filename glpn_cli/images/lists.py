"""Read the names of inputs from lists: files of text, Parquet, and streams that are still being written."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from typing import BinaryIO, Protocol, cast

from glpn_cli.errors import UsageError, code_of, reason_of


def stdin_bytes(stdin: BinaryIO | None) -> BinaryIO:
    """Standard input, or what stands for it. Raises UsageError where it is closed."""
    if stdin is not None:
        return stdin
    if sys.stdin is None:
        raise UsageError("standard input is closed")
    return sys.stdin.buffer


@contextmanager
def _open_list(entry: ListFile, stdin: BinaryIO | None) -> Iterator[ByteStream]:
    if entry.path == "-":
        yield cast("ByteStream", stdin_bytes(stdin))
        return
    try:
        with open(entry.path, "rb") as stream:  # noqa: PTH123 - "" is no file, and as a Path the folder
            yield stream
    except OSError as error:
        raise UsageError(f"list {entry.path!r} cannot be read: {reason_of(error)}", code=code_of(error)) from error


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


def read_names(entry: ListFile, *, stdin: BinaryIO | None = None) -> Iterator[str]:
    """The names in a list: text, or the column `path` of a Parquet file, a piece at a time.

    Raises UsageError where it cannot be read.
    """
    with _open_list(entry, stdin) as stream:
        # Looked at without taking it: a list may be a pipe.
        if entry.path != "-" and isinstance(stream, BufferedReader) and stream.peek(len(_PARQUET)).startswith(_PARQUET):
            yield from _read_parquet(entry.path)
            return
        yield from iterate_names(stream, is_nulled=entry.is_nulled)


_PARQUET = b"PAR1"


def _read_parquet(path: str) -> Iterator[str]:
    """The column `path` of a Parquet file, of text or bytes."""
    try:
        from pyarrow import ArrowException, ArrowInvalid
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        hint = "Run: pip install pyarrow"
        raise UsageError(f"list {path!r} is a Parquet file, which needs pyarrow", hint=hint) from error
    try:
        with ParquetFile(path) as file:
            if "path" not in file.schema_arrow.names:
                columns = ", ".join(file.schema_arrow.names[:10])
                raise UsageError(f"list {path!r} has no column 'path'", hint=f"It has {columns}.")
            for batch in file.iter_batches(columns=["path"], batch_size=1 << 14):
                for name in batch.column(0).to_pylist():
                    if not isinstance(name, str | bytes):
                        raise UsageError(f"the column 'path' of {path!r} holds {name!r}, which is no name")
                    yield os.fsdecode(name)
    except (ArrowException, ArrowInvalid, OSError) as error:
        raise UsageError(f"list {path!r} cannot be read: {error}") from error


class ByteStream(Protocol):
    """A stream whose `read1` gives what is there without waiting for more."""

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
