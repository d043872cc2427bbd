"""The model that a run starts from: a trained one, an encoder with a fresh decoder, or a shape with fresh weights.

The published initialisation (every weight with standard deviation 0.02) expects an encoder that ImageNet has trained.
From scratch it leaves 3x3 and depth-wise convolutions nearly dead; weights that keep the variance of what flows through
them reached in 24,000 pictures what the published ones took 65,000 for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from glpn_cli.checkpoint import OWN_KEY
from glpn_cli.errors import ModelError, UsageError
from glpn_cli.models.config_base import ModelConfig, read_config
from glpn_cli.models.settings import InferenceSettings
from glpn_cli.models.state_dict import StateDictMatch, load_network, read_state
from glpn_cli.text import read_json_object

_SHAPES: dict[str, dict[str, Any]] = {
    "b0": {},
    "b4": {"depths": [3, 8, 27, 3], "hidden_sizes": [64, 128, 320, 512]},
    "mini": {"depths": [2, 2, 4, 2], "decoder_hidden_size": 32, "drop_path_rate": 0.0},
}
"""The shapes that `--config` names: the documented default, the published models, the bundled one.

`mini` has its parameters where they cost little: two more blocks at a sixteenth of the picture's size are 3 % of its
arithmetic, while a decoder of half the width halves the time of a step.
"""

_TYPICAL_DEPTH = 0.25
"""Mean depth of a room as a share of the largest, 2.5 m of 10: the output of an untrained head."""

_ENCODER = "encoder."
_BARE_PREFIX = "glpn."  # the file of a bare encoder leaves it out of its names


@dataclass(frozen=True)
class Camera:
    """The camera that a network's metres belong to: `focal_px` in pictures of `size` (h, w); None where unknown."""

    size: tuple[int, int]
    focal_px: float | None

    def focal_at(self, size: tuple[int, int]) -> float | None:
        """Its focal length in pixels in pictures of another (h, w): it grows with the root of the area."""
        if self.focal_px is None:
            return None
        return self.focal_px * math.sqrt(size[0] * size[1] / (self.size[0] * self.size[1]))


@dataclass(frozen=True, eq=False)
class InitialModel:
    """A network before its first step, with its config, its camera and its origin.

    config:  with the largest depth that the run trains for.
    network: pixels (B, 3, h, w) in [0, 1] -> depth (B, h, w), metres.
    origin:  a sentence for the model card.
    """

    config: ModelConfig
    network: nn.Module
    camera: Camera
    origin: str

    @property
    def limit_m(self) -> float:
        """The largest depth, metres."""
        limit = self.config.limit_m
        assert limit is not None
        return limit

    def trained_config(self, size: tuple[int, int]) -> dict[str, Any]:
        """The config.json of the result of training at (h, w), without facts about the initial weights."""
        raw: dict[str, Any] = self.config.to_dict()
        focal = self.camera.focal_at(size)
        own = {
            name: value for name, value in raw.get(OWN_KEY, {}).items() if name in ("layer_norm_eps_mode", "limit_m")
        }
        own |= {"training_size": list(size), "started_from": self.origin}
        own |= {} if focal is None else {"training_focal_px": round(focal, 3)}
        return {
            **raw,
            OWN_KEY: own,
            "architectures": [f"{type(self.config).__name__.removesuffix('Config')}ForDepthEstimation"],
        }

    @classmethod
    def load(cls, settings: InferenceSettings, *, seed: int) -> InitialModel:
        """A model with its weights; a folder with an encoder alone gets a fresh decoder and head.

        Raises ModelError where the weights fit neither.
        """
        config, checkpoint = settings.config, settings.model.checkpoint
        config.require_own_network("training")
        _ = settings.kind  # raises where the model predicts labels
        limit = config.limit_m
        if limit is None:
            raise _no_metres(settings.model.name)
        shapes = {name: info.shape for name, info in checkpoint.header().items()}
        origin = f"{settings.model.name} (weights {checkpoint.sha256()[:16]})"
        is_bare = not any(
            row.transformers in shapes for row in config.weight_rows() if not row.name.startswith(_ENCODER)
        )
        part: dict[str, Any] = {"part": _ENCODER, "base_prefix": _BARE_PREFIX}
        if is_bare and StateDictMatch.of(config.weight_rows(), shapes, **part).is_exact:
            network = config.build()
            initialise(network, seed=seed)
            network.load_state_dict(read_state(checkpoint, config.weight_rows(), **part), strict=False)
            origin = f"the encoder of {origin}"
        else:
            network = load_network(checkpoint, limit_m=limit)
        return cls(config, network, Camera(config.training_size, config.training_focal_px), origin)

    @classmethod
    def make(cls, name: str, *, max_depth: float | None, camera: Camera, seed: int) -> InitialModel:
        """Fresh weights in a shape: one of `_SHAPES`, or the path of a config.json.

        Raises UsageError where there is no such shape, ModelError where the file makes no sense.
        """
        raw: Mapping[str, Any]
        if name in _SHAPES:
            raw = {"model_type": "glpn", **_SHAPES[name]}
        elif Path(name).is_file():
            raw = read_json_object(Path(name))
        else:
            raise UsageError(f"--config {name!r} is neither {', '.join(_SHAPES)} nor a file")
        config = read_config(raw)
        config.require_own_network("training")
        if max_depth is not None:
            config = config.with_limit(max_depth)
        if config.limit_m is None:
            raise _no_metres(f"--config {name!r}")
        network = config.build()
        initialise(network, seed=seed)
        return cls(config, network, camera, f"nothing: shape {Path(name).stem}, seed {seed}")


def initialise(network: nn.Module, *, seed: int) -> None:
    """Fill `network` with weights that keep variance (fan-in); its head starts at the typical depth everywhere."""
    generator = torch.Generator().manual_seed(seed % 2**63)
    output = None
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            _fill(layer, 1 / math.sqrt(layer.in_features), generator)
        elif isinstance(layer, nn.Conv2d):
            fan_in = layer.weight[0].numel()
            rectified = layer.groups == 1 and layer.stride == (1, 1) and layer.kernel_size != (1, 1)
            _fill(layer, math.sqrt((2 if rectified else 1) / fan_in), generator)
            output = layer if layer.out_channels == 1 else output
    if output is not None and output.bias is not None:
        with torch.no_grad():
            output.weight.mul_(0.5)
            output.bias.fill_(math.log(_TYPICAL_DEPTH / (1 - _TYPICAL_DEPTH)))


def _fill(layer: nn.Linear | nn.Conv2d, deviation: float, generator: torch.Generator) -> None:
    with torch.no_grad():
        layer.weight.copy_(torch.empty(layer.weight.shape).normal_(0, deviation, generator=generator))
        if layer.bias is not None:
            layer.bias.zero_()


def _no_metres(name: str) -> ModelError:
    return ModelError(f"{name} does not predict metres, and only metres can be trained here")
