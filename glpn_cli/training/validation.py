"""How a network does on pictures that it has not learned from, quickly, while it learns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from glpn_cli.data.augment import largest_window, through_camera
from glpn_cli.data.samples import Sample
from glpn_cli.evaluation.metrics import Scores, mean_scores, score


@dataclass(frozen=True)
class Validation:
    """Mean scores over pictures: as predicted, and after each map was scaled to the true median."""

    pictures: int
    raw: Scores
    median: Scores


@torch.no_grad()
def validate(
    network: nn.Module,
    samples: Sequence[Sample],
    *,
    size: tuple[int, int],
    focal_px: float | None,
    limit_m: float,
    precision: str = "fp32",
    batch_size: int = 8,
) -> Validation | None:
    """Scores at the network's own size (h, w) on the middle of every picture, None if none has a known pixel.

    focal_px: the focal length at that size that the network's metres belong to.
    """
    network.eval()
    device = next(network.parameters()).device
    raw, median = [], []
    for start in range(0, len(samples), batch_size):
        seen = [
            through_camera(largest_window(sample, size=size), focal_px=focal_px)
            for sample in samples[start : start + batch_size]
        ]
        pixels = torch.from_numpy(np.stack([sample.rgb for sample in seen])).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            predicted = network(pixels.permute(0, 3, 1, 2).float().div_(255)).float().cpu().numpy()
        for values, sample in zip(predicted, seen, strict=True):
            known = (sample.depth > 0) & (sample.depth < limit_m)
            if known.any():
                ours, truth = values[known], sample.depth[known]
                raw.append(score(ours, truth))
                median.append(score(ours * (np.median(truth) / np.median(ours)), truth))
    return Validation(len(raw), mean_scores(raw), mean_scores(median)) if raw else None
