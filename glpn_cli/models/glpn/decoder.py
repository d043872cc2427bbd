"""The local path: a light decoder that lets local features in where they help (paper section 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glpn_cli.models.glpn.config import GLPNConfig


def upsample(grid: Tensor) -> Tensor:
    """Twice the size, bilinear, corners not aligned."""
    return F.interpolate(grid, scale_factor=2, mode="bilinear", align_corners=False)


class SelectiveFeatureFusion(nn.Module):
    """Weigh the encoder's local against the decoder's global features, pixel by pixel (paper section 3, SFF)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.conv1 = nn.Conv2d(2 * width, width, 3, padding=1)
        self.norm1: nn.Module = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, half, 3, padding=1)
        self.norm2: nn.Module = nn.BatchNorm2d(half)
        self.attention = nn.Conv2d(half, 2, 3, padding=1)

    def forward(self, local_features: Tensor, global_features: Tensor) -> Tensor:
        """Two grids (B, C, h, w) -> their sum (B, C, h, w), each times an attention map of its own."""
        both = torch.cat((local_features, global_features), dim=1)  # (B, 2 C, h, w)
        hidden = F.relu(self.norm1(self.conv1(both)), inplace=True)  # (B, C, h, w)
        hidden = F.relu(self.norm2(self.conv2(hidden)), inplace=True)  # (B, C / 2, h, w)
        attention = torch.sigmoid(self.attention(hidden))  # (B, 2, h, w)
        return local_features * attention[:, 0:1] + global_features * attention[:, 1:2]


class Decoder(nn.Module):
    """Climb from the deepest feature map towards the picture's size, one stage's local features at a time.

    A 1x1 convolution brings each stage to the decoder's width, but for stages that have it (the published first one).
    """

    def __init__(self, config: GLPNConfig) -> None:
        super().__init__()
        width = config.decoder_hidden_size
        self.projections = nn.ModuleList(
            nn.Conv2d(channels, width, 1) if channels != width else nn.Identity()
            for channels in reversed(config.hidden_sizes)
        )
        self.fusions = nn.ModuleList(SelectiveFeatureFusion(width) for _ in config.hidden_sizes[1:])

    def forward(self, grids: list[Tensor]) -> list[Tensor]:
        """The encoder's grids, finest first -> every step's features (B, C, h, w) at its stage's size, coarsest first.

        The published decoder doubles each step's features at once, and the last step's twice; here the next step, or
        the head, does so when it needs them.
        """
        bottleneck, *finer = [
            projection(grid) for projection, grid in zip(self.projections, reversed(grids), strict=True)
        ]
        features = [bottleneck]
        for fusion, local_features in zip(self.fusions, finer, strict=True):
            features.append(fusion(local_features, upsample(features[-1])))
        return features
