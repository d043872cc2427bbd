"""A small decoder from coarse to fine: at every step twice the size, and the encoder's grid of that size added."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glpn_cli.models.lite_depth.encoder import PointwiseConv2d


def _conv3x3(in_channels: int, out_channels: int) -> nn.Conv2d:
    """A 3x3 convolution that repeats the border, beside which zeros would bring everything nearer.

    The bundled weights were trained with zeros, and rendered rooms like those of training are better with them (.173
    instead of .178, abs_rel after median scaling). But on 60 measured frames of an office the step at the border goes
    from -4.0 % to -.7 % without them, d1 from .780 to .786 (median-scaled) and from .617 to .638 (raw).
    """
    return nn.Conv2d(in_channels, out_channels, 3, padding=1, padding_mode="replicate")


def _upsample_to(grid: Tensor, finer: Tensor) -> Tensor:
    """`grid` at the size of `finer`, bilinear, corners not aligned."""
    return F.interpolate(grid, size=finer.shape[2:], mode="bilinear", align_corners=False)


class Fusion(nn.Module):
    """Enlarges a coarse grid, adds a finer one, and mixes them in a residual 3x3 convolution."""

    def __init__(self, fine_channels: int, width: int) -> None:
        super().__init__()
        self.lateral = PointwiseConv2d(fine_channels, width)
        self.mix = _conv3x3(width, width)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """(B, width, h / 2, w / 2) and (B, C, h, w) -> (B, width, h, w)."""
        grid = _upsample_to(coarse, fine) + self.lateral(fine)
        mixed: Tensor = grid + F.relu(self.mix(F.relu(grid)))
        return mixed


class Decoder(nn.Module):
    """From the encoder's grids at strides 4 to 32 to one grid at stride 4.

    The mean of the coarsest grid, through two layers, is added everywhere: the scale of a frame is one number. It is
    computed in fp32 whatever the rest is.
    """

    def __init__(self, channels: Sequence[int], width: int) -> None:
        """channels: of the grids, finest first."""
        super().__init__()
        *finer, coarsest = channels
        self.project = PointwiseConv2d(coarsest, width)
        self.context = nn.Sequential(nn.Linear(coarsest, width), nn.ReLU(), nn.Linear(width, width))
        self.mix = _conv3x3(width, width)
        self.fusions = nn.ModuleList(Fusion(each, width) for each in reversed(finer))

    def forward(self, grids: Sequence[Tensor]) -> Tensor:
        """Grids (B, C, h, w), finest first -> (B, width, h, w) at the finest one's size."""
        *finer, coarsest = grids
        with torch.autocast(coarsest.device.type, enabled=False):
            frame = self.context(coarsest.mean((2, 3)).to(next(self.context.parameters()).dtype))  # (B, width)
        grid: Tensor = self.project(coarsest) + frame[:, :, None, None].to(coarsest.dtype)
        grid = grid + F.relu(self.mix(F.relu(grid)))
        for fusion, fine in zip(self.fusions, reversed(finer), strict=True):
            grid = fusion(grid, fine)
        return grid


class DepthHead(nn.Module):
    """To half of the picture's size, narrow, and one score a pixel: the log of its depth."""

    def __init__(self, fine_channels: int, width: int, hidden: int) -> None:
        super().__init__()
        self.narrow = PointwiseConv2d(width, hidden)
        self.lateral = PointwiseConv2d(fine_channels, hidden)
        self.mix = _conv3x3(hidden, hidden)
        self.output = _conv3x3(hidden, 1)

    def forward(self, grid: Tensor, fine: Tensor) -> Tensor:
        """(B, width, h / 2, w / 2) and the encoder's finest grid (B, C, h, w) -> scores float32 (B, h, w)."""
        hidden = _upsample_to(self.narrow(grid), fine) + self.lateral(fine)
        hidden = F.relu(hidden + self.mix(F.relu(hidden)))
        with torch.autocast(hidden.device.type, enabled=False):
            score: Tensor = self.output(hidden.to(self.output.weight.dtype))
            return score.squeeze(1).float()
