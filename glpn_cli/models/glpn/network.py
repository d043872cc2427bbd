"""The whole network: picture in, metres out."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glpn_cli.errors import ModelError
from glpn_cli.models.glpn.config import GLPNConfig
from glpn_cli.models.glpn.decoder import Decoder
from glpn_cli.models.glpn.encoder import MixTransformer


class DepthHead(nn.Module):
    """From features to metres: two convolutions, then a sigmoid of the largest depth (paper section 3.2)."""

    def __init__(self, width: int, *, max_depth_m: float) -> None:
        super().__init__()
        self.max_depth_m = max_depth_m
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.output = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, grid: Tensor) -> Tensor:
        """(B, C, h, w) -> depth float32 (B, h, w), metres in (0, max_depth_m).

        The last convolution and the sigmoid are computed in fp32 whatever the rest is: a bf16 sigmoid has steps of
        1/256 above one half, which is 39 mm at 10 m and 0.3 m at 80 m.
        """
        hidden = F.relu(self.conv(grid), inplace=True)
        with torch.autocast(grid.device.type, enabled=False):
            score = self.output(hidden.to(self.output.weight.dtype)).squeeze(1)
            return torch.sigmoid(score.float()) * self.max_depth_m


class GLPN(nn.Module):
    """Global-Local Path Network: a transformer sees the whole room, a light decoder finds its edges again."""

    def __init__(self, config: GLPNConfig) -> None:
        super().__init__()
        if any(stride != 2 for stride in config.strides[1:]):
            raise ModelError(f"strides = {config.strides} do not fit the decoder, which doubles the size at every step")
        self.stride = config.stride
        self.head_in_index = config.head_in_index
        self.encoder = MixTransformer(config)
        self.decoder = Decoder(config)
        self.head = DepthHead(config.decoder_hidden_size, max_depth_m=config.max_depth)
        initialise(self, config.initializer_range)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels (B, 3, h, w) in [0, 1] -> depth float32 (B, h, w), metres along the optical axis.

        h and w must be multiples of the stride (32 for the published models). Raises ModelError otherwise.
        """
        check_sides(pixels, self.stride)
        return self.decode(self.encoder(pixels.to(self.head.conv.weight.dtype)))

    def decode(self, grids: list[Tensor]) -> Tensor:
        """The encoder's grids, finest first -> depth (B, h, w)."""
        depth: Tensor = self.head(self.decoder(grids)[self.head_in_index])
        return depth


def check_sides(pixels: Tensor, stride: int) -> None:
    """Raise ModelError where a side is no multiple of `stride`."""
    height, width = pixels.shape[-2:]
    if height % stride or width % stride:
        raise ModelError(
            f"pixels of {width}x{height} (width x height) do not fit: both sides must be multiples of {stride}",
            hint="The image processor brings pictures to such a size.",
        )


def initialise(module: nn.Module, deviation: float) -> None:
    """Fresh weights as published: normal with `deviation` for linear layers and convolutions, biases 0, norms 1."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.normal_(layer.weight, std=deviation)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
