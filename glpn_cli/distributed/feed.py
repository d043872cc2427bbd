"""The tasks of a run, taken from their iterator beside the work."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from queue import Empty, Queue
from typing import Any

from glpn_cli.pipeline.engine import Job

_MOST_WAITING = 256


class Feed:
    """The tasks, taken from their iterator in a thread: a list that is still being written holds up nothing."""

    def __init__(self, tasks: Iterator[Any]) -> None:
        self._queue: Queue[Job | BaseException | None] = Queue(_MOST_WAITING)
        self._is_closed = False
        self.is_at_end = False
        self._thread = threading.Thread(target=self._fill, args=(tasks,), name="feed", daemon=True)
        self._thread.start()

    def take(self, most: int) -> list[Job]:
        """Up to so many jobs, as far as they are there. Raises what the iterator raised."""
        jobs: list[Job] = []
        with suppress(Empty):
            while len(jobs) < most and not self.is_at_end:
                item = self._queue.get_nowait()
                if isinstance(item, BaseException):
                    raise item
                if item is None:
                    self.is_at_end = True
                else:
                    jobs.append(item)
        return jobs

    def close(self) -> None:
        """Take no more."""
        self._is_closed = True
        with suppress(Empty):
            while True:
                self._queue.get_nowait()

    def _fill(self, tasks: Iterator[Any]) -> None:
        last: BaseException | None = None
        try:
            for number, task in enumerate(tasks):
                self._queue.put(Job(task, number))
                if self._is_closed:
                    return
        except BaseException as error:  # noqa: BLE001 - raised in the main thread
            last = error
        self._queue.put(last)
