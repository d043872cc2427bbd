"""Depth Anythings whose weights can tell a right network from a wrong one; see `random_weights`."""

from __future__ import annotations

from typing import Any

import torch
from random_weights import picture, randomise
from random_weights_dpt import randomize
from torch import Tensor
from transformers import DepthAnythingConfig as TheirConfig
from transformers import DepthAnythingForDepthEstimation as TheirModel
from transformers.initialization import no_init_weights

BACKBONE: dict[str, Any] = {
    "model_type": "dinov2",
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "mlp_ratio": 2,
    "image_size": 70,
    "patch_size": 14,
    "out_indices": [1, 2, 3, 4],
    "reshape_hidden_states": False,
}
SMALL: dict[str, Any] = {
    "backbone_config": BACKBONE,
    "reassemble_hidden_size": 32,
    "neck_hidden_sizes": [8, 16, 24, 32],
    "fusion_hidden_size": 16,
    "head_hidden_size": 8,
}
"""A Depth Anything of the published shape that answers in milliseconds."""

METRIC: dict[str, Any] = SMALL | {"depth_estimation_type": "metric", "max_depth": 20}

REGISTERS: dict[str, Any] = SMALL | {
    "backbone_config": BACKBONE | {"model_type": "dinov2_with_registers", "num_register_tokens": 3}
}

V2_SMALL: dict[str, Any] = {
    "backbone_config": {
        "model_type": "dinov2",
        "hidden_size": 384,
        "num_attention_heads": 6,
        "image_size": 518,
        "out_indices": [3, 6, 9, 12],
        "reshape_hidden_states": False,
    },
}
"""What depth-anything/Depth-Anything-V2-Small-hf is."""


def pixels_for(size: tuple[int, int], *, batch: int = 1, seed: int = 0) -> Tensor:
    """(B, 3, h, w) about as ImageNet's normalisation leaves them, with both smooth areas and edges."""
    return 4 * picture(size, batch=batch, seed=seed) - 2


def randomized_model(*, seed: int = 0, size: tuple[int, int] = (70, 70), **fields: Any) -> TheirModel:
    """A transformers model in eval mode whose inverse depth spans ten units, or whose metres a fifth of their range."""
    with no_init_weights():  # `randomise` sets them all
        model = TheirModel(TheirConfig(**fields)).eval()
    randomise(model, seed=seed)
    pixels = pixels_for(size)
    if fields.get("backbone_config", {}).get("model_type") == "dinov2_with_registers":
        model.forward = lambda pixel_values: without_registers(model, pixel_values)
    if fields.get("depth_estimation_type") == "metric":
        _spread_metres(model, pixels)
    else:
        randomize(model, model.head.conv3, pixels)
    return model


@torch.no_grad()
def _spread_metres(model: TheirModel, pixels: Tensor) -> None:
    """The 1st to the 99th percentile of the scores, 0.81 apart about 0, are a fifth of the range."""
    scores: list[Tensor] = []
    handle = model.head.conv3.register_forward_hook(lambda _module, _inputs, found: scores.append(found))
    model(pixels)
    handle.remove()
    low, high = scores[0].flatten().quantile(torch.tensor([0.01, 0.99]))
    gain = 0.81 / (high - low)
    model.head.conv3.weight.mul_(gain)
    model.head.conv3.bias.copy_((model.head.conv3.bias - (low + high) / 2) * gain)


def without_registers(model: TheirModel, pixels: Tensor) -> Any:
    """Their answer with registers: their own forward takes them for patches and fails."""
    states = model.backbone(pixels).feature_maps
    count = model.config.backbone_config.num_register_tokens
    states = [torch.cat((state[:, :1], state[:, 1 + count :]), dim=1) for state in states]
    grid = pixels.shape[2] // 14, pixels.shape[3] // 14
    depth = model.head(model.neck(states, *grid), *grid)
    return type("Output", (), {"predicted_depth": depth})()
