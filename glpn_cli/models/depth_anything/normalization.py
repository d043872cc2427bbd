"""Pictures to tensors, exactly as published: Pillow's bicubic filter on uint8, / 255, ImageNet's mean and deviation.

The documented processor is `DPTImageProcessor`, with the settings of `DepthAnythingConfig.preprocessor`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from torch import Tensor

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's red, green and blue, in [0, 1]."""


def prepare(rgb: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
    """uint8 (H, W, 3) -> float32 (1, 3, h, w), about -2.1 to 2.6."""
    import torch

    from glpn_cli.models.image_processor import UNIT

    if rgb.shape[:2] != size:
        rgb = np.asarray(Image.fromarray(rgb).resize(size[::-1], Image.Resampling.BICUBIC))
    mean, deviation = np.array(MEAN, np.float32)[:, None], np.array(DEVIATION, np.float32)[:, None]
    values = (UNIT - mean) / deviation  # (3, 256)
    pixels = np.stack([values[channel][rgb[..., channel]] for channel in range(3)])
    return torch.from_numpy(pixels)[None]
