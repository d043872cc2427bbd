"""The shape of a depth network on EfficientNet-Lite, as its config.json says it, and all that follows. No torch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from glpn_cli.models.config_base import MetricConfig
from glpn_cli.models.fields import bounded, height_width, optional, positive, text, whole
from glpn_cli.models.lite_depth import weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

STEM_CHANNELS = 32
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
"""Kernel, stride, expansion, channels and blocks of each stage of EfficientNet-B0 (table 1). Lite scales channels and
blocks as the larger ones do, but neither the stem nor the number of blocks in the first and the last stage."""
LEVELS = 5
"""Grids that the encoder answers, at strides 2, 4, 8, 16 and 32."""
STRIDE = 2**LEVELS
_CHANNEL_STEP = 8


@dataclass(frozen=True)
class BlockShape:
    """An inverted residual block (Sandler et al. 2018): widen, filter each channel, narrow.

    level: which of the encoder's grids it belongs to, 0 at stride 2
    """

    level: int
    kernel: int
    stride: int
    expansion: int
    in_channels: int
    out_channels: int

    @property
    def width(self) -> int:
        """Channels of the depth-wise convolution."""
        return self.in_channels * self.expansion


@dataclass
class LiteDepthConfig(MetricConfig):
    """The fields of a depth network on EfficientNet-Lite, by default the bundled `lite`, checked by name.

    num_channels:          of the picture.
    width_coefficient, depth_coefficient: of the encoder's channels and blocks: 1.0 and 1.0 are Lite0, 1.0 and 1.1
                           Lite1, 1.1 and 1.2 Lite2, 1.2 and 1.4 Lite3, 1.4 and 1.8 Lite4.
    decoder_hidden_size:   width of the decoder.
    head_hidden_size:      width of the head, at half of the picture's size.
    max_depth:             the largest depth, metres. Answers are in proportion to it.

    Kept in config.json under the one key "glpn_cli":

    training_size:         (height, width) that the weights were trained at; the size policy uses it.
    training_focal_px:     focal length in pixels at that size, None if unknown.
    source:                where the weights came from.

    Keys of a file that are none of these are kept in `unknown`, written back and otherwise ignored.
    Raises ModelError (a ValueError) naming the field and its value.
    """

    model_type = "lite_depth"
    superseded = ("architectures",)
    own_fields: ClassVar = {
        "training_size": "training_size",
        "training_focal_px": "training_focal_px",
        "source": "source",
        "limit_m": "max_depth",
    }

    num_channels: int = bounded(3, whole(1, 1024))
    width_coefficient: float = bounded(1.1, positive(16))
    depth_coefficient: float = bounded(1.2, positive(64))
    decoder_hidden_size: int = bounded(64, whole(1, 16_384))
    head_hidden_size: int = bounded(24, whole(1, 16_384))
    max_depth: float = bounded(10.0, positive(1e6))

    training_size: tuple[int, int] = bounded((192, 256), height_width())
    training_focal_px: float | None = bounded(None, optional(positive(1e6)))
    source: str | None = bounded(None, optional(text()))

    unknown: dict[str, Any] = field(default_factory=dict)

    def blocks(self) -> Iterator[BlockShape]:
        """The encoder's blocks behind the stem, finest first."""
        level, channels = 0, STEM_CHANNELS
        for stage, (kernel, first_stride, expansion, base_channels, base_repeats) in enumerate(STAGES):
            out_channels = _round_channels(base_channels * self.width_coefficient)
            is_fixed = stage in (0, len(STAGES) - 1)
            repeats = base_repeats if is_fixed else math.ceil(base_repeats * self.depth_coefficient)
            level += first_stride - 1
            for repeat in range(repeats):
                stride = first_stride if repeat == 0 else 1
                yield BlockShape(level, kernel, stride, expansion, channels, out_channels)
                channels = out_channels

    @property
    def level_channels(self) -> tuple[int, ...]:
        """Channels of the encoder's grids, finest first."""
        channels = {block.level: block.out_channels for block in self.blocks()}
        return tuple(channels[level] for level in range(LEVELS))

    # The rest answers for the family; see `ModelConfig`.

    weight_rows = weights.weight_rows
    cost = weights.cost

    @property
    def steps(self) -> tuple[int, int]:
        """32, both ways."""
        return STRIDE, STRIDE

    def auto_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Bring pictures larger than those of training down to their area; smaller ones keep theirs."""
        return self.of_area(size, min(math.prod(size), math.prod(self.training_size)))

    original_size = auto_size

    def preprocessor(self) -> dict[str, Any]:
        """At most the area of `size`, sides to multiples of 32, bilinear, then / 255."""
        height, width = self.training_size
        size = {"height": height, "width": width}
        return {"do_rescale": True, "do_resize": True, "resample": 2, "size": size, "size_divisor": STRIDE}

    def build(self) -> nn.Module:
        """Pixels in [0, 1] -> metres."""
        from glpn_cli.models.lite_depth.network import LiteDepth

        self.require_rgb()
        return LiteDepth(self)

    def prepare(self, rgb: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
        """Pixels in [0, 1]."""
        from PIL import Image

        from glpn_cli.models.image_processor import UNIT, to_tensor

        return to_tensor(rgb, size, values=UNIT, resample=Image.Resampling.BILINEAR)

    def cast(self, network: nn.Module, precision: str) -> nn.Module:
        """The last convolution, and what tells the scale of the frame, always in fp32."""
        from glpn_cli.models.lite_depth.network import cast

        return cast(network, precision)


def _round_channels(channels: float) -> int:
    """The multiple of 8 nearest to `channels`, but not under nine tenths of it."""
    rounded = max(_CHANNEL_STEP, int(channels + _CHANNEL_STEP / 2) // _CHANNEL_STEP * _CHANNEL_STEP)
    return rounded + _CHANNEL_STEP if rounded < 0.9 * channels else rounded
