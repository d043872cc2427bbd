"""Made pictures, and models of the published sizes with random weights, for benchmarks without files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from glpn_cli.checkpoint.write import EncodedFolder
from glpn_cli.errors import UsageError
from glpn_cli.models.config_base import ModelConfig
from glpn_cli.models.config_base import read_config as read_model_config
from glpn_cli.text import read_json_object

_INVERSE_RANGE = 10.0
"""Units of inverse depth that random weights span."""
_METRIC_SPAN = 0.9
"""Of scores before the sigmoid: a fifth of the metric range."""
_GLPN = {"model_type": "glpn", "architectures": ["GLPNForDepthEstimation"], "max_depth": 10}
_DPT = {"model_type": "dpt", "architectures": ["DPTForDepthEstimation"], "readout_type": "project", "image_size": 384}
_LARGE = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "backbone_out_indices": [5, 11, 17, 23],
    "neck_hidden_sizes": [256, 512, 1024, 1024],
}
_HYBRID = {
    "is_hybrid": True,
    "backbone_out_indices": [0, 1, 8, 11],
    "neck_hidden_sizes": [256, 512, 768, 768],
    "reassemble_factors": [1, 1, 1, 0.5],
}
_ADE = {
    "architectures": ["DPTForSemanticSegmentation"],
    "image_size": 480,
    "use_batch_norm_in_fusion_residual": True,
    "id2label": {str(index): f"label {index}" for index in range(150)},
}
_DA2_SMALL = {
    "model_type": "depth_anything",
    "architectures": ["DepthAnythingForDepthEstimation"],
    "backbone_config": {
        "model_type": "dinov2",
        "image_size": 518,
        "hidden_size": 384,
        "num_attention_heads": 6,
        "out_indices": [3, 6, 9, 12],
        "reshape_hidden_states": False,
    },
}
_CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "b0": {**_GLPN, "depths": [2, 2, 2, 2], "hidden_sizes": [32, 64, 160, 256]},
    "b4": {**_GLPN, "depths": [3, 8, 27, 3], "hidden_sizes": [64, 128, 320, 512]},
    "dpt-large": {**_DPT, **_LARGE},
    "dpt-hybrid": {**_DPT, **_HYBRID},
    "dpt-large-ade": {**_DPT, **_LARGE, **_ADE},
    "da2-small": _DA2_SMALL,
    "da2-indoor-small": {**_DA2_SMALL, "depth_estimation_type": "metric", "max_depth": 20},
}
"""GLPNs with SegFormer's smallest encoder and that of both published ones (arXiv 2105.15203, table 6), and the DPTs of
arXiv 2103.13413: large, hybrid, and large with the 150 labels of ADE20K; and the small Depth Anything V2 of arXiv
2406.09414, with and without a unit."""


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


def read_config(name: str) -> Mapping[str, Any]:
    """The raw config of a published size, or of a file. Raises UsageError for a name that is neither."""
    if name in _CONFIGS:
        return _CONFIGS[name]
    path = Path(name)
    if not path.is_file():
        raise UsageError(
            f"there is no config {name!r}", hint=f"The configs are {', '.join(_CONFIGS)}, or a config.json of your own."
        )
    return read_json_object(path)


def make_random_model(folder: Path, fields: Mapping[str, Any]) -> Path:
    """Write a model of a raw config with random weights, whose results fill their range.

    Fresh weights give one depth everywhere, and any two programs agree on that. Here every tensor is random and the
    last convolution is scaled to its scores of one picture: metres span a fifth of their range, inverse depth ten
    units, and all labels are about as likely.
    """
    config = read_model_config(fields)
    network = config.build().eval()
    random = torch.Generator().manual_seed(0)
    _randomize(network, random)
    _spread_scores(network, config, random)
    state = network.state_dict()
    named = {
        row.transformers: state[row.name] if row.name in state else torch.zeros(row.shape, dtype=torch.long)
        for row in config.weight_rows()
    }
    EncodedFolder.of(config=config.to_dict(), state=named, preprocessor=config.preprocessor()).write(folder)
    return folder


@torch.no_grad()
def _randomize(network: nn.Module, random: torch.Generator) -> None:
    """Draw every parameter, and the statistics of batch norms."""
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


@torch.no_grad()
def _spread_scores(network: nn.Module, config: ModelConfig, random: torch.Generator) -> None:
    """Scale the last convolution to its scores of a smooth picture with fine grain, of half the training size."""
    height, width = config.scaled(config.training_size, 0.5)
    smooth = nn.functional.interpolate(torch.rand(1, 3, 9, 12, generator=random), size=(height, width), mode="bicubic")
    picture = (smooth + 0.025 * torch.randn(1, 1, height, width, generator=random)).clamp(0, 1)[0]
    rgb = (255 * picture).to(torch.uint8).permute(1, 2, 0).numpy()
    output: nn.Conv2d = network.head.output  # type: ignore[union-attr,assignment]
    outputs: list[Tensor] = []
    handle = output.register_forward_hook(lambda _module, _inputs, scores: outputs.append(scores))
    network(config.prepare(rgb, (height, width)))
    handle.remove()
    (scores,) = outputs[0].flatten(2)  # (C, N)
    if config.kind is None:
        _rescale(output, gain=1 / scores.std(dim=1), middle=scores.mean(dim=1))
        return
    low, high = scores[0].quantile(torch.tensor([0.05, 0.99]))
    if config.kind.is_metric:
        _rescale(output, gain=_METRIC_SPAN / (high - low), middle=(low + high) / 2)
    else:
        _rescale(output, gain=_INVERSE_RANGE / (high - low), middle=low)


def _rescale(output: nn.Conv2d, *, gain: Tensor | float, middle: Tensor | float) -> None:
    """Shift the scores by -middle, then multiply them by `gain`; each a number, or one for each channel."""
    assert output.bias is not None
    output.weight.mul_(torch.as_tensor(gain).reshape(-1, 1, 1, 1))
    output.bias.copy_((output.bias - middle) * gain)
