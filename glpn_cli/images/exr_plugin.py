"""OpenEXR pictures for Pillow: linear light of any brightness becomes 8-bit sRGB, white is where light is 1.

Importing it registers the opener, and needs the library OpenEXR, from the extra `exr`. Primaries are taken for sRGB's.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import OpenEXR  # noqa: F401 - without it no opener is registered, and the caller says what to install
from numpy.typing import NDArray
from PIL import Image, ImageFile

from glpn_cli.images.exr import SIGNATURE, read_channels, read_header
from glpn_cli.images.pixel_modes import strips

_MAX_HEADER = 1 << 20


class ExrImageFile(ImageFile.ImageFile):
    """A picture with channels R, G, B and perhaps A."""

    format = "EXR"
    format_description = "OpenEXR"

    def _open(self) -> None:
        assert self.fp is not None
        header = read_header(self.fp.read(_MAX_HEADER))
        if not header.is_picture:
            found = ", ".join(header.channels) or "nothing"
            raise NotImplementedError(f"not supported: it has no channels R, G, B (found: {found})")
        height, width = header.size
        self._size = (width, height)
        self._mode = "RGBA" if "A" in header.channels else "RGB"
        self._is_decoded = False

    def load(self) -> Any:
        """Decode the pixels, once."""
        if not self._is_decoded:
            assert self.fp is not None
            planes = read_channels(self.fp, tuple(self.mode), max_pixels=self.size[0] * self.size[1])
            pixels = np.empty((*self.size[::-1], len(planes)), np.uint8)
            for rows in strips(*self.size[::-1]):
                pixels[rows] = make_srgb(np.stack([plane[rows] for plane in planes], axis=-1))
            self._is_decoded = True
            self.fp = BytesIO(pixels.tobytes())
            self.tile = [ImageFile._Tile("raw", (0, 0, *self.size), 0, self.mode)]
        return super().load()


def make_srgb(linear: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Linear light float32 (H, W, 3 or 4), alpha premultiplied as OpenEXR has it, as sRGB uint8 of the same shape."""
    light, alpha = linear[..., :3], linear[..., 3:]
    light = np.nan_to_num(light, nan=0.0, posinf=1.0, neginf=0.0)
    if alpha.size:
        alpha = np.clip(np.nan_to_num(alpha, nan=0.0), 0, 1)
        light = np.divide(light, alpha, out=np.zeros_like(light), where=alpha > 0)
    light = np.clip(light, 0, 1)
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    levels: NDArray[np.uint8] = np.rint(255 * np.concatenate([srgb, alpha], axis=-1)).astype(np.uint8)
    return levels


Image.register_open("EXR", ExrImageFile, lambda prefix: prefix.startswith(SIGNATURE))
