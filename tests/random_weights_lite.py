"""Depth networks on EfficientNet-Lite whose weights can tell a right network from a wrong one."""

from __future__ import annotations

from typing import Any

import torch
from random_weights import picture
from torch import nn

SMALL: dict[str, Any] = {
    "model_type": "lite_depth",
    "width_coefficient": 0.25,
    "depth_coefficient": 1.0,
    "decoder_hidden_size": 16,
    "head_hidden_size": 8,
}
"""One that answers in milliseconds."""


@torch.no_grad()
def spread_scores(network: nn.Module, *, low_m: float = 1.0, high_m: float = 4.0) -> None:
    """Scale the last convolution until depths of a picture go from `low_m` to `high_m`."""
    output = network.head.output
    low, high = network.scores(picture((64, 96))).flatten().quantile(torch.tensor([0.01, 0.99]))
    bounds = torch.tensor([low_m, high_m]).log()
    gain = (bounds[1] - bounds[0]) / (high - low)
    output.weight.mul_(gain)
    output.bias.copy_((output.bias - low) * gain + bounds[0])
