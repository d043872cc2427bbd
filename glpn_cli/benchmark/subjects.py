"""What is measured where nothing is named: pictures made here, and random weights of the published sizes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from glpn_cli.checkpoint import write_checkpoint
from glpn_cli.errors import UsageError
from glpn_cli.models.families import family_of

CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "b0": {"depths": [2, 2, 2, 2], "hidden_sizes": [32, 64, 160, 256]},
    "b4": {"depths": [3, 8, 27, 3], "hidden_sizes": [64, 128, 320, 512]},
}
"""Sizes of SegFormer's encoder (arXiv 2105.15203, table 6): the smallest, and that of both published GLPNs."""


def make_pictures(folder: Path, count: int, *, size: tuple[int, int] = (480, 640)) -> list[Path]:
    """Write `count` different JPEGs of (H, W), smooth areas with fine grain, always the same."""
    folder.mkdir(parents=True, exist_ok=True)
    height, width = size
    paths = []
    for index in range(count):
        random = np.random.default_rng(index)
        coarse = Image.fromarray(random.integers(0, 256, (9, 12, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=np.int16)
        grain = random.integers(-12, 13, (height, width, 1), dtype=np.int16)
        path = folder / f"{index:04}.jpg"
        Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8)).save(path, quality=90)
        paths.append(path)
    return paths


def make_random_model(folder: Path, name: str, *, seed: int = 0) -> Path:
    """Write a GLPN of a published size with random weights, whose depths fill their range.

    Fresh weights answer with one depth everywhere, and any two programs agree on that; these are spread in every
    tensor, so that agreement means something. Raises UsageError for a size that is not known.
    """
    if name not in CONFIGS:
        raise UsageError(f"there is no config {name!r}", hint=f"configs are {', '.join(CONFIGS)}")
    return write_random_model(folder, CONFIGS[name], seed=seed)


def write_random_model(folder: Path, fields: Mapping[str, Any], *, seed: int = 0) -> Path:
    """The same for any config of a GLPN."""
    raw = {"model_type": "glpn", "architectures": ["GLPNForDepthEstimation"], "max_depth": 10, **fields}
    family = family_of(raw)
    config = family.read_config(raw)
    network = family.build(config).eval()
    _make_lively(network, torch.Generator().manual_seed(seed))
    state = network.state_dict()
    named = {
        row.transformers: state[row.name] if row.name in state else torch.zeros(row.shape, dtype=torch.long)
        for row in family.weight_rows(config)
    }
    write_checkpoint(folder, config=config.to_dict(), state=named, preprocessor=family.preprocessor(config))
    return folder


@torch.no_grad()
def _make_lively(network: nn.Module, random: torch.Generator) -> None:
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.weight.normal_(0, 1.2 / module.weight[0].numel() ** 0.5, generator=random)
            if module.bias is not None:
                module.bias.normal_(0, 0.2, generator=random)
        elif isinstance(module, nn.LayerNorm | nn.BatchNorm2d):
            module.weight.normal_(1, 0.3, generator=random)
            module.bias.normal_(0, 0.2, generator=random)
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None and module.running_var is not None:
            module.running_mean.normal_(0, 0.3, generator=random)
            module.running_var.normal_(0, 0.5, generator=random).exp_()
    coarse = torch.rand(1, 3, 8, 8, generator=random)
    pixels = nn.functional.interpolate(coarse, size=(96, 128), mode="bilinear")
    output: nn.Conv2d = network.head.output  # type: ignore[union-attr,assignment]
    limit_m = float(network.head.max_depth_m)  # type: ignore[union-attr,arg-type]
    score = torch.logit(network(pixels) / limit_m, eps=1e-6).flatten()
    low, high = score.quantile(torch.tensor([0.01, 0.99])).tolist()
    gain = 3.0 / max(high - low, 1e-6)
    assert output.bias is not None
    output.weight.mul_(gain)
    output.bias.copy_((output.bias - (low + high) / 2) * gain)
