"""Pictures of how far a network has come: what it saw, what is true, what it says."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from glpn_cli.colormaps import PaintRange, paint
from glpn_cli.data.augment import largest_window, through_camera
from glpn_cli.data.samples import Sample
from glpn_cli.prediction import DepthMap


@torch.no_grad()
def draw_preview(
    network: nn.Module, samples: Sequence[Sample], *, size: tuple[int, int], focal_px: float | None
) -> bytes:
    """A PNG with a row a picture: the picture, its true depth, the network's; one colour is one depth in a row.

    size, focal_px: what the network sees, and the camera that its metres belong to.
    """
    network.eval()
    device = next(network.parameters()).device
    rows = []
    for sample in samples:
        seen = through_camera(largest_window(sample, size=size), focal_px=focal_px)
        pixels = torch.from_numpy(seen.rgb.copy()).to(device).permute(2, 0, 1)[None].float() / 255
        rows.append(_draw_row(seen, network(pixels)[0].float().cpu().numpy()))
    stream = io.BytesIO()
    Image.fromarray(np.vstack(rows)).save(stream, "PNG")
    return stream.getvalue()


def _draw_row(seen: Sample, predicted: NDArray[np.float32]) -> NDArray[np.uint8]:
    known = seen.depth > 0
    truth = DepthMap(np.where(known, seen.depth, np.float32(1)), valid=known)
    near, far = truth.extent() or (1.0, 2.0)
    ends = PaintRange(near, max(far, near * 1.1))
    return np.hstack([seen.rgb, paint(truth, range=ends), paint(DepthMap(predicted), range=ends)])
