"""Random weights of a DPT or a Depth Anything that can tell two programs apart."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from glpn_cli.models.dense.transformer import Encoder

_RANGE = 10.0


@torch.no_grad()
def randomize_dense(network: nn.Module, random: torch.Generator) -> None:
    """Draw every tensor so that it counts.

    Inverse depth spans ten units, metres a fifth of their range, and all labels are about as likely.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            module.weight.normal_(0, 1.2 / module.weight[0].numel() ** 0.5, generator=random)
            if module.bias is not None:
                module.bias.normal_(0, 0.2, generator=random)
        elif isinstance(module, nn.LayerNorm | nn.BatchNorm2d | nn.GroupNorm):
            module.weight.normal_(1, 0.3, generator=random)
            module.bias.normal_(0, 0.2, generator=random)
        else:  # tokens, positions and scales
            for parameter in module.parameters(recurse=False):
                parameter.normal_(0, 0.5, generator=random)
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None and module.running_var is not None:
            module.running_mean.normal_(0, 0.3, generator=random)
            module.running_var.normal_(0, 0.5, generator=random).exp_()
    _spread(network, random)


def _spread(network: nn.Module, random: torch.Generator) -> None:
    """Scale the last convolution to its scores of a picture at the training size: smooth areas with fine grain."""
    output: nn.Conv2d = network.head.output  # type: ignore[union-attr,assignment]
    encoder: Encoder = network.encoder  # type: ignore[assignment]
    patch: tuple[int, int] = encoder.embedding.patch  # type: ignore[assignment]  # both kinds of embedding have one
    size = tuple(count * side for count, side in zip(encoder.grid, patch, strict=True))
    coarse = 2 * torch.rand(1, 3, 9, 12, generator=random) - 1
    smooth = nn.functional.interpolate(coarse, size=size, mode="bicubic")
    pixels = (smooth + 0.05 * torch.randn(1, 1, *size, generator=random)).clamp(-1, 1)
    found: list[Tensor] = []
    handle = output.register_forward_hook(lambda _module, _inputs, scores: found.append(scores))
    network(pixels)
    handle.remove()
    (scores,) = found[0].flatten(2)  # (C, N)
    assert output.bias is not None
    if len(scores) == 1:
        low, high = scores[0][:: max(1, scores.shape[1] // 100_000)].quantile(torch.tensor([0.05, 0.99]))
        is_metric = getattr(network.head, "max_depth_m", None) is not None  # then a sigmoid follows
        gain, middle = (0.9 / (high - low), (low + high) / 2) if is_metric else (_RANGE / (high - low), low)
        output.weight.mul_(gain)
        output.bias.copy_((output.bias - middle) * gain)
    else:
        gain = 1 / scores.std(dim=1)
        output.weight.mul_(gain[:, None, None, None])
        output.bias.copy_((output.bias - scores.mean(dim=1)) * gain)
