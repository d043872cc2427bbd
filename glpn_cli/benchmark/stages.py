"""One model in this process: how long each stage of a picture takes, and how near the network comes to the machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from glpn_cli.depth_files import Format, make_writer
from glpn_cli.depth_files.labels import make_label_writer
from glpn_cli.devices import choose_device, choose_precision
from glpn_cli.images import ImageSource, Picture
from glpn_cli.models.layers import DTYPES
from glpn_cli.models.settings import InferenceSettings
from glpn_cli.models.state_dict import load_network
from glpn_cli.prediction import LabelMap, Prediction, Result

_SIDES = {"cpu": (1024, 1536, 2048, 3072), "mps": (2048, 4096), "cuda": (4096, 8192)}
_LEAST_SECONDS = 0.1
_TRIALS = 3


class ModelStages:
    """A loaded model and a picture, whose stages can be run one by one.

    batch_size: copies of the picture that go through the network together
    """

    def __init__(
        self, settings: InferenceSettings, picture: Path, *, device: str = "auto", batch_size: int = 1
    ) -> None:
        self.settings = settings
        self.device = choose_device(device)
        self.precision = choose_precision(settings.precision_wanted, self.device)
        self.source = ImageSource(picture, picture.name, str(picture))
        self.network = self.load()
        self.picture = self._read()
        self.size = settings.network_size(self.picture.full_size)
        self.batch_size = batch_size
        self.flops = 2 * batch_size * settings.config.cost(self.size).macs

    def load(self) -> nn.Module:
        """Another network like this one, from the file."""
        network = load_network(self.settings.model.checkpoint, limit_m=self.settings.limit_m)
        return self.settings.config.cast(network.to(self.device), self.precision)

    def _read(self) -> Picture:
        """The picture, with as many pixels as `predict` decodes."""
        return self.source.read(at_least=self.settings.enough_pixels)

    def prepare(self) -> Tensor:
        """float32 (B, 3, h, w) on the device."""
        pixels = self.settings.config.prepare(self.picture.rgb, self.size)
        return pixels.expand(self.batch_size, -1, -1, -1).contiguous().to(self.device)

    @torch.inference_mode()
    def infer(self, pixels: Tensor) -> Tensor:
        """Raw depth (B, h, w), or logits (B, labels, h, w). Waits for the device."""
        raw: Tensor = self.network(pixels)
        wait_for(self.device)
        return raw

    @torch.inference_mode()
    def restore(self, raw: Tensor) -> Prediction:
        """The first prediction, at the picture's own size."""
        return self.settings.config.decode(raw[0], self.picture.full_size)

    def stages(self) -> dict[str, Callable[[], object]]:
        """Name -> a function for each stage after loading, on the output of the stage before."""
        pixels = self.prepare()
        raw = self.infer(pixels)
        prediction = self.restore(raw)
        writer = self._writer(prediction)
        result = Result(prediction, self.source, self.settings.provenance)
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
        return make_writer(self.settings.usual_format, kind=prediction.kind, limit_m=self.settings.limit_m)


def wait_for(device: str) -> None:
    """Wait until the device has finished its queue."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    elif device == "mps":
        torch.mps.synchronize()


class MatrixProduct:
    """The machine's own matrix product, to be timed in turns with a network.

    It uses the quickest of several sizes; which that is depends on caches. A call multiplies for about a tenth of a
    second with torch's threads of that moment.

    side:  of the square matrices
    flops: operations of one call; a multiplication with its addition counts as two
    """

    def __init__(self, device: str, precision: str) -> None:
        self._device = device
        self._dtype = DTYPES[precision]
        sides = _SIDES[device.split(":", maxsplit=1)[0]]
        seconds = {side: self._try(side) for side in sides}
        self.side = min(sides, key=lambda side: seconds[side] / side**3)
        self._repeats = max(1, round(_LEAST_SECONDS / seconds[self.side]))
        self._left, self._right = self._operands(self.side)
        self._out = torch.empty_like(self._left)
        self.flops = 2 * self.side**3 * self._repeats

    def __call__(self) -> None:
        """Multiply."""
        self._multiply(self._left, self._right, self._out, self._repeats)

    def _try(self, side: int) -> float:
        """Seconds of one product, the best of a few."""
        left, right = self._operands(side)
        out = torch.empty_like(left)
        self._multiply(left, right, out, 1)
        seconds = []
        for _ in range(_TRIALS):
            started = time.perf_counter()
            self._multiply(left, right, out, 1)
            seconds.append(time.perf_counter() - started)
        return min(seconds)

    def _operands(self, side: int) -> tuple[Tensor, Tensor]:
        left, right = (torch.randn(side, side, device=self._device).to(self._dtype) for _ in range(2))
        return left, right

    @torch.inference_mode()
    def _multiply(self, left: Tensor, right: Tensor, out: Tensor, repeats: int) -> None:
        for _ in range(repeats):
            torch.mm(left, right, out=out)
        wait_for(self._device)
