"""Round numbers along a scale: as many as give even marks, never so many that their labels crowd."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

_MOST = 9
# Within each power of ten, coarse to fine.
_ROUND = ((1.0,), (1.0, 5.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0))
_STEPS = (1.0, 2.0, 5.0)
# How far the steps go down from the scale's length, and how many values of a family are worth looking at: fine enough
# that some value stands wherever a label has room.
_POWERS = 4
_MOST_OF_A_FAMILY = 200


@dataclass(frozen=True)
class Scale:
    """Where values stand between two ends.

    low, high: the ends, 0 < low < high
    is_log:    equal ratios are equal distances
    """

    low: float
    high: float
    is_log: bool = True

    def place(self, value: float) -> float:
        """0 at the low end, 1 at the high one."""
        if self.is_log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class Tick:
    """A round value, where it stands (0 to 1), and its number as people write it."""

    value: float
    place: float
    label: str


def make_ticks(scale: Scale, *, least_gap: float, margin: float = 0.0) -> tuple[Tick, ...]:
    """The round values that mark `scale` most evenly, from the low end up; at least one.

    least_gap: how far apart two labels must be, as a share of the scale's length
    margin:    how far from either end they must stay, likewise, < 0.5
    """
    families = (_ticks(values, scale, decimals, margin) for values, decimals in _families(scale))
    candidates = [ticks for ticks in families if ticks]
    roomy = [ticks for ticks in candidates if len(ticks) <= _MOST and _smallest_gap(ticks) >= least_gap]
    if roomy:
        return min(roomy, key=_largest_gap)
    fewest = min(candidates, key=len)
    return (min(fewest, key=lambda tick: abs(tick.place - 0.5)),)


def _families(scale: Scale) -> Iterator[tuple[list[float], int | None]]:
    """Every family of round values that a reader would recognise, coarse to fine, and its decimals (None: as short).

    On a linear scale these are equal steps alone.
    """
    powers = range(math.floor(math.log10(scale.low)), math.floor(math.log10(scale.high)) + 1)
    for mantissas in _ROUND if scale.is_log else ():
        yield [mantissa * 10.0**power for power in powers for mantissa in mantissas], None
    largest = math.floor(math.log10(scale.high - scale.low)) + 1
    for power in range(largest, largest - _POWERS, -1):
        for mantissa in reversed(_STEPS):
            step = mantissa * 10.0**power
            first, last = math.ceil(scale.low / step - 1e-9), math.floor(scale.high / step + 1e-9)
            if last - first <= _MOST_OF_A_FAMILY:
                yield [index * step for index in range(first, last + 1)], max(0, -power)


def _ticks(values: Sequence[float], scale: Scale, decimals: int | None, margin: float) -> tuple[Tick, ...]:
    # An end that is a round number has its tick, whatever the last bit of its logarithm says.
    places = [(value, scale.place(value)) for value in values if value > 0]
    return tuple(
        Tick(value, place, f"{value:g}" if decimals is None else f"{value:.{decimals}f}")
        for value, place in places
        if margin - 1e-6 <= place <= 1 - margin + 1e-6
    )


def _smallest_gap(ticks: Sequence[Tick]) -> float:
    places = [tick.place for tick in ticks]
    return min((after - before for before, after in pairwise(places)), default=1.0)


def _largest_gap(ticks: Sequence[Tick]) -> float:
    places = [0.0, *(tick.place for tick in ticks), 1.0]
    return max(after - before for before, after in pairwise(places))
