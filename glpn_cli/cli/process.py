"""The program as a process: its standard streams, the signals it hears, and its end."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import NoReturn

from glpn_cli.cli.boundary import interrupted
from glpn_cli.errors import ExitCode


def live(program: Callable[[], object]) -> NoReturn:
    """Run the program, which exits, with streams that are there and signals that are heard."""
    _open_missing_streams()
    try:
        try:
            _hear_signals()
            program()
        except KeyboardInterrupt as error:  # before the program begins, or when it has told its code already
            sys.exit(interrupted(error))
    except SystemExit as end:
        if threading.active_count() > 1:
            _leave_at_once(end)
        raise
    finally:
        gc.freeze()  # or the interpreter's end looks for garbage among all that torch holds, for a quarter of a second
    raise AssertionError("the program exits")


def remove_unfinished() -> None:
    """Leave no half of a file behind that a thread was still writing when the run was ended."""
    if (writing := sys.modules.get("glpn_cli.atomic_write")) is not None:
        writing.remove_unfinished()


def _leave_at_once(end: SystemExit) -> NoReturn:
    """End the process while a thread may still compute: it would stumble over what the interpreter's end takes away."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(end.code if isinstance(end.code, int) else ExitCode.NOTHING_DONE)


def _open_missing_streams() -> None:
    """Fill closed standard streams with the null device, lest the first file we open become stdout."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)


def _hear_signals() -> None:
    """Turn a polite end into KeyboardInterrupt carrying the exit code; a second one ends the process at once."""

    def end(number: int, frame: FrameType | None) -> None:
        del frame
        for heard in numbers:
            signal.signal(heard, at_once)
        raise KeyboardInterrupt(128 + number)

    def at_once(number: int, frame: FrameType | None) -> None:
        del frame
        remove_unfinished()
        os._exit(128 + number)

    known = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    numbers = [number for number in known if signal.getsignal(number) is not signal.SIG_IGN]  # nohup stays ignored
    for number in numbers:
        signal.signal(number, end)
