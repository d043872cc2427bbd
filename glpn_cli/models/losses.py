"""The published training losses: of metres, of inverse depth up to scale and shift, and of labels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_VARIANCE_WEIGHT = 0.5
"""Lambda of `silog_loss`: 0 is plain log error, 1 forgives any common factor; the paper takes one half."""

_GRADIENT_WEIGHT = 0.5
_GRADIENT_SCALES = 4


def silog_loss(predicted: Tensor, target: Tensor, *, variance_weight: float = _VARIANCE_WEIGHT) -> Tensor:
    """What GLPN trains with: scale-invariant log error (Eigen et al. 2014, arXiv 1406.2283, eq. 4).

    sqrt(mean(d²) - lambda mean(d)²) with d = log target - log predicted, over the pixels whose target is > 0.

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


def scale_and_shift_invariant_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """What DPT trains depth with (section 4.1): MiDaS's loss (Ranftl et al. 2020, arXiv 1907.01341, eq. 5 to 11).

    Both maps are brought to median 0 and mean deviation 1; then their absolute differences count, and half as much
    the gradients of these at four scales.

    predicted: (B, h, w), inverse depth up to scale and shift.
    target:    (B, h, w), inverse depth; 0 or less where nothing was measured.

    A picture in which nothing was measured counts 0, with zero gradient.
    """
    measured = target > 0
    difference = torch.where(measured, _aligned(predicted, measured) - _aligned(target, measured), 0.0)
    count = measured.sum(dim=(1, 2)).clamp(min=1)
    loss = difference.abs().sum(dim=(1, 2)) / (2 * count)
    for scale in range(_GRADIENT_SCALES):
        step = 2**scale
        loss = loss + _GRADIENT_WEIGHT * _gradients(difference[:, ::step, ::step], measured[:, ::step, ::step])
    return loss.mean()


def _aligned(values: Tensor, measured: Tensor) -> Tensor:
    """Median 0 and mean absolute deviation 1 over the measured pixels of each picture."""
    holes = torch.where(measured, values.float(), torch.nan).flatten(1)
    shift = holes.nanmedian(dim=1).values.nan_to_num()[:, None, None]
    centred = torch.where(measured, values.float() - shift, 0.0)
    scale = centred.abs().sum(dim=(1, 2)) / measured.sum(dim=(1, 2)).clamp(min=1)
    return centred / scale.clamp(min=1e-6)[:, None, None]


def _gradients(difference: Tensor, measured: Tensor) -> Tensor:
    """Mean absolute step from pixel to pixel, both ways, between measured ones: (B,)."""
    total = difference.new_zeros(len(difference))
    for axis in (1, 2):
        length = difference.shape[axis]
        both = measured.narrow(axis, 1, length - 1) & measured.narrow(axis, 0, length - 1)
        total = total + (difference.diff(dim=axis).abs() * both).sum(dim=(1, 2))
    return total / measured.sum(dim=(1, 2)).clamp(min=1)


def segmentation_loss(logits: Tensor, labels: Tensor, *, ignored: int) -> Tensor:
    """Mean cross-entropy of the logits, brought to the labels' size, over the pixels that have a label.

    logits:  (B, labels, h, w).
    labels:  int64 (B, H, W); `ignored` where there is none.

    No label anywhere gives 0 with zero gradient, where the textbook form gives nan.
    """
    resized = F.interpolate(logits, size=labels.shape[-2:], mode="bilinear", align_corners=False)
    total = F.cross_entropy(resized, labels, ignore_index=ignored, reduction="sum")
    return total / (labels != ignored).sum().clamp(min=1)
