"""The documented class: the same network, with the published names, arguments and answers."""

from __future__ import annotations

from torch import Tensor

from glpn_cli.models.dense.transformer import Encoded
from glpn_cli.models.depth_anything.config import DepthAnythingConfig
from glpn_cli.models.depth_anything.network import DepthAnything
from glpn_cli.models.hf_compat_base import DepthEstimatorOutput, Encoding, HeadedModel, encode_tokens


class DepthAnythingForDepthEstimation(HeadedModel):
    """The documented depth estimator; inverse depth up to scale and shift, or metres up to `config.max_depth`.

    Pixels are as `DPTImageProcessor` makes them with the checkpoint's settings, sides multiples of 14. Hidden states
    are the tokens (B, 1 + N, C) before the first block and behind each, not normed.

    >>> model = DepthAnythingForDepthEstimation.from_pretrained("depth-anything/Depth-Anything-V2-Small-hf")
    >>> model(**processor(images=picture, return_tensors="pt")).predicted_depth   # (B, h, w)
    """

    config_class = DepthAnythingConfig
    config: DepthAnythingConfig

    def __init__(self, config: DepthAnythingConfig) -> None:
        super().__init__()
        self.config = config
        self.network = DepthAnything(config)

    def encode(self, pixels: Tensor, *, with_attentions: bool) -> Encoding:
        """Every block's tokens."""
        return encode_tokens(self.network.encoder, pixels, with_attentions=with_attentions)

    def answer(self, features: Encoded, labels: Tensor | None) -> DepthEstimatorOutput:
        """Depth; labels are refused, as published."""
        if labels is not None:
            raise NotImplementedError("DepthAnythingForDepthEstimation takes no labels; see DepthAnythingConfig.loss")
        return DepthEstimatorOutput(None, self.network.decode(features))
