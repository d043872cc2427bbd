"""Whether a folder takes files, asked before any work is done for it."""

from __future__ import annotations

import errno
from pathlib import Path

from glpn_cli.atomic_write.refusals import DISK_TROUBLE, refusal
from glpn_cli.atomic_write.temporaries import new_temporary_name
from glpn_cli.errors import ErrorCode, UsageError, code_of, reason_of


def probe_writable(folder: Path) -> None:
    """Make sure that files can be created in `folder`, or that it can be created itself; leaves nothing behind.

    Raises UsageError (E_PERMISSION, E_IO) when they cannot, StoppedError when the disk is full or failing.
    """
    try:
        existing = _nearest_existing(folder)
        if not existing.is_dir():
            what = "it is a file" if existing == folder else f"{str(existing)!r} is a file"
            raise UsageError(
                f"output folder {str(folder)!r} is no folder: {what}", hint="Choose another with -o.", code=ErrorCode.IO
            )
        probe = existing / new_temporary_name()
        try:
            with probe.open("xb"):
                pass
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        # A read-only disk is a folder badly chosen; a full or failing one is not.
        if error.errno in DISK_TROUBLE - {errno.EROFS}:
            raise refusal(folder, error) from error
        raise UsageError(
            f"cannot write to output folder {str(folder)!r}: {reason_of(error)}",
            hint="Choose another with -o.",
            code=code_of(error),
        ) from error


def _nearest_existing(folder: Path) -> Path:
    """`folder`, or the nearest of its parents that exists."""
    for candidate in (folder, *folder.parents):
        try:
            candidate.stat()
        except FileNotFoundError:
            if candidate.is_symlink():
                raise  # a link to nowhere: creating the folder would fail later
        else:
            return candidate
    return Path()
