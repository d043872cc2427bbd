"""The shape of a DPT, as its config.json says it, and everything that follows from it. No torch at import."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from glpn_cli.errors import ModelError
from glpn_cli.models.config_base import ModelConfig
from glpn_cli.models.dense.config import PatchGrid, check_decoder, fields_of, read_backbone
from glpn_cli.models.dpt import weights
from glpn_cli.models.dpt.backbone_config import HYBRID_DEFAULTS, BiTConfig
from glpn_cli.models.fields import (
    ACTIVATIONS,
    bounded,
    choice,
    each,
    factor,
    flag,
    function,
    height_width,
    optional,
    positive,
    probability,
    real,
    sides,
    text,
    whole,
)
from glpn_cli.prediction import DepthKind, DepthMap, LabelMap, Prediction

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

LABEL_NETWORK = "DPTForSemanticSegmentation"
DEPTH_NETWORK = "DPTForDepthEstimation"

_MOST_LABELS = 65_535
# Bounds that no honest network comes near, so that a hostile config is refused before anything is allocated.
_LAYERS, _CHANNELS = whole(1, 1_000), whole(1, 65_536)


@dataclass
class DPTConfig(PatchGrid, ModelConfig):
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

    training_size:         (height, width) that the size policy aims at; None stands for `image_size`.
    source:                where the weights came from, such as "Intel/dpt-large".

    Keys of a file that are none of these are kept in `unknown`, written back and otherwise ignored.
    Raises ModelError (a ValueError) naming the field and its value.
    """

    model_type = "dpt"
    depth_class = "glpn_cli.models.dpt.hf_compat:DPTForDepthEstimation"
    processor_class = "glpn_cli.models.dpt.processor:DPTImageProcessor"
    superseded = ("label2id",)
    own_fields: ClassVar = {"training_size": "training_size", "source": "source"}

    hidden_size: int = bounded(768, _CHANNELS)
    num_hidden_layers: int = bounded(12, _LAYERS)
    num_attention_heads: int = bounded(12, _CHANNELS)
    intermediate_size: int = bounded(3072, _CHANNELS)
    hidden_act: str | Callable[[Any], Any] = bounded("gelu", function(*ACTIVATIONS))
    hidden_dropout_prob: float = bounded(0.0, probability())
    attention_probs_dropout_prob: float = bounded(0.0, probability())
    initializer_range: float = bounded(0.02, real(0, 100))
    layer_norm_eps: float = bounded(1e-12, positive(1))
    image_size: int | list[int] | tuple[int, int] = bounded(384, sides(16_384))
    patch_size: int | list[int] | tuple[int, int] = bounded(16, sides(256))
    num_channels: int = bounded(3, _CHANNELS)
    is_hybrid: bool = bounded(False, flag())
    qkv_bias: bool = bounded(True, flag())
    backbone_out_indices: list[int] = bounded([2, 5, 8, 11], each(whole(0, 1_000)))
    readout_type: str = bounded("project", choice("ignore", "add", "project"))
    reassemble_factors: list[float] = bounded([4, 2, 1, 0.5], each(factor()))
    neck_hidden_sizes: list[int] = bounded([96, 192, 384, 768], each(_CHANNELS))
    fusion_hidden_size: int = bounded(256, _CHANNELS)
    head_in_index: int = bounded(-1, whole(-65_536, 65_535))
    use_batch_norm_in_fusion_residual: bool | None = False
    use_bias_in_fusion_residual: bool | None = bounded(None, optional(flag()))
    add_projection: bool = bounded(False, flag())
    use_auxiliary_head: bool | None = True
    auxiliary_loss_weight: float = bounded(0.4, real(0, 1e6))
    semantic_loss_ignore_index: int = bounded(255, whole(-(2**31), 2**31 - 1))
    semantic_classifier_dropout: float = bounded(0.1, probability())
    backbone_featmap_shape: list[int] | None = bounded([1, 1024, 24, 24], optional(each(_CHANNELS)))
    neck_ignore_stages: list[int] = bounded([0, 1], each(whole(0, 1_000), fewest=0))
    backbone_config: BiTConfig | Mapping[str, Any] | None = None
    pooler_output_size: int | None = bounded(None, optional(_CHANNELS))
    pooler_act: str | Callable[[Any], Any] = bounded("tanh", function(*ACTIVATIONS, "tanh", "sigmoid"))
    num_labels: int | None = bounded(None, optional(whole(1, _MOST_LABELS)))
    id2label: dict[int, str] | None = None
    architectures: list[str] | None = bounded(None, optional(each(text(), fewest=0)))

    output_attentions: bool = False
    output_hidden_states: bool = False
    return_dict: bool = True

    training_size: tuple[int, int] = bounded(None, optional(height_width()))  # type: ignore[assignment]  # see `complete`
    source: str | None = bounded(None, optional(text()))

    unknown: dict[str, Any] = field(default_factory=dict)

    def complete(self) -> None:
        """Fill in fields that follow from others, as transformers does."""
        self.use_auxiliary_head = bool(self.use_auxiliary_head)
        self.use_batch_norm_in_fusion_residual = bool(self.use_batch_norm_in_fusion_residual)
        if self.is_hybrid:
            hint = "Supported is: bit, in a hybrid."
            backbone = read_backbone(self.backbone_config, {"bit": BiTConfig}, default=HYBRID_DEFAULTS, hint=hint)
            assert isinstance(backbone, BiTConfig)
            self.backbone_config = backbone
        else:
            self.backbone_featmap_shape = None
            self.neck_ignore_stages = []
        if self.pooler_output_size is None:
            self.pooler_output_size = self.hidden_size
        names = None if self.id2label is None else _as_names(self.id2label)
        if self.num_labels is None:
            self.num_labels = 2 if names is None else len(names)
        if names is None or names == _numbered(len(names)):
            names = _numbered(self.num_labels)
        self.id2label = names
        self.training_size = vars(self)["training_size"] or self.image_sides

    def check_together(self) -> None:
        """Hold sizes, levels, backbone and labels against each other. Raises ModelError."""
        self.check_patches()
        check_decoder(self.neck_hidden_sizes, self.reassemble_factors, self.head_in_index)
        self._check_backbone()
        if len(self.label_names) != self.num_labels:
            raise ModelError(f"num_labels = {self.num_labels}, and id2label names {len(self.label_names)} of them")

    def _check_backbone(self) -> None:
        backbone, shape = self.backbone_config, self.backbone_featmap_shape
        if not self.is_hybrid:
            if backbone is not None:
                model_type = (fields_of(backbone) or {}).get("model_type")
                raise ModelError(
                    f"backbone_config of type {model_type!r} is not supported",
                    hint="Supported is a BiT backbone with is_hybrid = true, or no backbone_config at all.",
                )
            return
        assert isinstance(backbone, BiTConfig)
        if self.readout_type != "project":
            raise ModelError(f"readout_type = {self.readout_type!r} does not fit a hybrid, which projects")
        if len(backbone.outputs) != 3:
            names = ", ".join(backbone.stage_names[place] for place in backbone.outputs)
            raise ModelError(f"backbone_config.out_features = {names} must be three stages")
        if shape is None or len(shape) != 4 or shape[1] != backbone.output_widths[-1]:
            raise ModelError(
                f"backbone_featmap_shape = {shape} does not say the {backbone.output_widths[-1]} channels of the "
                "backbone's deepest features in its second place"
            )
        if self.neck_ignore_stages != [0, 1]:
            raise ModelError(f"neck_ignore_stages = {self.neck_ignore_stages} does not fit a hybrid; it must be [0, 1]")

    def check_levels(self) -> None:
        """Raise ModelError unless there is a block, and for a hybrid a backbone's stage, for every level.

        A bare encoder reads none of these fields, which is why a config alone may leave them unmatched.
        """
        levels = len(self.neck_hidden_sizes)
        wanted = levels - 2 if self.is_hybrid else levels
        if not wanted or len(self.blocks_read) != wanted or max(self.blocks_read) >= self.num_hidden_layers:
            raise ModelError(
                f"backbone_out_indices = {self.backbone_out_indices} must name a block from 0 to "
                f"{self.num_hidden_layers - 1} for each of the {levels} levels"
            )
        if self.backbone is not None and tuple(self.neck_hidden_sizes[:2]) != self.backbone.output_widths[:2]:
            raise ModelError(
                f"neck_hidden_sizes = {self.neck_hidden_sizes} must begin with the backbone's widths "
                f"{list(self.backbone.output_widths[:2])}"
            )

    @property
    def predicts_labels(self) -> bool:
        """Whether the weights are of a network that labels pixels; all others answer inverse depth."""
        return LABEL_NETWORK in (self.architectures or ())

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

    def file_values(self) -> dict[str, Any]:
        """The labels by name alone, and the backbone as an object."""
        values = super().file_values()
        del values["num_labels"]
        return values | {
            "backbone_config": None if self.backbone is None else self.backbone.to_dict(),
            "id2label": {str(index): name for index, name in enumerate(self.label_names)},
            "label2id": {name: index for index, name in enumerate(self.label_names)},
        }

    def own_values(self) -> dict[str, Any]:
        """A training size that `image_size` tells is not written."""
        values = super().own_values()
        if self.training_size == self.image_sides:
            values.pop("training_size", None)
        return values

    # The rest answers for the family; see `ModelConfig`.

    @property
    def kind(self) -> DepthKind | None:
        """Inverse depth up to scale and shift, or labels."""
        return None if self.predicts_labels else DepthKind.DISPARITY

    weight_rows = weights.weight_rows
    cost = weights.cost

    @property
    def steps(self) -> tuple[int, int]:
        """Two patches, so that the coarsest level halves evenly; 32 for the published models."""
        height, width = self.patch_sides
        return 2 * height, 2 * width

    def auto_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The training area in the picture's own aspect; smaller pictures are enlarged, as published."""
        return self.of_area(size, math.prod(self.training_size))

    def original_size(self, size: tuple[int, int]) -> tuple[int, int]:  # noqa: ARG002 - the same for all
        """The training size, whatever the picture's aspect."""
        return self.training_size

    def preprocessor(self) -> dict[str, Any]:
        """To the training size, bicubic, then / 255, mean and deviation one half."""
        height, width = self.training_size
        return {
            "do_normalize": True,
            "do_rescale": True,
            "do_resize": True,
            "ensure_multiple_of": 1,
            "image_mean": [0.5, 0.5, 0.5],
            "image_processor_type": "DPTImageProcessor",
            "image_std": [0.5, 0.5, 0.5],
            "keep_aspect_ratio": False,
            "resample": 3,
            "size": {"height": height, "width": width},
        }

    def build(self) -> nn.Module:
        """Pixels in [-1, 1] -> inverse depth or logits."""
        from glpn_cli.models.dpt.network import DPT

        self.require_rgb()
        return DPT(self)

    def prepare(self, rgb: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
        """Pixels in [-1, 1]."""
        from glpn_cli.models.dpt.processor import prepare

        return prepare(rgb, size)

    def decode(self, raw: Tensor, size: tuple[int, int]) -> Prediction:
        """Inverse depth (h, w), or logits (labels, h, w) -> (H, W)."""
        from glpn_cli.models.image_processor import restore_disparity, restore_labels

        if self.predicts_labels:
            return LabelMap(restore_labels(raw, size), self.label_names)
        return DepthMap(restore_disparity(raw, size), kind=DepthKind.DISPARITY)

    def cast(self, network: nn.Module, precision: str) -> nn.Module:
        """The last convolution always in fp32."""
        from glpn_cli.models.dpt.network import cast

        return cast(network, precision)

    def loss(self) -> Callable[[Tensor, Tensor], Tensor]:
        """The paper's scale- and shift-invariant loss, or cross-entropy for labels."""
        from glpn_cli.models.losses import scale_and_shift_invariant_loss, segmentation_loss

        if self.predicts_labels:
            return partial(segmentation_loss, ignored=self.semantic_loss_ignore_index)
        return scale_and_shift_invariant_loss


def _as_names(names: Any) -> dict[int, str]:
    """id2label with whole numbers for keys, which JSON cannot hold, from 0 up without a gap."""
    try:
        found = {int(index): name for index, name in names.items()}
    except (AttributeError, TypeError, ValueError):
        found = {}
    if sorted(found) != list(range(len(found))) or not found or not all(isinstance(n, str) for n in found.values()):
        raise ModelError("id2label does not name every label from 0 up")
    if len(found) > _MOST_LABELS:
        raise ModelError(f"id2label names {len(found)} labels, more than {_MOST_LABELS}")
    return dict(sorted(found.items()))


def _numbered(count: int) -> dict[int, str]:
    """The names of labels that have none, as transformers gives them."""
    return {index: f"LABEL_{index}" for index in range(count)}
