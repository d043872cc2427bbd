"""The families of networks: each passes the contract, and packages bring their own."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar

import pytest
import random_weights
import random_weights_depth_anything
import random_weights_dpt
import random_weights_lite
from PIL import Image
from torch import nn
from toy_family import Toy, ToyConfig

from glpn_cli import DepthEstimator
from glpn_cli.checkpoint.write import EncodedFolder
from glpn_cli.errors import ModelError
from glpn_cli.models import config_base
from glpn_cli.models.config_base import FAMILIES, FAMILIES_OF_PACKAGES, ModelConfig, WeightRow, read_config
from glpn_cli.models.inspect import ModelReport
from glpn_cli.models.resolve import resolve_model
from glpn_cli.models.state_dict import file_state
from glpn_cli.prediction import DepthKind
from glpn_cli.testing import FamilyContract, picture

SMALL_CONFIGS: dict[str, dict[str, Any]] = {
    "glpn": {"model_type": "glpn", **random_weights.SMALL},
    "dpt": {"model_type": "dpt", **random_weights_dpt.SMALL},
    "depth_anything": {"model_type": "depth_anything", **random_weights_depth_anything.SMALL},
    "depth_anything metric": {"model_type": "depth_anything", **random_weights_depth_anything.METRIC},
    "depth_anything registers": {"model_type": "depth_anything", **random_weights_depth_anything.REGISTERS},
    "lite_depth": random_weights_lite.SMALL,
    "dpt hybrid": {"model_type": "dpt", **random_weights_dpt.HYBRID},
    "dpt labels": {
        "model_type": "dpt",
        "architectures": ["DPTForSemanticSegmentation"],
        "id2label": random_weights_dpt.LABELS,
        **random_weights_dpt.SMALL,
    },
}


class _Native(FamilyContract):
    """The families of this package; their weights are drawn so that the depth map spans its range."""

    def make_network(self, config: ModelConfig) -> nn.Module:
        network = config.build().eval()
        random_weights.randomise(network)
        if config.kind is DepthKind.DISPARITY:
            pixels = config.prepare(picture((64, 96)), config.scaled((64, 96), 1.0))
            random_weights_dpt.randomize(network, network.head.output, pixels)
        if config.model_type == "lite_depth":
            random_weights_lite.spread_scores(network)
        return network


def _contract(name: str) -> type[_Native]:
    return type(name, (_Native,), {"raw_config": SMALL_CONFIGS[name]})


TestGLPN = _contract("glpn")
TestDPT = _contract("dpt")
TestDPTHybrid = _contract("dpt hybrid")
TestDPTLabels = _contract("dpt labels")
TestLiteDepth = _contract("lite_depth")
TestDepthAnything = _contract("depth_anything")
TestDepthAnythingMetric = _contract("depth_anything metric")
TestDepthAnythingRegisters = _contract("depth_anything registers")


TOY = EntryPoint("toy", "toy_family:ToyConfig", FAMILIES_OF_PACKAGES)


class TestToy(FamilyContract):
    """The smallest family there can be keeps the contract too, as a package would test its own."""

    raw_config: ClassVar = {"model_type": "toy", "brightness": 2.0}

    @pytest.fixture(autouse=True)
    def _brought_by_a_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(config_base, "entry_points", lambda *, group: [TOY] if group else [])

    def test_planning_does_not_import_torch(self) -> None:
        """It does: the toy is one file with its network."""


@pytest.mark.parametrize("raw_config", SMALL_CONFIGS.values(), ids=SMALL_CONFIGS)
def test_a_network_that_looks_at_other_than_three_colours_is_refused(raw_config: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="num_channels = 1"):
        read_config(raw_config | of_one_channel(raw_config)).build()


def test_every_family_has_a_small_config_to_be_tested_with() -> None:
    assert {raw["model_type"] for raw in SMALL_CONFIGS.values()} == set(FAMILIES)


def of_one_channel(raw: dict[str, Any]) -> dict[str, Any]:
    """The fields that say how many channels a picture has."""
    is_encoders = raw["model_type"] == "depth_anything"
    return {"backbone_config": raw["backbone_config"] | {"num_channels": 1}} if is_encoders else {"num_channels": 1}


@pytest.mark.parametrize("mistake", ["shapes", "batch", "range"])
def test_the_contract_notices_a_family_that_breaks_it(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAMILIES, "toy", "toy_family:ToyConfig")
    contract = TestToy()
    if mistake == "shapes":
        monkeypatch.setattr(ToyConfig, "weight_rows", lambda _self: iter([WeightRow("scale.weight", (1, 1), "a")]))
        check = contract.test_shapes_are_told_without_the_network
    elif mistake == "batch":
        monkeypatch.setattr(Toy, "forward", lambda _self, pixels: pixels.mean(1) + pixels.mean() + 1)
        check = contract.test_a_batch_of_two_equals_two_of_one
    else:
        monkeypatch.setattr(ToyConfig, "kind", DepthKind.METRIC)
        monkeypatch.setattr(ToyConfig, "limit_m", 1e-3)
        check = contract.test_any_picture_comes_back_at_its_own_size_within_the_range
    with pytest.raises(AssertionError):
        check()


def test_a_new_family_is_one_folder_and_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(FAMILIES, "toy", "toy_family:ToyConfig")
    config = read_config({"model_type": "toy", "brightness": 2.0})
    state = file_state(config.build().state_dict(), config.weight_rows())
    EncodedFolder.of(config=config.to_dict(), state=state).write(tmp_path / "toy")
    Image.fromarray(picture((30, 50))).save(tmp_path / "picture.png")

    model = resolve_model(str(tmp_path / "toy"))
    report = ModelReport.of(model)
    assert report.is_sound
    assert (report.config.model_type, report.config.parts(), report.network_size) == ("toy", {"scale": 2}, (64, 96))
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
    assert ", ".join([*config_base.FAMILIES, "toy"]) in str(caught.value.hint)


def test_an_unknown_family_is_named_with_those_there_are() -> None:
    with pytest.raises(ModelError, match="swin") as caught:
        read_config({"model_type": "swin"})
    assert ", ".join(config_base.FAMILIES) in str(caught.value.hint)
    with pytest.raises(ModelError, match="model_type"):
        read_config({})


def test_loading_a_network_imports_neither_torchs_compiler_nor_transformers() -> None:
    code = (
        "import sys; from glpn_cli import DepthEstimator; DepthEstimator.from_pretrained();"
        "sys.exit('torch._dynamo' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
