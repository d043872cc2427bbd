"""Round weights to bf16 so that each layer's mean output stays what it was in fp32.

A bf16 number has eight bits. Rounding every weight to the nearest one shifts a layer's output by up to a percent of
its size, the same everywhere in the picture, because a layer's input is mostly constant from place to place. These
shifts, not the noise of rounding activations, are most of the error of a depth in bf16. Rounding a few weights the
other way cancels them. (Keeping a layer's mean through quantisation is from Nagel et al. 2019, arXiv 1906.04721,
section 4.2, who move biases instead.)

The same weights give the same rounded weights on every machine. The mean inputs come from a forward pass in fp64 and
are rounded to eight bits, so that every sum below is exact and its order does not matter. In fp32, that order depends
on the threads and the processor and decided a few roundings, which moved depths by up to 34 mm.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_LARGEST = 100_000
"""Largest layer, in weights, that is worth it: in wide layers the errors of a long row average out."""
_FLIPS = 4
"""Most weights of a row that are rounded the other way; they leave about a hundredth of the shift."""

_ENOUGH = 64
"""Pixels a side that show the mean of each layer's input."""

_Layer = nn.Linear | nn.Conv2d


@torch.no_grad()
def round_to_bf16(network: nn.Module, *, channels: int, stride: int, kept: Collection[nn.Module]) -> None:
    """Round the weights of all small layers in place, but for those that are `kept`.

    network: as for `mean_inputs`, taking pixels whose sides are multiples of `stride`
    """
    side = math.ceil(_ENOUGH / stride) * stride
    for layer, mean in mean_inputs(network, channels=channels, side=side).items():
        if layer not in kept:
            layer.weight.copy_(rounded_to_bf16(layer, mean))


def mean_inputs(network: nn.Module, *, channels: int = 3, side: int = 64) -> dict[_Layer, Tensor]:
    """The mean input of each small linear layer and convolution of `network`, fp64 (C,), for a picture of soft colours.

    network: takes pixels (1, channels, side, side). All its parameters are in linear layers, convolutions without
             dilation, and layer norms; a batch norm is folded.
    """
    random = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, channels, side // 16, side // 16, generator=random, dtype=torch.float64)
    pixels = F.interpolate(coarse, size=(side, side), mode="bicubic").clamp(0, 1)
    device = next(network.parameters()).device
    means: dict[_Layer, Tensor] = {}
    with torch.no_grad(), _in_fp64(network, means):
        network(pixels.to(device))
    return means


@contextmanager
def _in_fp64(network: nn.Module, means: dict[_Layer, Tensor]) -> Iterator[None]:
    """Let every layer compute in fp64, one layer's weights at a time, and note the means of its input."""
    layers = [layer for layer in network.modules() if isinstance(layer, _Layer | nn.LayerNorm)]
    for layer in layers:
        layer.forward = partial(_forward_in_fp64, layer, means)  # type: ignore[method-assign]  # taken back below
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _forward_in_fp64(layer: _Layer | nn.LayerNorm, means: dict[_Layer, Tensor], inputs: Tensor) -> Tensor:
    inputs, weight = inputs.double(), layer.weight.double()
    bias = None if layer.bias is None else layer.bias.double()
    if isinstance(layer, nn.LayerNorm):
        return F.layer_norm(inputs, layer.normalized_shape, weight, bias, layer.eps)
    if weight.numel() <= _LARGEST:
        channel = 1 if isinstance(layer, nn.Conv2d) else -1
        means[layer] = inputs.transpose(channel, -1).flatten(0, -2).mean(dim=0)
    if isinstance(layer, nn.Linear):
        return F.linear(inputs, weight, bias)
    # torch computes a depth-wise convolution in fp64 channel by channel: 2.5 times the time of this whole pass.
    assert isinstance(layer.padding, tuple)
    groups, (batch, _, height, width) = layer.groups, inputs.shape
    (down, across), (above, beside), (step, stride) = layer.kernel_size, layer.padding, layer.stride
    patches = F.unfold(inputs, (down, across), padding=(above, beside), stride=(step, stride))  # (B, C_in * taps, N)
    by_group = patches.view(batch, groups, -1, patches.shape[2])
    products = weight.view(groups, len(weight) // groups, -1) @ by_group
    rows, columns = (height + 2 * above - down) // step + 1, (width + 2 * beside - across) // stride + 1
    outputs: Tensor = products.reshape(batch, -1, rows, columns)
    return outputs if bias is None else outputs + bias[:, None, None]


@torch.no_grad()
def rounded_to_bf16(layer: _Layer, mean: Tensor) -> Tensor:
    """The layer's weight, each number one of its two bf16 neighbours, such that its mean output stays; fp32.

    mean: (C_in,), the layer's mean input. The layer's bias is expected to go to the nearest bf16 number.
    """
    rows = layer.weight.flatten(1)  # (C_out, C_in / groups * kernel)
    groups = layer.groups if isinstance(layer, nn.Conv2d) else 1
    taps = rows.shape[1] * groups // len(mean)
    exact = mean.bfloat16().double()  # times 24 bits of a weight, summed: all within the 53 bits of fp64
    inputs = exact.view(groups, -1).repeat_interleave(taps, dim=1)
    inputs = inputs.repeat_interleave(len(rows) // groups, dim=0)
    nearest, other = neighbours(rows)
    change = (other.double() - nearest) * inputs  # of the row's output, where one weight goes the other way
    shift = ((nearest.double() - rows) * inputs).sum(dim=1)
    if layer.bias is not None:
        shift = shift + (layer.bias.bfloat16().double() - layer.bias)
    rounded = nearest.clone()
    for _ in range(_FLIPS):
        left = (shift[:, None] + change).abs()
        best = left.argmin(dim=1, keepdim=True)
        helps = left.gather(1, best).squeeze(1) < shift.abs()
        row, column = helps.nonzero().squeeze(1), best[helps].squeeze(1)
        rounded[row, column] = other[row, column]
        shift[row] += change[row, column]
        change[row, column] = 0
    return rounded.view_as(layer.weight)


def neighbours(values: Tensor) -> tuple[Tensor, Tensor]:
    """The bf16 number nearest to each value, and the one on its other side, both fp32; exact values have one only."""
    nearest = values.bfloat16()
    exact = nearest.float()
    outwards = torch.where(values.abs() > exact.abs(), 1, -1)  # bf16 numbers of one sign are ordered as integers
    other = (nearest.view(torch.int16) + outwards.to(torch.int16)).view(torch.bfloat16).float()
    return exact, torch.where((exact == values) | (exact == 0), exact, other)
