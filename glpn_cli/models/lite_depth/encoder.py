"""EfficientNet-Lite without its classifier: inverted residual blocks, ReLU6, no squeeze-and-excitation."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from glpn_cli.models.layers import StridedConv2d
from glpn_cli.models.lite_depth.config import LEVELS, STEM_CHANNELS, BlockShape

_NORM_EPS = 1e-3


class PointwiseConv2d(nn.Conv2d):
    """A 1x1 convolution as a linear layer of each pixel: in small batches on a CPU torch's own takes twice the time."""

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool = True) -> None:
        super().__init__(in_channels, out_channels, 1, bias=bias)

    def forward(self, grid: Tensor) -> Tensor:
        """(B, C_in, h, w) -> (B, C, h, w)."""
        return F.linear(grid.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


class _FrozenBatchNorm2d(nn.BatchNorm2d):
    """A batch norm whose statistics stand still in training too, as ImageNet left them."""

    def forward(self, grid: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        return F.batch_norm(grid, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


class ConvNorm(nn.Module):
    """A convolution, its batch norm, and ReLU6 unless told otherwise."""

    def __init__(self, conv: nn.Conv2d, *, has_activation: bool = True) -> None:
        super().__init__()
        self.conv = conv
        self.norm: nn.Module = _FrozenBatchNorm2d(conv.out_channels, eps=_NORM_EPS)
        self.has_activation = has_activation

    def forward(self, grid: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C, h, w)."""
        grid = self.norm(self.conv(grid))
        return F.relu6(grid, inplace=True) if self.has_activation else grid


class InvertedResidual(nn.Module):
    """Widen, filter each channel, narrow (Sandler et al. 2018, arXiv 1801.04381, figure 3)."""

    def __init__(self, shape: BlockShape) -> None:
        super().__init__()
        width, kernel = shape.width, shape.kernel
        self.expand: nn.Module = nn.Identity()
        if shape.expansion > 1:
            self.expand = ConvNorm(PointwiseConv2d(shape.in_channels, width, bias=False))
        depthwise = StridedConv2d(width, width, kernel, shape.stride, kernel // 2, groups=width, bias=False)
        self.filter = ConvNorm(depthwise)
        self.project = ConvNorm(PointwiseConv2d(width, shape.out_channels, bias=False), has_activation=False)
        self.is_residual = shape.stride == 1 and shape.in_channels == shape.out_channels

    def forward(self, grid: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C, h, w)."""
        branch: Tensor = self.project(self.filter(self.expand(grid)))
        return grid + branch if self.is_residual else branch


class EfficientNetLite(nn.Module):
    """Stem and blocks; each level's last grid is what the decoder reads.

    TensorFlow pads the end of a picture before its start where the stride is 2; here both sides are padded alike, and
    the weights were trained so.
    """

    def __init__(self, shapes: Sequence[BlockShape], *, in_channels: int) -> None:
        super().__init__()
        self.stem = ConvNorm(StridedConv2d(in_channels, STEM_CHANNELS, 3, 2, 1, bias=False))
        self.blocks = nn.ModuleList(map(InvertedResidual, shapes))
        levels = [shape.level for shape in shapes]
        self.last_of_level = {len(levels) - 1 - levels[::-1].index(level) for level in range(LEVELS)}

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Pixels (B, 3, h, w) in [-1, 1] -> grids (B, C, h / 2, w / 2) to (B, C, h / 32, w / 32), finest first."""
        grid, grids = self.stem(pixels), []
        for index, block in enumerate(self.blocks):
            grid = block(grid)
            if index in self.last_of_level:
                grids.append(grid)
        return grids
