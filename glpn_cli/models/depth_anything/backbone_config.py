"""The shape of a DINOv2, the encoder of Depth Anything, as `backbone_config` says it. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from glpn_cli.models.dense.config import BackboneConfig, PatchGrid
from glpn_cli.models.fields import (
    ACTIVATIONS,
    bounded,
    each,
    flag,
    function,
    optional,
    positive,
    probability,
    real,
    sides,
    text,
    whole,
)

SMALL: Mapping[str, Any] = {
    "model_type": "dinov2",
    "image_size": 518,
    "hidden_size": 384,
    "num_attention_heads": 6,
    "out_indices": [9, 10, 11, 12],
    "reshape_hidden_states": False,
}
"""What a config without a `backbone_config` means."""

_CHANNELS = whole(1, 65_536)


@dataclass
class Dinov2Config(PatchGrid, BackboneConfig):
    """The documented fields of a DINOv2 (Oquab et al. 2023, arXiv 2304.07193), with the documented defaults.

    hidden_size, num_hidden_layers, num_attention_heads: width, blocks and heads.
    mlp_ratio:             width of the MLPs, in widths.
    hidden_act:            activation of the MLPs: gelu, relu, selu, gelu_new, or a function.
    hidden_dropout_prob, attention_probs_dropout_prob, drop_path_rate: regularisation while training.
    initializer_range, layerscale_value: of fresh weights: standard deviation, and the branches' scale.
    layer_norm_eps:        of every LayerNorm.
    image_size, patch_size, num_channels: of the pictures whose positions are stored; a side or (height, width).
    qkv_bias:              whether query, key and value have biases.
    use_swiglu_ffn:        whether the MLPs are gated (Shazeer 2020, arXiv 2002.05202).
    out_features, out_indices: the blocks whose tokens are read, by name ("stage12") or by number (12).
    apply_layernorm:       whether these are normed.
    reshape_hidden_states: whether they would be pictures; a depth network reads tokens.
    use_mask_token:        whether files hold a token that only the backbone's own training used.

    Raises ModelError naming the field and its value.
    """

    model_type = "dinov2"

    hidden_size: int = bounded(768, _CHANNELS)
    num_hidden_layers: int = bounded(12, whole(1, 1_000))
    num_attention_heads: int = bounded(12, _CHANNELS)
    mlp_ratio: float = bounded(4, positive(1_000))
    hidden_act: str | Callable[[Any], Any] = bounded("gelu", function(*ACTIVATIONS))
    hidden_dropout_prob: float = bounded(0.0, probability())
    attention_probs_dropout_prob: float = bounded(0.0, probability())
    initializer_range: float = bounded(0.02, real(0, 100))
    layer_norm_eps: float = bounded(1e-6, positive(1))
    image_size: int | list[int] | tuple[int, int] = bounded(224, sides(16_384))
    patch_size: int | list[int] | tuple[int, int] = bounded(14, sides(256))
    num_channels: int = bounded(3, _CHANNELS)
    qkv_bias: bool = bounded(True, flag())
    layerscale_value: float = bounded(1.0, real(-100, 100))
    drop_path_rate: float = bounded(0.0, probability())
    use_swiglu_ffn: bool = bounded(False, flag())
    out_features: list[str] | None = bounded(None, optional(each(text())))
    out_indices: list[int] | None = bounded(None, optional(each(whole(-1_001, 1_000))))
    apply_layernorm: bool = bounded(True, flag())
    reshape_hidden_states: bool = bounded(True, flag())
    use_mask_token: bool = bounded(True, flag())

    unknown: dict[str, Any] = field(default_factory=dict)

    def check_together(self) -> None:
        """Heads must divide the width, and the picture must hold a patch."""
        self.check_patches()

    @property
    def stage_names(self) -> tuple[str, ...]:
        """The embeddings, then every block."""
        return ("stem", *(f"stage{number}" for number in range(1, self.num_hidden_layers + 1)))

    @property
    def registers(self) -> int:
        """Tokens that stand for no patch, besides the readout token."""
        return 0

    @property
    def mlp_width(self) -> int:
        """Channels inside an MLP; a gated one has two thirds, rounded up to a multiple of 8."""
        hidden = int(self.hidden_size * self.mlp_ratio)
        return (int(hidden * 2 / 3) + 7) // 8 * 8 if self.use_swiglu_ffn else hidden


@dataclass
class Dinov2WithRegistersConfig(Dinov2Config):
    """A DINOv2 with further tokens (Darcet et al. 2023, arXiv 2309.16588), with the documented defaults.

    num_register_tokens: how many
    """

    model_type = "dinov2_with_registers"

    patch_size: int | list[int] | tuple[int, int] = bounded(16, sides(256))
    num_register_tokens: int = bounded(4, whole(0, 65_536))

    @property
    def registers(self) -> int:
        """Tokens that stand for no patch, besides the readout token."""
        return self.num_register_tokens


BACKBONES: Mapping[str, type[BackboneConfig]] = {
    each_class.model_type: each_class for each_class in (Dinov2Config, Dinov2WithRegistersConfig)
}
"""`model_type` of a `backbone_config` -> its class."""
