"""The network made ready to predict: surgery on weights, the same forward."""

from __future__ import annotations

import torch
from torch import nn

from glpn_cli.models.dpt.backbone import StandardizedConv2d
from glpn_cli.models.dpt.fusion import ResidualConvUnit
from glpn_cli.models.dpt.heads import DepthHead, LabelHead
from glpn_cli.models.dpt.network import DPT
from glpn_cli.models.folding import fold
from glpn_cli.models.layers import DTYPES


@torch.no_grad()
def cast(network: nn.Module, precision: str) -> nn.Module:
    """`network`, changed in place: filters standardised, batch norms folded, then fp32, bf16 or fp16, channels-last.

    The heads' last convolution stays fp32, and with it everything after; see `DepthHead`.
    """
    assert isinstance(network, DPT)
    assert not network.training, "batch norms can be folded only where their statistics stand still"
    network.auxiliary_head = None  # only training asks it
    for module in network.modules():
        if isinstance(module, StandardizedConv2d):
            module.weight.copy_(module.standardized())
            module.is_standardized = True
        elif isinstance(module, ResidualConvUnit):
            module.norm1 = fold(module.conv1, module.norm1)
            module.norm2 = fold(module.conv2, module.norm2)
        elif isinstance(module, LabelHead):
            module.norm = fold(module.conv, module.norm)
    network.to(dtype=DTYPES[precision])
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # documented, not in the stubs
    assert isinstance(network.head, DepthHead | LabelHead)
    network.head.output.float()
    return network
