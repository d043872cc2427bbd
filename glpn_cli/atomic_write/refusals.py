"""What the system says of a file that cannot be written, as an error of ours: this file's trouble, or the disk's."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glpn_cli.errors import ErrorCode, OutputError, StoppedError, code_of, reason_of

# The disk, not this one file: the next write would fail as well, so the run stops and says so.
DISK_TROUBLE = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EIO,
        errno.EROFS,
        errno.ESTALE,
        errno.ENODEV,
        errno.ENXIO,
        errno.EMFILE,
        errno.ENFILE,
    }
)


@contextmanager
def refusing(path: Path) -> Iterator[None]:
    """What the system says within becomes an error of ours that names `path`."""
    try:
        yield
    except OSError as error:
        raise refusal(path, error) from error


def refusal(path: Path, error: OSError) -> OutputError | StoppedError:
    """What to raise when writing `path` failed with `error`."""
    code = code_of(error)
    if isinstance(error, FileExistsError):
        return OutputError(
            f"{str(path)!r} already exists", hint="Choose what happens then with --existing.", code=ErrorCode.EXISTS
        )
    message = f"cannot write {str(path)!r}: {reason_of(error)}"
    if error.errno in DISK_TROUBLE:
        hint = (
            "Make room and run the same command again." if code is ErrorCode.NO_SPACE else "Run the same command again."
        )
        return StoppedError(message, hint=hint, code=code)
    if error.errno == errno.ENAMETOOLONG:
        return OutputError(message, hint="Choose shorter names with --name.", code=ErrorCode.IO)
    return OutputError(message, code=code)
