"""The shape of a BiT, the convolutional backbone of a hybrid DPT, as `backbone_config` says it. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from glpn_cli.errors import ModelError
from glpn_cli.models.fields import (
    ACTIVATIONS,
    bounded,
    check_fields,
    choice,
    each,
    flag,
    function,
    optional,
    probability,
    read_fields,
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
class BiTConfig:
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

    def __post_init__(self) -> None:
        read_fields(self)
        if isinstance(self.global_padding, str):
            self.global_padding = self.global_padding.upper()
        check_fields(self)
        self._check_together()
        self.out_indices = list(self.outputs)
        self.out_features = [self.stage_names[place] for place in self.out_indices]

    def _check_together(self) -> None:
        """Raise ModelError where fields, each within its bounds, do not fit each other."""
        if len(self.hidden_sizes) < len(self.depths):
            raise ModelError(f"hidden_sizes = {self.hidden_sizes} has fewer stages than depths = {self.depths}")
        names = self.stage_names
        if any(name not in names for name in self.out_features or ()):
            raise ModelError(f"out_features = {self.out_features} must be of {', '.join(names)}")
        if any(not -len(names) <= place < len(names) for place in self.out_indices or ()):
            raise ModelError(f"out_indices = {self.out_indices} must be of 0 to {len(names) - 1}")
        for width in (self.embedding_size, *self.widths, *(bottleneck_width(width) for width in self.widths)):
            if width % self.num_groups:
                raise ModelError(f"num_groups = {self.num_groups} does not divide the {width} channels of a group norm")

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Stem and stages, in the order of the forward pass."""
        return ("stem", *(f"stage{number}" for number in range(1, len(self.depths) + 1)))

    @property
    def outputs(self) -> tuple[int, ...]:
        """Which of stem and stages are read, 0 = stem, in the order of the forward pass."""
        count = len(self.stage_names)
        if self.out_features is not None:
            return tuple(sorted({self.stage_names.index(name) for name in self.out_features}))
        if self.out_indices is not None:
            return tuple(sorted({place % count for place in self.out_indices}))
        return (count - 1,)

    @property
    def widths(self) -> list[int]:
        """Channels of each stage, multiples of 8."""
        return [round_width(width * self.width_factor) for width in self.hidden_sizes[: len(self.depths)]]

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

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> BiTConfig:
        """Read a `backbone_config`. Raises ModelError for other backbones, by name."""
        raw = dict(raw)
        model_type = raw.pop("model_type", "bit")
        if model_type != "bit":
            raise ModelError(
                f"backbone_config of type {model_type!r} is not supported", hint="Supported is: bit, in a hybrid."
            )
        raw.pop("stage_names", None)  # follows from depths
        known = {name: raw.pop(name) for name in _FILE_FIELDS if name in raw}
        return cls(**known, unknown=raw)

    def to_dict(self) -> dict[str, Any]:
        """The object of a `backbone_config` that transformers reads too."""
        return {"model_type": "bit"} | self.unknown | {name: getattr(self, name) for name in _FILE_FIELDS}


_FILE_FIELDS = tuple(f.name for f in fields(BiTConfig) if f.name != "unknown")


def round_width(width: float) -> int:
    """The multiple of 8 nearest to `width`, at least 8 and at least nine tenths of it."""
    rounded = max(8, int(width + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * width else rounded


def bottleneck_width(width: int) -> int:
    """Channels inside a block that has `width` outside: a quarter."""
    return round_width(width / 4)


def fields_of(backbone: Any) -> Mapping[str, Any] | None:
    """A `backbone_config` as its fields, whosever object it is. Raises ModelError where it is none."""
    if hasattr(backbone, "to_dict"):
        backbone = backbone.to_dict()
    if backbone is not None and not isinstance(backbone, Mapping):
        raise ModelError(f"backbone_config = {backbone!r} is no object")
    return backbone
