"""Reading ahead: pictures are read in threads while those before them are measured."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

R = TypeVar("R")


def read_ahead(read: Callable[[int], R], count: int, *, workers: int, ahead: int) -> Iterator[R]:
    """What `read` gives for 0, 1, ... up to `count`, in this order; up to `ahead` of them before they are asked for."""
    waiting: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for index in range(count):
            waiting.append(pool.submit(read, index))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # one that never ends must not hold up who is interrupted
