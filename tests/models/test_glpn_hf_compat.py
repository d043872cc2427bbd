"""The documented classes answer as documented, and folders travel between transformers and us both ways."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from random_weights import SMALL, picture, randomized_model
from safetensors.torch import load_file, save_file
from transformers import GLPNForDepthEstimation as TheirEstimator
from transformers import GLPNModel as TheirEncoder
from transformers.models.glpn.image_processing_pil_glpn import GLPNImageProcessorPil

from glpn_cli import (
    GLPNConfig,
    GLPNFeatureExtractor,
    GLPNForDepthEstimation,
    GLPNImageProcessor,
    GLPNModel,
)
from glpn_cli.errors import ModelError
from glpn_cli.models.glpn.weights import weight_rows


@pytest.fixture(scope="module")
def their_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint as transformers writes it, with weights that can tell."""
    folder = tmp_path_factory.mktemp("theirs")
    randomized_model(**SMALL).save_pretrained(folder)
    GLPNImageProcessorPil().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def photograph() -> Image.Image:
    random = np.random.default_rng(1)
    return Image.fromarray(random.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize((130, 101))


def edited(folder: Path, copy: Path, **changes: object) -> Path:
    """A copy of a checkpoint folder with other config fields."""
    copy.mkdir()
    raw = json.loads((folder / "config.json").read_text()) | changes
    (copy / "config.json").write_text(json.dumps(raw))
    (copy / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    return copy


def test_the_published_example_of_a_config_runs() -> None:
    configuration = GLPNConfig()
    model = GLPNModel(configuration)
    assert model.config is configuration


@torch.no_grad()
def test_the_published_example_of_an_encoder_runs(their_folder: Path, photograph: Image.Image) -> None:
    image_processor = GLPNImageProcessor.from_pretrained(their_folder)
    model = GLPNModel.from_pretrained(their_folder)
    inputs = image_processor(photograph, return_tensors="pt")
    outputs = model(**inputs)
    assert list(outputs.last_hidden_state.shape) == [1, 32, 3, 4]


@torch.no_grad()
def test_the_published_example_of_depth_estimation_runs(their_folder: Path, photograph: Image.Image) -> None:
    image = photograph
    image_processor = GLPNFeatureExtractor.from_pretrained(their_folder)
    model = GLPNForDepthEstimation.from_pretrained(their_folder)
    inputs = image_processor(images=image, return_tensors="pt")
    outputs = model(**inputs)
    post_processed_output = image_processor.post_process_depth_estimation(
        outputs, target_sizes=[(image.height, image.width)]
    )
    predicted_depth = post_processed_output[0]["predicted_depth"]
    depth = predicted_depth * 255 / predicted_depth.max()
    depth = Image.fromarray(depth.detach().cpu().numpy().astype("uint8"))
    assert depth.size == image.size

    their_inputs = GLPNImageProcessorPil.from_pretrained(their_folder)(images=image, return_tensors="pt")
    their_outputs = TheirEstimator.from_pretrained(their_folder)(**their_inputs)
    torch.testing.assert_close(outputs.predicted_depth, their_outputs.predicted_depth, rtol=0, atol=1e-4)


@torch.no_grad()
def test_hidden_states_and_attentions_equal_transformers(their_folder: Path) -> None:
    pixels = picture((64, 96), batch=2)
    switches = {"output_hidden_states": True, "output_attentions": True}
    expected = TheirEstimator.from_pretrained(their_folder, attn_implementation="eager")(pixels, **switches)
    found = GLPNForDepthEstimation.from_pretrained(their_folder)(pixels, **switches)
    assert list(found.keys()) == ["predicted_depth", "hidden_states", "attentions"]
    for name in ("hidden_states", "attentions"):
        assert len(found[name]) == len(expected[name])
        for mine, theirs in zip(found[name], expected[name], strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("switches", [{}, {"output_hidden_states": True}, {"output_attentions": True}], ids=str)
@pytest.mark.parametrize("with_labels", [False, True])
def test_answers_have_the_documented_members(their_folder: Path, switches: dict[str, bool], with_labels: bool) -> None:
    pixels = picture((64, 96))
    given = switches | ({"labels": 1 + 5 * pixels[:, 0]} if with_labels else {})
    expected = TheirEstimator.from_pretrained(their_folder)(pixels, **given)
    model = GLPNForDepthEstimation.from_pretrained(their_folder)
    found, as_tuple = model(pixels, **given), model(pixels, return_dict=False, **given)
    assert list(found) == list(expected)
    assert isinstance(as_tuple, tuple)
    assert [type(one) for one in as_tuple] == [type(one) for one in expected.to_tuple()]
    assert found[0] is found.to_tuple()[0] is found[next(iter(found))]


def test_loss_and_gradient_equal_transformers(their_folder: Path) -> None:
    pixels, labels = picture((64, 96), batch=2), 10 * picture((64, 96), batch=2, seed=3)[:, 0]
    labels[:, :7] = 0  # holes
    theirs, ours = TheirEstimator.from_pretrained(their_folder), GLPNForDepthEstimation.from_pretrained(their_folder)
    expected, found = theirs(pixels, labels=labels).loss, ours(pixels, labels=labels).loss
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    expected.backward()
    found.backward()
    names = {row.transformers: f"network.{row.name}" for row in weight_rows(ours.config)}
    mine = dict(ours.named_parameters())
    for name, parameter in theirs.named_parameters():
        torch.testing.assert_close(mine[names[name]].grad, parameter.grad, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_the_published_widths_give_the_documented_shape() -> None:
    model = GLPNModel(GLPNConfig(hidden_sizes=[64, 128, 320, 512], depths=[1, 1, 1, 1])).eval()
    assert list(model(torch.rand(1, 3, 480, 640)).last_hidden_state.shape) == [1, 512, 15, 20]


@torch.no_grad()
def test_a_folder_saved_by_us_loads_in_transformers(their_folder: Path, tmp_path: Path) -> None:
    pixels = picture((64, 96))
    ours = GLPNForDepthEstimation.from_pretrained(their_folder)
    ours.save_pretrained(tmp_path)
    GLPNImageProcessor(size_divisor=64).save_pretrained(tmp_path)
    theirs, info = TheirEstimator.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values())
    assert GLPNImageProcessorPil.from_pretrained(tmp_path).size_divisor == 64
    torch.testing.assert_close(theirs(pixels).predicted_depth, ours(pixels).predicted_depth, rtol=0, atol=1e-4)
    again = GLPNForDepthEstimation.from_pretrained(tmp_path)
    assert torch.equal(again(pixels).predicted_depth, ours(pixels).predicted_depth)


@torch.no_grad()
def test_a_bare_encoder_travels_both_ways(their_folder: Path, tmp_path: Path) -> None:
    pixels = picture((64, 96))
    ours = GLPNModel.from_pretrained(their_folder)  # reads its part of the bigger checkpoint
    ours.save_pretrained(tmp_path / "ours")
    theirs, info = TheirEncoder.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(info.values())
    expected = theirs(pixels).last_hidden_state
    torch.testing.assert_close(ours(pixels).last_hidden_state, expected, rtol=1e-4, atol=1e-4)
    theirs.save_pretrained(tmp_path / "theirs")
    again = GLPNModel.from_pretrained(tmp_path / "theirs")
    assert torch.equal(again(pixels).last_hidden_state, ours(pixels).last_hidden_state)
    with pytest.raises(ModelError, match=r"\d+ missing: glpn\.encoder\..* more"):
        GLPNForDepthEstimation.from_pretrained(tmp_path / "theirs")


def test_half_precision_files_come_back_in_fp32_and_eval_mode(their_folder: Path, tmp_path: Path) -> None:
    half = edited(their_folder, tmp_path / "half")
    tensors = {
        name: t.half() if t.is_floating_point() else t
        for name, t in load_file(their_folder / "model.safetensors").items()
    }
    save_file(tensors, half / "model.safetensors", {"format": "pt"})
    model = GLPNForDepthEstimation.from_pretrained(half)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert not model.training


def test_overrides_reach_the_config_and_unknown_ones_are_named(their_folder: Path) -> None:
    model = GLPNForDepthEstimation.from_pretrained(their_folder, output_attentions=True, max_depth=80)
    with torch.no_grad():
        output = model(picture((64, 96)))
    assert "attentions" in output
    assert float(output.predicted_depth.max()) > 10
    given = GLPNConfig.from_pretrained(their_folder, depths=tuple(model.config.depths), training_size=[64, 96])
    assert (given.depths, given.training_size) == (model.config.depths, (64, 96))
    kept = GLPNForDepthEstimation.from_pretrained(their_folder, config=given, max_depth=20)
    assert (kept.config.max_depth, given.max_depth) == (20, 10), "what was given is not changed"
    with pytest.raises(ModelError, match="output_attention"):
        GLPNForDepthEstimation.from_pretrained(their_folder, output_attention=True)
    with pytest.raises(ModelError, match="size_divider"):
        GLPNImageProcessor.from_pretrained(their_folder, size_divider=16)


def test_tensors_that_do_not_fit_are_all_named(their_folder: Path, tmp_path: Path) -> None:
    bad = edited(their_folder, tmp_path / "bad")
    tensors = load_file(their_folder / "model.safetensors")
    del tensors["head.head.0.bias"]
    tensors["stranger"] = torch.zeros(3)
    tensors["head.head.2.bias"] = torch.zeros(2)
    save_file(tensors, bad / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError) as caught:
        GLPNForDepthEstimation.from_pretrained(bad)
    for word in ("head.head.0.bias", "stranger", "head.head.2.bias should be [1], is [2]"):
        assert word in str(caught.value)


def test_a_config_that_lost_keys_is_refused_before_anything_is_allocated(their_folder: Path, tmp_path: Path) -> None:
    huge = edited(their_folder, tmp_path / "huge", hidden_sizes=[8192, 8192, 8200, 8192])
    with pytest.raises(ModelError, match="does not fit its config"):
        GLPNForDepthEstimation.from_pretrained(huge)


def test_a_config_is_read_and_written_alone(their_folder: Path, tmp_path: Path) -> None:
    config = GLPNConfig.from_pretrained(str(their_folder), max_depth=20)
    config.save_pretrained(str(tmp_path))
    assert json.loads((tmp_path / "config.json").read_text())["max_depth"] == 20


def test_an_own_function_as_activation_is_used() -> None:
    torch.manual_seed(0)
    squared = GLPNModel(GLPNConfig(**SMALL, initializer_range=0.3, hidden_act=torch.square)).eval()
    with torch.no_grad():
        assert torch.isfinite(squared(picture((64, 96))).last_hidden_state).all()
    assert {type(m.activation) for m in squared.modules() if hasattr(m, "activation")} == {type(torch.square)}
