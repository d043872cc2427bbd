"""What one picture costs a Depth Anything, counted without torch."""

from __future__ import annotations

import math

from glpn_cli.models.config_base import Cost
from glpn_cli.models.dense.cost import Size, blocks_macs, fusion_cost, head_cost, level_cost
from glpn_cli.models.depth_anything.config import DepthAnythingConfig
from glpn_cli.models.depth_anything.weights import weight_rows


def cost(config: DepthAnythingConfig, size: Size) -> Cost:
    """Multiply-accumulates and memory of one forward pass at (h, w); see `ModelConfig.cost`."""
    backbone = config.backbone
    width, hidden = backbone.hidden_size, backbone.mlp_width
    grid = (size[0] // config.patch_size, size[1] // config.patch_size)
    patches = math.prod(grid)
    tokens = patches + 1 + backbone.registers
    macs = patches * width * config.num_channels * config.patch_size**2
    layers = 3 if backbone.use_swiglu_ffn else 2
    macs += blocks_macs(backbone.num_hidden_layers, tokens=tokens, width=width, mlp_weights=layers * width * hidden)
    grids = []
    for level_width, factor in zip(config.neck_hidden_sizes, config.reassemble_factors, strict=True):
        of_level, resampled = level_cost(grid, width, level_width=level_width, factor=factor)
        macs += of_level
        grids.append(resampled)
    fused, outputs = fusion_cost(grids, config.neck_hidden_sizes, config.fusion_hidden_size, meets_levels=True)
    answered = (grid[0] * config.patch_size, grid[1] * config.patch_size)
    head, head_peak = head_cost(
        outputs[config.head_in_index], answered, config.fusion_hidden_size, config.head_hidden_size
    )
    weight_bytes = 4 * sum(math.prod(row.shape) for row in weight_rows(config))
    encoder_peak = tokens * (len(grids) * width + 2 * width + max((layers - 1) * hidden, 3 * width))
    fusion_peak = 3 * math.prod(outputs[-1]) * config.fusion_hidden_size
    return Cost(macs + fused + head, weight_bytes, 4 * max(encoder_peak, fusion_peak, head_peak))
