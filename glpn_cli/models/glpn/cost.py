"""What one picture costs a GLPN, counted without torch."""

from __future__ import annotations

import math

from glpn_cli.models.config_base import Cost
from glpn_cli.models.glpn.config import GLPNConfig
from glpn_cli.models.glpn.weights import weight_rows


def cost(config: GLPNConfig, size: tuple[int, int]) -> Cost:
    """Multiply-accumulates and memory of one forward pass at (h, w), both multiples of the stride.

    Counted are convolutions, linear layers and the two products of attention; norms, activations and resampling are
    not, as in the field's counters. Activations are the peak of what lives at one time in fp32, to the nearest layer.
    """
    height, width = size
    macs = 0
    peak = config.num_channels * height * width
    in_channels = config.num_channels
    sides: list[tuple[int, int]] = []
    for stage in range(config.num_encoder_blocks):
        channels, ratio = config.hidden_sizes[stage], config.sr_ratios[stage]
        kernel, stride = config.patch_sizes[stage], config.strides[stage]
        height, width = ((side + 2 * (kernel // 2) - kernel) // stride + 1 for side in (height, width))
        sides.append((height, width))
        tokens = height * width
        reduced = (height // ratio) * (width // ratio)
        hidden = channels * config.mlp_ratios[stage]
        macs += tokens * channels * in_channels * kernel**2
        attention = 2 * tokens * channels**2 + 2 * reduced * channels**2 + 2 * tokens * reduced * channels
        if ratio > 1:
            attention += reduced * channels**2 * ratio**2
        feed_forward = 2 * tokens * channels * hidden + tokens * hidden * 9
        macs += config.depths[stage] * (attention + feed_forward)
        peak = max(peak, tokens * (2 * channels + 2 * hidden))
        in_channels = channels
    macs_decoder, peak_decoder = _decoder_cost(config, sides)
    weight_bytes = 4 * sum(math.prod(row.shape) for row in weight_rows(config) if not row.is_counter)
    return Cost(macs + macs_decoder, weight_bytes, 4 * max(peak, peak_decoder))


def _decoder_cost(config: GLPNConfig, sides: list[tuple[int, int]]) -> tuple[int, int]:
    """(MACs, peak of activations) of decoder and head, for stages of these sizes (h, w)."""
    width, half = config.decoder_hidden_size, config.decoder_hidden_size // 2
    macs = 0
    for stage, side in enumerate(sides):
        pixels = math.prod(side)
        if config.hidden_sizes[stage] != width:
            macs += pixels * config.hidden_sizes[stage] * width
        if stage < len(sides) - 1:
            macs += 9 * pixels * (2 * width * width + width * half + half * 2)
    outputs = [(2 * h, 2 * w) for h, w in reversed(sides)]
    outputs[-1] = (2 * outputs[-1][0], 2 * outputs[-1][1])
    pixels = math.prod(outputs[config.head_in_index])
    return macs + 9 * pixels * (width * width + width), pixels * (2 * width + 1)
