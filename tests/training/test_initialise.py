from __future__ import annotations

import torch

from glpn_cli.models.config_base import read_config
from glpn_cli.training.initial_model import initialise


def test_an_untrained_network_says_a_typical_depth_and_not_everywhere_the_same() -> None:
    config = read_config({"model_type": "glpn", "max_depth": 10})
    pixels = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    means = []
    for seed in range(4):  # one network's mean is a draw, from 1.5 to 3.5 m
        network = config.build().eval()
        initialise(network, seed=seed)
        with torch.no_grad():
            depth = network(pixels)
        means.append(float(depth.mean()))
        # transformers' standard deviation of 0.02 leaves 0.01 m.
        assert depth.std() > 0.05
    assert 1.5 < sum(means) / len(means) < 4


def test_the_same_seed_gives_the_same_weights() -> None:
    config = read_config({"model_type": "glpn", "hidden_sizes": [8, 8, 10, 16], "decoder_hidden_size": 8})
    networks = [config.build() for _ in range(3)]
    for network, seed in zip(networks, (1, 1, 2), strict=True):
        initialise(network, seed=seed)
    first, again, other = (network.state_dict()["head.conv.weight"] for network in networks)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
