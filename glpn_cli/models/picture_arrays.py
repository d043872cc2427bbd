"""Pictures as the documented processors take them and give them: PIL, arrays, tensors, in either layout."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from glpn_cli.errors import UsageError

UNIT = (np.arange(256) * (1 / 255)).astype(np.float32)
"""What each uint8 becomes in [0, 1]; the product is taken in double precision, as published."""


def resize_picture(picture: NDArray[Any], size: tuple[int, int], *, resample: int) -> NDArray[Any]:
    """(C, H, W) -> (C, h, w) by one of Pillow's filters.

    Through uint8, as published: floats in [0, 1] lose what 255 steps cannot hold.
    """
    is_unit_range = _is_unit_range(picture)
    pixels = (picture.astype(np.float64) * 255).astype(np.float32) if is_unit_range else picture
    channels_last = np.moveaxis(pixels.astype(np.uint8), 0, -1)
    image = Image.fromarray(
        channels_last[..., 0] if channels_last.shape[-1] == 1 else np.ascontiguousarray(channels_last)
    )
    resized = np.asarray(image.resize(size[::-1], Image.Resampling(resample)))
    resized = np.moveaxis(resized[..., None] if resized.ndim == 2 else resized, -1, 0)
    return rescale(resized, 1 / 255) if is_unit_range else resized


def rescale(picture: NDArray[Any], factor: float) -> NDArray[np.float32]:
    """The picture times `factor`, float32; the product is taken in double precision, as published."""
    scaled: NDArray[np.float32] = (picture.astype(np.float64) * factor).astype(np.float32)
    return scaled


def _is_unit_range(picture: NDArray[Any]) -> bool:
    """Whether floats are in [0, 1] rather than whole numbers in [0, 255]. Raises UsageError for other values."""
    if picture.dtype == np.uint8:
        return False
    if np.allclose(picture, np.trunc(picture)):
        if picture.min() >= 0 and picture.max() <= 255:
            return False
        raise UsageError(f"whole-numbered pixels must be in [0, 255], not [{picture.min()}, {picture.max()}]")
    if picture.min() >= 0 and picture.max() <= 1:
        return True
    raise UsageError(f"fractional pixels must be in [0, 1], not [{picture.min():g}, {picture.max():g}]")


def as_list(images: Any) -> list[Any]:
    """One picture, a batch in one array, or lists of these -> a flat list of pictures."""
    if isinstance(images, list | tuple):
        return [one for image in images for one in as_list(image)]
    if not isinstance(images, Image.Image | np.ndarray | Tensor):
        raise UsageError(
            f"images of type {type(images).__name__} are not understood", hint="Give PIL pictures, arrays or tensors."
        )
    if not isinstance(images, Image.Image) and images.ndim == 4:
        return list(images)
    return [images]


def to_channels_first(image: Any, input_data_format: str | None) -> NDArray[Any]:
    """Any one picture -> (C, H, W). Where first and last axis both could be channels, the first is taken."""
    array: NDArray[Any] = image.numpy(force=True) if isinstance(image, Tensor) else np.asarray(image)
    if array.ndim == 2:
        return array[None]
    if array.ndim != 3:
        raise UsageError(f"a picture must be (H, W, C), (C, H, W) or (H, W), not {array.shape}")
    if isinstance(image, Image.Image):
        input_data_format = "channels_last"
    if input_data_format is None:
        channels = (1, 3, 4)
        if array.shape[0] not in channels and array.shape[-1] not in channels:
            raise UsageError(f"no axis of {array.shape} looks like channels", hint="Say it with input_data_format.")
        input_data_format = "channels_first" if array.shape[0] in channels else "channels_last"
    return np.moveaxis(array, -1, 0) if input_data_format == "channels_last" else array


def stack(arrays: list[NDArray[Any]], return_tensors: str | None) -> Any:
    """A list of arrays as `return_tensors` asks: None leaves it, "np" and "pt" make one stack of them.

    Raises UsageError where there is nothing to stack, or arrays of different sizes.
    """
    if return_tensors is None:
        return arrays
    if not arrays:
        raise UsageError("there are no pictures to stack")
    if len({array.shape for array in arrays}) > 1:
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise UsageError(f"pictures of different sizes do not stack: {shapes}", hint="Process them one by one.")
    stacked = np.stack(arrays)
    return torch.from_numpy(stacked) if return_tensors == "pt" else stacked


def check_formats(return_tensors: str | None, data_format: str | None, input_data_format: str | None) -> None:
    """Raise UsageError for formats that the documented processors do not know."""
    _check_choice("return_tensors", return_tensors, (None, "np", "pt"))
    for name, value in (("data_format", data_format), ("input_data_format", input_data_format)):
        _check_choice(name, value, (None, "channels_first", "channels_last"))


def _check_choice(name: str, value: str | None, choices: tuple[str | None, ...]) -> None:
    if value not in choices:
        raise UsageError(f"{name} = {value!r} is not supported; choose from {', '.join(map(repr, choices))}")
