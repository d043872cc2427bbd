"""The training loss of the paper: scale-invariant log error (Eigen et al. 2014, arXiv 1406.2283, eq. 4)."""

from __future__ import annotations

import torch
from torch import Tensor

VARIANCE_WEIGHT = 0.5
"""Lambda: 0 is plain log error, 1 forgives any common factor; the paper takes one half."""


def silog_loss(predicted: Tensor, target: Tensor, *, variance_weight: float = VARIANCE_WEIGHT) -> Tensor:
    """sqrt(mean(d²) - lambda mean(d)²) with d = log target - log predicted, over the pixels whose target is > 0.

    predicted: (B, h, w), metres, > 0.
    target:    (B, h, w), metres; 0 or less where nothing was measured.

    Nothing measured anywhere gives 0 with zero gradient, and a perfect prediction 0 with a finite one, where the
    textbook form gives nan for both.
    """
    measured = target > 0
    count = measured.sum().clamp(min=1)
    safe = torch.where(measured, target, torch.ones_like(target))
    difference = torch.where(measured, safe.log() - predicted.float().clamp(min=1e-12).log(), 0.0)
    mean = difference.sum() / count
    # In this order the value under the root cannot be negative: variance + (1 - lambda) mean².
    variance = torch.where(measured, (difference - mean) ** 2, 0.0).sum() / count
    return _safe_sqrt(variance + (1 - variance_weight) * mean**2)


def _safe_sqrt(value: Tensor) -> Tensor:
    """Root whose gradient at 0 is 0 instead of infinite."""
    positive = value > 0
    return torch.where(positive, torch.where(positive, value, torch.ones_like(value)).sqrt(), torch.zeros_like(value))
