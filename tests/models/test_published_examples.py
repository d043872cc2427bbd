"""The published examples of transformers, changed in nothing but the import.

They are read out of the installed transformers, whose pages show them, and run against a hub's cache of small models.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import random_weights
import random_weights_depth_anything
import random_weights_dpt
import torch
import transformers
from huggingface_hub.utils import httpx
from PIL import Image
from tiny_checkpoints import files_of, make_cache, make_model_folder

import glpn_cli
from glpn_cli import AutoImageProcessor, AutoModelForDepthEstimation, GLPNForDepthEstimation, GLPNImageProcessor
from glpn_cli.checkpoint.write import EncodedFolder
from glpn_cli.errors import ModelError, UsageError
from glpn_cli.models import config_base
from glpn_cli.models.config_base import read_config
from glpn_cli.models.state_dict import file_state

EXAMPLES = {
    "GLPNForDepthEstimation": ("vinvino02/glpn-kitti", {"model_type": "glpn", **random_weights.SMALL}),
    "DPTForDepthEstimation": ("Intel/dpt-large", {"model_type": "dpt", **random_weights_dpt.SMALL}),
    "DepthAnythingForDepthEstimation": (
        "LiheYoung/depth-anything-small-hf",
        {"model_type": "depth_anything", **random_weights_depth_anything.SMALL},
    ),
    "DPTForSemanticSegmentation": (
        "Intel/dpt-large-ade",
        {
            "model_type": "dpt",
            "architectures": ["DPTForSemanticSegmentation"],
            "id2label": random_weights_dpt.LABELS,
            **random_weights_dpt.SMALL,
        },
    ),
}
"""Whose page -> the repository that its example names, and a small config to put there."""

NEWEST_PAGE = """
import torch
from transformers import AutoImageProcessor, AutoModelForDepthEstimation

image_processor = AutoImageProcessor.from_pretrained("LiheYoung/depth-anything-small-hf")
model = AutoModelForDepthEstimation.from_pretrained(
    "LiheYoung/depth-anything-small-hf", dtype="auto", device_map="auto"
)
inputs = image_processor(images=image, return_tensors="pt").to(model.device)
with torch.no_grad():
    outputs = model(**inputs)
post_processed_output = image_processor.post_process_depth_estimation(
    outputs, target_sizes=[(image.height, image.width)]
)
predicted_depth = post_processed_output[0]["predicted_depth"]
"""


@pytest.fixture
def image() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache, which glpn-cli and transformers both read."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path / "cache"


@pytest.fixture
def kitti(cache: Path, tmp_path: Path) -> Path:
    """A tiny GLPN in that cache."""
    make_cache(cache, "someone/glpn-kitti", files_of(make_model_folder(tmp_path / "made")))
    return cache


def put_into(cache: Path, made: Path, repository: str, raw: dict[str, Any]) -> None:
    """Random weights of a config, as the repository would lie in the cache."""
    config = read_config(raw)
    network = config.build().eval()
    random_weights.randomise(network)
    EncodedFolder.of(
        config=config.to_dict() | {"architectures": raw.get("architectures")},
        state=file_state(network.state_dict(), config.weight_rows()),
        preprocessor=config.preprocessor(),
    ).write(made)
    make_cache(cache, repository, files_of(made))


def published_example(name: str) -> str:
    """The example on the page of a class of transformers."""
    block = re.search(r"```python\n(.*?)```", getattr(transformers, name).forward.__doc__, re.DOTALL)
    assert block is not None
    lines = (line.strip() for line in block[1].splitlines())
    return "\n".join(line[4:] for line in lines if line)


def run_example(code: str, package: str, **names: Any) -> dict[str, Any]:
    code, count = re.subn(r"^from transformers import", f"from {package} import", code, flags=re.MULTILINE)
    assert count
    exec(compile(code, "example", "exec"), names)
    return names


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_published_example_runs_and_gives_the_same_numbers(
    name: str, cache: Path, tmp_path: Path, image: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository, raw = EXAMPLES[name]
    put_into(cache, tmp_path / "made", repository, raw)

    @contextmanager
    def stream(method: str, url: str) -> Iterator[SimpleNamespace]:
        data = io.BytesIO()
        image.save(data, "png")
        yield SimpleNamespace(read=data.getvalue)

    monkeypatch.setattr(httpx, "stream", stream)
    ours, theirs = (run_example(published_example(name), package) for package in ("glpn_cli", "transformers"))
    for answer in ("predicted_depth", "logits"):
        if answer in theirs:
            torch.testing.assert_close(ours[answer], theirs[answer], rtol=1e-4, atol=1e-4)
    assert isinstance(ours["model"], getattr(glpn_cli, name))
    if "depth" in ours:
        assert ours["depth"].size == image.size


def test_the_example_of_the_newest_page_runs(cache: Path, tmp_path: Path, image: Image.Image) -> None:
    put_into(cache, tmp_path / "made", *EXAMPLES["DepthAnythingForDepthEstimation"])
    made = run_example(NEWEST_PAGE, "glpn_cli", image=image)
    assert made["predicted_depth"].shape == (image.height, image.width)


@pytest.mark.usefixtures("kitti")
def test_a_bare_model(image: Image.Image) -> None:
    image_processor = AutoImageProcessor.from_pretrained("someone/glpn-kitti")
    model = glpn_cli.GLPNModel.from_pretrained("someone/glpn-kitti")
    with torch.no_grad():
        outputs = model(**image_processor(image, return_tensors="pt"))
    assert list(outputs.last_hidden_state.shape) == [1, 16, 2, 3]


@pytest.mark.usefixtures("kitti")
def test_classes_are_chosen_by_the_config(tmp_path: Path) -> None:
    assert isinstance(AutoModelForDepthEstimation.from_pretrained("someone/glpn-kitti"), GLPNForDepthEstimation)
    assert isinstance(AutoImageProcessor.from_pretrained("someone/glpn-kitti", use_fast=True), GLPNImageProcessor)
    folder = make_model_folder(tmp_path / "named")
    (folder / "preprocessor_config.json").write_text('{"image_processor_type": "BitImageProcessor"}')
    with pytest.raises(ModelError, match="BitImageProcessor"):
        AutoImageProcessor.from_pretrained(folder)


def test_a_family_of_another_package_needs_no_class_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, image: Image.Image
) -> None:
    point = EntryPoint("toy", "toy_family:ToyConfig", "glpn.families")
    monkeypatch.setattr(config_base, "entry_points", lambda *, group: [point])
    config = read_config({"model_type": "toy", "brightness": 2.0})
    state = file_state(config.build().state_dict(), config.weight_rows())
    EncodedFolder.of(config=config.to_dict(), state=state).write(tmp_path / "toy")

    image_processor = AutoImageProcessor.from_pretrained(tmp_path / "toy")
    model = AutoModelForDepthEstimation.from_pretrained(tmp_path / "toy", dtype="auto")
    pixels = image_processor(images=image, return_tensors="pt")
    torch.testing.assert_close(pixels.pixel_values, config.prepare(np.asarray(image), (64, 96)))
    floats = np.asarray(image, np.float32) / 255
    torch.testing.assert_close(image_processor(floats, return_tensors="pt").pixel_values, pixels.pixel_values)
    with torch.no_grad():
        outputs = model(**pixels.to(model.device))
    [result] = image_processor.post_process_depth_estimation(outputs, target_sizes=[(30, 50)])
    assert result["predicted_depth"].shape == (30, 50)
    with pytest.raises(ModelError, match="do_resize"):
        AutoImageProcessor.from_pretrained(tmp_path / "toy", do_resize=False)


def test_loading_arguments_do_what_they_mean(kitti: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "empty"))
    load = AutoModelForDepthEstimation.from_pretrained
    with pytest.raises(ModelError):
        load("someone/glpn-kitti", local_files_only=True)
    usual = {"cache_dir": kitti, "local_files_only": True, "revision": "main", "token": False, "use_safetensors": True}
    model = load("someone/glpn-kitti", device_map="cpu", **usual)
    assert (model.dtype, model.device.type) == (torch.float32, "cpu")
    for half in ({"dtype": torch.bfloat16}, {"torch_dtype": "bfloat16"}):
        assert load("someone/glpn-kitti", **usual, **half).dtype == torch.bfloat16
    assert load("someone/glpn-kitti", **usual, dtype="auto").dtype == torch.float32
    for wrong in ({"dtype": "int8"}, {"device_map": "nowhere"}):
        with pytest.raises(UsageError):
            load("someone/glpn-kitti", **usual, **wrong)
