"""Costs are told without torch, and are those of the real network."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from random_weights_depth_anything import BACKBONE, METRIC, REGISTERS, SMALL
from torch.utils.flop_counter import FlopCounterMode

from glpn_cli.models.dense import decoder as decoder_module
from glpn_cli.models.depth_anything.config import DepthAnythingConfig
from glpn_cli.models.depth_anything.network import DepthAnything


@pytest.mark.parametrize(
    "fields",
    [
        METRIC,
        REGISTERS,
        SMALL | {"head_in_index": 1},
        SMALL | {"backbone_config": BACKBONE | {"use_swiglu_ffn": True}},
        {"backbone_config": None},
    ],
    ids=["metric", "registers", "coarser", "SwiGLU", "published"],
)
@pytest.mark.parametrize("size", [(70, 70), (98, 168)])
def test_cost_is_what_a_flop_counter_counts(
    fields: dict[str, Any], size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # which the meta device does not know
    monkeypatch.setattr(decoder_module, "_BAND_BYTES", 2**40)  # in one band, so that no row is counted twice
    config = DepthAnythingConfig(**fields)
    with torch.device("meta"):
        network = DepthAnything(config).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.empty(1, 3, *size, device="meta"))
    assert 2 * config.cost(size).macs == counter.get_total_flops()
