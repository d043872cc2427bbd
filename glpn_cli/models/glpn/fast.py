"""The network made ready to predict: surgery on weights, the same forward."""

from __future__ import annotations

import torch
from torch import nn

from glpn_cli.models.folding import fold
from glpn_cli.models.glpn.decoder import SelectiveFeatureFusion
from glpn_cli.models.glpn.network import GLPN

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@torch.no_grad()
def cast(network: nn.Module, precision: str) -> nn.Module:
    """`network`, changed in place: batch norms folded, then fp32, bf16 or fp16, channels-last in memory.

    The head's last convolution stays fp32, and with it the sigmoid and everything after; see `DepthHead`.
    """
    assert isinstance(network, GLPN)
    assert not network.training, "batch norms can be folded only where their statistics stand still"
    for fusion in network.decoder.fusions:
        assert isinstance(fusion, SelectiveFeatureFusion)
        fusion.norm1 = fold(fusion.conv1, fusion.norm1)
        fusion.norm2 = fold(fusion.conv2, fusion.norm2)
    network.to(dtype=_DTYPES[precision])
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # documented, not in the stubs
    network.head.output.float()
    return network
