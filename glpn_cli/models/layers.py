"""Layers that more than one family is built from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from glpn_cli.errors import ModelError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Precision, as users name it -> torch's type."""

_MAKING = {torch.empty, torch.zeros, torch.ones, torch.full, torch.tensor}
_FILLING = {
    *(nn.init.kaiming_uniform_, nn.init.uniform_, nn.init.normal_, nn.init.trunc_normal_, nn.init.constant_),
    *(Tensor.uniform_, Tensor.normal_, Tensor.fill_, Tensor.zero_),
}

Activation = Callable[[Tensor], Tensor]

_ACTIVATIONS: dict[str, Activation] = {
    "gelu": F.gelu,
    "gelu_new": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
    "selu": F.selu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}


def find_activation(name: str | Activation) -> Activation:
    """The function that a config's `hidden_act` or `pooler_act` names; a function is itself."""
    return _ACTIVATIONS[name] if isinstance(name, str) else name


class Unfilled(TorchFunctionMode):
    """A context in which layers are made without memory and without numbers, since a file has them all.

    torch.device("meta") does the same, but spends half of the time on random numbers that have no memory to go to.
    """

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call a function of torch, unless it would only fill a tensor."""
        kwargs = kwargs or {}
        if func in _FILLING:
            return args[0] if args else kwargs["tensor"]
        if func in _MAKING and kwargs.get("device") is None:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


class StridedConv2d(nn.Conv2d):
    """A convolution that shrinks the picture, right in bf16 too, where torch's own is not.

    Where the kernel is the stride, patches do not overlap: cutting them out is a reshape, and convolving is a linear
    layer. Outputs one column wide are computed in fp32; they are small. (On CPUs with AMX torch 2.13 gets the first
    wrong below 32 channels and leaves parts of the second unwritten; some gradients are wrong without AMX too.)
    """

    def forward(self, grid: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C, h, w)."""
        return self.convolve(grid, self.weight)

    def convolve(self, grid: Tensor, weight: Tensor) -> Tensor:
        """As `forward`, with other weights of the same shape."""
        assert isinstance(self.padding, tuple)
        settings = self.stride, self.padding, self.dilation, self.groups
        if self.stride == (1, 1):
            return F.conv2d(grid, weight, self.bias, *settings)
        if self.stride == self.kernel_size and self.dilation == (1, 1) and self.groups == 1:
            above, left = self.padding
            padded = F.pad(grid, (left, left, above, above)) if above or left else grid
            return _convolve_patches(padded, weight, self.bias)
        span = self.dilation[1] * (self.kernel_size[1] - 1) + 1
        if grid.shape[3] + 2 * self.padding[1] >= span + self.stride[1]:  # two columns or more
            return F.conv2d(grid, weight, self.bias, *settings)
        bias = None if self.bias is None else self.bias.float()
        with torch.autocast(grid.device.type, enabled=False):
            return F.conv2d(grid.float(), weight.float(), bias, *settings).to(grid.dtype)


class PatchConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution whose stride is its kernel, as a linear layer and a reshape.

    Its gradient is a convolution whose kernel is its stride, which torch gets wrong in bf16; see `StridedConv2d`.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int) -> None:
        super().__init__(in_channels, out_channels, kernel, kernel)

    def forward(self, grid: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(B, C_in, h, w) -> (B, C, kernel * h, kernel * w)."""
        assert output_size is None
        assert self.bias is not None
        batch, _, height, width = grid.shape
        rows, columns = self.weight.shape[2:]
        weight = self.weight.permute(0, 2, 3, 1).flatten(1).mT  # (kernel * kernel * C, C_in)
        patches = F.linear(grid.permute(0, 2, 3, 1), weight, self.bias.repeat(rows * columns))
        tokens = patches.reshape(batch, height, width, rows, columns, -1).transpose(2, 3)
        return tokens.reshape(batch, height * rows, width * columns, -1).permute(0, 3, 1, 2)


def _convolve_patches(grid: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A convolution whose stride is its kernel; what does not fill a patch is left out, as a convolution does."""
    batch, channels, height, width = grid.shape
    kernel_height, kernel_width = weight.shape[2:]
    rows, columns = height // kernel_height, width // kernel_width
    tokens = grid[:, :, : rows * kernel_height, : columns * kernel_width].permute(0, 2, 3, 1)
    patches = tokens.reshape(batch, rows, kernel_height, columns, kernel_width, channels).transpose(2, 3).flatten(3)
    return F.linear(patches, weight.permute(0, 2, 3, 1).flatten(1), bias).permute(0, 3, 1, 2)


def attention_weights(query: Tensor, key: Tensor) -> Tensor:
    """softmax(query keyᵀ / sqrt(d)), (B, heads, N, n): what attention multiplies values by, before any dropout."""
    scores: Tensor = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
    return scores.softmax(dim=-1)


class LayerNorm(nn.LayerNorm):
    """A layer norm that can stay fp32 between layers of eight or sixteen bits; see `keep_fp32`."""

    answer: torch.dtype | None = None

    def keep_fp32(self, *, answer: torch.dtype) -> None:
        """Compute in fp32, and answer in the type `answer`, that of the layers that read it.

        Its scales multiply every channel's mean, so rounding them shifts what all later layers see; and the tokens that
        it reads, to which every block only adds, may then stay fp32 too, at no cost in time.
        """
        self.float()
        self.answer = answer

    def forward(self, tokens: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        if self.answer is None:
            return super().forward(tokens)
        return super().forward(tokens.float()).to(self.answer)


class DropPath(nn.Module):
    """Stochastic depth (Huang et al. 2016, arXiv 1603.09382): whole residual branches are left out, per sample.

    Kept branches are scaled by 1 / (1 - rate), so that the expectation stays; outside training it is the identity.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        """branch: (B, ...)."""
        if not self.training or self.rate == 0:
            return branch
        kept = torch.rand(branch.shape[0], *[1] * (branch.dim() - 1), device=branch.device) >= self.rate
        return branch * (kept.to(branch.dtype) / (1 - self.rate))

    def extra_repr(self) -> str:
        """Shown in `print(network)`."""
        return f"rate={self.rate:.3f}"


def check_pixels(pixels: Tensor, stride: int) -> None:
    """Raise ModelError unless these are (B, C, h, w) with sides that are multiples of `stride`."""
    if pixels.dim() != 4:
        raise ModelError(f"pixels must be (B, C, h, w), not {tuple(pixels.shape)}")
    height, width = pixels.shape[-2:]
    if height % stride or width % stride:
        raise ModelError(
            f"pixels of {width}x{height} (width x height) do not fit: both sides must be multiples of {stride}",
            hint="The image processor brings pictures to such a size.",
        )


def initialise(module: nn.Module, deviation: float) -> None:
    """Fresh weights as published: normal with `deviation` for linear layers and convolutions, biases 0, norms 1.

    Layers on the meta device wait for weights from a file; "filling" them would import torch's compiler, for a second.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d) and not layer.weight.is_meta:
            nn.init.normal_(layer.weight, std=deviation)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def cast_layers(network: nn.Module, precision: str, *, kept: Collection[nn.Module]) -> None:
    """Cast linear layers and convolutions in place, but for those that are `kept`; channels-last in memory.

    What is multiplied is rounded, and nothing else: layer norms, and the tokens that they read, stay fp32.
    """
    dtype = DTYPES[precision]
    for module in network.modules():
        if isinstance(module, LayerNorm):
            module.keep_fp32(answer=dtype)
        elif isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d) and module not in kept:
            module.to(dtype)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # documented, not in the stubs


@torch.no_grad()
def fold(conv: nn.Conv2d, norm: nn.Module, *, precision: torch.dtype = torch.float32) -> nn.Module:
    """Move a batch norm's scale and shift into the convolution before it; returns an identity in its place.

    precision: of the arithmetic. In fp32 the last digit depends on the processor; rounding to bf16 must not.
    """
    if not isinstance(norm, nn.BatchNorm2d):
        return norm
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.to(precision) / torch.sqrt(norm.running_var.to(precision) + norm.eps)
    shift = norm.bias - norm.running_mean * scale
    conv.weight.copy_(conv.weight * scale[:, None, None, None])
    conv.bias = nn.Parameter((shift if conv.bias is None else conv.bias * scale + shift).to(conv.weight.dtype))
    return nn.Identity()
