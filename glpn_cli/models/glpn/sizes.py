"""Which size the network sees of a picture: near what it was trained on, sides multiples of the stride. No torch."""

from __future__ import annotations

from math import sqrt

from glpn_cli.errors import ErrorCode, InputError, UsageError
from glpn_cli.models.config_base import InputSize
from glpn_cli.models.glpn.config import GLPNConfig

LARGER_THAN_TRAINED = 1.5
"""Pictures with more than this many times the training area are brought down to it under `auto`."""


def network_size(config: GLPNConfig, size: tuple[int, int], asked: InputSize) -> tuple[int, int]:
    """(H, W) of the picture -> (h, w) of the network.

    auto:     pictures of more than 1.5 times the training area are brought down to it, keeping their aspect, sides
              rounded to the nearest multiple of the stride; smaller ones follow the published rule.
    original: the published rule at any size: each side down to a multiple of the stride.
    N:        longest side N, keeping the aspect.
    WxH:      exactly that.

    Raises InputError for `original` pictures with a side under the stride, UsageError for an exact size whose sides
    are no multiples of it.
    """
    height, width = size
    stride = config.stride
    if asked.exact is not None:
        if any(side % stride for side in asked.exact):
            raise UsageError(
                f"--input-size {asked} does not fit the model",
                hint=f"Both sides must be multiples of {stride}, such as {_suggest(asked.exact, stride)}.",
            )
        return asked.exact
    if asked.longest_side is not None:
        return _scaled(size, asked.longest_side / max(size), stride)
    if asked.policy == "original" and min(size) < stride:
        raise InputError(
            f"picture is {width}x{height}, and the published processor takes no side under {stride}",
            code=ErrorCode.UNSUPPORTED,
            hint="Use --input-size auto.",
        )
    trained = config.training_size[0] * config.training_size[1]
    if asked.policy == "auto" and height * width > LARGER_THAN_TRAINED * trained:
        return _scaled(size, sqrt(trained / (height * width)), stride)
    return max(height // stride * stride, stride), max(width // stride * stride, stride)


def _scaled(size: tuple[int, int], factor: float, stride: int) -> tuple[int, int]:
    height, width = (max(round(side * factor / stride) * stride, stride) for side in size)
    return height, width


def _suggest(exact: tuple[int, int], stride: int) -> str:
    height, width = _scaled(exact, 1.0, stride)
    return f"{width}x{height}"
