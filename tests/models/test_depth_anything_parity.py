"""The network gives what transformers gives on the same weights, and would not if it were wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from random_weights_depth_anything import BACKBONE, METRIC, REGISTERS, SMALL, V2_SMALL, pixels_for, randomized_model
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import DepthAnythingForDepthEstimation as TheirModel
from transformers.models.dpt.image_processing_pil_dpt import DPTImageProcessorPil

import glpn_cli
from glpn_cli.checkpoint import Weights
from glpn_cli.errors import ModelError
from glpn_cli.models.config_base import read_config
from glpn_cli.models.dense import decoder as decoder_module
from glpn_cli.models.dense.decoder import DepthHead
from glpn_cli.models.depth_anything.config import DepthAnythingConfig
from glpn_cli.models.depth_anything.encoder import Dinov2, LayerScale
from glpn_cli.models.depth_anything.network import DepthAnything, cast

TOLERANCE = 1e-4  # of the output's range

CONFIGS: dict[str, dict[str, Any]] = {
    "relative": SMALL,
    "metric": METRIC,
    "registers": REGISTERS,
    "SwiGLU": SMALL | {"backbone_config": BACKBONE | {"use_swiglu_ffn": True}},
    "no norm": SMALL | {"backbone_config": BACKBONE | {"apply_layernorm": False}},
    "no mask token or biases": SMALL | {"backbone_config": BACKBONE | {"use_mask_token": False, "qkv_bias": False}},
    "embeddings and early blocks": SMALL | {"backbone_config": BACKBONE | {"out_indices": [0, 1, 2, 3]}},
    "relative, scaled": SMALL | {"max_depth": 3},
    "coarser output": SMALL | {"head_in_index": 1},
    "other factors": SMALL | {"reassemble_factors": [8, 2, 1, 0.25]},
    "gelu_new": SMALL | {"backbone_config": BACKBONE | {"hidden_act": "gelu_new", "layer_norm_eps": 1e-3}},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[TheirModel, Path]]:
    """A network of transformers and the folder that it wrote, by the config's name."""
    made: dict[str, tuple[TheirModel, Path]] = {}

    def find(name: str) -> tuple[TheirModel, Path]:
        if name not in made:
            theirs = randomized_model(**CONFIGS[name])
            folder = tmp_path_factory.mktemp("theirs")
            theirs.save_pretrained(folder)
            made[name] = theirs, folder
        return made[name]

    return find


def ours(folder: Path) -> DepthAnything:
    """Our network with the weights of a folder."""
    return glpn_cli.DepthAnythingForDepthEstimation.from_pretrained(folder).network


@torch.no_grad()
def largest_difference(theirs: Any, network: nn.Module, pixels: Tensor) -> float:
    """As a share of the answer's range."""
    expected, found = theirs(pixels).predicted_depth, network(pixels)
    found = getattr(found, "predicted_depth", found)
    assert found.shape == expected.shape
    return float((expected - found).abs().max() / (expected.max() - expected.min()))


@pytest.mark.parametrize("name", CONFIGS)
def test_depth_equals_transformers(folders: Callable[[str], tuple[TheirModel, Path]], name: str) -> None:
    theirs, folder = folders(name)
    network = ours(folder)
    for size, batch in (((70, 70), 3), ((70, 98), 1), ((42, 168), 1), ((77, 90), 1)):
        assert largest_difference(theirs, network, pixels_for((70, 98), seed=4)) < TOLERANCE
        cut = pixels_for((80, 176), batch=batch, seed=5)[:, :, : size[0], : size[1]]
        assert largest_difference(theirs, network, cut) < TOLERANCE


@pytest.mark.soak
@pytest.mark.parametrize(("size", "batch"), [((518, 518), 1), ((518, 686), 1), ((266, 1204), 1), ((518, 518), 3)])
def test_depth_equals_transformers_at_the_published_size(size: tuple[int, int], batch: int, tmp_path: Path) -> None:
    theirs = randomized_model(size=(518, 518), **V2_SMALL)
    theirs.save_pretrained(tmp_path)
    pixels = F.interpolate(pixels_for((272, 1216), batch=batch, seed=1), size=size)
    assert largest_difference(theirs, ours(tmp_path), pixels) < TOLERANCE


@pytest.mark.parametrize("name", ["relative", "metric", "registers", "SwiGLU"])
def test_the_form_made_ready_to_predict_keeps_the_numbers(
    folders: Callable[[str], tuple[TheirModel, Path]], name: str
) -> None:
    theirs, folder = folders(name)
    network = cast(ours(folder), "fp32")
    assert not any(isinstance(module, LayerScale) for module in network.modules())
    assert largest_difference(theirs, network, pixels_for((70, 98))) < TOLERANCE


@torch.no_grad()
@pytest.mark.parametrize("name", ["relative", "metric", "SwiGLU"])
def test_bf16_stays_close_and_keeps_fine_steps(folders: Callable[[str], tuple[TheirModel, Path]], name: str) -> None:
    theirs, folder = folders(name)
    pixels = pixels_for((70, 98))
    exact, quick = theirs(pixels).predicted_depth, cast(ours(folder), "bf16")(pixels)
    assert quick.dtype == torch.float32
    assert float((exact - quick).abs().mean() / exact.mean()) < 0.03
    assert quick.unique().numel() > 0.9 * exact.unique().numel()


@torch.no_grad()
def test_hidden_states_and_attentions_are_those_of_transformers(
    folders: Callable[[str], tuple[TheirModel, Path]],
) -> None:
    theirs, folder = folders("relative")
    theirs.set_attn_implementation("eager")
    model = glpn_cli.DepthAnythingForDepthEstimation.from_pretrained(folder)
    pixels = pixels_for((70, 98), batch=2)
    expected = theirs(pixels, output_hidden_states=True, output_attentions=True)
    found = model(pixels, output_hidden_states=True, output_attentions=True)
    for name in ("hidden_states", "attentions"):
        assert len(found[name]) == len(expected[name])
        for one, other in zip(found[name], expected[name], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    assert list(model(pixels)) == ["predicted_depth"]
    assert len(model(pixels, return_dict=False)) == 1
    with pytest.raises(NotImplementedError):
        model(pixels, labels=pixels[:, 0])


@torch.no_grad()
@pytest.mark.parametrize("name", ["relative", "metric", "SwiGLU"])
def test_transformers_reads_the_folders_that_we_write(
    folders: Callable[[str], tuple[TheirModel, Path]], name: str, tmp_path: Path
) -> None:
    theirs, folder = folders(name)
    model = glpn_cli.DepthAnythingForDepthEstimation.from_pretrained(folder)
    model.save_pretrained(tmp_path)
    again, info = TheirModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert largest_difference(theirs, again, pixels_for((70, 98))) < TOLERANCE
    raw = json.loads((tmp_path / "config.json").read_text())
    assert raw["architectures"] == ["DepthAnythingForDepthEstimation"]
    assert ("limit_m" in raw.get("glpn_cli", {})) == (name == "metric")
    assert read_config(raw).to_dict() | {"architectures": raw["architectures"]} == raw


@pytest.mark.parametrize("size", [(480, 640), (427, 640), (375, 1242), (1200, 90), (300, 200)])
def test_the_processor_equals_transformers(size: tuple[int, int], tmp_path: Path) -> None:
    config = DepthAnythingConfig()
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config.preprocessor()))
    sample = Path(__file__).parents[2] / "sample_images"
    path = min(path for path in sample.iterdir() if path.suffix in (".jpg", ".png"))
    picture = Image.open(path).convert("RGB").resize(size[::-1])
    expected = DPTImageProcessorPil.from_pretrained(tmp_path)(images=picture, return_tensors="pt").pixel_values
    documented = glpn_cli.DPTImageProcessor(
        **{key: value for key, value in config.preprocessor().items() if key != "image_processor_type"}
    )
    torch.testing.assert_close(documented(picture, return_tensors="pt").pixel_values, expected, rtol=0, atol=1e-6)
    assert config.original_size(size) == tuple(expected.shape[-2:])
    prepared = config.prepare(np.asarray(picture), config.original_size(size))
    torch.testing.assert_close(prepared, expected, rtol=0, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("band_bytes", [1, 5_000, 20_000])
def test_depth_in_bands_equals_depth_in_one(band_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    head, grid = DepthHead(8, hidden=4), torch.rand(2, 8, 9, 13)
    for size in (None, (31, 40), (9, 13), (1, 5)):
        monkeypatch.setattr(decoder_module, "_BAND_BYTES", 2**40)
        whole = head(grid, size)
        monkeypatch.setattr(decoder_module, "_BAND_BYTES", band_bytes)
        torch.testing.assert_close(head(grid, size), whole, rtol=1e-5, atol=1e-6)


def _bilinear_positions(network: DepthAnything) -> None:
    network.encoder.resize = lambda stored, grid: F.interpolate(stored, size=grid, mode="bilinear")


def _smooth_positions(network: DepthAnything) -> None:
    network.encoder.resize = lambda stored, grid: F.interpolate(stored, size=grid, mode="bicubic", antialias=True)


def _no_layer_scale(network: DepthAnything) -> None:
    for module in network.modules():
        if isinstance(module, LayerScale):
            module.factors.data.fill_(1)


def _other_activation_at_the_end(network: DepthAnything) -> None:
    network.head.max_depth_m = 20.0 if network.head.max_depth_m is None else None


def _finest_first(network: DepthAnything) -> None:
    network.blocks_read.reverse()


def _twice_as_large(network: DepthAnything) -> None:
    network.fusion.meets_levels = False


def _not_normed(network: DepthAnything) -> None:
    network.encoder.is_normed = False


BREAKS: dict[str, Callable[[DepthAnything], None]] = {
    "positions, bilinear": _bilinear_positions,
    "positions, smoothed": _smooth_positions,
    "layer scale": _no_layer_scale,
    "ReLU or sigmoid": _other_activation_at_the_end,
    "order of fusion": _finest_first,
    "size of fusion": _twice_as_large,
    "norm": _not_normed,
}


@pytest.mark.parametrize("name", ["relative", "metric"])
@pytest.mark.parametrize("broken", BREAKS.values(), ids=BREAKS)
def test_a_deliberate_break_is_noticed(
    broken: Callable[[DepthAnything], None], folders: Callable[[str], tuple[TheirModel, Path]], name: str
) -> None:
    theirs, folder = folders(name)
    network = ours(folder)
    broken(network)
    assert largest_difference(theirs, network, pixels_for((42, 42))) > 10 * TOLERANCE


def test_registers_are_not_taken_for_patches() -> None:
    config = DepthAnythingConfig(**REGISTERS)
    encoder = Dinov2(config.backbone)
    assert encoder(torch.rand(1, 3, 70, 70)).tokens.shape == (1, 1 + 3 + 25, 32)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"depth_estimation_type": "both"}, "depth_estimation_type = 'both'"),
        ({"patch_size": 16}, "patch_size = 16 does not fit"),
        ({"reassemble_hidden_size": 64}, "reassemble_hidden_size = 64 does not fit"),
        ({"neck_hidden_sizes": [8, 8]}, "reassemble_factors"),
        ({"head_in_index": 4}, "head_in_index = 4"),
        ({"backbone_config": BACKBONE | {"model_type": "swin"}}, "'swin' is not supported"),
        ({"backbone_config": BACKBONE | {"out_indices": [1, 2]}}, "out_indices = "),
        ({"backbone_config": BACKBONE | {"num_attention_heads": 5}}, "num_attention_heads = 5"),
        ({"depth_estimation_type": "metric", "max_depth": None}, "max_depth = None"),
    ],
)
def test_a_config_that_makes_no_network_is_refused_by_name(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        DepthAnythingConfig(**(SMALL | fields))


def test_auto_is_the_published_size_up_to_twice_the_training_area() -> None:
    config = DepthAnythingConfig()
    for size in ((480, 640), (640, 480), (1080, 1920), (100, 120), (3000, 4000)):
        assert config.auto_size(size) == config.original_size(size)
    for size in ((375, 1242), (100, 5000), (1, 20_000), (20_000, 3)):
        height, width = config.auto_size(size)
        assert height % 14 == width % 14 == 0
        assert 0 < height * width <= 2.1 * 518 * 518


def test_the_names_are_those_of_the_files_of_transformers(
    folders: Callable[[str], tuple[TheirModel, Path]],
) -> None:
    for name in ("relative", "SwiGLU", "registers"):
        _, folder = folders(name)
        header = Weights(folder / "model.safetensors").header()
        rows = read_config(json.loads((folder / "config.json").read_text())).weight_rows()
        assert {row.transformers: row.shape for row in rows} == {key: found.shape for key, found in header.items()}
