"""The whole network: picture in, metres out."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glpn_cli.models.layers import cast_layers, check_pixels, fold
from glpn_cli.models.lite_depth.config import STRIDE, LiteDepthConfig
from glpn_cli.models.lite_depth.decoder import Decoder, DepthHead
from glpn_cli.models.lite_depth.encoder import ConvNorm, EfficientNetLite

_SHIFT, _SCALE = 127.0, 128.0
"""The encoder takes (level - 127) / 128 of 8-bit levels."""
_LOWEST_SCORE, _HIGHEST_SCORE = -3.0, 4.0
_LIMIT_OF_SCORES_M = 10.0
"""The largest depth at which scores are logs of metres; beside any other, depths are in proportion."""
_USUAL_DEPTH_M = 2.2


class LiteDepth(nn.Module):
    """An encoder that ImageNet has taught what things are, and a small decoder that says how far away they are."""

    def __init__(self, config: LiteDepthConfig) -> None:
        super().__init__()
        finest, *others = config.level_channels
        width = config.decoder_hidden_size
        self.channels = config.num_channels
        self.metres = config.max_depth / _LIMIT_OF_SCORES_M
        self.encoder = EfficientNetLite(tuple(config.blocks()), in_channels=config.num_channels)
        self.decoder = Decoder(others, width)
        self.head = DepthHead(finest, width, config.head_hidden_size)
        assert self.head.output.bias is not None
        nn.init.constant_(self.head.output.bias, math.log(_USUAL_DEPTH_M))

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels (B, 3, h, w) in [0, 1] -> depth float32 (B, h, w), metres along the optical axis, > 0.

        h and w must be multiples of 32. Raises ModelError otherwise.
        """
        return self.read(F.interpolate(self.scores(pixels)[:, None], scale_factor=2, mode="bilinear")[:, 0])

    def scores(self, pixels: Tensor) -> Tensor:
        """The same up to the last enlargement: logs of depth (B, h / 2, w / 2)."""
        check_pixels(pixels, STRIDE)
        levels = (pixels * 255 - _SHIFT) / _SCALE
        finest, *others = self.encoder(levels.to(self.encoder.stem.conv.weight.dtype))
        scores: Tensor = self.head(self.decoder(others), finest)
        return scores

    def read(self, scores: Tensor) -> Tensor:
        """Logs of depth -> metres."""
        return scores.clamp(_LOWEST_SCORE, _HIGHEST_SCORE).exp() * self.metres


@torch.no_grad()
def cast(network: nn.Module, precision: str) -> nn.Module:
    """`network`, changed in place: batch norms folded, then fp32, bf16 or fp16, channels-last in memory.

    The head's last convolution stays fp32, and with it everything after, as do the layers that tell the scale of a
    frame.
    """
    assert isinstance(network, LiteDepth)
    folding = torch.float64 if precision == "bf16" else torch.float32
    for module in network.modules():
        if isinstance(module, ConvNorm):
            module.norm = fold(module.conv, module.norm, precision=folding)
    kept = {network.head.output, *network.decoder.context}
    if precision == "bf16":
        from glpn_cli.models.bf16_rounding import round_to_bf16

        round_to_bf16(network, channels=network.channels, stride=STRIDE, kept=kept)
    cast_layers(network, precision, kept=kept)
    return network
