"""Tasks on their way in: taken from their list one by one, and only while there is room for what they become."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

SLOW_S = 0.05
"""A list that has not given its next task for so long is slow: it is still being written."""


class Intake(Generic[T]):
    """A list of tasks that several threads take from. Every task holds a place until the main thread frees it.

    room: how many places there are
    """

    def __init__(self, room: int) -> None:
        self.room = room
        self._places = threading.Semaphore(room)
        self._tasks: Iterator[T] = iter(())
        self._taking = threading.Lock()
        self._asked_at: float | None = None  # since when the list is asked for its next task
        self._taken = 0
        self._freed = 0
        self._is_closed = False

    @property
    def held(self) -> int:
        """Places that tasks hold. ExplicitOptions in the main thread."""
        return self._taken - self._freed

    @property
    def is_slow(self) -> bool:
        """Whether a thread has been waiting for the list's next task for a while."""
        asked_at = self._asked_at
        return asked_at is not None and time.monotonic() - asked_at >= SLOW_S

    def open(self, tasks: Iterable[T]) -> None:
        """Say which tasks there are. An iterator is asked for the next one in threads, but never in two at once."""
        self._tasks = iter(tasks)

    def take(self) -> T | None:
        """The next task, as soon as there is a place for it; None when there are no more. Called in threads.

        Raises what the list itself does.
        """
        self._places.acquire()
        task = None
        try:
            with self._taking:
                if not self._is_closed:
                    self._asked_at = time.monotonic()
                    task = next(self._tasks, None)
                    self._asked_at = None
                    self._taken += task is not None
        finally:
            if task is None:
                self._places.release()
        return task

    def free_place(self) -> None:
        """Let another task in."""
        self._freed += 1
        self._places.release()

    def enlarge(self, room: int) -> None:
        """Have so many places from now on; never fewer than before."""
        if room > self.room:
            self._places.release(room - self.room)
            self.room = room

    def close(self) -> None:
        """Let no more tasks in; threads that wait for a place learn that there are none."""
        self._is_closed = True
        self._places.release()  # one of them, which hands it on
