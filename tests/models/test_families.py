"""The contract that every family of networks passes."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import random_weights
import random_weights_depth_anything
import random_weights_dpt
import torch
from PIL import Image
from torch import nn

from glpn_cli import DepthEstimator
from glpn_cli.checkpoint import encode_checkpoint, open_checkpoint
from glpn_cli.errors import ModelError
from glpn_cli.models import config_base
from glpn_cli.models.config_base import FAMILIES, InputSize, ModelConfig, read_config
from glpn_cli.models.inspect import inspect_model
from glpn_cli.models.resolve import resolve_model
from glpn_cli.models.state_dict import file_state, load_network
from glpn_cli.prediction import DepthKind, DepthMap, LabelMap

SMALL_CONFIGS: dict[str, dict[str, Any]] = {
    "glpn": {"model_type": "glpn", **random_weights.SMALL},
    "dpt": {"model_type": "dpt", **random_weights_dpt.SMALL},
    "depth_anything": {"model_type": "depth_anything", **random_weights_depth_anything.SMALL},
    "depth_anything metric": {"model_type": "depth_anything", **random_weights_depth_anything.METRIC},
    "depth_anything registers": {"model_type": "depth_anything", **random_weights_depth_anything.REGISTERS},
    "dpt hybrid": {"model_type": "dpt", **random_weights_dpt.HYBRID},
    "dpt labels": {
        "model_type": "dpt",
        "architectures": ["DPTForSemanticSegmentation"],
        "id2label": random_weights_dpt.LABELS,
        **random_weights_dpt.SMALL,
    },
}


@pytest.fixture(params=SMALL_CONFIGS)
def raw_config(request: pytest.FixtureRequest) -> dict[str, Any]:
    return SMALL_CONFIGS[request.param]


@pytest.fixture
def config(raw_config: dict[str, Any]) -> ModelConfig:
    return read_config(raw_config)


@pytest.fixture
def network(config: ModelConfig) -> nn.Module:
    network = config.build().eval()
    random_weights.randomise(network)
    if config.kind is DepthKind.DISPARITY:
        random_weights_dpt.randomize(
            network, network.head.output, config.prepare(picture((64, 96)), near(config, (64, 96)))
        )
    return network


def of_one_channel(raw: dict[str, Any]) -> dict[str, Any]:
    """The fields that say how many channels a picture has."""
    is_encoders = raw["model_type"] == "depth_anything"
    return {"backbone_config": raw["backbone_config"] | {"num_channels": 1}} if is_encoders else {"num_channels": 1}


def near(config: ModelConfig, size: tuple[int, int]) -> tuple[int, int]:
    """The nearest size that the network takes."""
    return config.scaled(size, 1.0)


def picture(size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)


def test_a_network_that_looks_at_other_than_three_colours_is_refused(raw_config: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="num_channels = 1"):
        read_config(raw_config | of_one_channel(raw_config)).build()


def test_every_family_has_a_small_config_to_be_tested_with() -> None:
    assert {raw["model_type"] for raw in SMALL_CONFIGS.values()} == set(FAMILIES)


def test_shapes_told_without_torch_are_those_of_the_network(config: ModelConfig, network: nn.Module) -> None:
    assert config.shapes() == {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def test_foreign_names_are_a_bijection(config: ModelConfig) -> None:
    rows = list(config.weight_rows())
    assert {row.name: row.shape for row in rows} == config.shapes()
    assert len({row.transformers for row in rows}) == len(rows)
    authors = [(row.author, row.author_slice) for row in rows if row.author]
    assert len(set(authors)) == len(authors)


def test_parts_add_up_to_the_parameters(config: ModelConfig, network: nn.Module) -> None:
    assert sum(config.parts().values()) == sum(p.numel() for p in network.parameters())


@torch.no_grad()
@pytest.mark.parametrize("size", [(1, 1), (31, 31), (33, 97), (120, 64), (64, 300)])
def test_any_picture_comes_back_at_its_own_size_within_the_range(
    config: ModelConfig, network: nn.Module, size: tuple[int, int]
) -> None:
    network_size = config.network_size(size, InputSize())
    pixels = config.prepare(picture(size), network_size)
    assert pixels.shape == (1, 3, *network_size)
    assert pixels.dtype == torch.float32
    prediction = config.decode(network(pixels)[0], size)
    assert prediction.size == size
    if isinstance(prediction, LabelMap):
        assert config.kind is None
        assert prediction.labels.max() < len(prediction.names)
        return
    assert isinstance(prediction, DepthMap)
    assert prediction.kind == config.kind
    assert prediction.limit == config.limit_m
    low, high = prediction.min_max()
    assert low > 0
    assert prediction.limit is None or high <= prediction.limit


@torch.no_grad()
def test_a_batch_of_two_equals_two_of_one(config: ModelConfig, network: nn.Module) -> None:
    pixels = torch.cat([config.prepare(picture(size), near(config, (64, 96))) for size in ((64, 96), (90, 120))])
    single = torch.cat([network(one[None]) for one in pixels])
    torch.testing.assert_close(network(pixels), single, rtol=0, atol=1e-4)


@torch.no_grad()
def test_what_is_saved_loads_and_answers_the_same(config: ModelConfig, network: nn.Module, tmp_path: Path) -> None:
    state = file_state(network.state_dict(), config.weight_rows())
    encode_checkpoint(config=config.to_dict(), state=state).write(tmp_path)
    again = load_network(open_checkpoint(tmp_path))
    pixels = config.prepare(picture((64, 96)), near(config, (64, 96)))
    torch.testing.assert_close(again(pixels), network(pixels), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_idle_tensors_may_be_missing_and_change_nothing(
    config: ModelConfig, network: nn.Module, tmp_path: Path
) -> None:
    rows = [row for row in config.weight_rows() if not (row.is_idle or row.is_counter)]
    state = file_state({row.name: network.state_dict()[row.name] for row in rows}, rows)
    encode_checkpoint(config=config.to_dict(), state=state).write(tmp_path)
    pixels = config.prepare(picture((64, 96)), near(config, (64, 96)))
    torch.testing.assert_close(load_network(open_checkpoint(tmp_path))(pixels), network(pixels), rtol=1e-4, atol=1e-4)


def test_gradients_reach_every_parameter(config: ModelConfig, network: nn.Module) -> None:
    predicted = network(config.prepare(picture((64, 96)), near(config, (64, 96))))
    if config.kind is None:
        target = torch.arange(64 * 96).view(1, 64, 96) % predicted.shape[1]
    else:
        target = (predicted.detach() + 1) * torch.linspace(0.5, 2, predicted.numel()).view_as(predicted)
    config.loss()(predicted, target).backward()
    idle = {row.name for row in config.weight_rows() if row.is_idle}
    for name, parameter in network.named_parameters():
        if name in idle:
            assert parameter.grad is None, name
            continue
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        # A shift before softmax over keys changes nothing, so keys' biases rightly get (nearly) none.
        assert parameter.grad.abs().max() > 0 or name.endswith("key.bias"), name


@torch.no_grad()
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_form_made_ready_to_predict_answers_in_fp32_and_stays_close(
    config: ModelConfig, network: nn.Module, precision: str
) -> None:
    pixels = config.prepare(picture((64, 96)), near(config, (64, 96)))
    exact = network(pixels)
    quick = config.cast(network, precision)(pixels)
    assert quick.dtype == torch.float32
    tolerance = {"fp32": 1e-5, "bf16": 0.05}[precision]
    assert float((quick - exact).abs().max() / exact.abs().max()) < tolerance


def test_another_limit_scales_every_depth(config: ModelConfig) -> None:
    limit = config.limit_m
    if limit is None:
        return
    assert config.with_limit(8 * limit).limit_m == 8 * limit


@torch.no_grad()
def test_cost_grows_with_the_picture(config: ModelConfig) -> None:
    small, large = (config.cost(near(config, size)) for size in ((64, 96), (128, 192)))
    assert 3.5 * small.macs < large.macs
    assert small.weight_bytes == large.weight_bytes < large.memory_bytes


def test_planning_with_a_family_does_not_import_torch(raw_config: dict[str, Any]) -> None:
    code = (
        "import sys; from glpn_cli.models.config_base import InputSize, read_config;"
        f"raw = {raw_config!r}; config = read_config(raw);"
        "config.shapes(); config.parts(); config.cost((64, 96));"
        "config.network_size((3000, 4000), InputSize()); config.limit_m; config.kind;"
        "list(config.weight_rows());"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_new_family_is_one_folder_and_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(FAMILIES, "toy", "toy_family:ToyConfig")
    config = read_config({"model_type": "toy", "brightness": 2.0})
    state = file_state(config.build().state_dict(), config.weight_rows())
    encode_checkpoint(config=config.to_dict(), state=state).write(tmp_path / "toy")
    Image.fromarray(picture((30, 50))).save(tmp_path / "picture.png")

    model = resolve_model(str(tmp_path / "toy"))
    report = inspect_model(model)
    assert report.is_sound
    assert (report.family, report.total_parameters, report.network_size) == ("toy", 2, (64, 96))
    prediction = DepthEstimator.from_pretrained(tmp_path / "toy").predict(tmp_path / "picture.png")
    assert prediction.size == (30, 50)
    assert prediction.kind is DepthKind.SCALE
    with pytest.raises(ModelError, match="brightness = -1 is no number"):
        read_config({"model_type": "toy", "brightness": -1})


def test_a_package_brings_a_family_by_an_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    points = {
        name: EntryPoint(name, value, "glpn.families")
        for name, value in {
            "toy": "toy_family:ToyConfig",
            "gone": "there_is_no_such_module:Config",
            "net": "toy_family:Toy",
        }.items()
    }
    monkeypatch.setattr(config_base, "entry_points", lambda *, group: points.values() if group else ())
    assert read_config({"model_type": "toy", "brightness": 2.0}).model_type == "toy"
    for name, message in (("gone", "there_is_no_such_module"), ("net", "no ModelConfig"), ("swin", "'swin'")):
        with pytest.raises(ModelError, match=message) as caught:
            read_config({"model_type": name})
    assert "glpn, toy" in str(caught.value.hint)


def test_an_unknown_family_is_named_with_those_there_are() -> None:
    with pytest.raises(ModelError, match="swin") as caught:
        read_config({"model_type": "swin"})
    assert "depth_anything, dpt, glpn" in str(caught.value.hint)
    with pytest.raises(ModelError, match="model_type"):
        read_config({})


def test_loading_a_network_does_not_import_torchs_compiler() -> None:
    code = (
        "import sys; from glpn_cli import DepthEstimator; DepthEstimator.from_pretrained('mini');"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
