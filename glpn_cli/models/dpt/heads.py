"""What the decoder's features mean: inverse depth, or a label (paper section 3.2 and appendix A)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glpn_cli.models.dpt.config import DEPTH_WIDTH
from glpn_cli.models.dpt.fusion import upsample

_AUXILIARY_DROPOUT = 0.1


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
