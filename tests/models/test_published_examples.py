"""The examples of the documentation of transformers, changed in nothing but the import."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_checkpoints import make_cache, make_model_folder

from glpn_cli import (
    AutoImageProcessor,
    AutoModelForDepthEstimation,
    GLPNForDepthEstimation,
    GLPNImageProcessor,
    GLPNModel,
)
from glpn_cli.errors import ModelError, UsageError


@pytest.fixture
def image() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A tiny model as the hub's cache would hold vinvino02/glpn-kitti."""
    folder = make_model_folder(tmp_path / "made")
    contents = {each.name: each.read_bytes() for each in folder.iterdir()}
    make_cache(tmp_path / "cache", "someone/glpn-kitti", contents)
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def _hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))


def test_depth_estimation(image: Image.Image) -> None:
    image_processor = AutoImageProcessor.from_pretrained("someone/glpn-kitti")
    model = AutoModelForDepthEstimation.from_pretrained("someone/glpn-kitti")

    # prepare image for the model
    inputs = image_processor(images=image, return_tensors="pt").to(model.device)

    with torch.no_grad():
        outputs = model(**inputs)

    # interpolate to original size
    post_processed_output = image_processor.post_process_depth_estimation(
        outputs,
        target_sizes=[(image.height, image.width)],
    )

    # visualize the prediction
    predicted_depth = post_processed_output[0]["predicted_depth"]
    depth = predicted_depth * 255 / predicted_depth.max()
    depth = depth.detach().cpu().numpy()
    depth = Image.fromarray(depth.astype("uint8"))
    assert depth.size == image.size
    assert isinstance(model, GLPNForDepthEstimation)
    assert isinstance(image_processor, GLPNImageProcessor)


def test_a_bare_model(image: Image.Image) -> None:
    image_processor = AutoImageProcessor.from_pretrained("someone/glpn-kitti")
    model = GLPNModel.from_pretrained("someone/glpn-kitti")

    inputs = image_processor(image, return_tensors="pt")

    with torch.no_grad():
        outputs = model(**inputs)

    last_hidden_states = outputs.last_hidden_state
    assert list(last_hidden_states.shape) == [1, 16, 2, 3]


def test_loading_arguments_do_what_they_mean(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "empty"))
    load = AutoModelForDepthEstimation.from_pretrained
    with pytest.raises(ModelError):
        load("someone/glpn-kitti", local_files_only=True)
    usual = {"cache_dir": cache, "local_files_only": True, "revision": "main", "token": False, "use_safetensors": True}
    model = load("someone/glpn-kitti", device_map="cpu", **usual)
    assert (model.dtype, model.device.type) == (torch.float32, "cpu")
    for half in ({"dtype": torch.bfloat16}, {"torch_dtype": "bfloat16"}):
        assert load("someone/glpn-kitti", **usual, **half).dtype == torch.bfloat16
    assert load("someone/glpn-kitti", **usual, dtype="auto").dtype == torch.float32
    for wrong in ({"dtype": "int8"}, {"device_map": "nowhere"}):
        with pytest.raises(UsageError):
            load("someone/glpn-kitti", **usual, **wrong)
