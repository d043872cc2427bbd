"""Colours that mean something: near is warm, equal ratios of depth are equal steps, and a bar tells the metres."""

from glpn_cli.colormaps.ranges import (
    IMAGE_RANGE,
    DepthHistogram,
    PaintRange,
    RangePolicy,
    RangeRule,
    merge_ranges,
    parse_range,
    resolve_range,
)
from glpn_cli.colormaps.tables import COLORMAPS, read_table

__all__ = [
    "COLORMAPS",
    "IMAGE_RANGE",
    "DepthHistogram",
    "PaintRange",
    "RangePolicy",
    "RangeRule",
    "merge_ranges",
    "parse_range",
    "read_table",
    "resolve_range",
]
