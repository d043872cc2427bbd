"""Every tensor of a DPT: its name here, its shape, and its name in transformers' files; and the cost of one picture.

One walk over the network in the order of its forward pass yields one row per tensor. Shapes, names and counts of
parameters are all read from these rows, so they cannot disagree. No torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from glpn_cli.models.config_base import Cost, WeightRow
from glpn_cli.models.dense.weights import (
    Size,
    attention_rows,
    batch_norm_rows,
    blocks_macs,
    convolved,
    fusion_cost,
    fusion_rows,
    head_cost,
    head_rows,
    idle,
    layer_rows,
    level_cost,
    reassemble_rows,
)
from glpn_cli.models.dpt.backbone_config import BiTConfig, bottleneck_width

if TYPE_CHECKING:
    from glpn_cli.models.dpt.config import DPTConfig

DEPTH_WIDTH = 32
"""Channels of the depth head's last hidden layer; no config says them."""


def weight_rows(config: DPTConfig) -> Iterator[WeightRow]:
    """The whole network's tensors: encoder, reassembly, fusion, heads."""
    yield from encoder_rows(config)
    yield from _reassemble(config)
    yield from fusion_rows(
        config.neck_hidden_sizes,
        config.fusion_hidden_size,
        bias=config.residual_bias,
        is_normed=bool(config.use_batch_norm_in_fusion_residual),
    )
    yield from _heads(config)


def pooler_rows(config: DPTConfig) -> Iterator[WeightRow]:
    """What the bare model has besides its encoder; networks that answer something have none."""
    assert config.pooler_output_size is not None
    yield from layer_rows("pooler.projection", (config.pooler_output_size, config.hidden_size), "dpt.pooler.dense")


def encoder_rows(config: DPTConfig) -> Iterator[WeightRow]:
    """The vision transformer's tensors. The last norm is idle but in the bare encoder."""
    width, (rows, columns) = config.hidden_size, config.grid
    theirs = "dpt.embeddings"
    yield WeightRow("encoder.readout_token", (1, 1, width), f"{theirs}.cls_token")
    yield WeightRow("encoder.positions", (1, 1 + rows * columns, width), f"{theirs}.position_embeddings")
    ours = "encoder.embedding.projection"
    if config.backbone is None:
        patch = (width, config.num_channels, *config.patch_sides)
        yield from layer_rows(ours, patch, f"{theirs}.patch_embeddings.projection")
    else:
        yield from _backbone(config.backbone, ours="encoder.embedding.backbone", theirs=f"{theirs}.backbone.bit")
        yield from layer_rows(ours, (width, config.backbone.output_widths[-1], 1, 1), f"{theirs}.projection")
    for block in range(config.num_hidden_layers):
        yield from _block(config, ours=f"encoder.blocks.{block}", theirs=f"dpt.encoder.layer.{block}")
    yield from idle(layer_rows("encoder.norm", (width,), "dpt.layernorm"))


def _block(config: DPTConfig, *, ours: str, theirs: str) -> Iterator[WeightRow]:
    width, hidden = config.hidden_size, config.intermediate_size
    yield from layer_rows(f"{ours}.norm1", (width,), f"{theirs}.layernorm_before")
    yield from attention_rows(width, ours=f"{ours}.attention", theirs=f"{theirs}.attention", bias=config.qkv_bias)
    yield from layer_rows(f"{ours}.norm2", (width,), f"{theirs}.layernorm_after")
    yield from layer_rows(f"{ours}.mlp.expand", (hidden, width), f"{theirs}.intermediate.dense")
    yield from layer_rows(f"{ours}.mlp.contract", (width, hidden), f"{theirs}.output.dense")


def _backbone(config: BiTConfig, *, ours: str, theirs: str) -> Iterator[WeightRow]:
    """Its convolutions have no biases; stages behind the last that is read are idle."""
    is_preactivated = config.layer_type == "preactivation"
    stem = (config.embedding_size, config.num_channels, 7, 7)
    yield from layer_rows(f"{ours}.stem.conv", stem, f"{theirs}.embedder.convolution", bias=False)
    if not is_preactivated:
        yield from layer_rows(f"{ours}.stem.norm", stem[:1], f"{theirs}.embedder.norm")
    widths = [config.embedding_size, *config.widths]
    for stage, depth in enumerate(config.depths):
        for block in range(depth):
            rows = _backbone_block(
                widths[stage + 1 if block else stage],
                widths[stage + 1],
                is_first=block == 0,
                is_preactivated=is_preactivated,
                ours=f"{ours}.stages.{stage}.{block}",
                theirs=f"{theirs}.encoder.stages.{stage}.layers.{block}",
            )
            yield from rows if stage < config.outputs[-1] else idle(rows)
    if is_preactivated:
        yield from idle(layer_rows(f"{ours}.norm", (config.hidden_sizes[-1],), f"{theirs}.norm"))


def _backbone_block(
    in_channels: int, width: int, *, is_first: bool, is_preactivated: bool, ours: str, theirs: str
) -> Iterator[WeightRow]:
    inner = bottleneck_width(width)
    if is_first:
        yield from layer_rows(
            f"{ours}.shortcut.conv", (width, in_channels, 1, 1), f"{theirs}.downsample.conv", bias=False
        )
        if not is_preactivated:
            yield from layer_rows(f"{ours}.shortcut.norm", (width,), f"{theirs}.downsample.norm")
    ways = [(inner, in_channels, 1), (inner, inner, 3), (width, inner, 1)]
    for number, (out, into, kernel) in enumerate(ways, start=1):
        conv, norm = f"conv{number}", f"norm{number}"
        yield from layer_rows(f"{ours}.{conv}", (out, into, kernel, kernel), f"{theirs}.{conv}", bias=False)
        yield from layer_rows(f"{ours}.{norm}", (into if is_preactivated else out,), f"{theirs}.{norm}")


def _reassemble(config: DPTConfig) -> Iterator[WeightRow]:
    width = config.hidden_size
    levels = [level for level in range(len(config.neck_hidden_sizes)) if level not in config.neck_ignore_stages]
    for place, level in enumerate(levels):
        if config.readout_type == "project":
            theirs = f"neck.reassemble_stage.readout_projects.{level}.0"
            yield from layer_rows(f"reassemble.{place}.readout.projection", (width, 2 * width), theirs)
        yield from reassemble_rows(
            width,
            place=place,
            level=level,
            level_width=config.neck_hidden_sizes[level],
            factor=config.reassemble_factors[level],
        )


def _heads(config: DPTConfig) -> Iterator[WeightRow]:
    """The auxiliary head is idle: only its documented class asks it."""
    width = config.fusion_hidden_size
    if config.predicts_labels:
        yield from _label_head(config, "head")
        if config.use_auxiliary_head:
            yield from idle(_label_head(config, "auxiliary_head"))
        return
    if config.add_projection:
        yield from layer_rows("head.projection", (width, width, 3, 3), "head.projection")
    yield from head_rows(width, DEPTH_WIDTH, ("head.0", "head.2", "head.4"))


def _label_head(config: DPTConfig, name: str) -> Iterator[WeightRow]:
    width = config.fusion_hidden_size
    assert config.num_labels is not None
    yield from layer_rows(f"{name}.conv", (width, width, 3, 3), f"{name}.head.0", bias=False)
    yield from batch_norm_rows(f"{name}.norm", width, f"{name}.head.1")
    yield from layer_rows(f"{name}.output", (config.num_labels, width, 1, 1), f"{name}.head.4")


def cost(config: DPTConfig, size: Size) -> Cost:
    """The cost of one picture at (h, w), without the standardisation of a hybrid's weights; see `ModelConfig.cost`."""
    grid = (size[0] // config.patch_sides[0], size[1] // config.patch_sides[1])
    macs, peak = _embedding_cost(config, size, grid)
    blocks = blocks_macs(
        config.num_hidden_layers,
        tokens=math.prod(grid) + 1,
        width=config.hidden_size,
        mlp_weights=2 * config.hidden_size * config.intermediate_size,
    )
    levels, grids = _levels_cost(config, size, grid)
    decoder, decoder_peak = _decoder_cost(config, grids)
    tokens = (math.prod(grid) + 1) * (2 * config.hidden_size + max(config.intermediate_size, 3 * config.hidden_size))
    return Cost(macs + blocks + levels + decoder, config.weight_bytes, 4 * max(peak, tokens, decoder_peak))


def _embedding_cost(config: DPTConfig, size: Size, grid: Size) -> tuple[int, int]:
    """(MACs, peak of activations) of what makes tokens of pixels."""
    patches, width = math.prod(grid), config.hidden_size
    if config.backbone is None:
        macs = patches * width * config.num_channels * math.prod(config.patch_sides)
        return macs, config.num_channels * math.prod(size) + patches * width
    macs, peak, _ = _backbone_cost(config.backbone, size)
    return macs + patches * width * config.backbone.output_widths[-1], peak


def _backbone_cost(config: BiTConfig, size: Size) -> tuple[int, int, list[Size]]:
    """(MACs, peak of activations, size of each output) of the convolutional backbone."""
    pads, embedding = config.global_padding, config.embedding_size
    size = convolved(size, kernel=7, stride=2, padding=pads)
    macs = math.prod(size) * embedding * config.num_channels * 49
    peak = 2 * math.prod(size) * embedding
    if pads != "SAME":
        size = (size[0] + 2, size[1] + 2)
    size = convolved(size, kernel=3, stride=2, padding="SAME" if config.embedding_dynamic_padding else 0)
    sizes, in_channels = [size], embedding
    for depth, width, (stride, dilation) in zip(config.depths, config.widths, config.strides, strict=True):
        inner = bottleneck_width(width)
        for block in range(depth):
            step = 1 if block else stride
            spread = dilation if block else (1 if dilation in (1, 2) else 2)
            if config.layer_type == "preactivation":
                spread = 1
            outer = convolved(size, kernel=1, stride=1, padding=pads)
            inside = convolved(outer, kernel=3, stride=step, padding=pads, dilation=spread)
            macs += math.prod(outer) * in_channels * inner
            macs += math.prod(inside) * (9 * inner**2 + inner * width)
            if block == 0:
                macs += math.prod(convolved(size, kernel=1, stride=step, padding=pads)) * in_channels * width
            peak = max(peak, math.prod(outer) * (in_channels + 2 * inner) + 2 * math.prod(inside) * width)
            size, in_channels = inside, width
        sizes.append(size)
    return macs, peak, [sizes[place] for place in config.outputs]


def _levels_cost(config: DPTConfig, size: Size, grid: Size) -> tuple[int, list[Size]]:
    """(MACs of reassembly, size of each level)."""
    grids: list[Size] = []
    if config.backbone is not None:
        grids += _backbone_cost(config.backbone, size)[2][:2]
    macs, width = 0, config.hidden_size
    for level, (out, factor) in enumerate(zip(config.neck_hidden_sizes, config.reassemble_factors, strict=True)):
        if level in config.neck_ignore_stages:
            continue
        if config.readout_type == "project":
            macs += (math.prod(grid) + 1) * width**2  # the readout's half once a picture
        of_level, resampled = level_cost(grid, width, level_width=out, factor=factor)
        macs += of_level
        grids.append(resampled)
    return macs, grids


def _decoder_cost(config: DPTConfig, grids: list[Size]) -> tuple[int, int]:
    """(MACs, peak of activations) of fusion and head."""
    width = config.fusion_hidden_size
    macs, outputs = fusion_cost(grids, config.neck_hidden_sizes, width)
    fused = 3 * math.prod(outputs[-1]) * width
    grid = outputs[config.head_in_index]
    pixels = math.prod(grid)
    if config.predicts_labels:
        assert config.num_labels is not None
        return macs + pixels * width * (9 * width + config.num_labels), max(fused, 5 * pixels * config.num_labels)
    if config.add_projection:
        macs += 9 * pixels * width**2
    head, peak = head_cost(grid, (2 * grid[0], 2 * grid[1]), width, DEPTH_WIDTH)
    return macs + head, max(fused, peak)
