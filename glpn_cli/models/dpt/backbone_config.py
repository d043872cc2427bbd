"""The shape of a BiT, the convolutional backbone of a hybrid DPT, as `backbone_config` says it. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from glpn_cli.errors import ModelError
from glpn_cli.models.dense.config import BackboneConfig
from glpn_cli.models.fields import (
    ACTIVATIONS,
    bounded,
    choice,
    each,
    flag,
    function,
    optional,
    probability,
    text,
    whole,
)

HYBRID_DEFAULTS: Mapping[str, Any] = {
    "layer_type": "bottleneck",
    "global_padding": "SAME",
    "depths": [3, 4, 9],
    "embedding_dynamic_padding": True,
    "out_features": ["stage1", "stage2", "stage3"],
}
"""The ResNet-50 without its last stage that the paper's hybrid is built on (section 3.1)."""


@dataclass
class BiTConfig(BackboneConfig):
    """The documented fields of a BiT (Kolesnikov et al. 2020, arXiv 1912.11370), with the documented defaults.

    num_channels, embedding_size:    channels of the picture; of the stem.
    hidden_sizes, depths:            width and blocks of each stage; widths beyond the last stage are not used.
    layer_type:                      "preactivation" (BiT's own) or "bottleneck" (the hybrid's).
    hidden_act:                      activation after group norms.
    global_padding:                  None (symmetric) or "SAME" (as TensorFlow pads).
    embedding_dynamic_padding:       whether the stem's pooling pads as TensorFlow does.
    num_groups:                      of the group norms.
    drop_path_rate:                  stochastic depth of the last block, rising from 0; while training.
    output_stride:                   stages beyond it widen their kernels instead of shrinking the picture.
    width_factor:                    multiplies all widths.
    out_features, out_indices:       the three stages that the hybrid reads, by name or by number; the stem is 0.

    Keys of a file that are none of these are kept in `unknown`, written back and otherwise ignored.
    Raises ModelError naming the field and its value.
    """

    model_type = "bit"

    num_channels: int = bounded(3, whole(1, 16_384))
    embedding_size: int = bounded(64, whole(1, 16_384))
    hidden_sizes: list[int] = bounded([256, 512, 1024, 2048], each(whole(1, 65_536)))
    depths: list[int] = bounded([3, 4, 6, 3], each(whole(1, 1_000)))
    layer_type: str = bounded("preactivation", choice("preactivation", "bottleneck"))
    hidden_act: str = bounded("relu", function(*ACTIVATIONS))
    # With "VALID" the two ways through a residual block would not meet in size.
    global_padding: str | None = bounded(None, optional(choice("SAME")))
    num_groups: int = bounded(32, whole(1, 16_384))
    drop_path_rate: float = bounded(0.0, probability())
    embedding_dynamic_padding: bool = bounded(False, flag())
    output_stride: int = bounded(32, whole(1, 1_024))
    width_factor: int = bounded(1, whole(1, 64))
    out_features: list[str] | None = bounded(None, optional(each(text())))
    out_indices: list[int] | None = bounded(None, optional(each(whole(-1_001, 1_000))))

    unknown: dict[str, Any] = field(default_factory=dict)

    def complete(self) -> None:
        """The padding is spelled in capitals."""
        if isinstance(self.global_padding, str):
            self.global_padding = self.global_padding.upper()

    def check_together(self) -> None:
        """Every stage needs a width, and the groups of its norms must divide it."""
        if len(self.hidden_sizes) < len(self.depths):
            raise ModelError(f"hidden_sizes = {self.hidden_sizes} has fewer stages than depths = {self.depths}")
        for width in (self.embedding_size, *self.widths, *(bottleneck_width(width) for width in self.widths)):
            if width % self.num_groups:
                raise ModelError(f"num_groups = {self.num_groups} does not divide the {width} channels of a group norm")

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Stem and stages, in the order of the forward pass."""
        return ("stem", *(f"stage{number}" for number in range(1, len(self.depths) + 1)))

    @property
    def widths(self) -> list[int]:
        """Channels of each stage, multiples of 8."""
        return [_round_width(width * self.width_factor) for width in self.hidden_sizes[: len(self.depths)]]

    @property
    def output_widths(self) -> tuple[int, ...]:
        """Channels of what is read."""
        widths = [self.embedding_size, *self.widths]
        return tuple(widths[place] for place in self.outputs)

    @property
    def strides(self) -> list[tuple[int, int]]:
        """(stride, dilation) of each stage: the stem has shrunk the picture by 4, each later stage halves it."""
        steps, shrunk, dilation = [], 4, 1
        for stage in range(len(self.depths)):
            stride = 1 if stage == 0 else 2
            if shrunk >= self.output_stride:
                dilation *= stride
                stride = 1
            steps.append((stride, dilation))
            shrunk *= stride
        return steps


def _round_width(width: float) -> int:
    """The multiple of 8 nearest to `width`, at least 8 and at least nine tenths of it."""
    rounded = max(8, int(width + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * width else rounded


def bottleneck_width(width: int) -> int:
    """Channels inside a block that has `width` outside: a quarter."""
    return _round_width(width / 4)
