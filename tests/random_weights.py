"""Weights that can tell a right network from a wrong one.

Freshly initialised GLPNs answer with nearly constant depth, so nearly any mistake passes. These weights are random in
every tensor, batch-norm statistics too, and scaled until the depth of a picture spans a fifth of the full range.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import GLPNConfig as TheirConfig
from transformers import GLPNForDepthEstimation as TheirModel
from transformers.initialization import no_init_weights

SMALL = {
    "depths": [1, 2, 1, 1],
    "hidden_sizes": [8, 16, 20, 32],
    "num_attention_heads": [1, 2, 5, 8],
    "decoder_hidden_size": 16,
}
"""A GLPN of the published shape that answers in milliseconds."""

PUBLISHED = {"depths": [3, 8, 27, 3], "hidden_sizes": [64, 128, 320, 512]}
"""What both public checkpoints are."""


def picture(size: tuple[int, int], *, batch: int = 1, seed: int = 0) -> Tensor:
    """(B, 3, h, w) in [0, 1] with both smooth areas and edges."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.rand(batch, 3, size[0] // 16, size[1] // 16, generator=random)
    smooth = nn.functional.interpolate(coarse, size=size, mode="bilinear")
    return (0.8 * smooth + 0.2 * torch.rand(batch, 3, *size, generator=random)).clamp(0, 1)


@torch.no_grad()
def randomise(model: nn.Module, *, seed: int = 0) -> None:
    """Fill every parameter and buffer with numbers that matter."""
    random = torch.Generator().manual_seed(seed)

    def normal(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=random)

    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            module.weight.copy_(normal(module.weight) * 1.2 / module.weight[0].numel() ** 0.5)
            if module.bias is not None:
                module.bias.copy_(0.2 * normal(module.bias))
        elif isinstance(module, nn.LayerNorm | nn.BatchNorm2d | nn.GroupNorm):
            module.weight.copy_(1 + 0.3 * normal(module.weight))
            module.bias.copy_(0.2 * normal(module.bias))
        else:  # tokens and positions
            for parameter in module.parameters(recurse=False):
                parameter.copy_(0.5 * normal(parameter))
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(0.3 * normal(module.running_mean))
            module.running_var.copy_(torch.exp(0.5 * normal(module.running_var)))


@torch.no_grad()
def randomized_model(
    *, seed: int = 0, size: tuple[int, int] = (96, 128), span: float = 3.0, **fields: object
) -> TheirModel:
    """A transformers GLPN in eval mode whose depth of a picture spans at least a fifth of max_depth.

    span: between the 1st and the 99th percentile, before the sigmoid; 3 is half of max_depth, 0.9 a fifth.
    """
    with no_init_weights():  # `randomise` sets them all
        model = TheirModel(TheirConfig(**fields)).eval()
    randomise(model, seed=seed)
    output = model.head.head[2]
    score = torch.logit(model(picture(size)).predicted_depth / model.config.max_depth, eps=1e-6)
    low, high = score.flatten()[:: max(1, score.numel() // 100_000)].quantile(torch.tensor([0.01, 0.99]))
    gain = span / (high - low)
    output.weight.mul_(gain)
    output.bias.copy_((output.bias - (low + high) / 2) * gain)
    assert spread(model(picture(size)).predicted_depth) > 0.2 * model.config.max_depth
    return model


def spread(depth: Tensor) -> float:
    """Metres between the 1st and the 99th percentile."""
    low, high = depth.flatten()[:: max(1, depth.numel() // 100_000)].quantile(torch.tensor([0.01, 0.99]))
    return float(high - low)
