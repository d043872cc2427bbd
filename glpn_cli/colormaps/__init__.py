"""Colours that mean something: near is warm, equal ratios of depth are equal steps, and a bar tells the metres."""

from glpn_cli.colormaps.painting import (
    COLORMAPS,
    HOLE_COLOR,
    ColorizeOptions,
    draw_contours,
    paint,
    read_table,
)
from glpn_cli.colormaps.ranges import IMAGE_RANGE, DepthHistogram, PaintRange, RangePolicy, RangeRule

__all__ = [
    "COLORMAPS",
    "HOLE_COLOR",
    "IMAGE_RANGE",
    "ColorizeOptions",
    "DepthHistogram",
    "PaintRange",
    "RangePolicy",
    "RangeRule",
    "draw_contours",
    "paint",
    "read_table",
]
