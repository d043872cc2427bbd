"""Results on standard output: bytes, flushed, and what to do when nobody takes them."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import BinaryIO

from glpn_cli.errors import ErrorCode, OutputError, code_of, reason_of


def publish_stdout(data: bytes) -> None:
    """Write a result to standard output and flush it.

    Raises BrokenPipeError when the reader has left, OutputError when standard output is closed or takes no more.
    """
    stream = getattr(sys.stdout, "buffer", None)
    if stream is None:
        raise OutputError("standard output is closed", hint="Name a file with -o FILE.", code=ErrorCode.IO)
    try:
        sys.stdout.flush()
        _write_whole(stream, data)
    except OSError as error:
        _abandon_stdout()
        if isinstance(error, BrokenPipeError):
            raise
        raise OutputError(f"standard output: {reason_of(error)}", code=code_of(error)) from error


def _write_whole(stream: BinaryIO, data: bytes) -> None:
    """Write below Python's buffer, whose lock a thread that waits for its reader would hold at the program's end."""
    try:
        number = stream.fileno()
    except OSError:  # no file at all
        stream.write(data)
        stream.flush()
        return
    left = memoryview(data)
    while left:
        left = left[os.write(number, left) :]


def _abandon_stdout() -> None:
    """Send what is still buffered nowhere, so that the interpreter does not fail on it a second time at exit."""
    with suppress(OSError, ValueError, AttributeError):
        number = sys.stdout.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)
