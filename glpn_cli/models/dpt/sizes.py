"""Which size the network sees of a picture. No torch."""

from __future__ import annotations

from math import sqrt

from glpn_cli.errors import UsageError
from glpn_cli.models.config_base import InputSize
from glpn_cli.models.dpt.config import DPTConfig

STRIDE = 2
"""Sides are multiples of so many patches, so that the coarsest level halves evenly."""


def network_size(config: DPTConfig, size: tuple[int, int], asked: InputSize) -> tuple[int, int]:
    """(H, W) of the picture -> (h, w) of the network.

    auto:     the area that the weights were trained at, in the picture's own aspect, sides rounded to multiples of
              two patches (32 for the published models); smaller pictures are enlarged, as published.
    original: the published processor: the training size, whatever the picture's aspect.
    N:        longest side N, keeping the aspect.
    WxH:      exactly that.

    Raises UsageError for an exact size whose sides are no multiples of two patches.
    """
    trained = config.training_size or config.image_sides
    if asked.policy == "original":
        return trained
    steps = (STRIDE * config.patch_sides[0], STRIDE * config.patch_sides[1])
    if asked.exact is not None:
        if any(side % step for side, step in zip(asked.exact, steps, strict=True)):
            near = _rounded(asked.exact, 1.0, steps)
            raise UsageError(
                f"--input-size {asked} does not fit the model",
                hint=f"Sides must be multiples of {steps[1]}x{steps[0]}, such as {near[1]}x{near[0]}.",
            )
        return asked.exact
    if asked.longest_side is not None:
        return _rounded(size, asked.longest_side / max(size), steps)
    area = trained[0] * trained[1]
    height, width = _rounded(size, sqrt(area / (size[0] * size[1])), steps)
    # So long and thin that the short side does not get shorter: the long one must, or the cost has no bound.
    return (
        min(height, max(area // width // steps[0], 1) * steps[0]) if width == steps[1] else height,
        min(width, max(area // height // steps[1], 1) * steps[1]) if height == steps[0] else width,
    )


def _rounded(size: tuple[int, int], factor: float, steps: tuple[int, int]) -> tuple[int, int]:
    height, width = (max(round(side * factor / step), 1) * step for side, step in zip(size, steps, strict=True))
    return height, width
