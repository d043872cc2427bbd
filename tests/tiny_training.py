"""A tiny GLPN and a tiny world of boxes to train it on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import nn

from glpn_cli.data.augment import Augmentation
from glpn_cli.data.samples import Sample
from glpn_cli.errors import InputError
from glpn_cli.models.config_base import read_config
from glpn_cli.training.config import Phase, Schedule, TrainingConfig
from glpn_cli.training.initial_model import Camera, InitialModel, initialise
from glpn_cli.training.ranks import Ranks
from glpn_cli.training.trainer import Trainer

TINY = {
    "depths": [1, 1, 1, 1],
    "hidden_sizes": [8, 8, 16, 16],
    "num_attention_heads": [1, 1, 2, 2],
    "mlp_ratios": [2, 2, 2, 2],
    "decoder_hidden_size": 8,
    "drop_path_rate": 0.1,
    "max_depth": 10,
}
AUGMENTATION = Augmentation(zoom=(1.0, 1.3), camera=0.3, erase=0.2)


@dataclass(frozen=True)
class Floors:
    """Bare floors that get nearer downwards, each of its own shade and tilt; some cannot be used."""

    length: int | None = 16
    unreadable: int = 0
    empty: int = 0
    name: str = "floors"

    def name_of(self, index: int) -> str:
        return f"floor {index}"

    def read(self, index: int) -> Sample:
        if self.unreadable and index % self.unreadable == 0:
            raise InputError(f"floor {index} cannot be read")
        rng = np.random.default_rng([7, index])
        rows = np.linspace(1, 0, 48, dtype=np.float32)[:, None] * np.ones((1, 64), np.float32)
        depth = (1 + rng.uniform(2, 6) * rows).astype(np.float32)
        if self.empty and index % self.empty == 0:
            depth[:] = 0
        shade = (rng.uniform(100, 255, 3) * (1 - 0.7 * rows[..., None])).astype(np.uint8)
        return Sample(shade, depth, focal_px=60.0, name=f"floor {index}")


def tiny_network(seed: int = 0) -> nn.Module:
    network = read_config({"model_type": "glpn", **TINY}).build()
    initialise(network, seed=seed)
    return network


def tiny_model(network: nn.Module | None = None) -> InitialModel:
    config = read_config({"model_type": "glpn", **TINY})
    return InitialModel(config, network or tiny_network(), Camera((48, 64), 60.0), "nothing")


def tiny_trainer(
    *,
    steps: int = 6,
    source: Floors | None = None,
    network: nn.Module | None = None,
    ranks: Ranks | None = None,
    batch_size: int = 4,
    workers: int = 0,
    freeze: str = "none",
    average: float | None = 0.9,
    precision: str = "fp32",
    augmentation: Augmentation = AUGMENTATION,
    peak: float = 1e-3,
) -> Trainer:
    half = steps // 2
    phases = (
        Phase(half, (32, 64), gradient_weight=0.25, normal_weight=0.25, augmentation=augmentation),
        Phase(steps - half, (64, 64), gradient_weight=0.5, augmentation=augmentation),
    )
    config = TrainingConfig(
        phases=phases,
        batch_size=batch_size,
        schedule=Schedule("trapezoid", peak=peak, warm_up=2),
        weight_decay=0.01,
        clip=1.0,
        average=average,
        precision=precision,
        freeze=freeze,
    )
    return Trainer(
        tiny_model(network),
        config,
        source or Floors(),
        ranks=ranks,
        workers=workers,
    )
