"""GLPN as the rest of the house sees it. Importing this does not import torch; building a network does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from glpn_cli.models.config_base import Cost, InputSize, WeightRow, require_colours
from glpn_cli.models.glpn import cost, sizes, weights
from glpn_cli.models.glpn.config import GLPNConfig
from glpn_cli.prediction import DepthKind, DepthMap

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn


class GLPNFamily:
    """See `glpn_cli.models.config_base.ModelFamily` for what each method promises."""

    name = "glpn"
    config_type = GLPNConfig

    def read_config(self, raw: Mapping[str, Any]) -> GLPNConfig:
        """The validated config of a config.json."""
        return GLPNConfig.from_dict(raw)

    def config_with_limit(self, config: GLPNConfig, limit_m: float) -> GLPNConfig:
        """The same config with another depth at full scale."""
        return replace(config, max_depth=limit_m)

    def shapes(self, config: GLPNConfig) -> dict[str, tuple[int, ...]]:
        """Name -> shape of every tensor."""
        return weights.shapes(config)

    def weight_rows(self, config: GLPNConfig) -> Iterator[WeightRow]:
        """Every tensor with its foreign names."""
        return weights.weight_rows(config)

    def parts(self, config: GLPNConfig) -> dict[str, int]:
        """Parameters of encoder, decoder and head."""
        return weights.parts(config)

    def cost(self, config: GLPNConfig, size: tuple[int, int]) -> Cost:
        """What one picture of network size (h, w) costs."""
        return cost.cost(config, size)

    def kind(self, config: GLPNConfig) -> DepthKind:  # noqa: ARG002 - every GLPN is metric
        """Metres along the optical axis."""
        return DepthKind.METRIC

    def limit_m(self, config: GLPNConfig) -> float:
        """The head's full scale."""
        return float(config.max_depth)

    def training_size(self, config: GLPNConfig) -> tuple[int, int]:
        """(h, w) of the training pictures."""
        return config.training_size

    def training_focal_px(self, config: GLPNConfig) -> float | None:
        """Focal length at that size, where known."""
        return config.training_focal_px

    def network_size(self, config: GLPNConfig, size: tuple[int, int], asked: InputSize) -> tuple[int, int]:
        """(h, w) that the network sees of a picture of (H, W)."""
        return sizes.network_size(config, size, asked)

    def build(self, config: GLPNConfig) -> nn.Module:
        """The network with fresh weights."""
        from glpn_cli.models.glpn.network import GLPN

        require_colours(config)
        return GLPN(config)

    def prepare(self, config: GLPNConfig, rgb: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:  # noqa: ARG002
        """uint8 (H, W, 3) -> float32 (1, 3, h, w)."""
        from glpn_cli.models.glpn.preprocess import prepare

        return prepare(rgb, size)

    def decode(self, config: GLPNConfig, raw: Tensor, size: tuple[int, int]) -> DepthMap:
        """Bring one answer, float32 (h, w) metres, back to the picture's own (H, W), inside the network's range."""
        from glpn_cli.models.glpn.preprocess import restore

        return DepthMap(restore(raw, size, limit_m=config.max_depth), limit=float(config.max_depth))

    def cast(self, network: nn.Module, precision: str) -> nn.Module:
        """The network in fp32, bf16 or fp16, its last convolution always in fp32."""
        from glpn_cli.models.glpn.fast import cast

        return cast(network, precision)

    def preprocessor(self, config: GLPNConfig) -> dict[str, Any]:  # noqa: ARG002
        """The published processor."""
        return {
            "do_rescale": True,
            "do_resize": True,
            "image_processor_type": "GLPNImageProcessor",
            "resample": 2,
            "size_divisor": 32,
        }

    def loss(self, config: GLPNConfig) -> Callable[[Tensor, Tensor], Tensor]:  # noqa: ARG002
        """The paper's scale-invariant log loss."""
        from glpn_cli.models.glpn.loss import silog_loss

        return silog_loss


FAMILY = GLPNFamily()
