"""The bytes of a file, or the first of them; whoever has them already gives them instead of a path."""

from __future__ import annotations

import os
from pathlib import Path

from glpn_cli.errors import ErrorCode, InputError, code_of, reason_of
from glpn_cli.images.formats import check_pixels

MAX_PIXELS = 250_000_000
"""The largest map that is read unless more is allowed, as for pictures."""

_PIECE_BYTES = 1 << 16


def read_contents(source: str | Path | bytes, *, max_pixels: int = MAX_PIXELS) -> bytes:
    """All bytes. Raises InputError where they cannot be read, or are too many for a map of `max_pixels`."""
    if isinstance(source, bytes):
        return source
    most = 8 * max_pixels + (1 << 20)  # a float64 a pixel
    data = read_head(source, most + 1)
    if len(data) > most:
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


def check_size(height: int, width: int, max_pixels: int) -> None:
    """Raise InputError for a size that is none, or with more than `max_pixels`."""
    if height < 1 or width < 1:
        raise InputError(f"the file is damaged: its size is {width}x{height}")
    check_pixels((height, width), max_pixels, label="the map")
