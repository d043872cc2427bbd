"""Pictures to tensors and answers back to pictures; and the base of the documented image processors.

Depth comes back bicubic, logits bilinear, corners not aligned, as published.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from glpn_cli.atomic_write import write_atomically
from glpn_cli.checkpoint import PREPROCESSOR_FILE
from glpn_cli.errors import ModelError, UsageError

if TYPE_CHECKING:
    from glpn_cli.models.hf_compat_base import DepthEstimatorOutput

UNIT = (np.arange(256) * (1 / 255)).astype(np.float32)
"""The value in [0, 1] of each uint8; the product is taken in double precision, as published."""


LOWEST_SHARE = 1e-4
"""No depth is brought back under this share of the limit, and no inverse depth under this share of the picture's
largest: bicubic overshoot would make it negative or 0, which is infinitely far."""
_LEAST = 1e-6
_LABELS_AT_ONCE = 8


def to_tensor(
    rgb: NDArray[np.uint8], size: tuple[int, int], *, values: NDArray[np.float32], resample: Image.Resampling
) -> Tensor:
    """uint8 (H, W, 3) -> float32 (1, 3, h, w), resized on uint8.

    values: of each uint8, (256,), or (3, 256), a row a channel
    """
    if rgb.shape[:2] != size:
        rgb = np.asarray(Image.fromarray(rgb).resize(size[::-1], resample))
    channels = rgb.transpose(2, 0, 1)
    if values.ndim == 1:
        return torch.from_numpy(values[channels])[None]
    return torch.from_numpy(np.stack([row[channel] for row, channel in zip(values, channels, strict=True)]))[None]


def restore_metres(depth: Tensor, size: tuple[int, int], *, limit_m: float) -> NDArray[np.float32]:
    """Depth float32 (h, w) -> float32 (H, W): bicubic, then clamped to [limit / 10000, limit]; metres."""
    if tuple(depth.shape) != size:
        depth = resize_depth(depth, size)
    restored: NDArray[np.float32] = depth.clamp(limit_m * LOWEST_SHARE, limit_m).cpu().numpy()
    return restored


def restore_disparity(disparity: Tensor, size: tuple[int, int]) -> NDArray[np.float32]:
    """Inverse depth float32 (h, w) -> float32 (H, W), bicubic, > 0.

    The head's last activation and bicubic undershoot leave zeros and less where things are far away.
    """
    resized = resize_depth(disparity, size)
    restored: NDArray[np.float32] = resized.clamp(min=max(float(resized.max()) * LOWEST_SHARE, _LEAST)).cpu().numpy()
    return restored


def restore_labels(logits: Tensor, size: tuple[int, int]) -> NDArray[np.unsignedinteger]:
    """Logits (labels, h, w) -> uint8, or uint16 for more than 256 labels, (H, W): the highest, the first among equals.

    A few labels at a time, so that a large picture does not need the memory of all of them at its own size.
    Raises ValueError for scores that are not finite.
    """
    if not torch.isfinite(logits).all():
        raise ValueError("its scores are not finite")
    best = logits.new_full(size, -torch.inf)
    labels = torch.zeros(size, dtype=torch.int32, device=logits.device)
    for first in range(0, len(logits), _LABELS_AT_ONCE):
        some = logits[None, first : first + _LABELS_AT_ONCE]
        score, label = F.interpolate(some, size=size, mode="bilinear", align_corners=False)[0].max(dim=0)
        is_better = score > best
        best = torch.where(is_better, score, best)
        labels = torch.where(is_better, (label + first).int(), labels)
    return labels.cpu().numpy().astype(np.uint8 if len(logits) <= 256 else np.uint16)


def resize_depth(depth: Tensor, size: tuple[int, int]) -> Tensor:
    """(h, w) -> (H, W), bicubic as published; can overshoot the range."""
    return F.interpolate(depth[None, None], size=size, mode="bicubic", align_corners=False)[0, 0]


class BatchFeature(dict[str, Any]):
    """What an image processor answers: a mapping whose entries are attributes too, movable with `.to()`."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def to(self, *args: Any, **kwargs: Any) -> BatchFeature:
        """Move (and, if a dtype is given, cast) every tensor as `Tensor.to` does; the rest stays. Returns itself."""
        for name, value in self.items():
            if isinstance(value, Tensor):
                self[name] = value.to(*args, **kwargs)
        return self


class ImageProcessor:
    """Base of the documented processors. `setting_names` are attributes and keyword arguments of the constructor."""

    model_input_names = ("pixel_values",)
    setting_names: ClassVar[tuple[str, ...]]

    def __call__(self, images: Any, *args: Any, **settings: Any) -> BatchFeature:
        """The same as `preprocess`."""
        return self.preprocess(images, *args, **settings)

    def preprocess(
        self,
        images: Any,
        *,
        return_tensors: str | None = None,
        data_format: str | None = None,
        input_data_format: str | None = None,
        **settings: Any,
    ) -> BatchFeature:
        """Pictures -> {"pixel_values": ...}.

        images:            a PIL picture, an array or tensor (H, W, C), (C, H, W) or (H, W), a batch of them in one
                           array (B, ...), or a list of any of these. Floats are in [0, 1].
        return_tensors:    None (a list of arrays), "np" or "pt" (one stack).
        data_format:       "channels_first" (default) or "channels_last" for what comes out.
        input_data_format: the same for what goes in; inferred where None.
        settings:          any of the processor's, for this call.

        Raises UsageError for settings that do not exist, for formats that are not documented, and for pictures that
        cannot be understood or stacked.
        """
        _check_formats(return_tensors, data_format, input_data_format)
        process = self.changed(settings).process
        arrays = [process(_to_channels_first(image, input_data_format)) for image in flatten_pictures(images)]
        if data_format == "channels_last":
            arrays = [np.moveaxis(array, 0, -1) for array in arrays]
        return BatchFeature(pixel_values=stack(arrays, return_tensors))

    def process(self, picture: NDArray[Any]) -> NDArray[Any]:
        """One picture (C, H, W) -> (C, h, w), by the settings."""
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        """Every setting as plain values."""
        values = ((name, getattr(self, name)) for name in self.setting_names)
        return {name: int(value) if name == "resample" else value for name, value in values}

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """The same processor with some settings replaced, those that are not None.

        Raises UsageError for settings that do not exist.
        """
        if unknown := sorted(set(changes) - set(self.setting_names)):
            raise UsageError(
                f"{type(self).__name__} has no setting {', '.join(unknown)}",
                hint=f"It has: {', '.join(self.setting_names)}.",
            )
        given = {name: value for name, value in changes.items() if value is not None}
        return type(self)(**(self.settings() | given)) if given else self

    def post_process_depth_estimation(
        self, outputs: DepthEstimatorOutput, target_sizes: Sequence[tuple[int, int]] | Tensor | None = None
    ) -> list[dict[str, Tensor]]:
        """Depth of each picture at its own size: [{"predicted_depth": (H, W)}, ...], bicubic, as published.

        target_sizes: one (H, W) a picture; None leaves the network's size. Values can overshoot the range a little.
        """
        depths = outputs.predicted_depth
        if target_sizes is None:
            return [{"predicted_depth": depth} for depth in depths]
        if len(target_sizes) != len(depths):
            raise UsageError(f"{len(target_sizes)} target sizes were given for {len(depths)} depth maps")
        sizes = [(int(height), int(width)) for height, width in target_sizes]
        return [{"predicted_depth": resize_depth(depth, size)} for depth, size in zip(depths, sizes, strict=True)]

    def to_dict(self) -> dict[str, Any]:
        """The object of a preprocessor_config.json that transformers reads too."""
        return {"image_processor_type": type(self).__name__} | self.settings()

    def save_pretrained(self, folder: str | PathLike[str]) -> None:
        """Write preprocessor_config.json into `folder`."""
        text = json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"
        write_atomically(Path(folder) / PREPROCESSOR_FILE, text.encode())

    @classmethod
    def from_pretrained(cls, name: str | PathLike[str], **overrides: Any) -> Self:
        """The processor of a model folder, registry name or hub repository.

        overrides: settings to replace, and arguments of `Loading`, such as `revision`.

        A checkpoint without a preprocessor_config.json gets the published settings. Raises ModelError for settings
        that do not exist.
        """
        from glpn_cli.models.config_base import read_config
        from glpn_cli.models.loading import Loading

        checkpoint = Loading.take(overrides).open(name)
        raw = dict(checkpoint.preprocessor or read_config(checkpoint.config).preprocessor())
        known = cls().settings()
        if unknown := sorted(set(overrides) - set(known)):
            raise ModelError(f"{cls.__name__} has no setting {', '.join(unknown)}", hint=f"It has: {', '.join(known)}.")
        return cls(**({k: raw[k] for k in known if raw.get(k) is not None} | overrides))


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


def flatten_pictures(images: Any) -> list[Any]:
    """One picture, a batch in one array, or lists of these -> a flat list of pictures."""
    if isinstance(images, list | tuple):
        return [one for image in images for one in flatten_pictures(image)]
    if not isinstance(images, Image.Image | np.ndarray | Tensor):
        raise UsageError(
            f"images of type {type(images).__name__} are not understood", hint="Give PIL pictures, arrays or tensors."
        )
    if not isinstance(images, Image.Image) and images.ndim == 4:
        return list(images)
    return [images]


def _to_channels_first(image: Any, input_data_format: str | None) -> NDArray[Any]:
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


def _check_formats(return_tensors: str | None, data_format: str | None, input_data_format: str | None) -> None:
    """Raise UsageError for formats that the documented processors do not know."""
    orders = (None, "channels_first", "channels_last")
    for name, value, choices in (
        ("return_tensors", return_tensors, (None, "np", "pt")),
        ("data_format", data_format, orders),
        ("input_data_format", input_data_format, orders),
    ):
        if value not in choices:
            raise UsageError(f"{name} = {value!r} is not supported; choose from {', '.join(map(repr, choices))}")
