"""Any depth file back into a depth map; and, without decoding, what a file says it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glpn_cli.depth_files import exr, gray, npy, npz, pfm, ply, png, png16, tiff
from glpn_cli.depth_files.contents import read_contents, read_head
from glpn_cli.depth_files.record import Record
from glpn_cli.depth_files.record_text import PREFIX, PROGRAM
from glpn_cli.depth_files.writer import StoredDepth, depth_from_values
from glpn_cli.errors import ErrorCode, InputError
from glpn_cli.images.exr import SIGNATURE as EXR_SIGNATURE
from glpn_cli.prediction import DepthKind

# A record without its source's name is under 1 kB; a name is at most 4 kB, each byte escaped to three.
_HEAD_BYTES = 16 << 10
# The first text of our files ends within this many bytes: enough to know that a file is ours.
_OWN_BYTES = 128
_OWN_EXTENSIONS = frozenset({".png", ".tiff", ".tif", ".npz", ".ply", ".exr"})
# (signature, what follows in files of ours, where): a PNG's header is one chunk of 25 bytes, then our first text has
# its length and its type; a TIFF's is 8 bytes; a zip's first member has its name after 30.
_SOFTWARE = PROGRAM.encode() + b" "
_OWN_MARKS = (
    (png.SIGNATURE, b"tEXtSoftware\0" + _SOFTWARE, len(png.SIGNATURE) + 25 + 4),
    (tiff.SIGNATURES[0], _SOFTWARE, 8),
    (npz.SIGNATURE, npz.RECORD_MEMBER.encode(), npz.OWN_NAME_AT),
    (ply.SIGNATURE, ply.OWN_HEAD, 0),
    (exr.OWN_HEAD, exr.OWN_MARK, exr.OWN_MARK_AT),
)


def read_depth(
    source: str | Path | bytes, *, depth_scale: float | None = None, kind: DepthKind = DepthKind.METRIC
) -> StoredDepth:
    """Read a depth map that we or others wrote: 16-bit PNG, TIFF, npy, npz, PFM, EXR.

    Grey pictures of ours come back too, as far as their range reaches, and clouds of points, with holes where none is.

    source:      a path, or the file's bytes
    depth_scale: stored units per metre, for integers in files that do not say their own
    kind:        what the numbers mean, for files that do not say (metres along the optical axis)

    Raises InputError for whatever cannot be read as depth; UsageError for a scale that is none.
    """
    if depth_scale is not None:
        png16.check_scale(depth_scale)
    data = read_contents(source)
    try:
        # Damaged records can ask for any arithmetic; what it comes to is told by `DepthMap`, not by warnings.
        with np.errstate(all="ignore"):
            return _decode(data, depth_scale=depth_scale, kind=kind)
    except ValueError as error:
        raise InputError(f"the file's depths make no sense: {error}") from error


def read_record(source: str | Path | bytes) -> Record | None:
    """What a file of ours says about itself, without decoding a pixel; None if it is not ours or cannot say.

    Raises InputError where it cannot be opened, or its record makes no sense.
    """
    return Record.from_text(_peek_text(read_head(source, _HEAD_BYTES)))


def is_depth_file(source: Path | bytes) -> bool:
    """Whether a file is to be taken as depth: ours with map=depth, or npy, npz, PFM, EXR. False where unreadable.

    source: a path, or the file's bytes
    """
    try:
        head = read_head(source, _HEAD_BYTES)
    except InputError:
        return False
    if head.startswith(npy.SIGNATURE) or npz.has_arrays(head) or pfm.is_pfm(head[:_OWN_BYTES]) or exr.is_depth(head):
        return True
    return is_own(head) and _peek_text(head).get(PREFIX + "map") == "depth"


def is_own_output(source: Path | bytes) -> bool:
    """Whether a file was written by this program, whatever its map; quick, for scans of 100,000 files.

    source: a path, or the file's bytes

    Only files that bear an extension of ours are opened. False where it cannot be read.
    """
    if isinstance(source, Path) and source.suffix.lower() not in _OWN_EXTENSIONS:
        return False
    try:
        return is_own(read_head(source, _OWN_BYTES))
    except InputError:
        return False


def is_own(head: bytes) -> bool:
    """Whether the first bytes of a file (128 are enough) are those of one of ours that carries a record."""
    return any(head.startswith(signature) and head.startswith(mark, place) for signature, mark, place in _OWN_MARKS)


def _decode(data: bytes, *, depth_scale: float | None, kind: DepthKind) -> StoredDepth:
    if data.startswith(png.SIGNATURE):
        return _read_png(data, depth_scale=depth_scale, kind=kind)
    if data.startswith(npy.SIGNATURE):
        return _stored(npy.decode_array(data), {}, "npy", depth_scale=depth_scale, kind=kind)
    if data.startswith(npz.SIGNATURE):
        return _stored(*npz.decode_npz(data), "npz", depth_scale=depth_scale, kind=kind)
    if data.startswith(tiff.SIGNATURES):
        return _stored(*tiff.decode_tiff(data), "tiff", depth_scale=depth_scale, kind=kind)
    if pfm.is_pfm(data[:_OWN_BYTES]):
        return _stored(pfm.decode_pfm(data), {}, "pfm", depth_scale=depth_scale, kind=kind)
    if data.startswith(EXR_SIGNATURE):
        return _stored(*exr.decode_exr(data), "exr", depth_scale=depth_scale, kind=kind)
    if data.startswith(ply.SIGNATURE):
        values, record = ply.decode_ply(data)
        return StoredDepth(depth_from_values(values, kind=record.depth_kind, limit_m=record.limit_m), record, "ply")
    raise InputError(
        "the file is empty" if not data else "this is no depth file (16-bit PNG, TIFF, npy, npz, PFM, EXR)",
        hint=None if not data else "Name a depth map; photographs are measured and painted without --as depth.",
        code=ErrorCode.DECODE if not data else ErrorCode.UNSUPPORTED,
    )


def _peek_text(head: bytes) -> dict[str, str]:
    """The text that a file's first bytes carry; empty where there is none."""
    if head.startswith(png.SIGNATURE):
        return png.peek_text(head)
    if head.startswith(tiff.SIGNATURES):
        return tiff.peek_text(head)
    if head.startswith(npz.SIGNATURE):
        return npz.peek_text(head)
    if head.startswith(EXR_SIGNATURE):
        return exr.peek_text(head)
    return ply.peek_text(head)


def _stored(
    array: NDArray[Any], text: Mapping[str, str], name: str, *, depth_scale: float | None, kind: DepthKind
) -> StoredDepth:
    """The map of an array that came with `text`; where that is no record of ours, the caller says what it means."""
    record = Record.from_text(text)
    if record is None:
        return StoredDepth(npy.depth_from_array(array, kind=kind, depth_scale=depth_scale), None, name)
    if record.map == "uncertainty":
        raise InputError(
            "this tells how sure a network was, not how far things are",
            hint="Give the depth map that was written beside it.",
            code=ErrorCode.UNSUPPORTED,
        )
    depth = npy.depth_from_array(array, kind=record.depth_kind, limit_m=record.limit_m, depth_scale=record.depth_scale)
    return StoredDepth(depth, record, name)


def _read_png(data: bytes, *, depth_scale: float | None, kind: DepthKind) -> StoredDepth:
    if (peeked := Record.from_text(png.peek_text(data[:_HEAD_BYTES]))) is not None:
        _ = peeked.depth_kind  # labels are told before their pixels are
    pixels, text = png.decode_png(data)
    record = Record.from_text(text)
    if record is not None and record.map == "color":
        raise InputError(
            "this is a coloured picture of a depth map, not the map itself",
            hint="Give the depth map that was written beside it, or write one with -f png16.",
            code=ErrorCode.UNSUPPORTED,
        )
    if pixels.ndim != 2:
        raise InputError("the PNG file holds colours; a depth map holds grey pixels", code=ErrorCode.UNSUPPORTED)
    if record is None:
        if not kind.is_metric:
            raise InputError(
                f"integer pixels that do not say their range cannot be {kind.value} depth", code=ErrorCode.UNSUPPORTED
            )
        scale = npy.need_scale(depth_scale, pixels.dtype.name)
        return StoredDepth(png16.dequantize(pixels, depth_scale=scale, limit_m=None), None, "png16")
    if record.map == "gray" and record.painted is not None:
        return StoredDepth(gray.depth_of_levels(pixels, record), record, record.format)
    if record.depth_scale is None or not record.depth_kind.is_metric:
        raise InputError("its record makes no sense: integer pixels without a scale in metres")
    depth = png16.dequantize(pixels, depth_scale=record.depth_scale, limit_m=record.limit_m)
    return StoredDepth(depth, record, record.format)
