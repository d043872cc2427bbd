"""What training minimises: the paper's SiLog, and beside it a term that teaches edges."""

from __future__ import annotations

import torch
from torch import Tensor

SCALES = (1, 2, 4, 8, 16)
"""Distances in pixels over which slopes are compared."""


def log_gradient_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """How much the slopes of log depth differ, over several distances (Ranftl et al. 2020, arXiv 1907.01341, eq. 11).

    SiLog is happy with a blur in the right place; slopes are not. The term does not depend on the scale of depth.

    predicted, target: (B, h, w), metres; target 0 or less where nothing is known. Without two neighbours that are known
    it is 0.
    """
    known = target > 0
    error = torch.where(known, predicted.float().clamp(min=1e-6).log() - target.clamp(min=1e-6).log(), 0.0)
    total = error.new_zeros(())
    for distance in SCALES:
        total = total + _slope_error(error, known, distance, axis=1) + _slope_error(error, known, distance, axis=2)
    return total / (2 * len(SCALES))


def _slope_error(error: Tensor, known: Tensor, distance: int, *, axis: int) -> Tensor:
    """Mean absolute difference of errors that stand `distance` pixels apart."""
    length = error.shape[axis] - distance
    if length <= 0:
        return error.new_zeros(())
    both = known.narrow(axis, 0, length) & known.narrow(axis, distance, length)
    difference = (error.narrow(axis, distance, length) - error.narrow(axis, 0, length)).abs()
    return torch.where(both, difference, 0.0).sum() / both.sum().clamp(min=1)


def picture_silog_loss(predicted: Tensor, target: Tensor, *, scale_weight: float = 0.25) -> Tensor:
    """SiLog picture by picture, then the mean: sqrt(variance(d) + scale_weight mean(d)²), d = log (target / predicted).

    The paper's SiLog takes a batch as one picture, so half of it is how far away each room is as a whole, which one
    picture hardly tells; what stands where inside the room is learned from the rest. Here every picture has its own
    mean, and its scale the say that `scale_weight` gives it (the paper's lambda is 1 - scale_weight).

    predicted, target: (B, h, w), metres; target 0 or less where nothing is known, and a picture without any counts 0.
    """
    known = target > 0
    safe = torch.where(known, target, torch.ones_like(target))
    difference = torch.where(known, safe.log() - predicted.float().clamp(min=1e-12).log(), 0.0).flatten(1)
    known = known.flatten(1)
    count = known.sum(dim=1).clamp(min=1)  # (B,)
    mean = difference.sum(dim=1) / count
    variance = torch.where(known, (difference - mean[:, None]) ** 2, 0.0).sum(dim=1) / count
    # The gradient of a root is infinite at 0: a thousandth is far below what any network reaches.
    return ((variance + scale_weight * mean**2 + 1e-6).sqrt() - 1e-3).mean()
