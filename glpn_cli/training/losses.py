"""What training minimises beside the paper's SiLog: errors as they are scored, and a term that teaches edges."""

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


def log_l1_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean of |log (predicted / target)| over every picture's known pixels, then over the pictures.

    SiLog squares errors, so a few pixels that cannot be told decide a picture, and its batch is taken as one picture.
    Here an error weighs what it weighs in abs_rel and d1, and so does how far away a room is as a whole.

    predicted, target: (B, h, w), metres; target 0 or less where nothing is known, and a picture without any counts 0.
    """
    known = target > 0
    safe = torch.where(known, target, torch.ones_like(target))
    error = torch.where(known, (predicted.float().clamp(min=1e-6).log() - safe.log()).abs(), 0.0).flatten(1)
    return (error.sum(dim=1) / known.flatten(1).sum(dim=1).clamp(min=1)).mean()
