"""Models that transformers runs: they answer what its own pipeline answers, and what cannot be had is refused."""

from __future__ import annotations

import json
import pickle
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_adapted import write_depth_pro, write_prompt_depth_anything, write_zoedepth
from torch.nn import functional as F

from glpn_cli import AutoImageProcessor, AutoModelForDepthEstimation, DepthEstimator
from glpn_cli.checkpoint import Checkpoint
from glpn_cli.errors import InputError, ModelError, UsageError
from glpn_cli.models.adapter import config as adapter_config
from glpn_cli.models.config_base import InputSize, ModelConfig, read_config
from glpn_cli.models.inspect import ModelReport
from glpn_cli.models.resolve import resolve_model
from glpn_cli.models.state_dict import load_network
from glpn_cli.prediction import DepthKind, DepthMap
from glpn_cli.testing import FamilyContract

WRITERS = {
    "zoedepth": write_zoedepth,
    "zoedepth of two heads": lambda folder: write_zoedepth(folder, heads=2),
    "depth_pro": write_depth_pro,
    "prompt_depth_anything": write_prompt_depth_anything,
}
SAMPLES = Path(__file__).parents[2] / "sample_images"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("adapted")
    return {name: write(place / name.replace(" ", "-")) for name, write in WRITERS.items()}


@pytest.fixture(scope="module", params=["study", "corridor small"])
def picture(request: pytest.FixtureRequest) -> Image.Image:
    name, _, is_small = request.param.partition(" ")
    image = Image.open(SAMPLES / f"{name}.jpg").convert("RGB")
    return image.resize((101, 77)) if is_small else image.resize((320, 240))


def resize_as_torchvision(depth: torch.Tensor, *, size: list[int], interpolation: str, antialias: bool) -> torch.Tensor:
    assert not antialias
    return F.interpolate(depth[None], size, mode=interpolation, align_corners=False)[0]


def pipeline_depth(folder: Path, kind: str, name: str, picture: Image.Image, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What transformers' depth-estimation pipeline answers, with the processor that needs no torchvision."""
    transformers = import_module("transformers")
    module = import_module(f"transformers.models.{kind}.image_processing_pil_{kind}")
    if find_spec("torchvision") is None:
        stand_in = SimpleNamespace(
            resize=resize_as_torchvision, InterpolationMode=SimpleNamespace(BICUBIC="bicubic", BILINEAR="bilinear")
        )
        monkeypatch.setattr(module, "tvF", stand_in, raising=False)
    model = transformers.AutoModelForDepthEstimation.from_pretrained(folder)
    processor = getattr(module, f"{name}ImageProcessorPil").from_pretrained(folder)
    estimate = transformers.pipeline("depth-estimation", model=model, image_processor=processor)
    return estimate(picture)["predicted_depth"].detach().numpy()


def check_equal(found: DepthMap, wanted: np.ndarray, tolerance: float = 1e-5) -> None:
    """Within a share of the range, which the map spans well; resizing undershoots zero, and a depth does not."""
    low, high = np.percentile(wanted, (1, 99))
    assert high - low > 0.2 * np.ptp(wanted)
    wanted = np.maximum(wanted, 1e-4 * wanted.max())
    assert np.abs(found.values - wanted).max() < tolerance * np.ptp(wanted)


@pytest.mark.parametrize("name", ["zoedepth", "zoedepth of two heads"])
def test_zoedepth_answers_as_the_pipeline_of_transformers(
    folders: dict[str, Path], name: str, picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = DepthEstimator.from_pretrained(folders[name], device="cpu").predict(picture)
    assert (found.kind, found.limit, found.size) == (DepthKind.METRIC, None, picture.size[::-1])
    check_equal(found, pipeline_depth(folders[name], "zoedepth", "ZoeDepth", picture, monkeypatch))


def test_prompt_depth_anything_answers_as_the_pipeline_and_without_prompt_no_metres(
    folders: dict[str, Path], picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folders["prompt_depth_anything"]
    found = DepthEstimator.from_pretrained(folder, device="cpu").predict(picture)
    assert found.kind is DepthKind.AFFINE
    wanted = pipeline_depth(folder, "prompt_depth_anything", "PromptDepthAnything", picture, monkeypatch)
    check_equal(found, wanted)


def published_depth_pro(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The class of Depth Pro's processor; its file wants torchvision, of which the way out uses nothing."""
    if find_spec("torchvision") is None:
        import_module("transformers")
        names = ["torchvision", "torchvision.transforms", "torchvision.transforms.v2"]
        for name in names:
            monkeypatch.setitem(sys.modules, name, ModuleType(name))
        vars(sys.modules[names[-1]])["functional"] = ModuleType("functional")
    module = import_module("transformers.models.depth_pro.image_processing_depth_pro")
    monkeypatch.setattr(module, "pil_torch_interpolation_mapping", {2: SimpleNamespace(value="bilinear")})
    return module.DepthProImageProcessor


def test_depth_pro_answers_as_its_published_processor(
    folders: dict[str, Path], picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = import_module("transformers").AutoModelForDepthEstimation.from_pretrained(folders["depth_pro"])
    rgb = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None]
    pixels = F.interpolate((rgb / 255 - 0.5) / 0.5, (128, 128), mode="bilinear", antialias=False)
    with torch.no_grad():
        outputs = model(pixel_values=pixels)
    assert 20 < outputs.field_of_view.item() < 120
    answer = published_depth_pro(monkeypatch).post_process_depth_estimation
    [wanted] = answer(SimpleNamespace(resample=2), outputs, [picture.size[::-1]])

    found = DepthEstimator.from_pretrained(folders["depth_pro"], device="cpu").predict(picture)
    assert (found.kind, found.limit) == (DepthKind.METRIC, None)
    inverse, inverse_wanted = 1 / found.values, 1 / wanted["predicted_depth"].numpy()
    low, high = np.percentile(inverse_wanted, (1, 99))
    assert high - low > 0.2 * np.ptp(inverse_wanted)
    assert np.abs(inverse - inverse_wanted).max() < 1e-5 * np.ptp(inverse_wanted)


class TestContract(FamilyContract):
    """An adapter is a family like the others, as far as it can be."""

    @pytest.fixture(autouse=True)
    def _as_in_a_folder(self, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
        checkpoint = Checkpoint.open(folders["zoedepth"])
        monkeypatch.setattr(TestContract, "raw_config", checkpoint.config, raising=False)
        monkeypatch.setattr(TestContract, "settings", checkpoint.preprocessor)

    def make_config(self) -> ModelConfig:
        return read_config({**self.raw_config, "glpn_cli": {"processor": self.settings}})


@torch.no_grad()
def test_a_batch_does_not_vote_for_one_head(folders: dict[str, Path]) -> None:
    network = load_network(Checkpoint.open(folders["zoedepth of two heads"]))
    pixels = torch.randn(3, 3, 96, 128, generator=torch.Generator().manual_seed(0))
    assert torch.equal(network(pixels), torch.cat([network(one[None]) for one in pixels]))


@pytest.mark.parametrize("name", ["zoedepth of two heads", "depth_pro"])
def test_a_model_of_transformers_is_inspected(folders: dict[str, Path], name: str) -> None:
    model = resolve_model(str(folders[name]))
    report = ModelReport.of(model)
    assert report.is_sound
    assert report.config.model_type == name.partition(" ")[0]
    network = load_network(model.checkpoint)
    parameters = sum(each.numel() for each in network.parameters())
    assert sum(report.config.parts().values()) == parameters
    assert report.cost.macs > 1e6
    assert report.cost.weight_bytes >= 4 * parameters
    assert report.config.unread_keys == ()
    assert "not verified on the weights" in model.limit_source


def test_settings_of_such_a_model_are_pickled(folders: dict[str, Path]) -> None:
    estimator = DepthEstimator.from_pretrained(folders["zoedepth"], device="cpu")
    picture = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    first = estimator.predict(picture)
    again = pickle.loads(pickle.dumps(estimator)).predict(picture)
    assert np.array_equal(first.values, again.values)


def test_tensors_that_do_not_fit_are_named(folders: dict[str, Path]) -> None:
    checkpoint = Checkpoint.open(folders["zoedepth"])
    config, state = read_config(checkpoint.config), checkpoint.read_state()
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    first = min(shapes)
    assert config.match(shapes).is_exact
    assert "is [7]" in config.match({**shapes, first: (7,)}).misshapen[0]
    assert config.match({**shapes, "stranger": (1,)}).unexpected == ("stranger",)
    assert config.match({name: shape for name, shape in shapes.items() if name != first}).missing


def test_a_config_that_makes_no_network_is_refused() -> None:
    with pytest.raises(ModelError, match="zoedepth"):
        read_config({"model_type": "zoedepth", "neck_hidden_sizes": "wide"}).build()
    with pytest.raises(ModelError, match="a network of elsewhere"):
        read_config({"model_type": "zoedepth", "backbone": "microsoft/resnet-50"}).build()


@pytest.mark.parametrize("choice", ["somebody/kernel", "flash_attention_2", {"": "somebody/kernel"}])
def test_a_config_that_asks_for_code_of_the_hub_gets_none(
    choice: object, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import modeling_utils

    def fetch(*names: object, **_: object) -> None:
        raise AssertionError(f"code was asked for: {names}")

    monkeypatch.setattr(modeling_utils, "lazy_import_flash_attention", fetch)
    monkeypatch.setattr(modeling_utils, "is_kernels_available", lambda *_: True)
    raw = json.loads((folders["zoedepth"] / "config.json").read_text())
    for changed in (raw, raw["backbone_config"]):
        changed |= {"attn_implementation": choice, "_attn_implementation": choice, "use_kernels": True}
    read_config(raw).build()


def test_networks_of_elsewhere_are_refused_wherever_they_are_named(folders: dict[str, Path]) -> None:
    raw = json.loads((folders["zoedepth"] / "config.json").read_text())
    elsewhere = {"model_type": "timm_backbone", "backbone": "hf-hub:somebody/network"}
    with pytest.raises(ModelError, match="a network of elsewhere"):
        read_config({**raw, "backbone_config": elsewhere}).build()
    with pytest.raises(ModelError, match="num_hidden_layers = 10000000"):
        read_config({**raw, "backbone_config": {**raw["backbone_config"], "num_hidden_layers": 10**7}}).build()
    with pytest.raises(ModelError, match="fp32"):
        read_config({**raw, "quantization_config": {"quant_method": "fp8"}}).build()


def test_depth_pro_without_the_field_of_view_gives_no_metres(folders: dict[str, Path]) -> None:
    raw = json.loads((folders["depth_pro"] / "config.json").read_text())
    assert read_config(raw).kind is DepthKind.METRIC
    for without in ({**raw, "use_fov_model": False}, {key: raw[key] for key in raw if key != "use_fov_model"}):
        assert read_config(without).kind is DepthKind.SCALE
    said = {**raw, "use_fov_model": False, "glpn_cli": {"depth_kind": "metric"}}
    assert read_config(said).kind is DepthKind.METRIC


def test_a_processor_that_is_none_is_refused() -> None:
    for name, message in (("AutoConfig", "'AutoConfig', which is no"), ("NoSuchImageProcessor", "has no picture")):
        config = read_config({"model_type": "zoedepth", "glpn_cli": {"processor": {"image_processor_type": name}}})
        with pytest.raises(ModelError, match=message):
            config.prepare(np.zeros((20, 20, 3), np.uint8), (20, 20))


def test_without_the_extra_one_line_says_what_to_install(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter_config, "find_spec", lambda _name: None)
    with pytest.raises(ModelError, match="'zoedepth' runs through transformers, which is not installed") as caught:
        resolve_model(str(folders["zoedepth"]))
    assert "pip install 'glpn-cli[transformers]'" in str(caught.value.hint)
    with pytest.raises(ModelError, match="'brand_new' is not supported") as caught:
        read_config({"model_type": "brand_new"})
    assert "pip install 'glpn-cli[transformers]'" in str(caught.value.hint)


def test_heights_of_trees_are_no_depth() -> None:
    with pytest.raises(ModelError, match="heights of trees"):
        read_config({"model_type": "chmv2"})


def test_a_type_that_nobody_knows_is_of_unknown_kind_unless_its_config_says_more(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter_config, "KNOWN_KINDS", {})
    raw = Checkpoint.open(folders["zoedepth"]).config
    config = read_config(raw)
    assert config.kind is DepthKind.UNKNOWN
    assert "depth_kind" in config.scale_source
    told = read_config({**raw, "glpn_cli": {"depth_kind": "disparity"}})
    assert told.kind is DepthKind.DISPARITY
    assert told.to_dict()["glpn_cli"]["depth_kind"] == "disparity"
    with pytest.raises(ModelError, match="depth_kind = 'tall'"):
        read_config({**raw, "glpn_cli": {"depth_kind": "tall"}})


def test_wishes_that_only_our_own_networks_grant_are_refused(folders: dict[str, Path]) -> None:
    folder = folders["zoedepth"]
    for wish in (
        {"input_size": 64},
        {"precision": "bf16"},
        {"upsample": "guided"},
        {"max_depth": 20},
        {"focal": "28mm"},
    ):
        with pytest.raises(UsageError):
            DepthEstimator.from_pretrained(folder, device="cpu", **wish)  # type: ignore[arg-type]  # one of each kind
    estimator = DepthEstimator.from_pretrained(folder, device="cpu", precision="auto")
    assert estimator.precision == "fp32"
    with pytest.raises(UsageError, match="takes no tensors"):
        estimator.predict_tensor(torch.rand(1, 3, 64, 64))
    with pytest.raises(UsageError, match="--input-size"):
        read_config(Checkpoint.open(folder).config).network_size((60, 80), InputSize("longest", longest_side=64))
    for documented in (AutoModelForDepthEstimation, AutoImageProcessor):
        with pytest.raises(ModelError, match="which runs through transformers"):
            documented.from_pretrained(folder)
    with pytest.raises(ModelError, match="training"):
        read_config(Checkpoint.open(folder).config).loss()


def test_a_processor_that_needs_torchvision_says_so() -> None:
    if find_spec("torchvision") is not None:
        pytest.skip("torchvision is installed")
    config = read_config({"model_type": "tipsv2_dpt"})
    with pytest.raises(ModelError, match="torchvision") as caught:
        config.prepare(np.zeros((20, 20, 3), np.uint8), (20, 20))
    assert "pip install torchvision" in str(caught.value.hint)
    assert not isinstance(caught.value, InputError)
