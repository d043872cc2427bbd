"""What a run starts from: a model, an encoder, or nothing but a shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from glpn_cli.checkpoint import OWN_KEY, read_json_object
from glpn_cli.errors import ModelError, UsageError
from glpn_cli.models.config_base import ModelConfig, read_config
from glpn_cli.models.settings import InferenceSettings
from glpn_cli.models.state_dict import load_network, match_state_dict, read_state
from glpn_cli.training.initialise import initialise_from_scratch
from glpn_cli.training.loop import Lens

SHAPES: dict[str, dict[str, Any]] = {
    "b0": {},
    "b4": {"depths": [3, 8, 27, 3], "hidden_sizes": [64, 128, 320, 512]},
    "mini": {"depths": [2, 2, 4, 2], "decoder_hidden_size": 32, "drop_path_rate": 0.0},
}
"""Shapes that `--config` knows by name: the documented default, the published models, the bundled one.

`mini` has its parameters where they cost little: two more blocks at a sixteenth of the picture's size are 3 % of its
arithmetic, while a decoder of half the width halves the time of a step.
"""

_ENCODER = "encoder."
_BARE_PREFIX = "glpn."  # what a bare encoder's file leaves away from its names


@dataclass(frozen=True, eq=False)
class Start:
    """A network before its first step, and what is known about it.

    config:   of the network, with the limit that the run trains for.
    lens:     the camera that its metres belong to, as far as known.
    words:    where it comes from, for the model card.
    """

    config: ModelConfig
    network: nn.Module
    lens: Lens
    words: str

    @property
    def limit_m(self) -> float:
        """The largest depth."""
        limit = self.config.limit_m
        assert limit is not None
        return limit

    def written_config(self, size: tuple[int, int]) -> dict[str, Any]:
        """The config.json of the result of training at (h, w): what was known about the start's weights is not kept."""
        raw: dict[str, Any] = self.config.to_dict()
        focal = self.lens.at(size)
        own = {
            name: value for name, value in raw.get(OWN_KEY, {}).items() if name in ("layer_norm_eps_mode", "limit_m")
        }
        own |= {"training_size": list(size), "started_from": self.words}
        own |= {} if focal is None else {"training_focal_px": round(focal, 3)}
        return {**raw, OWN_KEY: own, "architectures": ["GLPNForDepthEstimation"]}


def start_from_model(recipe: InferenceSettings, *, seed: int) -> Start:
    """Go on from a model's weights; a folder with an encoder alone gets a fresh decoder and head.

    Raises ModelError where the weights fit neither.
    """
    config, checkpoint = recipe.config, recipe.model.checkpoint
    _ = recipe.kind
    limit = config.limit_m
    if limit is None:
        raise _no_metres(recipe.model.name)
    shapes = {name: info.shape for name, info in checkpoint.header().items()}
    words = f"{recipe.model.name} (weights {checkpoint.sha256()[:16]})"
    is_bare = not any(name.startswith(("decoder.", "head.")) for name in shapes)
    if is_bare and match_state_dict(config.weight_rows(), shapes, part=_ENCODER, base_prefix=_BARE_PREFIX).is_exact:
        network = config.build()
        initialise_from_scratch(network, seed=seed)
        network.load_state_dict(
            read_state(checkpoint, config.weight_rows(), part=_ENCODER, base_prefix=_BARE_PREFIX), strict=False
        )
        words = f"the encoder of {words}"
    else:
        network = load_network(checkpoint, limit_m=limit)
    return Start(config, network, Lens(config.training_size, config.training_focal_px), words)


def start_from_shape(name: str, *, max_depth: float | None, lens: Lens, seed: int) -> Start:
    """Begin with fresh weights in a shape: `b0`, `b4`, or a config.json.

    Raises UsageError where there is no such shape, ModelError where the file makes no sense.
    """
    raw: Mapping[str, Any]
    if name in SHAPES:
        raw = {"model_type": "glpn", **SHAPES[name]}
    elif Path(name).is_file():
        raw = read_json_object(Path(name))
    else:
        raise UsageError(f"--config {name!r} is neither {', '.join(SHAPES)} nor a file")
    config = read_config(raw)
    if max_depth is not None:
        config = config.with_limit(max_depth)
    if config.limit_m is None:
        raise _no_metres(f"--config {name!r}")
    network = config.build()
    initialise_from_scratch(network, seed=seed)
    return Start(config, network, lens, f"nothing: shape {Path(name).stem}, seed {seed}")


def _no_metres(name: str) -> ModelError:
    return ModelError(f"{name} does not predict metres, and only metres can be trained here")
