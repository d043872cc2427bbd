"""Unfinished files: the names that they go by while they are written, and what becomes of those that nobody finishes.

A name says which process of which machine writes the file, so that whoever finds one knows whether it is still wanted.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

_NAME = re.compile(r"\.glpn-(?P<machine>.+)-(?P<pid>[0-9]+)-(?P<token>[0-9a-f]+)\.tmp")

# Linux gives this number to the process namespace that the machine starts with (include/linux/proc_ns.h).
_FIRST_PID_NAMESPACE = 0xEFFFFFFC
_MACHINE_ID = Path("/etc/machine-id")

# What threads of this process are writing now.
_in_flight: dict[str, Path] = {}


def new_temporary_name() -> str:
    """A name that nobody else gives to a file."""
    return f".glpn-{this_machine()}-{os.getpid()}-{secrets.token_hex(8)}.tmp"


def is_temporary(name: str) -> bool:
    """Whether a file name (without its folder) is that of an unfinished output, ours or another machine's."""
    return _NAME.fullmatch(name) is not None


@contextmanager
def temporary_beside(target: Path) -> Iterator[Path]:
    """A path in the folder of `target`, for a file that is to take its name; nothing is left there if that fails."""
    name = new_temporary_name()
    temporary = target.parent / name
    _in_flight[name] = temporary
    try:
        yield temporary
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    finally:
        _in_flight.pop(name, None)


def remove_unfinished() -> None:
    """Remove the temporaries of files that threads of this process are still writing: it ends, and they will not."""
    for temporary in list(_in_flight.values()):
        with suppress(OSError):
            temporary.unlink()


def sweep(folder: Path, *, older_than_s: float | None = None) -> int:
    """Remove what killed runs left behind in `folder` (not below it), and count it.

    Only temporaries of this machine's dead processes; with `older_than_s`, those of any machine that have not been
    touched for that long. A folder that is missing or cannot be read has nothing to sweep.
    """
    removed = 0
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = _NAME.fullmatch(entry.name)
            if match is None or not entry.is_file(follow_symlinks=False):
                continue
            with suppress(OSError):
                if older_than_s is None:
                    is_left = _is_abandoned(entry.name, match["machine"], int(match["pid"]))
                else:
                    is_left = entry.stat(follow_symlinks=False).st_mtime < time.time() - older_than_s
                if is_left:
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
