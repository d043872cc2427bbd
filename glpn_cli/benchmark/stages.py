"""One model in this process: how long each stage of a picture takes, and how near the network comes to the machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from glpn_cli.benchmark.machine import wait_for
from glpn_cli.depth_files import make_writer
from glpn_cli.devices import choose_device, choose_precision
from glpn_cli.images import ImageSource
from glpn_cli.models.pretrained import load_network
from glpn_cli.models.recipe import Recipe
from glpn_cli.prediction import DepthMap, Result


class Subject:
    """A loaded model and a picture, taken apart into stages.

    batch_size: copies of the picture that go through the network together
    """

    def __init__(self, recipe: Recipe, picture: Path, *, device: str = "auto", batch_size: int = 1) -> None:
        self.recipe = recipe
        self.device = choose_device(device)
        self.precision = choose_precision(recipe.precision, self.device)
        self.source = ImageSource(picture, picture.name, str(picture))
        started = time.perf_counter()
        self.network = self._load()
        self.load_s = time.perf_counter() - started
        self.picture = self.source.read()
        self.size = recipe.network_size(self.picture.full_size)
        self.batch_size = batch_size
        self.flops = 2 * batch_size * recipe.family.cost(recipe.config, self.size).macs

    def _load(self) -> nn.Module:
        network = load_network(self.recipe.model.checkpoint, limit_m=self.recipe.limit_m)
        return self.recipe.family.cast(network.to(self.device), self.precision)

    def prepare(self) -> Tensor:
        """float32 (B, 3, h, w) on the device."""
        pixels = self.recipe.family.prepare(self.recipe.config, self.picture.rgb, self.size)
        return pixels.expand(self.batch_size, -1, -1, -1).contiguous().to(self.device)

    @torch.inference_mode()
    def infer(self, pixels: Tensor) -> Tensor:
        """Raw answers (B, h, w), when the device has them."""
        raw: Tensor = self.network(pixels)
        wait_for(self.device)
        return raw

    @torch.inference_mode()
    def restore(self, raw: Tensor) -> DepthMap:
        """The first answer at the picture's own size."""
        answer = self.recipe.family.decode(self.recipe.config, raw[0], self.picture.full_size)
        assert isinstance(answer, DepthMap)
        return answer

    def stages(self) -> dict[str, Callable[[], object]]:
        """Name -> the work of each stage after loading, on what the stage before gave."""
        pixels = self.prepare()
        raw = self.infer(pixels)
        depth = self.restore(raw)
        format_ = "png16" if depth.kind.is_metric else "tiff"
        writer = make_writer(format_, kind=depth.kind, limit_m=self.recipe.limit_m)
        result = Result(depth, self.source, self.recipe.provenance)
        return {
            "decode": self.source.read,
            "preprocess": self.prepare,
            "network": lambda: self.infer(pixels),
            "postprocess": lambda: self.restore(raw),
            "encode": lambda: writer.encode(result),
        }


@dataclass(frozen=True)
class Agreement:
    """How far two answers to one picture lie apart.

    largest:       the largest difference, as a share of the model's limit (of the largest value where it has none)
    mean_relative: the mean of |ours - theirs| / theirs
    precision:     of ours
    """

    largest: float
    mean_relative: float
    precision: str

    @property
    def agrees(self) -> bool:
        """Under 1e-5 of the limit in fp32; in anything less, under 0.2 % on average."""
        return self.largest <= 1e-5 if self.precision == "fp32" else self.mean_relative <= 2e-3


def compare(
    ours: NDArray[np.float32], theirs: NDArray[np.float32], *, limit_m: float | None, precision: str
) -> Agreement:
    """Hold two maps (H, W) of one picture against each other."""
    apart = np.abs(ours.astype(np.float64) - theirs)
    scale = np.maximum(np.abs(theirs), np.finfo(np.float32).tiny)
    largest = float(apart.max() / (limit_m or scale.max()))
    return Agreement(largest, float((apart / scale).mean()), precision)
