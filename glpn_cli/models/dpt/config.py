"""The shape of a DPT, as its config.json says it. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from glpn_cli.errors import ModelError
from glpn_cli.models.dpt.bit_config import HYBRID_DEFAULTS, BiTConfig, fields_of
from glpn_cli.models.dpt.config_checks import MOST_LABELS, check_config
from glpn_cli.models.family_config import FamilyConfig
from glpn_cli.models.fields import as_list, as_tuple, is_whole

LABEL_NETWORK = "DPTForSemanticSegmentation"
DEPTH_NETWORK = "DPTForDepthEstimation"
DEPTH_WIDTH = 32
"""Channels of the depth head's last hidden layer; no config says them."""

_LISTS = (
    "backbone_out_indices",
    "reassemble_factors",
    "neck_hidden_sizes",
    "backbone_featmap_shape",
    "neck_ignore_stages",
    "architectures",
)


@dataclass
class DPTConfig(FamilyConfig):
    """The documented fields of a DPT, with the documented defaults (a base-size network), checked by name.

    hidden_size, num_hidden_layers, num_attention_heads, intermediate_size: width, blocks, heads and MLP width.
    hidden_act:            activation of the MLPs and the readout: gelu, relu, selu, gelu_new, or a function.
    hidden_dropout_prob, attention_probs_dropout_prob: regularisation while training.
    initializer_range:     standard deviation of fresh weights.
    layer_norm_eps:        of every LayerNorm.
    image_size, patch_size, num_channels: of the pictures it was trained on; a side or (height, width).
    is_hybrid:             whether a convolutional backbone takes the place of the patch embedding.
    qkv_bias:              whether query, key and value have biases.
    backbone_out_indices:  the blocks whose tokens are reassembled; a hybrid reads the last two.
    readout_type:          what becomes of the readout token: "ignore", "add" or "project".
    reassemble_factors:    size of each level's grid, in patches.
    neck_hidden_sizes:     width of each level.
    fusion_hidden_size:    width of the decoder.
    head_in_index:         which output of the decoder the head reads.
    use_batch_norm_in_fusion_residual, use_bias_in_fusion_residual: of the residual units; biases follow from the
                           batch norms where None.
    add_projection:        whether the depth head begins with a convolution of its own.
    use_auxiliary_head, auxiliary_loss_weight: a second head for labels while training, and what it counts.
    semantic_loss_ignore_index, semantic_classifier_dropout: the label that stands for none; the head's dropout.
    backbone_featmap_shape: (1, C, h, w) of the hybrid's deepest features; None where it is no hybrid.
    neck_ignore_stages:    levels that come from the hybrid's backbone; [] where it is no hybrid.
    backbone_config:       the hybrid's backbone, BiT; a `BiTConfig` or its fields.
    pooler_output_size, pooler_act: of the bare model's pooling layer.
    num_labels, id2label:  how many labels there are, and their names.
    architectures:         the class that the weights are of; it decides between inverse depth and labels.

    Beyond the documentation, kept in config.json under the one key "glpn_cli":

    training_size:         (height, width) that the size policy aims at; `image_size` where None.
    source:                where the weights came from, such as "Intel/dpt-large".

    Keys of a file that are none of these are kept in `unknown`, written back and otherwise ignored.
    Raises ModelError (a ValueError) naming the field and its value.
    """

    model_type = "dpt"
    superseded = ("label2id",)
    own_fields: ClassVar = {"training_size": "training_size", "source": "source"}

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str | Callable[[Any], Any] = "gelu"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    image_size: int | list[int] | tuple[int, int] = 384
    patch_size: int | list[int] | tuple[int, int] = 16
    num_channels: int = 3
    is_hybrid: bool = False
    qkv_bias: bool = True
    backbone_out_indices: list[int] = field(default_factory=lambda: [2, 5, 8, 11])
    readout_type: str = "project"
    reassemble_factors: list[float] = field(default_factory=lambda: [4, 2, 1, 0.5])
    neck_hidden_sizes: list[int] = field(default_factory=lambda: [96, 192, 384, 768])
    fusion_hidden_size: int = 256
    head_in_index: int = -1
    use_batch_norm_in_fusion_residual: bool | None = False
    use_bias_in_fusion_residual: bool | None = None
    add_projection: bool = False
    use_auxiliary_head: bool | None = True
    auxiliary_loss_weight: float = 0.4
    semantic_loss_ignore_index: int = 255
    semantic_classifier_dropout: float = 0.1
    backbone_featmap_shape: list[int] | None = field(default_factory=lambda: [1, 1024, 24, 24])
    neck_ignore_stages: list[int] = field(default_factory=lambda: [0, 1])
    backbone_config: BiTConfig | Mapping[str, Any] | None = None
    pooler_output_size: int | None = None
    pooler_act: str | Callable[[Any], Any] = "tanh"
    num_labels: int | None = None
    id2label: dict[int, str] | None = None
    architectures: list[str] | None = None

    output_attentions: bool = False
    output_hidden_states: bool = False
    return_dict: bool = True

    training_size: tuple[int, int] | None = None
    source: str | None = None

    unknown: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in _LISTS:
            setattr(self, name, as_list(getattr(self, name)))
        self.training_size = as_tuple(self.training_size)
        self._complete()
        self.validate()

    def _complete(self) -> None:
        """Fields that follow from others, as transformers completes them."""
        self.use_auxiliary_head = bool(self.use_auxiliary_head)
        self.use_batch_norm_in_fusion_residual = bool(self.use_batch_norm_in_fusion_residual)
        if self.is_hybrid is True:
            if not isinstance(self.backbone_config, BiTConfig):
                self.backbone_config = BiTConfig.from_dict(fields_of(self.backbone_config) or HYBRID_DEFAULTS)
        else:
            self.backbone_featmap_shape = None
            self.neck_ignore_stages = []
        if self.pooler_output_size is None:
            self.pooler_output_size = self.hidden_size
        names = None if self.id2label is None else _as_names(self.id2label)
        if self.num_labels is None:
            self.num_labels = 2 if names is None else len(names)
        if (names is None or names == _numbered(len(names))) and is_whole(self.num_labels):
            names = _numbered(min(self.num_labels, MOST_LABELS))
        self.id2label = names

    @property
    def predicts_labels(self) -> bool:
        """Whether the weights are of a network that labels pixels; all others answer inverse depth."""
        return LABEL_NETWORK in (self.architectures or ())

    @property
    def patch_sides(self) -> tuple[int, int]:
        """(height, width) of a patch, in pixels."""
        return _as_sides(self.patch_size)

    @property
    def image_sides(self) -> tuple[int, int]:
        """(height, width) of the pictures whose position embeddings are stored."""
        return _as_sides(self.image_size)

    @property
    def grid(self) -> tuple[int, int]:
        """(rows, columns) of patches that have a position embedding of their own."""
        height, width = (side // patch for side, patch in zip(self.image_sides, self.patch_sides, strict=True))
        return height, width

    @property
    def backbone(self) -> BiTConfig | None:
        """The hybrid's backbone; None where it is no hybrid."""
        assert self.backbone_config is None or isinstance(self.backbone_config, BiTConfig)
        return self.backbone_config

    @property
    def blocks_read(self) -> list[int]:
        """The blocks whose tokens are reassembled, in the order of the forward pass."""
        from_backbone = 2 if self.is_hybrid else 0
        return sorted(set(self.backbone_out_indices[from_backbone:]))

    @property
    def residual_bias(self) -> bool:
        """Whether the convolutions of the residual units have biases."""
        asked = self.use_bias_in_fusion_residual
        return not self.use_batch_norm_in_fusion_residual if asked is None else asked

    @property
    def label_names(self) -> tuple[str, ...]:
        """One name a label."""
        return tuple((self.id2label or {}).values())

    def validate(self) -> None:
        """Check every field against its type and bounds. Raises ModelError."""
        check_config(self)

    def file_values(self) -> dict[str, Any]:
        """The labels by name alone, and the backbone as an object."""
        values = super().file_values()
        del values["num_labels"]
        return values | {
            "backbone_config": None if self.backbone is None else self.backbone.to_dict(),
            "id2label": {str(index): name for index, name in enumerate(self.label_names)},
            "label2id": {name: index for index, name in enumerate(self.label_names)},
        }


def _as_sides(value: Any) -> tuple[int, int]:
    height, width = (value, value) if isinstance(value, int) else value
    return height, width


def _as_names(names: Any) -> dict[int, str]:
    """id2label with whole numbers for keys, which JSON cannot hold, from 0 up without a gap."""
    try:
        found = {int(index): name for index, name in names.items()}
    except (AttributeError, TypeError, ValueError):
        found = {}
    if sorted(found) != list(range(len(found))) or not found or not all(isinstance(n, str) for n in found.values()):
        raise ModelError("id2label does not name every label from 0 up")
    return dict(sorted(found.items()))


def _numbered(count: int) -> dict[int, str]:
    """The names of labels that have none, as transformers gives them."""
    return {index: f"LABEL_{index}" for index in range(count)}
