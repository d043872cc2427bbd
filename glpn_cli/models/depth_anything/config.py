"""The shape of a Depth Anything, as its config.json says it, and all that follows from it. No torch at import."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from glpn_cli.errors import ErrorCode, InputError, ModelError
from glpn_cli.models.config_base import ModelConfig
from glpn_cli.models.dense.config import check_decoder, read_backbone
from glpn_cli.models.depth_anything import weights
from glpn_cli.models.depth_anything.backbone_config import BACKBONES, SMALL, Dinov2Config
from glpn_cli.models.fields import (
    bounded,
    choice,
    each,
    factor,
    height_width,
    optional,
    positive,
    real,
    text,
    whole,
)
from glpn_cli.prediction import DepthKind, DepthMap
from glpn_cli.text import size_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

_MOST_TRAINING_AREAS = 2.0
"""Pictures of which the published processor makes more than this many times the training area are brought down to it
under `auto`: it keeps the short side, so that the cost of a long strip has no bound."""

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's red, green and blue, in [0, 1]."""

_CHANNELS = whole(1, 65_536)


@dataclass
class DepthAnythingConfig(ModelConfig):
    """The documented fields of a Depth Anything, with the documented defaults (the small size of V1), checked by name.

    backbone_config:       the encoder; a `Dinov2Config`, a `Dinov2WithRegistersConfig`, or its fields.
    patch_size:            of the encoder, in pixels.
    initializer_range:     standard deviation of fresh weights.
    reassemble_hidden_size: width of the encoder.
    reassemble_factors:    size of each level's grid, in patches.
    neck_hidden_sizes:     width of each level.
    fusion_hidden_size:    width of the decoder.
    head_in_index:         which output of the decoder the head reads.
    head_hidden_size:      channels of the head's last hidden layer.
    depth_estimation_type: "relative" (inverse depth up to scale and shift) or "metric".
    max_depth:             depth at the head's full scale, metres; a file holds it twice, for transformers in whole
                           metres and exactly as "limit_m" under "glpn_cli". Of relative ones, a factor.

    Beyond the documentation, kept in config.json under the one key "glpn_cli":

    training_size:         (height, width) that the size policy aims at; None stands for the backbone's image_size.
    source:                where the weights came from, such as "depth-anything/Depth-Anything-V2-Small-hf".

    Keys of a file that are none of these are kept in `unknown`, written back and otherwise ignored.
    Raises ModelError (a ValueError) naming the field and its value.
    """

    model_type = "depth_anything"
    depth_class = "glpn_cli.models.depth_anything.hf_compat:DepthAnythingForDepthEstimation"
    processor_class = "glpn_cli.models.dpt.processor:DPTImageProcessor"
    superseded = ("architectures",)
    own_fields: ClassVar = {"training_size": "training_size", "source": "source", "limit_m": "max_depth"}

    backbone_config: Dinov2Config | Mapping[str, Any] | None = None
    patch_size: int = bounded(14, whole(1, 256))
    initializer_range: float = bounded(0.02, real(0, 100))
    reassemble_hidden_size: int = bounded(384, _CHANNELS)
    reassemble_factors: list[float] = bounded([4, 2, 1, 0.5], each(factor()))
    neck_hidden_sizes: list[int] = bounded([48, 96, 192, 384], each(_CHANNELS))
    fusion_hidden_size: int = bounded(64, whole(2, 65_536))
    head_in_index: int = bounded(-1, whole(-65_536, 65_535))
    head_hidden_size: int = bounded(32, _CHANNELS)
    depth_estimation_type: str = bounded("relative", choice("relative", "metric"))
    max_depth: float | None = bounded(1, optional(positive(1e6)))

    output_attentions: bool = False
    output_hidden_states: bool = False
    return_dict: bool = True

    training_size: tuple[int, int] = bounded(None, optional(height_width()))  # type: ignore[assignment]  # see `complete`
    source: str | None = bounded(None, optional(text()))

    unknown: dict[str, Any] = field(default_factory=dict)

    def complete(self) -> None:
        """Fill in fields that follow from others, as transformers does."""
        hint = f"Supported are: {', '.join(BACKBONES)}."
        backbone = read_backbone(self.backbone_config, BACKBONES, default=SMALL, hint=hint)
        assert isinstance(backbone, Dinov2Config)
        backbone.reshape_hidden_states = False  # the neck takes tokens, in transformers too
        self.backbone_config = backbone
        self.training_size = vars(self)["training_size"] or backbone.image_sides

    def check_together(self) -> None:
        """Hold encoder and levels against each other. Raises ModelError."""
        backbone = self.backbone
        if backbone.patch_sides != (self.patch_size, self.patch_size):
            raise ModelError(
                f"patch_size = {self.patch_size} does not fit backbone_config.patch_size = {backbone.patch_size}"
            )
        if backbone.hidden_size != self.reassemble_hidden_size:
            raise ModelError(
                f"reassemble_hidden_size = {self.reassemble_hidden_size} does not fit "
                f"backbone_config.hidden_size = {backbone.hidden_size}"
            )
        levels = len(self.neck_hidden_sizes)
        check_decoder(self.neck_hidden_sizes, self.reassemble_factors, self.head_in_index)
        if len(backbone.outputs) != levels:
            raise ModelError(
                f"backbone_config.out_indices = {backbone.out_indices} must name one block for each of {levels} levels"
            )
        if self.is_metric and self.max_depth is None:
            raise ModelError("max_depth = None is no depth in metres, which a metric network needs")

    @property
    def backbone(self) -> Dinov2Config:
        """The encoder's config."""
        assert isinstance(self.backbone_config, Dinov2Config)
        return self.backbone_config

    @property
    def is_metric(self) -> bool:
        """Whether it predicts metres."""
        return self.depth_estimation_type == "metric"

    def file_values(self) -> dict[str, Any]:
        """The backbone as an object, and whole metres, on which transformers insists."""
        whole_depth = None if self.max_depth is None else max(1, round(self.max_depth))
        return super().file_values() | {"backbone_config": self.backbone.to_dict(), "max_depth": whole_depth}

    def own_values(self) -> dict[str, Any]:
        """Left out are a training size that the backbone's image_size tells, and a limit of what has no unit."""
        values = super().own_values()
        if self.training_size == self.backbone.image_sides:
            values.pop("training_size", None)
        if not self.is_metric:
            values.pop("limit_m", None)
        return values

    # The rest answers for the family; see `ModelConfig`.

    @property
    def num_channels(self) -> int:
        """Those of the encoder."""
        return self.backbone.num_channels

    @property
    def kind(self) -> DepthKind:
        """Metres along the optical axis, or inverse depth up to scale and shift."""
        return DepthKind.METRIC if self.is_metric else DepthKind.DISPARITY

    @property
    def limit_m(self) -> float | None:
        """The head's full scale."""
        return float(self.max_depth) if self.is_metric and self.max_depth is not None else None

    def with_limit(self, limit_m: float) -> Self:
        """The same config with another depth at full scale."""
        return replace(self, max_depth=limit_m) if self.is_metric else super().with_limit(limit_m)

    weight_rows = weights.weight_rows
    cost = weights.cost

    @property
    def steps(self) -> tuple[int, int]:
        """One patch; 14 for the published models."""
        return self.patch_size, self.patch_size

    def auto_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """As published, up to twice the training area; small pictures are enlarged."""
        published = self.scaled(size, self._published_factor(size))
        most = _MOST_TRAINING_AREAS * math.prod(self.training_size)
        return published if math.prod(published) <= most else self.of_area(size, most)

    def original_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The side that needs the smaller change as the training size has it, the other by the picture's aspect.

        Raises InputError for a strip of which nothing is left.
        """
        scale = self._published_factor(size)
        if any(round(scale * side / step) < 1 for side, step in zip(size, self.steps, strict=True)):
            raise InputError(
                f"picture is {size_text(size)}, of which the published processor leaves nothing",
                code=ErrorCode.UNSUPPORTED,
                hint="Use --input-size auto.",
            )
        return self.scaled(size, scale)

    def _published_factor(self, size: tuple[int, int]) -> float:
        down, across = (trained / side for trained, side in zip(self.training_size, size, strict=True))
        return across if abs(1 - across) < abs(1 - down) else down

    def preprocessor(self) -> dict[str, Any]:
        """One side to the training size, multiples of the patch, bicubic, then ImageNet's mean and deviation."""
        height, width = self.training_size
        return {
            "do_normalize": True,
            "do_rescale": True,
            "do_resize": True,
            "ensure_multiple_of": self.patch_size,
            "image_mean": list(MEAN),
            "image_processor_type": "DPTImageProcessor",
            "image_std": list(DEVIATION),
            "keep_aspect_ratio": True,
            "resample": 3,
            "size": {"height": height, "width": width},
        }

    def build(self) -> nn.Module:
        """Normalised pixels -> metres or inverse depth."""
        from glpn_cli.models.depth_anything.network import DepthAnything

        self.require_rgb()
        return DepthAnything(self)

    def prepare(self, rgb: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
        """Pixels less ImageNet's mean, over its deviation."""
        import numpy as np
        from PIL import Image

        from glpn_cli.models.image_processor import UNIT, to_tensor

        mean, deviation = np.array(MEAN, np.float32)[:, None], np.array(DEVIATION, np.float32)[:, None]
        return to_tensor(rgb, size, values=(UNIT - mean) / deviation, resample=Image.Resampling.BICUBIC)

    def decode(self, raw: Tensor, size: tuple[int, int]) -> DepthMap:
        """Metres or inverse depth (h, w) -> (H, W), as GLPN's and DPT's come back."""
        from glpn_cli.models.image_processor import restore_disparity, restore_metres

        if self.limit_m is None:
            return DepthMap(restore_disparity(raw, size), kind=self.kind)
        return DepthMap(restore_metres(raw, size, limit_m=self.limit_m), limit=self.limit_m)

    def cast(self, network: nn.Module, precision: str) -> nn.Module:
        """The last convolution always in fp32, and the tokens between the blocks."""
        from glpn_cli.models.depth_anything.network import cast

        return cast(network, precision)

    def loss(self) -> Callable[[Tensor, Tensor], Tensor]:
        """As published: scale-invariant log error of metres, and what MiDaS and DPT train inverse depth with."""
        from glpn_cli.models.losses import scale_and_shift_invariant_loss, silog_loss

        return silog_loss if self.is_metric else scale_and_shift_invariant_loss
