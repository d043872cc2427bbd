"""The tensors of DPT's decoder and their cost, for every family that has it; see `glpn_cli.models.dpt.weights`.

No torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from glpn_cli.models.config_base import WeightRow


def layer_rows(name: str, weight: tuple[int, ...], theirs: str, *, bias: int | bool = True) -> Iterator[WeightRow]:
    """A weight, and its bias; `bias` says its length where that is not the weight's first side."""
    yield WeightRow(f"{name}.weight", weight, f"{theirs}.weight")
    if bias:
        yield WeightRow(f"{name}.bias", weight[:1] if bias is True else (bias,), f"{theirs}.bias")


def batch_norm_rows(name: str, width: int, theirs: str) -> Iterator[WeightRow]:
    """Scale, shift, statistics and their counter."""
    yield from layer_rows(name, (width,), theirs)
    for statistic in ("running_mean", "running_var"):
        yield WeightRow(f"{name}.{statistic}", (width,), f"{theirs}.{statistic}")
    counter = "num_batches_tracked"
    yield WeightRow(f"{name}.{counter}", (), f"{theirs}.{counter}", is_counter=True)


def idle(rows: Iterable[WeightRow]) -> Iterator[WeightRow]:
    """The same rows, not used by the forward pass."""
    return (replace(row, is_idle=True) for row in rows)


def attention_rows(width: int, *, ours: str, theirs: str, bias: bool) -> Iterator[WeightRow]:
    """Query, key, value and output of a block's attention."""
    for name in ("query", "key", "value"):
        yield from layer_rows(f"{ours}.{name}", (width, width), f"{theirs}.attention.{name}", bias=bias)
    yield from layer_rows(f"{ours}.output", (width, width), f"{theirs}.output.dense")


def reassemble_rows(width: int, *, place: int, level: int, level_width: int, factor: float) -> Iterator[WeightRow]:
    """What makes a level of tokens of `width`; `place` counts the levels that are made of tokens."""
    ours, theirs = f"reassemble.{place}", f"neck.reassemble_stage.layers.{level}"
    yield from layer_rows(f"{ours}.projection", (level_width, width, 1, 1), f"{theirs}.projection")
    if factor != 1:
        kernel = int(factor) if factor > 1 else 3
        yield from layer_rows(f"{ours}.resample", (level_width, level_width, kernel, kernel), f"{theirs}.resize")


def fusion_rows(
    level_widths: Sequence[int], width: int, *, bias: bool = True, is_normed: bool = False
) -> Iterator[WeightRow]:
    """The coarsest step has nothing to fuse with: half of it is idle, and missing in published files."""
    for level, channels in enumerate(level_widths):
        yield from layer_rows(f"fusion.narrow.{level}", (width, channels, 3, 3), f"neck.convs.{level}", bias=False)
    for step in range(len(level_widths)):
        ours, theirs = f"fusion.steps.{step}", f"neck.fusion_stage.layers.{step}"
        units = [(f"{ours}.level_unit", f"{theirs}.residual_layer1"), (f"{ours}.unit", f"{theirs}.residual_layer2")]
        of_level, unit = (_residual_unit(width, names, bias=bias, is_normed=is_normed) for names in units)
        yield from of_level if step else idle(of_level)
        yield from unit
        yield from layer_rows(f"{ours}.projection", (width, width, 1, 1), f"{theirs}.projection")


def _residual_unit(width: int, names: tuple[str, str], *, bias: bool, is_normed: bool) -> Iterator[WeightRow]:
    ours, theirs = names
    for number in (1, 2):
        yield from layer_rows(f"{ours}.conv{number}", (width, width, 3, 3), f"{theirs}.convolution{number}", bias=bias)
        if is_normed:
            yield from batch_norm_rows(f"{ours}.norm{number}", width, f"{theirs}.batch_norm{number}")


def head_rows(width: int, hidden: int, theirs: Sequence[str]) -> Iterator[WeightRow]:
    """The three convolutions of the depth head, which files call `theirs`."""
    shapes = (width // 2, width, 3, 3), (hidden, width // 2, 3, 3), (1, hidden, 1, 1)
    for name, shape, their in zip(("conv1", "conv2", "output"), shapes, theirs, strict=True):
        yield from layer_rows(f"head.{name}", shape, f"head.{their}")


Size = tuple[int, int]


def blocks_macs(count: int, *, tokens: int, width: int, mlp_weights: int) -> int:
    """MACs of `count` blocks over `tokens` tokens, whose MLPs hold `mlp_weights` weights each."""
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
