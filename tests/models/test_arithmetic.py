"""Layers in every precision against fp64, and networks in bf16 against fp32: on this processor, and on one without AMX.

A fault of a processor's kernels shows on that processor alone, and in small and thin shapes alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import random_weights
import random_weights_dpt
import torch
from torch import Tensor, nn

from glpn_cli.models import layers
from glpn_cli.models.arithmetic import check_layers
from glpn_cli.models.config_base import read_config
from glpn_cli.prediction import DepthKind

_STAGES = {"depths": [1, 1, 1, 1], "num_attention_heads": [1, 1, 2, 4], "decoder_hidden_size": 16}
CONFIGS: dict[str, dict[str, Any]] = {
    **{f"glpn {width}": {"model_type": "glpn", "hidden_sizes": [width] * 4, **_STAGES} for width in (8, 16, 24, 32)},
    "dpt": {"model_type": "dpt", **random_weights_dpt.SMALL},
    "dpt hybrid": {"model_type": "dpt", **random_weights_dpt.HYBRID},
    "dpt labels": {
        "model_type": "dpt",
        "architectures": ["DPTForSemanticSegmentation"],
        "id2label": random_weights_dpt.LABELS,
        **random_weights_dpt.SMALL,
    },
}
SIZES = {(32, 32): 4, (96, 64): 4, (2048, 32): 2, (32, 2048): 2}
"""(h, w), and how many pictures of it: all but the smallest have pixels enough for a mean and a maximum."""
_FACTOR = 3
"""How much further from fp32 than the same roundings made in fp32 are: which way each goes is chance, and few count."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """One thread computes whole layers, so that what it leaves unwritten shows; and tests side by side do not wait."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_layers_are_right_as_the_models_compute_them(precision: str) -> None:
    wrong = {check.kind: check for check in check_layers(precision) if check.wrong_in_models}
    assert not wrong


def test_the_check_finds_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    right = layers.StridedConv2d.forward

    def forward(layer: layers.StridedConv2d, grid: Tensor) -> Tensor:
        answer = right(layer, grid)
        planted = 1.1 if layer.out_channels > 16 else float("nan")
        return answer * planted if answer.shape[3] == 1 and layer.kernel_size == (3, 3) else answer

    monkeypatch.setattr(layers.StridedConv2d, "forward", forward)
    wrong = {check.kind: check.wrong_in_models for check in check_layers("fp32") if check.wrong_in_models}
    assert wrong == {"strided convolutions": 12}, "6 widths, 2 grids of one column"


@torch.no_grad()
@pytest.mark.parametrize("name", CONFIGS)
def test_a_network_in_bf16_is_near_fp32_and_answers_the_same_every_time(name: str) -> None:
    exact, quick, rounded = (make_network(CONFIGS[name], precision) for precision in ("fp32", "bf16", "fp32"))
    round_to_bf16(rounded)
    for size, batch in SIZES.items():
        pixels = random_weights.picture(size, batch=batch)
        wanted, found, expected = exact(pixels), quick(pixels), rounded(pixels)
        error, allowed = (found - wanted).abs(), _FACTOR * (expected - wanted).abs()
        assert error.mean() < allowed.mean(), size
        assert error.max() < allowed.max(), size
        answers = []
        for _ in range(3):  # a number that a layer left unwritten showed in the second
            leave_rubbish()
            answers.append(quick(pixels[:1]))
        assert all(torch.equal(answer, answers[0]) for answer in answers), size


@pytest.mark.skipif("ONEDNN_MAX_CPU_ISA" in os.environ, reason="this is the process of its own")
@pytest.mark.skipif(not torch.cpu._is_amx_tile_supported(), reason="the tests above ran on a processor without AMX")
@pytest.mark.parametrize("which", ["layers and bf16 or 24 or hybrid", pytest.param("bf16", marks=pytest.mark.soak)])
def test_the_same_holds_in_bf16_on_a_processor_without_amx(which: str) -> None:
    """Every kind of layer and two networks; all networks are a soak."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", which]
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout


def make_network(raw: dict[str, Any], precision: str) -> nn.Module:
    config = read_config(raw)
    network = config.build().eval()
    random_weights.randomise(network)
    if config.kind is DepthKind.DISPARITY:
        random_weights_dpt.randomize(network, network.head.output, random_weights.picture((96, 64)))
    return config.cast(network, precision)


def round_to_bf16(network: nn.Module) -> None:
    """Let a network round its weights and every layer's answer to bf16, and compute in fp32."""
    for layer in network.modules():
        for parameter in layer.parameters(recurse=False):
            parameter.copy_(parameter.bfloat16())
        if not list(layer.children()) and layer is not network.head.output:
            layer.register_forward_hook(lambda _layer, _inputs, answer: answer.bfloat16().float())


def leave_rubbish() -> None:
    """Fill memory and give it back, so that a number that nobody writes changes the answer."""
    number = float(torch.rand(())) * 1e4
    for size in range(6, 20):
        torch.full((2**size,), number, dtype=torch.bfloat16)
