"""What one picture costs a DPT, counted without torch."""

from __future__ import annotations

import math

from glpn_cli.models.config_base import Cost
from glpn_cli.models.dense.cost import Size, blocks_macs, convolved, fusion_cost, head_cost, level_cost
from glpn_cli.models.dpt.backbone_config import BiTConfig, bottleneck_width
from glpn_cli.models.dpt.config import DEPTH_WIDTH, DPTConfig
from glpn_cli.models.dpt.weights import weight_rows


def cost(config: DPTConfig, size: Size) -> Cost:
    """Multiply-accumulates and memory of one forward pass at (h, w).

    Counted are convolutions, linear layers and the two products of attention; norms, activations, resampling and the
    standardisation of weights are not, as in the field's counters. Activations are the peak of what lives at one time
    in fp32, to the nearest layer.
    """
    grid = (size[0] // config.patch_sides[0], size[1] // config.patch_sides[1])
    macs, peak = _embedding(config, size, grid)
    blocks = blocks_macs(
        config.num_hidden_layers,
        tokens=math.prod(grid) + 1,
        width=config.hidden_size,
        mlp_weights=2 * config.hidden_size * config.intermediate_size,
    )
    levels, grids = _levels(config, size, grid)
    decoder, decoder_peak = _decoder(config, grids)
    weight_bytes = 4 * sum(math.prod(row.shape) for row in weight_rows(config) if not row.is_counter)
    tokens = (math.prod(grid) + 1) * (2 * config.hidden_size + max(config.intermediate_size, 3 * config.hidden_size))
    return Cost(macs + blocks + levels + decoder, weight_bytes, 4 * max(peak, tokens, decoder_peak))


def _embedding(config: DPTConfig, size: Size, grid: Size) -> tuple[int, int]:
    """(MACs, peak of activations) of what makes tokens of pixels."""
    patches, width = math.prod(grid), config.hidden_size
    if config.backbone is None:
        macs = patches * width * config.num_channels * math.prod(config.patch_sides)
        return macs, config.num_channels * math.prod(size) + patches * width
    macs, peak, _ = _backbone(config.backbone, size)
    return macs + patches * width * config.backbone.output_widths[-1], peak


def _backbone(config: BiTConfig, size: Size) -> tuple[int, int, list[Size]]:
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


def _levels(config: DPTConfig, size: Size, grid: Size) -> tuple[int, list[Size]]:
    """(MACs of reassembly, size of each level)."""
    grids: list[Size] = []
    if config.backbone is not None:
        grids += _backbone(config.backbone, size)[2][:2]
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


def _decoder(config: DPTConfig, grids: list[Size]) -> tuple[int, int]:
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
