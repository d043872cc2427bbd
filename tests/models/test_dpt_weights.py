"""Names, shapes and costs are told without torch, and are those of the real network."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from random_weights_dpt import BACKBONE, HYBRID, LABELS, LARGE, SMALL
from torch.utils.flop_counter import FlopCounterMode
from transformers import DPTConfig as TheirConfig
from transformers import DPTForDepthEstimation, DPTForSemanticSegmentation, DPTModel

from glpn_cli.models.dense import decoder as decoder_module
from glpn_cli.models.dpt.config import DPTConfig
from glpn_cli.models.dpt.network import DPT
from glpn_cli.models.dpt.weights import cost, pooler_rows, weight_rows
from glpn_cli.models.state_dict import StateDictMatch

PUBLISHED_HYBRID: dict[str, Any] = {
    "is_hybrid": True,
    "neck_hidden_sizes": [256, 512, 768, 768],
    "reassemble_factors": [1, 1, 1, 0.5],
}
CONFIGS: dict[str, dict[str, Any]] = {
    "base": {},
    "large": LARGE,
    "published hybrid": PUBLISHED_HYBRID,
    "small": SMALL,
    "ignore": SMALL | {"readout_type": "ignore", "qkv_bias": False},
    "batch norm": SMALL | {"use_batch_norm_in_fusion_residual": True},
    "with a projection": SMALL | {"add_projection": True, "fusion_hidden_size": 256},
    "three levels": SMALL
    | {"backbone_out_indices": [0, 2, 3], "neck_hidden_sizes": [8, 16, 24], "reassemble_factors": [2, 1, 0.25]},
    "hybrid": HYBRID,
    "preactivated hybrid": HYBRID
    | {"backbone_config": BACKBONE | {"layer_type": "preactivation", "depths": [1, 1, 2, 1], "output_stride": 16,
                                      "hidden_sizes": [16, 32, 64, 64]}},
}  # fmt: skip
SMALL_AND_PUBLISHED = [
    pytest.param(CONFIGS[name], id=name, marks=[pytest.mark.soak] * (name in ("base", "large", "published hybrid")))
    for name in CONFIGS
]
"""Layers of any width cost by the same rules; a forward pass of the published ones takes seconds."""

CLASSES = [DPTForDepthEstimation, DPTForSemanticSegmentation]


def config_for(fields: dict[str, Any], their_class: type) -> DPTConfig:
    return DPTConfig(**fields, architectures=[their_class.__name__], id2label=LABELS)


@pytest.mark.parametrize("fields", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("their_class", CLASSES)
def test_names_are_a_bijection_with_transformers(fields: dict[str, Any], their_class: type) -> None:
    with torch.device("meta"):
        theirs = their_class(TheirConfig(**fields, id2label=LABELS, label2id={})).state_dict()
    rows = list(weight_rows(config_for(fields, their_class)))
    assert len({row.name for row in rows}) == len(rows)
    assert {row.transformers: row.shape for row in rows} == {name: tuple(t.shape) for name, t in theirs.items()}


@pytest.mark.parametrize("fields", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("their_class", CLASSES)
def test_shapes_and_parts_are_those_of_the_network(fields: dict[str, Any], their_class: type) -> None:
    config = config_for(fields, their_class)
    with torch.device("meta"):
        network = DPT(config)
    assert config.shapes() == {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert sum(config.parts().values()) == sum(p.numel() for p in network.parameters())


def test_a_bare_model_has_a_pooler_besides_its_part() -> None:
    with torch.device("meta"):
        theirs = DPTModel(TheirConfig(**SMALL, pooler_output_size=7)).state_dict()
    config = DPTConfig(**SMALL, pooler_output_size=7)
    rows = [*weight_rows(config), *pooler_rows(config)]
    bare = {r.transformers.removeprefix("dpt."): r.shape for r in rows if r.name.startswith(("encoder.", "pooler."))}
    assert bare == {name: tuple(tensor.shape) for name, tensor in theirs.items()}


def test_parameters_are_as_many_as_published() -> None:
    assert sum(DPTConfig(**LARGE).parts().values()) == pytest.approx(343e6, rel=0.01)
    assert sum(DPTConfig(**PUBLISHED_HYBRID).parts().values()) == pytest.approx(123e6, rel=0.01)


@pytest.mark.parametrize("fields", SMALL_AND_PUBLISHED)
@pytest.mark.parametrize("their_class", CLASSES)
def test_cost_is_what_a_flop_counter_counts(
    fields: dict[str, Any], their_class: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # which the meta device does not know
    monkeypatch.setattr(decoder_module, "_BAND_BYTES", 2**40)  # in one band, so that no row is counted twice
    config = config_for(fields, their_class)
    with torch.device("meta"):
        network = DPT(config).eval()
    for size in ((64, 96), (160, 224)):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(torch.empty(1, 3, *size, device="meta"))
        assert 2 * cost(config, size).macs == counter.get_total_flops()


def test_published_files_lack_what_the_coarsest_step_never_uses() -> None:
    config = DPTConfig(**SMALL)
    found = {row.transformers: row.shape for row in weight_rows(config)}
    lacking = {name: shape for name, shape in found.items() if "fusion_stage.layers.0.residual_layer1" not in name}
    assert len(found) - len(lacking) == 4
    assert StateDictMatch.of(weight_rows(config), lacking).is_exact
    assert StateDictMatch.of(weight_rows(config), found).is_exact
    del lacking["neck.fusion_stage.layers.1.residual_layer1.convolution1.bias"]
    assert StateDictMatch.of(weight_rows(config), lacking).missing == (
        "neck.fusion_stage.layers.1.residual_layer1.convolution1.bias",
    )
