"""What only a DPT decodes with: the ways to use the readout token, and the head for labels (paper section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glpn_cli.models.dense.decoder import IgnoreReadout, upsample
from glpn_cli.models.layers import Activation

_AUXILIARY_DROPOUT = 0.1


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
