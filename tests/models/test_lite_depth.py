"""The depth network on EfficientNet-Lite: its numbers by an oracle of plain functions, its shapes, sizes and costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import pytest
import random_weights
import torch
from random_weights_lite import SMALL, spread_scores
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import CliRunner

from glpn_cli.checkpoint import Checkpoint
from glpn_cli.checkpoint.write import EncodedFolder
from glpn_cli.cli import app
from glpn_cli.errors import ModelError
from glpn_cli.models.config_base import read_config
from glpn_cli.models.lite_depth.config import LiteDepthConfig
from glpn_cli.models.lite_depth.network import LiteDepth
from glpn_cli.models.resolve import resolve_model
from glpn_cli.models.settings import InferenceSettings
from glpn_cli.models.state_dict import file_state, load_network
from glpn_cli.onnx_export import TOLERANCE, export_onnx, verify_onnx
from glpn_cli.training.initial_model import InitialModel

LITE0 = {"width_coefficient": 1.0, "depth_coefficient": 1.0}


def randomized(**fields: float) -> LiteDepth:
    """One whose depths of a picture go from 1 to 4 m."""
    network = LiteDepth(LiteDepthConfig(**fields)).eval()
    random_weights.randomise(network)
    spread_scores(network)
    return network


def small() -> dict[str, float]:
    return {name: value for name, value in SMALL.items() if name != "model_type"}


def oracle(state: Mapping[str, Tensor], pixels: Tensor, strides: list[int]) -> Tensor:
    """Metres by the tensors of a file alone, in fp64; strides: of the blocks."""
    w = {name: tensor.double() for name, tensor in state.items()}

    def normed(x: Tensor, name: str, *, stride: int = 1, is_last: bool = False) -> Tensor:
        kernel = w[f"{name}.conv.weight"]
        groups = x.shape[1] // kernel.shape[1]
        x = F.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2, groups=groups)
        mean, variance, factor, offset = (
            w[f"{name}.norm.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        x = (x - mean) / (variance + 0.001).sqrt() * factor + offset
        return x if is_last else x.clamp(0, 6)

    def conv(x: Tensor, name: str) -> Tensor:
        kernel, bias = w[f"{name}.weight"], w[f"{name}.bias"]
        if kernel.shape[-1] == 3:
            x = F.pad(x, (1, 1, 1, 1), mode="replicate")
        return F.conv2d(x, kernel, bias)

    def mixed(x: Tensor, name: str) -> Tensor:
        return x + conv(x.relu(), name).relu()

    def doubled(x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)

    x = normed((pixels.double() * 255 - 127) / 128, "encoder.stem", stride=2)
    grids: list[Tensor] = []
    for index, stride in enumerate(strides):
        name = f"encoder.blocks.{index}"
        if stride == 2:
            grids.append(x)
        y = normed(x, f"{name}.expand") if f"{name}.expand.conv.weight" in w else x
        y = normed(normed(y, f"{name}.filter", stride=stride), f"{name}.project", is_last=True)
        x = x + y if y.shape == x.shape else y
    frame = (x.mean((2, 3)) @ w["context.0.weight"].T + w["context.0.bias"]).relu()
    frame = frame @ w["context.2.weight"].T + w["context.2.bias"]
    y = mixed(conv(x, "start") + frame[:, :, None, None], "coarse_mix")
    for index, grid in enumerate(reversed(grids[1:])):
        y = mixed(doubled(y) + conv(grid, f"fuse.{index}.lateral"), f"fuse.{index}.mix")
    y = doubled(conv(y, "narrow")) + conv(grids[0], "edge")
    y = conv((y + conv(y.relu(), "edge_mix")).relu(), "out")
    return doubled(y)[:, 0].clamp(-3, 4).exp()


@pytest.mark.parametrize("fields", [small(), LITE0], ids=["small", "Lite0"])
@torch.no_grad()
def test_it_answers_as_plain_functions_of_the_tensors_of_its_file_do(fields: dict[str, float]) -> None:
    network = randomized(**fields)
    config = LiteDepthConfig(**fields)
    pixels = random_weights.picture((64, 96), batch=2)
    state = file_state(network.state_dict(), config.weight_rows())
    expected = oracle(state, pixels, [block.stride for block in config.blocks()])
    assert random_weights.spread(expected.float()) > 2
    found = network(pixels)
    assert float((found - expected).abs().max()) < 1e-5 * config.max_depth
    assert float((config.cast(network, "fp32")(pixels) - expected).abs().max()) < 1e-5 * config.max_depth


@torch.no_grad()
def test_the_bundled_weights_answer_as_those_plain_functions_do() -> None:
    from glpn_cli.models.registry import BUNDLED

    checkpoint = Checkpoint.open(BUNDLED / "lite")
    pixels = random_weights.picture((96, 64))
    strides = [block.stride for block in LiteDepthConfig().blocks()]
    expected = oracle(checkpoint.read_state(), pixels, strides)
    assert float((load_network(checkpoint)(pixels) - expected).abs().max()) < 1e-4


@pytest.mark.parametrize(
    ("width", "depth", "blocks", "channels"),
    [
        (1.0, 1.0, 16, (16, 24, 40, 112, 320)),
        (1.0, 1.1, 21, (16, 24, 40, 112, 320)),
        (1.1, 1.2, 21, (16, 24, 48, 120, 352)),
    ],
    ids=["Lite0", "Lite1", "Lite2"],
)
def test_it_has_the_blocks_and_channels_of_tensorflows_encoders(
    width: float, depth: float, blocks: int, channels: tuple[int, ...]
) -> None:
    config = LiteDepthConfig(width_coefficient=width, depth_coefficient=depth)
    assert len(list(config.blocks())) == blocks
    assert config.level_channels == channels


@pytest.mark.parametrize("size", [(64, 96), (192, 256)])
def test_cost_is_what_a_flop_counter_counts(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # which the meta device does not know
    config = LiteDepthConfig()
    with torch.device("meta"):
        network = LiteDepth(config).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.empty(1, 3, *size, device="meta"))
    assert 2 * config.cost(size).macs == counter.get_total_flops()


@pytest.mark.parametrize(
    ("size", "seen"),
    [
        ((192, 256), (192, 256)),
        ((3000, 4000), (192, 256)),
        ((1080, 1920), (160, 288)),
        ((31, 31), (32, 32)),
        ((90, 200), (96, 192)),
    ],
)
def test_it_sees_the_area_that_it_learned_from_in_the_pictures_aspect(
    size: tuple[int, int], seen: tuple[int, int]
) -> None:
    assert LiteDepthConfig().auto_size(size) == seen


@pytest.mark.parametrize("size", [(1, 100_000), (100_000, 3), (20_000, 200)])
def test_the_cost_of_a_strip_is_bounded(size: tuple[int, int]) -> None:
    assert math.prod(LiteDepthConfig().auto_size(size)) <= 1.1 * 192 * 256


@torch.no_grad()
def test_depths_are_in_proportion_to_the_limit() -> None:
    near, far = randomized(**small()), randomized(**small(), max_depth=80.0)
    pixels = random_weights.picture((64, 64))
    torch.testing.assert_close(8 * near(pixels), far(pixels))


@torch.no_grad()
def test_batch_norms_stand_still_while_it_learns() -> None:
    network = randomized(**small())
    pixels = random_weights.picture((64, 64), batch=2)
    before = network(pixels)
    torch.testing.assert_close(network.train()(pixels), before)
    torch.testing.assert_close(network.eval()(pixels), before)


def test_pixels_that_do_not_fit_and_nonsense_in_the_config_are_refused() -> None:
    with pytest.raises(ModelError, match="multiples of 32"):
        randomized(**small())(torch.rand(1, 3, 64, 40))
    for field in ("width_coefficient", "decoder_hidden_size", "head_hidden_size", "max_depth"):
        with pytest.raises(ModelError, match=f"{field} = 0 is no"):
            read_config({"model_type": "lite_depth", field: 0})


@pytest.fixture(scope="module")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lite") / "model"
    config = LiteDepthConfig(**small())
    state = file_state(randomized(**small()).state_dict(), config.weight_rows())
    EncodedFolder.of(config=config.to_dict(), state=state, preprocessor=config.preprocessor()).write(folder)
    return folder


@pytest.mark.soak
def test_onnx_answers_as_torch_does_at_any_size(small_model: Path) -> None:
    model = resolve_model(str(small_model))
    assert verify_onnx(export_onnx(model), model) <= TOLERANCE


def test_a_weights_file_and_a_config_make_a_folder(small_model: Path, tmp_path: Path) -> None:
    weights = tmp_path / "found.safetensors"
    weights.write_bytes((small_model / "model.safetensors").read_bytes())
    words = ["convert", str(weights), "--config", str(small_model / "config.json"), "-o", str(tmp_path / "made")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "made/model.safetensors").read_bytes() == weights.read_bytes()
    made, given = (Checkpoint.open(folder) for folder in (tmp_path / "made", small_model))
    assert read_config(made.config).shapes() == read_config(given.config).shapes()
    assert made.preprocessor == given.preprocessor


@torch.no_grad()
def test_training_starts_from_all_its_weights_and_ends_in_its_family(small_model: Path) -> None:
    start = InitialModel.load(InferenceSettings(resolve_model(str(small_model))), seed=0)
    pixels = random_weights.picture((64, 64))
    assert start.origin.startswith(str(small_model))  # "the encoder of ..." would have a fresh decoder
    torch.testing.assert_close(start.network(pixels), load_network(Checkpoint.open(small_model))(pixels))
    written = start.trained_config((96, 128))
    assert written["architectures"] == ["LiteDepthForDepthEstimation"]
    assert read_config(written).training_size == (96, 128)
