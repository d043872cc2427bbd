"""The running average of a network's weights: what a run's last steps agree on, without the jitter of any one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class RunningAverage:
    """average <- decay * average + (1 - decay) * weights, batch-norm statistics included.

    Early on the decay is lower, (1 + n) / (10 + n) after n updates, so that the first weights do not linger.
    """

    def __init__(self, network: nn.Module, *, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.values = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take the network's present weights in."""
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
        """Go on from a saved average."""
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
