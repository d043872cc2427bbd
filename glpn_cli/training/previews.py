"""Pictures of how far a network has come: what it saw, what is true, what it says."""

from __future__ import annotations

import io
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glpn_cli.colormaps import PaintRange, paint
from glpn_cli.data.samples import Sample
from glpn_cli.prediction import DepthMap


def draw_preview(answers: Iterable[tuple[Sample, NDArray[np.float32]]]) -> bytes:
    """A PNG with a row a picture: the picture, its true depth, the network's; one colour is one depth in a row.

    answers: what the network saw and what it said, see `validation.answer`.
    """
    stream = io.BytesIO()
    Image.fromarray(np.vstack([_draw_row(seen, predicted) for seen, predicted in answers])).save(stream, "PNG")
    return stream.getvalue()


def _draw_row(seen: Sample, predicted: NDArray[np.float32]) -> NDArray[np.uint8]:
    known = seen.depth > 0
    truth = DepthMap(np.where(known, seen.depth, np.float32(1)), valid=known)
    near, far = truth.min_max() or (1.0, 2.0)
    ends = PaintRange(near, max(far, near * 1.1))
    return np.hstack([seen.rgb, paint(truth, range=ends), paint(DepthMap(predicted), range=ends)])
