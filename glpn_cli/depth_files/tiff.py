"""TIFF: float32 (H, W) in strips, deflated, NaN where nothing is known; the record is its description, as JSON.

Tags go through Pillow. Strips of numbers, as they are or deflated, are read and written here, for three reasons: the
record comes before the pixels, so that a scan knows our files from their first bytes (libtiff puts it last); every
strip's checksum is verified (of 9,000 flipped bits libtiff let 799 through as other depths); and floats of 16 and 64
bits are read, which Pillow has no mode for. Tiles, predictors and other compressions go through Pillow.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, ClassVar
from warnings import catch_warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin, TiffTags

from glpn_cli.depth_files.base import (
    DEEPEST_GREY_BITS,
    EncodedFile,
    Format,
    Guess,
    check_size,
    depth_of,
    with_holes,
)
from glpn_cli.depth_files.record import PROGRAM, text_from_json, text_to_json
from glpn_cli.errors import ErrorCode, InputError
from glpn_cli.images.completeness import check_tiff
from glpn_cli.images.decode import silence_libtiff
from glpn_cli.prediction import Result

_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""The last two are BigTIFF, whose offsets have 64 bits."""

_STRIP_BYTES = 1 << 20
# Level 1 takes 0.18 s for a smooth 1080p map, level 6 takes 0.63 s and saves nothing.
_COMPRESS_LEVEL = 1

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _DESCRIPTION = 256, 257, 258, 259, 262, 270
_OFFSETS, _SAMPLES, _ROWS_PER_STRIP, _COUNTS, _PLANAR, _SOFTWARE = 273, 277, 278, 279, 284, 305
_GDAL_NODATA = 42113
_SUBFILE, _NOT_A_PAGE = 254, 5
"""What a page is: the bits say that it is a smaller copy, or a mask."""
_PREDICTOR, _TILE_WIDTH, _TILE_HEIGHT, _SAMPLE_FORMAT = 317, 322, 323, 339
_NONE, _DEFLATE, _OLD_DEFLATE = 1, 8, 32946
_LETTER_OF_SAMPLE_FORMAT = {1: "u", 2: "i", 3: "f"}
_LARGE_TILE = 1 << 22
_MOST_TAGS = 1024
# What Pillow raises on damaged data.
_DAMAGED = (
    OSError, SyntaxError, ValueError, EOFError, OverflowError, TypeError, KeyError, IndexError, AttributeError,
    RuntimeError, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip

_WARNINGS_LOCK = Lock()
_Tags = Mapping[int, Any]


class Tiff(Format):
    """Depth as float TIFF, exactly as it is in memory; any kind."""

    format: ClassVar[str] = "tiff"
    extension: ClassVar[str] = ".tiff"
    # The description follows 8 bytes and 13 tags of 12; in files of version 0.1 the software came first.
    own_marks: ClassVar[tuple[tuple[bytes, int], ...]] = (
        (f'{{"Software": "{PROGRAM} '.encode(), 170),
        (f"{PROGRAM} ".encode(), 8),
    )

    @classmethod
    def sniff(cls, head: bytes) -> bool:
        """Whether a file is TIFF."""
        return head.startswith(_SIGNATURES)

    @classmethod
    def guess(cls, source: Path | bytes, head: bytes) -> Guess:
        """One float a pixel is depth; the directory may be anywhere in the file."""
        try:
            with BytesIO(source) if isinstance(source, bytes) else source.open("rb") as stream:
                samples, bits, is_float = _read_layout(stream, head)
        except (OSError, struct.error, OverflowError, ValueError):
            return Guess.PICTURE
        if samples != 1:
            return Guess.PICTURE
        if is_float:
            return Guess.DEPTH
        return Guess.AMBIGUOUS if bits > DEEPEST_GREY_BITS else Guess.PICTURE

    @classmethod
    def peek(cls, head: bytes) -> Mapping[str, str]:
        """The text of one of our files; empty for files of others that keep it farther on."""
        try:
            return _text_of(_read_tags(head))
        except InputError:
            return {}

    @classmethod
    def ends_whole(cls, head: bytes, tail: bytes, length: int) -> bool:  # noqa: ARG003
        """Whether the last strip is there; True where the tags are not all in front, as ours are."""
        try:
            tags = _read_tags(head)
            return max(map(sum, zip(tags[_OFFSETS], tags[_COUNTS], strict=True))) <= length
        except (InputError, KeyError, TypeError, ValueError):
            return True

    @classmethod
    def read_array(cls, data: bytes, max_pixels: int) -> tuple[NDArray[Any], Mapping[str, str]]:
        """The first image, numbers (H, W), and the text of the record. Raises InputError."""
        tags = _read_tags(data)
        if _HEIGHT not in tags or _WIDTH not in tags:
            raise InputError("the TIFF file is damaged or cut short: it has no size")
        height, width = _number(tags, _HEIGHT, 0), _number(tags, _WIDTH, 0)
        check_size(height, width, max_pixels)
        second = _read_tags(data, 1)
        if (_number(second, _HEIGHT, 0), _number(second, _WIDTH, 0)) == (height, width) and not (
            _number(second, _SUBFILE, 0) & _NOT_A_PAGE
        ):
            raise InputError(
                "the TIFF file holds several maps, and does not say which is meant",
                hint="Save each of them as a file of its own.",
                code=ErrorCode.UNSUPPORTED,
            )
        if _number(tags, _SAMPLES, 1) != 1:
            raise InputError("the TIFF file holds colours; a depth map holds one number per pixel")
        if _number(tags, _TILE_WIDTH, 0) * _number(tags, _TILE_HEIGHT, 0) > max(height * width, _LARGE_TILE):
            raise InputError("the TIFF file's tiles are too large", code=ErrorCode.TOO_LARGE)
        dtype = _dtype_of(tags, data[:2])
        values = _decode_by_pillow(data) if dtype is None else _decode_strips(data, tags, dtype, (height, width))
        return _without_nodata(values, tags), _text_of(tags)

    def encode(self, result: Result) -> EncodedFile:
        """The TIFF file."""
        values = with_holes(depth_of(result))
        record = self.depth_record(result).with_pixels(values)
        return EncodedFile(encode_tiff(values, text=record.to_text()), record)


def encode_tiff(values: NDArray[np.float32], *, text: Mapping[str, str]) -> bytes:
    """A TIFF file of `values`, float32 (H, W), with `text` (ASCII) as its description. No time stamp."""
    height, width = values.shape
    rows = max(1, min(height, _STRIP_BYTES // (4 * width)))
    bands = (values[top : top + rows] for top in range(0, height, rows))
    strips = [zlib.compress(band.astype("<f4", copy=False).tobytes(), _COMPRESS_LEVEL) for band in bands]
    counts = [len(strip) for strip in strips]
    tags = TiffImagePlugin.ImageFileDirectory_v2(b"II*\0\0\0\0\0")
    tags[_WIDTH], tags[_HEIGHT] = width, height
    tags[_BITS], tags[_COMPRESSION], tags[_PHOTOMETRIC] = 32, _DEFLATE, 1  # larger is brighter
    tags[_DESCRIPTION] = text_to_json(text).decode()
    tags[_SAMPLES], tags[_ROWS_PER_STRIP], tags[_PLANAR], tags[_SAMPLE_FORMAT] = 1, rows, 1, 3  # floats
    tags[_SOFTWARE] = text["Software"]
    tags.tagtype |= {_OFFSETS: TiffTags.LONG, _COUNTS: TiffTags.LONG}
    tags[_COUNTS] = tuple(counts)
    tags[_OFFSETS] = tuple(sum(counts[:index]) for index in range(len(counts)))  # Pillow adds how long all tags are
    return b"".join([struct.pack("<4sI", b"II*\0", 8), tags.tobytes(8), *strips])


def _without_nodata(values: NDArray[Any], tags: _Tags) -> NDArray[Any]:
    """The same with 0 for the number that GDAL's tag says stands for nothing known."""
    try:
        nothing = float(tags.get(_GDAL_NODATA, "nan"))
    except (TypeError, ValueError):
        return values
    is_nothing = values == (np.float32(nothing) if values.dtype.kind == "f" else nothing)
    return np.where(is_nothing, values.dtype.type(0), values) if is_nothing.any() else values


def _decode_strips(data: bytes, tags: _Tags, dtype: np.dtype[Any], size: tuple[int, int]) -> NDArray[Any]:
    height, width = size
    offsets, counts = tags.get(_OFFSETS, ()), tags.get(_COUNTS, ())
    rows = min(_number(tags, _ROWS_PER_STRIP, height), height)
    are_whole = all(isinstance(number, int) for number in (*offsets, *counts))
    if rows < 1 or not are_whole or not len(offsets) == len(counts) == math.ceil(height / rows):
        raise InputError("the TIFF file is damaged: its strips do not make up the picture")
    values = np.empty(size, dtype)
    for index, (offset, count) in enumerate(zip(offsets, counts, strict=True)):
        band = values[index * rows : (index + 1) * rows]
        strip = data[offset : offset + count]
        if _number(tags, _COMPRESSION, _NONE) != _NONE:
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
    silence_libtiff()
    try:
        # Pillow warns of every odd tag. Silencing that is process-wide, so one thread at a time.
        with _WARNINGS_LOCK, catch_warnings(action="ignore"), TiffImagePlugin.TiffImageFile(BytesIO(data)) as image:
            if image.mode not in ("F", "L", "I;16", "I;16B", "I"):
                raise InputError(f"the TIFF file holds {image.mode} pixels; a depth map holds numbers")
            values = np.asarray(image)
            check_tiff(BytesIO(data), image)
            return values
    except _DAMAGED as error:
        raise InputError(f"the TIFF file is damaged, or not of a kind that can be read: {error}") from error


def _dtype_of(tags: _Tags, order: bytes) -> np.dtype[Any] | None:
    """The type of the numbers, where the file is plain: strips, as they are or deflated; else None."""
    plain = (
        _number(tags, _COMPRESSION, _NONE) in (_NONE, _DEFLATE, _OLD_DEFLATE)
        and _number(tags, _PREDICTOR, 1) == 1
        and _TILE_WIDTH not in tags
        and _OFFSETS in tags
    )
    letter = _LETTER_OF_SAMPLE_FORMAT.get(_number(tags, _SAMPLE_FORMAT, 1))
    bits = _number(tags, _BITS, 1)
    if not plain or letter is None or bits not in ((16, 32, 64) if letter == "f" else (8, 16, 32)):
        return None
    return np.dtype(f"{'<' if order == b'II' else '>'}{letter}{bits // 8}")


def _read_layout(stream: BinaryIO, head: bytes) -> tuple[int, int, bool]:
    """Numbers a pixel of the first picture, bits of each, and whether they are floats; no other tag's values are read.

    Raises struct.error, OSError, OverflowError or ValueError where the directory is damaged.
    """
    order = "<" if head.startswith(b"II") else ">"
    at, count, length = (f"{order}8xQ", f"{order}Q", 20) if _is_big(head) else (f"{order}4xI", f"{order}H", 12)
    values = {_SAMPLES: 1, _BITS: 1, _SAMPLE_FORMAT: 1}
    stream.seek(struct.unpack_from(at, head)[0])
    (tags,) = struct.unpack(count, stream.read(struct.calcsize(count)))
    for _ in range(min(tags, _MOST_TAGS)):
        entry = stream.read(length)
        (name,) = struct.unpack_from(f"{order}H", entry)
        if name in values:  # one 16-bit number of each, where there is one sample: in the entry itself
            (values[name],) = struct.unpack_from(f"{order}H", entry, length - (8 if _is_big(head) else 4))
    return values[_SAMPLES], values[_BITS], _LETTER_OF_SAMPLE_FORMAT.get(values[_SAMPLE_FORMAT]) == "f"


def _is_big(head: bytes) -> bool:
    return head.startswith(_SIGNATURES[2:])


def _read_tags(data: bytes, page: int = 0) -> _Tags:
    """The first directory, or that of another page, decoded; empty where there is none. Raises InputError."""
    try:
        with _WARNINGS_LOCK, catch_warnings(action="ignore"):
            directory = TiffImagePlugin.ImageFileDirectory_v2(data[: 16 if _is_big(data) else 8])
            stream = BytesIO(data)
            for _ in range(page + 1):
                if not directory.next:
                    return {}
                stream.seek(directory.next)
                directory.load(stream)
            return dict(directory)
    except _DAMAGED as error:
        raise InputError(f"the TIFF file is damaged or cut short: {error}") from error


def _text_of(tags: _Tags) -> dict[str, str]:
    """The text of the record, in the description."""
    description = tags.get(_DESCRIPTION)
    return text_from_json(description) if isinstance(description, str) else {}


def _number(tags: _Tags, tag: int, default: int) -> int:
    """The first number of a tag."""
    value = tags.get(tag, default)
    value = value[0] if isinstance(value, tuple) and value else value
    return value if isinstance(value, int) else default
