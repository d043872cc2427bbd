"""The table of formats: the words that `--format` takes, and the writer that each of them makes."""

from __future__ import annotations

from collections.abc import Mapping

from glpn_cli.depth_files.cloud import Cloud
from glpn_cli.depth_files.color import Color
from glpn_cli.depth_files.exr import Exr
from glpn_cli.depth_files.gray import Gray, Gray16
from glpn_cli.depth_files.look import Look
from glpn_cli.depth_files.npy import Npy
from glpn_cli.depth_files.npz import Npz
from glpn_cli.depth_files.pfm import Pfm
from glpn_cli.depth_files.ply import Ply
from glpn_cli.depth_files.png16 import Png16, default_scale
from glpn_cli.depth_files.tiff import Tiff
from glpn_cli.depth_files.writer import Writer
from glpn_cli.errors import UsageError
from glpn_cli.prediction import DepthKind

FORMATS: Mapping[str, type[Writer]] = {
    "png16": Png16,
    "npy": Npy,
    "npz": Npz,
    "tiff": Tiff,
    "pfm": Pfm,
    "exr": Exr,
    "color": Color,
    "gray": Gray,
    "gray16": Gray16,
    "ply": Ply,
}
# What `-o` takes for a file rather than a folder.
EXTENSIONS: frozenset[str] = frozenset(writer.extension for writer in FORMATS.values())


def make_writer(
    format: str,  # noqa: A002 - the word of the command line
    *,
    kind: DepthKind,
    limit_m: float | None,
    depth_scale: float | None = None,
    look: Look | None = None,
    cloud: Cloud | None = None,
) -> Writer:
    """The writer of a format, checked against what the model gives.

    kind, limit_m: what the depths mean, and the largest of them, metres (None: unknown, checked while writing)
    depth_scale:   stored units per metre, for png16; None: 1000 up to 65 m, 256 beyond
    look:          how coloured and grey pictures are painted
    cloud:         how points in space are made

    Raises UsageError for an unknown format, and for depths that the format cannot hold.
    """
    writer: Writer
    match format:
        case "png16":
            writer = Png16(default_scale(limit_m) if depth_scale is None else depth_scale)
        case "color":
            writer = Color(look or Look())
        case "gray":
            writer = Gray(look or Look())
        case "gray16":
            writer = Gray16(look or Look())
        case "ply":
            writer = Ply(cloud or Cloud())
        case _ if format in FORMATS:
            writer = FORMATS[format]()
        case _:
            raise UsageError(f"there is no format '{format}'", hint=f"Choose from {', '.join(FORMATS)}.")
    writer.check(kind, limit_m)
    return writer
