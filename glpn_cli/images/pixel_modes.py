"""Every way that Pillow holds pixels brought to three channels of 8 bits, and what is known of each pixel's opacity.

Colours of any profile become sRGB, which is what the networks were trained on.

Nothing is clipped. Greys of 16 bits are divided by their full range, which is what makes such a picture equal to its
8-bit twin; values without a range of their own (32-bit integers, floats) are stretched between their extremes.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glpn_cli.images.picture import BACKGROUND, OPAQUE_FROM, Picture, PictureWarning

if TYPE_CHECKING:
    from PIL.ImageCms import ImageCmsTransform


_SHORTS = ("I;16", "I;16L", "I;16B", "I;16N")
# TIFF's BitsPerSample, PhotometricInterpretation and SampleFormat.
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _UNSIGNED = 0, 1, 1

# Greys of 16 bits of which none reaches a quarter of their range are likely of 10 or 12 bits.
_QUARTER = 1 << 14

# Pixels that are worked on at once.
_STRIP = 1 << 18

# Of profiles that are sRGB under another name, no colour moves by more than this.
_SAME = 2

# A profile's colour space, and the Pillow mode that holds it.
_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}


class NoValuesError(ValueError):
    """A float picture without a single number in it."""


@dataclass(frozen=True, eq=False, slots=True)
class _Layers:
    """A picture taken apart.

    colors: mode L, RGB, CMYK or LAB
    alpha:  mode L, or None
    known:  bool (H, W), False where there is no value at all, or None
    """

    colors: Image.Image
    alpha: Image.Image | None = None
    known: NDArray[np.bool_] | None = None
    warnings: tuple[PictureWarning, ...] = ()


def flatten(image: Image.Image, *, opened: Image.Image | None = None, white: int | None = None) -> Picture:
    """Bring a loaded picture of any mode to RGB, with warnings of what happened on the way.

    opened: the picture as its file was opened, which still has the file's tags where `image` is a turned copy of it
    white:  the value that is white in greys of 16 bits; None: as the file says, or 65535

    Raises NoValuesError for a float picture of NaNs, ValueError for a mode that Pillow cannot convert.
    """
    layers = _split_layers(image, opened or image, white)
    warnings = list(layers.warnings)
    try:
        colors = to_srgb(layers.colors, image.info.get("icc_profile") or None)
    except _ProfileError:
        warnings.append(PictureWarning.ICC)
        colors = to_srgb(layers.colors, None)

    valid = layers.known
    if layers.alpha is not None and layers.alpha.getextrema() != (255, 255):
        background = Image.new("RGB", colors.size, BACKGROUND)
        background.paste(colors, mask=layers.alpha)
        colors = background
        opaque = _copy_pixels(layers.alpha) >= OPAQUE_FROM
        valid = opaque if valid is None else valid & opaque
    rgb = _copy_pixels(colors)
    if layers.known is not None:
        rgb[~layers.known] = BACKGROUND
    valid = None if valid is None or valid.all() else valid
    return Picture(rgb, rgb.shape[:2], valid, warnings=tuple(warnings))


def _copy_pixels(image: Image.Image) -> NDArray[Any]:
    """The pixels as an array of their own: of the picture's own type, (H, W), or (H, W, 3) for RGB.

    By strips: Pillow hands out all pixels at once by way of three copies, which takes three times as long for a
    photograph and thirteen times for 200 megapixels.
    """
    width, height = image.size
    one = np.asarray(image.crop((0, 0, 1, 1)))
    pixels = np.empty((height, width, *one.shape[2:]), one.dtype)
    for rows in strips(height, width):
        pixels[rows] = np.asarray(image.crop((0, rows.start, width, rows.stop)))
    return pixels


def strips(height: int, width: int) -> Iterator[slice]:
    """The rows of a picture, some at a time: whatever is computed of them takes little memory."""
    count = max(1, _STRIP // width)
    yield from (slice(top, min(top + count, height)) for top in range(0, height, count))


def _split_layers(image: Image.Image, opened: Image.Image, white: int | None) -> _Layers:
    if image.mode in _SHORTS:
        return _split_shorts(image, opened, white)
    if image.mode == "I":
        return _split_integers(image, opened, white)
    if image.mode == "F":
        return _stretch(_copy_pixels(image))
    if image.mode == "La":
        image = image.convert("LA")
    elif image.mode in ("PA", "RGBa"):
        image = image.convert("RGBA")
    elif "transparency" in image.info:
        image = _key_out(image)
    if image.mode in ("LA", "RGBA"):
        return _Layers(image.convert(image.mode[:-1]), alpha=image.getchannel("A"))
    if image.mode == "1":
        return _Layers(image.convert("L"))
    return _Layers(image if image.mode in ("L", "RGB", "CMYK", "LAB") else image.convert("RGB"))


def _key_out(image: Image.Image) -> Image.Image:
    """Turn a transparent colour, or transparencies of palette entries, into an alpha channel."""
    key = image.info["transparency"]
    if image.mode == "RGB" and isinstance(key, tuple) and max(key) > 255:
        image.info["transparency"] = tuple(value >> 8 for value in key)  # of a 16-bit picture, which Pillow halved
    if image.mode == "L" and isinstance(key, int) and key > 255:
        return image
    if image.mode in ("1", "L"):
        return image.convert("LA")
    return image.convert("RGBA") if image.mode in ("P", "RGB") else image


def _split_shorts(image: Image.Image, opened: Image.Image, white: int | None) -> _Layers:
    values = _copy_pixels(image).astype(np.uint16, copy=False)
    key = image.info.get("transparency")
    known = values != key if isinstance(key, int) else None
    if _tag(opened, _PHOTOMETRIC, _BLACK_IS_ZERO) == _WHITE_IS_ZERO:
        values = ~values  # which Pillow does for 8 bits, and not for 16
    return _scale(values, bits=min(_tag(opened, _BITS, 16), 16), white=white, known=known)


def _split_integers(image: Image.Image, opened: Image.Image, white: int | None) -> _Layers:
    values = _copy_pixels(image)
    if opened.format == "TIFF":
        # 32 bits, whose range nobody uses in full.
        is_unsigned = _tag(opened, _SAMPLE_FORMAT, _UNSIGNED) == _UNSIGNED and _tag(opened, _BITS, 32) == 32
        return _stretch(values.view(np.uint32) if is_unsigned else values)
    if values.min() < 0 or values.max() > 65535:
        return _stretch(values)
    return _scale(values.astype(np.uint16), bits=16, white=white)


def _tag(image: Image.Image, number: int, default: int) -> int:
    """The (first) value of a TIFF tag, for pictures that have tags."""
    value = getattr(image, "tag_v2", {}).get(number, default)
    return int(value[0]) if isinstance(value, tuple) else int(value)


def _scale(
    values: NDArray[np.uint16], *, bits: int, white: int | None, known: NDArray[np.bool_] | None = None
) -> _Layers:
    """Divide by the full range: 0 stays black, the largest value of so many bits, or `white`, becomes white."""
    largest = white or 2**bits - 1
    table = np.minimum(np.round(np.arange(65536) * (255 / largest)), 255).astype(np.uint8)
    is_dark = bits == 16 and white is None and 0 < values.max() < _QUARTER
    return _Layers(Image.fromarray(table[values]), known=known, warnings=(PictureWarning.DARK,) if is_dark else ())


def _stretch(values: NDArray[Any]) -> _Layers:
    """Stretch whatever is finite between black and white; one value everywhere becomes mid grey."""
    known = np.isfinite(values)
    numbers = values if known.all() else values[known]
    if not numbers.size:
        raise NoValuesError("not one of its values is a number")
    low, high = float(numbers.min()), float(numbers.max())
    grey = np.full(values.shape, BACKGROUND[0], dtype=np.uint8)
    if low < high:
        for rows in strips(*values.shape):
            # Halves, because the distance between two floats may be more than a float holds. NaNs may be of a kind that
            # numpy warns of.
            with np.errstate(invalid="ignore"):
                share = (values[rows].astype(np.float64) / 2 - low / 2) / (high / 2 - low / 2)
            grey[rows] = np.round(np.where(known[rows], share, 0) * 255)
    return _Layers(Image.fromarray(grey), known=None if known.all() else known, warnings=(PictureWarning.RANGE,))


class _ProfileError(ValueError):
    """A profile that cannot be used."""


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Bring a picture's colours to sRGB.

    image:   mode L, RGB, CMYK or LAB, without alpha; mode RGB comes out.
    profile: the picture's ICC profile; without one, RGB and grey are sRGB already, and CMYK is taken for plain ink.

    Raises _ProfileError if the profile is damaged, or speaks of other channels than the picture has.
    """
    if profile is None:
        return _as_rgb(image)
    mode, transform = _open_profile(profile)
    if mode == "RGB" and image.mode == "L":
        image = _as_rgb(image)  # a colour picture that was saved without its colours
    if image.mode != mode:
        raise _ProfileError(f"a profile for {mode} in a picture of mode {image.mode}")
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
            raise _ProfileError(f"a profile for {source.profile.xcolor_space.strip()}")
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (OSError, ImageCms.PyCMSError) as error:
        raise _ProfileError(str(error)) from error
    if mode != "RGB":
        return mode, transform
    levels = np.arange(0, 256, 51, dtype=np.uint8)
    colors = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(levels.size, -1, 3)
    moved = np.asarray(transform.apply(Image.fromarray(colors)), dtype=np.int16) - colors
    is_srgb = np.abs(moved).max() <= _SAME
    return mode, None if is_srgb else transform
