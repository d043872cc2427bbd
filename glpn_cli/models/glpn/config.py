"""The shape of a GLPN, as its config.json says it. No torch here."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from glpn_cli.errors import ModelError
from glpn_cli.models.family_config import ACTIVATIONS, FamilyConfig
from glpn_cli.models.fields import (
    as_list,
    as_tuple,
    check_choice,
    check_function,
    check_real,
    check_size,
    check_text,
    check_whole,
    is_whole,
)

EPS_MODES = ("transformers", "author")
# Bounds that no honest network comes near, so that a hostile config is refused before anything is allocated.
_MOST_BLOCKS, _MOST_LAYERS, _MOST_CHANNELS, _MOST_KERNEL, _MOST_RATIO = 8, 1_000, 16_384, 64, 64

_PER_STAGE: dict[str, tuple[int, int]] = {
    "depths": (1, _MOST_LAYERS),
    "sr_ratios": (1, _MOST_KERNEL),
    "hidden_sizes": (1, _MOST_CHANNELS),
    "patch_sizes": (1, _MOST_KERNEL),
    "strides": (1, _MOST_KERNEL),
    "num_attention_heads": (1, _MOST_CHANNELS),
    "mlp_ratios": (1, _MOST_RATIO),
}


@dataclass
class GLPNConfig(FamilyConfig):
    """The documented fields of a GLPN, with the documented defaults (a b0-size network), checked by name.

    num_channels, num_encoder_blocks: channels of the picture; stages of the encoder.
    depths, hidden_sizes, num_attention_heads, mlp_ratios: blocks, width, heads and Mix-FFN expansion of each stage.
    sr_ratios:             reduction of keys and values in each stage's attention.
    patch_sizes, strides:  kernel and stride of each stage's overlapping patch embedding.
    hidden_act:            activation of the Mix-FFN: gelu, relu, selu, gelu_new, or a function of a tensor.
    hidden_dropout_prob, attention_probs_dropout_prob, drop_path_rate: regularisation while training.
    initializer_range:     standard deviation of fresh weights.
    layer_norm_eps:        see `layer_norm_eps_mode`.
    decoder_hidden_size:   width of the decoder.
    max_depth:             depth at the head's full scale, metres; a file holds it twice, for transformers in whole
                           metres and exactly as "limit_m" under "glpn_cli".
    head_in_index:         which output of the decoder the head reads.

    Beyond the documentation, kept in config.json under the one key "glpn_cli":

    training_size:         (height, width) that the weights were trained at; the size policy uses it.
    training_focal_px:     focal length in pixels at that size, None if unknown.
    layer_norm_eps_mode:   "transformers": every LayerNorm uses 1e-5 and layer_norm_eps only round-trips, as
                           transformers computes; "author": block and stage norms use layer_norm_eps, patch and
                           reduction norms 1e-5, as the author's code does.
    source:                where the weights came from, such as "vinvino02/glpn-nyu".

    Keys of a file that are none of these are kept in `unknown`, written back and otherwise ignored.
    Raises ModelError (a ValueError) naming the field and its value.
    """

    model_type = "glpn"
    superseded = ("architectures",)
    own_fields: ClassVar = {
        "training_size": "training_size",
        "training_focal_px": "training_focal_px",
        "layer_norm_eps_mode": "layer_norm_eps_mode",
        "source": "source",
        "limit_m": "max_depth",
    }

    num_channels: int = 3
    num_encoder_blocks: int = 4
    depths: list[int] = field(default_factory=lambda: [2, 2, 2, 2])
    sr_ratios: list[int] = field(default_factory=lambda: [8, 4, 2, 1])
    hidden_sizes: list[int] = field(default_factory=lambda: [32, 64, 160, 256])
    patch_sizes: list[int] = field(default_factory=lambda: [7, 3, 3, 3])
    strides: list[int] = field(default_factory=lambda: [4, 2, 2, 2])
    num_attention_heads: list[int] = field(default_factory=lambda: [1, 2, 5, 8])
    mlp_ratios: list[int] = field(default_factory=lambda: [4, 4, 4, 4])
    hidden_act: str | Callable[[Any], Any] = "gelu"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    initializer_range: float = 0.02
    drop_path_rate: float = 0.1
    layer_norm_eps: float = 1e-6
    decoder_hidden_size: int = 64
    max_depth: float = 10
    head_in_index: int = -1

    output_attentions: bool = False
    output_hidden_states: bool = False
    return_dict: bool = True

    training_size: tuple[int, int] = (480, 640)
    training_focal_px: float | None = None
    layer_norm_eps_mode: str = "transformers"
    source: str | None = None

    unknown: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in _PER_STAGE:
            setattr(self, name, as_list(getattr(self, name)))
        self.training_size = as_tuple(self.training_size)
        self.validate()

    @property
    def block_eps(self) -> float:
        """Epsilon of the norms inside blocks and at the end of stages."""
        return self.layer_norm_eps if self.layer_norm_eps_mode == "author" else 1e-5

    @property
    def patch_eps(self) -> float:
        """Epsilon of the norms after patch embeddings and key-value reductions: 1e-5 in either mode."""
        return 1e-5

    @property
    def stride(self) -> int:
        """Picture pixels per pixel of the deepest feature map; sides must be multiples of it to get depth."""
        return math.prod(self.strides)

    @property
    def reads_last_step(self) -> bool:
        """Whether the head reads the decoder's last output, which alone has the picture's own size."""
        return self.head_in_index in (-1, self.num_encoder_blocks - 1)

    def validate(self) -> None:
        """Check every field against its type and bounds. Raises ModelError."""
        check_whole(self, "num_channels", 1, _MOST_CHANNELS)
        check_whole(self, "num_encoder_blocks", 1, _MOST_BLOCKS)
        for name, (least, most) in _PER_STAGE.items():
            _check_stages(self, name, least, most)
        for stage, (width, heads) in enumerate(zip(self.hidden_sizes, self.num_attention_heads, strict=True)):
            if width % heads:
                raise ModelError(
                    f"hidden_sizes[{stage}] = {width} is no multiple of num_attention_heads[{stage}] = {heads}"
                )
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "drop_path_rate"):
            check_real(self, name, 0, 1, highest_too=False)
        check_real(self, "initializer_range", 0, 100)
        check_real(self, "layer_norm_eps", 0, 1, lowest_too=False)
        check_real(self, "max_depth", 0, 1e6, lowest_too=False)
        check_whole(self, "decoder_hidden_size", 2, _MOST_CHANNELS)
        check_whole(self, "head_in_index", -self.num_encoder_blocks, self.num_encoder_blocks - 1)
        check_function(self, "hidden_act", ACTIVATIONS)
        check_choice(self, "layer_norm_eps_mode", EPS_MODES)
        check_size(self, "training_size")
        if self.training_focal_px is not None:
            check_real(self, "training_focal_px", 0, 1e6, lowest_too=False)
        check_text(self, "source")

    def file_values(self) -> dict[str, Any]:
        """Whole metres, on which transformers insists; what it cannot hold is exact in `limit_m`."""
        return super().file_values() | {"max_depth": max(1, round(self.max_depth))}


def _check_stages(config: GLPNConfig, name: str, least: int, most: int) -> None:
    values = getattr(config, name)
    if not isinstance(values, list) or len(values) != config.num_encoder_blocks:
        raise ModelError(f"{name} = {values!r} must list one number for each of the {config.num_encoder_blocks} stages")
    for stage, value in enumerate(values):
        if not (is_whole(value) and least <= value <= most):
            raise ModelError(f"{name}[{stage}] = {value!r} is no whole number from {least} to {most}")
