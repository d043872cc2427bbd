"""From tokens back to pictures: read, concatenate, resample (paper section 3.2, figure 1 centre)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from glpn_cli.models.layers import Activation


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
        return nn.ConvTranspose2d(width, width, int(factor), int(factor))
    if factor == 1:
        return nn.Identity()
    return nn.Conv2d(width, width, 3, stride=round(1 / factor), padding=1)


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
