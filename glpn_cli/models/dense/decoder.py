"""The convolutional decoder of DPT: reassemble tokens into pictures, fuse the levels, read depth (paper section 3.2).

Fusion is RefineNet's (Lin et al. 2017, arXiv 1611.06612), with residual units that activate first.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glpn_cli.models.layers import PatchConvTranspose2d, StridedConv2d

_BAND_BYTES = 4 * 2**20
"""Of enlarged features in one band of the head; see `DepthHead`."""


def upsample(grid: Tensor, size: tuple[int, int] | None = None) -> Tensor:
    """(B, C, h, w) -> (B, C, H, W), twice the size where none is given; bilinear, corners aligned."""
    size = size or (2 * grid.shape[2], 2 * grid.shape[3])
    return F.interpolate(grid, size=size, mode="bilinear", align_corners=True)


class IgnoreReadout(nn.Module):
    """Leave the tokens away that stand for no patch, `leading` of them (paper eq. 3)."""

    def __init__(self, leading: int = 1) -> None:
        super().__init__()
        self.leading = leading

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, leading + N, C) -> (B, N, C)."""
        return tokens[:, self.leading :]


def _make_resample(width: int, *, factor: float) -> nn.Module:
    """Make a grid `factor` times as large: larger by a transposed convolution, smaller by a strided one."""
    if factor > 1:
        return PatchConvTranspose2d(width, width, int(factor))
    if factor == 1:
        return nn.Identity()
    return StridedConv2d(width, width, 3, stride=round(1 / factor), padding=1)


class Reassemble(nn.Module):
    """One level: the tokens of one block as a picture of one resolution and width (paper eq. 1)."""

    def __init__(self, width: int, *, level_width: int, factor: float, readout: nn.Module) -> None:
        super().__init__()
        self.readout = readout
        self.projection = nn.Conv2d(width, level_width, 1)
        self.resample = _make_resample(level_width, factor=factor)

    def forward(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """Tokens (B, 1 + N, C) of (rows, columns) patches -> (B, C', rows * factor, columns * factor)."""
        read = self.readout(tokens).unflatten(1, grid)  # (B, rows, columns, C)
        resampled: Tensor = self.resample(self.projection(read.permute(0, 3, 1, 2)))
        return resampled


class ResidualConvUnit(nn.Module):
    """Two convolutions, each after its activation, beside an identity.

    bias, is_normed: whether the convolutions have biases, and batch norms behind them
    """

    def __init__(self, width: int, *, bias: bool, is_normed: bool) -> None:
        super().__init__()
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
    """Let one level into what was fused of the coarser ones, and enlarge it (paper figure 1 right)."""

    def __init__(self, width: int, *, bias: bool, is_normed: bool) -> None:
        super().__init__()
        # The first is idle in the coarsest step, which has nothing to fuse with.
        self.level_unit = ResidualConvUnit(width, bias=bias, is_normed=is_normed)
        self.unit = ResidualConvUnit(width, bias=bias, is_normed=is_normed)
        self.projection = nn.Conv2d(width, width, 1)

    def forward(self, level: Tensor, coarser: Tensor | None = None, *, size: tuple[int, int] | None = None) -> Tensor:
        """(B, C, h, w), and what the coarser step answered -> (B, C, *size), or twice as large.

        Where the two do not meet in size, because a side did not halve evenly, the level gives way.
        """
        if coarser is not None:
            if level.shape[-2:] != coarser.shape[-2:]:
                level = F.interpolate(level, size=coarser.shape[-2:], mode="bilinear", align_corners=False)
            level = coarser + self.level_unit(level)
        # The published order is upsampling, then projection; a 1x1 convolution commutes with it, at a quarter the cost.
        return upsample(self.projection(self.unit(level)), size)


class Fusion(nn.Module):
    """All levels, of `level_widths` channels from the finest on, brought to one width and fused, coarsest first.

    bias, is_normed: of the residual units
    meets_levels:    whether each step's output takes the size of the next finer level, rather than twice its own
    """

    def __init__(
        self,
        level_widths: Sequence[int],
        *,
        width: int,
        bias: bool = True,
        is_normed: bool = False,
        meets_levels: bool = False,
    ) -> None:
        super().__init__()
        self.narrow = nn.ModuleList(nn.Conv2d(channels, width, 3, padding=1, bias=False) for channels in level_widths)
        self.steps = nn.ModuleList(FeatureFusion(width, bias=bias, is_normed=is_normed) for _ in level_widths)
        self.meets_levels = meets_levels

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        """One grid (B, C, h, w) a level, finest first -> every step's output, coarsest first."""
        narrow = [conv(level) for conv, level in zip(self.narrow, levels, strict=True)]
        narrow.reverse()
        sizes: list[tuple[int, ...] | None] = [None] * len(narrow)
        if self.meets_levels:
            sizes = [*(tuple(finer.shape[-2:]) for finer in narrow[1:]), None]
        outputs: list[Tensor] = []
        for step, level, size in zip(self.steps, narrow, sizes, strict=True):
            outputs.append(step(level, outputs[-1] if outputs else None, size=size))
        return outputs


class DepthHead(nn.Module):
    """From features to depth: convolutions that halve the width on the way to full size.

    width, hidden:   channels of the features, and of the last hidden layer
    adds_projection: whether it begins with a convolution of its own
    max_depth_m:     the largest depth, metres, to which a sigmoid is scaled; None: inverse depth, cut off at 0
    scale:           what inverse depth is multiplied by
    """

    def __init__(
        self,
        width: int,
        *,
        hidden: int,
        adds_projection: bool = False,
        max_depth_m: float | None = None,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.projection = nn.Conv2d(width, width, 3, padding=1) if adds_projection else None
        self.conv1 = nn.Conv2d(width, width // 2, 3, padding=1)
        self.conv2 = nn.Conv2d(width // 2, hidden, 3, padding=1)
        self.output = nn.Conv2d(hidden, 1, 1)
        self.max_depth_m = max_depth_m
        self.scale = scale

    def forward(self, grid: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """(B, C, h, w) -> float32 (B, *size), or twice as large: metres, or inverse depth >= 0.

        The enlarged features are the largest tensors of the whole network; where no gradient is wanted they are made
        and used up band by band, which bounds the memory of any picture and keeps the work in the processor's cache.
        """
        if self.projection is not None:
            grid = F.relu(self.projection(grid), inplace=True)
        grid = self.conv1(grid)
        size = size or (2 * grid.shape[2], 2 * grid.shape[3])
        if torch.is_grad_enabled():
            return self._read(upsample(grid, size))
        row_bytes = grid.shape[0] * grid.shape[1] * size[1] * grid.element_size()
        rows = max(1, _BAND_BYTES // row_bytes)
        bands = []
        for first in range(0, size[0], rows):
            last = min(first + rows, size[0])
            top, bottom = max(first - 1, 0), min(last + 1, size[0])  # the convolution looks one row to either side
            band = self._read(_upsample_rows(grid, size, top, bottom))
            bands.append(band[:, first - top : last - top])
        return torch.cat(bands, dim=1)

    def _read(self, grid: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, H, W).

        The last convolution is computed in fp32 whatever the rest is, and with it the sigmoid: bf16 has 256 steps an
        octave.
        """
        hidden = F.relu(self.conv2(grid), inplace=True)
        with torch.autocast(grid.device.type, enabled=False):
            score = self.output(hidden.to(self.output.weight.dtype)).float().squeeze(1)
            if self.max_depth_m is None:
                return F.relu(score) * self.scale
            return torch.sigmoid(score) * self.max_depth_m


def _upsample_rows(grid: Tensor, size: tuple[int, int], first: int, last: int) -> Tensor:
    """The rows first <= row < last of `upsample(grid, size)`: (B, C, last - first, W)."""
    height = grid.shape[2]
    if (first, last) == (0, size[0]):
        return upsample(grid, size)
    step = (height - 1) / (size[0] - 1) if size[0] > 1 else 0.0
    places = torch.arange(first, last, device=grid.device, dtype=torch.float32) * step
    above = places.floor().clamp(max=height - 1).long()
    below = (above + 1).clamp(max=height - 1)
    share = (places - above).to(grid.dtype)[:, None]  # (rows, 1)
    rows = torch.lerp(grid[:, :, above], grid[:, :, below], share)
    return upsample(rows, (last - first, size[1]))
