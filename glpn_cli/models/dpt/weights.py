"""Every tensor of a DPT: its name here, its shape, and its name in transformers' files. No torch.

One walk over the network in the order of its forward pass yields one row per tensor. Shapes, names and counts of
parameters are all read from these rows, so they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from glpn_cli.models.config_base import WeightRow
from glpn_cli.models.dpt.backbone_config import BiTConfig, bottleneck_width
from glpn_cli.models.dpt.config import DEPTH_WIDTH, DPTConfig


def weight_rows(config: DPTConfig) -> Iterator[WeightRow]:
    """The whole network's tensors: encoder, reassembly, fusion, heads."""
    yield from encoder_rows(config)
    yield from _reassemble(config)
    yield from _fusion(config)
    yield from _heads(config)


def pooler_rows(config: DPTConfig) -> Iterator[WeightRow]:
    """What the bare model has besides its encoder; networks that answer something have none."""
    assert config.pooler_output_size is not None
    yield from _layer("pooler.projection", (config.pooler_output_size, config.hidden_size), "dpt.pooler.dense")


def _layer(name: str, weight: tuple[int, ...], theirs: str, *, bias: int | bool = True) -> Iterator[WeightRow]:
    """A weight, and its bias; `bias` says its length where that is not the weight's first side."""
    yield WeightRow(f"{name}.weight", weight, f"{theirs}.weight")
    if bias:
        yield WeightRow(f"{name}.bias", weight[:1] if bias is True else (bias,), f"{theirs}.bias")


def _batch_norm(name: str, width: int, theirs: str) -> Iterator[WeightRow]:
    yield from _layer(name, (width,), theirs)
    for statistic in ("running_mean", "running_var"):
        yield WeightRow(f"{name}.{statistic}", (width,), f"{theirs}.{statistic}")
    counter = "num_batches_tracked"
    yield WeightRow(f"{name}.{counter}", (), f"{theirs}.{counter}", is_counter=True)


def _idle(rows: Iterator[WeightRow]) -> Iterator[WeightRow]:
    return (replace(row, is_idle=True) for row in rows)


def encoder_rows(config: DPTConfig) -> Iterator[WeightRow]:
    """The vision transformer's tensors. The last norm is idle but in the bare encoder."""
    width, (rows, columns) = config.hidden_size, config.grid
    theirs = "dpt.embeddings"
    yield WeightRow("encoder.readout_token", (1, 1, width), f"{theirs}.cls_token")
    yield WeightRow("encoder.positions", (1, 1 + rows * columns, width), f"{theirs}.position_embeddings")
    ours = "encoder.embedding.projection"
    if config.backbone is None:
        patch = (width, config.num_channels, *config.patch_sides)
        yield from _layer(ours, patch, f"{theirs}.patch_embeddings.projection")
    else:
        yield from _backbone(config.backbone, ours="encoder.embedding.backbone", theirs=f"{theirs}.backbone.bit")
        yield from _layer(ours, (width, config.backbone.output_widths[-1], 1, 1), f"{theirs}.projection")
    for block in range(config.num_hidden_layers):
        yield from _block(config, ours=f"encoder.blocks.{block}", theirs=f"dpt.encoder.layer.{block}")
    yield from _idle(_layer("encoder.norm", (width,), "dpt.layernorm"))


def _block(config: DPTConfig, *, ours: str, theirs: str) -> Iterator[WeightRow]:
    width, hidden = config.hidden_size, config.intermediate_size
    yield from _layer(f"{ours}.norm1", (width,), f"{theirs}.layernorm_before")
    for name in ("query", "key", "value"):
        names = f"{ours}.attention.{name}", f"{theirs}.attention.attention.{name}"
        yield from _layer(names[0], (width, width), names[1], bias=config.qkv_bias)
    yield from _layer(f"{ours}.attention.output", (width, width), f"{theirs}.attention.output.dense")
    yield from _layer(f"{ours}.norm2", (width,), f"{theirs}.layernorm_after")
    yield from _layer(f"{ours}.mlp.expand", (hidden, width), f"{theirs}.intermediate.dense")
    yield from _layer(f"{ours}.mlp.contract", (width, hidden), f"{theirs}.output.dense")


def _backbone(config: BiTConfig, *, ours: str, theirs: str) -> Iterator[WeightRow]:
    """Its convolutions have no biases; stages behind the last that is read are idle."""
    is_preactivated = config.layer_type == "preactivation"
    stem = (config.embedding_size, config.num_channels, 7, 7)
    yield from _layer(f"{ours}.stem.conv", stem, f"{theirs}.embedder.convolution", bias=False)
    if not is_preactivated:
        yield from _layer(f"{ours}.stem.norm", stem[:1], f"{theirs}.embedder.norm")
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
            yield from rows if stage < config.outputs[-1] else _idle(rows)
    if is_preactivated:
        yield from _idle(_layer(f"{ours}.norm", (config.hidden_sizes[-1],), f"{theirs}.norm"))


def _backbone_block(
    in_channels: int, width: int, *, is_first: bool, is_preactivated: bool, ours: str, theirs: str
) -> Iterator[WeightRow]:
    inner = bottleneck_width(width)
    if is_first:
        yield from _layer(f"{ours}.shortcut.conv", (width, in_channels, 1, 1), f"{theirs}.downsample.conv", bias=False)
        if not is_preactivated:
            yield from _layer(f"{ours}.shortcut.norm", (width,), f"{theirs}.downsample.norm")
    ways = [(inner, in_channels, 1), (inner, inner, 3), (width, inner, 1)]
    for number, (out, into, kernel) in enumerate(ways, start=1):
        conv, norm = f"conv{number}", f"norm{number}"
        yield from _layer(f"{ours}.{conv}", (out, into, kernel, kernel), f"{theirs}.{conv}", bias=False)
        yield from _layer(f"{ours}.{norm}", (into if is_preactivated else out,), f"{theirs}.{norm}")


def _reassemble(config: DPTConfig) -> Iterator[WeightRow]:
    width = config.hidden_size
    levels = [level for level in range(len(config.neck_hidden_sizes)) if level not in config.neck_ignore_stages]
    for place, level in enumerate(levels):
        ours, theirs = f"reassemble.{place}", "neck.reassemble_stage"
        out, factor = config.neck_hidden_sizes[level], config.reassemble_factors[level]
        if config.readout_type == "project":
            yield from _layer(f"{ours}.readout.projection", (width, 2 * width), f"{theirs}.readout_projects.{level}.0")
        yield from _layer(f"{ours}.projection", (out, width, 1, 1), f"{theirs}.layers.{level}.projection")
        if factor != 1:
            kernel = int(factor) if factor > 1 else 3
            yield from _layer(f"{ours}.resample", (out, out, kernel, kernel), f"{theirs}.layers.{level}.resize")


def _fusion(config: DPTConfig) -> Iterator[WeightRow]:
    """The coarsest step has nothing to fuse with: half of it is idle, and missing in published files."""
    width = config.fusion_hidden_size
    for level, channels in enumerate(config.neck_hidden_sizes):
        yield from _layer(f"fusion.narrow.{level}", (width, channels, 3, 3), f"neck.convs.{level}", bias=False)
    for step in range(len(config.neck_hidden_sizes)):
        ours, theirs = f"fusion.steps.{step}", f"neck.fusion_stage.layers.{step}"
        of_level = _residual_unit(config, ours=f"{ours}.level_unit", theirs=f"{theirs}.residual_layer1")
        yield from of_level if step else _idle(of_level)
        yield from _residual_unit(config, ours=f"{ours}.unit", theirs=f"{theirs}.residual_layer2")
        yield from _layer(f"{ours}.projection", (width, width, 1, 1), f"{theirs}.projection")


def _residual_unit(config: DPTConfig, *, ours: str, theirs: str) -> Iterator[WeightRow]:
    width = config.fusion_hidden_size
    for number in (1, 2):
        names = f"{ours}.conv{number}", f"{theirs}.convolution{number}"
        yield from _layer(names[0], (width, width, 3, 3), names[1], bias=config.residual_bias)
        if config.use_batch_norm_in_fusion_residual:
            yield from _batch_norm(f"{ours}.norm{number}", width, f"{theirs}.batch_norm{number}")


def _heads(config: DPTConfig) -> Iterator[WeightRow]:
    """The auxiliary head is idle: only its documented class asks it."""
    width = config.fusion_hidden_size
    if config.predicts_labels:
        yield from _label_head(config, "head")
        if config.use_auxiliary_head:
            yield from _idle(_label_head(config, "auxiliary_head"))
        return
    if config.add_projection:
        yield from _layer("head.projection", (width, width, 3, 3), "head.projection")
    yield from _layer("head.conv1", (width // 2, width, 3, 3), "head.head.0")
    yield from _layer("head.conv2", (DEPTH_WIDTH, width // 2, 3, 3), "head.head.2")
    yield from _layer("head.output", (1, DEPTH_WIDTH, 1, 1), "head.head.4")


def _label_head(config: DPTConfig, name: str) -> Iterator[WeightRow]:
    width = config.fusion_hidden_size
    assert config.num_labels is not None
    yield from _layer(f"{name}.conv", (width, width, 3, 3), f"{name}.head.0", bias=False)
    yield from _batch_norm(f"{name}.norm", width, f"{name}.head.1")
    yield from _layer(f"{name}.output", (config.num_labels, width, 1, 1), f"{name}.head.4")
