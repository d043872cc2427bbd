"""Threads that do the same work for one item after the other, and tell the main thread of each."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

from glpn_cli.pipeline.mishaps import start_thread

X = TypeVar("X")

Event = Callable[[], None]
"""What the main thread should do next."""


class Crew(Generic[X]):
    """Threads that all do the same work. They are daemons, so that a second Ctrl-C need not wait for a decoder.

    next_item: gives the next item, and waits for it; None when there are no more
    work:      what is done with an item; returns what the main thread should do then
    tell:      hands that to the main thread
    """

    def __init__(self, next_item: Callable[[], X | None], work: Callable[[X], Event], tell: Callable[[Event], None]):
        self._next_item = next_item
        self._work = work
        self._tell = tell
        self._threads: list[threading.Thread] = []
        self.at_work = 0
        """Threads that have not told the main thread yet that there is nothing more for them to do."""

    def start(self, count: int) -> None:
        """Add so many threads. Raises StoppedError where the system starts no more."""
        for _ in range(count):
            self._threads.append(start_thread(self._live))
            self.at_work += 1

    def is_missing_one(self) -> bool:
        """Whether a thread has ended that the main thread has not heard of."""
        return sum(thread.is_alive() for thread in self._threads) < self.at_work

    def join(self, deadline: float) -> None:
        """Wait until all have ended, or until the monotonic clock says `deadline`."""
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _live(self) -> None:
        try:
            while (item := self._next_item()) is not None:
                self._tell(self._work(item))
        except BaseException as error:  # noqa: BLE001 - the main thread would wait for this one for ever
            self._tell(partial(_raise, error))
        else:
            self._tell(self._leave)

    def _leave(self) -> None:
        self.at_work -= 1


def _raise(error: BaseException) -> None:
    raise error
