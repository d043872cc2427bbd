"""Pictures into tensors and answers back to pictures, exactly as published.

The published rule: to the network's size by Pillow's bicubic filter on uint8, then / 255, mean and deviation one half.
Inverse depth comes back bicubic, logits bilinear, corners not aligned.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from glpn_cli.models.image_processor import resize_depth
from glpn_cli.models.picture_arrays import UNIT

_CENTRED = (UNIT - np.float32(0.5)) / np.float32(0.5)
"""What each uint8 becomes in [-1, 1]."""

LOWEST_SHARE = 1e-4
"""Inverse depth is never brought back under this share of the picture's largest: 0 would be infinitely far."""
_LEAST = 1e-6
_LABELS_AT_ONCE = 8


def prepare(rgb: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
    """uint8 (H, W, 3) -> float32 (1, 3, h, w) in [-1, 1]."""
    if rgb.shape[:2] != size:
        rgb = np.asarray(Image.fromarray(rgb).resize(size[::-1], Image.Resampling.BICUBIC))
    return torch.from_numpy(_CENTRED[rgb.transpose(2, 0, 1)])[None]


def restore(disparity: Tensor, size: tuple[int, int]) -> NDArray[np.float32]:
    """Inverse depth float32 (h, w) -> float32 (H, W), bicubic, > 0.

    The head's last activation and bicubic undershoot leave zeros and less where things are far away.
    """
    resized = resize_depth(disparity, size)
    restored: NDArray[np.float32] = resized.clamp(min=max(float(resized.max()) * LOWEST_SHARE, _LEAST)).cpu().numpy()
    return restored


def restore_labels(logits: Tensor, size: tuple[int, int]) -> NDArray[np.unsignedinteger]:
    """Logits (labels, h, w) -> uint8, or uint16 for more than 256 labels, (H, W): the highest, the first among equals.

    A few labels at a time, so that a large picture does not need the memory of all of them at its own size.
    Raises ValueError for scores that are not finite.
    """
    if not torch.isfinite(logits).all():
        raise ValueError("its scores are not finite")
    best = logits.new_full(size, -torch.inf)
    labels = torch.zeros(size, dtype=torch.int32, device=logits.device)
    for first in range(0, len(logits), _LABELS_AT_ONCE):
        some = logits[None, first : first + _LABELS_AT_ONCE]
        score, label = F.interpolate(some, size=size, mode="bilinear", align_corners=False)[0].max(dim=0)
        is_better = score > best
        best = torch.where(is_better, score, best)
        labels = torch.where(is_better, (label + first).int(), labels)
    return labels.cpu().numpy().astype(np.uint8 if len(logits) <= 256 else np.uint16)
