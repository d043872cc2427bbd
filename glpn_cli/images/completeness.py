"""Whether a file holds all that its header promises.

Pillow lets PNG, JPEG, JPEG 2000, and TIFF with JPEG or fax inside end early without a word.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import Any, BinaryIO

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from glpn_cli.images.formats import HEAD_BYTES, JPEG, PNG, PictureFormat, recognise

_PIECE = 1 << 20

_PNG_HEADER_AT, _PNG_CHUNKS_AT = 16, 8
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# Adam7: first row, first column, step of rows and of columns of each pass.
_ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))

_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_JPEG_END, _JPEG_BARE = 0xD9, (0x01, 0xD8)
_JPEG_FRAMES = (0xC0, 0xC1, 0xC2)
_LEAST_GREY, _MOST_GREY = 126, 130  # libjpeg fills in blocks of 128; colours and inks move that a little
_NOISE = np.random.default_rng(0).integers(0, 255, 512, np.uint8).tobytes()
_NOISE_AND_RESTARTS = b"".join(_NOISE + bytes([0xFF, 0xD0 + number]) for number in range(8)) + _NOISE

_JPEG2000_START = b"\xff\x4f\xff\x51"
_JPEG2000_TILE, _JPEG2000_END = 0xFF90, 0xFFD9

_TIFF_COMPRESSION, _TIFF_FILL_ORDER = 259, 266
_TIFF_JPEG, _TIFF_FAX = 7, (2, 3, 4)
_FAX_TAIL = 32
# Ends of lines, each of eleven zeros or more and a one, at the end of a strip; zeros before the last eleven are data.
_FAX_END = re.compile("(0*)0{11}11?(?:0{11,}11?)*0*$")
# Two white pixels are 0111, two black ones 11, and before both of them group 4 has 001. Where data end within a code,
# one of the beginnings makes some code of it.
_FAX_SHIFTS = ("", "1", "01", "0001")
_RUNS = 99 * "011111"
_FAX_NOISE = {2: _RUNS, 3: _RUNS + 4 * ("0000000000011" + _RUNS), 4: 99 * "001011111"}
_SAME_BITS = bytes(range(256))
REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


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
    """The data of the IDAT chunks, each checked against its checksum; IEND may be missing."""
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
    _compare(image, other)


def _find_jpeg_end(data: bytes) -> int | None:
    """Where the end marker of the first picture is."""
    return next((at for marker, at in _jpeg_markers(data) if marker == _JPEG_END), None)


def _jpeg_markers(data: bytes) -> Iterator[tuple[int, int]]:
    """(marker, where it is) of each that begins a part of the first picture."""
    at = 0
    while (found := _JPEG_MARKER.search(data, at)) is not None:
        marker, at = data[found.start() + 1], found.end()
        yield marker, found.start()
        if marker not in _JPEG_BARE:
            at += int.from_bytes(data[at : at + 2], "big")


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


def check_tiff(stream: BinaryIO, image: Image.Image) -> None:
    """Check that the strips or tiles of a TIFF's first page hold all of its pixels. Raises EOFError.

    libtiff tells where compressed numbers end early, but not JPEG and fax. Such a page is decoded again with noise
    behind the data of every strip: the decoder of a whole strip does not come to read it. Of 64,000 cuts 60 were
    missed, all of them in the last 20 bytes of a strip's fax and the last 40 of its JPEG.
    """
    tags: Mapping[int, Any] = image.tag_v2  # type: ignore[attr-defined]  # of its plugin's class
    compression = tags.get(_TIFF_COMPRESSION)
    if compression not in (*_TIFF_FAX, _TIFF_JPEG):
        return
    stream.seek(0)
    data = stream.read()
    if data[2:4] not in (b"*\0", b"\0*"):
        return  # BigTIFF, which nobody writes so
    where, sizes = (324, 325) if 324 in tags else (273, 279)
    spans = zip(tags[where], tags[sizes], strict=True)
    strips = [data[start : start + count] if count else data[start:] for start, count in spans]
    if compression == _TIFF_JPEG:
        _check_jpeg_strips(strips, tags)
        variants = [[_lengthen_jpeg(strip) for strip in strips]]
    else:
        flip = REVERSED_BITS if tags.get(_TIFF_FILL_ORDER) == 2 else _SAME_BITS
        noises = [shift + _FAX_NOISE[compression] for shift in _FAX_SHIFTS]
        variants = [
            [_lengthen_fax(strip.translate(flip), noise).translate(flip) for strip in strips] for noise in noises
        ]
    for longer in variants:
        ends = list(accumulate(map(len, longer), initial=len(data)))
        changed = bytearray(data + b"".join(longer))
        _replace_numbers(changed, {where: ends[:-1], sizes: list(map(len, longer))})
        try:
            with TiffImageFile(io.BytesIO(changed)) as other:
                other.load()
                _compare(image, other)
        except (OSError, SyntaxError, ValueError) as error:
            raise EOFError("its data end before its last row") from error


def _check_jpeg_strips(strips: list[bytes], tags: Mapping[int, Any]) -> None:
    """Check that every JPEG in a TIFF has as many rows as its strip: libtiff leaves those that it lacks black."""
    height = int(tags[257])
    rows = int(tags[323]) if 323 in tags else min(int(tags.get(278, height)), height)
    for index, strip in enumerate(strips):
        wanted = rows if 323 in tags else min(rows, height - index % -(-height // rows) * rows)
        frame = next((at for marker, at in _jpeg_markers(strip) if marker in _JPEG_FRAMES), None)
        if frame is not None and int.from_bytes(strip[frame + 5 : frame + 7], "big") < wanted:
            raise EOFError("its data end before its last row")


def _lengthen_jpeg(strip: bytes) -> bytes:
    end = _find_jpeg_end(strip)
    whole = strip[: len(strip) if end is None else end].removesuffix(b"\xff")  # which begins a marker, if it is cut
    return whole + _NOISE_AND_RESTARTS + b"\xff\xd9"


def _lengthen_fax(strip: bytes, noise: str) -> bytes:
    """A strip's data with noise in place of the code for its end; bits in text, the first first."""
    bits = "".join(f"{byte:08b}" for byte in strip[-_FAX_TAIL:])
    if (end := _FAX_END.search(bits)) is not None:
        bits = bits[: end.end(1)]
    bits += noise + "0" * (-len(bits + noise) % 8)
    return strip[:-_FAX_TAIL] + int(bits, 2).to_bytes(len(bits) // 8, "big")


def _replace_numbers(data: bytearray, numbers: Mapping[int, list[int]]) -> None:
    """Give tags of a TIFF's first page other numbers."""
    order = "<" if data.startswith(b"II") else ">"
    (at,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, at)
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        values = numbers.get(struct.unpack_from(order + "H", data, entry)[0])
        if values is not None:
            packed = struct.pack(f"{order}{len(values)}I", *values)
            place = packed if len(values) == 1 else struct.pack(order + "I", len(data))
            struct.pack_into(order + "HI4s", data, entry + 2, 4, len(values), place)
            data += packed


def _compare(image: Image.Image, other: Image.Image) -> None:
    """Raise EOFError where two decoded pictures differ; a piece at a time."""
    width, height = image.size
    rows = max(1, _PIECE // width)
    for top in range(0, height, rows):
        box = (0, top, width, min(top + rows, height))
        if not np.array_equal(np.asarray(image.crop(box)), np.asarray(other.crop(box))):
            raise EOFError("its data end before its last row")


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
