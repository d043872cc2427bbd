"""Weights in bf16 whose layers answer, on average, what they answered in fp32.

A bf16 number has eight bits. Rounding every weight to the nearest one shifts a layer's answer by up to a percent of its
size, the same everywhere in the picture, because what a layer reads is mostly constant from place to place; and these
shifts, not the noise of rounding what flows between the layers, are most of what a depth in bf16 is off by. Which of
its two neighbours a weight goes to is free, though: a few that go the other way cancel the shift. (The idea of keeping
a layer's mean through quantisation is Nagel et al. 2019, arXiv 1906.04721, section 4.2, who move biases instead.)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_LARGEST = 100_000
"""Weights of a layer that is worth it: the wide layers' rows are long enough for their errors to average out."""
_TURNED = 4
"""Most weights of a row that go the other way; where one can cancel the shift, it leaves a hundredth of it."""

Layer = nn.Linear | nn.Conv2d


def mean_inputs(network: nn.Module, *, channels: int = 3, side: int = 64) -> dict[nn.Module, Tensor]:
    """What each small linear layer and convolution of `network` reads on average, (C,), in a picture of soft colours.

    network: answers pixels (1, channels, side, side).
    """
    random = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, channels, side // 16, side // 16, generator=random)
    pixels = F.interpolate(coarse, size=(side, side), mode="bicubic").clamp(0, 1)
    device = next(network.parameters()).device
    means: dict[nn.Module, Tensor] = {}
    with torch.no_grad(), _reading_means(network, means):
        network(pixels.to(device))
    return means


@contextmanager
def _reading_means(network: nn.Module, means: dict[nn.Module, Tensor]) -> Iterator[None]:
    def read(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        channel = 1 if isinstance(layer, nn.Conv2d) else -1
        means[layer] = inputs[0].transpose(channel, -1).flatten(0, -2).mean(dim=0)

    layers = [layer for layer in network.modules() if isinstance(layer, Layer) and layer.weight.numel() <= _LARGEST]
    hooks = [layer.register_forward_pre_hook(read) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def rounded_to_bf16(layer: Layer, mean: Tensor) -> Tensor:
    """The layer's weight, each number one of its two bf16 neighbours, such that its mean answer stays; fp32.

    mean: (C_in,), what the layer reads on average. The layer's bias is expected to go to the nearest bf16 number.
    """
    rows = layer.weight.flatten(1)  # (C_out, C_in / groups * kernel)
    groups = layer.groups if isinstance(layer, nn.Conv2d) else 1
    taps = rows.shape[1] * groups // len(mean)
    read = mean.view(groups, -1).repeat_interleave(taps, dim=1).repeat_interleave(len(rows) // groups, dim=0)
    nearest, other = neighbours(rows)
    gain = (other - nearest) * read  # what turning one weight adds to the row's answer
    shift = ((nearest - rows) * read).sum(dim=1)
    if layer.bias is not None:
        shift = shift + (layer.bias.bfloat16().float() - layer.bias)
    rounded = nearest.clone()
    for _ in range(_TURNED):
        left = (shift[:, None] + gain).abs()
        best = left.argmin(dim=1, keepdim=True)
        helps = left.gather(1, best).squeeze(1) < shift.abs()
        row, column = helps.nonzero().squeeze(1), best[helps].squeeze(1)
        rounded[row, column] = other[row, column]
        shift[row] += gain[row, column]
        gain[row, column] = 0
    return rounded.view_as(layer.weight)


def neighbours(values: Tensor) -> tuple[Tensor, Tensor]:
    """The bf16 number nearest to each value, and the one on its other side, both fp32; exact values have one only."""
    nearest = values.bfloat16()
    exact = nearest.float()
    outwards = torch.where(values.abs() > exact.abs(), 1, -1)  # bf16 numbers of one sign are ordered as integers
    other = (nearest.view(torch.int16) + outwards.to(torch.int16)).view(torch.bfloat16).float()
    return exact, torch.where((exact == values) | (exact == 0), exact, other)
