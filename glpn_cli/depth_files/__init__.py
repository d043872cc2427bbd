"""Depth on disk: one class per format, and what one of them writes, `read_depth` reads back.

The table of formats is `FORMATS`; a new one is a file with its class, a line there, and a branch in `reading`.
"""

from __future__ import annotations

from glpn_cli.depth_files.cloud import Cloud
from glpn_cli.depth_files.differences import Difference
from glpn_cli.depth_files.formats import EXTENSIONS, FORMATS, make_writer
from glpn_cli.depth_files.look import Look
from glpn_cli.depth_files.reading import is_depth_file, is_own_output, read_depth, read_record
from glpn_cli.depth_files.record import Record
from glpn_cli.depth_files.uncertainty import Uncertainty
from glpn_cli.depth_files.writer import StoredDepth, Writer

__all__ = [
    "EXTENSIONS",
    "FORMATS",
    "Cloud",
    "Difference",
    "Look",
    "Record",
    "StoredDepth",
    "Uncertainty",
    "Writer",
    "is_depth_file",
    "is_own_output",
    "make_writer",
    "read_depth",
    "read_record",
]
