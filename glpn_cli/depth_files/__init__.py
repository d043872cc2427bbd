"""Depth on disk: one class per format, and what one of them writes, `read_depth` reads back.

The table of formats is `FORMATS` in `formats`.
"""

from __future__ import annotations

from glpn_cli.colormaps import ColorizeOptions
from glpn_cli.depth_files.base import EncodedFile, Format, StoredDepth
from glpn_cli.depth_files.formats import (
    EXTENSIONS,
    FORMATS,
    format_of,
    is_depth_file,
    is_depth_format,
    is_own_output,
    make_writer,
    read_depth,
    read_record,
)
from glpn_cli.depth_files.record import Record
from glpn_cli.geometry import PointCloudOptions

__all__ = [
    "EXTENSIONS",
    "FORMATS",
    "ColorizeOptions",
    "EncodedFile",
    "Format",
    "PointCloudOptions",
    "Record",
    "StoredDepth",
    "format_of",
    "is_depth_file",
    "is_depth_format",
    "is_own_output",
    "make_writer",
    "read_depth",
    "read_record",
]
