"""The whole way from a file to a file against transformers' own pipeline on the same checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from glpn_cli.cli import app

MAX_DEPTH = 10.0


@pytest.mark.parametrize("name", ["a.jpg", "b.png", "sub/c.webp"])
def test_predict_agrees_with_the_pipeline_of_transformers(
    tiny_model: Path, untouched_pictures: Path, tmp_path: Path, name: str
) -> None:
    from transformers import GLPNForDepthEstimation
    from transformers.models.glpn.image_processing_pil_glpn import GLPNImageProcessorPil

    picture = untouched_pictures / name
    processor, network = GLPNImageProcessorPil(), GLPNForDepthEstimation.from_pretrained(tiny_model).eval()
    with Image.open(picture) as image:
        rgb = image.convert("RGB")
    with torch.inference_mode():
        answer = network(**processor(rgb, return_tensors="pt"))
    (expected,) = processor.post_process_depth_estimation(answer, target_sizes=[rgb.size[::-1]])
    settings = ["--input-size", "original", "-f", "npy", "--precision", "fp32", "--threads", "1"]
    command = ["predict", str(picture), "-m", str(tiny_model), "-o", str(tmp_path / "x.npy"), *settings]
    assert CliRunner().invoke(app, command).exit_code == 0
    clamped = expected["predicted_depth"].numpy().clip(MAX_DEPTH / 10_000, MAX_DEPTH)
    ours = np.load(tmp_path / "x.npy")
    np.testing.assert_allclose(ours, clamped, rtol=0, atol=1e-4 * MAX_DEPTH)
    assert np.ptp(ours) > 0.05 * MAX_DEPTH, "weights that cannot tell"
