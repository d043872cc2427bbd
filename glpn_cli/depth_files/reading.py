"""Any depth file back into a depth map; and, without decoding, what a file says it is."""

from __future__ import annotations

from pathlib import Path

from glpn_cli.depth_files import npy, png, png16
from glpn_cli.depth_files.record import PREFIX, PROGRAM, Record
from glpn_cli.depth_files.writer import StoredDepth
from glpn_cli.errors import ErrorCode, InputError, code_of, reason_of
from glpn_cli.prediction import DepthKind

# Larger than any map we can write: float64 values of the most pixels that we decode.
MAX_BYTES = 8 * png.MAX_PIXELS + (1 << 20)
# A record without its source's name is under 1 kB; a name is at most 4 kB, each byte escaped to three.
_HEAD_BYTES = 16 << 10
# The first text of our files ends within this many bytes: enough to know that a file is ours.
_OWN_BYTES = 128
_OWN_PNG = b"tEXtSoftware\0" + PROGRAM.encode() + b" "
_OWN_EXTENSIONS = frozenset({".png"})


def read_depth(
    source: Path | bytes, *, depth_scale: float | None = None, kind: DepthKind = DepthKind.METRIC
) -> StoredDepth:
    """Read a depth map that we or others wrote: 16-bit PNG, npy.

    source:      a path, or the file's bytes
    depth_scale: stored units per metre, for integers in files that do not say their own
    kind:        what the numbers mean, for files that do not say (metres along the optical axis)

    Raises InputError for whatever cannot be read as depth.
    """
    data = source if isinstance(source, bytes) else _read_bytes(source)
    if data.startswith(png.SIGNATURE):
        return _read_png(data, depth_scale=depth_scale, kind=kind)
    if data.startswith(npy.SIGNATURE):
        depth = npy.depth_from_array(npy.decode_array(data), kind=kind, depth_scale=depth_scale)
        return StoredDepth(depth, None, "npy")
    raise InputError(
        "the file is empty" if not data else "this is no depth file (16-bit PNG, npy)",
        code=ErrorCode.DECODE if not data else ErrorCode.UNSUPPORTED,
    )


def read_record(source: Path | bytes) -> Record | None:
    """What a file of ours says about itself, without decoding a pixel; None if it is not ours or cannot say.

    Raises InputError where it cannot be opened, or its record makes no sense.
    """
    head = source[:_HEAD_BYTES] if isinstance(source, bytes) else _read_head(source, _HEAD_BYTES)
    if head.startswith(png.SIGNATURE):
        return Record.from_text(png.peek_text(head))
    return None


def is_depth_file(path: Path) -> bool:
    """Whether a file is to be taken as depth: ours with map=depth, or npy. False where it cannot be read."""
    try:
        head = _read_head(path, _HEAD_BYTES)
        if head.startswith(png.SIGNATURE):
            return png.peek_text(head).get(PREFIX + "map") == "depth" and is_own(head)
    except InputError:
        return False
    return head.startswith(npy.SIGNATURE)


def is_own_output(path: Path) -> bool:
    """Whether a file was written by this program, whatever its map; quick, for scans of 100,000 files.

    Only files that bear an extension of ours are opened. False where it cannot be read.
    """
    if path.suffix.lower() not in _OWN_EXTENSIONS:
        return False
    try:
        return is_own(_read_head(path, _OWN_BYTES))
    except InputError:
        return False


def is_own(head: bytes) -> bool:
    """Whether the first bytes of a file (128 are enough) are those of one of ours that carries a record."""
    # A PNG's header is one chunk of 25 bytes, and our first text follows it (its length, then its type).
    return head.startswith(png.SIGNATURE) and head.startswith(_OWN_PNG, len(png.SIGNATURE) + 25 + 4)


def _read_png(data: bytes, *, depth_scale: float | None, kind: DepthKind) -> StoredDepth:
    pixels, text = png.decode_png(data)
    record = Record.from_text(text)
    if record is not None and record.map != "depth":
        raise InputError(
            f"this is a {record.map} picture of a depth map, not the map itself",
            hint="give the depth map that was written beside it, or write one with -f png16",
            code=ErrorCode.UNSUPPORTED,
        )
    if pixels.ndim != 2:
        raise InputError("the PNG file holds colours; a depth map holds grey pixels", code=ErrorCode.UNSUPPORTED)
    if record is not None:
        if record.depth_scale is None:
            raise InputError("its record has no depth scale")
        depth = png16.dequantize(pixels, depth_scale=record.depth_scale, limit_m=record.limit_m)
        return StoredDepth(depth, record, record.format)
    if not kind.is_metric:
        raise InputError(f"integer pixels that do not say their range cannot be {kind.value} depth")
    scale = npy.need_scale(depth_scale, pixels.dtype.name)
    return StoredDepth(png16.dequantize(pixels, depth_scale=scale, limit_m=None), None, "png16")


def _read_bytes(path: Path) -> bytes:
    data = _read_head(path, MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise InputError("the file is too large for a depth map", code=ErrorCode.TOO_LARGE)
    return data


def _read_head(path: Path, count: int) -> bytes:
    try:
        with path.open("rb", buffering=0) as file:
            data = file.read(count)
            while len(data) < count and (more := file.read(count - len(data))):
                data += more
            return data
    except OSError as error:
        raise InputError(f"the file cannot be read: {reason_of(error)}", code=code_of(error)) from error
