"""What one picture costs a DPT, counted without torch."""

from __future__ import annotations

import math

from glpn_cli.models.config_base import Cost
from glpn_cli.models.dpt.backbone_config import BiTConfig, bottleneck_width
from glpn_cli.models.dpt.config import DEPTH_WIDTH, DPTConfig
from glpn_cli.models.dpt.weights import weight_rows

Size = tuple[int, int]


def cost(config: DPTConfig, size: Size) -> Cost:
    """Multiply-accumulates and memory of one forward pass at (h, w).

    Counted are convolutions, linear layers and the two products of attention; norms, activations, resampling and the
    standardisation of weights are not, as in the field's counters. Activations are the peak of what lives at one time
    in fp32, to the nearest layer.
    """
    grid = (size[0] // config.patch_sides[0], size[1] // config.patch_sides[1])
    macs, peak = _embedding(config, size, grid)
    blocks = _blocks(config, math.prod(grid) + 1)
    levels, grids = _levels(config, size, grid)
    decoder, decoder_peak = _decoder(config, grids)
    weight_bytes = 4 * sum(math.prod(row.shape) for row in weight_rows(config) if not row.is_counter)
    tokens = (math.prod(grid) + 1) * (2 * config.hidden_size + max(config.intermediate_size, 3 * config.hidden_size))
    return Cost(macs + blocks + levels + decoder, weight_bytes, 4 * max(peak, tokens, decoder_peak))


def _blocks(config: DPTConfig, tokens: int) -> int:
    width = config.hidden_size
    attention = 4 * tokens * width**2 + 2 * tokens**2 * width
    return config.num_hidden_layers * (attention + 2 * tokens * width * config.intermediate_size)


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
    size = _convolved(size, kernel=7, stride=2, padding=pads)
    macs = math.prod(size) * embedding * config.num_channels * 49
    peak = 2 * math.prod(size) * embedding
    if pads != "SAME":
        size = (size[0] + 2, size[1] + 2)
    size = _convolved(size, kernel=3, stride=2, padding="SAME" if config.embedding_dynamic_padding else 0)
    sizes, in_channels = [size], embedding
    for depth, width, (stride, dilation) in zip(config.depths, config.widths, config.strides, strict=True):
        inner = bottleneck_width(width)
        for block in range(depth):
            step = 1 if block else stride
            spread = dilation if block else (1 if dilation in (1, 2) else 2)
            if config.layer_type == "preactivation":
                spread = 1
            outer = _convolved(size, kernel=1, stride=1, padding=pads)
            inside = _convolved(outer, kernel=3, stride=step, padding=pads, dilation=spread)
            macs += math.prod(outer) * in_channels * inner
            macs += math.prod(inside) * (9 * inner**2 + inner * width)
            if block == 0:
                macs += math.prod(_convolved(size, kernel=1, stride=step, padding=pads)) * in_channels * width
            peak = max(peak, math.prod(outer) * (in_channels + 2 * inner) + 2 * math.prod(inside) * width)
            size, in_channels = inside, width
        sizes.append(size)
    return macs, peak, [sizes[place] for place in config.outputs]


def _levels(config: DPTConfig, size: Size, grid: Size) -> tuple[int, list[Size]]:
    """(MACs of reassembly, size of each level)."""
    grids: list[Size] = []
    if config.backbone is not None:
        grids += _backbone(config.backbone, size)[2][:2]
    macs, patches, width = 0, math.prod(grid), config.hidden_size
    for level, (out, factor) in enumerate(zip(config.neck_hidden_sizes, config.reassemble_factors, strict=True)):
        if level in config.neck_ignore_stages:
            continue
        if config.readout_type == "project":
            macs += (patches + 1) * width**2  # the readout's half once a picture
        macs += patches * width * out
        resampled = grid
        if factor > 1:
            resampled = (grid[0] * int(factor), grid[1] * int(factor))
            macs += math.prod(resampled) * out**2
        elif factor < 1:
            resampled = _convolved(grid, kernel=3, stride=round(1 / factor), padding=1)
            macs += math.prod(resampled) * 9 * out**2
        grids.append(resampled)
    return macs, grids


def _decoder(config: DPTConfig, grids: list[Size]) -> tuple[int, int]:
    """(MACs, peak of activations) of fusion and head."""
    width = config.fusion_hidden_size
    macs = sum(
        9 * math.prod(grid) * channels * width for grid, channels in zip(grids, config.neck_hidden_sizes, strict=True)
    )
    outputs: list[Size] = []
    for step, grid in enumerate(reversed(grids)):
        at = outputs[-1] if step else grid
        macs += math.prod(at) * width**2 * (9 * (4 if step else 2) + 1)
        outputs.append((2 * at[0], 2 * at[1]))
    pixels = math.prod(outputs[config.head_in_index])
    if config.predicts_labels:
        assert config.num_labels is not None
        macs += pixels * width * (9 * width + config.num_labels)
        return macs, max(3 * math.prod(outputs[-1]) * width, 5 * pixels * config.num_labels)
    if config.add_projection:
        macs += 9 * pixels * width**2
    macs += 9 * pixels * width * (width // 2) + 4 * pixels * DEPTH_WIDTH * (9 * (width // 2) + 1)
    return macs, max(3 * math.prod(outputs[-1]) * width, pixels * (5 * (width // 2) + 4 * DEPTH_WIDTH))


def _convolved(size: Size, *, kernel: int, stride: int, padding: str | int | None, dilation: int = 1) -> Size:
    """The size behind a convolution that pads as the backbone's do, or by a number on every side."""
    span = dilation * (kernel - 1)
    if padding == "SAME" and (stride > 1 or span % 2 == 1):
        height, width = (-(-side // stride) for side in size)
    else:
        fixed = padding if isinstance(padding, int) else (stride - 1 + span) // 2
        height, width = ((side + 2 * fixed - span - 1) // stride + 1 for side in size)
    return height, width
