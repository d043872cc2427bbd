"""Layers that more than one family is built from."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from glpn_cli.benchmark.synthetic import read_config as read_known
from glpn_cli.models.config_base import read_config
from glpn_cli.models.layers import PatchConvTranspose2d, StridedConv2d, Unfilled


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"),
    [
        (4, 4, 0, 1),
        ((2, 3), (2, 3), 0, 1),
        (3, 3, 1, 1),
        (3, 2, 1, 1),
        (7, 4, 3, 1),
        (1, 2, 0, 1),
        (3, 2, 2, 2),
        (3, 1, 1, 1),
    ],
)
@pytest.mark.parametrize("size", [(16, 16), (17, 23), (15, 4), (4, 15)])
def test_a_strided_convolution_is_torchs(
    kernel: int, stride: int, padding: int, dilation: int, size: tuple[int, int]
) -> None:
    ours = StridedConv2d(5, 6, kernel, stride, padding, dilation)
    theirs = nn.Conv2d(5, 6, kernel, stride, padding, dilation)
    check_same(ours, theirs, torch.randn(2, 5, *size))


@pytest.mark.parametrize("fields", [{"model_type": "lite_depth"}, *map(read_known, ("b0", "dpt-hybrid", "da2-small"))])
def test_networks_made_unfilled_have_no_memory_and_all_their_tensors(fields: dict[str, Any]) -> None:
    config = read_config(fields)
    with Unfilled():
        network = config.build()
    assert all(tensor.is_meta for tensor in (*network.parameters(), *network.buffers()))
    assert {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()} == config.shapes()
    assert nn.Linear(2, 2).weight.abs().sum() > 0, "outside it all is as before"


@pytest.mark.parametrize("kernel", [2, 3, 4])
def test_a_transposed_convolution_of_patches_is_torchs(kernel: int) -> None:
    check_same(PatchConvTranspose2d(5, 6, kernel), nn.ConvTranspose2d(5, 6, kernel, kernel), torch.randn(2, 5, 3, 4))


def check_same(ours: nn.Module, theirs: nn.Module, grid: torch.Tensor) -> None:
    """The same weights give the same answers and the same gradients."""
    theirs.load_state_dict(ours.state_dict())
    found, gradients = [], []
    for layer in (ours, theirs):
        pixels = grid.clone().requires_grad_()
        found.append(layer(pixels))
        (found[-1] * torch.linspace(-1, 1, found[-1].numel()).view_as(found[-1])).sum().backward()
        gradients.append([pixels.grad, *(parameter.grad for parameter in layer.parameters())])
    torch.testing.assert_close(found[0], found[1])
    for our_gradient, their_gradient in zip(*gradients, strict=True):
        torch.testing.assert_close(our_gradient, their_gradient, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("keys", [300, 1814])
def test_fused_attention_in_bf16_keeps_its_scores_in_fp32_for_any_number_of_threads(keys: int) -> None:
    """Scores rounded to bf16 would be wrong by 0.011 here."""
    random = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(1, 6, n, 64, generator=random).bfloat16() for n in (1814, keys, keys))
    expected = nn.functional.scaled_dot_product_attention(query.double(), key.double(), value.double())
    threads = torch.get_num_threads()
    found = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.append(nn.functional.scaled_dot_product_attention(query, key, value))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(each, found[0]) for each in found)
    assert (found[0].double() - expected).abs().max() / expected.abs().max() < 0.004
