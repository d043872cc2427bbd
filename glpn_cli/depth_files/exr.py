"""OpenEXR: channel Z, float32, in metres, infinite where nothing is known; the record is its text attributes.

Compositors take depth from Z. The same numbers stand in channel Y as well, a grey picture's own, since Blender and
OpenCV read a file of Z alone as zeros; that takes 3 to 6 % more room. Our own files, 16 rows to a block, each deflated,
are written and read by the few lines that this takes; those of others are read by the library OpenEXR, from the extra
`exr`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from glpn_cli.depth_files.record_text import PROGRAM
from glpn_cli.depth_files.writer import FloatWriter, depth_of, depth_text, with_holes
from glpn_cli.errors import ErrorCode, InputError
from glpn_cli.images.exr_header import SIGNATURE, ExrHeader, read_header
from glpn_cli.prediction import Result

_VERSION = struct.pack("<i", 2)
# Our first attribute, so that a scan knows our files from their first bytes.
OWN_HEAD = SIGNATURE + _VERSION + b"Software\0string\0"
OWN_MARK, OWN_MARK_AT = PROGRAM.encode() + b" ", len(OWN_HEAD) + 4
MAX_PIXELS = 1 << 28
# Renderers write 1e10 where a ray meets nothing.
_NOTHING_FROM = 1e9
_ROWS = 16
_ZIP, _FLOAT = 3, 2
_CHANNELS = {"Y": _FLOAT, "Z": _FLOAT}
# What is laid out as ours are; files of before had no Y.
_PLAIN = (list(_CHANNELS.items()), [("Z", _FLOAT)])
_COMPRESS_LEVEL = 1
# A header of one part without deep or tiled pixels has no flags.
_FLAGS = b"\x02\0\0\0"


@dataclass(frozen=True)
class Exr(FloatWriter):
    """Depth as OpenEXR, exactly as it is in memory; any kind."""

    format: ClassVar[str] = "exr"
    extension: ClassVar[str] = ".exr"

    def encode(self, result: Result) -> bytes:
        """The EXR file."""
        values = with_holes(depth_of(result))
        return encode_exr(np.nan_to_num(values, nan=np.inf), text=depth_text(self, result))


def encode_exr(values: NDArray[np.float32], *, text: Mapping[str, str]) -> bytes:
    """An EXR file of `values`, float32 (H, W), as channels Y and Z; `text` (ASCII) as attributes. No time stamp."""
    height, width = values.shape
    channels = b"".join(
        name.encode("ascii") + b"\0" + struct.pack("<iB3xii", kind, 0, 1, 1) for name, kind in _CHANNELS.items()
    )
    window = struct.pack("<4i", 0, 0, width - 1, height - 1)
    attributes = [
        *((key, "string", value.encode("ascii")) for key, value in text.items()),
        ("channels", "chlist", channels + b"\0"),
        ("compression", "compression", bytes([_ZIP])),
        ("dataWindow", "box2i", window),
        ("displayWindow", "box2i", window),
        ("lineOrder", "lineOrder", b"\0"),
        ("pixelAspectRatio", "float", struct.pack("<f", 1)),
        ("screenWindowCenter", "v2f", struct.pack("<2f", 0, 0)),
        ("screenWindowWidth", "float", struct.pack("<f", 1)),
    ]
    head = SIGNATURE + _VERSION
    for name, kind, value in attributes:
        head += name.encode("ascii") + b"\0" + kind.encode("ascii") + b"\0" + struct.pack("<i", len(value)) + value
    head += b"\0"
    blocks = []
    for top in range(0, height, _ROWS):
        # Row by row, one channel after the other.
        rows = values[top : top + _ROWS].astype("<f4", copy=False).repeat(len(_CHANNELS), axis=0)
        packed = _pack(rows.tobytes())
        blocks.append(struct.pack("<ii", top, len(packed)) + packed)
    lengths = np.array([0, *map(len, blocks)], "<u8")
    offsets = len(head) + 8 * len(blocks) + np.cumsum(lengths)[:-1]
    return head + offsets.astype("<u8").tobytes() + b"".join(blocks)


def decode_exr(data: bytes) -> tuple[NDArray[Any], dict[str, str]]:
    """The depths float32 (H, W), not finite where nothing is known, and the text of an EXR file. Raises InputError."""
    header = read_header(data)
    if header.end is None or not header.channels:
        raise InputError("the EXR file is damaged or cut short: its header does not end")
    try:
        height, width = header.size
    except ValueError as error:
        raise InputError(f"the EXR file is damaged: {error}") from error
    if height * width > MAX_PIXELS:
        raise InputError(f"the EXR file says it has {height * width:,} pixels", code=ErrorCode.TOO_LARGE)
    name = _choose_channel(header)
    values = _read_plain(data, header) if _is_plain(data, header) else _read_by_library(data, name)
    return np.where(np.abs(values) < _NOTHING_FROM, values, np.float32(np.inf)), header.texts


def peek_text(head: bytes) -> dict[str, str]:
    """The record's text from the first bytes of an EXR file."""
    return read_header(head).texts


def is_depth(head: bytes) -> bool:
    """Whether an EXR file holds something else than colours."""
    return head.startswith(SIGNATURE) and not read_header(head).is_picture


def _choose_channel(header: ExrHeader) -> str:
    names = list(header.channels)
    for wanted in ("Z", "depth.Z", "Depth.Z", "Y", "V"):
        if wanted in names:
            return wanted
    ends = [name for name in names if name.endswith((".Z", ".V"))]
    if len(ends) == 1 or len(names) == 1:
        return (ends or names)[0]
    raise InputError(
        f"the EXR file has no channel Z (found: {', '.join(names[:8])})",
        hint="Export depth as one channel, Z.",
        code=ErrorCode.UNSUPPORTED,
    )


def _is_plain(data: bytes, header: ExrHeader) -> bool:
    """Whether it is laid out as ours are."""
    return (
        data[4:8] == _FLAGS
        and list(header.channels.items()) in _PLAIN
        and header.number("compression", "compression") == _ZIP
        and header.number("lineOrder", "lineOrder") == 0
    )


def _read_plain(data: bytes, header: ExrHeader) -> NDArray[np.float32]:
    """Channel Z, which comes last in each row."""
    height, width = header.size
    count = len(header.channels)
    assert header.end is not None
    at = header.end + 8 * -(-height // _ROWS)
    rows = []
    for top in range(0, height, _ROWS):
        if at + 8 > len(data):
            raise InputError("the EXR file is cut short")
        length = struct.unpack_from("<i", data, at + 4)[0]
        packed = data[at + 8 : at + 8 + length] if length >= 0 else b""
        raw = _unpack(packed, 4 * width * count * min(_ROWS, height - top))
        rows.append(np.frombuffer(raw, "<f4").reshape(-1, count, width)[:, -1].copy())
        at += 8 + length
    return np.concatenate(rows)


def _pack(raw: bytes) -> bytes:
    """A block as OpenEXR's ZIP stores it: bytes apart by their place in the number, then differences, deflated."""
    plain = np.frombuffer(raw, np.uint8)
    apart = np.concatenate([plain[0::2], plain[1::2]])
    apart[1:] = np.diff(apart) + np.uint8(128)
    packed = zlib.compress(apart.tobytes(), _COMPRESS_LEVEL)
    return packed if len(packed) < len(raw) else raw


def _unpack(packed: bytes, size: int) -> bytes:
    if len(packed) == size:
        return packed
    decoder = zlib.decompressobj()
    try:
        raw = decoder.decompress(packed, size + 1)  # never more than a byte too many, whatever the file claims
    except zlib.error as error:
        raise InputError(f"the EXR file is damaged: {error}") from error
    if len(raw) != size or not decoder.eof:
        raise InputError("the EXR file is damaged or cut short")
    steps = np.frombuffer(raw, np.uint8).copy()
    steps[1:] -= np.uint8(128)
    apart = np.cumsum(steps, dtype=np.uint8)
    plain = np.empty_like(apart)
    half = (size + 1) // 2
    plain[0::2], plain[1::2] = apart[:half], apart[half:]
    return plain.tobytes()


def _read_by_library(data: bytes, name: str) -> NDArray[np.float32]:
    try:
        import OpenEXR
    except ImportError as error:
        raise InputError(
            "reading this EXR file needs more than is installed",
            hint="Run: pip install 'glpn-cli[exr]'",
            code=ErrorCode.UNSUPPORTED,
        ) from error
    try:
        file = OpenEXR.File(BytesIO(data), separate_channels=True, num_threads=0)
        pixels = np.asarray(file.channels()[name].pixels, np.float32)
    except Exception as error:
        raise InputError(f"the EXR file is damaged, or of a kind that cannot be read: {error}") from error
    if pixels.ndim != 2:
        raise InputError("the EXR file's depth is no plane of pixels", code=ErrorCode.UNSUPPORTED)
    return pixels
