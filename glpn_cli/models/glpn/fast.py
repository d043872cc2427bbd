"""The network made ready to predict: surgery on weights, the same forward."""

from __future__ import annotations

import math

import torch
from torch import nn

from glpn_cli.models.bf16_rounding import mean_inputs, rounded_to_bf16
from glpn_cli.models.folding import fold
from glpn_cli.models.glpn.decoder import SelectiveFeatureFusion
from glpn_cli.models.glpn.encoder import Stage
from glpn_cli.models.glpn.network import GLPN
from glpn_cli.models.layers import DTYPES, LayerNorm

_ENOUGH = 64
"""Pixels a side that show what layers read on average."""


@torch.no_grad()
def cast(network: nn.Module, precision: str) -> nn.Module:
    """`network`, changed in place: batch norms folded, then fp32, bf16 or fp16, channels-last in memory.

    The tokens between the blocks stay fp32, as do the norms that read them: only what is multiplied is rounded. So does
    the head's last convolution, and with it the sigmoid and everything after; see `DepthHead`.
    """
    assert isinstance(network, GLPN)
    assert not network.training, "batch norms can be folded only where their statistics stand still"
    for fusion in network.decoder.fusions:
        assert isinstance(fusion, SelectiveFeatureFusion)
        fusion.norm1 = fold(fusion.conv1, fusion.norm1)
        fusion.norm2 = fold(fusion.conv2, fusion.norm2)
    dtype = DTYPES[precision]
    side = math.ceil(_ENOUGH / network.stride) * network.stride
    means = mean_inputs(network, channels=network.channels, side=side) if precision == "bf16" else {}
    for module in network.modules():
        if isinstance(module, LayerNorm):
            module.keep_fp32(answer=dtype)
        elif isinstance(module, nn.Linear | nn.Conv2d) and module is not network.head.output:
            if module in means:
                module.weight.copy_(rounded_to_bf16(module, means[module]))
            module.to(dtype)
    for stage in network.encoder.stages:
        assert isinstance(stage, Stage)
        stage.patch_embedding.norm.keep_fp32(answer=torch.float32)  # here the tokens begin
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # documented, not in the stubs
    return network
