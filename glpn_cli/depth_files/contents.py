"""The bytes of a file that is read whole, or only peeked at; whoever has them already gives them instead of a path."""

from __future__ import annotations

import os
from pathlib import Path

from glpn_cli.depth_files.png import MAX_PIXELS
from glpn_cli.errors import ErrorCode, InputError, code_of, reason_of

# Larger than any map we can write: float64 values of the most pixels that we decode.
MAX_BYTES = 8 * MAX_PIXELS + (1 << 20)
_PIECE_BYTES = 1 << 16


def read_contents(source: str | Path | bytes) -> bytes:
    """All bytes. Raises InputError where they cannot be read, or are too many for a map."""
    if isinstance(source, bytes):
        return source
    data = read_head(source, MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise InputError("the file is too large for a depth map", code=ErrorCode.TOO_LARGE)
    return data


def read_head(source: str | Path | bytes, count: int) -> bytes:
    """The first `count` bytes; fewer only where there are no more. Raises InputError."""
    if isinstance(source, bytes):
        return source[:count]
    pieces: list[bytes] = []
    try:
        with Path(source).open("rb", buffering=0) as file:
            # Room for what is asked for is set aside before it is read: no more than there is to come.
            size = os.fstat(file.fileno()).st_size
            while count > 0 and (piece := file.read(min(count, max(size, _PIECE_BYTES)))):
                pieces.append(piece)
                count, size = count - len(piece), size - len(piece)
    except OSError as error:
        raise InputError(f"the file cannot be read: {reason_of(error)}", code=code_of(error)) from error
    return b"".join(pieces)
