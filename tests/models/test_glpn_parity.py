"""The network gives transformers' numbers on the same weights, and every deliberate mistake is noticed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from random_weights import PUBLISHED, SMALL, picture, randomized_model
from torch import nn
from torch.nn import functional as F
from transformers import GLPNForDepthEstimation as TheirModel

from glpn_cli.models.glpn import decoder as decoder_module
from glpn_cli.models.glpn import network as network_module
from glpn_cli.models.glpn.config import GLPNConfig
from glpn_cli.models.glpn.decoder import SelectiveFeatureFusion
from glpn_cli.models.glpn.network import GLPN, cast
from glpn_cli.models.glpn.weights import weight_rows

TOLERANCE = 1e-5  # of max_depth


def ours(theirs: TheirModel, **changed: object) -> GLPN:
    """Our network with their weights."""
    config = GLPNConfig.from_dict(theirs.config.to_dict() | changed)
    network = GLPN(config).eval()
    state = theirs.state_dict()
    network.load_state_dict({row.name: state[row.transformers] for row in weight_rows(config)})
    return network


@torch.no_grad()
def largest_difference(theirs: TheirModel, network: nn.Module, pixels: torch.Tensor) -> float:
    """As a share of max_depth."""
    difference = (theirs(pixels).predicted_depth - network(pixels)).abs().max()
    return float(difference) / theirs.config.max_depth


CONFIGS = {
    "small": SMALL,
    "b0": {},
    "80 m": SMALL | {"max_depth": 80},
    "wide head": SMALL | {"decoder_hidden_size": 20, "num_attention_heads": [2, 4, 4, 2]},
    "other reductions": SMALL | {"sr_ratios": [4, 2, 1, 1], "mlp_ratios": [2, 3, 4, 1]},
    "other kernels": SMALL | {"patch_sizes": [3, 5, 3, 3], "strides": [2, 2, 2, 2]},
    "three stages": {
        "num_encoder_blocks": 3,
        "depths": [1, 1, 2],
        "hidden_sizes": [8, 16, 24],
        "num_attention_heads": [1, 2, 3],
        "sr_ratios": [4, 2, 1],
        "patch_sizes": [7, 3, 3],
        "strides": [4, 2, 2],
        "mlp_ratios": [4, 4, 4],
        "decoder_hidden_size": 8,
    },
    "relu": SMALL | {"hidden_act": "relu"},
    "gelu_new": SMALL | {"hidden_act": "gelu_new"},
    "coarser output": SMALL | {"head_in_index": 1},
}


@pytest.mark.parametrize("fields", CONFIGS.values(), ids=CONFIGS)
def test_depth_equals_transformers(fields: dict[str, object]) -> None:
    theirs = randomized_model(**fields)
    network = ours(theirs)
    for size, batch in (((64, 96), 3), ((160, 96), 1)):
        assert largest_difference(theirs, network, picture(size, batch=batch, seed=5)) < TOLERANCE


@pytest.mark.parametrize("size", [(480, 640), (352, 1216)])
def test_depth_equals_transformers_at_the_published_picture_sizes(size: tuple[int, int]) -> None:
    theirs = randomized_model()
    assert largest_difference(theirs, ours(theirs), picture(size)) < TOLERANCE


def test_depth_equals_transformers_at_the_published_network_size() -> None:
    theirs = randomized_model(size=(64, 96), **PUBLISHED)
    assert largest_difference(theirs, ours(theirs), picture((64, 96), seed=1)) < TOLERANCE


@pytest.mark.soak
@pytest.mark.parametrize("size", [(480, 640), (352, 1216)])
def test_depth_equals_transformers_at_the_published_network_and_picture_sizes(size: tuple[int, int]) -> None:
    theirs = randomized_model(size=size, **PUBLISHED)
    assert largest_difference(theirs, ours(theirs), picture(size, seed=1)) < TOLERANCE


def test_folding_batch_norms_keeps_the_numbers() -> None:
    theirs = randomized_model(**SMALL)
    folded = cast(ours(theirs), "fp32")
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert largest_difference(theirs, folded, picture((64, 96))) < TOLERANCE


@pytest.mark.parametrize(
    ("fields", "size"), [({}, (224, 288)), (PUBLISHED, (96, 128))], ids=["b0", "published network"]
)
def test_bf16_stays_within_two_parts_in_a_thousand_and_keeps_fine_steps(
    fields: dict[str, object], size: tuple[int, int]
) -> None:
    theirs = randomized_model(size=size, span=0.9, **fields)
    network = cast(ours(theirs), "bf16")
    with torch.no_grad():
        exact, quick = theirs(picture(size, seed=5)).predicted_depth, network(picture(size, seed=5))
    assert quick.dtype == torch.float32
    assert float(((exact - quick) / exact).abs().mean()) < 0.002
    assert _millimetres(quick) > 0.9 * _millimetres(exact)


def _millimetres(depth: torch.Tensor) -> int:
    return (depth * 1000).round().unique().numel()


def _wrong_eps(network: GLPN) -> None:
    for module in network.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = 1e-3


def _swapped_fusion_channels(network: GLPN) -> None:
    for fusion in network.decoder.fusions:
        assert isinstance(fusion, SelectiveFeatureFusion)
        fusion.attention.weight.data = fusion.attention.weight.data.flip(0)
        fusion.attention.bias.data = fusion.attention.bias.data.flip(0)


def _shifted_reduction(network: GLPN) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.stride == module.kernel_size:
            module.weight.data = module.weight.data.flip(-1)


def _ignored_statistics(network: GLPN) -> None:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.zero_()


BREAKS: dict[str, Callable[[GLPN], None]] = {
    "eps": _wrong_eps,
    "order of fusion channels": _swapped_fusion_channels,
    "reduction": _shifted_reduction,
    "batch-norm statistics": _ignored_statistics,
}


@pytest.mark.parametrize("broken", BREAKS.values(), ids=BREAKS)
def test_a_deliberate_break_is_noticed(broken: Callable[[GLPN], None]) -> None:
    theirs = randomized_model(**SMALL)
    network = ours(theirs)
    broken(network)
    assert largest_difference(theirs, network, picture((64, 96))) > 10 * TOLERANCE


def test_aligned_corners_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = randomized_model(**SMALL)
    network = ours(theirs)
    for module in (decoder_module, network_module):
        monkeypatch.setattr(
            module, "upsample", lambda grid: F.interpolate(grid, scale_factor=2, mode="bilinear", align_corners=True)
        )
    assert largest_difference(theirs, network, picture((64, 96))) > 10 * TOLERANCE


def test_the_eps_of_the_author_is_noticed() -> None:
    theirs = randomized_model(**SMALL)
    author = ours(theirs, layer_norm_eps=1e-3, glpn_cli={"layer_norm_eps_mode": "author"})
    assert largest_difference(theirs, author, picture((64, 96))) > 10 * TOLERANCE


def test_selu_which_the_oracle_cannot_do_equals_its_closed_form() -> None:
    theirs = randomized_model(**SMALL)
    closed = ours(theirs)
    scale, alpha = 1.0507009873554805, 1.6732632423543772
    by_name = ours(theirs, hidden_act="selu")
    for module in closed.modules():
        if hasattr(module, "activation"):
            module.activation = lambda x: scale * torch.where(x > 0, x, alpha * (x.exp() - 1))
    with torch.no_grad():
        torch.testing.assert_close(by_name(picture((64, 96))), closed(picture((64, 96))), rtol=0, atol=1e-4)


@torch.no_grad()
def test_a_batch_equals_its_pictures_one_by_one() -> None:
    network = ours(randomized_model(**SMALL))
    pixels = picture((64, 96), batch=3)
    single = torch.cat([network(one[None]) for one in pixels])
    torch.testing.assert_close(network(pixels), single, rtol=0, atol=10 * TOLERANCE)


@torch.no_grad()
@pytest.mark.parametrize(
    "fields", [SMALL, SMALL | {"head_in_index": 1}], ids=["to the last step", "to an earlier step"]
)
@pytest.mark.parametrize("band_bytes", [1, 20_000, 50_000])
def test_depth_in_bands_equals_depth_in_one(
    fields: dict[str, object], band_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = ours(randomized_model(**fields))
    pixels = picture((160, 96), batch=2)
    with torch.enable_grad():
        whole = network(pixels)
    monkeypatch.setattr(network_module, "_BAND_BYTES", band_bytes)
    torch.testing.assert_close(network(pixels), whole, rtol=0, atol=1e-5)
