"""The shape of a DPT, as its config.json says it. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from glpn_cli.errors import ModelError
from glpn_cli.models.dpt.bit_config import HYBRID_DEFAULTS, BiTConfig
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

ACTIVATIONS = ("gelu", "relu", "selu", "gelu_new")
POOLER_ACTIVATIONS = (*ACTIVATIONS, "tanh", "sigmoid")
READOUT_TYPES = ("ignore", "add", "project")
LABEL_NETWORK = "DPTForSemanticSegmentation"
DEPTH_NETWORK = "DPTForDepthEstimation"

# Documented per-call switches; part of a config in memory, of a file only where they differ from these.
_SWITCHES = {"output_attentions": False, "output_hidden_states": False, "return_dict": True}
# What only this project knows; one key in config.json holds it all.
_OWN_KEY = "glpn_cli"
_OWN_FIELDS = ("training_size", "source")
# Bounds that no honest network comes near, so that a hostile config is refused before anything is allocated.
_MOST_LAYERS, _MOST_CHANNELS, _MOST_SIDE, _MOST_PATCH, _MOST_LABELS = 1_000, 65_536, 16_384, 256, 65_535
_LISTS = ("backbone_out_indices", "reassemble_factors", "neck_hidden_sizes", "backbone_featmap_shape")


@dataclass
class DPTConfig:
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
        for name in (*_LISTS, "neck_ignore_stages", "architectures"):
            setattr(self, name, as_list(getattr(self, name)))
        self.training_size = _as_tuple(self.training_size)
        self._complete()
        self.validate()

    def _complete(self) -> None:
        """Fields that follow from others, as transformers completes them."""
        self.use_auxiliary_head = bool(self.use_auxiliary_head)
        self.use_batch_norm_in_fusion_residual = bool(self.use_batch_norm_in_fusion_residual)
        if self.is_hybrid is True:
            if not isinstance(self.backbone_config, BiTConfig):
                self.backbone_config = BiTConfig.from_dict(_as_mapping(self.backbone_config) or HYBRID_DEFAULTS)
        else:
            self.backbone_featmap_shape = None
            self.neck_ignore_stages = []
        if self.pooler_output_size is None:
            self.pooler_output_size = self.hidden_size
        names = None if self.id2label is None else _as_names(self.id2label)
        if self.num_labels is None:
            self.num_labels = 2 if names is None else len(names)
        if (names is None or names == _numbered(len(names))) and is_whole(self.num_labels):
            names = _numbered(min(self.num_labels, _MOST_LABELS))
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
        for name in ("hidden_size", "intermediate_size", "fusion_hidden_size", "pooler_output_size", "num_channels"):
            check_whole(self, name, 1, _MOST_CHANNELS)
        check_whole(self, "num_hidden_layers", 1, _MOST_LAYERS)
        check_whole(self, "num_attention_heads", 1, self.hidden_size)
        if self.hidden_size % self.num_attention_heads:
            raise ModelError(
                f"hidden_size = {self.hidden_size} is no multiple of num_attention_heads = {self.num_attention_heads}"
            )
        check_function(self, "hidden_act", ACTIVATIONS)
        check_function(self, "pooler_act", POOLER_ACTIVATIONS)
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "semantic_classifier_dropout"):
            check_real(self, name, 0, 1, highest_too=False)
        check_real(self, "initializer_range", 0, 100)
        check_real(self, "layer_norm_eps", 0, 1, lowest_too=False)
        check_real(self, "auxiliary_loss_weight", 0, 1e6)
        for name in ("is_hybrid", "qkv_bias", "add_projection", "use_auxiliary_head"):
            check_flag(self, name)
        if self.use_bias_in_fusion_residual is not None:
            check_flag(self, "use_bias_in_fusion_residual")
        check_choice(self, "readout_type", READOUT_TYPES)
        check_whole(self, "semantic_loss_ignore_index", -(2**31), 2**31 - 1)
        check_whole(self, "num_labels", 1, _MOST_LABELS)
        if len(self.label_names) != self.num_labels:
            raise ModelError(f"num_labels = {self.num_labels}, and id2label names {len(self.label_names)} of them")
        self._validate_sizes()
        self._validate_levels()
        self._validate_backbone()
        self._validate_own()

    def _validate_sizes(self) -> None:
        for name, most in (("image_size", _MOST_SIDE), ("patch_size", _MOST_PATCH)):
            value = getattr(self, name)
            sides = (value, value) if is_whole(value) else value
            if not (
                isinstance(sides, list | tuple)
                and len(sides) == 2
                and all(is_whole(side) and 1 <= side <= most for side in sides)
            ):
                raise ModelError(f"{name} = {value!r} is neither a side nor (height, width), each from 1 to {most}")
        if min(self.grid) < 1:
            raise ModelError(f"image_size = {self.image_size} is smaller than patch_size = {self.patch_size}")

    def _validate_levels(self) -> None:
        check_wholes(self, "neck_hidden_sizes", 1, _MOST_CHANNELS)
        check_wholes(self, "backbone_out_indices", 0, _MOST_LAYERS)
        levels = len(self.neck_hidden_sizes)
        factors = self.reassemble_factors
        if not isinstance(factors, list) or len(factors) != levels:
            raise ModelError(f"reassemble_factors = {factors!r} must list one number for each of the {levels} levels")
        for place, factor in enumerate(factors):
            if not _is_factor(factor):
                raise ModelError(f"reassemble_factors[{place}] = {factor!r} is neither a whole number nor a part of 1")
        check_whole(self, "head_in_index", -levels, levels - 1)

    def _validate_backbone(self) -> None:
        backbone = self.backbone_config
        if not self.is_hybrid:
            if backbone is not None:
                model_type = (_as_mapping(backbone) or {}).get("model_type")
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
        shape = self.backbone_featmap_shape
        if not (isinstance(shape, list) and len(shape) == 4 and shape[1] == backbone.output_widths[-1]):
            raise ModelError(
                f"backbone_featmap_shape = {shape!r} does not say the {backbone.output_widths[-1]} channels of the "
                "backbone's deepest features in its second place"
            )
        if self.neck_ignore_stages != [0, 1]:
            raise ModelError(
                f"neck_ignore_stages = {self.neck_ignore_stages!r} does not fit a hybrid; it must be [0, 1]"
            )

    def _validate_own(self) -> None:
        size = self.training_size
        if size is not None and not (
            isinstance(size, tuple) and len(size) == 2 and all(is_whole(side) and 1 <= side <= 65_536 for side in size)
        ):
            raise ModelError(f"training_size = {size!r} is no (height, width)")
        if self.source is not None and not isinstance(self.source, str):
            raise ModelError(f"source = {self.source!r} is no text")
        names = self.architectures
        if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            raise ModelError(f"architectures = {names!r} is no list of names")

    def check_levels(self) -> None:
        """Raise ModelError unless there is a block, and for a hybrid a backbone's stage, for every level.

        A bare encoder reads none of these fields, which is why building its config does not ask.
        """
        levels = len(self.neck_hidden_sizes)
        wanted = levels - 2 if self.is_hybrid else levels
        if len(self.blocks_read) != wanted or max(self.blocks_read) >= self.num_hidden_layers:
            raise ModelError(
                f"backbone_out_indices = {self.backbone_out_indices} must name a block from 0 to "
                f"{self.num_hidden_layers - 1} for each of the {levels} levels"
            )
        if self.backbone is not None and tuple(self.neck_hidden_sizes[:2]) != self.backbone.output_widths[:2]:
            raise ModelError(
                f"neck_hidden_sizes = {self.neck_hidden_sizes} must begin with the backbone's widths "
                f"{list(self.backbone.output_widths[:2])}"
            )

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> DPTConfig:
        """Read the object of a config.json; unknown and legacy keys are kept, never fatal.

        Raises ModelError where a known field has a nonsensical value.
        """
        raw = dict(raw)
        raw.pop("model_type", None)
        raw.pop("label2id", None)  # follows from id2label
        own = raw.pop(_OWN_KEY, None) or {}
        if not isinstance(own, Mapping):
            raise ModelError(f"config.json: {_OWN_KEY!r} is {type(own).__name__}, not an object")
        known = {name: raw.pop(name) for name in _FILE_FIELDS if name in raw}
        known |= {name: own[name] for name in _OWN_FIELDS if own.get(name) is not None}
        unknown = raw | ({_OWN_KEY: rest} if (rest := {k: v for k, v in own.items() if k not in _OWN_FIELDS}) else {})
        return cls(**known, unknown=unknown)

    def to_dict(self) -> dict[str, Any]:
        """The object of a config.json that transformers reads too."""
        for name in ("hidden_act", "pooler_act"):
            if not isinstance(value := getattr(self, name), str):
                raise ModelError(f"{name} = {value!r} is a function and cannot be written to config.json")
        own: dict[str, Any] = dict(self.unknown.get(_OWN_KEY, {}))
        own |= {name: as_list(value) for name in _OWN_FIELDS if (value := getattr(self, name)) is not None}
        written: dict[str, Any] = {name: getattr(self, name) for name in _FILE_FIELDS}
        written["backbone_config"] = None if self.backbone is None else self.backbone.to_dict()
        del written["num_labels"]
        written["id2label"] = {str(index): name for index, name in enumerate(self.label_names)}
        written["label2id"] = {name: index for index, name in enumerate(self.label_names)}
        written = {
            name: value for name, value in written.items() if _SWITCHES.get(name) != value or name not in _SWITCHES
        }
        rest = {name: value for name, value in self.unknown.items() if name != _OWN_KEY}
        return {"model_type": "dpt"} | rest | written | ({_OWN_KEY: own} if own else {})

    @classmethod
    def from_pretrained(cls, name: str, **overrides: Any) -> DPTConfig:
        """The config of a model folder, registry name or hub repository; see `glpn_cli.models.pretrained`."""
        from glpn_cli.models.pretrained import read_config

        config: DPTConfig = read_config(cls, name, overrides)
        return config

    def save_pretrained(self, folder: str) -> None:
        """Write config.json into `folder`."""
        from glpn_cli.models.pretrained import write_config

        write_config(self, folder)


_FILE_FIELDS = tuple(f.name for f in fields(DPTConfig) if f.name not in (*_OWN_FIELDS, "unknown"))


def _as_tuple(value: Any) -> Any:
    """JSON has no tuples."""
    return tuple(value) if isinstance(value, list) else value


def _as_sides(value: Any) -> tuple[int, int]:
    height, width = (value, value) if isinstance(value, int) else value
    return height, width


def _as_mapping(value: Any) -> Mapping[str, Any] | None:
    """A config as its fields, whosever object it is."""
    if value is not None and not isinstance(value, Mapping) and hasattr(value, "to_dict"):
        value = value.to_dict()
    if value is not None and not isinstance(value, Mapping):
        raise ModelError(f"backbone_config = {value!r} is no object")
    return value


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


def _is_factor(factor: object) -> bool:
    """Whether a grid can be made so many times larger: whole, or one over a whole number."""
    if not isinstance(factor, int | float) or isinstance(factor, bool) or not 1 / 64 <= factor <= 64:
        return False
    return float(factor if factor >= 1 else 1 / factor).is_integer()
