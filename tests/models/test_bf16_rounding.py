"""Weights in bf16 whose layers keep their mean answer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from random_weights import SMALL
from torch import Tensor, nn

from glpn_cli.models.bf16_rounding import mean_inputs, neighbours, rounded_to_bf16
from glpn_cli.models.config_base import read_config
from glpn_cli.models.glpn.config import GLPNConfig
from glpn_cli.models.glpn.network import GLPN, cast
from glpn_cli.models.resolve import resolve_model
from glpn_cli.models.state_dict import load_network


def random_layer(kind: str) -> nn.Linear | nn.Conv2d:
    layers: dict[str, nn.Linear | nn.Conv2d] = {
        "linear": nn.Linear(48, 20),
        "linear without bias": nn.Linear(48, 20, bias=False),
        "convolution": nn.Conv2d(48, 20, 3),
        "depth-wise": nn.Conv2d(48, 48, 3, groups=48),
        "grouped": nn.Conv2d(48, 24, 3, groups=4),
    }
    layer = layers[kind]
    random = torch.Generator().manual_seed(3)
    for parameter in layer.parameters():
        parameter.data = torch.randn(parameter.shape, generator=random)
    return layer


def shift(layer: nn.Linear | nn.Conv2d, weight: Tensor, mean: Tensor) -> Tensor:
    """How far the layer's answer to the mean input moves when weight and bias are rounded."""
    constant = mean if isinstance(layer, nn.Linear) else mean[:, None, None].expand(-1, 3, 3)
    with torch.no_grad():
        exact = layer(constant[None])
        layer.weight.copy_(weight)
        if layer.bias is not None:
            layer.bias.copy_(layer.bias.bfloat16().float())
        return (layer(constant[None]) - exact).abs()


@pytest.mark.parametrize("kind", ["linear", "linear without bias", "convolution", "depth-wise", "grouped"])
def test_the_mean_answer_stays_where_the_nearest_weights_would_move_it(kind: str) -> None:
    mean = torch.rand(48, generator=torch.Generator().manual_seed(1))
    rounded = rounded_to_bf16(random_layer(kind), mean)
    nearest = random_layer(kind).weight.detach().bfloat16().float()
    ours, theirs = shift(random_layer(kind), rounded, mean), shift(random_layer(kind), nearest, mean)
    share = 0.35 if kind == "depth-wise" else 0.05  # a row of nine leaves less to choose from
    assert ours.mean() < share * theirs.mean()


def test_every_weight_goes_to_one_of_its_two_neighbours() -> None:
    layer = random_layer("convolution")
    rounded = rounded_to_bf16(layer, torch.rand(48, generator=torch.Generator().manual_seed(1)))
    below, above = neighbours(layer.weight.detach())
    assert torch.equal(rounded, rounded.bfloat16().float())
    assert bool(((rounded == below) | (rounded == above)).all())
    assert not torch.equal(rounded, below), "no weight was turned"


def test_neighbours_lie_on_both_sides_and_exact_numbers_have_one() -> None:
    values = torch.tensor([0.1, -0.1, 3.14159, -3.14159, 1.0, 0.0, -2.5])
    nearest, other = neighbours(values)
    assert torch.equal(nearest, values.bfloat16().float())
    lower, upper = torch.minimum(nearest, other), torch.maximum(nearest, other)
    assert bool((lower <= values).all())
    assert bool((values <= upper).all())
    assert (nearest == other).tolist() == [False, False, False, False, True, True, True]
    assert bool(((upper - lower)[:4] / values[:4].abs() < 2**-7).all())


class TwoLayers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.linear = nn.Linear(4, 2)

    def forward(self, pixels: Tensor) -> Tensor:
        self.read = pixels
        self.tokens = self.conv(pixels).permute(0, 2, 3, 1)
        answer: Tensor = self.linear(self.tokens)
        return answer


def test_a_network_is_read_on_the_device_where_it_is() -> None:
    network = TwoLayers().to("meta")
    assert [mean.device.type for mean in mean_inputs(network).values()] == ["meta", "meta"]


def test_mean_inputs_are_what_the_layers_read() -> None:
    network = TwoLayers()
    means = mean_inputs(network, side=32)
    torch.testing.assert_close(means[network.conv], network.read.double().mean(dim=(0, 2, 3)))
    torch.testing.assert_close(means[network.linear], network.tokens.mean(dim=(0, 1, 2)))
    assert "forward" not in vars(network.conv), "the layers were not given back"


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(3, 8, 3, padding=1),
        nn.Conv2d(3, 8, 7, 4, padding=3),
        nn.Conv2d(3, 6, 2, 2, bias=False),
        nn.Conv2d(3, 6, 3, padding=1, groups=3),
    ],
    ids=str,
)
def test_the_pass_in_fp64_convolves_as_torch_does(conv: nn.Conv2d) -> None:
    seen = []
    network = nn.Sequential(conv)
    network.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0].double(), output)))
    mean_inputs(network, side=32)
    ((pixels, output),) = seen
    torch.testing.assert_close(output, conv.double()(pixels))


def test_the_rounded_weights_do_not_depend_on_the_number_of_threads() -> None:
    model = resolve_model("mini", offline=True)
    before, states = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            network = read_config(model.config).cast(load_network(model.checkpoint), "bf16")
            states.append(network.state_dict())
    finally:
        torch.set_num_threads(before)
    first, *others = states
    for other in others:
        assert all(torch.equal(tensor, other[name]) for name, tensor in first.items())


def test_the_rounded_weights_do_not_depend_on_the_last_digits_of_the_mean_inputs() -> None:
    random = torch.Generator().manual_seed(7)
    mean = torch.rand(2048, generator=random, dtype=torch.float64)
    other = mean * (1 + 1e-12 * torch.randn(2048, generator=random, dtype=torch.float64))
    for layer in (nn.Conv2d(2048, 2048, 3, groups=2048), nn.Linear(2048, 48)):
        for parameter in layer.parameters():
            parameter.data = torch.randn(parameter.shape, generator=random)
        assert torch.equal(rounded_to_bf16(layer, mean), rounded_to_bf16(layer, other))


@pytest.mark.parametrize("fields", [{"num_channels": 1}, {"strides": [3, 2, 2, 2]}], ids=str)
def test_networks_of_other_channels_and_strides_are_rounded_too(fields: dict[str, Any]) -> None:
    config = GLPNConfig(**SMALL, **fields)
    network = cast(GLPN(config).eval(), "bf16")
    with torch.no_grad():
        depth = network(torch.rand(1, config.num_channels, 96, 96))
    assert torch.isfinite(depth).all()
