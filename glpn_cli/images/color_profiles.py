"""Colours of any profile brought to sRGB, which is what the networks were trained on."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from PIL.ImageCms import ImageCmsTransform

# Of profiles that are sRGB under another name, no colour moves by more than this.
_SAME = 2

# A profile's colour space, and the Pillow mode that holds it.
_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}


class ProfileError(ValueError):
    """A profile that cannot be used."""


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Bring a picture's colours to sRGB.

    image:   mode L, RGB, CMYK or LAB, without alpha; mode RGB comes out.
    profile: the picture's ICC profile; without one, RGB and grey are sRGB already, and CMYK is taken for plain ink.

    Raises ProfileError if the profile is damaged, or speaks of other channels than the picture has.
    """
    if profile is None:
        return _as_rgb(image)
    mode, transform = _open_profile(profile)
    if mode == "RGB" and image.mode == "L":
        image = _as_rgb(image)  # a colour picture that was saved without its colours
    if image.mode != mode:
        raise ProfileError(f"a profile for {mode} in a picture of mode {image.mode}")
    if transform is None:
        return image
    converted = transform.apply(image)
    assert converted.mode == "RGB"
    return converted


def _as_rgb(image: Image.Image) -> Image.Image:
    """The same picture in three channels; not even a copy if it has them."""
    return image if image.mode == "RGB" else image.convert("RGB")


@lru_cache(maxsize=32)
def _open_profile(profile: bytes) -> tuple[str, ImageCmsTransform | None]:
    """(the mode that the profile is for, how to bring that to sRGB: None where it is sRGB)."""
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = _MODES.get(source.profile.xcolor_space.strip())
        if mode is None:
            raise ProfileError(f"a profile for {source.profile.xcolor_space.strip()}")
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (OSError, ImageCms.PyCMSError) as error:
        raise ProfileError(str(error)) from error
    if mode != "RGB":
        return mode, transform
    levels = np.arange(0, 256, 51, dtype=np.uint8)
    colors = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(levels.size, -1, 3)
    moved = np.asarray(transform.apply(Image.fromarray(colors)), dtype=np.int16) - colors
    is_srgb = np.abs(moved).max() <= _SAME
    return mode, None if is_srgb else transform
