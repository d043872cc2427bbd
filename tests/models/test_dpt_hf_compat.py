"""The documented classes answer as documented, and folders travel between transformers and us both ways."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from random_weights_dpt import (
    BACKBONE,
    HYBRID,
    LABELS,
    LARGE,
    SMALL,
    pixels_for,
    randomized_estimator,
    randomized_segmenter,
)
from safetensors.torch import load_file, save_file
from transformers import DPTForDepthEstimation as TheirEstimator
from transformers import DPTForSemanticSegmentation as TheirSegmenter
from transformers import DPTModel as TheirModel
from transformers.models.dpt.image_processing_pil_dpt import DPTImageProcessorPil

from glpn_cli import (
    DPTConfig,
    DPTFeatureExtractor,
    DPTForDepthEstimation,
    DPTForSemanticSegmentation,
    DPTImageProcessor,
    DPTModel,
)
from glpn_cli.errors import ModelError, UsageError
from glpn_cli.models.dpt.backbone_config import BiTConfig

FORMS = {"plain": SMALL, "hybrid": HYBRID, "batch norm": SMALL | {"use_batch_norm_in_fusion_residual": True}}


@pytest.fixture(scope="module", params=FORMS)
def their_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A depth checkpoint as transformers writes it, with weights that can tell."""
    folder = tmp_path_factory.mktemp("theirs")
    randomized_estimator(**FORMS[request.param]).save_pretrained(folder)
    DPTImageProcessorPil(size=64).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=[True, False], ids=["auxiliary", "single"])
def their_label_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A labelling checkpoint as transformers writes it."""
    folder = tmp_path_factory.mktemp("labels")
    randomized_segmenter(**SMALL, use_auxiliary_head=request.param).save_pretrained(folder)
    DPTImageProcessorPil(size=64).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def photograph() -> Image.Image:
    random = np.random.default_rng(1)
    return Image.fromarray(random.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize((130, 101))


def test_the_published_example_of_a_config_runs() -> None:
    configuration = DPTConfig()
    with torch.device("meta"):
        model = DPTModel(configuration)
    assert model.config is configuration


@torch.no_grad()
def test_the_published_example_of_a_model_has_the_documented_shape() -> None:
    model = DPTModel(DPTConfig(**LARGE | {"num_hidden_layers": 1})).eval()
    outputs = model(torch.rand(1, 3, 384, 384))
    assert list(outputs.last_hidden_state.shape) == [1, 577, 1024]
    assert list(outputs.pooler_output.shape) == [1, 1024]


@torch.no_grad()
def test_the_published_example_of_depth_estimation_runs(their_folder: Path, photograph: Image.Image) -> None:
    image = photograph
    image_processor = DPTImageProcessor.from_pretrained(their_folder)
    model = DPTForDepthEstimation.from_pretrained(their_folder)
    inputs = image_processor(images=image, return_tensors="pt")
    outputs = model(**inputs)
    post_processed_output = image_processor.post_process_depth_estimation(
        outputs, target_sizes=[(image.height, image.width)]
    )
    predicted_depth = post_processed_output[0]["predicted_depth"]
    depth = predicted_depth * 255 / predicted_depth.max()
    depth = Image.fromarray(depth.clamp(min=0).detach().cpu().numpy().astype("uint8"))
    assert depth.size == image.size

    their_inputs = DPTImageProcessorPil.from_pretrained(their_folder)(images=image, return_tensors="pt")
    expected = TheirEstimator.from_pretrained(their_folder)(**their_inputs).predicted_depth
    torch.testing.assert_close(outputs.predicted_depth, expected, rtol=0, atol=1e-4 * float(expected.max()))


@torch.no_grad()
def test_the_published_example_of_segmentation_runs(their_label_folder: Path, photograph: Image.Image) -> None:
    image_processor = DPTFeatureExtractor.from_pretrained(their_label_folder)
    model = DPTForSemanticSegmentation.from_pretrained(their_label_folder)
    inputs = image_processor(images=photograph, return_tensors="pt")
    outputs = model(**inputs)
    logits = outputs.logits
    assert list(logits.shape) == [1, len(LABELS), 64, 64]
    expected = TheirSegmenter.from_pretrained(their_label_folder)(**inputs).logits
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-4 * float(expected.max() - expected.min()))
    assert model.config.label_names == tuple(LABELS.values())


@torch.no_grad()
def test_hidden_states_and_attentions_equal_transformers(their_folder: Path) -> None:
    pixels = pixels_for((64, 64), batch=2)
    switches = {"output_hidden_states": True, "output_attentions": True}
    expected = TheirEstimator.from_pretrained(their_folder, attn_implementation="eager")(pixels, **switches)
    found = DPTForDepthEstimation.from_pretrained(their_folder)(pixels, **switches)
    assert list(found.keys()) == ["predicted_depth", "hidden_states", "attentions"]
    for name in ("hidden_states", "attentions"):
        assert len(found[name]) == len(expected[name])
        for mine, theirs in zip(found[name], expected[name], strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("switches", [{}, {"output_hidden_states": True}, {"output_attentions": True}], ids=str)
def test_answers_have_the_documented_members(their_folder: Path, switches: dict[str, bool]) -> None:
    pixels = pixels_for((64, 64))
    expected = TheirEstimator.from_pretrained(their_folder, attn_implementation="eager")(pixels, **switches)
    model = DPTForDepthEstimation.from_pretrained(their_folder)
    found, as_tuple = model(pixels, **switches), model(pixels, return_dict=False, **switches)
    assert list(found) == list(expected)
    assert isinstance(as_tuple, tuple)
    assert [type(one) for one in as_tuple] == [type(one) for one in expected.to_tuple()]
    assert found[0] is found.to_tuple()[0] is found[next(iter(found))]


@torch.no_grad()
@pytest.mark.parametrize("fields", [SMALL, HYBRID], ids=["plain", "hybrid"])
def test_a_bare_model_travels_both_ways(fields: dict[str, Any], tmp_path: Path) -> None:
    pixels = pixels_for((64, 64))
    torch.manual_seed(0)
    ours = DPTModel(DPTConfig(**fields, pooler_output_size=7, pooler_act="relu")).eval()
    ours.save_pretrained(tmp_path / "ours")
    theirs, info = TheirModel.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(info.values())
    expected, found = theirs(pixels, output_hidden_states=True), ours(pixels, output_hidden_states=True)
    assert set(found) == set(expected)
    for name in ("last_hidden_state", "pooler_output"):
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-4)
    for mine, other in zip(found.get("intermediate_activations", ()), expected.get("intermediate_activations") or (),
                           strict=True):  # fmt: skip
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-4)
    theirs.save_pretrained(tmp_path / "theirs")
    again = DPTModel.from_pretrained(tmp_path / "theirs")
    torch.testing.assert_close(again(pixels).pooler_output, found.pooler_output, rtol=1e-4, atol=1e-4)
    with pytest.raises(ModelError, match=r"\d+ missing: dpt\.embeddings\..* more"):
        DPTForDepthEstimation.from_pretrained(tmp_path / "theirs")


@torch.no_grad()
def test_a_bare_model_of_a_bigger_file_says_once_that_its_pooling_layer_is_fresh(their_folder: Path) -> None:
    with pytest.warns(UserWarning, match="pooling layer") as said:
        model = DPTModel.from_pretrained(their_folder)
    assert len(said) == 1
    pixels = pixels_for((64, 64))
    theirs = TheirModel.from_pretrained(their_folder, add_pooling_layer=False)(pixels)
    found = model(pixels)
    torch.testing.assert_close(found.last_hidden_state, theirs.last_hidden_state, rtol=1e-4, atol=1e-4)
    assert float(found.pooler_output.std()) > 0
    assert DPTModel(DPTConfig(**SMALL), add_pooling_layer=False).eval()(pixels).get("pooler_output") is None


def test_a_bare_model_needs_the_norm_that_others_never_use(their_folder: Path, tmp_path: Path) -> None:
    tensors = load_file(their_folder / "model.safetensors")
    del tensors["dpt.layernorm.weight"]
    (tmp_path / "config.json").write_text((their_folder / "config.json").read_text())
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    DPTForDepthEstimation.from_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"dpt\.layernorm\.weight"):
        DPTModel.from_pretrained(tmp_path)


@torch.no_grad()
def test_a_file_without_what_the_coarsest_step_never_uses_loads_and_answers_the_same(
    their_folder: Path, tmp_path: Path
) -> None:
    """The published checkpoints are such files."""
    tensors = load_file(their_folder / "model.safetensors")
    lacking = {name: t for name, t in tensors.items() if "fusion_stage.layers.0.residual_layer1" not in name}
    assert len(lacking) < len(tensors)
    (tmp_path / "config.json").write_text((their_folder / "config.json").read_text())
    save_file(lacking, tmp_path / "model.safetensors", {"format": "pt"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = DPTForDepthEstimation.from_pretrained(tmp_path)(pixels_for((64, 64))).predicted_depth
    expected = DPTForDepthEstimation.from_pretrained(their_folder)(pixels_for((64, 64))).predicted_depth
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


@torch.no_grad()
def test_a_depth_folder_saved_by_us_loads_in_transformers(their_folder: Path, tmp_path: Path) -> None:
    pixels = pixels_for((64, 64))
    ours = DPTForDepthEstimation.from_pretrained(their_folder)
    ours.save_pretrained(tmp_path)
    DPTImageProcessor(size=(64, 96), ensure_multiple_of=32).save_pretrained(tmp_path)
    theirs, info = TheirEstimator.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values())
    torch.testing.assert_close(theirs(pixels).predicted_depth, ours(pixels).predicted_depth, rtol=0, atol=2e-3)
    again = DPTImageProcessorPil.from_pretrained(tmp_path)
    assert (again.size["height"], again.size["width"], again.ensure_multiple_of) == (64, 96, 32)
    assert DPTForDepthEstimation.from_pretrained(tmp_path).config.to_dict() == {
        **ours.config.to_dict(),
        "architectures": ["DPTForDepthEstimation"],
    }


@torch.no_grad()
def test_a_label_folder_saved_by_us_loads_in_transformers(their_label_folder: Path, tmp_path: Path) -> None:
    pixels = pixels_for((64, 64))
    ours = DPTForSemanticSegmentation.from_pretrained(their_label_folder)
    ours.save_pretrained(tmp_path)
    theirs, info = TheirSegmenter.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values())
    assert theirs.config.id2label == LABELS
    torch.testing.assert_close(theirs(pixels).logits, ours(pixels).logits, rtol=0, atol=1e-3)


def label_maps() -> torch.Tensor:
    labels = torch.randint(0, len(LABELS), (2, 50, 70), generator=torch.Generator().manual_seed(0))
    labels[:, :9] = 255
    return labels


def test_segmentation_loss_and_gradient_equal_transformers(tmp_path: Path) -> None:
    theirs = randomized_segmenter(**SMALL, auxiliary_loss_weight=0.3)
    theirs.save_pretrained(tmp_path)
    ours = DPTForSemanticSegmentation.from_pretrained(tmp_path)
    pixels, labels = pixels_for((64, 64), batch=2), label_maps()
    expected, found = theirs(pixels, labels=labels).loss, ours(pixels, labels=labels).loss
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    expected.backward()
    found.backward()
    mine = dict(ours.named_parameters())
    rows = ours.rows(ours.config)
    theirs_by_name = dict(theirs.named_parameters())
    for row in rows:
        if row.transformers in theirs_by_name and (gradient := theirs_by_name[row.transformers].grad) is not None:
            torch.testing.assert_close(mine[f"network.{row.name}"].grad, gradient, rtol=1e-2, atol=1e-4)


def test_without_an_auxiliary_head_the_main_loss_stands_alone_where_transformers_crashes(tmp_path: Path) -> None:
    theirs = randomized_segmenter(**SMALL, use_auxiliary_head=False)
    theirs.save_pretrained(tmp_path)
    pixels, labels = pixels_for((64, 64), batch=2), label_maps()
    with pytest.raises(UnboundLocalError):
        theirs(pixels, labels=labels)
    resized = torch.nn.functional.interpolate(theirs(pixels).logits, size=labels.shape[-2:], mode="bilinear")
    expected = torch.nn.functional.cross_entropy(resized, labels, ignore_index=255)
    found = DPTForSemanticSegmentation.from_pretrained(tmp_path)(pixels, labels=labels).loss
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_labels_that_make_no_sense_are_refused(their_folder: Path) -> None:
    pixels = pixels_for((64, 64))
    with pytest.raises(NotImplementedError, match="labels"):
        DPTForDepthEstimation.from_pretrained(their_folder)(pixels, labels=pixels[:, 0])
    single = DPTForSemanticSegmentation(DPTConfig(**SMALL, num_labels=1)).eval()
    with pytest.raises(UsageError, match="num_labels = 1"):
        single(pixels, labels=torch.zeros(1, 64, 64, dtype=torch.long))


def test_overrides_reach_the_config_and_unknown_ones_are_named(their_folder: Path) -> None:
    model = DPTForDepthEstimation.from_pretrained(their_folder, output_attentions=True)
    with torch.no_grad():
        assert "attentions" in model(pixels_for((64, 64)))
    assert len(DPTConfig.from_pretrained(their_folder, num_labels=7).label_names) == 7
    with pytest.raises(ModelError, match="output_attention"):
        DPTForDepthEstimation.from_pretrained(their_folder, output_attention=True)
    with pytest.raises(ModelError, match="size_divider"):
        DPTImageProcessor.from_pretrained(their_folder, size_divider=16)


def test_a_labelling_network_is_not_read_as_depth(their_label_folder: Path) -> None:
    with pytest.raises(ModelError, match=r"1?\d+ missing: .*\d+ unexpected: "):
        DPTForDepthEstimation.from_pretrained(their_label_folder)


def test_a_config_is_read_and_written_alone(their_folder: Path, tmp_path: Path) -> None:
    config = DPTConfig.from_pretrained(str(their_folder), hidden_dropout_prob=0.2)
    config.save_pretrained(str(tmp_path))
    assert json.loads((tmp_path / "config.json").read_text())["hidden_dropout_prob"] == 0.2


def test_one_config_serves_classes_of_every_kind() -> None:
    config = DPTConfig(**SMALL, id2label=LABELS)
    estimator, segmenter = DPTForDepthEstimation(config), DPTForSemanticSegmentation(config)
    assert estimator.config is segmenter.config is config
    assert config.architectures is None
    assert segmenter.eval()(pixels_for((64, 64))).logits.shape[1] == len(LABELS)


def test_a_backbone_is_given_by_its_fields_or_as_a_config() -> None:
    fields = DPTConfig(**HYBRID).backbone
    given = DPTConfig(**(HYBRID | {"backbone_config": BiTConfig.from_dict(BACKBONE)})).backbone
    assert fields == given
