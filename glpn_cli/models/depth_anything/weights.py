"""Every tensor of a Depth Anything: its name here, its shape, and its name in transformers' files; and its cost.

No torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from glpn_cli.models.config_base import Cost, WeightRow
from glpn_cli.models.dense.weights import (
    Size,
    attention_rows,
    blocks_macs,
    fusion_cost,
    fusion_rows,
    head_cost,
    head_rows,
    idle,
    layer_rows,
    level_cost,
    reassemble_rows,
)
from glpn_cli.models.depth_anything.backbone_config import Dinov2Config

if TYPE_CHECKING:
    from glpn_cli.models.depth_anything.config import DepthAnythingConfig


def weight_rows(config: DepthAnythingConfig) -> Iterator[WeightRow]:
    """The whole network's tensors: encoder, reassembly, fusion, head."""
    yield from encoder_rows(config.backbone)
    levels = zip(config.neck_hidden_sizes, config.reassemble_factors, strict=True)
    for level, (level_width, factor) in enumerate(levels):
        yield from reassemble_rows(
            config.backbone.hidden_size, place=level, level=level, level_width=level_width, factor=factor
        )
    yield from fusion_rows(config.neck_hidden_sizes, config.fusion_hidden_size)
    yield from head_rows(config.fusion_hidden_size, config.head_hidden_size, ("conv1", "conv2", "conv3"))


def encoder_rows(config: Dinov2Config) -> Iterator[WeightRow]:
    """DINOv2's tensors."""
    width, (rows, columns) = config.hidden_size, config.grid
    ours, theirs = "encoder", "backbone.embeddings"
    yield WeightRow(f"{ours}.readout_token", (1, 1, width), f"{theirs}.cls_token")
    if config.use_mask_token:
        yield WeightRow(f"{ours}.mask_token", (1, width), f"{theirs}.mask_token", is_idle=True)
    if config.registers:
        yield WeightRow(f"{ours}.registers", (1, config.registers, width), f"{theirs}.register_tokens")
    yield WeightRow(f"{ours}.positions", (1, 1 + rows * columns, width), f"{theirs}.position_embeddings")
    patch = (width, config.num_channels, *config.patch_sides)
    yield from layer_rows(f"{ours}.embedding.projection", patch, f"{theirs}.patch_embeddings.projection")
    for block in range(config.num_hidden_layers):
        yield from _block(config, ours=f"{ours}.blocks.{block}", theirs=f"backbone.encoder.layer.{block}")
    norm = layer_rows(f"{ours}.norm", (width,), "backbone.layernorm")
    yield from norm if config.apply_layernorm else idle(norm)


def _block(config: Dinov2Config, *, ours: str, theirs: str) -> Iterator[WeightRow]:
    width, hidden = config.hidden_size, config.mlp_width
    expand, contract = ("weights_in", "weights_out") if config.use_swiglu_ffn else ("fc1", "fc2")
    expanded = 2 * hidden if config.use_swiglu_ffn else hidden
    yield from layer_rows(f"{ours}.norm1", (width,), f"{theirs}.norm1")
    yield from attention_rows(width, ours=f"{ours}.attention", theirs=f"{theirs}.attention", bias=config.qkv_bias)
    yield WeightRow(f"{ours}.scale1.factors", (width,), f"{theirs}.layer_scale1.lambda1")
    yield from layer_rows(f"{ours}.norm2", (width,), f"{theirs}.norm2")
    yield from layer_rows(f"{ours}.mlp.expand", (expanded, width), f"{theirs}.mlp.{expand}")
    yield from layer_rows(f"{ours}.mlp.contract", (width, hidden), f"{theirs}.mlp.{contract}")
    yield WeightRow(f"{ours}.scale2.factors", (width,), f"{theirs}.layer_scale2.lambda1")


def cost(config: DepthAnythingConfig, size: Size) -> Cost:
    """The cost of one picture at (h, w), both multiples of the patch; see `ModelConfig.cost`."""
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
    encoder_peak = tokens * (len(grids) * width + 2 * width + max((layers - 1) * hidden, 3 * width))
    fusion_peak = 3 * math.prod(outputs[-1]) * config.fusion_hidden_size
    return Cost(macs + fused + head, config.weight_bytes, 4 * max(encoder_peak, fusion_peak, head_peak))
