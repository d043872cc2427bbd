"""How the learning rate goes: pure functions of the step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from glpn_cli.errors import UsageError


class Course(StrEnum):
    """The shapes that a learning rate's course can have."""

    PAPER = "paper"
    TRAPEZOID = "trapezoid"


@dataclass(frozen=True)
class Schedule:
    """The learning rate at every step of a run.

    course:      "paper": from `low` up to `peak` over the first half of the steps and back over the second, along a
                 power of 0.9 (paper section 4.2). "trapezoid": up in `warm_up` steps, level, and down to nearly nothing
                 over the last `decay` share of the run.
    peak, low:   learning rates.
    warm_up:     steps.
    decay:       share of the steps, 0 to 1.
    """

    course: Course = Course.PAPER
    peak: float = 1e-4
    low: float = 3e-5
    warm_up: int = 0
    decay: float = 0.3

    def __post_init__(self) -> None:
        if not (math.isfinite(self.peak) and math.isfinite(self.low)):
            raise UsageError(f"--learning-rate {self.peak:g} is no rate")

    def rate(self, step: int, *, steps: int) -> float:
        """The rate of step 0 <= `step` < `steps`."""
        if self.course is Course.PAPER:
            return _there_and_back(step, steps=steps, low=self.low, peak=self.peak)
        rising = (step + 1) / self.warm_up if self.warm_up else 1.0
        falling = (steps - step) / max(1.0, self.decay * steps)
        return self.peak * max(0.001, min(1.0, rising, falling))


def _there_and_back(step: int, *, steps: int, low: float, peak: float) -> float:
    """The paper's course. The author's code counts 2019 steps an epoch whatever the data; these are the real ones."""
    way = step / steps * 2  # 0 at the start, 1 half-way, 2 at the end
    climbed = way if way < 1 else way - 1
    share = float(climbed**0.9)
    return low + (peak - low) * (share if way < 1 else 1 - share)
