"""What decoders do on their worst days, as functions that a worker process can import: small, and without torch."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np


def add(one: int, other: int) -> int:
    return one + other


def echo(value: object) -> object:
    return value


def ask_for(*, size: Callable[[int, int], int]) -> int:
    return size(3, 4) + 1


def process_id() -> int:
    return os.getpid()


def crash(number: int = signal.SIGSEGV) -> None:
    os.kill(os.getpid(), number)
    time.sleep(60)  # a signal that is ignored


def crash_once(marker: Path) -> str:
    """The first process that comes here dies, the next one lives."""
    if marker.exists():
        return "survived"
    marker.touch()
    crash()
    return "unreachable"


def end(status: int) -> None:
    os._exit(status)


def sleep(seconds: float) -> str:
    time.sleep(seconds)
    return "slept"


def hang_in_native_code(started: Path) -> None:
    """Sleep for minutes without ever giving Python's lock back."""
    started.write_text(str(os.getpid()))
    ctypes.PyDLL(None).sleep(300)


def take_memory(size: int) -> int:
    return len(bytearray(size))


def write_to_standard_streams() -> str:
    sys.stdout.write("from Python\n")
    sys.stdout.flush()
    for number in (1, 2):
        os.write(number, b"from C\n")
    return "written"


def open_terminal() -> str:
    with Path("/dev/tty").open("rb"):
        return "opened"


def read_input() -> bytes:
    return os.read(0, 100)


def divide_by_zero() -> float:
    return 1 / 0


def foreign_value() -> object:
    """What unpickles to a call of somebody else's function."""

    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, ("trapped",)

    return Trap()


def reply_with_noise() -> None:
    """Write over the pipe of replies, as a decoder with a wild pointer may."""
    for number in range(3, 64):
        try:
            os.write(number, np.full(4096, 0xFF, np.uint8).tobytes())
        except OSError:
            continue
    time.sleep(60)


def loaded_modules() -> list[str]:
    return sorted(sys.modules)


def core_limit() -> int:
    import resource

    return resource.getrlimit(resource.RLIMIT_CORE)[0]


def peak_memory() -> int:
    """The most bytes that this process ever had in memory."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def read_and_forget(read: Callable[[Path], object], path: Path) -> None:
    """Read a file as a caller does in one process, where nothing is sent on."""
    read(path)
