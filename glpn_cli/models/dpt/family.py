"""DPT as the rest of the house sees it. Importing this does not import torch; building a network does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from glpn_cli.errors import ModelError
from glpn_cli.models.config_base import Cost, InputSize, WeightRow, require_colours
from glpn_cli.models.dpt import cost, sizes, weights
from glpn_cli.models.dpt.config import DPTConfig
from glpn_cli.prediction import DepthKind, DepthMap, LabelMap, Prediction

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn


class DPTFamily:
    """See `glpn_cli.models.config_base.ModelFamily` for what each method promises."""

    name = "dpt"
    config_type = DPTConfig

    def read_config(self, raw: Mapping[str, Any]) -> DPTConfig:
        """The validated config of a config.json."""
        return DPTConfig.from_dict(raw)

    def config_with_limit(self, config: DPTConfig, limit_m: float) -> DPTConfig:  # noqa: ARG002
        """There is no metre in this family. Raises ModelError."""
        raise ModelError("a DPT predicts no metres, so it has no largest depth")

    def shapes(self, config: DPTConfig) -> dict[str, tuple[int, ...]]:
        """Name -> shape of every tensor."""
        return weights.shapes(config)

    def weight_rows(self, config: DPTConfig) -> Iterator[WeightRow]:
        """Every tensor with its foreign names."""
        return weights.weight_rows(config)

    def parts(self, config: DPTConfig) -> dict[str, int]:
        """Parameters of encoder, reassembly, fusion and heads."""
        return weights.parts(config)

    def cost(self, config: DPTConfig, size: tuple[int, int]) -> Cost:
        """What one picture of network size (h, w) costs."""
        return cost.cost(config, size)

    def kind(self, config: DPTConfig) -> DepthKind | None:
        """Inverse depth up to scale and shift, or labels."""
        return None if config.predicts_labels else DepthKind.DISPARITY

    def limit_m(self, config: DPTConfig) -> None:  # noqa: ARG002
        """No metres, no limit."""
        return

    def training_size(self, config: DPTConfig) -> tuple[int, int]:
        """(h, w) of the training pictures."""
        return config.training_size or config.image_sides

    def training_focal_px(self, config: DPTConfig) -> None:  # noqa: ARG002
        """Trained on pictures of many cameras."""
        return

    def network_size(self, config: DPTConfig, size: tuple[int, int], asked: InputSize) -> tuple[int, int]:
        """(h, w) that the network sees of a picture of (H, W)."""
        return sizes.network_size(config, size, asked)

    def build(self, config: DPTConfig) -> nn.Module:
        """The network with fresh weights."""
        from glpn_cli.models.dpt.network import DPT

        require_colours(config)
        return DPT(config)

    def prepare(self, config: DPTConfig, rgb: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:  # noqa: ARG002
        """uint8 (H, W, 3) -> float32 (1, 3, h, w)."""
        from glpn_cli.models.dpt.preprocess import prepare

        return prepare(rgb, size)

    def decode(self, config: DPTConfig, raw: Tensor, size: tuple[int, int]) -> Prediction:
        """Bring one answer back to the picture's own (H, W): inverse depth (h, w), or logits (labels, h, w)."""
        from glpn_cli.models.dpt.preprocess import restore, restore_labels

        if config.predicts_labels:
            return LabelMap(restore_labels(raw, size), config.label_names)
        return DepthMap(restore(raw, size), kind=DepthKind.DISPARITY)

    def cast(self, network: nn.Module, precision: str) -> nn.Module:
        """The network in fp32, bf16 or fp16, its last convolution always in fp32."""
        from glpn_cli.models.dpt.fast import cast

        return cast(network, precision)

    def preprocessor(self, config: DPTConfig) -> dict[str, Any]:
        """The published processor, at the training size."""
        height, width = self.training_size(config)
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

    def loss(self, config: DPTConfig) -> Callable[[Tensor, Tensor], Tensor]:
        """The paper's scale- and shift-invariant loss, or cross-entropy for labels."""
        from glpn_cli.models.dpt.loss import scale_and_shift_invariant_loss, segmentation_loss

        if config.predicts_labels:
            return partial(segmentation_loss, ignored=config.semantic_loss_ignore_index)
        return scale_and_shift_invariant_loss


FAMILY = DPTFamily()
