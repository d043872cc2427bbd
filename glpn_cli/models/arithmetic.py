"""Checks that torch computes the layers of networks correctly, in a precision, on this processor.

Faults hide in small and thin shapes, of which a picture meets a few and a benchmark none; they depend on the processor,
so that one machine says nothing about another. `glpn doctor` and the tests ask for all of them, in milliseconds each.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glpn_cli.models.layers import DTYPES, PatchConvTranspose2d, StridedConv2d

_CHANNELS = (3, 8, 16, 24, 32, 64)
_GRIDS = ((1, 1), (1, 9), (9, 1), (3, 4))
"""(h, w) of what the layers answer."""
_TF32_STEP = 2**-10
"""Between two numbers at 1 in TF32, which CUDA may multiply instead of fp32."""


@dataclass(frozen=True)
class LayerCheck:
    """How one kind of layer fared against fp64, in its answers and its gradients.

    kind:   its name, in the plural
    cases:  layers that were tried
    wrong:  how many of them torch gets wrong
    error:  the largest error of torch's, over the largest number of the right answer; infinite where it is not finite
    wrong_in_models: how many are wrong as the models here compute them
    """

    kind: str
    cases: int
    wrong: int
    error: float
    wrong_in_models: int


_Case = tuple[str, nn.Module, nn.Module, tuple[int, ...]]
"""A kind of layer, one as torch has it, the same as the models here compute it, and the shape of what it reads."""


class _Attention(nn.Module):
    def forward(self, tokens: Tensor) -> Tensor:
        """(B, heads, N, C), each token its own query, key and value."""
        return F.scaled_dot_product_attention(tokens, tokens, tokens)


def check_layers(precision: str, device: str = "cpu") -> list[LayerCheck]:
    """Compute small layers of every kind that the models use in a precision, and compare them with fp64.

    One thread computes them: the more of a layer a thread does, the more of the memory it leaves unwritten shows.
    """
    tolerance = 4 * max(torch.finfo(DTYPES[precision]).eps, _TF32_STEP)  # inputs, weights, sum and answer are rounded
    errors: dict[str, list[tuple[float, float]]] = {}
    with torch.random.fork_rng(devices=[]), _one_thread():
        torch.manual_seed(0)
        for kind, torchs, models, shape in _cases():
            errors.setdefault(kind, []).append(_measure(torchs, models, shape, DTYPES[precision], device))
    return [
        LayerCheck(
            kind,
            cases=len(found),
            wrong=sum(error > tolerance for error, _ in found),
            error=max(error for error, _ in found),
            wrong_in_models=sum(error > tolerance for _, error in found),
        )
        for kind, found in errors.items()
    ]


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _cases() -> Iterator[_Case]:
    attention = _Attention()
    for channels in _CHANNELS:
        for kernel in (2, 4, 8):
            patches = "convolutions whose kernel is their stride"
            yield from _convolutions(patches, channels, kernel=kernel, stride=kernel)
        for kernel, stride in ((3, 2), (7, 4)):
            yield from _convolutions("strided convolutions", channels, kernel=kernel, stride=stride)
        for kernel in (1, 3):
            yield from _convolutions("convolutions", channels, kernel=kernel, stride=1)
        depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        yield from _on_grids("depth-wise convolutions", depthwise, depthwise, channels)
        for kernel in (2, 4):
            torchs = nn.ConvTranspose2d(channels, channels, kernel, kernel)
            models = PatchConvTranspose2d(channels, channels, kernel)
            yield from _on_grids("transposed convolutions", torchs, models, channels)
        linear = nn.Linear(channels, 4 * channels)
        for height, width in _GRIDS:
            yield "linear layers", linear, linear, (2, height, width, channels)
            yield "attentions", attention, attention, (2, 2, height * width, channels)


def _convolutions(kind: str, channels: int, *, kernel: int, stride: int) -> Iterator[_Case]:
    padding = 0 if kernel == stride else kernel // 2
    torchs = nn.Conv2d(channels, channels, kernel, stride, padding)
    models = StridedConv2d(channels, channels, kernel, stride, padding)
    yield from _on_grids(kind, torchs, models if stride > 1 else torchs, channels, scale=stride)


def _on_grids(kind: str, torchs: nn.Module, models: nn.Module, channels: int, *, scale: int = 1) -> Iterator[_Case]:
    models.load_state_dict(torchs.state_dict())
    for height, width in _GRIDS:
        yield kind, torchs, models, (2, channels, height * scale, width * scale)


def _measure(
    torchs: nn.Module, models: nn.Module, shape: tuple[int, ...], dtype: torch.dtype, device: str
) -> tuple[float, float]:
    """The errors of torch's own layer and of the models', over the largest number of the right answer."""
    layer = torchs.to(device="cpu", dtype=dtype)  # weights and inputs that the precision has, so that fp64's agree
    inputs = torch.randn(shape).to(dtype)
    right = _compute(layer.double(), inputs.double())
    errors = []
    for ours in (torchs, models):
        ours.to(device=device, dtype=dtype)
        _leave_rubbish(dtype, device)
        errors.append(max(map(_error, _compute(ours, inputs.to(device)), right)))
    return errors[0], errors[1]


def _compute(layer: nn.Module, inputs: Tensor) -> list[Tensor]:
    """The layer's answer, and the gradients of what it reads and of its weight."""
    is_convolution = isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    order = torch.channels_last if is_convolution else torch.contiguous_format
    inputs = inputs.contiguous(memory_format=order).requires_grad_()
    answer: Tensor = layer(inputs)
    wave = torch.linspace(-3, 3, answer.numel(), dtype=torch.float64).view(answer.shape)
    weights = [parameter for name, parameter in layer.named_parameters() if name == "weight"]
    gradients = torch.autograd.grad((answer * wave.to(answer)).sum(), [inputs, *weights])
    return [answer.detach(), *gradients]


def _error(found: Tensor, right: Tensor) -> float:
    error = float((found.cpu().double() - right).abs().max() / right.abs().max())
    return error if math.isfinite(error) else math.inf


def _leave_rubbish(dtype: torch.dtype, device: str) -> None:
    """Fill memory with large numbers and free it, so that a number that is never written shows."""
    for size in range(6, 18):
        torch.full((2**size,), 6e4, dtype=dtype, device=device)
