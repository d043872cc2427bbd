from __future__ import annotations

import pytest
import torch
from torch import nn

from glpn_cli.training.trainer import RunningAverage


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))


def test_the_average_follows_its_formula_with_a_lower_decay_early_on() -> None:
    net = network()
    average = RunningAverage(net, decay=0.9)
    expected = net[0].weight.detach().clone()
    for update in range(1, 101):
        with torch.no_grad():
            net[0].weight.add_(1)
        average.update(net)
        decay = min(0.9, (1 + update) / (10 + update))
        expected = decay * expected + (1 - decay) * net[0].weight.detach()
    assert torch.allclose(average.values["0.weight"], expected, rtol=1e-5)


def test_batch_norm_statistics_are_averaged_and_counters_copied() -> None:
    net = network()
    average = RunningAverage(net, decay=0.5)
    net.train()
    net(torch.randn(4, 1, 3, 3) + 5)
    average.update(net)
    assert average.values["1.num_batches_tracked"] == 1
    assert average.values["1.running_mean"].abs().sum() > 0
    assert not torch.equal(average.values["1.running_mean"], net[1].running_mean)


def test_a_network_borrows_the_average_and_gets_its_own_weights_back() -> None:
    net = network()
    average = RunningAverage(net, decay=0.9)
    own = net[0].weight.detach().clone() + 1
    with torch.no_grad():
        net[0].weight.copy_(own)
    with average.lent_to(net):
        assert torch.equal(net[0].weight, own - 1)
    assert torch.equal(net[0].weight, own)


def test_a_network_gets_its_own_weights_back_after_an_error_too() -> None:
    net = network()
    average = RunningAverage(net, decay=0.9)
    with torch.no_grad():
        net[0].weight.add_(1)
    own = net[0].weight.detach().clone()

    def break_inside() -> None:
        with average.lent_to(net):
            raise KeyError

    with pytest.raises(KeyError):
        break_inside()
    assert torch.equal(net[0].weight, own)


def test_a_saved_average_goes_on_where_it_was() -> None:
    net = network()
    one, two = RunningAverage(net, decay=0.99), RunningAverage(net, decay=0.99)
    with torch.no_grad():
        net[0].weight.add_(1)
    one.update(net)
    saved = {
        name: value.clone() if isinstance(value, torch.Tensor) else value for name, value in one.state_dict().items()
    }
    two.load_state_dict(saved)
    one.update(net)
    two.update(net)
    assert two.updates == 2
    assert torch.equal(one.values["0.weight"], two.values["0.weight"])
