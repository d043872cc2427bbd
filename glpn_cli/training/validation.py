"""Scores and previews of a network in training, on pictures that it does not learn from."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from glpn_cli.colormaps import PaintRange, paint
from glpn_cli.data.augment import largest_window, through_camera
from glpn_cli.data.samples import Sample
from glpn_cli.evaluation.metrics import Scores
from glpn_cli.models.image_processor import LOWEST_SHARE
from glpn_cli.prediction import DepthMap

_BATCH = 8
_Predicted = tuple[Sample, NDArray[np.float32]]
"""A picture as the network sees it, and the depth that it predicts, float32 (h, w), metres."""


@torch.no_grad()
def predict_samples(
    network: nn.Module,
    samples: Sequence[Sample],
    *,
    size: tuple[int, int],
    focal_px: float | None,
    limit_m: float,
    precision: str = "fp32",
) -> Iterator[_Predicted]:
    """The middle of every picture at (h, w), and its depth by the network.

    The depth is clamped as in use: a sigmoid that a high learning rate has pushed far can underflow to 0.

    focal_px: the focal length at that size that the network's metres belong to.
    """
    network.eval()
    device = next(network.parameters()).device
    for start in range(0, len(samples), _BATCH):
        seen = [
            through_camera(largest_window(sample, size=size), focal_px=focal_px)
            for sample in samples[start : start + _BATCH]
        ]
        pixels = torch.from_numpy(np.stack([sample.rgb for sample in seen])).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            predicted = network(pixels.permute(0, 3, 1, 2).float().div_(255)).float()
        yield from zip(seen, predicted.clamp(LOWEST_SHARE * limit_m, limit_m).cpu().numpy(), strict=True)


def score_samples(predicted: Iterable[_Predicted], *, limit_m: float) -> tuple[int, Scores, Scores] | None:
    """How many pictures have depth within the limit, and their mean scores: raw, and scaled to the true median.

    None where no picture has any.
    """
    raw, median = [], []
    for seen, depth in predicted:
        known = (seen.depth > 0) & (seen.depth < limit_m)
        if known.any():
            ours, truth = depth[known], seen.depth[known]
            raw.append(Scores.of(ours, truth))
            median.append(Scores.of(ours * (np.median(truth) / np.median(ours)), truth))
    return (len(raw), Scores.mean(raw), Scores.mean(median)) if raw else None


def draw_preview(predicted: Iterable[_Predicted]) -> bytes:
    """A PNG with a row for each picture: the picture, its true depth, the network's; a row has one scale of colours."""
    stream = io.BytesIO()
    Image.fromarray(np.vstack([_draw_row(seen, depth) for seen, depth in predicted])).save(stream, "PNG")
    return stream.getvalue()


def _draw_row(seen: Sample, depth: NDArray[np.float32]) -> NDArray[np.uint8]:
    known = seen.depth > 0
    truth = DepthMap(np.where(known, seen.depth, np.float32(1)), valid=known)
    near, far = truth.min_max() or (1.0, 2.0)
    ends = PaintRange(near, max(far, near * 1.1))
    return np.hstack([seen.rgb, paint(truth, range=ends), paint(DepthMap(depth), range=ends)])
