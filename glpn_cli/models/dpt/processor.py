"""Pictures to tensors, exactly as published; and the documented processor.

The published rule: to the network's size by Pillow's bicubic filter on uint8, then / 255, mean and deviation one half.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from glpn_cli.errors import UsageError
from glpn_cli.models.fields import is_whole
from glpn_cli.models.hf_compat_base import SemanticSegmenterOutput
from glpn_cli.models.image_processor import (
    UNIT,
    BatchFeature,
    ImageProcessor,
    flatten_pictures,
    rescale,
    resize_picture,
    stack,
    to_tensor,
)
from glpn_cli.text import size_text

Size = int | Sequence[int] | dict[str, int]
_NO_LABEL = 255

_CENTRED = (UNIT - np.float32(0.5)) / np.float32(0.5)
"""The value in [-1, 1] of each uint8."""


def prepare(rgb: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
    """uint8 (H, W, 3) -> float32 (1, 3, h, w) in [-1, 1]."""
    return to_tensor(rgb, size, values=_CENTRED, resample=Image.Resampling.BICUBIC)


class DPTImageProcessor(ImageProcessor):
    """The documented image processor.

    do_resize, size:    bring pictures to `size`: {"height": h, "width": w}, (h, w) or a side.
    keep_aspect_ratio:  scale as little as possible so that one side is right, the other following the aspect.
    ensure_multiple_of: round both sides to multiples of it.
    resample:           Pillow's number of the filter, 3 = bicubic.
    do_rescale:         multiply by `rescale_factor`, 1 / 255.
    do_normalize:       subtract `image_mean`, divide by `image_std`; a number, or one a channel.
    do_pad:             zeros around, so that both sides are multiples of `size_divisor`.
    do_reduce_labels:   label 0 of segmentation maps means none and becomes 255, all others one less.

    Every setting can be given again for one call. Raises UsageError (a ValueError) for settings and inputs it
    cannot honour.
    """

    setting_names = (
        "do_resize",
        "size",
        "resample",
        "keep_aspect_ratio",
        "ensure_multiple_of",
        "do_rescale",
        "rescale_factor",
        "do_normalize",
        "image_mean",
        "image_std",
        "do_pad",
        "size_divisor",
        "do_reduce_labels",
    )

    def __init__(
        self,
        *,
        do_resize: bool = True,
        size: Size = 384,
        resample: int = Image.Resampling.BICUBIC,
        keep_aspect_ratio: bool = False,
        ensure_multiple_of: int = 1,
        do_rescale: bool = True,
        rescale_factor: float = 1 / 255,
        do_normalize: bool = True,
        image_mean: float | Sequence[float] = (0.5, 0.5, 0.5),
        image_std: float | Sequence[float] = (0.5, 0.5, 0.5),
        do_pad: bool = False,
        size_divisor: int | None = None,
        do_reduce_labels: bool = False,
    ) -> None:
        self.do_resize = do_resize
        self.size = _as_size(size)
        self.resample = Image.Resampling(resample)
        self.keep_aspect_ratio = keep_aspect_ratio
        self.ensure_multiple_of = _whole("ensure_multiple_of", ensure_multiple_of)
        self.do_rescale = do_rescale
        self.rescale_factor = rescale_factor
        self.do_normalize = do_normalize
        self.image_mean = image_mean if isinstance(image_mean, int | float) else list(image_mean)
        self.image_std = image_std if isinstance(image_std, int | float) else list(image_std)
        self.do_pad = do_pad
        self.size_divisor = None if size_divisor is None else _whole("size_divisor", size_divisor)
        self.do_reduce_labels = do_reduce_labels

    def preprocess(
        self, images: Any, segmentation_maps: Any = None, *, return_tensors: str | None = None, **more: Any
    ) -> BatchFeature:
        """Pictures -> {"pixel_values": ..., and "labels": ... where maps were given}; see `ImageProcessor.preprocess`.

        segmentation_maps: one label a pixel, (H, W), as many as pictures; resized to the nearest label, where
                           transformers mixes labels by the pictures' filter.
        """
        answer = super().preprocess(images, return_tensors=return_tensors, **more)
        if segmentation_maps is not None:
            asked = self.changed({name: value for name, value in more.items() if name in self.setting_names})
            maps = [asked._process_labels(np.asarray(one)) for one in flatten_pictures(segmentation_maps)]
            if len(maps) != len(answer["pixel_values"]):
                raise UsageError(f"{len(maps)} segmentation maps were given for {len(answer['pixel_values'])} pictures")
            answer["labels"] = stack(maps, return_tensors)
        return answer

    def post_process_semantic_segmentation(
        self,
        outputs: SemanticSegmenterOutput,
        target_sizes: Sequence[tuple[int, int]] | Tensor | None = None,
        return_segmentation_scores: bool = False,
    ) -> list[Any]:
        """The label of every pixel, int64 (H, W), one map a picture.

        target_sizes:               one (H, W) a picture; None leaves the network's size.
        return_segmentation_scores: give {"segmentation", "segmentation_scores" (labels, H, W)} for each instead.
        """
        logits = list(outputs.logits)
        if target_sizes is not None:
            if len(target_sizes) != len(logits):
                raise UsageError(f"{len(target_sizes)} target sizes were given for {len(logits)} pictures")
            sizes = [(int(height), int(width)) for height, width in target_sizes]
            logits = [
                F.interpolate(one[None], size=size, mode="bilinear", align_corners=False)[0]
                for one, size in zip(logits, sizes, strict=True)
            ]
        if return_segmentation_scores:
            return [BatchFeature(segmentation=one.argmax(dim=0), segmentation_scores=one) for one in logits]
        return [one.argmax(dim=0) for one in logits]

    def process(self, picture: NDArray[Any]) -> NDArray[Any]:
        """(C, H, W) -> (C, h, w)."""
        if self.do_resize:
            picture = resize_picture(picture, self._size_for(picture), resample=self.resample)
        if self.do_rescale:
            picture = rescale(picture, self.rescale_factor)
        if self.do_normalize:
            picture = _normalize(picture, mean=self.image_mean, deviation=self.image_std)
        return self._pad(picture)

    def _process_labels(self, labels: NDArray[Any]) -> NDArray[np.int64]:
        """(H, W) -> int64 (h, w)."""
        if labels.ndim == 3 and 1 in (labels.shape[0], labels.shape[-1]):
            labels = labels.squeeze(0 if labels.shape[0] == 1 else -1)
        if labels.ndim != 2 or labels.dtype.kind not in "iub":
            raise UsageError(f"a segmentation map must be whole numbers (H, W), not {labels.dtype} {labels.shape}")
        if self.do_reduce_labels:
            labels = np.where((labels == 0) | (labels == _NO_LABEL), _NO_LABEL, labels.astype(np.int64) - 1)
        if self.do_resize:
            height, width = self._size_for(labels)
            image = Image.fromarray(labels.astype(np.int32)).resize((width, height), Image.Resampling.NEAREST)
            labels = np.asarray(image)
        return self._pad(labels).astype(np.int64)

    def _size_for(self, picture: NDArray[Any]) -> tuple[int, int]:
        """(h, w) that a picture (..., H, W) is brought to."""
        given = picture.shape[-2:]
        factors = [self.size[name] / side for name, side in zip(("height", "width"), given, strict=True)]
        if self.keep_aspect_ratio:
            factors = [factors[1] if abs(1 - factors[1]) < abs(1 - factors[0]) else factors[0]] * 2
        step = self.ensure_multiple_of
        height, width = (round(factor * side / step) * step for factor, side in zip(factors, given, strict=True))
        if not (height and width):
            raise UsageError(
                f"picture is {size_text(given)}, which a multiple of {step} leaves nothing of",
                hint="DepthEstimator and the command line take pictures of any size.",
            )
        return height, width

    def _pad(self, picture: NDArray[Any]) -> NDArray[Any]:
        """(..., h, w) -> with zeros around, half before and half behind."""
        if not self.do_pad or self.size_divisor is None:
            return picture
        needed = [-side % self.size_divisor for side in picture.shape[-2:]]
        before = [(0, 0)] * (picture.ndim - 2)
        return np.pad(picture, [*before, *((side // 2, side - side // 2) for side in needed)])


DPTFeatureExtractor = DPTImageProcessor
"""The processor's old name, which the published checkpoints' preprocessor_config.json still use."""


def _normalize(
    picture: NDArray[Any], *, mean: float | Sequence[float], deviation: float | Sequence[float]
) -> NDArray[Any]:
    """(C, h, w), in the picture's own precision, or float32 where it is whole numbers."""
    if picture.dtype.kind != "f":
        picture = picture.astype(np.float32)
    for name, value in (("image_mean", mean), ("image_std", deviation)):
        if not isinstance(value, int | float) and len(value) != len(picture):
            raise UsageError(f"{name} has {len(value)} numbers for a picture of {len(picture)} channels")
    shape = (-1, 1, 1)
    normal: NDArray[Any] = (picture - np.asarray(mean, picture.dtype).reshape(shape)) / np.asarray(
        deviation, picture.dtype
    ).reshape(shape)
    return normal


def _as_size(size: Size) -> dict[str, int]:
    if is_whole(size):
        size = {"height": size, "width": size}  # type: ignore[dict-item]  # is_whole says so
    elif isinstance(size, list | tuple) and len(size) == 2:
        size = {"height": size[0], "width": size[1]}
    if not isinstance(size, dict) or set(size) != {"height", "width"}:
        raise UsageError(f"size = {size!r} is neither a side, nor (height, width), nor these by name")
    return {name: _whole(f"size[{name!r}]", side) for name, side in size.items()}


def _whole(name: str, value: object) -> int:
    if not (isinstance(value, int) and is_whole(value)) or value < 1:
        raise UsageError(f"{name} = {value!r} is no whole number from 1 up")
    return value
