"""The settings of a training run: everything that decides its outcome, in one value."""

from __future__ import annotations

import json
import math
from dataclasses import KW_ONLY, asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from glpn_cli.data.augment import PAPER, Augmentation
from glpn_cli.errors import UsageError
from glpn_cli.text import size_text

_PRECISIONS = ("fp32", "bf16")
_LOSSES = ("family", "log-l1")
_SHAPE_STREAM = 2
"""Keeps the random numbers of crops' shapes apart from those of augmentation."""


@dataclass(frozen=True)
class Phase:
    """A stretch of a run at one picture size.

    steps:           optimiser steps.
    size:            (h, w) of the crops, multiples of 32.
    gradient_weight: weight of the gradient-matching term beside the loss.
    normal_weight:   weight of the surfaces' normals beside the loss.
    augmentation:    random changes of the pictures.
    upright:         share of the steps with upright crops, (w, h) instead of (h, w), as phones take pictures.
    """

    steps: int
    size: tuple[int, int] = (448, 576)
    _: KW_ONLY
    gradient_weight: float = 0.0
    normal_weight: float = 0.0
    augmentation: Augmentation = PAPER
    upright: float = 0.0

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UsageError(f"a phase of {self.steps} steps trains nothing")
        if any(side < 32 or side % 32 for side in self.size):
            raise UsageError(f"training size {size_text(self.size)} does not fit: both sides must be multiples of 32")

    def size_at(self, step: int, *, seed: int) -> tuple[int, int]:
        """(h, w) of the crops of one step."""
        is_upright = self.upright > 0 and np.random.default_rng([seed, step, _SHAPE_STREAM]).random() < self.upright
        return self.size[::-1] if is_upright else self.size


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

    course: Literal["paper", "trapezoid"] = "paper"
    peak: float = 1e-4
    low: float = 3e-5
    warm_up: int = 0
    decay: float = 0.3

    def __post_init__(self) -> None:
        if not (math.isfinite(self.peak) and math.isfinite(self.low)):
            raise UsageError(f"--learning-rate {self.peak:g} is no rate")

    def rate(self, step: int, *, steps: int) -> float:
        """The rate of step 0 <= `step` < `steps`."""
        if self.course == "paper":  # the author's code counts 2019 steps an epoch whatever the data; these are real
            way = step / steps * 2  # 0 at the start, 1 half-way, 2 at the end
            share = float((way if way < 1 else way - 1) ** 0.9)
            return self.low + (self.peak - self.low) * (share if way < 1 else 1 - share)
        rising = (step + 1) / self.warm_up if self.warm_up else 1.0
        falling = (steps - step) / max(1.0, self.decay * steps)
        return self.peak * max(0.001, min(1.0, rising, falling))


@dataclass(frozen=True)
class TrainingConfig:
    """The settings of a run. The defaults are the paper's recipe (Kim et al. 2022, section 4.2), except for its length.

    phases:        in their order; the run has the sum of their steps.
    batch_size:    pictures per step, over all processes.
    schedule:      the learning rate.
    loss:          "family" is the family's own, for GLPN the paper's SiLog over a batch; "log-l1" the mean error of log
                   depth, picture by picture.
    weight_decay:  of matrices only; 0 is plain Adam.
    betas:         Adam's.
    clip:          largest norm of the gradient, None for no clipping.
    average:       decay of the running average of the weights, which is the result; None for the weights themselves.
    precision:     fp32, or bf16: autocast, weights stay fp32.
    freeze:        "none", or "encoder".
    seed:          of the order, the augmentation and the dropout.
    every:         steps between saves and validations.
    """

    phases: tuple[Phase, ...]
    batch_size: int = 12
    schedule: Schedule = field(default_factory=Schedule)
    loss: str = "family"
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    clip: float | None = None
    average: float | None = None
    precision: str = "fp32"
    freeze: str = "none"
    seed: int = 0
    every: int = 1000

    def __post_init__(self) -> None:
        if not self.phases:
            raise UsageError("a run without a phase trains nothing")
        if self.batch_size < 1:
            raise UsageError(f"--batch-size {self.batch_size} is no number of pictures")
        if self.precision not in _PRECISIONS:
            raise UsageError(f"--precision {self.precision} cannot train", hint=f"Use one of {', '.join(_PRECISIONS)}.")
        if self.loss not in _LOSSES:
            raise UsageError(f"there is no loss {self.loss!r}", hint=f"Use one of {', '.join(_LOSSES)}.")
        if self.freeze not in ("none", "encoder"):
            raise UsageError(f"--freeze {self.freeze!r} is neither none nor encoder")

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole run."""
        return sum(phase.steps for phase in self.phases)

    def phase_at(self, step: int) -> Phase:
        """The phase of a step, 0 <= step < steps."""
        for phase in self.phases:
            if step < phase.steps:
                return phase
            step -= phase.steps
        return self.phases[-1]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, for the comparison of two runs, and for the saved state, which holds no classes."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain
