"""What a training run is: everything that decides its outcome, in one value that is written beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import KW_ONLY, asdict, dataclass, field
from typing import Any

import numpy as np

from glpn_cli.data.augment import PAPER, Augmentation
from glpn_cli.errors import UsageError
from glpn_cli.training.schedule import Schedule

PRECISIONS = ("fp32", "bf16")
LOSSES = ("family", "log-l1")
_SHAPE_STREAM = 2  # apart from the random numbers of augmentation


@dataclass(frozen=True)
class Phase:
    """A stretch of a run at one picture size.

    steps:           optimiser steps.
    size:            (h, w) of the crops, multiples of 32.
    gradient_weight: weight of the gradient-matching term beside the loss.
    normal_weight:   weight of the surfaces' normals beside the loss.
    augmentation:    what happens to the pictures.
    upright:         share of the steps whose crops stand upright, (w, h) instead of (h, w), as phones take them.
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
            height, width = self.size
            raise UsageError(f"training size {width}x{height} does not fit: both sides must be multiples of 32")

    def size_at(self, step: int, *, seed: int) -> tuple[int, int]:
        """(h, w) of the crops of one step."""
        is_upright = self.upright > 0 and np.random.default_rng([seed, step, _SHAPE_STREAM]).random() < self.upright
        return self.size[::-1] if is_upright else self.size


@dataclass(frozen=True)
class TrainingConfig:
    """The settings of a run. The defaults are the paper's recipe (Kim et al. 2022, section 4.2), short of its length.

    phases:        one after the other; their steps are the run's.
    batch_size:    pictures a step, over all processes.
    schedule:      the learning rate's course.
    loss:          "family" is the family's own, for GLPN the paper's SiLog over a batch; "log-l1" the mean error of log
                   depth, picture by picture.
    weight_decay:  of matrices only; 0 is plain Adam.
    betas:         Adam's.
    clip:          largest norm of the gradient, None for no clipping.
    average:       decay of the running average of the weights that becomes the result, None for the weights themselves.
    precision:     fp32, or bf16: autocast, weights stay fp32.
    freeze:        "none", or "encoder".
    seed:          of the order, the augmentation and the dropout.
    every:         steps between saves; validation happens at the same steps.
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
        if self.precision not in PRECISIONS:
            raise UsageError(f"--precision {self.precision} cannot train", hint=f"Use one of {', '.join(PRECISIONS)}.")
        if self.loss not in LOSSES:
            raise UsageError(f"there is no loss {self.loss!r}", hint=f"Use one of {', '.join(LOSSES)}.")
        if self.freeze not in ("none", "encoder"):
            raise UsageError(f"--freeze {self.freeze!r} is neither none nor encoder")

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole run."""
        return sum(phase.steps for phase in self.phases)

    def phase_at(self, step: int) -> Phase:
        """The phase that 0 <= `step` < `steps` belongs to."""
        for phase in self.phases:
            if step < phase.steps:
                return phase
            step -= phase.steps
        return self.phases[-1]

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON, for comparing two runs, and for a saved state that holds no classes."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain


def changed_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What differs between two runs' settings, by name: {"schedule.peak": (0.0001, 0.001)}.

    A setting that `before` does not know and that is off now has not changed: earlier versions told less.
    """
    old, new = (dict(_flat(settings)) for settings in (before, now))
    return {
        name: (old.get(name), new.get(name))
        for name in dict.fromkeys((*old, *new))
        if old.get(name) != new.get(name) and (name in old or new[name])
    }


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every plain value within settings and its dotted name; the first of several is number 1. Sizes stay together."""
    items: Iterable[tuple[Any, Any]]
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
        items = enumerate(value, start=1)
    else:
        yield name, list(value) if isinstance(value, tuple) else value
        return
    for part, item in items:
        yield from _flat(item, f"{name}.{part}" if name else str(part))
