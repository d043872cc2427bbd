"""Reading ahead and writing behind, in order: what lies at both ends of a stream while the main thread computes.

    [thread: next(items)] -> bounded queue -> main thread -> bounded queue -> [thread: work(item)]

Whoever is slower is waited for, so memory stays what it is however long the stream. Both threads are daemons: one that
waits for a pipe must not hold up the end, and holds no lock of Python's while it does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from queue import Empty, Queue, SimpleQueue
from typing import Generic, TypeVar

from glpn_cli.pipeline.mishaps import start_thread

T = TypeVar("T")
R = TypeVar("R")

_AHEAD = 2
"""Items that wait at either end. One would be enough were all equally slow; two even out a hiccup."""

_GRACE_S = 2.0
"""How long an interrupted stream waits for what is being written."""


@dataclass(frozen=True)
class _End:
    """Nothing more comes; `error` is why, if it is not the end of the items."""

    error: Exception | None = None


def read_ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items, read by a thread while earlier ones are worked on; what reading raises comes in its turn."""
    waiting: Queue[T | _End] = Queue(_AHEAD)

    def fill() -> None:
        try:
            for item in items:
                waiting.put(item)
        except Exception as error:  # noqa: BLE001 - raised again in its turn
            waiting.put(_End(error))
        else:
            waiting.put(_End())

    start_thread(fill)
    while not isinstance(item := waiting.get(), _End):
        yield item
    if item.error is not None:
        raise item.error


class WriteBehind(Generic[T, R]):
    """Does `work` for one item after the other in a thread.

    The first error ends it: what comes behind would be out of step, and is dropped.
    """

    def __init__(self, work: Callable[[T], R]) -> None:
        self._work = work
        self._waiting: Queue[T | _End] = Queue(_AHEAD)
        self._done: SimpleQueue[R] = SimpleQueue()
        self._failed: tuple[T, Exception] | None = None
        self._thread = start_thread(self._drain)

    def put(self, item: T) -> bool:
        """Hand over the next item; waits while too many are undone. False once something has gone wrong."""
        if self._failed is None:
            self._waiting.put(item)
        return self._failed is None

    def done(self) -> Iterator[R]:
        """What has been done since the last time, in order."""
        while True:
            try:
                yield self._done.get_nowait()
            except Empty:
                return

    def close(self, *, is_interrupted: bool = False) -> tuple[T, Exception] | None:
        """Wait until all is done, and tell the item that went wrong, if one did.

        is_interrupted: drop what has not begun, and wait only a little for what has
        """
        while is_interrupted:
            try:
                self._waiting.get_nowait()
            except Empty:
                break
        self._waiting.put(_End())
        self._thread.join(_GRACE_S if is_interrupted else None)
        return self._failed

    def _drain(self) -> None:
        while not isinstance(item := self._waiting.get(), _End):
            if self._failed is not None:
                continue  # so that nobody waits for a place in the queue
            try:
                self._done.put(self._work(item))
            except Exception as error:  # noqa: BLE001 - told by `close`
                self._failed = (item, error)
