"""The convolutional decoder: reassemble tokens into pictures, fuse the levels, and a head (paper section 3.2).

Fusion is RefineNet's (Lin et al. 2017, arXiv 1611.06612), with residual units that activate first.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glpn_cli.models.dpt.config import DEPTH_WIDTH, DPTConfig
from glpn_cli.models.layers import Activation, PatchConvTranspose2d, StridedConv2d

_AUXILIARY_DROPOUT = 0.1


def upsample(grid: Tensor) -> Tensor:
    """Twice the size, bilinear, corners aligned."""
    return F.interpolate(grid, scale_factor=2, mode="bilinear", align_corners=True)


class IgnoreReadout(nn.Module):
    """Leave the readout token away (paper eq. 3)."""

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, 1 + N, C) -> (B, N, C)."""
        return tokens[:, 1:]


class AddReadout(nn.Module):
    """Add the readout token to all others (paper eq. 4)."""

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, 1 + N, C) -> (B, N, C)."""
        return tokens[:, 1:] + tokens[:, :1]


class ProjectReadout(nn.Module):
    """Put the readout token beside each other token and project back (paper eq. 5).

    The projection is computed in its two halves: the readout's is the same for all tokens of a picture.
    """

    def __init__(self, width: int, *, activation: Activation) -> None:
        super().__init__()
        self.width = width
        self.projection = nn.Linear(2 * width, width)
        self.activation = activation

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, 1 + N, C) -> (B, N, C)."""
        weight = self.projection.weight
        of_token = F.linear(tokens[:, 1:], weight[:, : self.width], self.projection.bias)
        of_readout = F.linear(tokens[:, :1], weight[:, self.width :])
        return self.activation(of_token + of_readout)


def make_readout(kind: str, width: int, *, activation: Activation) -> nn.Module:
    """What `readout_type` names."""
    if kind == "project":
        return ProjectReadout(width, activation=activation)
    return AddReadout() if kind == "add" else IgnoreReadout()


def make_resample(width: int, *, factor: float) -> nn.Module:
    """Make a grid `factor` times as large: larger by a transposed convolution, smaller by a strided one."""
    if factor > 1:
        return PatchConvTranspose2d(width, width, int(factor))
    if factor == 1:
        return nn.Identity()
    return StridedConv2d(width, width, 3, stride=round(1 / factor), padding=1)


class Reassemble(nn.Module):
    """One level: the tokens of one block as a picture of one resolution and width (paper eq. 1)."""

    def __init__(
        self, width: int, *, level_width: int, factor: float, readout_type: str, activation: Activation
    ) -> None:
        super().__init__()
        self.readout = make_readout(readout_type, width, activation=activation)
        self.projection = nn.Conv2d(width, level_width, 1)
        self.resample = make_resample(level_width, factor=factor)

    def forward(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """Tokens (B, 1 + N, C) of (rows, columns) patches -> (B, C', rows * factor, columns * factor)."""
        read = self.readout(tokens).unflatten(1, grid)  # (B, rows, columns, C)
        resampled: Tensor = self.resample(self.projection(read.permute(0, 3, 1, 2)))
        return resampled


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


class DepthHead(nn.Module):
    """From features to inverse depth: convolutions that halve the width on the way to full size."""

    def __init__(self, width: int, *, adds_projection: bool) -> None:
        super().__init__()
        self.projection = nn.Conv2d(width, width, 3, padding=1) if adds_projection else None
        self.conv1 = nn.Conv2d(width, width // 2, 3, padding=1)
        self.conv2 = nn.Conv2d(width // 2, DEPTH_WIDTH, 3, padding=1)
        self.output = nn.Conv2d(DEPTH_WIDTH, 1, 1)

    def forward(self, grid: Tensor) -> Tensor:
        """(B, C, h, w) -> inverse depth float32 (B, 2 h, 2 w), >= 0, up to scale and shift.

        The last convolution is computed in fp32 whatever the rest is: bf16 has 256 steps an octave.
        """
        if self.projection is not None:
            grid = F.relu(self.projection(grid), inplace=True)
        hidden = F.relu(self.conv2(upsample(self.conv1(grid))), inplace=True)
        with torch.autocast(grid.device.type, enabled=False):
            return F.relu(self.output(hidden.to(self.output.weight.dtype)).float().squeeze(1))


class LabelHead(nn.Module):
    """From features to one score a label."""

    def __init__(self, width: int, *, labels: int, dropout: float, doubles: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(width)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Conv2d(width, labels, 1)
        self.doubles = doubles

    def forward(self, grid: Tensor) -> Tensor:
        """(B, C, h, w) -> logits float32 (B, labels, h, w), or twice that size."""
        hidden = self.dropout(F.relu(self.norm(self.conv(grid)), inplace=True))
        with torch.autocast(grid.device.type, enabled=False):
            logits = self.output(hidden.to(self.output.weight.dtype)).float()
        return upsample(logits) if self.doubles else logits


def make_auxiliary_head(width: int, *, labels: int) -> LabelHead:
    """The second head that only training asks."""
    return LabelHead(width, labels=labels, dropout=_AUXILIARY_DROPOUT, doubles=False)
