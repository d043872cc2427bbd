"""Runs the same model in transformers, with the Pillow processor.

`python -m glpn_cli.benchmark.peer MODEL OUTPUT PICTURES...` is the script that people write with it: its
depth-estimation pipeline, and metres as 16-bit PNGs or inverse depth as 32-bit TIFFs; for labels its network, and
labels as 8-bit PNGs. It imports nothing of ours that costs time.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glpn_cli.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

_PROCESSORS = {"depth_anything": "dpt"}
"""`model_type` -> the family whose processor its published checkpoints use, where it is another."""

_LABEL_NETWORK = "ForSemanticSegmentation"


@dataclass(frozen=True)
class PeerSettings:
    """How transformers is run.

    limit_m: metres at full scale; None for a network without a unit
    device, precision: fp32, bf16 or fp16
    threads: of torch; None leaves them as they are
    """

    limit_m: float | None = None
    device: str = "cpu"
    precision: str = "fp32"
    threads: int | None = None

    def arguments(self) -> list[str]:
        """Options of this file as a script."""
        options = {"limit": self.limit_m, "device": self.device, "precision": self.precision, "threads": self.threads}
        return [f"--{name}={value}" for name, value in options.items() if value is not None]


def check_peer_installed() -> None:
    """Raise UsageError where transformers is not installed."""
    if find_spec("transformers") is None:
        raise UsageError("transformers is not installed here", hint="Run: pip install transformers")


@dataclass(frozen=True)
class PeerModel:
    """A model folder in transformers: its network, its processor, and whether it labels."""

    network: Any
    processor: Any
    labels: bool

    def infer(self, pixels: Tensor) -> Tensor:
        """Run the network alone: pixels (B, 3, h, w) -> depth (B, h, w), or logits (B, labels, h, w)."""
        output = self.network(pixels.to(self.network.dtype))
        raw: Tensor = output.logits if self.labels else output.predicted_depth
        return raw

    def network_size(self, picture: str) -> tuple[int, int]:
        """(h, w) that its processor makes of a picture."""
        from PIL import Image

        with Image.open(picture) as image:
            height, width = self.processor(images=image.convert("RGB"), return_tensors="pt").pixel_values.shape[-2:]
        return height, width

    @classmethod
    def open(cls, folder: str, settings: PeerSettings) -> PeerModel:
        """Open a model folder on the device, in the precision."""
        logging = import_module("transformers.utils.logging")
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        transformers = import_module("transformers")
        config = transformers.AutoConfig.from_pretrained(folder)
        limit_m = settings.limit_m
        if limit_m is not None:
            config.max_depth = int(limit_m) if float(limit_m).is_integer() else limit_m
        labels = any(_LABEL_NETWORK in name for name in config.architectures or ())
        network_class = (
            transformers.AutoModelForSemanticSegmentation if labels else transformers.AutoModelForDepthEstimation
        )
        dtype = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}[settings.precision]
        network = network_class.from_pretrained(folder, config=config, dtype=dtype).eval().to(settings.device)
        kind = _PROCESSORS.get(config.model_type, config.model_type)
        module = import_module(f"transformers.models.{kind}.image_processing_pil_{kind}")
        make_processor = getattr(module, f"{kind.upper()}ImageProcessorPil")
        has_settings = Path(folder, "preprocessor_config.json").is_file()
        return cls(network, make_processor.from_pretrained(folder) if has_settings else make_processor(), labels)


def _write_all(folder: str, settings: PeerSettings, output: Path, pictures: Sequence[str]) -> None:
    """Write the result for every picture into the folder `output`."""
    import torch

    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    model = PeerModel.open(folder, settings)
    write = _label_writer(model, settings) if model.labels else _depth_writer(model, settings)
    output.mkdir(parents=True, exist_ok=True)
    for picture in pictures:
        write(picture, output / Path(picture).stem)


def _depth_writer(model: PeerModel, settings: PeerSettings) -> Callable[[str, Path], None]:
    from PIL import Image

    estimate = import_module("transformers").pipeline(
        "depth-estimation", model=model.network, image_processor=model.processor, device=settings.device
    )
    limit_m = settings.limit_m

    def write(picture: str, stem: Path) -> None:
        depth = estimate(picture)["predicted_depth"].squeeze().float().cpu().numpy()
        if limit_m is None:
            Image.fromarray(depth).save(f"{stem}_depth.tiff")
        else:
            scale = 1000 if limit_m <= 65 else 256
            Image.fromarray((depth * scale).round().astype("uint16")).save(f"{stem}_depth.png")

    return write


def _label_writer(model: PeerModel, settings: PeerSettings) -> Callable[[str, Path], None]:
    import torch
    from PIL import Image

    @torch.inference_mode()
    def write(picture: str, stem: Path) -> None:
        with Image.open(picture) as image:
            rgb = image.convert("RGB")
        inputs = model.processor(images=rgb, return_tensors="pt").to(settings.device, model.network.dtype)
        (labels,) = model.processor.post_process_semantic_segmentation(
            model.network(**inputs), target_sizes=[rgb.size[::-1]]
        )
        Image.fromarray(labels.cpu().numpy().astype("uint8")).save(f"{stem}_labels.png")

    return write


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m glpn_cli.benchmark.peer")
    parser.add_argument("model")
    parser.add_argument("output", type=Path)
    parser.add_argument("pictures", nargs="+")
    parser.add_argument("--limit", type=float)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--threads", type=int)
    return parser.parse_args()


if __name__ == "__main__":
    _arguments = _read_arguments()
    _write_all(
        _arguments.model,
        PeerSettings(_arguments.limit, _arguments.device, _arguments.precision, _arguments.threads),
        _arguments.output,
        _arguments.pictures,
    )
