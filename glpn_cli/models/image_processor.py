"""What the documented image processors share: their settings' way in and out of folders, and depth's way back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from glpn_cli.atomic_write import write_atomically
from glpn_cli.errors import ModelError, UsageError
from glpn_cli.models.outputs import BatchFeature, DepthEstimatorOutput
from glpn_cli.models.picture_arrays import as_list, check_formats, stack, to_channels_first

_PREPROCESSOR_FILE = "preprocessor_config.json"


def resize_depth(depth: Tensor, size: tuple[int, int]) -> Tensor:
    """(h, w) -> (H, W), bicubic as published; can overshoot the range."""
    return F.interpolate(depth[None, None], size=size, mode="bicubic", align_corners=False)[0, 0]


class ImageProcessor:
    """Base of the documented processors. `setting_names` are attributes and keyword arguments of the constructor."""

    model_input_names = ("pixel_values",)
    setting_names: ClassVar[tuple[str, ...]]

    def __call__(self, images: Any, *args: Any, **settings: Any) -> BatchFeature:
        """The same as `preprocess`."""
        return self.preprocess(images, *args, **settings)

    def preprocess(self, images: Any, *args: Any, **settings: Any) -> BatchFeature:
        """Pictures -> {"pixel_values": ...}."""
        raise NotImplementedError

    def pixel_values(
        self, images: Any, *, return_tensors: str | None, data_format: str | None, input_data_format: str | None
    ) -> Any:
        """Every picture as `process` makes it, laid out and stacked as `preprocess` documents.

        Raises UsageError for formats that are not documented and for pictures that cannot be understood or stacked.
        """
        check_formats(return_tensors, data_format, input_data_format)
        arrays = [self.process(to_channels_first(image, input_data_format)) for image in as_list(images)]
        if data_format == "channels_last":
            arrays = [np.moveaxis(array, 0, -1) for array in arrays]
        return stack(arrays, return_tensors)

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
        return type(self)(**(self.settings() | {name: value for name, value in changes.items() if value is not None}))

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
        write_atomically(Path(folder) / _PREPROCESSOR_FILE, text.encode())

    @classmethod
    def from_pretrained(
        cls, name: str | PathLike[str], *, revision: str | None = None, local_files_only: bool = False, **overrides: Any
    ) -> Self:
        """The processor of a model folder, registry name or hub repository; `overrides` replace its settings.

        A checkpoint without a preprocessor_config.json gets the published settings. Raises ModelError for settings
        that do not exist.
        """
        from glpn_cli.models.hf_compat_base import open_named

        raw = dict(open_named(name, revision=revision, offline=local_files_only).preprocessor or {})
        known = cls().settings()
        if unknown := sorted(set(overrides) - set(known)):
            raise ModelError(f"{cls.__name__} has no setting {', '.join(unknown)}", hint=f"It has: {', '.join(known)}.")
        return cls(**({k: raw[k] for k in known if raw.get(k) is not None} | overrides))
