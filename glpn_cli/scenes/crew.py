"""Rendering on several processes, which start whole, stop soon, and say nothing themselves."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from types import FrameType

from glpn_cli.errors import ErrorCode, StoppedError
from glpn_cli.process_pool import follow_parent

_stops: list[Event] = []
"""In a worker: set when nothing more is to be begun."""


def share_out(task: Callable[[int], object], items: Sequence[int], workers: int) -> Iterator[int]:
    """Do `task`, which can be pickled, for every item on `workers` processes; items as they are finished.

    Close it when it is left early: it waits for tasks that have begun, and the others are dropped.
    Raises what a task raises, and StoppedError when a process dies.
    """
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    pool = ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(stop,))
    try:
        with signals_held():
            futures = [pool.submit(_do, task, item) for item in items]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        raise StoppedError(
            "a rendering process died, perhaps for want of memory",
            hint="Run the same command again to go on, perhaps with fewer --workers.",
            code=ErrorCode.CRASH,
        ) from error
    finally:
        # Some tasks wait with the workers already, where the pool cannot cancel them.
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def signals_held() -> Iterator[None]:
    """Hear signals that end a run only when the block is left.

    A pool that is interrupted while it starts has workers that nobody tells to end. Processes that are started within
    have the signals blocked, so that Ctrl-C, which reaches them too, does not make them talk before they ignore it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's
        return
    heard: list[int] = []

    def hear(number: int, frame: FrameType | None) -> None:
        del frame
        heard.append(number)

    before = {number: signal.getsignal(number) for number in _signals()}
    before = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, hear)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, before) if hasattr(signal, "pthread_sigmask") else None
    try:
        yield
    finally:
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            signal.signal(number, handler)
        if heard:
            signal.raise_signal(heard[0])


def _signals() -> list[int]:
    return [int(getattr(signal, name)) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def _begin(stop: Event) -> None:
    _stops.append(stop)
    follow_parent()
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _signals())


def _do(task: Callable[[int], object], item: int) -> int:
    if not any(stop.is_set() for stop in _stops):
        task(item)
    return item
