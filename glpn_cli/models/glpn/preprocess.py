"""Pictures into tensors and depth back to pictures, exactly as published; and the documented processor.

The published rule: sides down to multiples of 32 by Pillow's bilinear filter on uint8, then / 255; no mean, no
deviation. Depth comes back bicubic, corners not aligned.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from glpn_cli.errors import ModelError, UsageError
from glpn_cli.models.outputs import BatchFeature, DepthEstimatorOutput
from glpn_cli.publish import publish

_PREPROCESSOR_FILE = "preprocessor_config.json"
_UNIT = (np.arange(256) * (1 / 255)).astype(np.float32)
"""What each uint8 becomes in [0, 1]; the product is taken in double precision, as published."""

LOWEST_SHARE = 1e-4
"""Depth is never brought back under this share of the limit: bicubic overshoot would make it negative."""


def prepare(rgb: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
    """uint8 (H, W, 3) -> float32 (1, 3, h, w) in [0, 1]."""
    if rgb.shape[:2] != size:
        rgb = np.asarray(Image.fromarray(rgb).resize(size[::-1], Image.Resampling.BILINEAR))
    return torch.from_numpy(_UNIT[rgb.transpose(2, 0, 1)])[None]


def restore(depth: Tensor, size: tuple[int, int], *, limit_m: float) -> NDArray[np.float32]:
    """Depth float32 (h, w) -> float32 (H, W): bicubic, then clamped to [limit / 10000, limit]; metres."""
    if tuple(depth.shape) != size:
        depth = resize_depth(depth, size)
    restored: NDArray[np.float32] = depth.clamp(limit_m * LOWEST_SHARE, limit_m).cpu().numpy()
    return restored


def resize_depth(depth: Tensor, size: tuple[int, int]) -> Tensor:
    """(h, w) -> (H, W), bicubic as published; can overshoot the range."""
    return F.interpolate(depth[None, None], size=size, mode="bicubic", align_corners=False)[0, 0]


class GLPNImageProcessor:
    """The documented image processor.

    do_resize:      bring each side down to a multiple of `size_divisor`.
    size_divisor:   32 for the published models.
    resample:       Pillow's number of the filter, 2 = bilinear.
    do_rescale:     multiply by `rescale_factor`, 1 / 255.

    Every setting can be given again for one call. Raises UsageError (a ValueError) for settings and inputs it
    cannot honour.
    """

    model_input_names = ("pixel_values",)

    def __init__(
        self,
        *,
        do_resize: bool = True,
        size_divisor: int = 32,
        resample: int = Image.Resampling.BILINEAR,
        do_rescale: bool = True,
        rescale_factor: float = 1 / 255,
    ) -> None:
        if isinstance(size_divisor, bool) or not isinstance(size_divisor, int) or size_divisor < 1:
            raise UsageError(f"size_divisor = {size_divisor!r} is no whole number from 1 up")
        self.do_resize = do_resize
        self.size_divisor = size_divisor
        self.resample = Image.Resampling(resample)
        self.do_rescale = do_rescale
        self.rescale_factor = rescale_factor

    def __call__(self, images: Any, **settings: Any) -> BatchFeature:
        """The same as `preprocess`."""
        return self.preprocess(images, **settings)

    def preprocess(
        self,
        images: Any,
        *,
        do_resize: bool | None = None,
        size_divisor: int | None = None,
        resample: int | None = None,
        do_rescale: bool | None = None,
        rescale_factor: float | None = None,
        return_tensors: str | None = None,
        data_format: str | None = None,
        input_data_format: str | None = None,
    ) -> BatchFeature:
        """Pictures -> {"pixel_values": ...}.

        images:            a PIL picture, an array or tensor (H, W, C), (C, H, W) or (H, W), a batch of them in one
                           array (B, ...), or a list of any of these. Floats are in [0, 1].
        return_tensors:    None (a list of arrays), "np" or "pt" (one stack).
        data_format:       "channels_first" (default) or "channels_last" for what comes out.
        input_data_format: the same for what goes in; inferred where None.
        """
        changed = {
            "do_resize": do_resize,
            "size_divisor": size_divisor,
            "resample": resample,
            "do_rescale": do_rescale,
            "rescale_factor": rescale_factor,
        }
        settings = GLPNImageProcessor(**(self._settings() | {k: v for k, v in changed.items() if v is not None}))
        _check_choice("return_tensors", return_tensors, (None, "np", "pt"))
        _check_choice("data_format", data_format, (None, "channels_first", "channels_last"))
        _check_choice("input_data_format", input_data_format, (None, "channels_first", "channels_last"))
        arrays = [settings._process(_to_channels_first(image, input_data_format)) for image in _as_list(images)]
        if data_format == "channels_last":
            arrays = [np.moveaxis(array, 0, -1) for array in arrays]
        return BatchFeature(pixel_values=_stack(arrays, return_tensors))

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
        settings = self._settings() | {"resample": int(self.resample)}
        return {"image_processor_type": "GLPNImageProcessor"} | settings

    def save_pretrained(self, folder: str | PathLike[str]) -> None:
        """Write preprocessor_config.json into `folder`."""
        text = json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"
        publish(Path(folder) / _PREPROCESSOR_FILE, text.encode())

    @classmethod
    def from_pretrained(
        cls, name: str | PathLike[str], *, revision: str | None = None, local_files_only: bool = False, **overrides: Any
    ) -> GLPNImageProcessor:
        """The processor of a model folder, registry name or hub repository; `overrides` replace its settings.

        A checkpoint without a preprocessor_config.json gets the published settings. Raises ModelError for settings
        that do not exist.
        """
        from glpn_cli.models.pretrained import open_named

        raw = dict(open_named(name, revision=revision, offline=local_files_only).preprocessor or {})
        known = cls()._settings()
        if unknown := sorted(set(overrides) - set(known)):
            raise ModelError(f"{cls.__name__} has no setting {', '.join(unknown)}", hint=f"It has: {', '.join(known)}.")
        return cls(**({k: raw[k] for k in known if raw.get(k) is not None} | overrides))

    def _settings(self) -> dict[str, Any]:
        return {
            name: getattr(self, name)
            for name in ("do_resize", "size_divisor", "resample", "do_rescale", "rescale_factor")
        }

    def _process(self, picture: NDArray[Any]) -> NDArray[Any]:
        """(C, H, W) -> (C, h, w)."""
        if self.do_resize:
            picture = self._resize(picture)
        if self.do_rescale:
            picture = (picture.astype(np.float64) * self.rescale_factor).astype(np.float32)
        return picture

    def _resize(self, picture: NDArray[Any]) -> NDArray[Any]:
        """Through uint8, as published: floats in [0, 1] lose what 255 steps cannot hold."""
        _, height, width = picture.shape
        size = (width // self.size_divisor * self.size_divisor, height // self.size_divisor * self.size_divisor)
        if not all(size):
            raise UsageError(
                f"picture is {width}x{height}, and both sides must be at least {self.size_divisor}",
                hint="DepthEstimator and the command line take pictures of any size.",
            )
        is_unit_range = _is_unit_range(picture)
        pixels = (picture.astype(np.float64) * 255).astype(np.float32) if is_unit_range else picture
        channels_last = np.moveaxis(pixels.astype(np.uint8), 0, -1)
        image = Image.fromarray(
            channels_last[..., 0] if channels_last.shape[-1] == 1 else np.ascontiguousarray(channels_last)
        )
        resized = np.asarray(image.resize(size, self.resample))
        resized = np.moveaxis(resized[..., None] if resized.ndim == 2 else resized, -1, 0)
        return (resized.astype(np.float64) * (1 / 255)).astype(np.float32) if is_unit_range else resized


GLPNFeatureExtractor = GLPNImageProcessor
"""The processor's old name, which the published checkpoints' preprocessor_config.json still use."""


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


def _as_list(images: Any) -> list[Any]:
    if isinstance(images, list | tuple):
        return [one for image in images for one in _as_list(image)]
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


def _stack(arrays: list[NDArray[Any]], return_tensors: str | None) -> Any:
    if return_tensors is None:
        return arrays
    if len({array.shape for array in arrays}) > 1:
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise UsageError(f"pictures of different sizes do not stack: {shapes}", hint="Process them one by one.")
    stacked = np.stack(arrays)
    return torch.from_numpy(stacked) if return_tensors == "pt" else stacked


def _check_choice(name: str, value: str | None, choices: tuple[str | None, ...]) -> None:
    if value not in choices:
        raise UsageError(f"{name} = {value!r} is not supported; choose from {', '.join(map(repr, choices))}")
