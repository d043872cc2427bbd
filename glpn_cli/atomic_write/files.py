"""Files that appear whole or not at all: written to a temporary, flushed to the disk, renamed.

Flushed to the disk (fsync): a rename may reach the disk before the bytes do, and a power cut would then leave an empty
file that the next run takes for a finished one.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from glpn_cli.atomic_write.refusals import refusing
from glpn_cli.atomic_write.temporaries import temporary_beside

Data = bytes | bytearray | memoryview | Iterable[bytes] | Callable[[BinaryIO], object]

# What file systems answer that know no hard links.
_NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK, errno.EXDEV}
# What fsync answers where there is nothing to flush to.
_NO_FSYNC = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}

IS_PATIENT = os.name == "nt"
"""Whether a file that somebody has open cannot be replaced, so that waiting for them may help."""

_TRIES, _PAUSE_S = 5, 0.2


def publish(path: Path, data: Data, *, replace: bool = True) -> None:
    """Put `data` at `path`, all of it or nothing.

    data:    the bytes, pieces of them, or a function that writes them to the stream it is given.
    replace: False leaves a file that is already there alone and raises.

    Folders on the way are created; modes follow the umask and the folder's group bit. A link is written through to its
    target; a pipe or device is written to, not replaced.

    Raises OutputError (E_EXISTS, E_PERMISSION, E_IO) when this file cannot be written, StoppedError (E_NOSPACE, E_IO,
    E_PERMISSION) when the disk cannot take any. What a `data` function raises passes through, unless it is an OSError:
    that counts as a failed write.
    """
    with refusing(path):
        target = _follow(path)
        if _is_stream(target):
            with target.open("wb") as stream:
                _write(stream, data)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        with _staged(target, data) as temporary:
            if replace:
                _rename(temporary, target)
            else:
                _rename_without_replacing(temporary, target)


def publish_together(files: Mapping[Path, Data]) -> None:
    """Put files that belong together, in their order: all of them are on the disk before the first gets its name.

    So a disk that is full leaves all of what was there before. Raises as `publish` does.
    """
    with ExitStack() as staged:
        ready = []
        for path, data in files.items():
            with refusing(path):
                target = _follow(path)
                target.parent.mkdir(parents=True, exist_ok=True)
                ready.append((path, target, staged.enter_context(_staged(target, data))))
        for path, target, temporary in ready:
            with refusing(path):
                _rename(temporary, target)


def _follow(path: Path) -> Path:
    """The path that a write to `path` ends at; raises OSError where it cannot be anything but a file."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        pass
    else:
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _is_stream(path: Path) -> bool:
    """Whether there is something at `path` that bytes pass through: a pipe, a terminal, /dev/null."""
    return path.exists() and not path.is_file()


@contextmanager
def _staged(target: Path, data: Data) -> Iterator[Path]:
    """A temporary beside `target` that holds all of `data`; it is gone afterwards, renamed or not."""
    with temporary_beside(target) as temporary:
        # Mode 'x' asks for 0666 and lets the umask answer, unlike mkstemp's 0600.
        with temporary.open("xb") as stream:
            _write(stream, data)
            stream.flush()
            _sync(stream)
        yield temporary


def _write(stream: BinaryIO, data: Data) -> None:
    if isinstance(data, bytes | bytearray | memoryview):
        stream.write(data)
    elif callable(data):
        data(stream)
    else:
        stream.writelines(data)


def _sync(stream: BinaryIO) -> None:
    try:
        os.fsync(stream.fileno())
    except OSError as error:
        if error.errno not in _NO_FSYNC:
            raise


def _rename(temporary: Path, target: Path) -> None:
    """os.replace, patient where a virus scanner or viewer holds the old file open (Windows)."""
    for attempt in range(_TRIES):
        try:
            temporary.replace(target)
        except PermissionError:
            if not IS_PATIENT or attempt == _TRIES - 1:
                raise
            time.sleep(_PAUSE_S)
        else:
            return


def _rename_without_replacing(temporary: Path, target: Path) -> None:
    """Give `temporary` its final name unless something has it; raises FileExistsError."""
    if os.name == "nt":
        temporary.rename(target)  # refuses to replace there
        return
    try:
        target.hardlink_to(temporary)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
    else:
        temporary.unlink()
        return
    with target.open("xb"):
        pass  # the name is ours from here on
    try:
        temporary.replace(target)
    except BaseException:
        with suppress(OSError):
            target.unlink()
        raise
