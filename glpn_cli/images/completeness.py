"""Whether a file holds all that its header promises: Pillow lets PNG, JPEG and JPEG 2000 end early without a word."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

import numpy as np
from PIL import Image

from glpn_cli.images.formats import HEAD_BYTES, JPEG, PNG, PictureFormat, recognise

_PIECE = 1 << 20

_PNG_HEADER_AT, _PNG_CHUNKS_AT = 16, 8
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# Adam7: first row, first column, step of rows and of columns of each pass.
_ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))

_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_JPEG_END, _JPEG_BARE = 0xD9, (0x01, 0xD8)
_LEAST_GREY, _MOST_GREY = 126, 130  # libjpeg fills in blocks of 128; colours and inks move that a little
_NOISE = np.random.default_rng(0).integers(0, 255, 512, np.uint8).tobytes()
_NOISE_AND_RESTARTS = b"".join(_NOISE + bytes([0xFF, 0xD0 + number]) for number in range(8)) + _NOISE

_JPEG2000_START = b"\xff\x4f\xff\x51"
_JPEG2000_TILE, _JPEG2000_END = 0xFF90, 0xFFD9


def check_png(stream: BinaryIO, image: Image.Image) -> None:
    """Check the checksums of a PNG's pixels, and that none are missing.

    image: the first frame as decoded. Rows that were not there are zeros, so the data are unpacked once more only where
           the last row is all zeros, or where rows are interlaced.

    Raises EOFError where pixels are missing, SyntaxError (as Pillow does) where they are damaged.
    """
    for _ in _png_pixel_data(stream):
        pass
    stream.seek(_PNG_HEADER_AT)
    width, height, depth, color, _, _, interlaced = struct.unpack(">IIBBBBB", stream.read(13))
    if not interlaced and np.asarray(image.crop((0, image.height - 1, image.width, image.height))).any():
        return
    expected = 0
    for top, left, down, right in _ADAM7 if interlaced else ((0, 0, 1, 1),):
        rows, columns = len(range(top, height, down)), len(range(left, width, right))
        expected += rows * (1 + -(-columns * depth * _PNG_CHANNELS[color] // 8)) if columns else 0
    unpacker, unpacked = zlib.decompressobj(), 0
    for data in _png_pixel_data(stream):
        while data and not unpacker.eof:
            unpacked += len(unpacker.decompress(data, _PIECE))
            data = unpacker.unconsumed_tail  # noqa: PLW2901 - what is left of it
    if unpacked < expected:
        raise EOFError("its pixels end before its last row")


def _png_pixel_data(stream: BinaryIO) -> Iterator[bytes]:
    """What the IDAT chunks hold, each checked against its checksum; IEND may be missing."""
    stream.seek(_PNG_CHUNKS_AT)
    while len(head := stream.read(8)) == 8:
        length, name = struct.unpack(">I4s", head)
        if name == b"IEND":
            return
        if name != b"IDAT":
            stream.seek(length + 4, 1)
            continue
        checksum = zlib.crc32(name)
        while length and (piece := stream.read(min(length, _PIECE))):
            checksum = zlib.crc32(piece, checksum)
            length -= len(piece)
            yield piece
        told = stream.read(4)
        if len(told) < 4:
            raise EOFError("its pixels end too early")
        if told != struct.pack(">I", checksum):
            raise SyntaxError("its pixels do not match their checksum")


def check_jpeg(stream: BinaryIO, image: Image.Image, decode_again: Callable[[BinaryIO], Image.Image]) -> None:
    """Check that a JPEG's data do not end before the rows that its header promises. Raises EOFError.

    libjpeg fills such rows with grey. Where the last pixels are of that grey, the picture is decoded once more with
    noise before its end: the decoder of a whole picture does not come to read it.
    """
    width, height = image.size
    corner = np.asarray(image.crop((max(0, width - 4), max(0, height - 4), width, height)))
    if corner.min() < _LEAST_GREY or corner.max() > _MOST_GREY:
        return
    stream.seek(0)
    data = stream.read()
    end = _find_jpeg_end(data)
    if end is None:
        return
    try:
        other = decode_again(io.BytesIO(data[:end] + _NOISE_AND_RESTARTS + data[end:]))
    except (OSError, SyntaxError, ValueError) as error:
        raise EOFError("its data end before its last row") from error
    rows = max(1, _PIECE // width)
    boxes = ((0, top, width, min(top + rows, height)) for top in range(0, height, rows))
    if any(not np.array_equal(np.asarray(image.crop(box)), np.asarray(other.crop(box))) for box in boxes):
        raise EOFError("its data end before its last row")


def _find_jpeg_end(data: bytes) -> int | None:
    """Where the end marker of the first picture is."""
    at = 0
    while (found := _JPEG_MARKER.search(data, at)) is not None:
        marker, at = data[found.start() + 1], found.end()
        if marker == _JPEG_END:
            return found.start()
        if marker not in _JPEG_BARE:
            at += int.from_bytes(data[at : at + 2], "big")
    return None


def check_jpeg2000(stream: BinaryIO) -> None:
    """Check that all tiles of a JPEG 2000 picture are there. Raises EOFError, or struct.error where the data end."""
    stream.seek(0)
    data = stream.read()
    at = data.find(_JPEG2000_START)
    if at < 0:
        raise EOFError("its data have no beginning")
    _, _, right, bottom, _, _, tile_width, tile_height, left, top = struct.unpack_from(">HHIIIIIIII", data, at + 4)
    tiles = -(-(right - left) // tile_width) * -(-(bottom - top) // tile_height)
    at += 2
    while (marker := struct.unpack_from(">H", data, at)[0]) not in (_JPEG2000_TILE, _JPEG2000_END):
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    found = set()
    while marker == _JPEG2000_TILE:
        _, number, length = struct.unpack_from(">HHI", data, at + 2)
        found.add(number)
        at = at + length if length else data.find(_JPEG2000_END.to_bytes(2, "big"), at)
        marker = struct.unpack_from(">H", data, at)[0] if at >= 0 else None
    if marker != _JPEG2000_END or len(found) < tiles:
        raise EOFError("its data end before its last tile" if found else "its data have no end")


def has_another_picture(data: bytes) -> bool:
    """Whether a second PNG or JPEG, WebP or the like follows the one that `data` begin with, as in `cat a.jpg b.jpg`.

    A second picture that belongs to the first, for stereo or brightness, is none.
    """
    kind = recognise(data[:HEAD_BYTES])
    end: int | None = None
    if kind is JPEG:
        end = _find_jpeg_end(data)
        end = None if end is None or b"MPF\0" in data[:end] else end + 2
    elif kind is PNG:
        end = data.find(b"\0\0\0\0IEND")
        end = None if end < 0 else end + 12
    elif data.startswith(b"RIFF"):
        end = 8 + int.from_bytes(data[4:8], "little")
    return end is not None and isinstance(recognise(data[end : end + HEAD_BYTES]), PictureFormat)
