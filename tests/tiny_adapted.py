"""Small folders, with random weights that can tell, of models that transformers runs."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    DepthProConfig,
    DepthProForDepthEstimation,
    PromptDepthAnythingConfig,
    PromptDepthAnythingForDepthEstimation,
    ZoeDepthConfig,
    ZoeDepthForDepthEstimation,
)
from transformers.utils import logging

_NORMAL = {"do_normalize": True, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
_SCALED = {"do_rescale": True, "rescale_factor": 1 / 255, "do_resize": True}
_DINOV2 = {
    "model_type": "dinov2",
    "image_size": 64,
    "patch_size": 16,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "mlp_ratio": 2,
}


def write_zoedepth(folder: Path, *, heads: int = 1) -> Path:
    """A ZoeDepth whose processor makes 96x128 of pictures of that aspect; with two heads as Zoe-NK."""
    ends = [("nyu", 10.0), ("kitti", 80.0)][:heads]
    config = ZoeDepthConfig(
        backbone_config={
            "model_type": "beit",
            "image_size": 64,
            "patch_size": 16,
            "hidden_size": 32,
            "num_hidden_layers": 4,
            "num_attention_heads": 2,
            "intermediate_size": 64,
            "use_relative_position_bias": True,
            "reshape_hidden_states": False,
            "out_features": ["stage1", "stage2", "stage3", "stage4"],
        },
        neck_hidden_sizes=[8, 16, 32, 32],
        fusion_hidden_size=16,
        bottleneck_features=16,
        num_attractors=[4, 2, 1, 1],
        bin_embedding_dim=16,
        num_relative_features=8,
        bin_configurations=[{"name": name, "n_bins": 8, "min_depth": 0.001, "max_depth": far} for name, far in ends],
        num_patch_transformer_layers=4 if heads > 1 else None,
        patch_transformer_hidden_size=128 if heads > 1 else None,
        patch_transformer_intermediate_size=32 if heads > 1 else None,
        patch_transformer_num_attention_heads=2 if heads > 1 else None,
    )
    size = {"size": {"height": 96, "width": 128}, "keep_aspect_ratio": True, "ensure_multiple_of": 32, "resample": 2}
    settings = {"image_processor_type": "ZoeDepthImageProcessor", "do_pad": True, **size, **_SCALED, **_NORMAL}
    return _write(folder, ZoeDepthForDepthEstimation(config), settings)


def write_depth_pro(folder: Path) -> Path:
    """A Depth Pro that looks at 128x128 pixels, and tells the field of view."""
    config = DepthProConfig(
        patch_size=64,
        fusion_hidden_size=16,
        intermediate_hook_ids=[3, 1],
        intermediate_feature_dims=[16, 16],
        scaled_images_ratios=[0.5, 1.0],
        scaled_images_overlap_ratios=[0.0, 0.5],
        scaled_images_feature_dims=[32, 16],
        merge_padding_value=1,
        image_model_config=dict(_DINOV2),
        patch_model_config=dict(_DINOV2),
        fov_model_config=dict(_DINOV2),
        use_fov_model=True,
    )
    model = DepthProForDepthEstimation(config)
    size = {"size": {"height": 128, "width": 128}, "resample": 2}
    settings = {"image_processor_type": "DepthProImageProcessorFast", **size, **_SCALED, **_NORMAL}
    return _write(folder, model, settings, biases={"fov_model.head.layers.2.bias": 55.0, "head.layers.4.bias": 9.0})


def write_prompt_depth_anything(folder: Path) -> Path:
    """A Prompt Depth Anything, which gets no prompt here."""
    backbone = {**_DINOV2, "image_size": 70, "patch_size": 14, "out_features": [f"stage{n}" for n in (1, 2, 3, 4)]}
    config = PromptDepthAnythingConfig(
        backbone_config={**backbone, "reshape_hidden_states": False},
        patch_size=14,
        reassemble_hidden_size=32,
        neck_hidden_sizes=[8, 16, 32, 32],
        fusion_hidden_size=16,
        head_hidden_size=8,
    )
    size = {"size": {"height": 70, "width": 70}, "keep_aspect_ratio": True, "ensure_multiple_of": 14, "resample": 3}
    settings = {"image_processor_type": "PromptDepthAnythingImageProcessor", **size, **_SCALED, **_NORMAL}
    return _write(folder, PromptDepthAnythingForDepthEstimation(config), settings)


def _write(folder: Path, model: Any, settings: dict[str, Any], biases: dict[str, float] | None = None) -> Path:
    randomize(model)
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in (biases or {}).items():
            parameters[name].fill_(value)
    logging.disable_progress_bar()
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


@torch.no_grad()
def randomize(network: nn.Module) -> None:
    """Every parameter another number, so that none can be left out or exchanged unnoticed."""
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        noise = torch.empty(parameter.shape).normal_(generator=generator)
        if parameter.ndim > 1:
            parameter.copy_(noise * math.sqrt(2 / parameter[0].numel()))
        else:
            parameter.add_(0.1 * noise)
