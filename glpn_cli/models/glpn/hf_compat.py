"""The two documented classes: the same network, with the published names, arguments and answers."""

from __future__ import annotations

from torch import Tensor

from glpn_cli.models.glpn.config import GLPNConfig
from glpn_cli.models.glpn.encoder import MixTransformer
from glpn_cli.models.glpn.network import GLPN
from glpn_cli.models.hf_compat_base import BareEncoder, DepthEstimatorOutput, EncoderOutput, Encoding, HeadedModel
from glpn_cli.models.layers import check_pixels, initialise
from glpn_cli.models.losses import silog_loss


class GLPNModel(BareEncoder):
    """The documented bare encoder; pixels are in [0, 1].

    >>> model = GLPNModel.from_pretrained("vinvino02/glpn-kitti")
    >>> model(pixel_values).last_hidden_state   # (B, 512, h / 32, w / 32)
    """

    config_class = GLPNConfig
    config: GLPNConfig
    part = "encoder."
    base_prefix = "glpn."

    def __init__(self, config: GLPNConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = MixTransformer(config)
        initialise(self, config.initializer_range)

    def encode(self, pixels: Tensor, *, with_attentions: bool) -> Encoding:
        """One grid (B, C, h, w) a stage."""
        check_pixels(pixels, stride=1)
        return _encode(self.encoder, pixels, with_attentions=with_attentions)

    def answer(self, features: list[Tensor], labels: Tensor | None) -> EncoderOutput:
        """The deepest stage's features."""
        assert labels is None
        return EncoderOutput(features[-1])


class GLPNForDepthEstimation(HeadedModel):
    """The documented depth estimator; depths are metres up to `config.max_depth`.

    Pixels are in [0, 1], sides multiples of 32. Labels are metres (B, h, w), 0 where nothing was measured.

    >>> model = GLPNForDepthEstimation.from_pretrained("vinvino02/glpn-nyu")
    >>> model(**processor(images=picture, return_tensors="pt")).predicted_depth   # (B, h, w)
    """

    config_class = GLPNConfig
    config: GLPNConfig

    def __init__(self, config: GLPNConfig) -> None:
        super().__init__()
        self.config = config
        self.network = GLPN(config)

    def encode(self, pixels: Tensor, *, with_attentions: bool) -> Encoding:
        """One grid (B, C, h, w) a stage."""
        check_pixels(pixels, self.network.stride)
        return _encode(self.network.encoder, pixels, with_attentions=with_attentions)

    def answer(self, features: list[Tensor], labels: Tensor | None) -> DepthEstimatorOutput:
        """Metres, and the paper's loss."""
        depth = self.network.decode(features)
        return DepthEstimatorOutput(None if labels is None else silog_loss(depth, labels), depth)


def _encode(encoder: MixTransformer, pixels: Tensor, *, with_attentions: bool) -> Encoding:
    if with_attentions:
        grids, attentions = encoder.forward_with_attentions(pixels)
        return grids, tuple(grids), tuple(attentions)
    grids = encoder(pixels)
    return grids, tuple(grids), None
