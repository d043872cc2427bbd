"""The network gives transformers' numbers on the same weights, and every deliberate mistake is noticed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from random_weights_dpt import BACKBONE, HYBRID, LARGE, SMALL, pixels_for, randomized_estimator, randomized_segmenter
from torch import Tensor, nn
from torch.nn import functional as F

from glpn_cli.models.dense import decoder as decoder_module
from glpn_cli.models.dense.decoder import Reassemble
from glpn_cli.models.dense.transformer import PatchEmbedding
from glpn_cli.models.dpt.backbone import StandardizedConv2d
from glpn_cli.models.dpt.config import DPTConfig
from glpn_cli.models.dpt.decoder import ProjectReadout
from glpn_cli.models.dpt.encoder import VisionTransformer
from glpn_cli.models.dpt.network import DPT, cast
from glpn_cli.models.dpt.weights import weight_rows

TOLERANCE = 1e-4  # of the output's range


def ours(theirs: nn.Module, **changed: Any) -> DPT:
    """Our network with their weights."""
    config = DPTConfig.from_dict(theirs.config.to_dict() | {"architectures": [type(theirs).__name__]} | changed)
    network = DPT(config).eval()
    state = theirs.state_dict()
    network.load_state_dict({row.name: state[row.transformers] for row in weight_rows(config)})
    return network


@torch.no_grad()
def their_answer(theirs: Any, pixels: Tensor) -> Tensor:
    """Also for pictures that are not square, for which their model forgets to tell its neck the shape."""
    patch = theirs.config.patch_size
    grid = pixels.shape[2] // patch, pixels.shape[3] // patch
    config = theirs.config
    if config.is_hybrid:
        embedded = theirs.dpt.embeddings(pixels, interpolate_pos_encoding=True)
        states, tokens = list(embedded.intermediate_activations), embedded.last_hidden_states
        wanted = config.backbone_out_indices[2:]
    else:
        states, tokens, wanted = [], theirs.dpt.embeddings(pixels).last_hidden_states, config.backbone_out_indices
    for place, layer in enumerate(theirs.dpt.encoder.layer):
        tokens = layer(tokens)
        states += [tokens] if place in wanted else []
    answer: Tensor = theirs.head(theirs.neck(states, *grid))
    return answer


@torch.no_grad()
def largest_difference(theirs: Any, network: nn.Module, pixels: Tensor) -> float:
    """As a share of the answer's range."""
    if pixels.shape[2] == pixels.shape[3] == theirs.config.image_size:
        answer = theirs(pixels)
        expected = answer.predicted_depth if "predicted_depth" in answer else answer.logits
    else:
        expected = their_answer(theirs, pixels)
    found = network(pixels)
    assert found.shape == expected.shape
    return float((expected - found).abs().max() / (expected.max() - expected.min()))


CONFIGS: dict[str, dict[str, Any]] = {
    "project": SMALL,
    "add": SMALL | {"readout_type": "add"},
    "ignore": SMALL | {"readout_type": "ignore"},
    "batch norm": SMALL | {"use_batch_norm_in_fusion_residual": True},
    "batch norm and biases": SMALL | {"use_batch_norm_in_fusion_residual": True, "use_bias_in_fusion_residual": True},
    "no biases": SMALL | {"use_bias_in_fusion_residual": False, "qkv_bias": False},
    "coarser output": SMALL | {"head_in_index": 1},
    "three levels": SMALL
    | {"backbone_out_indices": [0, 2, 3], "neck_hidden_sizes": [8, 16, 24], "reassemble_factors": [2, 1, 0.5]},
    "other factors": SMALL | {"reassemble_factors": [8, 2, 1, 0.25]},
    "relu": SMALL | {"hidden_act": "relu"},
    "large eps": SMALL | {"layer_norm_eps": 1e-3},
    "hybrid": HYBRID,
    "hybrid with batch norm": HYBRID | {"use_batch_norm_in_fusion_residual": True},
    "hybrid, preactivated": HYBRID | {"backbone_config": BACKBONE | {"layer_type": "preactivation"}},
    "hybrid, dilated": HYBRID
    | {
        "backbone_config": BACKBONE | {"depths": [1, 1, 2, 2], "hidden_sizes": [16, 32, 64, 64], "output_stride": 16},
    },
}


@pytest.mark.parametrize("fields", CONFIGS.values(), ids=CONFIGS)
def test_inverse_depth_equals_transformers(fields: dict[str, Any]) -> None:
    theirs = randomized_estimator(**fields)
    network = ours(theirs)
    for size, batch in (((64, 64), 2), ((64, 96), 1), ((160, 96), 1)):
        assert largest_difference(theirs, network, pixels_for(size, batch=batch, seed=5)) < TOLERANCE


@pytest.mark.parametrize("layer_type", ["preactivation", "bottleneck"])
def test_a_backbone_that_pads_on_all_sides_equals_transformers(layer_type: str) -> None:
    fields = {"global_padding": None, "embedding_dynamic_padding": False, "layer_type": layer_type}
    theirs = randomized_estimator(**(HYBRID | {"backbone_config": BACKBONE})).dpt.embeddings.backbone
    theirs_config = type(theirs.config)(**(theirs.config.to_dict() | fields))
    backbone = type(theirs)(theirs_config).eval()
    config = DPTConfig(**(HYBRID | {"backbone_config": BACKBONE | fields}))
    prefix, theirs_state = "encoder.embedding.backbone.", backbone.state_dict()
    state = {
        row.name.removeprefix(prefix): theirs_state[row.transformers.removeprefix("dpt.embeddings.backbone.")]
        for row in weight_rows(config)
        if row.name.startswith(prefix)
    }
    mine = VisionTransformer(config).eval().embedding.backbone
    mine.load_state_dict(state)
    pixels = pixels_for((96, 128))
    with torch.no_grad():
        for found, expected in zip(mine(pixels), backbone(pixels).feature_maps, strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("fields", [SMALL, HYBRID], ids=["plain", "hybrid"])
@pytest.mark.parametrize("auxiliary", [True, False])
@pytest.mark.parametrize("size", [(64, 64), (96, 64)])
def test_logits_equal_transformers(fields: dict[str, Any], auxiliary: bool, size: tuple[int, int]) -> None:
    theirs = randomized_segmenter(**fields, use_auxiliary_head=auxiliary)
    network = ours(theirs)
    assert (network.auxiliary_head is not None) == auxiliary
    assert largest_difference(theirs, network, pixels_for(size, batch=2)) < TOLERANCE


def test_odd_grids_equal_transformers() -> None:
    theirs = randomized_estimator(**SMALL)
    for size in ((80, 80), (48, 112), (80, 64)):
        assert largest_difference(theirs, ours(theirs), pixels_for(size)) < TOLERANCE


def test_a_projection_before_the_head_equals_transformers() -> None:
    theirs = randomized_estimator(**(SMALL | {"add_projection": True, "fusion_hidden_size": 256}))
    assert largest_difference(theirs, ours(theirs), pixels_for((64, 64))) < TOLERANCE


@pytest.mark.soak
@pytest.mark.parametrize("size", [(384, 384), (384, 512)])
def test_inverse_depth_equals_transformers_at_the_published_size(size: tuple[int, int]) -> None:
    theirs = randomized_estimator(size=(384, 384), **LARGE)
    assert largest_difference(theirs, ours(theirs), pixels_for(size, seed=1)) < TOLERANCE


@pytest.mark.parametrize("fields", [CONFIGS["batch norm"], HYBRID], ids=["plain", "hybrid"])
def test_the_form_made_ready_to_predict_keeps_the_numbers(fields: dict[str, Any]) -> None:
    theirs = randomized_estimator(**fields)
    network = cast(ours(theirs), "fp32")
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    assert largest_difference(theirs, network, pixels_for((64, 64))) < TOLERANCE


@torch.no_grad()
@pytest.mark.parametrize("fields", [SMALL, HYBRID], ids=["plain", "hybrid"])
def test_bf16_stays_close_and_keeps_fine_steps(fields: dict[str, Any]) -> None:
    theirs = randomized_estimator(**fields)
    network = cast(ours(theirs), "bf16")
    exact, quick = theirs(pixels_for((64, 64))).predicted_depth, network(pixels_for((64, 64)))
    assert quick.dtype == torch.float32
    assert float((exact - quick).abs().mean() / exact.mean()) < 0.03
    assert quick.unique().numel() > 0.9 * exact.unique().numel()


def _wrong_eps(network: DPT) -> None:
    for module in network.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = 1e-2


def _readout_before_token(network: DPT) -> None:
    for module in network.modules():
        if isinstance(module, ProjectReadout):
            module.projection.weight.data = module.projection.weight.data.roll(module.width, dims=1)


def _transposed_grid(network: DPT) -> None:
    for module in network.reassemble:
        assert isinstance(module, Reassemble)
        module.projection.register_forward_pre_hook(lambda _module, inputs: (inputs[0].mT,))


def _ignored_statistics(network: DPT) -> None:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.zero_()


def _next_blocks(network: DPT) -> None:
    network.blocks_read = [0, 0, 1, 2]


def _positions_off_by_one(network: DPT) -> None:
    network.encoder.positions.data = network.encoder.positions.data.roll(1, dims=1)


BREAKS: dict[str, Callable[[DPT], None]] = {
    "eps": _wrong_eps,
    "order in the readout projection": _readout_before_token,
    "rows and columns": _transposed_grid,
    "batch-norm statistics": _ignored_statistics,
    "blocks": _next_blocks,
    "positions": _positions_off_by_one,
}


@pytest.mark.parametrize("broken", BREAKS.values(), ids=BREAKS)
def test_a_deliberate_break_is_noticed(broken: Callable[[DPT], None]) -> None:
    theirs = randomized_estimator(**CONFIGS["batch norm"])
    network = ours(theirs)
    broken(network)
    assert largest_difference(theirs, network, pixels_for((64, 64))) > 10 * TOLERANCE


def test_corners_that_are_not_aligned_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = randomized_estimator(**SMALL)
    network = ours(theirs)
    monkeypatch.setattr(
        decoder_module, "upsample", lambda grid, _size=None: F.interpolate(grid, scale_factor=2, mode="bilinear")
    )
    assert largest_difference(theirs, network, pixels_for((64, 64))) > 10 * TOLERANCE


def test_filters_that_are_not_standardised_are_noticed() -> None:
    theirs = randomized_estimator(**HYBRID)
    network = ours(theirs)
    for module in network.modules():
        if isinstance(module, StandardizedConv2d):
            module.is_standardized = True
    assert largest_difference(theirs, network, pixels_for((64, 64))) > 10 * TOLERANCE


def test_the_order_of_fusion_and_projection_does_not_matter_because_they_commute() -> None:
    grid, projection = torch.rand(1, 6, 5, 7), nn.Conv2d(6, 6, 1)
    with torch.no_grad():
        published = projection(decoder_module.upsample(grid))
        torch.testing.assert_close(decoder_module.upsample(projection(grid)), published, rtol=0, atol=1e-6)


def test_only_whole_patches_are_embedded() -> None:
    embedding = PatchEmbedding(3, 32, patch=(16, 16))
    grid, features = embedding(torch.rand(1, 3, 70, 95))
    assert grid.shape == (1, 32, 4, 5)
    assert features == []
