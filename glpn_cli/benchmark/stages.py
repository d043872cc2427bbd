"""One model in this process: how long each stage of a picture takes, and how near the network comes to the machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from glpn_cli.benchmark.machine import wait_for
from glpn_cli.depth_files import Format, make_writer
from glpn_cli.depth_files.labels import make_label_writer
from glpn_cli.devices import choose_device, choose_precision
from glpn_cli.images import ImageSource, Picture
from glpn_cli.models.settings import InferenceSettings
from glpn_cli.models.state_dict import load_network
from glpn_cli.prediction import LabelMap, Prediction, Result


class Subject:
    """A loaded model and a picture, taken apart into stages.

    batch_size: copies of the picture that go through the network together
    """

    def __init__(self, recipe: InferenceSettings, picture: Path, *, device: str = "auto", batch_size: int = 1) -> None:
        self.recipe = recipe
        self.device = choose_device(device)
        self.precision = choose_precision(recipe.precision, self.device)
        self.source = ImageSource(picture, picture.name, str(picture))
        self.network = self.load()
        self.picture = self._read()
        self.size = recipe.network_size(self.picture.full_size)
        self.batch_size = batch_size
        self.flops = 2 * batch_size * recipe.config.cost(self.size).macs

    def load(self) -> nn.Module:
        """Another network like this one, from the file."""
        network = load_network(self.recipe.model.checkpoint, limit_m=self.recipe.limit_m)
        return self.recipe.config.cast(network.to(self.device), self.precision)

    def _read(self) -> Picture:
        """The picture, with as many pixels as `predict` decodes."""
        return self.source.read(at_least=self.recipe.enough_pixels)

    def prepare(self) -> Tensor:
        """float32 (B, 3, h, w) on the device."""
        pixels = self.recipe.config.prepare(self.picture.rgb, self.size)
        return pixels.expand(self.batch_size, -1, -1, -1).contiguous().to(self.device)

    @torch.inference_mode()
    def infer(self, pixels: Tensor) -> Tensor:
        """Raw answers (B, h, w), or logits (B, labels, h, w), when the device has them."""
        raw: Tensor = self.network(pixels)
        wait_for(self.device)
        return raw

    @torch.inference_mode()
    def restore(self, raw: Tensor) -> Prediction:
        """The first answer at the picture's own size."""
        return self.recipe.config.decode(raw[0], self.picture.full_size)

    def stages(self) -> dict[str, Callable[[], object]]:
        """Name -> the work of each stage after loading, on what the stage before gave."""
        pixels = self.prepare()
        raw = self.infer(pixels)
        prediction = self.restore(raw)
        writer = self._writer(prediction)
        result = Result(prediction, self.source, self.recipe.provenance)
        return {
            "decode": self._read,
            "preprocess": self.prepare,
            "network": lambda: self.infer(pixels),
            "postprocess": lambda: self.restore(raw),
            "encode": lambda: writer.encode(result).data,
        }

    def _writer(self, prediction: Prediction) -> Format:
        """The writer of the format that `predict` chooses."""
        if isinstance(prediction, LabelMap):
            return make_label_writer("labels")
        format_ = "png16" if prediction.kind.is_metric else "tiff"
        return make_writer(format_, kind=prediction.kind, limit_m=self.recipe.limit_m)
