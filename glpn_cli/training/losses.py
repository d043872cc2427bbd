"""Losses beside the paper's SiLog: the error of log depth, and terms for edges and surfaces."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_Vectors = tuple[Tensor, Tensor, Tensor]

_SCALES = (1, 2, 4, 8, 16)
"""Distances in pixels over which slopes are compared."""
NORMAL_SCALES = (2, 4, 8, 16)
"""Distances in pixels over which surface normals are taken; neighbours alone would teach the grain of the depth."""
_NEAREST = 1e-3
_SMALLEST_SQUARE = 1e-12


def log_gradient_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """How much the slopes of log depth differ, over several distances (Ranftl et al. 2020, arXiv 1907.01341, eq. 11).

    SiLog is happy with a blur in the right place; slopes are not. The term does not depend on the scale of depth.

    predicted, target: (B, h, w), metres; target 0 or less where nothing is known. Without two neighbours that are known
    it is 0.
    """
    known = target > 0
    error = torch.where(known, predicted.float().clamp(min=1e-6).log() - target.clamp(min=1e-6).log(), 0.0)
    total = error.new_zeros(())
    for distance in _SCALES:
        total = total + _slope_error(error, known, distance, axis=1) + _slope_error(error, known, distance, axis=2)
    return total / (2 * len(_SCALES))


def _slope_error(error: Tensor, known: Tensor, distance: int, *, axis: int) -> Tensor:
    """Mean absolute difference of errors that stand `distance` pixels apart."""
    length = error.shape[axis] - distance
    if length <= 0:
        return error.new_zeros(())
    both = known.narrow(axis, 0, length) & known.narrow(axis, distance, length)
    difference = (error.narrow(axis, distance, length) - error.narrow(axis, 0, length)).abs()
    return torch.where(both, difference, 0.0).sum() / both.sum().clamp(min=1)


def surface_normal_loss(
    predicted: Tensor, target: Tensor, *, focal_px: float | None, distances: Sequence[int] = NORMAL_SCALES
) -> Tensor:
    """Mean of 1 - cos of the angle between the surfaces of two depth maps (Hu et al. 2019, arXiv 1803.08673, eq. 7).

    Slopes of depth alone say little about a floor that is seen at a grazing angle; its normal says all. There normals
    are those of the depth map as a relief, here those of the surfaces themselves, through the camera. The term does not
    depend on the scale of depth, and no pixel can cost more than 2.

    predicted, target: (B, h, w), metres; target 0 or less where nothing is known. Without three neighbours that are
        known it is 0.
    distances: in pixels, over which normals are taken.
    focal_px: of both maps, the optical axis in their middle; None takes the longer side, a view 53 degrees wide.
    """
    known = target > 0
    focal_px = float(max(target.shape[1:])) if focal_px is None else focal_px
    ours = predicted.float().clamp(min=_NEAREST)
    truth = torch.where(known, target, torch.ones_like(target)).clamp(min=_NEAREST)
    total = ours.new_zeros(())
    for distance in distances:
        if distance >= min(target.shape[1:]):
            continue
        corner = known[:, :-distance, :-distance] & known[:, :-distance, distance:] & known[:, distance:, :-distance]
        cosine = _dot(_normals(ours, distance, focal_px), _normals(truth, distance, focal_px))
        total = total + torch.where(corner, 1 - cosine, 0.0).sum() / corner.sum().clamp(min=1)
    return total / len(distances)


def _normals(depth: Tensor, distance: int, focal_px: float) -> _Vectors:
    """x, y and z, each (B, h - distance, w - distance), of length 1 and away from the camera, from neighbours that far.

    A plane n . (u / f, v / f, 1) Z = 1 has the inverse depth q = (n_x u + n_y v) / f + n_z, linear in the picture, so
    that differences of q give its normal exactly, over any distance.
    """
    inverse = 1 / depth
    here = inverse[:, :-distance, :-distance]
    right = (inverse[:, :-distance, distance:] - here) / distance
    down = (inverse[:, distance:, :-distance] - here) / distance
    height, width = depth.shape[1:]
    u = torch.arange(width - distance, device=depth.device) - (width - 1) / 2
    v = torch.arange(height - distance, device=depth.device)[:, None] - (height - 1) / 2
    normals = (focal_px * right, focal_px * down, here - u * right - v * down)
    scale = _dot(normals, normals).clamp(min=_SMALLEST_SQUARE).rsqrt()
    x, y, z = normals
    return x * scale, y * scale, z * scale


def _dot(one: _Vectors, other: _Vectors) -> Tensor:
    """Components that lie apart: as one tensor (B, 3, h, w) this took ten times as long."""
    return one[0] * other[0] + one[1] * other[1] + one[2] * other[2]


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
