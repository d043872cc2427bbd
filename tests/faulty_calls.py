"""Something goes wrong at the n-th function call inside of glpn: memory runs out there, or a signal comes.

Python's own hook for profilers sees every call, in every thread; the one that is chosen raises before its first line.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import glpn_cli

_HOME = str(Path(glpn_cli.__file__).parent)


class FaultyCalls:
    """Counts the calls of functions of the package, and raises at one of them.

    call:       which one, from 1; 0 for none
    error:      what is raised there
    everywhere: whether calls in other threads than this one count too
    """

    def __init__(self, *, call: int = 0, error: BaseException | None = None, everywhere: bool = True) -> None:
        self.call = call
        self.error = error
        self.everywhere = everywhere
        self.calls = 0
        self.place = ""
        self._has_begun = False  # before, the program is only being put together
        self._lock = threading.Lock()

    @property
    def has_failed(self) -> bool:
        return bool(self.place)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within, calls are counted."""
        if self.everywhere:
            threading.setprofile(self._see)
        sys.setprofile(self._see)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)  # type: ignore[arg-type]

    def _see(self, frame: FrameType, event: str, argument: Any) -> None:
        if event != "call" or not frame.f_code.co_filename.startswith(_HOME):
            return
        if not self._has_begun:
            self._has_begun = frame.f_code.co_qualname == "GlpnGroup.main"
            return
        with self._lock:
            self.calls += 1
            fails = self.calls == self.call
        if fails:
            self.place = f"{frame.f_code.co_filename.removeprefix(_HOME)[1:]}:{frame.f_code.co_qualname}"
            assert self.error is not None
            raise self.error


class HangError(BaseException):
    """What was run does not come back."""


@contextmanager
def ending_within(seconds: float) -> Iterator[None]:
    """Fail what takes longer; to be used in the main thread."""

    def give_up(number: int, frame: FrameType | None) -> None:
        raise HangError(f"no end after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def raising_at(call: int, function: Callable[..., Any], error: BaseException) -> tuple[Callable[..., Any], list[int]]:
    """`function`, which raises when it is called for the n-th time; and how often it was called."""
    calls = [0]

    def failing(*arguments: Any, **settings: Any) -> Any:
        calls[0] += 1
        if calls[0] == call:
            raise error
        return function(*arguments, **settings)

    return failing, calls
