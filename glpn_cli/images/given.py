"""Whatever a program holds of a picture, as a picture: a path, bytes, a file, PIL, an array, a tensor.

Nothing is guessed: floats say their range, BGR is said so, and addresses of the web are never opened.
"""

from __future__ import annotations

import io
import os
import sys
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glpn_cli.errors import UsageError
from glpn_cli.images.decode import from_pillow
from glpn_cli.images.find import address_error, is_address
from glpn_cli.images.picture import BACKGROUND, AtLeast, Picture, PictureWarning
from glpn_cli.images.pixel_modes import flatten
from glpn_cli.images.source import ImageSource, read_limited

PictureLike = str | PathLike[str] | bytes | BinaryIO | Image.Image | NDArray[Any] | Any
"""A path; the bytes of a file, or a file opened for reading them; a PIL image; an array (H, W), (H, W, 3) or (H, W, 4);
a torch tensor (C, H, W). `Any` stands for the tensor: this room does not import torch."""

Channels = Literal["rgb", "bgr"]

_UNNAMED = "picture"
_TYPES = "a path, bytes, a file opened with 'rb', a PIL image, a numpy array or a torch tensor"
_MOST_BEYOND = 0.1
"""How far values may lie beyond their range, as a share of it: resampling overshoots so much."""
_DARK = 64
"""The level at a quarter of white, which something in a picture of 16 bits reaches."""


class GivenSource:
    """A picture that a program gave, read when its turn comes; it may stand for an `ImageSource`.

    thing:       see `PictureLike`
    channels:    the order of colours in an array or a tensor: "rgb", or "bgr" as OpenCV has it
    value_range: (black, white) of the values of an array or a tensor; None: all that its integers can hold
    """

    path: Path | None = None
    data: bytes | None = None

    def __init__(
        self, thing: PictureLike, *, channels: Channels = "rgb", value_range: tuple[float, float] | None = None
    ) -> None:
        self._thing = thing
        self._layout = (channels, value_range)
        where = thing if isinstance(thing, str | PathLike) else getattr(thing, "name", None)
        is_named = isinstance(where, str | PathLike) and not _is_tensor(thing)
        self.name = (Path(os.fspath(where)).name if is_named else "") or _UNNAMED  # type: ignore[arg-type]  # it is one
        self.given = str(where) if is_named else _UNNAMED

    def read(self, *, at_least: AtLeast | None = None) -> Picture:
        """The picture. Raises UsageError for what is none, InputError for one that cannot be read."""
        thing, (channels, value_range) = self._thing, self._layout
        if channels not in ("rgb", "bgr"):
            raise UsageError(f"there are no channels {channels!r}", hint="Choose rgb or bgr.")
        if isinstance(thing, np.ndarray) or _is_tensor(thing):
            pixels = thing if isinstance(thing, np.ndarray) else _channels_last(thing)
            return _picture_from_array(pixels, channels=channels, value_range=value_range)
        if channels != "rgb" or value_range is not None:
            raise UsageError(
                "channels and value_range are for arrays and tensors: a file or a PIL image says its own",
                hint="Leave them out.",
            )
        if isinstance(thing, Image.Image):
            return from_pillow(thing)
        return self._as_file().read(at_least=at_least)

    @property
    def content(self) -> Path | bytes | None:
        """Where the bytes of its file are, or the bytes; None for pixels. Raises as `read` does."""
        is_pixels = isinstance(self._thing, np.ndarray | Image.Image) or _is_tensor(self._thing)
        return None if is_pixels else self._as_file().content

    def read_colors(self) -> NDArray[np.uint8]:
        """The upright picture, uint8 (H, W, 3), at its full size."""
        return self.read().rgb

    def _as_file(self) -> ImageSource:
        """A path, bytes or an open file, as a picture to be decoded."""
        thing = self._thing
        if isinstance(thing, str | PathLike):
            if is_address(self.given):
                raise address_error(self.given)
            return ImageSource(Path(thing), self.name, self.given)
        if callable(getattr(thing, "read", None)):
            self._thing = thing = _read_file(thing, self.given)  # it can be read only once
        if isinstance(thing, bytearray | memoryview):
            thing = bytes(thing)
        if not isinstance(thing, bytes):
            raise UsageError(f"{type(thing).__name__} is no picture", hint=f"Give {_TYPES}.")
        return ImageSource(None, self.name, self.given, thing)


def _picture_from_array(
    array: NDArray[Any], *, channels: Channels = "rgb", value_range: tuple[float, float] | None = None
) -> Picture:
    """A picture of the numbers (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), the last with opacity in its fourth channel.

    Integers of 8 and 16 bits go from 0 to the largest that they can hold; everything else needs `value_range`. Where a
    float is not finite, nothing is known. Raises UsageError.
    """
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or not array.size:
        raise _shape_error(array)
    if channels == "bgr":
        if array.shape[2] == 1:
            raise UsageError("channels='bgr' makes no sense for an array of one channel", hint="Leave it out.")
        array = array[..., [2, 1, 0, *range(3, array.shape[2])]]
    known = np.isfinite(array).all(axis=2) if array.dtype.kind == "f" else None
    if known is not None and known.all():
        known = None
    levels = _to_8_bits(array if known is None else np.where(known[..., None], array, 0), value_range, known)
    flat = flatten(Image.fromarray(levels[..., 0] if levels.shape[2] == 1 else levels))
    if value_range is None and array.dtype == np.uint16 and 0 < levels.max() < _DARK:
        flat = replace(flat, warnings=(*flat.warnings, PictureWarning.DARK))
    if known is None:
        return flat
    flat.rgb[~known] = BACKGROUND
    return replace(flat, valid=known if flat.valid is None else flat.valid & known)


def _to_8_bits(
    array: NDArray[Any], value_range: tuple[float, float] | None, known: NDArray[np.bool_] | None
) -> NDArray[np.uint8]:
    if array.dtype == np.uint8 and value_range is None:
        return np.ascontiguousarray(array)
    if value_range is None:
        if array.dtype != np.uint16:
            raise UsageError(
                f"an array of {array.dtype} does not say which of its values are black and white",
                hint="Say it: value_range=(0, 1), or (0, 255).",
            )
        value_range = (0, 65535)
    black, white = value_range
    if array.dtype.kind not in "uif" or not (np.isfinite([black, white]).all() and black < white):
        raise UsageError(
            f"value_range={value_range!r} fits no array of {array.dtype}",
            hint="Give numbers, and their (black, white), the smaller first.",
        )
    shares = (array.astype(np.float64) - black) / (white - black)
    inside = shares if known is None or not known.any() else shares[known]
    if inside.min() < -_MOST_BEYOND or inside.max() > 1 + _MOST_BEYOND:
        low, high = black + inside.min() * (white - black), black + inside.max() * (white - black)
        raise UsageError(
            f"the array's values go from {low:g} to {high:g}, beyond value_range={value_range!r}",
            hint="Give the range that they are in.",
        )
    levels: NDArray[np.uint8] = np.rint(shares.clip(0, 1) * 255).astype(np.uint8)
    return levels


def _shape_error(array: NDArray[Any]) -> UsageError:
    hint = "Give one picture as (H, W), (H, W, 3) or (H, W, 4); many go through predict_many."
    if array.ndim == 3 and array.shape[0] in (1, 3, 4):
        hint = "Put the channels last: numpy.moveaxis(array, 0, -1)."
    return UsageError(f"an array {array.shape} of {array.dtype} is no picture", hint=hint)


def _is_tensor(thing: object) -> bool:
    torch = sys.modules.get("torch")  # whoever holds a tensor has imported it
    return torch is not None and isinstance(thing, torch.Tensor)


def _channels_last(tensor: Any) -> NDArray[Any]:
    """A tensor (H, W) or (C, H, W) as an array, channels last."""
    if tensor.ndim == 3 and tensor.shape[0] in (1, 3, 4):
        tensor = tensor.movedim(0, -1)
    elif tensor.ndim != 2:
        raise UsageError(
            f"a tensor {tuple(tensor.shape)} is no picture",
            hint="Give one picture as (3, H, W); a batch (B, 3, H, W) goes through predict_tensor.",
        )
    if tensor.is_floating_point():
        tensor = tensor.float()  # numpy has no bfloat16
    array: NDArray[Any] = tensor.numpy(force=True)
    return array


def _read_file(file: Any, label: str) -> bytes:
    """All bytes of an open file. Raises UsageError where it was opened as text, InputError where reading fails."""
    if isinstance(file, io.TextIOBase):
        raise UsageError("the file was opened as text", hint="Open it with open(path, 'rb').")
    return read_limited(file, label)
