"""How a network does on pictures that it has not learned from, quickly, while it learns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from glpn_cli.data.augment import largest_window, through_camera
from glpn_cli.data.samples import Sample
from glpn_cli.evaluation.metrics import Scores, mean_scores, score
from glpn_cli.models.glpn.processor import LOWEST_SHARE


@dataclass(frozen=True)
class Validation:
    """Mean scores over pictures: as predicted, and after each map was scaled to the true median."""

    pictures: int
    raw: Scores
    median: Scores


def validate(answers: Iterable[tuple[Sample, NDArray[np.float32]]], *, limit_m: float) -> Validation | None:
    """Scores of what `answer` gives, over the pixels known to be within the limit; None if there are none."""
    raw, median = [], []
    for seen, predicted in answers:
        known = (seen.depth > 0) & (seen.depth < limit_m)
        if known.any():
            ours, truth = predicted[known], seen.depth[known]
            raw.append(score(ours, truth))
            median.append(score(ours * (np.median(truth) / np.median(ours)), truth))
    return Validation(len(raw), mean_scores(raw), mean_scores(median)) if raw else None


@torch.no_grad()
def answer(
    network: nn.Module,
    samples: Sequence[Sample],
    *,
    size: tuple[int, int],
    focal_px: float | None,
    limit_m: float,
    precision: str = "fp32",
    batch_size: int = 8,
) -> Iterator[tuple[Sample, NDArray[np.float32]]]:
    """What the network sees, the middle of every picture at (h, w), and what it says, float32 (h, w), metres.

    What it says is clamped as in use: a sigmoid that a high learning rate has pushed far can underflow to 0.

    focal_px: the focal length at that size that the network's metres belong to.
    """
    network.eval()
    device = next(network.parameters()).device
    for start in range(0, len(samples), batch_size):
        seen = [
            through_camera(largest_window(sample, size=size), focal_px=focal_px)
            for sample in samples[start : start + batch_size]
        ]
        pixels = torch.from_numpy(np.stack([sample.rgb for sample in seen])).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            predicted = network(pixels.permute(0, 3, 1, 2).float().div_(255)).float()
        yield from zip(seen, predicted.clamp(LOWEST_SHARE * limit_m, limit_m).cpu().numpy(), strict=True)
