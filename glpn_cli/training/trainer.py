"""The training loop: one optimiser step after the other, from pictures with depth.

A step depends on (seed, step) and the weights alone: a run that was stopped and resumed ends with the same weights as
one that was not (on CPUs, with equal threads).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from glpn_cli.data.samples import SampleSource
from glpn_cli.errors import StoppedError, UsageError
from glpn_cli.training.config import Phase, TrainingConfig
from glpn_cli.training.feed import Batch, BatchRequest, Feed
from glpn_cli.training.folder import TrainingState
from glpn_cli.training.initial_model import InitialModel
from glpn_cli.training.losses import log_gradient_loss, log_l1_loss, surface_normal_loss
from glpn_cli.training.ranks import Ranks

_MOST_DROPPED_IN_A_ROW = 50


class Losses(NamedTuple):
    """The loss of a step, and its parts before they are weighted; means over all processes."""

    loss: float
    depth_loss: float
    gradient_loss: float
    normal_loss: float


@dataclass(frozen=True)
class StepReport:
    """One step.

    step:       the number of steps taken, this one included.
    skipped:    messages about the unusable pictures of all processes.
    is_dropped: whether the step was undone, because it was not finite.
    """

    step: int
    losses: Losses
    rate: float
    pictures: int
    skipped: tuple[str, ...] = ()
    is_dropped: bool = False


class Trainer:
    """A run that can be stepped, saved and resumed.

    initial:  its network is moved to `device` and trained in place.
    settings: are saved with the state, for comparison when the run is resumed.

    Raises UsageError where the processes cannot share a batch evenly.
    """

    def __init__(
        self,
        initial: InitialModel,
        config: TrainingConfig,
        source: SampleSource,
        *,
        ranks: Ranks | None = None,
        device: str = "cpu",
        workers: int = 0,
        settings: dict[str, Any] | None = None,
    ) -> None:
        self.ranks = ranks or Ranks()
        if config.batch_size % self.ranks.world:
            raise UsageError(f"--batch-size {config.batch_size} cannot be shared by {self.ranks.world} processes")
        self.config = config
        self.loss = log_l1_loss if config.loss == "log-l1" else initial.config.loss()
        self.limit_m = initial.limit_m
        self.camera = initial.camera
        self.device = torch.device(device)
        self.settings = settings or {}
        self.feed = Feed(source, workers=workers)
        self.network = initial.network.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.trained = _trained_parameters(self.network, config.freeze)
        self.optimizer = _make_optimizer(self.trained, config)
        self.average = None if config.average is None else RunningAverage(self.network, decay=config.average)
        self.step = self.position = self.skipped = self.dropped = 0
        self.is_asked_to_stop = self.is_stopping = False
        self._dropped_in_a_row = 0

    def run(self, until: int | None = None) -> Iterator[StepReport]:
        """Take the steps to `until`, or to the end of the run, and report each.

        Setting `is_asked_to_stop`, from a signal handler too, ends it after the current step or the next; several
        processes end together, after the same step, when one of them is asked. Raises StoppedError where the loss stays
        infinite or not a number.
        """
        until = self.config.steps if until is None else min(until, self.config.steps)
        requests = islice(self._requests(self.step, self.position), until - self.step)
        for batch in self.feed.batches(requests):
            yield self._take_step(batch)
            if self.is_stopping:
                return

    def state(self) -> TrainingState:
        """The state between two steps."""
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
        """Continue from a saved state."""
        self.network.load_state_dict(state.network)
        self.optimizer.load_state_dict(dict(state.optimizer))
        if self.average is not None and state.average is not None:
            self.average.load_state_dict(state.average)
        self.step, self.position = state.step, state.position
        self.skipped, self.dropped = state.skipped, state.dropped

    def _requests(self, step: int, position: int) -> Iterator[BatchRequest]:
        """The pictures of this process at every step from here on."""
        world, share = self.ranks.world, self.config.batch_size // self.ranks.world
        seed = self.config.seed
        while True:
            first, phase = position + self.ranks.rank, self.config.phase_at(step)
            size = phase.size_at(step, seed=seed)
            yield BatchRequest(
                tuple(range(first, first + share * world, world)),
                size,
                phase.augmentation,
                self.limit_m,
                self.camera.focal_at(size),
                seed,
            )
            step, position = step + 1, position + self.config.batch_size

    def _take_step(self, batch: Batch) -> StepReport:
        phase, rate = self.config.phase_at(self.step), self.config.schedule.rate(self.step, steps=self.config.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        torch.manual_seed(_mix(self.config.seed, self.step, self.ranks.rank))  # dropout and stochastic depth
        statistics = [buffer.clone() for buffer in self.network.buffers()]
        norm, losses, skipped = self._share(self._backward(batch, phase), batch)
        is_finite = math.isfinite(norm) and math.isfinite(losses.loss)
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
            losses=losses,
            rate=rate,
            pictures=self.config.batch_size,
            skipped=skipped,
            is_dropped=not is_finite,
        )

    def _backward(self, batch: Batch, phase: Phase) -> list[Tensor]:
        """Forward and backward; the tensors of `Losses`, zeros for an empty batch."""
        self.network.train()
        if self.config.freeze == "encoder":
            self.network.get_submodule("encoder").eval()  # the rest learns from its output in use
        nothing = torch.zeros((), device=self.device)
        if len(batch) == 0:
            return [nothing.clone() for _ in Losses._fields]
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
            normal = surface_normal_loss(predicted, target, focal_px=self.camera.focal_at((height, width)))
        total = depth + phase.gradient_weight * gradient + phase.normal_weight * normal
        total.backward()  # type: ignore[no-untyped-call]
        return [total.detach(), depth.detach(), gradient.detach(), normal.detach()]

    def _share(self, losses: list[Tensor], batch: Batch) -> tuple[float, Losses, tuple[str, ...]]:
        """Average over the processes and clip; return the gradient's norm, the mean losses, and all skipped pictures.

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
        self.is_stopping = counts[1].item() > 0  # where one process was asked, all end
        norm = nn.utils.clip_grad_norm_(self.trained, self.config.clip or math.inf)
        skipped = self.ranks.gather(batch.skipped) if left_out else ()
        return norm.item(), Losses(*(loss.item() for loss in losses)), skipped

    def _undo(self, statistics: list[Tensor]) -> None:
        """Restore the batch-norm statistics of before a step that was not finite; its weights were not changed."""
        for buffer, before in zip(self.network.buffers(), statistics, strict=True):
            buffer.copy_(before)
        self.dropped += 1
        self._dropped_in_a_row += 1
        if self._dropped_in_a_row >= _MOST_DROPPED_IN_A_ROW:
            raise StoppedError(
                f"the loss has not been finite for {_MOST_DROPPED_IN_A_ROW} steps up to step {self.step}",
                hint="Go on from the last save with a lower --learning-rate, or with --precision fp32.",
            )


class RunningAverage:
    """average <- decay * average + (1 - decay) * weights, batch-norm statistics included.

    Early on the decay is lower, (1 + n) / (10 + n) after n updates, so that the first weights soon count for little.
    """

    def __init__(self, network: nn.Module, *, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.values = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Add the network's present weights."""
        self.updates += 1
        step = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
        own, new = [], []
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                own.append(self.values[name])
                new.append(value)
            else:
                self.values[name].copy_(value)
        torch._foreach_lerp_(own, new, step)

    def state_dict(self) -> dict[str, Tensor | int]:
        """For `load_state_dict`."""
        return {**self.values, "#updates": self.updates}

    def load_state_dict(self, state: Mapping[str, Tensor | int]) -> None:
        """Continue from a saved average."""
        self.updates = int(state["#updates"])
        for name, value in self.values.items():
            value.copy_(torch.as_tensor(state[name]))

    @contextmanager
    def lent_to(self, network: nn.Module) -> Iterator[None]:
        """Inside, `network` has the averaged weights; afterwards its own again."""
        own = {name: value.detach().clone() for name, value in network.state_dict().items()}
        network.load_state_dict(self.values)
        try:
            yield
        finally:
            network.load_state_dict(own)


def _trained_parameters(network: nn.Module, freeze: str) -> list[nn.Parameter]:
    """The parameters that a run changes; the others get no gradient."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not (freeze == "encoder" and name.startswith("encoder.")))
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def _make_optimizer(parameters: list[nn.Parameter], config: TrainingConfig) -> torch.optim.Optimizer:
    """Adam, with decoupled decay of matrices and kernels where the config asks for it; biases and norms never decay."""
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.schedule.peak, betas=config.betas, fused=True)


def _mix(seed: int, step: int, rank: int) -> int:
    """One seed out of three numbers, different wherever any of them differs; torch takes 63 bits."""
    return ((seed * 1_000_003 + step) * 1_009 + rank) % 2**63
