from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from conftest import write_tiny_model

from glpn_cli.checkpoint.write import EncodedFolder
from glpn_cli.errors import ModelError, UsageError
from glpn_cli.models.config_base import InputSize
from glpn_cli.models.resolve import resolve_model
from glpn_cli.models.settings import InferenceSettings
from glpn_cli.models.state_dict import file_state, load_network
from glpn_cli.training.initial_model import Camera, InitialModel
from glpn_cli.training.recipes import paper_recipe, rooms_recipe, smaller_crop
from glpn_cli.training.settings import TrainingSettings

NO_FOCAL = Camera((192, 256), None)


def recipe(folder: Path, **settings: float) -> InferenceSettings:
    return InferenceSettings(resolve_model(str(folder), **settings), InputSize())


def test_a_model_is_gone_on_with_from_its_own_weights(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "tiny")
    start = InitialModel.load(recipe(folder), seed=0)
    assert start.limit_m == 10
    expected = load_network(start_checkpoint := resolve_model(str(folder)).checkpoint).state_dict()
    assert start_checkpoint.folder == folder
    assert all(torch.equal(value, expected[name]) for name, value in start.network.state_dict().items())


def test_another_limit_is_trained_for_when_asked(tmp_path: Path) -> None:
    start = InitialModel.load(recipe(write_tiny_model(tmp_path / "tiny"), max_depth=25.0), seed=0)
    assert start.limit_m == 25
    assert start.trained_config((64, 64))["glpn_cli"]["limit_m"] == 25
    assert start.network(torch.rand(1, 3, 64, 64)).max() > 10


def test_an_encoder_alone_gets_a_fresh_decoder(tmp_path: Path) -> None:
    whole = InitialModel.load(recipe(write_tiny_model(tmp_path / "tiny")), seed=0)
    state = {name: value for name, value in whole.network.state_dict().items() if name.startswith("encoder.")}
    stored = file_state(state, whole.config.weight_rows(), part="encoder.", base_prefix="glpn.")
    EncodedFolder.of(config=whole.config.to_dict(), state=stored).write(tmp_path / "encoder")
    start = InitialModel.load(recipe(tmp_path / "encoder"), seed=3)
    assert start.origin.startswith("the encoder of")
    fresh = start.network.state_dict()
    assert all(torch.equal(fresh[name], value) for name, value in state.items())
    assert not torch.equal(fresh["head.conv.weight"], whole.network.state_dict()["head.conv.weight"])


def test_a_shape_that_predicts_no_metres_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dpt.json").write_text('{"model_type": "dpt"}')
    with pytest.raises(ModelError, match=r"dpt\.json' does not predict metres"):
        InitialModel.make(str(tmp_path / "dpt.json"), max_depth=None, camera=NO_FOCAL, seed=0)


def test_what_is_trained_on_is_not_taken_for_the_weights_it_started_from(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "tiny")
    raw = json.loads((folder / "config.json").read_text())
    raw["glpn_cli"]["source"] = "someone/else"
    (folder / "config.json").write_text(json.dumps(raw))
    own = InitialModel.load(recipe(folder), seed=0).trained_config((64, 96))["glpn_cli"]
    assert "source" not in own
    assert own["training_size"] == [64, 96]


def test_shapes_have_names_or_files() -> None:
    assert (
        sum(p.numel() for p in InitialModel.make("b0", max_depth=5, camera=NO_FOCAL, seed=0).network.parameters())
        == 3_664_839
    )
    with pytest.raises(UsageError, match="'b9' is neither b0, b4, mini nor a file"):
        InitialModel.make("b9", max_depth=None, camera=NO_FOCAL, seed=0)


def test_the_papers_recipe_takes_its_steps_from_the_data() -> None:
    config = paper_recipe(TrainingSettings(), length=24_231)
    assert config.steps == 50_482  # 25 epochs of batches of 12
    assert config.phases[0].size == (448, 576)
    assert (config.schedule.course, config.schedule.low, config.schedule.peak) == ("paper", 3e-5, 1e-4)
    assert paper_recipe(TrainingSettings(epochs=1, batch_size=8), length=64).steps == 8
    with pytest.raises(UsageError, match="no end"):
        paper_recipe(TrainingSettings(), length=None)


def test_a_model_whose_lens_is_known_learns_whole_pictures_and_another_the_papers_crops() -> None:
    seen = [
        paper_recipe(TrainingSettings(steps=1), length=None, crop=(192, 256), camera=camera).phases[0].augmentation.zoom
        for camera in (Camera((192, 256), 220.0), NO_FOCAL, None)
    ]
    assert seen == [(1.0, 1.0), None, None]


def test_the_rooms_recipe_grows_its_pictures_and_keeps_the_steps_it_is_given() -> None:
    config = rooms_recipe(TrainingSettings(steps=1001), length=None)
    assert config.steps == 1001
    areas = [phase.size[0] * phase.size[1] for phase in config.phases[:-1]]
    assert areas == sorted(areas)
    assert config.phases[-1].size == (192, 256), "the size that pictures are brought to"
    assert len({phase.size[1] / phase.size[0] for phase in config.phases}) > 3, "photographs have several shapes"
    assert [phase.upright > 0 for phase in config.phases] == [True] * 5 + [False], "metres are learned from whole rooms"
    assert rooms_recipe(TrainingSettings(), length=None).steps == 35_000
    assert rooms_recipe(TrainingSettings(steps=1), length=5).phases[-1].size == (192, 256)
    assert rooms_recipe(TrainingSettings(steps=7, input_size="96x64"), length=5).phases[0].size == (64, 96)
    assert rooms_recipe(TrainingSettings(epochs=2, batch_size=10), length=50).steps == 10
    with pytest.raises(UsageError, match="no end"):
        rooms_recipe(TrainingSettings(epochs=2), length=None)
    for never in (math.inf, math.nan, 0):
        with pytest.raises(UsageError, match="--epochs"):
            rooms_recipe(TrainingSettings(epochs=never), length=50)


def test_a_small_model_is_gone_on_with_at_the_size_it_knows() -> None:
    assert smaller_crop((448, 576), (480, 640)) == (448, 576)
    assert smaller_crop((448, 576), (192, 256)) == (192, 256)
    assert smaller_crop((352, 704), (100, 20)) == (96, 32)
