"""The same work by transformers, on the same weights, with the Pillow processor.

`python -m glpn_cli.benchmark.peer MODEL OUTPUT PICTURES...` is the script that people write with it: its
depth-estimation pipeline, and metres as 16-bit PNGs, or what has no unit as 32-bit TIFFs; for labels its network, and
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
"""`model_type` -> whose processor its published checkpoints use, where that is not its own."""

LABEL_NETWORK = "ForSemanticSegmentation"


@dataclass(frozen=True)
class Setting:
    """How transformers is run.

    limit_m: metres at full scale, where the network has any
    device, precision: fp32, bf16 or fp16
    threads: of torch; None leaves them as they are
    """

    limit_m: float | None = None
    device: str = "cpu"
    precision: str = "fp32"
    threads: int | None = None

    def arguments(self) -> list[str]:
        """As the script below reads them."""
        said = {"limit": self.limit_m, "device": self.device, "precision": self.precision, "threads": self.threads}
        return [f"--{name}={value}" for name, value in said.items() if value is not None]


def check_peer_is_here() -> None:
    """Raise UsageError where transformers is not installed."""
    if find_spec("transformers") is None:
        raise UsageError("transformers is not installed here", hint="Run: pip install transformers")


@dataclass(frozen=True)
class Opened:
    """A model folder in transformers: its network, its processor, and whether it labels."""

    network: Any
    processor: Any
    labels: bool

    def ask(self, pixels: Tensor) -> Tensor:
        """The network alone: pixels (B, 3, h, w) -> depth (B, h, w), or logits (B, labels, h, w)."""
        answer = self.network(pixels.to(self.network.dtype))
        raw: Tensor = answer.logits if self.labels else answer.predicted_depth
        return raw

    def network_size(self, picture: str) -> tuple[int, int]:
        """(h, w) that its processor makes of a picture."""
        from PIL import Image

        with Image.open(picture) as image:
            height, width = self.processor(images=image.convert("RGB"), return_tensors="pt").pixel_values.shape[-2:]
        return height, width


def open_model(folder: str, setting: Setting) -> Opened:
    """Open a model folder on the device, in the precision."""
    logging = import_module("transformers.utils.logging")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    transformers = import_module("transformers")
    config = transformers.AutoConfig.from_pretrained(folder)
    limit_m = setting.limit_m
    if limit_m is not None:
        config.max_depth = int(limit_m) if float(limit_m).is_integer() else limit_m
    labels = any(LABEL_NETWORK in name for name in config.architectures or ())
    find = transformers.AutoModelForSemanticSegmentation if labels else transformers.AutoModelForDepthEstimation
    dtype = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}[setting.precision]
    network = find.from_pretrained(folder, config=config, dtype=dtype).eval().to(setting.device)
    kind = _PROCESSORS.get(config.model_type, config.model_type)
    module = import_module(f"transformers.models.{kind}.image_processing_pil_{kind}")
    make_processor = getattr(module, f"{kind.upper()}ImageProcessorPil")
    has_settings = Path(folder, "preprocessor_config.json").is_file()
    return Opened(network, make_processor.from_pretrained(folder) if has_settings else make_processor(), labels)


def write_all(folder: str, setting: Setting, output: Path, pictures: Sequence[str]) -> None:
    """The answer to every picture as a file in `output`."""
    import torch

    if setting.threads is not None:
        torch.set_num_threads(setting.threads)
    model = open_model(folder, setting)
    write = _label_writer(model, setting) if model.labels else _depth_writer(model, setting)
    output.mkdir(parents=True, exist_ok=True)
    for picture in pictures:
        write(picture, output / Path(picture).stem)


def _depth_writer(model: Opened, setting: Setting) -> Callable[[str, Path], None]:
    from PIL import Image

    estimate = import_module("transformers").pipeline(
        "depth-estimation", model=model.network, image_processor=model.processor, device=setting.device
    )
    limit_m = setting.limit_m

    def write(picture: str, stem: Path) -> None:
        depth = estimate(picture)["predicted_depth"].squeeze().float().cpu().numpy()
        if limit_m is None:
            Image.fromarray(depth).save(f"{stem}_depth.tiff")
        else:
            scale = 1000 if limit_m <= 65 else 256
            Image.fromarray((depth * scale).round().astype("uint16")).save(f"{stem}_depth.png")

    return write


def _label_writer(model: Opened, setting: Setting) -> Callable[[str, Path], None]:
    import torch
    from PIL import Image

    @torch.inference_mode()
    def write(picture: str, stem: Path) -> None:
        with Image.open(picture) as image:
            rgb = image.convert("RGB")
        inputs = model.processor(images=rgb, return_tensors="pt").to(setting.device, model.network.dtype)
        (labels,) = model.processor.post_process_semantic_segmentation(
            model.network(**inputs), target_sizes=[rgb.size[::-1]]
        )
        Image.fromarray(labels.cpu().numpy().astype("uint8")).save(f"{stem}_labels.png")

    return write


def _read_arguments() -> argparse.Namespace:
    reader = argparse.ArgumentParser(prog="python -m glpn_cli.benchmark.peer")
    reader.add_argument("model")
    reader.add_argument("output", type=Path)
    reader.add_argument("pictures", nargs="+")
    reader.add_argument("--limit", type=float)
    reader.add_argument("--device", default="cpu")
    reader.add_argument("--precision", default="fp32")
    reader.add_argument("--threads", type=int)
    return reader.parse_args()


if __name__ == "__main__":
    _asked = _read_arguments()
    write_all(
        _asked.model,
        Setting(_asked.limit, _asked.device, _asked.precision, _asked.threads),
        _asked.output,
        _asked.pictures,
    )
