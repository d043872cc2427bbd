"""Every tensor of a depth network on EfficientNet-Lite, its shape and its name in files; and the cost of one picture.

One walk in the order of the forward pass yields one row per tensor, as in the other families. No torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from glpn_cli.models.config_base import Cost, WeightRow

if TYPE_CHECKING:
    from glpn_cli.models.lite_depth.config import BlockShape, LiteDepthConfig


def weight_rows(config: LiteDepthConfig) -> Iterator[WeightRow]:
    """The whole network's tensors: encoder, decoder, head."""
    blocks = list(config.blocks())
    yield from _conv_norm("encoder.stem", (blocks[0].in_channels, config.num_channels, 3, 3))
    for index, shape in enumerate(blocks):
        yield from _block(f"encoder.blocks.{index}", shape)
    yield from _decoder(config)
    yield from _head(config)


def _conv_norm(name: str, weight: tuple[int, int, int, int]) -> Iterator[WeightRow]:
    """A convolution without a bias, and its batch norm."""
    yield _same(f"{name}.conv.weight", weight)
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield _same(f"{name}.norm.{part}", weight[:1])
    counter = f"{name}.norm.num_batches_tracked"
    yield WeightRow(counter, (), counter, is_counter=True)


def _block(name: str, shape: BlockShape) -> Iterator[WeightRow]:
    width = shape.width
    if shape.expansion > 1:
        yield from _conv_norm(f"{name}.expand", (width, shape.in_channels, 1, 1))
    yield from _conv_norm(f"{name}.filter", (width, 1, shape.kernel, shape.kernel))
    yield from _conv_norm(f"{name}.project", (shape.out_channels, width, 1, 1))


def _decoder(config: LiteDepthConfig) -> Iterator[WeightRow]:
    """The coarsest grid, then the finer ones down to stride 4. Files name its layers without `decoder`."""
    width, (_, *finer, coarsest) = config.decoder_hidden_size, config.level_channels
    square = (width, width, 3, 3)
    yield from _pair("decoder.project", (width, coarsest, 1, 1), "start")
    yield from _pair("decoder.context.0", (width, coarsest), "context.0")
    yield from _pair("decoder.context.2", (width, width), "context.2")
    yield from _pair("decoder.mix", square, "coarse_mix")
    for index, channels in enumerate(reversed(finer)):
        yield from _pair(f"decoder.fusions.{index}.lateral", (width, channels, 1, 1), f"fuse.{index}.lateral")
        yield from _pair(f"decoder.fusions.{index}.mix", square, f"fuse.{index}.mix")


def _head(config: LiteDepthConfig) -> Iterator[WeightRow]:
    hidden = config.head_hidden_size
    yield from _pair("head.narrow", (hidden, config.decoder_hidden_size, 1, 1), "narrow")
    yield from _pair("head.lateral", (hidden, config.level_channels[0], 1, 1), "edge")
    yield from _pair("head.mix", (hidden, hidden, 3, 3), "edge_mix")
    yield from _pair("head.output", (1, hidden, 3, 3), "out")


def _same(name: str, shape: tuple[int, ...]) -> WeightRow:
    """A tensor that files name as we do."""
    return WeightRow(name, shape, name)


def _pair(name: str, weight: tuple[int, ...], in_files: str) -> Iterator[WeightRow]:
    """A weight and its bias."""
    for part, shape in (("weight", weight), ("bias", weight[:1])):
        yield WeightRow(f"{name}.{part}", shape, f"{in_files}.{part}")


def cost(config: LiteDepthConfig, size: tuple[int, int]) -> Cost:
    """The cost of one picture at (h, w), both multiples of 32; see `ModelConfig.cost`."""
    blocks = list(config.blocks())
    stem = blocks[0].in_channels
    finest, *finer, coarsest = config.level_channels
    pixels = [math.prod(size) // 4 ** (level + 1) for level in range(len(config.level_channels))]
    width, hidden = config.decoder_hidden_size, config.head_hidden_size
    macs = pixels[0] * stem * config.num_channels * 9
    peak = pixels[0] * stem
    for block in blocks:
        after = pixels[block.level]
        before = after * block.stride**2
        if block.expansion > 1:
            macs += before * block.in_channels * block.width
        macs += after * block.width * (block.kernel**2 + block.out_channels)
        peak = max(peak, before * (block.in_channels + block.width) + after * block.width)
    square = 9 * width**2
    macs += pixels[-1] * (coarsest * width + square) + coarsest * width + width**2
    macs += sum(count * (channels * width + square) for count, channels in zip(pixels[1:-1], finer, strict=True))
    macs += pixels[1] * width * hidden + pixels[0] * hidden * (finest + 9 * hidden + 9)
    return Cost(macs, config.weight_bytes, 4 * max(peak, pixels[0] * (finest + 3 * hidden)))
