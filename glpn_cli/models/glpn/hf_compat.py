"""The two documented classes: the same network, with the published names, arguments and answers."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from glpn_cli.models.glpn.config import GLPNConfig
from glpn_cli.models.glpn.encoder import MixTransformer
from glpn_cli.models.glpn.loss import silog_loss
from glpn_cli.models.glpn.network import GLPN, check_pixels
from glpn_cli.models.hf_compat_base import DepthEstimatorOutput, EncoderOutput, Pretrained, asked
from glpn_cli.models.layers import initialise


class GLPNModel(Pretrained):
    """The documented bare encoder.

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

    def forward(
        self,
        pixel_values: Tensor,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> EncoderOutput | tuple[Any, ...]:
        """The deepest stage's features, and on request every stage's and every block's attention.

        pixel_values: (B, C, h, w) in [0, 1]. What is None is as the config says.
        """
        check_pixels(pixel_values, stride=1)
        grids, attentions = _encode(self.encoder, pixel_values, self.config, output_attentions)
        wants_hidden = asked(output_hidden_states, self.config.output_hidden_states)
        output = EncoderOutput(grids[-1], tuple(grids) if wants_hidden else None, attentions)
        return output if asked(return_dict, self.config.return_dict) else output.to_tuple()


class GLPNForDepthEstimation(Pretrained):
    """The documented depth estimator; depths are metres up to `config.max_depth`.

    >>> model = GLPNForDepthEstimation.from_pretrained("vinvino02/glpn-nyu")
    >>> model(**processor(images=picture, return_tensors="pt")).predicted_depth   # (B, h, w)
    """

    config_class = GLPNConfig
    config: GLPNConfig
    module_prefix = "network."

    def __init__(self, config: GLPNConfig) -> None:
        super().__init__()
        self.config = config
        self.network = GLPN(config)

    def forward(
        self,
        pixel_values: Tensor,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> DepthEstimatorOutput | tuple[Any, ...]:
        """Depth of every pixel, with the training loss where `labels` are given.

        pixel_values: (B, 3, h, w) in [0, 1], sides multiples of 32.
        labels:       (B, h, w), metres, 0 where nothing was measured.
        """
        check_pixels(pixel_values, self.network.stride)
        grids, attentions = _encode(self.network.encoder, pixel_values, self.config, output_attentions)
        depth = self.network.decode(grids)
        wants_hidden = asked(output_hidden_states, self.config.output_hidden_states)
        output = DepthEstimatorOutput(
            loss=None if labels is None else silog_loss(depth, labels),
            predicted_depth=depth,
            hidden_states=tuple(grids) if wants_hidden else None,
            attentions=attentions,
        )
        return output if asked(return_dict, self.config.return_dict) else output.to_tuple()


def _encode(
    encoder: MixTransformer, pixels: Tensor, config: GLPNConfig, output_attentions: bool | None
) -> tuple[list[Tensor], tuple[Tensor, ...] | None]:
    """The stages' grids, with every block's attention only where it is asked for: it takes N² memory."""
    if not asked(output_attentions, config.output_attentions):
        return encoder(pixels), None
    grids, attentions = encoder.forward_with_attentions(pixels)
    return grids, tuple(attentions)
