"""What one picture costs a vision transformer and DPT's decoder, counted without torch; see `ModelConfig.cost`."""

from __future__ import annotations

import math
from collections.abc import Sequence

Size = tuple[int, int]


def blocks_macs(count: int, *, tokens: int, width: int, mlp_weights: int) -> int:
    """MACs of `count` blocks over so many tokens, whose MLPs hold `mlp_weights` weights each."""
    attention = 4 * tokens * width**2 + 2 * tokens**2 * width
    return count * (attention + tokens * mlp_weights)


def level_cost(grid: Size, width: int, *, level_width: int, factor: float) -> tuple[int, Size]:
    """(MACs, size) of one level made of tokens of `width` on a grid of patches."""
    macs = math.prod(grid) * width * level_width
    if factor > 1:
        large = (grid[0] * int(factor), grid[1] * int(factor))
        return macs + math.prod(large) * level_width**2, large
    if factor < 1:
        small = convolved(grid, kernel=3, stride=round(1 / factor), padding=1)
        return macs + math.prod(small) * 9 * level_width**2, small
    return macs, grid


def fusion_cost(
    grids: Sequence[Size], level_widths: Sequence[int], width: int, *, meets_levels: bool = False
) -> tuple[int, list[Size]]:
    """(MACs, size of every step's output, coarsest first) of fusing levels of these sizes, finest first."""
    macs = sum(9 * math.prod(grid) * channels * width for grid, channels in zip(grids, level_widths, strict=True))
    coarsest_first = list(reversed(grids))
    outputs: list[Size] = []
    for step, grid in enumerate(coarsest_first):
        at = outputs[-1] if step else grid
        macs += math.prod(at) * width**2 * (9 * (4 if step else 2) + 1)
        is_last = step == len(grids) - 1
        outputs.append(coarsest_first[step + 1] if meets_levels and not is_last else (2 * at[0], 2 * at[1]))
    return macs, outputs


def head_cost(grid: Size, size: Size, width: int, hidden: int) -> tuple[int, int]:
    """(MACs, peak of activations) of the depth head, from features on a grid to depth of a size."""
    features, pixels, half = math.prod(grid), math.prod(size), width // 2
    macs = 9 * features * width * half + pixels * hidden * (9 * half + 1)
    return macs, features * (width + half) + pixels * (half + hidden)


def convolved(size: Size, *, kernel: int, stride: int, padding: str | int | None, dilation: int = 1) -> Size:
    """The size behind a convolution that pads as TensorFlow does ("SAME"), evenly (None), or by a number."""
    span = dilation * (kernel - 1)
    if padding == "SAME" and (stride > 1 or span % 2 == 1):
        height, width = (-(-side // stride) for side in size)
    else:
        fixed = padding if isinstance(padding, int) else (stride - 1 + span) // 2
        height, width = ((side + 2 * fixed - span - 1) // stride + 1 for side in size)
    return height, width
