"""Names, shapes and costs are told without torch, and are those of the real network."""

from __future__ import annotations

import pytest
import torch
from random_weights import PUBLISHED, SMALL
from torch.utils.flop_counter import FlopCounterMode
from transformers import GLPNConfig as TheirConfig
from transformers import GLPNForDepthEstimation as TheirModel

from glpn_cli.models.glpn.config import GLPNConfig
from glpn_cli.models.glpn.decoder import upsample
from glpn_cli.models.glpn.network import GLPN
from glpn_cli.models.glpn.weights import cost, weight_rows
from glpn_cli.models.state_dict import StateDictMatch

CONFIGS = {
    "b0": {},
    "published": PUBLISHED,
    "small": SMALL,
    "three stages": {
        "num_encoder_blocks": 3,
        "depths": [1, 1, 2],
        "hidden_sizes": [8, 16, 24],
        "num_attention_heads": [1, 2, 3],
        "sr_ratios": [4, 2, 1],
        "patch_sizes": [7, 3, 3],
        "strides": [4, 2, 2],
        "mlp_ratios": [4, 2, 4],
        "decoder_hidden_size": 8,
    },
}


def meta_network(fields: dict[str, object]) -> GLPN:
    with torch.device("meta"):
        return GLPN(GLPNConfig(**fields)).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize("fields", CONFIGS.values(), ids=CONFIGS)
def test_shapes_are_those_of_the_state_dict(fields: dict[str, object]) -> None:
    state = meta_network(fields).state_dict()
    assert GLPNConfig(**fields).shapes() == {name: tuple(tensor.shape) for name, tensor in state.items()}


@pytest.mark.parametrize("fields", CONFIGS.values(), ids=CONFIGS)
def test_names_are_a_bijection_with_transformers(fields: dict[str, object]) -> None:
    with torch.device("meta"):
        theirs = TheirModel(TheirConfig(**fields)).state_dict()
    rows = list(weight_rows(GLPNConfig(**fields)))
    assert len({row.name for row in rows}) == len(rows)
    assert {row.transformers: row.shape for row in rows} == {name: tuple(t.shape) for name, t in theirs.items()}


def test_parameters_are_as_many_as_published() -> None:
    assert sum(GLPNConfig(**PUBLISHED).parts().values()) == 61_220_903
    assert sum(GLPNConfig().parts().values()) == 3_664_839


@pytest.mark.parametrize("fields", CONFIGS.values(), ids=CONFIGS)
def test_parts_add_up_to_the_parameters(fields: dict[str, object]) -> None:
    network = meta_network(fields)
    found = {
        part: sum(p.numel() for p in getattr(network, part).parameters()) for part in ("encoder", "decoder", "head")
    }
    assert GLPNConfig(**fields).parts() == found


@pytest.mark.parametrize("fields", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("size", [(64, 96), (160, 224)])
def test_cost_is_what_a_flop_counter_counts(fields: dict[str, object], size: tuple[int, int]) -> None:
    network = meta_network(fields)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        features = network.decoder(network.encoder(torch.empty(1, 3, *size, device="meta")))[-1]
        network.head.output(network.head.conv(upsample(upsample(features))))
    assert 2 * cost(GLPNConfig(**fields), size).macs == counter.get_total_flops()


def test_published_costs_are_those_measured() -> None:
    config = GLPNConfig(**PUBLISHED)
    assert cost(config, (480, 640)).macs == pytest.approx(78.3e9, rel=1e-3)
    assert cost(config, (352, 1216)).macs == pytest.approx(115.5e9, rel=1e-3)


def test_every_trouble_of_a_file_is_listed_by_name() -> None:
    config = GLPNConfig(**SMALL)
    found = {row.transformers: row.shape for row in weight_rows(config)}
    found["classifier.weight"] = (10, 10)
    del found["head.head.2.bias"]
    found["head.head.0.bias"] = (3,)
    match = StateDictMatch.of(weight_rows(config), found)
    assert match.missing == ("head.head.2.bias",)
    assert match.unexpected == ("classifier.weight",)
    assert match.misshapen == ("head.head.0.bias should be [16], is [3]",)


def test_counters_may_be_absent_and_a_bare_encoder_may_drop_its_prefix() -> None:
    config = GLPNConfig(**SMALL)
    rows = list(weight_rows(config))
    without_counters = {row.transformers: row.shape for row in rows if not row.is_counter}
    assert StateDictMatch.of(rows, without_counters).is_exact
    bare = {r.transformers.removeprefix("glpn."): r.shape for r in rows if r.name.startswith("encoder.")}
    assert StateDictMatch.of(rows, bare, part="encoder.", base_prefix="glpn.").is_exact
    assert StateDictMatch.of(rows, without_counters, part="encoder.", base_prefix="glpn.").is_exact
    assert not StateDictMatch.of(rows, bare).is_exact
