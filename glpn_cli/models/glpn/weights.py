"""Every tensor of a GLPN: its name here, its shape, and its name in transformers' and the author's files.

One walk over the network in the order of its forward pass yields one row per tensor. Shapes, names and counts of
parameters are all read from these rows, so they cannot disagree. Also the cost of one picture. No torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from glpn_cli.models.config_base import Cost, WeightRow

if TYPE_CHECKING:
    from glpn_cli.models.glpn.config import GLPNConfig


def weight_rows(config: GLPNConfig) -> Iterator[WeightRow]:
    """The whole network's tensors: encoder, decoder, head."""
    for stage in range(config.num_encoder_blocks):
        yield from _encoder_stage(config, stage)
    yield from _decoder(config)
    yield from _head(config)


def _pair(name: str, weight: tuple[int, ...], transformers: str, author: str) -> Iterator[WeightRow]:
    """A weight and its bias."""
    for part, shape in (("weight", weight), ("bias", weight[:1])):
        yield WeightRow(f"{name}.{part}", shape, f"{transformers}.{part}", author=f"{author}.{part}")


def _encoder_stage(config: GLPNConfig, stage: int) -> Iterator[WeightRow]:
    width, kernel = config.hidden_sizes[stage], config.patch_sizes[stage]
    in_channels = config.num_channels if stage == 0 else config.hidden_sizes[stage - 1]
    ours, theirs, authors = f"encoder.stages.{stage}", "glpn.encoder", "encoder"
    embedding, patch = f"{theirs}.patch_embeddings.{stage}", f"{authors}.patch_embed{stage + 1}"
    yield from _pair(
        f"{ours}.patch_embedding.projection", (width, in_channels, kernel, kernel), f"{embedding}.proj", f"{patch}.proj"
    )
    yield from _pair(f"{ours}.patch_embedding.norm", (width,), f"{embedding}.layer_norm", f"{patch}.norm")
    for block in range(config.depths[stage]):
        yield from _block(
            config,
            stage,
            ours=f"{ours}.blocks.{block}",
            theirs=f"{theirs}.block.{stage}.{block}",
            authors=f"{authors}.block{stage + 1}.{block}",
        )
    yield from _pair(f"{ours}.norm", (width,), f"{theirs}.layer_norm.{stage}", f"{authors}.norm{stage + 1}")


def _block(config: GLPNConfig, stage: int, *, ours: str, theirs: str, authors: str) -> Iterator[WeightRow]:
    width, ratio = config.hidden_sizes[stage], config.sr_ratios[stage]
    hidden = width * config.mlp_ratios[stage]
    square = (width, width)
    yield from _pair(f"{ours}.norm1", (width,), f"{theirs}.layer_norm_1", f"{authors}.norm1")
    attention, theirs_self = f"{ours}.attention", f"{theirs}.attention.self"
    yield from _pair(f"{attention}.query", square, f"{theirs_self}.query", f"{authors}.attn.q")
    for index, name in enumerate(("key", "value")):  # the author stacks key over value
        for row in _pair(f"{attention}.{name}", square, f"{theirs_self}.{name}", f"{authors}.attn.kv"):
            yield WeightRow(row.name, row.shape, row.transformers, author=row.author, author_slice=(index, 2))
    if ratio > 1:
        yield from _pair(f"{attention}.reduction", (*square, ratio, ratio), f"{theirs_self}.sr", f"{authors}.attn.sr")
        yield from _pair(f"{attention}.reduction_norm", (width,), f"{theirs_self}.layer_norm", f"{authors}.attn.norm")
    yield from _pair(f"{attention}.output", square, f"{theirs}.attention.output.dense", f"{authors}.attn.proj")
    yield from _pair(f"{ours}.norm2", (width,), f"{theirs}.layer_norm_2", f"{authors}.norm2")
    yield from _pair(f"{ours}.ffn.expand", (hidden, width), f"{theirs}.mlp.dense1", f"{authors}.mlp.fc1")
    yield from _pair(
        f"{ours}.ffn.depthwise", (hidden, 1, 3, 3), f"{theirs}.mlp.dwconv.dwconv", f"{authors}.mlp.dwconv.dwconv"
    )
    yield from _pair(f"{ours}.ffn.contract", (width, hidden), f"{theirs}.mlp.dense2", f"{authors}.mlp.fc2")


def _decoder(config: GLPNConfig) -> Iterator[WeightRow]:
    """Steps run from the deepest stage up; the deepest has nothing to be fused with."""
    width = config.decoder_hidden_size
    for step, channels in enumerate(reversed(config.hidden_sizes)):
        if channels != width:
            authors = "decoder.bot_conv" if step == 0 else f"decoder.skip_conv{step}"
            yield from _pair(
                f"decoder.projections.{step}", (width, channels, 1, 1), f"decoder.stages.{step}.convolution", authors
            )
    for step in range(1, config.num_encoder_blocks):
        yield from _fusion(
            width,
            ours=f"decoder.fusions.{step - 1}",
            theirs=f"decoder.stages.{step}.fusion",
            authors=f"decoder.fusion{step}",
        )


def _fusion(width: int, *, ours: str, theirs: str, authors: str) -> Iterator[WeightRow]:
    half = width // 2
    for number, (channels, fan_in) in enumerate(((width, 2 * width), (half, width)), start=1):
        layer, authors_layer = f"{theirs}.convolutional_layer{number}", f"{authors}.conv{number}"
        yield from _pair(f"{ours}.conv{number}", (channels, fan_in, 3, 3), f"{layer}.0", f"{authors_layer}.0")
        yield from _pair(f"{ours}.norm{number}", (channels,), f"{layer}.1", f"{authors_layer}.1")
        for statistic in ("running_mean", "running_var", "num_batches_tracked"):
            is_counter = statistic == "num_batches_tracked"
            yield WeightRow(
                f"{ours}.norm{number}.{statistic}",
                () if is_counter else (channels,),
                f"{layer}.1.{statistic}",
                author=f"{authors_layer}.1.{statistic}",
                is_counter=is_counter,
            )
    yield from _pair(f"{ours}.attention", (2, half, 3, 3), f"{theirs}.convolutional_layer3", f"{authors}.conv3")


def _head(config: GLPNConfig) -> Iterator[WeightRow]:
    width = config.decoder_hidden_size
    yield from _pair("head.conv", (width, width, 3, 3), "head.head.0", "last_layer_depth.0")
    yield from _pair("head.output", (1, width, 3, 3), "head.head.2", "last_layer_depth.2")


def cost(config: GLPNConfig, size: tuple[int, int]) -> Cost:
    """The cost of one picture at (h, w), both multiples of the stride; see `ModelConfig.cost`."""
    height, width = size
    macs = 0
    peak = config.num_channels * height * width
    in_channels = config.num_channels
    sides: list[tuple[int, int]] = []
    for stage in range(config.num_encoder_blocks):
        channels, ratio = config.hidden_sizes[stage], config.sr_ratios[stage]
        kernel, stride = config.patch_sizes[stage], config.strides[stage]
        height, width = ((side + 2 * (kernel // 2) - kernel) // stride + 1 for side in (height, width))
        sides.append((height, width))
        tokens = height * width
        reduced = (height // ratio) * (width // ratio)
        hidden = channels * config.mlp_ratios[stage]
        macs += tokens * channels * in_channels * kernel**2
        attention = 2 * tokens * channels**2 + 2 * reduced * channels**2 + 2 * tokens * reduced * channels
        if ratio > 1:
            attention += reduced * channels**2 * ratio**2
        feed_forward = 2 * tokens * channels * hidden + tokens * hidden * 9
        macs += config.depths[stage] * (attention + feed_forward)
        peak = max(peak, tokens * (2 * channels + 2 * hidden))
        in_channels = channels
    macs_decoder, peak_decoder = _decoder_cost(config, sides)
    return Cost(macs + macs_decoder, config.weight_bytes, 4 * max(peak, peak_decoder))


def _decoder_cost(config: GLPNConfig, sides: list[tuple[int, int]]) -> tuple[int, int]:
    """(MACs, peak of activations) of decoder and head, for stages of these sizes (h, w)."""
    width, half = config.decoder_hidden_size, config.decoder_hidden_size // 2
    macs = 0
    for stage, side in enumerate(sides):
        pixels = math.prod(side)
        if config.hidden_sizes[stage] != width:
            macs += pixels * config.hidden_sizes[stage] * width
        if stage < len(sides) - 1:
            macs += 9 * pixels * (2 * width * width + width * half + half * 2)
    outputs = [(2 * h, 2 * w) for h, w in reversed(sides)]
    outputs[-1] = (2 * outputs[-1][0], 2 * outputs[-1][1])
    pixels = math.prod(outputs[config.head_in_index])
    return macs + 9 * pixels * (width * width + width), pixels * (2 * width + 1)
