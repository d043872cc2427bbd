"""What the fields of a DPT's config may be, each by itself and together, checked by name. No torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glpn_cli.errors import ModelError
from glpn_cli.models.dpt.bit_config import BiTConfig, fields_of
from glpn_cli.models.family_config import ACTIVATIONS
from glpn_cli.models.fields import (
    check_choice,
    check_flag,
    check_function,
    check_real,
    check_size,
    check_text,
    check_whole,
    check_wholes,
    is_whole,
)

if TYPE_CHECKING:
    from glpn_cli.models.dpt.config import DPTConfig

POOLER_ACTIVATIONS = (*ACTIVATIONS, "tanh", "sigmoid")
READOUT_TYPES = ("ignore", "add", "project")
MOST_LABELS = 65_535
# Bounds that no honest network comes near, so that a hostile config is refused before anything is allocated.
_MOST_LAYERS, _MOST_CHANNELS, _MOST_SIDE, _MOST_PATCH, _MOST_FACTOR = 1_000, 65_536, 16_384, 256, 64


def check_config(config: DPTConfig) -> None:
    """Raise ModelError, naming the field and its value, unless every field is of its type and within its bounds."""
    _check_encoder(config)
    _check_sizes(config)
    _check_levels(config)
    _check_backbone(config)
    _check_heads(config)
    check_real(config, "initializer_range", 0, 100)
    if config.training_size is not None:
        check_size(config, "training_size")
    check_text(config, "source")


def _check_encoder(config: DPTConfig) -> None:
    for name in ("hidden_size", "intermediate_size", "pooler_output_size", "num_channels"):
        check_whole(config, name, 1, _MOST_CHANNELS)
    check_whole(config, "num_hidden_layers", 1, _MOST_LAYERS)
    check_whole(config, "num_attention_heads", 1, config.hidden_size)
    if config.hidden_size % config.num_attention_heads:
        raise ModelError(
            f"hidden_size = {config.hidden_size} is no multiple of num_attention_heads = {config.num_attention_heads}"
        )
    check_function(config, "hidden_act", ACTIVATIONS)
    check_function(config, "pooler_act", POOLER_ACTIVATIONS)
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
        check_real(config, name, 0, 1, highest_too=False)
    check_real(config, "layer_norm_eps", 0, 1, lowest_too=False)
    check_flag(config, "qkv_bias")


def _check_sizes(config: DPTConfig) -> None:
    for name, most in (("image_size", _MOST_SIDE), ("patch_size", _MOST_PATCH)):
        value = getattr(config, name)
        sides = (value, value) if is_whole(value) else value
        if not (
            isinstance(sides, list | tuple)
            and len(sides) == 2
            and all(is_whole(side) and 1 <= side <= most for side in sides)
        ):
            raise ModelError(f"{name} = {value!r} is neither a side nor (height, width), each from 1 to {most}")
    if min(config.grid) < 1:
        raise ModelError(f"image_size = {config.image_size} is smaller than patch_size = {config.patch_size}")


def _check_levels(config: DPTConfig) -> None:
    check_wholes(config, "neck_hidden_sizes", 1, _MOST_CHANNELS)
    check_wholes(config, "backbone_out_indices", 0, _MOST_LAYERS)
    check_choice(config, "readout_type", READOUT_TYPES)
    levels = len(config.neck_hidden_sizes)
    factors = config.reassemble_factors
    if not isinstance(factors, list) or len(factors) != levels:
        raise ModelError(f"reassemble_factors = {factors!r} must list one number for each of the {levels} levels")
    for place, factor in enumerate(factors):
        if not _is_factor(factor):
            raise ModelError(f"reassemble_factors[{place}] = {factor!r} is neither a whole number nor a part of 1")
    check_whole(config, "fusion_hidden_size", 1, _MOST_CHANNELS)
    if config.use_bias_in_fusion_residual is not None:
        check_flag(config, "use_bias_in_fusion_residual")
    check_whole(config, "head_in_index", -levels, levels - 1)


def _is_factor(factor: object) -> bool:
    """Whether a grid can be made so many times larger: whole, or one over a whole number."""
    if not isinstance(factor, int | float) or isinstance(factor, bool):
        return False
    if not 1 / _MOST_FACTOR <= factor <= _MOST_FACTOR:
        return False
    return float(factor if factor >= 1 else 1 / factor).is_integer()


def _check_backbone(config: DPTConfig) -> None:
    check_flag(config, "is_hybrid")
    backbone = config.backbone_config
    if not config.is_hybrid:
        if backbone is not None:
            model_type = (fields_of(backbone) or {}).get("model_type")
            raise ModelError(
                f"backbone_config of type {model_type!r} is not supported",
                hint="Supported is a BiT backbone with is_hybrid = true, or no backbone_config at all.",
            )
        return
    assert isinstance(backbone, BiTConfig)
    if config.readout_type != "project":
        raise ModelError(f"readout_type = {config.readout_type!r} does not fit a hybrid, which projects")
    if len(backbone.outputs) != 3:
        names = ", ".join(backbone.stage_names[place] for place in backbone.outputs)
        raise ModelError(f"backbone_config.out_features = {names} must be three stages")
    shape = config.backbone_featmap_shape
    if not (isinstance(shape, list) and len(shape) == 4 and shape[1] == backbone.output_widths[-1]):
        raise ModelError(
            f"backbone_featmap_shape = {shape!r} does not say the {backbone.output_widths[-1]} channels of the "
            "backbone's deepest features in its second place"
        )
    if config.neck_ignore_stages != [0, 1]:
        raise ModelError(f"neck_ignore_stages = {config.neck_ignore_stages!r} does not fit a hybrid; it must be [0, 1]")


def _check_heads(config: DPTConfig) -> None:
    names = config.architectures
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise ModelError(f"architectures = {names!r} is no list of names")
    for name in ("add_projection", "use_auxiliary_head"):
        check_flag(config, name)
    check_real(config, "auxiliary_loss_weight", 0, 1e6)
    check_real(config, "semantic_classifier_dropout", 0, 1, highest_too=False)
    check_whole(config, "semantic_loss_ignore_index", -(2**31), 2**31 - 1)
    check_whole(config, "num_labels", 1, MOST_LABELS)
    if len(config.label_names) != config.num_labels:
        raise ModelError(f"num_labels = {config.num_labels}, and id2label names {len(config.label_names)} of them")


def check_fed(config: DPTConfig) -> None:
    """Raise ModelError unless there is a block, and for a hybrid a backbone's stage, for every level.

    A bare encoder reads none of these fields, which is why `check_config` does not ask.
    """
    levels = len(config.neck_hidden_sizes)
    wanted = levels - 2 if config.is_hybrid else levels
    if not wanted or len(config.blocks_read) != wanted or max(config.blocks_read) >= config.num_hidden_layers:
        raise ModelError(
            f"backbone_out_indices = {config.backbone_out_indices} must name a block from 0 to "
            f"{config.num_hidden_layers - 1} for each of the {levels} levels"
        )
    if config.backbone is not None and tuple(config.neck_hidden_sizes[:2]) != config.backbone.output_widths[:2]:
        raise ModelError(
            f"neck_hidden_sizes = {config.neck_hidden_sizes} must begin with the backbone's widths "
            f"{list(config.backbone.output_widths[:2])}"
        )
