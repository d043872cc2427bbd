"""The table of formats, and reading whatever one of them wrote.

A new format is a file with its class, and a line here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from glpn_cli.colormaps import ColorizeOptions
from glpn_cli.depth_files.base import (
    DEEPEST_GREY_BITS,
    Format,
    Guess,
    StoredDepth,
    read_contents,
    read_head,
    read_tail,
)
from glpn_cli.depth_files.exr import Exr
from glpn_cli.depth_files.glb import Glb
from glpn_cli.depth_files.normals import Normals, Normals16, NormalsExr, NormalsNpz
from glpn_cli.depth_files.npy import Npy, Npz
from glpn_cli.depth_files.pfm import Pfm, Pgm
from glpn_cli.depth_files.ply import Ply
from glpn_cli.depth_files.png16 import Png16, check_scale, default_scale
from glpn_cli.depth_files.record import Record
from glpn_cli.depth_files.space import SpaceFormat
from glpn_cli.depth_files.styles import Color, Gray, Gray16
from glpn_cli.depth_files.tiff import Tiff
from glpn_cli.errors import ErrorCode, InputError, UsageError
from glpn_cli.geometry import PointCloudOptions
from glpn_cli.options import MAX_PIXELS
from glpn_cli.prediction import DepthKind

FORMATS: Mapping[str, type[Format]] = {
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
    "glb": Glb,
    "normals": Normals,
    "normals16": Normals16,
    "normals-npz": NormalsNpz,
    "normals-exr": NormalsExr,
}
_READABLE: tuple[type[Format], ...] = (*FORMATS.values(), Pgm)
# Names with one of these are files to `-o`, all others folders.
EXTENSIONS: frozenset[str] = frozenset(writer.extension for writer in FORMATS.values())

# A record without its source's name is under 1 kB; a name is at most 4 kB, each byte escaped to three.
_HEAD_BYTES = 16 << 10
# The size of a JPEG 2000 picture with one component, and the bits of that, less one.
_JPEG2000_SIZE = re.compile(rb"\xff\x4f\xff\x51.{36}\x00\x01(.)", re.DOTALL)
# Enough to know that a file is ours.
_OWN_BYTES = 256
_OWN_EXTENSIONS = frozenset({".tif", *(writer.extension for writer in FORMATS.values() if writer.carries_record)})


def make_writer(
    format: str,  # noqa: A002 - the word of the command line
    *,
    kind: DepthKind,
    limit_m: float | None,
    depth_scale: float | None = None,
    look: ColorizeOptions | None = None,
    cloud: PointCloudOptions | None = None,
) -> Format:
    """The writer of a format, checked against what the model gives.

    kind, limit_m: the meaning of the depths, and the largest of them, metres (None: unknown, checked while writing)
    depth_scale:   stored units per metre, for png16; None: 1000 up to 65 m, 256 beyond
    look:          how coloured and grey pictures are painted
    cloud:         how points, meshes and normals in space are made

    Raises UsageError for an unknown format, and for depths that the format cannot hold.
    """
    writer: Format
    match format:
        case "png16":
            writer = Png16(default_scale(limit_m) if depth_scale is None else depth_scale)
        case "color":
            writer = Color(look or ColorizeOptions())
        case "gray":
            writer = Gray(look or ColorizeOptions())
        case "gray16":
            writer = Gray16(look or ColorizeOptions())
        case _ if format in FORMATS:
            made = FORMATS[format]
            writer = made(cloud or PointCloudOptions()) if issubclass(made, SpaceFormat) else made()
        case _:
            raise UsageError(f"there is no format '{format}'", hint=f"Choose from {', '.join(FORMATS)}.")
    writer.check(kind, limit_m)
    return writer


def format_of(path: Path) -> str:
    """The format that is meant by a file's extension: png16 for .png. Raises UsageError where there is none."""
    extension = ".tiff" if path.suffix.lower() == ".tif" else path.suffix.lower()
    for name, writer in FORMATS.items():
        if writer.extension == extension:
            return name
    raise UsageError(
        f"no format is written as {path.suffix or path.name!r}", hint=f"Files end in {', '.join(sorted(EXTENSIONS))}."
    )


def read_depth(
    source: str | Path | bytes,
    *,
    depth_scale: float | None = None,
    kind: DepthKind = DepthKind.METRIC,
    max_pixels: int = MAX_PIXELS,
) -> StoredDepth:
    """Read a depth map that we or others wrote: 16-bit PNG and PGM, TIFF, npy, npz, PFM, EXR.

    Grey pictures of ours come back too, as far as their range reaches, and clouds of points, with holes where none is.

    source:      a path, or the file's bytes
    depth_scale: stored units per metre, for integers in files that do not say their own
    kind:        the meaning of the numbers, for files that do not say it (metres along the optical axis)
    max_pixels:  refuse maps with more, before anything is laid out

    Raises InputError for whatever cannot be read as depth; UsageError for a scale that is none.
    """
    if depth_scale is not None:
        check_scale(depth_scale)
    data = read_contents(source, max_pixels=max_pixels)
    found = _find_format(data[:_HEAD_BYTES])
    if found is None:
        raise InputError(
            "the file is empty" if not data else "this is no depth file (16-bit PNG, TIFF, npy, npz, PFM, EXR)",
            hint=None if not data else "Run predict on a photograph; measure and export take it without --as depth.",
            code=ErrorCode.DECODE if not data else ErrorCode.UNSUPPORTED,
        )
    try:
        # Damaged records can ask for any arithmetic; what it comes to is told by `DepthMap`, not by warnings.
        with np.errstate(all="ignore"):
            return found.decode(data, depth_scale=depth_scale, kind=kind, max_pixels=max_pixels)
    except ValueError as error:
        raise InputError(f"the file's depths make no sense: {error}") from error


def read_record(source: str | Path | bytes, *, whole: bool = False) -> Record | None:
    """The record of a file of ours, without decoding a pixel; None for files of others and those without record.

    whole: whether it must not be cut short, as far as that can be seen in its first and last bytes

    Raises InputError where it cannot be opened, or its record makes no sense.
    """
    head = read_head(source, _HEAD_BYTES)
    found = _find_format(head)
    record = Record.from_text(found.peek(head)) if found else None
    if whole and found is not None and record is not None and not isinstance(source, bytes):
        tail, length = read_tail(Path(source))
        if not found.ends_whole(head, tail, length):
            raise InputError("it is cut short")
    return record


def is_depth_file(source: Path | bytes) -> bool:
    """Whether a file is to be taken as depth: ours with map=depth, npy, npz, PFM, EXR or TIFF of one float a pixel.

    False where it cannot be read.

    source: a path, or the file's bytes
    """
    try:
        head = read_head(source, _HEAD_BYTES)
    except InputError:
        return False
    found = _find_format(head)
    if found is None or found.is_own(head):
        return found is not None and found.is_depth(head)
    return found.is_depth(head) or guess_content(source, head) is Guess.DEPTH


def guess_content(source: Path | bytes, head: bytes) -> Guess:
    """What a file without a record holds, by how its pixels are stored; of JPEG 2000, too, which is not read as depth.

    source: a path, or the file's bytes
    head:   its first bytes, 4 kB at least where there are as many
    """
    if (found := _find_format(head)) is not None:
        return found.guess(source, head)
    is_deep = (size := _JPEG2000_SIZE.search(head)) is not None and (size[1][0] & 127) + 1 > DEEPEST_GREY_BITS
    return Guess.AMBIGUOUS if is_deep else Guess.PICTURE


def is_depth_format(source: Path | bytes) -> bool:
    """Whether a file is of a format that can hold depth, such as PNG, whatever it holds. False where unreadable."""
    try:
        return _find_format(read_head(source, _HEAD_BYTES)) is not None
    except InputError:
        return False


def is_own_output(source: Path | bytes) -> bool:
    """Whether a file was written by this program, whatever its map; quick, for scans of 100,000 files.

    source: a path, or the file's bytes

    Only files that bear an extension of ours are opened. False where it cannot be read.
    """
    if isinstance(source, Path) and source.suffix.lower() not in _OWN_EXTENSIONS:
        return False
    try:
        head = read_head(source, _OWN_BYTES)
    except InputError:
        return False
    return any(each.is_own(head) for each in FORMATS.values())


def _find_format(head: bytes) -> type[Format] | None:
    return next((each for each in _READABLE if each.sniff(head)), None)
