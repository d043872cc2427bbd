"""TIFF: float32 (H, W) in strips, deflated, NaN where nothing is known; the record is its description, as JSON.

Our own files are written and read by the few lines that this takes, so that the record comes first (a scan knows our
files from 128 bytes), the same map gives the same bytes, and every strip's checksum is verified. TIFF files of others
that are not as plain go through Pillow.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from threading import Lock
from typing import Any, ClassVar
from warnings import catch_warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from glpn_cli.depth_files.record_text import text_from_json, text_to_json
from glpn_cli.depth_files.writer import FloatWriter, depth_of, depth_text, with_holes
from glpn_cli.errors import ErrorCode, InputError
from glpn_cli.prediction import Result

SIGNATURES = (b"II*\0", b"MM\0*")
MAX_PIXELS = 1 << 28
_STRIP_BYTES = 1 << 20
# Level 1 takes 0.18 s for a smooth 1080p map, level 6 takes 0.63 s and saves nothing.
_COMPRESS_LEVEL = 1

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _DESCRIPTION = 256, 257, 258, 259, 262, 270
_OFFSETS, _SAMPLES, _ROWS_PER_STRIP, _COUNTS, _PLANAR, _SOFTWARE = 273, 277, 278, 279, 284, 305
_PREDICTOR, _TILE_WIDTH, _SAMPLE_FORMAT = 317, 322, 339
_ASCII, _SHORT, _LONG = 2, 3, 4
_FORMAT_OF = {_SHORT: "H", _LONG: "I"}
_NONE, _DEFLATE, _OLD_DEFLATE = 1, 8, 32946
_LETTER_OF_SAMPLE_FORMAT = {1: "u", 2: "i", 3: "f"}
# What Pillow's decoder raises on damaged data.
_DAMAGED = (
    OSError, SyntaxError, ValueError, EOFError, OverflowError, TypeError, KeyError, IndexError, AttributeError,
    RuntimeError, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip

_WARNINGS_LOCK = Lock()
Tags = dict[int, bytes | tuple[int, ...]]


@dataclass(frozen=True)
class Tiff(FloatWriter):
    """Depth as float TIFF, exactly as it is in memory; any kind."""

    format: ClassVar[str] = "tiff"
    extension: ClassVar[str] = ".tiff"

    def encode(self, result: Result) -> bytes:
        """The TIFF file."""
        return encode_tiff(with_holes(depth_of(result)), text=depth_text(self, result))


def encode_tiff(values: NDArray[np.float32], *, text: Mapping[str, str]) -> bytes:
    """A TIFF file of `values`, float32 (H, W), with `text` (ASCII) as its description. No time stamp."""
    height, width = values.shape
    rows = max(1, min(height, _STRIP_BYTES // (4 * width)))
    bands = (values[top : top + rows] for top in range(0, height, rows))
    strips = [zlib.compress(band.astype("<f4", copy=False).tobytes(), _COMPRESS_LEVEL) for band in bands]
    software = text["Software"].encode("ascii") + b"\0"
    description = text_to_json(text) + b"\0"
    padding = b"\0" * ((len(software) + len(description)) % 2)  # what follows begins at an even byte
    directory_at = 8 + len(software) + len(description) + len(padding)
    fields: list[tuple[int, int, int, int | None]] = [  # tag, type, count, value (None: the next of `tails`)
        (_WIDTH, _LONG, 1, width),
        (_HEIGHT, _LONG, 1, height),
        (_BITS, _SHORT, 1, 32),
        (_COMPRESSION, _SHORT, 1, _DEFLATE),
        (_PHOTOMETRIC, _SHORT, 1, 1),  # larger is brighter
        (_DESCRIPTION, _ASCII, len(description), 8 + len(software)),
        (_OFFSETS, _LONG, len(strips), None),
        (_SAMPLES, _SHORT, 1, 1),
        (_ROWS_PER_STRIP, _LONG, 1, rows),
        (_COUNTS, _LONG, len(strips), None),
        (_PLANAR, _SHORT, 1, 1),
        (_SOFTWARE, _ASCII, len(software), 8),
        (_SAMPLE_FORMAT, _SHORT, 1, 3),  # floats
    ]
    tables_at = directory_at + 2 + 12 * len(fields) + 4
    counts = [len(strip) for strip in strips]
    first = tables_at + 8 * len(strips)
    offsets = [first + sum(counts[:index]) for index in range(len(strips))]
    tables = iter(((offsets, tables_at), (counts, tables_at + 4 * len(strips))))
    entries = b""
    for tag, kind, count, value in fields:
        if value is None:  # a table: in place where it has one entry
            table, at = next(tables)
            value = table[0] if count == 1 else at  # noqa: PLW2901
        entries += struct.pack("<HHII", tag, kind, count, value)
    head = struct.pack("<4sI", b"II*\0", directory_at) + software + description + padding
    directory = struct.pack("<H", len(fields)) + entries + struct.pack("<I", 0)
    return b"".join([head, directory, np.array(offsets + counts, "<u4").tobytes(), *strips])


def decode_tiff(data: bytes) -> tuple[NDArray[Any], dict[str, str]]:
    """The first image, numbers (H, W), and the text of a TIFF file. Raises InputError."""
    tags = _read_tags(data)
    width, height = (_first(tags, tag, 0) for tag in (_WIDTH, _HEIGHT))
    if not 0 < width * height <= MAX_PIXELS:
        raise InputError(f"the TIFF file is {width}x{height}, which is no size", code=ErrorCode.TOO_LARGE)
    if _first(tags, _SAMPLES, 1) != 1:
        raise InputError("the TIFF file holds colours; a depth map holds one number per pixel")
    dtype = _dtype_of(tags, data[:2])
    if dtype is None:
        return _decode_by_pillow(data), _text_of(tags)
    return _decode_strips(data, tags, dtype, (height, width)), _text_of(tags)


def peek_text(head: bytes) -> dict[str, str]:
    """The text of one of our files, from its first bytes; empty for files of others that keep it farther on."""
    try:
        return _text_of(_read_tags(head))
    except InputError:
        return {}


def _decode_strips(data: bytes, tags: Tags, dtype: np.dtype[Any], size: tuple[int, int]) -> NDArray[Any]:
    height, width = size
    offsets, counts = (tags.get(tag, ()) for tag in (_OFFSETS, _COUNTS))
    rows = min(_first(tags, _ROWS_PER_STRIP, height), height)
    if rows < 1 or not len(offsets) == len(counts) == math.ceil(height / rows):
        raise InputError("the TIFF file is damaged: its strips do not make up the picture")
    values = np.empty(size, dtype)
    for index, (offset, count) in enumerate(zip(offsets, counts, strict=True)):
        band = values[index * rows : (index + 1) * rows]
        strip = data[offset : offset + count]
        if _first(tags, _COMPRESSION, _NONE) != _NONE:
            strip = _inflate(strip, band.nbytes)
        if len(strip) != band.nbytes:
            raise InputError("the TIFF file is damaged or cut short: a strip has the wrong length")
        band[:] = np.frombuffer(strip, dtype).reshape(-1, width)
    return values


def _inflate(strip: bytes, length: int) -> bytes:
    """Exactly `length` bytes, with their checksum verified; never more, whatever the strip would come to."""
    inflater = zlib.decompressobj()
    try:
        raw = inflater.decompress(strip, length)
        if not inflater.eof:
            raw += inflater.decompress(inflater.unconsumed_tail, 1)
    except zlib.error as error:
        raise InputError(f"the TIFF file is damaged: {error}") from error
    return raw if inflater.eof else b""


def _decode_by_pillow(data: bytes) -> NDArray[Any]:
    """What is not as plain as ours: tiles, other compressions, predictors."""
    try:
        # Pillow warns of every odd tag. Silencing that is process-wide, so one thread at a time.
        with _WARNINGS_LOCK, catch_warnings(action="ignore"), TiffImagePlugin.TiffImageFile(BytesIO(data)) as image:
            if image.mode not in ("F", "L", "I;16", "I;16B", "I"):
                raise InputError(f"the TIFF file holds {image.mode} pixels; a depth map holds numbers")
            return np.asarray(image)
    except _DAMAGED as error:
        raise InputError(f"the TIFF file is damaged, or not of a kind that can be read: {error}") from error


def _dtype_of(tags: Tags, order: bytes) -> np.dtype[Any] | None:
    """The type of the numbers, where the file is plain: strips, as they are or deflated; else None."""
    plain = (
        _first(tags, _COMPRESSION, _NONE) in (_NONE, _DEFLATE, _OLD_DEFLATE)
        and _first(tags, _PREDICTOR, 1) == 1
        and _TILE_WIDTH not in tags
        and _OFFSETS in tags
    )
    letter = _LETTER_OF_SAMPLE_FORMAT.get(_first(tags, _SAMPLE_FORMAT, 1))
    bits = _first(tags, _BITS, 1)
    if not plain or letter is None or bits not in ((16, 32, 64) if letter == "f" else (8, 16, 32)):
        return None
    return np.dtype(f"{'<' if order == b'II' else '>'}{letter}{bits // 8}")


def _text_of(tags: Tags) -> dict[str, str]:
    """The description, where it is the JSON object of strings that ours is."""
    description = tags.get(_DESCRIPTION)
    return text_from_json(description) if isinstance(description, bytes) else {}


def _read_tags(data: bytes) -> Tags:
    """The first directory's numbers and texts; what points outside `data` is left out. Raises InputError."""
    order = "<" if data[:2] == b"II" else ">"
    tags: Tags = {}
    try:
        (at,) = struct.unpack_from(f"{order}I", data, 4)
        (entries,) = struct.unpack_from(f"{order}H", data, at)
        for index in range(entries):
            place = at + 2 + 12 * index
            tag, kind, count = struct.unpack_from(f"{order}HHI", data, place)
            letter = _FORMAT_OF.get(kind, "s")
            length = count * (struct.calcsize(letter) if kind in _FORMAT_OF else 1)
            start = place + 8
            if length > 4:
                (start,) = struct.unpack_from(f"{order}I", data, start)
            if start + length > len(data):
                continue
            if kind == _ASCII:
                tags[tag] = data[start : start + length]
            elif kind in _FORMAT_OF:
                tags[tag] = struct.unpack_from(f"{order}{count}{letter}", data, start)
    except struct.error as error:
        raise InputError("the TIFF file is damaged or cut short") from error
    return tags


def _first(tags: Tags, tag: int, default: int) -> int:
    values = tags.get(tag, ())
    return values[0] if values and isinstance(values, tuple) else default
