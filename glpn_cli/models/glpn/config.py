"""The shape of a GLPN, as its config.json says it, and everything that follows from it. No torch at import."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from glpn_cli.errors import ErrorCode, InputError, ModelError
from glpn_cli.models.config_base import MetricConfig
from glpn_cli.models.fields import (
    ACTIVATIONS,
    bounded,
    choice,
    each,
    function,
    height_width,
    optional,
    positive,
    probability,
    real,
    text,
    whole,
)
from glpn_cli.models.glpn import weights
from glpn_cli.text import size_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

_LARGER_THAN_TRAINED = 1.5
"""Pictures with more than this many times the training area are brought down to it under `auto`."""

_PER_STAGE = ("depths", "sr_ratios", "hidden_sizes", "patch_sizes", "strides", "num_attention_heads", "mlp_ratios")
# Bounds that no honest network comes near, so that a hostile config is refused before anything is allocated.
_LAYERS, _CHANNELS, _KERNEL, _RATIO = whole(1, 1_000), whole(1, 16_384), whole(1, 64), whole(1, 64)


@dataclass
class GLPNConfig(MetricConfig):
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
    depth_class = "glpn_cli.models.glpn.hf_compat:GLPNForDepthEstimation"
    processor_class = "glpn_cli.models.glpn.processor:GLPNImageProcessor"
    superseded = ("architectures",)
    own_fields: ClassVar = {
        "training_size": "training_size",
        "training_focal_px": "training_focal_px",
        "layer_norm_eps_mode": "layer_norm_eps_mode",
        "source": "source",
        "limit_m": "max_depth",
    }

    num_channels: int = bounded(3, _CHANNELS)
    num_encoder_blocks: int = bounded(4, whole(1, 8))
    depths: list[int] = bounded([2, 2, 2, 2], each(_LAYERS))
    sr_ratios: list[int] = bounded([8, 4, 2, 1], each(_KERNEL))
    hidden_sizes: list[int] = bounded([32, 64, 160, 256], each(_CHANNELS))
    patch_sizes: list[int] = bounded([7, 3, 3, 3], each(_KERNEL))
    strides: list[int] = bounded([4, 2, 2, 2], each(_KERNEL))
    num_attention_heads: list[int] = bounded([1, 2, 5, 8], each(_CHANNELS))
    mlp_ratios: list[int] = bounded([4, 4, 4, 4], each(_RATIO))
    hidden_act: str | Callable[[Any], Any] = bounded("gelu", function(*ACTIVATIONS))
    hidden_dropout_prob: float = bounded(0.0, probability())
    attention_probs_dropout_prob: float = bounded(0.0, probability())
    initializer_range: float = bounded(0.02, real(0, 100))
    drop_path_rate: float = bounded(0.1, probability())
    layer_norm_eps: float = bounded(1e-6, positive(1))
    decoder_hidden_size: int = bounded(64, whole(2, 16_384))
    max_depth: float = bounded(10, positive(1e6))
    head_in_index: int = bounded(-1, whole(-8, 7))

    output_attentions: bool = False
    output_hidden_states: bool = False
    return_dict: bool = True

    training_size: tuple[int, int] = bounded((480, 640), height_width())
    training_focal_px: float | None = bounded(None, optional(positive(1e6)))
    layer_norm_eps_mode: str = bounded("transformers", choice("transformers", "author"))
    source: str | None = bounded(None, optional(text()))

    unknown: dict[str, Any] = field(default_factory=dict)

    def check_together(self) -> None:
        """Every stage needs its numbers, and heads must divide widths. Raises ModelError."""
        stages = self.num_encoder_blocks
        for name in _PER_STAGE:
            if len(getattr(self, name)) != stages:
                raise ModelError(f"{name} = {getattr(self, name)} must list one number for each of the {stages} stages")
        for stage, (width, heads) in enumerate(zip(self.hidden_sizes, self.num_attention_heads, strict=True)):
            if width % heads:
                raise ModelError(
                    f"hidden_sizes[{stage}] = {width} is no multiple of num_attention_heads[{stage}] = {heads}"
                )
        if not -stages <= self.head_in_index < stages:
            raise ModelError(f"head_in_index = {self.head_in_index} names none of the decoder's {stages} outputs")

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

    def file_values(self) -> dict[str, Any]:
        """Whole metres, on which transformers insists; `limit_m` in the file holds the exact depth."""
        return super().file_values() | {"max_depth": max(1, round(self.max_depth))}

    # The rest answers for the family; see `ModelConfig`.

    weight_rows = weights.weight_rows
    cost = weights.cost

    @property
    def steps(self) -> tuple[int, int]:
        """The stride, both ways."""
        return self.stride, self.stride

    def auto_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Bring pictures of more than 1.5 times the training area down to it; smaller ones as published."""
        area, trained = math.prod(size), math.prod(self.training_size)
        if area > _LARGER_THAN_TRAINED * trained:
            return self.scaled(size, math.sqrt(trained / area))
        return self._down_to_stride(size)

    def original_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Bring each side down to a multiple of the stride. Raises InputError for a side under the stride."""
        if min(size) < self.stride:
            raise InputError(
                f"picture is {size_text(size)}, and the published processor takes no side under {self.stride}",
                code=ErrorCode.UNSUPPORTED,
                hint="Use --input-size auto.",
            )
        return self._down_to_stride(size)

    def _down_to_stride(self, size: tuple[int, int]) -> tuple[int, int]:
        height, width = (max(side // self.stride, 1) * self.stride for side in size)
        return height, width

    def preprocessor(self) -> dict[str, Any]:
        """Each side down to a multiple of 32, bilinear, then / 255."""
        return {
            "do_rescale": True,
            "do_resize": True,
            "image_processor_type": "GLPNImageProcessor",
            "resample": 2,
            "size_divisor": 32,
        }

    def build(self) -> nn.Module:
        """Pixels in [0, 1] -> metres."""
        from glpn_cli.models.glpn.network import GLPN

        self.require_rgb()
        return GLPN(self)

    def prepare(self, rgb: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
        """Pixels in [0, 1]."""
        from glpn_cli.models.glpn.processor import prepare

        return prepare(rgb, size)

    def cast(self, network: nn.Module, precision: str) -> nn.Module:
        """The last convolution always in fp32."""
        from glpn_cli.models.glpn.network import cast

        return cast(network, precision)
