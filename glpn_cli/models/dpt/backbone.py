"""The hybrid's convolutional backbone: Big Transfer (Kolesnikov et al. 2020, arXiv 1912.11370), a ResNet-v2.

Its convolutions are weight-standardised (Qiao et al. 2019, arXiv 1903.10520) and its norms are group norms, so that
nothing depends on the batch. The hybrid of the paper reads three of its stages (section 3.1): the first two feed the
decoder, the third is cut into tokens.
"""

from __future__ import annotations

from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glpn_cli.models.dpt.backbone_config import BiTConfig, bottleneck_width
from glpn_cli.models.layers import DropPath, StridedConv2d, find_activation


def _pad_same(grid: Tensor, *, kernel: int, stride: int, dilation: int = 1) -> Tensor:
    """Zeros around the grid as TensorFlow's SAME puts them: as many outputs as ceil(side / stride)."""
    widths = []
    for side in (grid.shape[-1], grid.shape[-2]):
        needed = max((-(-side // stride) - 1) * stride + (kernel - 1) * dilation + 1 - side, 0)
        widths += [needed // 2, needed - needed // 2]
    return F.pad(grid, widths) if any(widths) else grid


class StandardizedConv2d(StridedConv2d):
    """A convolution whose every filter has mean 0 and variance 1, whatever its stored weights are.

    is_standardized: whether the stored weights already are, so that a prediction need not do it again.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, kernel: int, stride: int, dilation: int, padding: str | None
    ) -> None:
        span = dilation * (kernel - 1)
        self.pads_same = padding == "SAME" and (stride > 1 or span % 2 == 1)
        fixed = 0 if self.pads_same else (stride - 1 + span) // 2
        super().__init__(in_channels, out_channels, kernel, stride, fixed, dilation, bias=False)
        self.is_standardized = False

    def forward(self, grid: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C, h, w)."""
        if self.pads_same:
            grid = _pad_same(grid, kernel=self.kernel_size[0], stride=self.stride[0], dilation=self.dilation[0])
        weight = self.weight if self.is_standardized else self.standardized()
        return self.convolve(grid, weight)

    def standardized(self) -> Tensor:
        """The weights that convolve."""
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), correction=0, keepdim=True)
        return (self.weight - mean) * torch.rsqrt(variance + 1e-8)


class _NormActivation(nn.GroupNorm):
    """A group norm, then an activation unless that comes later."""

    def __init__(self, config: BiTConfig, channels: int, *, activates: bool = True) -> None:
        super().__init__(config.num_groups, channels)
        self.activation = find_activation(config.hidden_act) if activates else nn.Identity()

    def forward(self, grid: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        activated: Tensor = self.activation(super().forward(grid))
        return activated


class Stem(nn.Module):
    """One wide convolution and a pooling: a quarter of the picture's size."""

    def __init__(self, config: BiTConfig) -> None:
        super().__init__()
        self.conv = StandardizedConv2d(
            config.num_channels, config.embedding_size, kernel=7, stride=2, dilation=1, padding=config.global_padding
        )
        self.pads_after = config.global_padding != "SAME"
        self.pools_same = config.embedding_dynamic_padding
        is_preactivated = config.layer_type == "preactivation"
        self.norm = nn.Identity() if is_preactivated else _NormActivation(config, config.embedding_size)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C, H / 4, W / 4)."""
        grid = self.conv(pixels)
        grid = self.norm(F.pad(grid, (1, 1, 1, 1)) if self.pads_after else grid)
        return F.max_pool2d(_pad_same(grid, kernel=3, stride=2) if self.pools_same else grid, kernel_size=3, stride=2)


class Shortcut(nn.Module):
    """Brings what goes past a stage's first block to that block's width and size."""

    def __init__(self, config: BiTConfig, in_channels: int, width: int, *, stride: int) -> None:
        super().__init__()
        self.conv = StandardizedConv2d(
            in_channels, width, kernel=1, stride=stride, dilation=1, padding=config.global_padding
        )
        is_preactivated = config.layer_type == "preactivation"
        self.norm = nn.Identity() if is_preactivated else _NormActivation(config, width, activates=False)

    def forward(self, grid: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C, h, w)."""
        shortened: Tensor = self.norm(self.conv(grid))
        return shortened


class Bottleneck(nn.Module):
    """Narrow, look around, widen; norms and activations after the convolutions (He et al. 2015)."""

    def __init__(
        self,
        config: BiTConfig,
        in_channels: int,
        width: int,
        *,
        stride: int,
        dilation: int,
        drop_path: float,
        is_first: bool,
    ) -> None:
        super().__init__()
        inner, padding = bottleneck_width(width), config.global_padding
        self.shortcut = Shortcut(config, in_channels, width, stride=stride) if is_first else nn.Identity()
        self.conv1 = StandardizedConv2d(in_channels, inner, kernel=1, stride=1, dilation=1, padding=padding)
        self.norm1 = _NormActivation(config, inner)
        self.conv2 = StandardizedConv2d(inner, inner, kernel=3, stride=stride, dilation=dilation, padding=padding)
        self.norm2 = _NormActivation(config, inner)
        self.conv3 = StandardizedConv2d(inner, width, kernel=1, stride=1, dilation=1, padding=padding)
        self.norm3 = _NormActivation(config, width, activates=False)
        self.drop_path = DropPath(drop_path)
        self.activation = find_activation(config.hidden_act)

    def forward(self, grid: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C, h, w)."""
        branch = self.norm1(self.conv1(grid))
        branch = self.norm2(self.conv2(branch))
        branch = self.norm3(self.conv3(branch))
        return self.activation(self.drop_path(branch) + self.shortcut(grid))


class PreActivationBottleneck(nn.Module):
    """The same with norms and activations before the convolutions (He et al. 2016, arXiv 1603.05027).

    Its middle convolution is never dilated, as published.
    """

    def __init__(
        self,
        config: BiTConfig,
        in_channels: int,
        width: int,
        *,
        stride: int,
        dilation: int,  # noqa: ARG002 - see above
        drop_path: float,
        is_first: bool,
    ) -> None:
        super().__init__()
        inner, padding = bottleneck_width(width), config.global_padding
        self.shortcut = Shortcut(config, in_channels, width, stride=stride) if is_first else None
        self.norm1 = _NormActivation(config, in_channels)
        self.conv1 = StandardizedConv2d(in_channels, inner, kernel=1, stride=1, dilation=1, padding=padding)
        self.norm2 = _NormActivation(config, inner)
        self.conv2 = StandardizedConv2d(inner, inner, kernel=3, stride=stride, dilation=1, padding=padding)
        self.norm3 = _NormActivation(config, inner)
        self.conv3 = StandardizedConv2d(inner, width, kernel=1, stride=1, dilation=1, padding=padding)
        self.drop_path = DropPath(drop_path)

    def forward(self, grid: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C, h, w)."""
        activated = self.norm1(grid)
        branch = self.conv2(self.norm2(self.conv1(activated)))
        branch = self.drop_path(self.conv3(self.norm3(branch)))
        added: Tensor = branch + (grid if self.shortcut is None else self.shortcut(activated))
        return added


def _make_stage(
    config: BiTConfig, in_channels: int, width: int, *, stride: int, dilation: int, drop_paths: list[float]
) -> nn.Sequential:
    """One stage: the first block shrinks the picture, and where it does not, it dilates less than those behind it."""
    block = PreActivationBottleneck if config.layer_type == "preactivation" else Bottleneck
    return nn.Sequential(
        *(
            block(
                config,
                width if place else in_channels,
                width,
                stride=1 if place else stride,
                dilation=dilation if place else (1 if dilation in (1, 2) else 2),
                drop_path=rate,
                is_first=place == 0,
            )
            for place, rate in enumerate(drop_paths)
        )
    )


class BigTransfer(nn.Module):
    """Stem and stages; answers the features that the hybrid reads, finest first."""

    def __init__(self, config: BiTConfig) -> None:
        super().__init__()
        self.outputs = config.outputs
        self.stem = Stem(config)
        rates = iter(torch.linspace(0, config.drop_path_rate, sum(config.depths), device="cpu").tolist())
        widths = [config.embedding_size, *config.widths]
        self.stages = nn.ModuleList(
            _make_stage(
                config,
                widths[stage],
                widths[stage + 1],
                stride=stride,
                dilation=dilation,
                drop_paths=list(islice(rates, depth)),
            )
            for stage, (depth, (stride, dilation)) in enumerate(zip(config.depths, config.strides, strict=True))
        )
        if config.layer_type == "preactivation":  # files have it; features are read before it
            self.norm = _NormActivation(config, config.hidden_sizes[-1])

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> one grid (B, C, h, w) for each output that the config names."""
        grids = [self.stem(pixels)]
        for stage in self.stages:
            grids.append(stage(grids[-1]))
        return [grids[place] for place in self.outputs]
