"""Pictures to tensors, exactly as published; and the documented processor.

The published rule: sides down to multiples of 32 by Pillow's bilinear filter on uint8, then / 255; no mean, no
deviation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from glpn_cli.errors import UsageError
from glpn_cli.models.fields import is_whole
from glpn_cli.models.image_processor import UNIT, ImageProcessor, rescale, resize_picture, to_tensor


def prepare(rgb: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
    """uint8 (H, W, 3) -> float32 (1, 3, h, w) in [0, 1]."""
    return to_tensor(rgb, size, values=UNIT, resample=Image.Resampling.BILINEAR)


class GLPNImageProcessor(ImageProcessor):
    """The documented image processor.

    do_resize:      bring each side down to a multiple of `size_divisor`.
    size_divisor:   32 for the published models.
    resample:       Pillow's number of the filter, 2 = bilinear.
    do_rescale:     multiply by `rescale_factor`, 1 / 255.

    Every setting can be given again for one call. Raises UsageError (a ValueError) for settings and inputs it
    cannot honour.
    """

    setting_names = ("do_resize", "size_divisor", "resample", "do_rescale", "rescale_factor")

    def __init__(
        self,
        *,
        do_resize: bool = True,
        size_divisor: int = 32,
        resample: int = Image.Resampling.BILINEAR,
        do_rescale: bool = True,
        rescale_factor: float = 1 / 255,
    ) -> None:
        if not is_whole(size_divisor) or size_divisor < 1:
            raise UsageError(f"size_divisor = {size_divisor!r} is no whole number from 1 up")
        self.do_resize = do_resize
        self.size_divisor = size_divisor
        self.resample = Image.Resampling(resample)
        self.do_rescale = do_rescale
        self.rescale_factor = rescale_factor

    def process(self, picture: NDArray[Any]) -> NDArray[Any]:
        """(C, H, W) -> (C, h, w)."""
        if self.do_resize:
            picture = self._resize(picture)
        if self.do_rescale:
            picture = rescale(picture, self.rescale_factor)
        return picture

    def _resize(self, picture: NDArray[Any]) -> NDArray[Any]:
        """(C, H, W) -> (C, h, w), each side down to a multiple of `size_divisor`."""
        _, height, width = picture.shape
        size = (height // self.size_divisor * self.size_divisor, width // self.size_divisor * self.size_divisor)
        if not all(size):
            raise UsageError(
                f"picture is {width}x{height}, and both sides must be at least {self.size_divisor}",
                hint="DepthEstimator and the command line take pictures of any size.",
            )
        return resize_picture(picture, size, resample=self.resample)


GLPNFeatureExtractor = GLPNImageProcessor
"""The processor's old name, which the published checkpoints' preprocessor_config.json still use."""
