"""Pictures in and depth out as transformers' picture processors do it, by those that need no torchvision.

ZoeDepth's way out and both of Depth Pro's are written out here, because theirs need torchvision.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from glpn_cli.errors import ModelError
from glpn_cli.models.adapter.network import quiet_transformers
from glpn_cli.models.image_processor import resize_depth

_LEAST = 1e-30
_MOST_M = 1e4
"""Depth Pro's inverse depth is clipped so that this is the farthest, and a ten-thousandth of a metre the nearest."""


class PictureProcessor:
    """Any processor of transformers, with the settings of a preprocessor_config.json.

    lowest_share: the least depth of a map, as a share of its largest: resizing undershoots where it is near 0

    Raises ModelError where transformers has none for this type of model, or only one that needs torchvision.
    """

    lowest_share = 1e-4

    def __init__(self, model_type: str, settings: Mapping[str, Any]) -> None:
        self._theirs = _make(model_type, settings)
        self._sizes: dict[tuple[int, int], tuple[int, int]] = {}

    def network_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(h, w) that it makes of a picture of (H, W), found out by trying. Raises ModelError where it makes none."""
        if size not in self._sizes:
            try:
                height, width = self.prepare(np.zeros((*size, 3), np.uint8)).shape[-2:]
            except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
                raise ModelError(f"preprocessor_config.json makes no picture: {str(error)[:200]}") from error
            self._sizes[size] = (height, width)
        return self._sizes[size]

    def prepare(self, rgb: NDArray[np.uint8]) -> Tensor:
        """uint8 (H, W, 3) -> float32 (1, 3, h, w)."""
        pixels: Tensor = self._theirs(images=Image.fromarray(rgb), return_tensors="pt")["pixel_values"]
        return pixels.float()

    def restore(self, raw: Tensor, size: tuple[int, int]) -> NDArray[np.float32]:
        """One answer of the network (h, w) -> depth float32 (H, W), > 0."""
        depth = self.resize(raw, size)
        lowest = max(float(depth.max()) * self.lowest_share, _LEAST)
        restored: NDArray[np.float32] = depth.clamp(min=lowest).cpu().numpy()
        return restored

    def resize(self, raw: Tensor, size: tuple[int, int]) -> Tensor:
        """As `restore`, but of any sign."""
        [answer] = self._theirs.post_process_depth_estimation(SimpleNamespace(predicted_depth=raw[None]), [size])
        depth: Tensor = answer["predicted_depth"]
        return depth


class _ZoeDepthProcessor(PictureProcessor):
    """Pads pictures with a mirrored border before they are resized; it is cut off the answer."""

    def resize(self, raw: Tensor, size: tuple[int, int]) -> Tensor:
        """Bicubic, to the size of the padded picture, without its border."""
        if not self._theirs.do_pad:
            return resize_depth(raw, size)
        height, width = size
        top, left = (int(np.sqrt(side / 2) * 3) for side in size)
        return resize_depth(raw, (height + 2 * top, width + 2 * left))[top : top + height, left : left + width]


class _DepthProProcessor(PictureProcessor):
    """Normalises pictures, then brings them to a square of 1536 pixels; the answer is inverse metres."""

    lowest_share = 0.0

    def __init__(self, settings: Mapping[str, Any]) -> None:
        given = {name: value for name, value in settings.items() if value is not None}
        size = given.get("size", {"height": 1536, "width": 1536})
        try:
            self._side = int(size["height"]), int(size["width"])
            self._factor = float(given.get("rescale_factor", 1 / 255)) if given.get("do_rescale", True) else 1.0
            is_normed = given.get("do_normalize", True)
            mean, deviation = given.get("image_mean", [0.5] * 3), given.get("image_std", [0.5] * 3)
            self._mean, self._deviation = (
                torch.tensor(each if is_normed else other, dtype=torch.float32).view(3, 1, 1)
                for each, other in ((mean, [0.0] * 3), (deviation, [1.0] * 3))
            )
            self._filter = {0: "nearest", 2: "bilinear", 3: "bicubic"}[given.get("resample", 2)]
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ModelError(f"preprocessor_config.json makes no sense for a Depth Pro: {error!r}") from error
        self._is_resized = given.get("do_resize", True)

    def network_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The square."""
        return self._side if self._is_resized else size

    def prepare(self, rgb: NDArray[np.uint8]) -> Tensor:
        """By torch's interpolation, which can be used on negative numbers, without antialiasing."""
        pixels = torch.from_numpy(rgb.transpose(2, 0, 1).astype(np.float32))
        pixels = ((pixels * self._factor - self._mean) / self._deviation)[None]
        return F.interpolate(pixels, self.network_size(rgb.shape[:2]), mode=self._filter)

    def resize(self, raw: Tensor, size: tuple[int, int]) -> Tensor:
        """Resize inverse metres, then invert."""
        inverse = F.interpolate(raw[None, None], size, mode=self._filter)[0, 0]
        return 1 / inverse.clamp(1 / _MOST_M, _MOST_M)


def make_processor(model_type: str, settings: Mapping[str, Any]) -> PictureProcessor:
    """The processor of a model. Raises ModelError where there is none."""
    if model_type == "depth_pro":
        return _DepthProProcessor(settings)
    return (_ZoeDepthProcessor if model_type == "zoedepth" else PictureProcessor)(model_type, settings)


def _make(model_type: str, settings: Mapping[str, Any]) -> Any:
    with quiet_transformers():
        auto = import_module("transformers.models.auto.image_processing_auto")
        usual = auto.IMAGE_PROCESSOR_MAPPING_NAMES.get(model_type, {})
        name = settings.get("image_processor_type") or settings.get("feature_extractor_type")
        name = str(name or usual.get("torchvision") or usual.get("pil") or "ImageProcessor")
        name = name.replace("FeatureExtractor", "ImageProcessor").removesuffix("Fast").removesuffix("Pil")
        if not name.endswith("ImageProcessor"):
            raise ModelError(f"preprocessor_config.json names {name[:80]!r}, which is no picture processor")
        needs_torchvision = False
        for each in (f"{name}Pil", name):
            try:
                found = auto.get_image_processor_class_from_name(each)
                if found is not None:
                    return found.from_dict(dict(settings))
            except ImportError:
                needs_torchvision = True
            except Exception as error:  # settings of other people's folders
                raise ModelError(f"preprocessor_config.json makes no {each}: {error}") from error
    if not needs_torchvision:
        raise ModelError(f"transformers has no picture processor {name}")
    raise ModelError(
        f"{name}, the picture processor of a {model_type} model, is not there without torchvision",
        hint="Run: pip install torchvision",
    )
