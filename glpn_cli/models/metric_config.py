"""The base of families whose networks answer in metres, in proportion to the depth at their full scale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from glpn_cli.models.config_base import ModelConfig
from glpn_cli.prediction import DepthKind, DepthMap

if TYPE_CHECKING:
    from torch import Tensor


class MetricConfig(ModelConfig):
    """A config with a `max_depth` in metres: the largest depth, with which all depths grow."""

    max_depth: float

    @property
    def kind(self) -> DepthKind:
        """Metres along the optical axis."""
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

        return DepthMap(restore_metres(raw, size, limit_m=self.limit_m), limit=self.limit_m)

    def loss(self) -> Callable[[Tensor, Tensor], Tensor]:
        """The scale-invariant log loss of the GLPN paper."""
        from glpn_cli.models.losses import silog_loss

        return silog_loss
