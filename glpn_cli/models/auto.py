"""The documented Auto classes, which choose by config.json, and what they choose where a family has no class."""

from __future__ import annotations

from importlib import import_module
from os import PathLike
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from glpn_cli.errors import ModelError
from glpn_cli.models.config_base import ModelConfig, config_class, read_config
from glpn_cli.models.hf_compat_base import DepthEstimatorOutput, Pretrained
from glpn_cli.models.image_processor import ImageProcessor
from glpn_cli.models.loading import Loading


class AutoModelForDepthEstimation:
    """The depth class of a checkpoint, chosen by the `model_type` of its config.json.

    >>> model = AutoModelForDepthEstimation.from_pretrained("depth-anything/Depth-Anything-V2-Small-hf")
    >>> model(**inputs).predicted_depth   # (B, h, w)
    """

    @classmethod
    def from_pretrained(cls, name: str | PathLike[str], **arguments: Any) -> Any:
        """As the `from_pretrained` of the class that is found. Raises ModelError where there is none."""
        config = Loading.take(dict(arguments)).open(name).config
        read_config(config).require_own_network("a documented class")
        place = config_class(config.get("model_type")).depth_class
        return _find(place, default=_PlainDepthModel).from_pretrained(name, **arguments)


class AutoImageProcessor:
    """The processor of a checkpoint, chosen by the `model_type` of its config.json."""

    @classmethod
    def from_pretrained(cls, name: str | PathLike[str], **arguments: Any) -> Any:
        """As the `from_pretrained` of the class that is found.

        use_fast: taken, and without effect: there is one processor a family.

        Raises ModelError where there is none, or where the checkpoint's preprocessor_config.json names another.
        """
        arguments.pop("use_fast", None)
        checkpoint = Loading.take(dict(arguments)).open(name)
        read_config(checkpoint.config).require_own_network("a documented processor")
        found = _find(config_class(checkpoint.config.get("model_type")).processor_class, default=_PlainImageProcessor)
        stored = checkpoint.preprocessor or {}
        named = stored.get("image_processor_type") or stored.get("feature_extractor_type")
        if named and found is not _PlainImageProcessor and _stem(str(named)) != _stem(found.__name__):
            raise ModelError(f"there is no image processor {named!r} here, but {found.__name__}")
        return found.from_pretrained(name, **arguments)


class _PlainDepthModel(Pretrained):
    """The depth class of a family that brings no documented one: the family's network, and `predicted_depth` alone."""

    config_class = ModelConfig
    config: ModelConfig
    module_prefix = "network."

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.network = config.build()

    def forward(self, pixel_values: Tensor, return_dict: bool = True) -> Any:
        """(B, 3, h, w), as the family's processor makes them -> (B, h, w)."""
        output = DepthEstimatorOutput(None, self.network(pixel_values))
        return output if return_dict else output.to_tuple()


class _PlainImageProcessor(ImageProcessor):
    """The processor of a family that brings no documented one: the family's `prepare` at its published size."""

    setting_names = ()

    def __init__(self, config: ModelConfig) -> None:
        self.config = config

    def process(self, picture: NDArray[Any]) -> NDArray[Any]:
        """(C, H, W), uint8 or floats in [0, 1] -> float32 (3, h, w)."""
        if picture.dtype.kind == "f":
            picture = np.rint(picture.clip(0, 1) * 255)
        rgb = np.broadcast_to(np.moveaxis(picture[:3], 0, -1), (*picture.shape[1:], 3)).astype(np.uint8)
        prepared: NDArray[Any] = self.config.prepare(rgb, self.config.original_size(rgb.shape[:2]))[0].numpy()
        return prepared

    def to_dict(self) -> dict[str, Any]:
        """The object of the family's preprocessor_config.json."""
        return self.config.preprocessor()

    @classmethod
    def from_pretrained(cls, name: str | PathLike[str], **overrides: Any) -> Self:
        """The processor of a checkpoint. Raises ModelError for settings: the family has those of its config alone."""
        checkpoint = Loading.take(overrides).open(name)
        if overrides:
            raise ModelError(f"{cls.__name__} has no setting {', '.join(sorted(overrides))}")
        return cls(read_config(checkpoint.config))


def _find(place: str, *, default: type[Any]) -> type[Any]:
    """The class at "module:Class"."""
    module, _, name = place.partition(":")
    found: type[Any] = getattr(import_module(module), name) if place else default
    return found


def _stem(name: str) -> str:
    """`DPT` of DPTImageProcessor, DPTImageProcessorFast and DPTFeatureExtractor."""
    return name.partition("ImageProcessor")[0].partition("FeatureExtractor")[0]
