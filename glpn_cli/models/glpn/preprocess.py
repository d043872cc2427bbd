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
from glpn_cli.models.picture_arrays import (
    UNIT,
    as_list,
    check_choice,
    rescale,
    resize_picture,
    stack,
    to_channels_first,
)
from glpn_cli.publish import publish

_PREPROCESSOR_FILE = "preprocessor_config.json"

LOWEST_SHARE = 1e-4
"""Depth is never brought back under this share of the limit: bicubic overshoot would make it negative."""


def prepare(rgb: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
    """uint8 (H, W, 3) -> float32 (1, 3, h, w) in [0, 1]."""
    if rgb.shape[:2] != size:
        rgb = np.asarray(Image.fromarray(rgb).resize(size[::-1], Image.Resampling.BILINEAR))
    return torch.from_numpy(UNIT[rgb.transpose(2, 0, 1)])[None]


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
        check_choice("return_tensors", return_tensors, (None, "np", "pt"))
        check_choice("data_format", data_format, (None, "channels_first", "channels_last"))
        check_choice("input_data_format", input_data_format, (None, "channels_first", "channels_last"))
        arrays = [settings._process(to_channels_first(image, input_data_format)) for image in as_list(images)]
        if data_format == "channels_last":
            arrays = [np.moveaxis(array, 0, -1) for array in arrays]
        return BatchFeature(pixel_values=stack(arrays, return_tensors))

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
