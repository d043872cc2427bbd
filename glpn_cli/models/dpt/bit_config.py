"""The shape of a BiT, the convolutional backbone of a hybrid DPT, as `backbone_config` says it. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from glpn_cli.errors import ModelError
from glpn_cli.models.fields import (
    as_list,
    check_choice,
    check_flag,
    check_function,
    check_real,
    check_whole,
    check_wholes,
    is_whole,
)

LAYER_TYPES = ("preactivation", "bottleneck")
PADDINGS = (None, "SAME")  # with "VALID" the two ways through a residual block would not meet in size
BIT_ACTIVATIONS = ("relu", "gelu", "gelu_new", "selu")
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

    num_channels: int = 3
    embedding_size: int = 64
    hidden_sizes: list[int] = field(default_factory=lambda: [256, 512, 1024, 2048])
    depths: list[int] = field(default_factory=lambda: [3, 4, 6, 3])
    layer_type: str = "preactivation"
    hidden_act: str = "relu"
    global_padding: str | None = None
    num_groups: int = 32
    drop_path_rate: float = 0.0
    embedding_dynamic_padding: bool = False
    output_stride: int = 32
    width_factor: int = 1
    out_features: list[str] | None = None
    out_indices: list[int] | None = None

    unknown: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("hidden_sizes", "depths", "out_features", "out_indices"):
            setattr(self, name, as_list(getattr(self, name)))
        if isinstance(self.global_padding, str):
            self.global_padding = self.global_padding.upper()
        self.validate()
        self.out_indices = list(self.outputs)
        self.out_features = [self.stage_names[place] for place in self.out_indices]

    def validate(self) -> None:
        """Check every field against its type and bounds. Raises ModelError."""
        check_whole(self, "num_channels", 1, 16_384)
        check_whole(self, "embedding_size", 1, 16_384)
        check_wholes(self, "hidden_sizes", 1, 65_536)
        check_wholes(self, "depths", 1, 1_000)
        if len(self.hidden_sizes) < len(self.depths):
            raise ModelError(f"hidden_sizes = {self.hidden_sizes} has fewer stages than depths = {self.depths}")
        check_choice(self, "layer_type", LAYER_TYPES)
        check_function(self, "hidden_act", BIT_ACTIVATIONS)
        check_choice(self, "global_padding", PADDINGS)
        check_whole(self, "num_groups", 1, 16_384)
        check_real(self, "drop_path_rate", 0, 1, highest_too=False)
        check_flag(self, "embedding_dynamic_padding")
        check_whole(self, "output_stride", 1, 1_024)
        check_whole(self, "width_factor", 1, 64)
        self._check_outputs()
        widths = [self.embedding_size, *self.widths, *(bottleneck_width(width) for width in self.widths)]
        for width in widths:
            if width % self.num_groups:
                raise ModelError(f"num_groups = {self.num_groups} does not divide the {width} channels of a group norm")

    def _check_outputs(self) -> None:
        names = self.stage_names
        if self.out_features is not None and (
            not isinstance(self.out_features, list) or any(name not in names for name in self.out_features)
        ):
            raise ModelError(f"out_features = {self.out_features!r} must be of {', '.join(names)}")
        if self.out_indices is not None and (
            not isinstance(self.out_indices, list)
            or any(not is_whole(place) or not -len(names) <= place < len(names) for place in self.out_indices)
        ):
            raise ModelError(f"out_indices = {self.out_indices!r} must be of 0 to {len(names) - 1}")

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
