"""The shape of a GLPN, as its config.json says it. No torch here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from glpn_cli.errors import ModelError
from glpn_cli.models.fields import check_function, check_real, check_whole, is_whole

EPS_MODES = ("transformers", "author")
ACTIVATIONS = ("gelu", "relu", "selu", "gelu_new")

# Documented per-call switches; part of a config in memory, of a file only where they differ from these.
_SWITCHES = {"output_attentions": False, "output_hidden_states": False, "return_dict": True}
# What only this project knows; one key in config.json holds it all.
_OWN_KEY = "glpn_cli"
_OWN_FIELDS = ("training_size", "training_focal_px", "layer_norm_eps_mode", "source")
# Bounds that no honest network comes near, so that a hostile config is refused before anything is allocated.
_MOST_BLOCKS, _MOST_LAYERS, _MOST_CHANNELS, _MOST_KERNEL, _MOST_RATIO = 8, 1_000, 16_384, 64, 64


@dataclass
class GLPNConfig:
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
    max_depth:             depth at the head's full scale, metres.
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
            value = getattr(self, name)
            if isinstance(value, tuple):
                setattr(self, name, list(value))
        self.training_size = _as_tuple(self.training_size)
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
        if self.layer_norm_eps_mode not in EPS_MODES:
            raise ModelError(f"layer_norm_eps_mode = {self.layer_norm_eps_mode!r} is none of {', '.join(EPS_MODES)}")
        self._validate_own()

    def _validate_own(self) -> None:
        size = self.training_size
        if not (
            isinstance(size, tuple) and len(size) == 2 and all(is_whole(side) and 1 <= side <= 65_536 for side in size)
        ):
            raise ModelError(f"training_size = {size!r} is no (height, width)")
        if self.training_focal_px is not None:
            check_real(self, "training_focal_px", 0, 1e6, lowest_too=False)
        if self.source is not None and not isinstance(self.source, str):
            raise ModelError(f"source = {self.source!r} is no text")

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> GLPNConfig:
        """Read the object of a config.json; unknown and legacy keys are kept, never fatal.

        Raises ModelError where a known field has a nonsensical value.
        """
        raw = dict(raw)
        raw.pop("model_type", None)
        raw.pop("architectures", None)
        own = raw.pop(_OWN_KEY, None) or {}
        if not isinstance(own, Mapping):
            raise ModelError(f"config.json: {_OWN_KEY!r} is {type(own).__name__}, not an object")
        known = {name: raw.pop(name) for name in _FILE_FIELDS if name in raw}
        known |= {name: own[name] for name in _OWN_FIELDS if own.get(name) is not None}
        if own.get("limit_m") is not None:
            known["max_depth"] = own["limit_m"]
        unknown = raw | ({_OWN_KEY: rest} if (rest := {k: v for k, v in own.items() if k not in _OWN_READ}) else {})
        return cls(**known, unknown=unknown)

    def to_dict(self) -> dict[str, Any]:
        """The object of a config.json that transformers reads too: whole metres stay whole there."""
        if not isinstance(self.hidden_act, str):
            raise ModelError(f"hidden_act = {self.hidden_act!r} is a function and cannot be written to config.json")
        own: dict[str, Any] = dict(self.unknown.get(_OWN_KEY, {}))
        own |= {name: value for name in _OWN_FIELDS if (value := getattr(self, name)) is not None}
        own["training_size"] = list(self.training_size)
        own["limit_m"] = self.max_depth
        written: dict[str, Any] = {name: getattr(self, name) for name in _FILE_FIELDS}
        # transformers insists on an integer; what it cannot hold is exact in limit_m.
        written["max_depth"] = max(1, round(self.max_depth))
        written = {name: value for name, value in written.items() if _SWITCHES.get(name) != value}
        rest = {name: value for name, value in self.unknown.items() if name != _OWN_KEY}
        return {"model_type": "glpn"} | rest | written | {_OWN_KEY: own}

    @classmethod
    def from_pretrained(cls, name: str, **overrides: Any) -> GLPNConfig:
        """The config of a model folder, registry name or hub repository; see `glpn_cli.models.pretrained`."""
        from glpn_cli.models.pretrained import read_config

        config: GLPNConfig = read_config(cls, name, overrides)
        return config

    def save_pretrained(self, folder: str) -> None:
        """Write config.json into `folder`."""
        from glpn_cli.models.pretrained import write_config

        write_config(self, folder)


_PER_STAGE: dict[str, tuple[int, int]] = {
    "depths": (1, _MOST_LAYERS),
    "sr_ratios": (1, _MOST_KERNEL),
    "hidden_sizes": (1, _MOST_CHANNELS),
    "patch_sizes": (1, _MOST_KERNEL),
    "strides": (1, _MOST_KERNEL),
    "num_attention_heads": (1, _MOST_CHANNELS),
    "mlp_ratios": (1, _MOST_RATIO),
}
_FILE_FIELDS = tuple(f.name for f in fields(GLPNConfig) if f.name not in (*_OWN_FIELDS, "unknown"))
_OWN_READ = (*_OWN_FIELDS, "limit_m")


def _as_tuple(value: Any) -> Any:
    """JSON has no tuples."""
    return tuple(value) if isinstance(value, list) else value


def _check_stages(config: GLPNConfig, name: str, least: int, most: int) -> None:
    values = getattr(config, name)
    if not isinstance(values, list) or len(values) != config.num_encoder_blocks:
        raise ModelError(f"{name} = {values!r} must list one number for each of the {config.num_encoder_blocks} stages")
    for stage, value in enumerate(values):
        if not (is_whole(value) and least <= value <= most):
            raise ModelError(f"{name}[{stage}] = {value!r} is no whole number from {least} to {most}")
