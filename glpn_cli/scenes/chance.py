"""Random numbers that can be repeated: every scene draws from its own stream, seeded by (seed, index)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

_Choice = TypeVar("_Choice")


class Chance:
    """A stream of random numbers, drawn in blocks because that is faster.

    key: integers that name the stream; equal keys give equal streams on every machine.
    """

    def __init__(self, *key: int) -> None:
        self.generator = np.random.Generator(np.random.PCG64(list(key)))
        self._block: list[float] = []

    def unit(self) -> float:
        """Uniform in [0, 1)."""
        if not self._block:
            self._block = self.generator.random(512).tolist()
        return self._block.pop()

    def between(self, low: float, high: float) -> float:
        """Uniform in [low, high)."""
        return low + (high - low) * self.unit()

    def whole(self, low: int, high: int) -> int:
        """An integer from low to high, both included."""
        return low + int((high - low + 1) * self.unit())

    def yes(self, probability: float) -> bool:
        """True with the given probability."""
        return self.unit() < probability

    def pick(self, choices: Sequence[_Choice]) -> _Choice:
        """One of the choices, all equally likely."""
        return choices[int(len(choices) * self.unit())]

    def weigh(self, choices: Sequence[tuple[float, _Choice]]) -> _Choice:
        """One of (weight, choice)."""
        left = self.unit() * sum(weight for weight, _ in choices)
        for weight, choice in choices:
            left -= weight
            if left < 0:
                return choice
        return choices[-1][1]

    def bell(self, mean: float, spread: float, low: float, high: float) -> float:
        """Normal, cut to [low, high]."""
        radius = math.sqrt(-2.0 * math.log(1.0 - self.unit()))
        return min(max(mean + spread * radius * math.cos(2.0 * math.pi * self.unit()), low), high)
