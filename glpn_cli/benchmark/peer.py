"""The same work by transformers: its depth-estimation pipeline with the Pillow processor, on the same weights.

`python -m glpn_cli.benchmark.peer MODEL LIMIT OUTPUT PICTURES...` is the script that people write with it: metres as
16-bit PNGs. It imports nothing of ours that costs time.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from glpn_cli.errors import UsageError


def check_peer_is_here() -> None:
    """Raise UsageError where transformers is not installed."""
    if find_spec("transformers") is None:
        raise UsageError("transformers is not installed here", hint="pip install transformers, into the same place")


def open_pipeline(model: str, *, limit_m: float | None, device: str = "cpu") -> Any:
    """The pipeline over a model folder in fp32, with `limit_m` metres at full scale where that is given."""
    import_module("transformers.utils.logging").set_verbosity_error()
    import_module("transformers.utils.logging").disable_progress_bar()
    transformers = import_module("transformers")
    config = transformers.AutoConfig.from_pretrained(model)
    if limit_m is not None:
        config.max_depth = int(limit_m) if float(limit_m).is_integer() else limit_m
    network = transformers.AutoModelForDepthEstimation.from_pretrained(model, config=config, dtype="float32").eval()
    kind = config.model_type
    module = import_module(f"transformers.models.{kind}.image_processing_pil_{kind}")
    make_processor = getattr(module, f"{kind.upper()}ImageProcessorPil")
    has_settings = Path(model, "preprocessor_config.json").is_file()
    processor = make_processor.from_pretrained(model) if has_settings else make_processor()
    return transformers.pipeline("depth-estimation", model=network, image_processor=processor, device=device)


def write_all(model: str, limit_m: float, output: Path, pictures: Sequence[str]) -> None:
    """Metres of every picture as a 16-bit PNG in `output`."""
    from PIL import Image

    estimate = open_pipeline(model, limit_m=limit_m)
    output.mkdir(parents=True, exist_ok=True)
    scale = 1000 if limit_m <= 65 else 256
    for picture in pictures:
        metres = estimate(picture)["predicted_depth"].squeeze().numpy()
        path = output / f"{Path(picture).stem}_depth.png"
        Image.fromarray((metres * scale).round().astype("uint16")).save(path)


if __name__ == "__main__":
    write_all(sys.argv[1], float(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])
