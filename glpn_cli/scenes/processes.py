"""Renders on several processes that stop soon after a signal and print nothing.

Not `process_pool`: there a run that is interrupted while its workers start has to wait until each has loaded numba and
rendered a scene, and Windows has no workers.
"""

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
from glpn_cli.process_pool.worker import follow_parent

_stops: list[Event] = []
"""In a worker: set when no further task may start."""


def render_in_processes(task: Callable[[int], object], items: Sequence[int], workers: int) -> Iterator[int]:
    """Call `task`, which can be pickled, for every item on `workers` processes; yield items as they are finished.

    Closed early, it waits for tasks that have begun and drops the others. Raises the errors of tasks, and StoppedError
    for a process that dies.
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
    """Delay the signals that end a run until the block is left.

    A pool that is interrupted while it starts leaves workers behind. Processes that are started in the block have the
    signals blocked: Ctrl-C reaches them too, and must not print a traceback before they ignore it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's
        return
    received: list[int] = []

    def receive(number: int, frame: FrameType | None) -> None:
        del frame
        received.append(number)

    before = {number: signal.getsignal(number) for number in _signals()}
    before = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, receive)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, before) if hasattr(signal, "pthread_sigmask") else None
    try:
        yield
    finally:
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            signal.signal(number, handler)
        if received:
            signal.raise_signal(received[0])


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
