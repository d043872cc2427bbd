"""Repeated measurements, taken in turns so that a busy minute meets everybody alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """Seconds that the same work took, once a round; at least one."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Seconds; the mean of the middle two of an even number."""
        return statistics.median(self.seconds)

    @property
    def low(self) -> float:
        """Seconds of the quickest round."""
        return min(self.seconds)

    @property
    def high(self) -> float:
        """Seconds of the slowest round."""
        return max(self.seconds)


def time_in_turns(works: Mapping[str, Callable[[], object]], *, rounds: int, warm_up: bool = True) -> dict[str, Timing]:
    """Time every work once a round, all in turn.

    warm_up: do each once before, untimed.
    """

    def take(work: Callable[[], object]) -> float:
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    if warm_up:
        for work in works.values():
            work()
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            taken[name].append(take(work))
    return {name: Timing(tuple(seconds)) for name, seconds in taken.items()}
