"""The smallest family there can be: brightness, times a learned weight, is depth. It shows what a new family needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from glpn_cli.models.config_base import Cost, ModelConfig, WeightRow
from glpn_cli.models.fields import bounded, optional, positive, text, whole
from glpn_cli.prediction import DepthKind, DepthMap


class Toy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Linear(1, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, h, w) -> (B, h, w)."""
        depth: Tensor = self.scale(pixels.mean(dim=1)[..., None]).squeeze(-1).abs() + 0.1
        return depth


@dataclass
class ToyConfig(ModelConfig):
    model_type = "toy"
    own_fields: ClassVar = {"training_size": "training_size", "source": "source"}
    superseded = ("architectures",)

    num_channels: int = bounded(3, whole(1, 3))
    brightness: float = bounded(1.0, positive(10))
    training_size: tuple[int, int] = (64, 96)
    source: str | None = bounded(None, optional(text()))
    unknown: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> DepthKind:
        return DepthKind.SCALE

    def weight_rows(self) -> Iterator[WeightRow]:
        yield WeightRow("scale.weight", (1, 1), "toy.scale.weight")
        yield WeightRow("scale.bias", (1,), "toy.scale.bias")

    def cost(self, size: tuple[int, int]) -> Cost:
        return Cost(size[0] * size[1], 8, 4 * size[0] * size[1])

    @property
    def steps(self) -> tuple[int, int]:
        return 8, 8

    def auto_size(self, size: tuple[int, int]) -> tuple[int, int]:
        return self.scaled(size, 1.0)

    original_size = auto_size

    def preprocessor(self) -> dict[str, Any]:
        return {}

    def build(self) -> nn.Module:
        self.require_rgb()
        return Toy()

    def prepare(self, rgb: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
        pixels = torch.from_numpy(rgb.transpose(2, 0, 1).copy()).float()[None] * (self.brightness / 255)
        return nn.functional.interpolate(pixels, size)

    def decode(self, raw: Tensor, size: tuple[int, int]) -> DepthMap:
        return DepthMap(nn.functional.interpolate(raw[None, None], size)[0, 0].numpy(), kind=self.kind)

    def cast(self, network: nn.Module, precision: str) -> nn.Module:
        return network

    def loss(self) -> Callable[[Tensor, Tensor], Tensor]:
        return nn.functional.l1_loss
