"""The one way bytes reach a disk or standard output: a reader sees the old file or the new one, never a part.

A file is written beside its destination as `.glpn-HOST-PID-RANDOM.tmp`, flushed to the disk (fsync), and renamed over
it. Without the flush the rename may reach the disk before the bytes do: a power cut then leaves an empty file that the
next run takes for a finished one. Whatever breaks on the way, the temporary is removed and the old file is untouched.
Only a process that is killed outright leaves a temporary, and the next run removes it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import BinaryIO

from glpn_cli.errors import ErrorCode, OutputError, StoppedError, UsageError, code_of, reason_of

_Data = bytes | bytearray | memoryview | Iterable[bytes] | Callable[[BinaryIO], object]

# Errors of the whole disk, not of one file: the next write would fail too, so the run stops. EFBIG is the limit on the
# length of files, of a shell or of a file system.
_DISK_ERRORS = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.EROFS,
    errno.ESTALE,
    errno.ENODEV,
    errno.ENXIO,
    errno.EMFILE,
    errno.ENFILE,
}
# The answers of file systems that have no hard links, and of files that cannot be flushed.
_NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK, errno.EXDEV}
_NO_FSYNC = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}

IS_PATIENT = os.name == "nt"
"""Whether a file that is open elsewhere cannot be replaced, so that waiting may help."""

_TRIES, _PAUSE_S = 5, 0.2

_TEMPORARY = re.compile(r"\.glpn-(?P<machine>.+)-(?P<pid>[0-9]+)-(?P<token>[0-9a-f]+)\.tmp")
_FIRST_PID_NAMESPACE = 0xEFFFFFFC  # of the process namespace that Linux starts with (include/linux/proc_ns.h)
_MACHINE_ID = Path("/etc/machine-id")

_in_flight: dict[str, Path] = {}
"""The temporaries that threads of this process are writing now, by name."""


def write_atomically(path: Path, data: _Data, *, replace: bool = True) -> None:
    """Put `data` at `path`, all of it or nothing.

    data:    the bytes, pieces of them, or a function that writes them to the stream it is given.
    replace: False leaves a file that is already there alone and raises.

    Folders on the way are created; modes follow the umask and the folder's group bit. A link is written through to its
    target; a pipe or device is written to, not replaced.

    Raises OutputError (E_EXISTS, E_PERMISSION, E_IO) when this file cannot be written, StoppedError (E_NOSPACE, E_IO,
    E_PERMISSION) when the disk cannot take any. What a `data` function raises passes through, unless it is an OSError:
    that counts as a failed write.
    """
    with _naming(path):
        target = _follow(path)
        if target.exists() and not target.is_file():  # a pipe, a terminal, /dev/null
            with target.open("wb") as stream:
                _write(stream, data)
            return
        with _staged(target, data) as temporary:
            if replace:
                _rename(temporary, target)
            else:
                _rename_without_replacing(temporary, target)


def write_together(files: Mapping[Path, _Data]) -> None:
    """Write files that belong together, in order: all are on the disk before the first gets its name.

    So a full disk leaves everything as it was. Raises as `write_atomically` does.
    """
    with ExitStack() as staged:
        ready = []
        for path, data in files.items():
            with _naming(path):
                target = _follow(path)
                ready.append((path, target, staged.enter_context(_staged(target, data))))
        for path, target, temporary in ready:
            with _naming(path):
                _rename(temporary, target)


def write_stdout(data: bytes) -> None:
    """Write a result to standard output and flush it.

    Raises BrokenPipeError when the reader has left, OutputError when standard output is closed or takes no more.
    """
    stream = getattr(sys.stdout, "buffer", None)
    if stream is None:
        raise OutputError("standard output is closed", hint="Name a file with -o FILE.", code=ErrorCode.IO)
    try:
        sys.stdout.flush()
        _write_below_buffer(stream, data)
    except OSError as error:
        # What is still buffered goes nowhere, so that the interpreter does not fail on it a second time at exit.
        with suppress(OSError, ValueError, AttributeError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)
        if isinstance(error, BrokenPipeError):
            raise
        raise OutputError(f"standard output: {reason_of(error)}", code=code_of(error)) from error


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
        # A read-only disk is a badly chosen folder; a full or failing one is not.
        if error.errno in _DISK_ERRORS - {errno.EROFS}:
            raise write_error(folder, error) from error
        raise UsageError(
            f"cannot write to output folder {str(folder)!r}: {reason_of(error)}",
            hint="Choose another with -o.",
            code=code_of(error),
        ) from error


def follow_link(path: Path) -> Path:
    """The path that a link leads to, also where nothing is there yet; any other path as it is."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def is_temporary(name: str) -> bool:
    """Whether a file name (without its folder) is that of an unfinished output, ours or another machine's."""
    return _TEMPORARY.fullmatch(name) is not None


def new_temporary_name() -> str:
    """A unique name for a file, which says which process of which machine writes it."""
    return f".glpn-{this_machine()}-{os.getpid()}-{secrets.token_hex(8)}.tmp"


def remove_unfinished() -> None:
    """Remove the temporaries that threads of this process are still writing: it ends, and they will not finish."""
    for temporary in list(_in_flight.values()):
        with suppress(OSError):
            temporary.unlink()


def remove_stale(folder: Path, *, older_than_s: float | None = None) -> int:
    """Remove what killed runs left behind in `folder` (not below it), and count it.

    Only temporaries of this machine's dead processes; with `older_than_s`, those of any machine that have not been
    touched for that long. A folder that is missing or cannot be read has none.
    """
    removed = 0
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = _TEMPORARY.fullmatch(entry.name)
            if match is None or not entry.is_file(follow_symlinks=False):
                continue
            with suppress(OSError):
                if older_than_s is None:
                    is_stale = _is_abandoned(entry.name, match["machine"], int(match["pid"]))
                else:
                    is_stale = entry.stat(follow_symlinks=False).st_mtime < time.time() - older_than_s
                if is_stale:
                    Path(entry.path).unlink()
                    removed += 1
    return removed


@cache
def this_machine() -> str:
    """This machine's name, fit for a file name; within a container, also which process numbers it counts in.

    Machines that were copied from one image share a name, and on a shared folder would take each other's processes for
    dead: what systemd calls the machine's id tells them apart.
    """
    import platform

    name = re.sub(r"[^A-Za-z0-9_.-]", "_", platform.node())[:64] or "localhost"
    with suppress(OSError):
        name += "." + hashlib.sha256(_MACHINE_ID.read_bytes()).hexdigest()[:6]
    with suppress(OSError):
        namespace = Path("/proc/self/ns/pid").stat().st_ino
        # Containers may share all of that.
        name += "" if namespace == _FIRST_PID_NAMESPACE else f".{namespace:x}"
    return name


@contextmanager
def _staged(target: Path, data: _Data) -> Iterator[Path]:
    """A temporary beside `target` that holds all of `data`; it is gone afterwards, renamed or not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    name = new_temporary_name()
    temporary = target.parent / name
    _in_flight[name] = temporary
    try:
        # Mode 'x' asks for 0666 and lets the umask answer, unlike mkstemp's 0600.
        with temporary.open("xb") as stream:
            _write(stream, data)
            stream.flush()
            _sync(stream)
        yield temporary
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    finally:
        _in_flight.pop(name, None)


def _write(stream: BinaryIO, data: _Data) -> None:
    if isinstance(data, bytes | bytearray | memoryview):
        stream.write(data)
    elif callable(data):
        data(stream)
    else:
        stream.writelines(data)


def _write_below_buffer(stream: BinaryIO, data: bytes) -> None:
    """Write below Python's buffer: a thread that waits for its reader would hold its lock at the program's end."""
    try:
        number = stream.fileno()
    except OSError:  # no file at all
        stream.write(data)
        stream.flush()
        return
    left = memoryview(data)
    while left:
        left = left[os.write(number, left) :]


def _sync(stream: BinaryIO) -> None:
    try:
        os.fsync(stream.fileno())
    except OSError as error:
        if error.errno not in _NO_FSYNC:
            raise


def _follow(path: Path) -> Path:
    """The path that a write to `path` ends at; raises OSError where it cannot be anything but a file."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        pass
    else:
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
    return follow_link(path)


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


def _is_abandoned(name: str, machine: str, pid: int) -> bool:
    """Whether the process that was writing a temporary is one of this machine's, and gone."""
    if machine != this_machine():
        return False
    if pid == os.getpid():
        return name not in _in_flight  # a process number used again
    if os.name == "nt":
        return False  # signal 0 is not a question there
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False
    return False


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn what the system says within into an error of ours that names `path`."""
    try:
        yield
    except OSError as error:
        raise write_error(path, error) from error


def write_error(path: Path, error: OSError) -> OutputError | StoppedError:
    """The error to raise when writing `path` failed with `error`: of this one file, or of the whole disk."""
    code = code_of(error)
    if isinstance(error, FileExistsError):
        return OutputError(
            f"{str(path)!r} already exists", hint="Choose what happens then with --existing.", code=ErrorCode.EXISTS
        )
    message = f"cannot write {str(path)!r}: {reason_of(error)}"
    if error.errno == errno.EFBIG:
        return StoppedError(message, hint="Allow longer files (ulimit -f), and run the same command again.", code=code)
    if error.errno in _DISK_ERRORS:
        again = "Make room and run" if code is ErrorCode.NO_SPACE else "Run"
        return StoppedError(message, hint=f"{again} the same command again.", code=code)
    if error.errno == errno.ENAMETOOLONG:
        return OutputError(message, hint="Choose shorter names with --name.", code=ErrorCode.IO)
    return OutputError(message, code=code)
