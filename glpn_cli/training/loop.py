"""The loop: a network, pictures with depth, a config, and what happens step by step.

What a step does is decided by (seed, step) and the weights alone: a run that was stopped and picked up again ends with
the weights of one that never was (on CPUs, with equal threads).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from glpn_cli.data.samples import SampleSource
from glpn_cli.errors import StoppedError, UsageError
from glpn_cli.training.average import RunningAverage
from glpn_cli.training.config import Phase, TrainingConfig
from glpn_cli.training.feed import Batch, Feed, Recipe, Wanted
from glpn_cli.training.losses import log_gradient_loss, log_l1_loss, surface_normal_loss
from glpn_cli.training.ranks import Ranks
from glpn_cli.training.state import TrainingState

_MOST_DROPPED_IN_A_ROW = 50

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Lens:
    """The camera that a network's metres belong to: `focal_px` at pictures of `size` (h, w)."""

    size: tuple[int, int]
    focal_px: float | None

    def at(self, size: tuple[int, int]) -> float | None:
        """Its focal length in pixels where pictures have another (h, w): it goes with the root of the area."""
        if self.focal_px is None:
            return None
        return self.focal_px * math.sqrt(size[0] * size[1] / (self.size[0] * self.size[1]))


@dataclass(frozen=True)
class StepReport:
    """What one step did; means over all processes.

    step: how many steps have been taken, this one included. skipped: messages of all processes' unusable pictures.
    """

    step: int
    loss: float
    depth_loss: float
    gradient_loss: float
    normal_loss: float
    rate: float
    norm: float
    seconds: float
    pictures: int
    skipped: tuple[str, ...] = ()
    is_dropped: bool = False


class Trainer:
    """A run that can be stepped, saved and picked up again.

    network:  pixels (B, 3, h, w) in [0, 1] -> depth (B, h, w), metres; moved to `device` and trained in place.
    loss:     the family's own, (predicted, target) -> scalar; used unless the config names another.
    limit_m:  the network's largest depth.
    settings: goes into the state, for comparing when it is picked up.
    """

    def __init__(
        self,
        network: nn.Module,
        config: TrainingConfig,
        source: SampleSource,
        *,
        loss: Loss,
        limit_m: float,
        lens: Lens,
        ranks: Ranks | None = None,
        device: str = "cpu",
        workers: int = 0,
        settings: dict[str, Any] | None = None,
    ) -> None:
        self.ranks = ranks or Ranks()
        if config.batch_size % self.ranks.world:
            raise UsageError(f"--batch-size {config.batch_size} cannot be shared by {self.ranks.world} processes")
        self.config = config
        self.loss = log_l1_loss if config.loss == "log-l1" else loss
        self.limit_m = limit_m
        self.lens = lens
        self.device = torch.device(device)
        self.settings = settings or {}
        self.feed = Feed(source, workers=workers)
        self.network = network.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.trained = trained_parameters(self.network, config.freeze)
        self.optimizer = make_optimizer(self.trained, config)
        self.average = None if config.average is None else RunningAverage(self.network, decay=config.average)
        self.step = self.position = self.skipped = self.dropped = 0
        self.is_asked_to_stop = self.is_stopping = False
        self._dropped_in_a_row = 0

    def run(self, until: int | None = None) -> Iterator[StepReport]:
        """Take steps up to `until`, or to the end of the run, and report each.

        Setting `is_asked_to_stop`, from a signal handler too, ends it after the step at hand or the next; with several
        processes all end together, after the same step, when one of them is asked. Raises StoppedError where the loss
        has ceased to be finite for good.
        """
        until = self.config.steps if until is None else min(until, self.config.steps)
        wanted = islice(self._wanted(self.step, self.position), until - self.step)
        for batch in self.feed.batches(wanted):
            yield self._take_step(batch)
            if self.is_stopping:
                return

    def state(self) -> TrainingState:
        """The run as it stands."""
        return TrainingState(
            step=self.step,
            position=self.position,
            skipped=self.skipped,
            dropped=self.dropped,
            network=self.network.state_dict(),
            optimizer=self.optimizer.state_dict(),
            average=None if self.average is None else self.average.state_dict(),
            settings=self.settings,
        )

    def resume(self, state: TrainingState) -> None:
        """Go on from a saved state."""
        self.network.load_state_dict(state.network)
        self.optimizer.load_state_dict(dict(state.optimizer))
        if self.average is not None and state.average is not None:
            self.average.load_state_dict(state.average)
        self.step, self.position = state.step, state.position
        self.skipped, self.dropped = state.skipped, state.dropped

    def _wanted(self, step: int, position: int) -> Iterator[Wanted]:
        """What this process reads at every step from here on."""
        world, share = self.ranks.world, self.config.batch_size // self.ranks.world
        while True:
            first = position + self.ranks.rank
            yield list(range(first, first + share * world, world)), self._recipe(step)
            step, position = step + 1, position + self.config.batch_size

    def _recipe(self, step: int) -> Recipe:
        phase, seed = self.config.phase_at(step), self.config.seed
        size = phase.size_at(step, seed=seed)
        return Recipe(size, phase.augmentation, self.limit_m, self.lens.at(size), seed)

    def _take_step(self, batch: Batch) -> StepReport:
        began = time.perf_counter()
        phase, rate = self.config.phase_at(self.step), self.config.schedule.rate(self.step, steps=self.config.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        torch.manual_seed(_mix(self.config.seed, self.step, self.ranks.rank))  # dropout and stochastic depth
        statistics = [buffer.clone() for buffer in self.network.buffers()]
        norm, losses, skipped = self._share(self._backward(batch, phase), batch)
        is_finite = math.isfinite(norm) and math.isfinite(losses[0])
        if is_finite:
            self.optimizer.step()
            self._dropped_in_a_row = 0
        else:
            self._undo(statistics)
        self.optimizer.zero_grad()
        if self.average is not None:
            self.average.update(self.network)
        self.step += 1
        self.position += self.config.batch_size
        return StepReport(
            step=self.step,
            loss=losses[0],
            depth_loss=losses[1],
            gradient_loss=losses[2],
            normal_loss=losses[3],
            rate=rate,
            norm=norm,
            seconds=time.perf_counter() - began,
            pictures=self.config.batch_size,
            skipped=skipped,
            is_dropped=not is_finite,
        )

    def _backward(self, batch: Batch, phase: Phase) -> list[Tensor]:
        """Forward and backward; (loss, depth, gradient and normal loss), zeros where the batch is empty."""
        self.network.train()
        if self.config.freeze == "encoder":
            self.network.get_submodule("encoder").eval()  # the rest learns from what it will be given in use
        nothing = torch.zeros((), device=self.device)
        if len(batch) == 0:
            return [nothing.clone() for _ in range(4)]
        pixels = batch.rgb.to(self.device).permute(0, 3, 1, 2).float().div_(255)  # channels-last in memory
        target = batch.depth.to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16"):
            predicted = self.network(pixels)
        depth = self.loss(predicted, target)
        gradient, normal = nothing, nothing.clone()
        if phase.gradient_weight:
            gradient = log_gradient_loss(predicted, target)
        if phase.normal_weight:
            _, height, width = target.shape
            normal = surface_normal_loss(predicted, target, focal_px=self.lens.at((height, width)))
        total = depth + phase.gradient_weight * gradient + phase.normal_weight * normal
        total.backward()  # type: ignore[no-untyped-call]
        return [total.detach(), depth.detach(), gradient.detach(), normal.detach()]

    def _share(self, losses: list[Tensor], batch: Batch) -> tuple[float, list[float], tuple[str, ...]]:
        """Average what the processes found of their own pictures, clip; the norm, the mean losses, what is left out.

        Batch-norm statistics too, at every step: the average of the weights holds all of them, and a run that is saved
        at another step goes on from no others.
        """
        for parameter in self.trained:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in self.trained if parameter.grad is not None]
        counts = torch.tensor([len(batch.skipped), float(self.is_asked_to_stop)], device=self.device)
        statistics = [buffer for buffer in self.network.buffers() if buffer.is_floating_point()]
        self.ranks.average([*gradients, *statistics, *losses, counts])
        left_out = round(counts[0].item() * self.ranks.world)
        self.skipped += left_out
        self.is_stopping = counts[1].item() > 0  # one process may have been asked, all end
        norm = nn.utils.clip_grad_norm_(self.trained, self.config.clip or math.inf)
        skipped = self.ranks.gather(batch.skipped) if left_out else ()
        return norm.item(), [loss.item() for loss in losses], skipped

    def _undo(self, statistics: list[Tensor]) -> None:
        """Forget a step that was not finite: batch-norm statistics as before, weights untouched."""
        for buffer, before in zip(self.network.buffers(), statistics, strict=True):
            buffer.copy_(before)
        self.dropped += 1
        self._dropped_in_a_row += 1
        if self._dropped_in_a_row >= _MOST_DROPPED_IN_A_ROW:
            raise StoppedError(
                f"the loss has not been finite for {_MOST_DROPPED_IN_A_ROW} steps up to step {self.step}",
                hint="Go on from the last save with a lower --learning-rate, or with --precision fp32.",
            )


def trained_parameters(network: nn.Module, freeze: str) -> list[nn.Parameter]:
    """The parameters that a run changes; the others are told to need no gradient."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not (freeze == "encoder" and name.startswith("encoder.")))
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def make_optimizer(parameters: list[nn.Parameter], config: TrainingConfig) -> torch.optim.Optimizer:
    """Adam, with decoupled decay of matrices and kernels where the config asks for it; biases and norms never decay."""
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.schedule.peak, betas=config.betas, fused=True)


def _mix(seed: int, step: int, rank: int) -> int:
    """One seed out of three numbers, different wherever any of them differs; torch takes 63 bits."""
    return ((seed * 1_000_003 + step) * 1_009 + rank) % 2**63
