"""The contract of a family of networks, and the table of families.

A family is one folder beside this file and one line in `FAMILIES`, which names its config class. Everything that
depends on the config is a method of that class. Torch is imported inside `build`, `prepare`, `decode`, `cast` and
`loss` only, so planning, listing and inspecting work without it.
"""

from __future__ import annotations

import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from importlib import import_module
from importlib.metadata import entry_points
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from glpn_cli.checkpoint import CONFIG_FILE, OWN_KEY
from glpn_cli.errors import ModelError, UsageError
from glpn_cli.models.fields import as_list, check_fields, read_fields
from glpn_cli.text import size_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from glpn_cli.checkpoint import Checkpoint
    from glpn_cli.models.state_dict import StateDictMatch
    from glpn_cli.prediction import DepthKind, DepthMap, Prediction

FAMILIES = {
    "depth_anything": "glpn_cli.models.depth_anything.config:DepthAnythingConfig",
    "dpt": "glpn_cli.models.dpt.config:DPTConfig",
    "glpn": "glpn_cli.models.glpn.config:GLPNConfig",
    "lite_depth": "glpn_cli.models.lite_depth.config:LiteDepthConfig",
}
"""`model_type` of a config.json -> module and name of the config class."""

FAMILIES_OF_PACKAGES = "glpn.families"
"""The entry points by which an installed package brings families of its own."""

_SWITCHES = {"output_attentions": False, "output_hidden_states": False, "return_dict": True}
"""Documented per-call switches. A file holds them only where they differ from these defaults."""


@dataclass(frozen=True)
class InputSize:
    """The size that the network sees: a policy (`auto`, `original`), a longest side, or an exact (height, width).

    `auto` brings pictures much larger than those the model was trained on down to that area; `original` is the
    published processor at any size.
    """

    policy: str = "auto"
    longest_side: int | None = None
    exact: tuple[int, int] | None = None

    @classmethod
    def parse(cls, text: str) -> InputSize:
        """Read `auto`, `original`, `640` (longest side) or `640x480` (WIDTHxHEIGHT)."""
        word = text.strip().lower()
        if word in ("auto", "original"):
            return cls(word)
        if re.fullmatch(r"\d{1,5}", word) and int(word) > 0:
            return cls("longest", longest_side=int(word))
        if (found := re.fullmatch(r"(\d{1,5})[x×](\d{1,5})", word)) and min(map(int, found.groups())) > 0:
            width, height = map(int, found.groups())
            return cls("exact", exact=(height, width))
        raise UsageError(
            f"--input-size {text!r} is no size",
            hint="Use auto, original, a longest side (640) or WIDTHxHEIGHT (640x480).",
        )

    def __str__(self) -> str:
        if self.exact is not None:
            return size_text(self.exact)
        return self.policy if self.longest_side is None else str(self.longest_side)


@dataclass(frozen=True)
class Cost:
    """What one picture costs: multiply-accumulates, and the bytes that weights and largest activations take in fp32."""

    macs: int
    weight_bytes: int
    activation_bytes: int

    @property
    def memory_bytes(self) -> int:
        """Weights and activations together."""
        return self.weight_bytes + self.activation_bytes


@dataclass(frozen=True)
class WeightRow:
    """One tensor of a network: its name here, its shape, and the name it has in other people's files.

    name:         as in the network's own state dict
    shape:        as there
    transformers: as in the checkpoints that transformers writes, and so in ours
    author:       as in the author's checkpoints, None where those have no such tensor
    author_slice: (part, parts) where the author stacks several tensors into one along the first axis
    is_counter:   an integer that only counts training batches; may be absent from a file
    is_idle:      not used by the forward pass and gets no gradient; may be absent from a file
    """

    name: str
    shape: tuple[int, ...]
    transformers: str
    author: str | None = None
    author_slice: tuple[int, int] | None = None
    is_counter: bool = False
    is_idle: bool = False

    @property
    def is_parameter(self) -> bool:
        """Whether it is learned; running statistics and counters of batch norms are not."""
        return not self.is_counter and ".running_" not in self.name


class ModelConfig(ABC):
    """A family of networks: base of the config classes, which are dataclasses of the documented fields.

    model_type: the family's name in config.json
    own_fields: fields that only this project knows: key under "glpn_cli" in config.json -> field
    superseded: keys of a file that repeat what the fields say

    Keys of a file that are none of its fields are kept in `unknown`, written back and otherwise ignored.
    All sizes are (height, width). Constructing a config checks it: ModelError names the field and its value.
    """

    model_type: ClassVar[str]
    own_fields: ClassVar[Mapping[str, str]]
    superseded: ClassVar[tuple[str, ...]]
    depth_class: ClassVar[str] = ""
    processor_class: ClassVar[str] = ""
    runs_through: ClassVar[str | None] = None
    """For an adapter, the library that runs the network, in fp32: it gets every pixel, and chooses the size."""

    training_size: tuple[int, int]
    """(h, w) of the pictures that it was trained on."""
    training_focal_px: float | None = None
    """Focal length at `training_size`, in pixels, of the camera that its metres belong to; None if unknown."""
    source: str | None
    unknown: dict[str, Any]

    def __post_init__(self) -> None:
        read_fields(self)
        check_fields(self)
        self.complete()
        self.check_together()

    def complete(self) -> None:  # noqa: B027 - most configs are complete as they are
        """Fill in fields that follow from others; each is within its bounds by then. Raises ModelError."""

    def check_together(self) -> None:  # noqa: B027 - each field by itself may be enough
        """Raise ModelError where fields, each within its bounds, do not fit each other."""

    # The network, told without torch.

    @property
    @abstractmethod
    def num_channels(self) -> int:
        """Channels of the pictures that the network takes."""

    @property
    @abstractmethod
    def kind(self) -> DepthKind | None:
        """What its depth means; None for a network that predicts labels."""

    @property
    def limit_m(self) -> float | None:
        """The largest depth that it can predict, metres; None where it predicts no metres."""
        return None

    @property
    def scale_source(self) -> str:
        """A sentence: where the limit comes from, or why there is none."""
        return "it predicts no metres" if self.limit_m is None else f"{self.limit_m:g} m, by its config.json"

    @property
    def unread_keys(self) -> tuple[str, ...]:
        """Keys of config.json that mean nothing here."""
        return tuple(sorted(self.unknown))

    @property
    def label_names(self) -> tuple[str, ...]:
        """One name a label, for a network that predicts labels."""
        return ()

    def with_limit(self, limit_m: float) -> Self:  # noqa: ARG002 - for families that predict metres
        """The same config with another largest depth, in metres. Raises ModelError where it predicts no metres."""
        raise ModelError(f"a {self.model_type.upper()} predicts no metres, so it has no largest depth")

    @abstractmethod
    def weight_rows(self) -> Iterator[WeightRow]:
        """Every tensor of the network, in the order of the forward pass, with its names in other people's files."""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape of every tensor of the network's state dict."""
        return {row.name: row.shape for row in self.weight_rows()}

    def parts(self) -> dict[str, int]:
        """Parameters by part of the network, in the order of the forward pass."""
        counts: dict[str, int] = {}
        for row in self.weight_rows():
            part = row.name.split(".")[0]
            counts[part] = counts.get(part, 0) + (math.prod(row.shape) if row.is_parameter else 0)
        return counts

    def match(self, shapes: Mapping[str, tuple[int, ...]]) -> StateDictMatch:
        """How a file's tensors, name -> shape, fit the network."""
        from glpn_cli.models.state_dict import StateDictMatch

        return StateDictMatch.of(self.weight_rows(), shapes)

    @property
    def weight_bytes(self) -> int:
        """The bytes of all its tensors in fp32, but for counters."""
        return 4 * sum(math.prod(row.shape) for row in self.weight_rows() if not row.is_counter)

    @abstractmethod
    def cost(self, size: tuple[int, int]) -> Cost:
        """What one picture of network size (h, w) costs.

        As in the field's counters, convolutions, linear layers and the two products of attention are counted; norms,
        activations and resampling are not. `activation_bytes` is the peak at any one time, to the nearest layer.
        """

    @property
    @abstractmethod
    def steps(self) -> tuple[int, int]:
        """The network's height and width are multiples of these."""

    @abstractmethod
    def auto_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Network size (h, w) for a picture of (H, W), near the area that the network was trained on."""

    @abstractmethod
    def original_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Network size (h, w) for a picture of (H, W), as the published processor chooses it.

        Raises InputError for a picture that the published processor cannot take.
        """

    def network_size(self, size: tuple[int, int], asked: InputSize) -> tuple[int, int]:
        """Network size (h, w) for a picture of (H, W). Raises UsageError for a size that the network cannot take."""
        if asked.exact is not None:
            if any(side % step for side, step in zip(asked.exact, self.steps, strict=True)):
                near = self.scaled(asked.exact, 1.0)
                raise UsageError(
                    f"--input-size {asked} does not fit the model",
                    hint=f"Sides must be multiples of {size_text(self.steps)}, such as {size_text(near)}.",
                )
            return asked.exact
        if asked.longest_side is not None:
            return self.scaled(size, asked.longest_side / max(size))
        return self.original_size(size) if asked.policy == "original" else self.auto_size(size)

    def scaled(self, size: tuple[int, int], factor: float) -> tuple[int, int]:
        """Both sides times `factor`, each rounded to the nearest multiple of its step, at least one step."""
        height, width = (
            max(round(side * factor / step), 1) * step for side, step in zip(size, self.steps, strict=True)
        )
        return height, width

    def of_area(self, size: tuple[int, int], area: float) -> tuple[int, int]:
        """Network size (h, w) of about `area` pixels, in the picture's aspect."""
        height, width = self.scaled(size, math.sqrt(area / math.prod(size)))
        step = self.steps
        # Where the short side cannot get shorter, the long one must, or the cost of a long strip has no bound.
        return (
            min(height, max(int(area) // width // step[0], 1) * step[0]) if width == step[1] else height,
            min(width, max(int(area) // height // step[1], 1) * step[1]) if height == step[0] else width,
        )

    @abstractmethod
    def preprocessor(self) -> dict[str, Any]:
        """The published processor's preprocessor_config.json, for weights that come without one."""

    # The network itself. These import torch.

    @abstractmethod
    def build(self) -> nn.Module:
        """The network with fresh weights: pixels, as `prepare` makes them -> raw output.

        Depth (B, h, w), or logits (B, labels, h, w). Raises ModelError for a config that makes no such network.
        """

    def load(self, checkpoint: Checkpoint) -> nn.Module:
        """The network with a checkpoint's weights, in fp32. Raises ModelError naming every tensor that does not fit."""
        from glpn_cli.models.layers import Unfilled
        from glpn_cli.models.state_dict import read_state

        state = read_state(checkpoint, self.weight_rows())
        with Unfilled():
            network = self.build()
        network.load_state_dict(state, strict=True, assign=True)
        return network

    @abstractmethod
    def prepare(self, rgb: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
        """uint8 (H, W, 3) -> pixels float32 (1, 3, h, w), as the published processor makes them."""

    @abstractmethod
    def decode(self, raw: Tensor, size: tuple[int, int]) -> Prediction:
        """One raw output, float32 -> a prediction at the picture's own (H, W)."""

    @abstractmethod
    def cast(self, network: nn.Module, precision: str) -> nn.Module:
        """Make the network ready to predict in fp32, bf16 or fp16, in place; what must stay fp32 does."""

    @abstractmethod
    def loss(self) -> Callable[[Tensor, Tensor], Tensor]:
        """The published training loss: (predicted, target) -> scalar."""

    def require_own_network(self, purpose: str) -> None:
        """Raise ModelError where another library runs the network; `purpose` begins the message."""
        if self.runs_through is not None:
            raise ModelError(
                f"{purpose} is not available for a {self.model_type} model, which runs through {self.runs_through}",
                hint=f"It is available for models of these families: {', '.join(FAMILIES)}.",
            )

    def require_rgb(self) -> None:
        """Raise ModelError unless the network takes the three channels that `prepare` makes.

        The documented classes take tensors of any number of channels; predictions do not.
        """
        if self.num_channels != 3:
            raise ModelError(f"the network takes num_channels = {self.num_channels}, and pictures have 3")

    # In and out of config.json.

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """Read the object of a config.json; unknown and legacy keys are kept, never fatal.

        Raises ModelError where a known field has a nonsensical value.
        """
        rest = {key: value for key, value in raw.items() if key not in ("model_type", *cls.superseded)}
        own = rest.pop(OWN_KEY, None) or {}
        if not isinstance(own, Mapping):
            raise ModelError(f"config.json: {OWN_KEY!r} is {type(own).__name__}, not an object")
        known: dict[str, Any] = {name: rest.pop(name) for name in cls.file_fields() if name in rest}
        known |= {field: own[key] for key, field in cls.own_fields.items() if own.get(key) is not None}
        if unknown_own := {key: value for key, value in own.items() if key not in cls.own_fields}:
            rest[OWN_KEY] = unknown_own
        known["unknown"] = rest
        return cls(**known)

    def to_dict(self) -> dict[str, Any]:
        """The object of a config.json that transformers reads too. Raises ModelError for a function as activation."""
        rest = dict(self.unknown)
        own = dict(rest.pop(OWN_KEY, {})) | self.own_values()
        written = {name: value for name, value in self.file_values().items() if _SWITCHES.get(name, ...) != value}
        for name, value in written.items():
            if callable(value):
                raise ModelError(f"{name} = {value!r} is a function and cannot be written to config.json")
        return {"model_type": self.model_type} | rest | written | ({OWN_KEY: own} if own else {})

    @classmethod
    def file_fields(cls) -> list[str]:
        """The documented fields: all but our own."""
        own = (*cls.own_fields, "unknown")
        return [each.name for each in fields(cls) if each.name not in own]  # type: ignore[arg-type]  # a dataclass

    def file_values(self) -> dict[str, Any]:
        """The documented fields as config.json holds them."""
        return {name: getattr(self, name) for name in self.file_fields()}

    def own_values(self) -> dict[str, Any]:
        """The fields under "glpn_cli" in config.json, without those that are None."""
        values = {key: as_list(getattr(self, name)) for key, name in self.own_fields.items()}
        return {key: value for key, value in values.items() if value is not None}

    @classmethod
    def from_pretrained(cls, name: str | PathLike[str], **overrides: Any) -> Self:
        """The config of a model folder, registry name or hub repository, with some fields replaced."""
        from glpn_cli.models.hf_compat_base import read_pretrained_config

        config: Self = read_pretrained_config(cls, name, overrides)
        return config

    def save_pretrained(self, folder: str | PathLike[str]) -> None:
        """Write config.json into `folder`."""
        from glpn_cli.atomic_write import write_atomically

        text = json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"
        write_atomically(Path(folder) / CONFIG_FILE, text.encode())


class MetricConfig(ModelConfig):
    """A family whose networks answer in metres, in proportion to `max_depth`, the largest of them."""

    max_depth: float

    @property
    def kind(self) -> DepthKind:
        """Metres along the optical axis."""
        from glpn_cli.prediction import DepthKind

        return DepthKind.METRIC

    @property
    def limit_m(self) -> float:
        """The largest depth."""
        return float(self.max_depth)

    def with_limit(self, limit_m: float) -> Self:
        """The same config with another largest depth."""
        return replace(self, max_depth=limit_m)  # type: ignore[type-var]  # a dataclass

    def decode(self, raw: Tensor, size: tuple[int, int]) -> DepthMap:
        """Metres (h, w) -> (H, W), bicubic, inside the network's range."""
        from glpn_cli.models.image_processor import restore_metres
        from glpn_cli.prediction import DepthMap

        return DepthMap(restore_metres(raw, size, limit_m=self.limit_m), limit=self.limit_m)

    def loss(self) -> Callable[[Tensor, Tensor], Tensor]:
        """The scale-invariant log loss of the GLPN paper."""
        from glpn_cli.models.losses import silog_loss

        return silog_loss


def config_class(model_type: object) -> type[ModelConfig]:
    """The config class of a `model_type`: one of `FAMILIES`, or one that an installed package brings.

    A package names its class under the entry points "glpn.families", as `NAME = "module:Class"` where NAME is the
    `model_type`. Depth models of neither get an adapter to transformers, where that is installed. Raises ModelError
    naming the supported ones, or the package whose class cannot be imported.
    """
    if isinstance(model_type, str) and model_type in FAMILIES:
        module, _, name = FAMILIES[model_type].partition(":")
        return cast(type[ModelConfig], getattr(import_module(module), name))
    brought = {point.name: point for point in entry_points(group=FAMILIES_OF_PACKAGES)}
    hint = f"Supported are: {', '.join(FAMILIES | brought)}."
    if not isinstance(model_type, str):
        raise ModelError("config.json has no model_type", hint=hint)
    if model_type not in brought:
        from glpn_cli.models.adapter.config import INSTALL, adapter_class

        if (adapted := adapter_class(model_type)) is not None:
            return adapted
        hint = f"{hint[:-1]}, and the depth models of transformers ({INSTALL})."
        raise ModelError(f"model type {model_type!r} is not supported", hint=hint)
    point = brought[model_type]
    try:
        found = point.load()
    except Exception as error:  # it is somebody else's code
        raise ModelError(f"model type {model_type!r} cannot be imported from {point.value}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, ModelConfig)):
        raise ModelError(f"model type {model_type!r} is {point.value}, which is no ModelConfig")
    return found


def read_config(raw: Mapping[str, Any]) -> ModelConfig:
    """The checked config of a config.json, of the class that its `model_type` names. Raises ModelError."""
    return config_class(raw.get("model_type")).from_dict(raw)
