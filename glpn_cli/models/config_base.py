"""What every family of networks promises, and the table of those there are.

A family is one folder beside this file and one line in `FAMILIES`. Everything that plans, lists or inspects uses the
torch-free half of the contract; only building and running a network imports torch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

from glpn_cli.errors import ModelError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from glpn_cli.prediction import DepthKind, Prediction

FAMILIES = {"glpn": "glpn_cli.models.glpn.family", "dpt": "glpn_cli.models.dpt.family"}
"""`model_type` of a config.json -> the module whose `FAMILY` answers for it."""


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
        """Read what users type: `auto`, `original`, `640` (longest side) or `640x480` (WIDTHxHEIGHT)."""
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
            return f"{self.exact[1]}x{self.exact[0]}"
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
    is_idle:      takes no part in the network's answer and gets no gradient; may be absent from a file
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


class ModelFamily(Protocol):
    """A kind of network. Everything up to `weight_rows` works without torch.

    `config` is the family's own config type everywhere; sizes are (height, width).
    """

    name: str
    config_type: type[Any]

    def read_config(self, raw: Mapping[str, Any]) -> Any:
        """The validated config of a config.json. Raises ModelError naming the field and its value."""

    def config_with_limit(self, config: Any, limit_m: float) -> Any:
        """The same config with another depth at full scale, in metres."""

    def shapes(self, config: Any) -> dict[str, tuple[int, ...]]:
        """Name -> shape of every tensor of the network's state dict."""

    def weight_rows(self, config: Any) -> Iterator[WeightRow]:
        """The same tensors with the names that other people's files give them."""

    def parts(self, config: Any) -> dict[str, int]:
        """Parameters by part of the network, in the order of the forward pass."""

    def cost(self, config: Any, size: tuple[int, int]) -> Cost:
        """What one picture of network size (h, w) costs."""

    def kind(self, config: Any) -> DepthKind | None:
        """What its depth means; None for a family member that predicts labels."""

    def limit_m(self, config: Any) -> float | None:
        """The largest depth that it can express, metres."""

    def training_size(self, config: Any) -> tuple[int, int]:
        """(h, w) of the pictures it was trained on."""

    def training_focal_px(self, config: Any) -> float | None:
        """Focal length at `training_size`, in pixels, of the camera that its metres belong to."""

    def network_size(self, config: Any, size: tuple[int, int], asked: InputSize) -> tuple[int, int]:
        """(h, w) that the network sees of a picture of (H, W). Raises UsageError for a size it cannot take."""

    def build(self, config: Any) -> nn.Module:
        """The network with fresh weights: what `prepare` makes, stacked -> raw answers.

        Depth (B, h, w), or logits (B, labels, h, w). Raises ModelError for a config that `prepare` makes nothing for.
        """

    def prepare(self, config: Any, rgb: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
        """uint8 (H, W, 3) -> float32 (1, 3, h, w), as the published processor does it."""

    def decode(self, config: Any, raw: Tensor, size: tuple[int, int]) -> Prediction:
        """One raw answer, float32 -> a prediction of the picture's own (H, W)."""

    def cast(self, network: nn.Module, precision: str) -> nn.Module:
        """The network ready to predict in fp32, bf16 or fp16; what must stay fp32 does."""

    def preprocessor(self, config: Any) -> dict[str, Any]:
        """The published processor as a preprocessor_config.json says it, for weights that come without one."""

    def loss(self, config: Any) -> Callable[[Tensor, Tensor], Tensor]:
        """(predicted, target) -> the published training loss."""


def require_colours(config: Any) -> None:
    """Raise ModelError unless the network of a config looks at the three colours of a picture, as `prepare` makes them.

    The documented classes take tensors of any number of channels; predictions do not.
    """
    if config.num_channels != 3:
        raise ModelError(f"the network looks at num_channels = {config.num_channels}, and pictures have 3")


def find_family(model_type: str) -> ModelFamily:
    """The family that answers for a `model_type`. Raises ModelError naming those there are."""
    if model_type not in FAMILIES:
        raise ModelError(
            f"model type {model_type!r} is not supported", hint=f"Supported are: {', '.join(sorted(FAMILIES))}."
        )
    return cast(ModelFamily, import_module(FAMILIES[model_type]).FAMILY)


def family_of(config: Mapping[str, Any]) -> ModelFamily:
    """The family of a raw config.json. Raises ModelError where it does not say."""
    model_type = config.get("model_type")
    if not isinstance(model_type, str):
        raise ModelError("config.json has no model_type", hint=f"Supported are: {', '.join(sorted(FAMILIES))}.")
    return find_family(model_type)
