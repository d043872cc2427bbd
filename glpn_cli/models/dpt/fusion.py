"""The convolutional decoder: fuse the levels from coarse to fine (paper section 3.2, figure 1 right).

It is RefineNet's (Lin et al. 2017, arXiv 1611.06612), with residual units that activate first.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from glpn_cli.models.dpt.config import DPTConfig


def upsample(grid: Tensor) -> Tensor:
    """Twice the size, bilinear, corners aligned."""
    return F.interpolate(grid, scale_factor=2, mode="bilinear", align_corners=True)


class ResidualConvUnit(nn.Module):
    """Two convolutions, each after its activation, beside an identity."""

    def __init__(self, config: DPTConfig) -> None:
        super().__init__()
        width, bias = config.fusion_hidden_size, config.residual_bias
        is_normed = config.use_batch_norm_in_fusion_residual
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=bias)
        self.norm1: nn.Module = nn.BatchNorm2d(width) if is_normed else nn.Identity()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=bias)
        self.norm2: nn.Module = nn.BatchNorm2d(width) if is_normed else nn.Identity()

    def forward(self, grid: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        hidden = F.relu(self.norm1(self.conv1(F.relu(grid))), inplace=True)
        added: Tensor = self.norm2(self.conv2(hidden)) + grid
        return added


class FeatureFusion(nn.Module):
    """Let one level into what was fused of the coarser ones, and double the size (paper figure 1 right)."""

    def __init__(self, config: DPTConfig) -> None:
        super().__init__()
        width = config.fusion_hidden_size
        self.level_unit = ResidualConvUnit(config)  # idle in the coarsest step, which has nothing to fuse with
        self.unit = ResidualConvUnit(config)
        self.projection = nn.Conv2d(width, width, 1)

    def forward(self, level: Tensor, coarser: Tensor | None = None) -> Tensor:
        """(B, C, h, w), and what the coarser step answered -> (B, C, 2 h, 2 w).

        Where the two do not meet in size, because a side did not halve evenly, the level gives way.
        """
        if coarser is not None:
            if level.shape[-2:] != coarser.shape[-2:]:
                level = F.interpolate(level, size=coarser.shape[-2:], mode="bilinear", align_corners=False)
            level = coarser + self.level_unit(level)
        # The published order is upsampling, then projection; a 1x1 convolution commutes with it, at a quarter the cost.
        return upsample(self.projection(self.unit(level)))


class Fusion(nn.Module):
    """All levels brought to one width and fused, coarsest first."""

    def __init__(self, config: DPTConfig) -> None:
        super().__init__()
        width = config.fusion_hidden_size
        self.narrow = nn.ModuleList(
            nn.Conv2d(channels, width, 3, padding=1, bias=False) for channels in config.neck_hidden_sizes
        )
        self.steps = nn.ModuleList(FeatureFusion(config) for _ in config.neck_hidden_sizes)

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        """One grid (B, C, h, w) a level, finest first -> every step's output, coarsest first."""
        narrow = [conv(level) for conv, level in zip(self.narrow, levels, strict=True)]
        outputs: list[Tensor] = []
        for step, level in zip(self.steps, reversed(narrow), strict=True):
            outputs.append(step(level, outputs[-1]) if outputs else step(level))
        return outputs
