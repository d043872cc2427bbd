"""DPTs whose weights can tell a right network from a wrong one; see `randomized`."""

from __future__ import annotations

from typing import Any

import torch
from random_weights import picture, randomise
from torch import Tensor, nn
from transformers import DPTConfig as TheirConfig
from transformers import DPTForDepthEstimation as TheirEstimator
from transformers import DPTForSemanticSegmentation as TheirSegmenter
from transformers.initialization import no_init_weights

SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "image_size": 64,
    "patch_size": 16,
    "backbone_out_indices": [0, 1, 2, 3],
    "neck_hidden_sizes": [8, 16, 24, 32],
    "fusion_hidden_size": 16,
}
"""A DPT of the published shape that answers in milliseconds."""

BACKBONE: dict[str, Any] = {
    "model_type": "bit",
    "layer_type": "bottleneck",
    "global_padding": "same",
    "embedding_dynamic_padding": True,
    "embedding_size": 8,
    "hidden_sizes": [16, 32, 64],
    "depths": [1, 2, 1],
    "num_groups": 4,
    "out_features": ["stage1", "stage2", "stage3"],
}
HYBRID: dict[str, Any] = SMALL | {
    "is_hybrid": True,
    "backbone_config": BACKBONE,
    "backbone_featmap_shape": [1, 64, 4, 4],
    "neck_hidden_sizes": [16, 32, 24, 32],
    "reassemble_factors": [1, 1, 1, 0.5],
}
"""The same as a hybrid: two of its levels come from convolutions."""

LARGE: dict[str, Any] = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "backbone_out_indices": [5, 11, 17, 23],
    "neck_hidden_sizes": [256, 512, 1024, 1024],
}
"""What Intel/dpt-large is."""

LABELS = dict(enumerate(["wall", "floor", "lamp", "door", "sky"]))


def pixels_for(size: tuple[int, int], *, batch: int = 1, seed: int = 0) -> Tensor:
    """(B, 3, h, w) in [-1, 1] with both smooth areas and edges."""
    return 2 * picture(size, batch=batch, seed=seed) - 1


@torch.no_grad()
def randomize(network: nn.Module, output: nn.Conv2d, pixels: Tensor) -> None:
    """Scale a depth head's last convolution until answers span ten units, and an edge of them is cut off at 0."""
    scores: list[Tensor] = []
    handle = output.register_forward_hook(lambda _module, _inputs, found: scores.append(found))
    network(pixels)
    handle.remove()
    low, high = scores[0].flatten().quantile(torch.tensor([0.05, 0.99]))
    gain = 10 / (high - low)
    output.weight.mul_(gain)
    output.bias.copy_((output.bias - low) * gain)


@torch.no_grad()
def randomized_estimator(*, seed: int = 0, size: tuple[int, int] = (64, 64), **fields: Any) -> TheirEstimator:
    """A transformers DPT in eval mode whose inverse depth of a picture spans ten units."""
    with no_init_weights():  # `randomise` sets them all
        model = TheirEstimator(TheirConfig(**fields)).eval()
    randomise(model, seed=seed)
    randomize(model, model.head.head[4], pixels_for(size))
    answer = model(pixels_for(size)).predicted_depth
    assert 5 < float(answer.max()) < 50
    assert 0 < float((answer == 0).float().mean()) < 0.2
    return model


def randomized_segmenter(*, seed: int = 0, **fields: Any) -> TheirSegmenter:
    """A transformers DPT in eval mode that tells five labels apart."""
    with no_init_weights():  # `randomise` sets them all
        model = TheirSegmenter(TheirConfig(**({"id2label": LABELS, "label2id": {}} | fields))).eval()
    randomise(model, seed=seed)
    return model
