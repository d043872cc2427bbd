"""Norms whose statistics stand still, moved into the convolutions before them."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def fold(conv: nn.Conv2d, norm: nn.Module) -> nn.Module:
    """Move a batch norm's scale and shift into the convolution before it; what is left does nothing."""
    if not isinstance(norm, nn.BatchNorm2d):
        return norm
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    shift = norm.bias - norm.running_mean * scale
    conv.weight.copy_(conv.weight * scale[:, None, None, None])
    conv.bias = nn.Parameter(shift if conv.bias is None else conv.bias * scale + shift)
    return nn.Identity()
