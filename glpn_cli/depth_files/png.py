"""PNG as a container: grey or RGB pixels of 8 or 16 bits, and text in front of them.

Text comes before the pixels, so that whoever wants to know what a file is reads its first kilobyte. Every checksum is
verified on the way in: a flipped bit in a depth map is an error, never a wrong depth.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import PngImagePlugin

from glpn_cli.depth_files.base import check_size
from glpn_cli.errors import ErrorCode, InputError
from glpn_cli.images.completeness import check_png
from glpn_cli.options import MAX_PIXELS

SIGNATURE = b"\x89PNG\r\n\x1a\n"
END = b"\0\0\0\0IEND\xaeB`\x82"
"""The last chunk."""

# Level 1 over differences from the row above takes 20 ms for the 16-bit map of a photograph of 1.5 megapixels
# and 660 kB; level 3: 49 ms and 565 kB; differences from the pixel before: 21 ms and 860 kB; Pillow, which tries every
# filter on every row: 34 ms and 790 kB at its level 1, 168 ms and 610 kB at 6, its usual one.
_COMPRESS_LEVEL = 1
_UP = 2
_BAND_BYTES = 1 << 18
_GREY, _RGB, _PALETTE = 0, 2, 3
_CHUNK = struct.Struct(">I4s")
_HEADER = struct.Struct(">IIBBBBB")
_SIZE = struct.Struct(">II")
# What Pillow's decoder raises on damaged data.
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, OverflowError, struct.error, zlib.error)


def encode_png(
    pixels: NDArray[np.uint8] | NDArray[np.uint16],
    *,
    text: Mapping[str, str],
    palette: NDArray[np.uint8] | None = None,
    transparent: int | None = None,
) -> bytes:
    """A PNG file of `pixels`, uint8 or uint16 (H, W) or uint8 (H, W, 3), carrying `text` (ASCII) before the pixels.

    palette: uint8 (N, 3), what the numbers of 8-bit pixels look like; they stay numbers
    transparent: the number that is seen through, where there is a palette

    The same arguments give the same bytes: there is no time stamp.
    """
    height, width = pixels.shape[:2]
    sort = _PALETTE if palette is not None else _RGB if pixels.ndim == 3 else _GREY
    chunks = [(b"IHDR", _HEADER.pack(width, height, 8 * pixels.itemsize, sort, 0, 0, 0))]
    chunks += [(b"tEXt", key.encode("latin-1") + b"\0" + value.encode("latin-1")) for key, value in text.items()]
    if palette is not None:
        chunks.append((b"PLTE", palette.tobytes()))
        if transparent is not None:
            chunks.append((b"tRNS", b"\xff" * transparent + b"\0"))
    chunks += [(b"IDAT", _compress(pixels)), (b"IEND", b"")]
    return SIGNATURE + b"".join(map(_make_chunk, *zip(*chunks, strict=True)))


def _compress(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """The pixels' rows, each less the row above it, compressed; a band at a time, which stays in the cache."""
    height = len(pixels)
    pressed = zlib.compressobj(_COMPRESS_LEVEL)
    pieces = []
    above = np.zeros((1, pixels[0].nbytes), np.uint8)
    rows = max(1, _BAND_BYTES // pixels[0].nbytes)
    for start in range(0, height, rows):
        band = pixels[start : start + rows]
        stored = np.ascontiguousarray(band, dtype=band.dtype.newbyteorder(">")).view(np.uint8).reshape(len(band), -1)
        filtered = np.empty((len(band), stored.shape[1] + 1), np.uint8)
        filtered[:, 0] = _UP
        np.subtract(stored[:1], above, out=filtered[:1, 1:])
        np.subtract(stored[1:], stored[:-1], out=filtered[1:, 1:])
        above = stored[-1:]
        pieces.append(pressed.compress(filtered.data))
    return b"".join((*pieces, pressed.flush()))


def _make_chunk(kind: bytes, payload: bytes) -> bytes:
    return b"".join(
        (_CHUNK.pack(len(payload), kind), payload, struct.pack(">I", zlib.crc32(payload, zlib.crc32(kind))))
    )


def decode_png(
    data: bytes, *, takes_palette: bool = False, max_pixels: int = MAX_PIXELS
) -> tuple[NDArray[np.uint8] | NDArray[np.uint16], dict[str, str]]:
    """The pixels, uint8 or uint16 (H, W) or uint8 (H, W, 3), and the text of a PNG file.

    takes_palette: whether palette pixels are taken, by their numbers, and pixels of one bit

    Raises InputError where the file is damaged, cut short, too large, or holds another sort of pixels.
    """
    width, height = _read_size(data)
    check_size(height, width, max_pixels)
    text = dict(_read_texts(_verified_chunks(data)))
    try:
        # The plugin itself, not Image.open: its limit on pixels is a global that belongs to the program's caller.
        with PngImagePlugin.PngImageFile(BytesIO(data)) as image:
            if image.mode not in ("L", "I;16", "RGB") and not (takes_palette and image.mode in ("P", "1")):
                raise InputError(
                    f"the PNG file holds {image.mode} pixels; a depth map holds grey ones", code=ErrorCode.UNSUPPORTED
                )
            pixels = np.asarray(image)
            check_png(BytesIO(data), image)
    except _DAMAGED as error:
        raise InputError(f"the PNG file is damaged: {error}") from error
    return pixels, text


def is_deep_grey(head: bytes) -> bool:
    """Whether a PNG file holds greys of 16 bits, from its first bytes."""
    at = len(SIGNATURE)
    return head[at + 4 : at + 8] == b"IHDR" and head[at + 16 : at + 18] == bytes((16, _GREY))


def peek_text(head: bytes) -> dict[str, str]:
    """The text in front of the pixels, from the first bytes of a PNG file; what is cut off is left out."""
    return dict(_read_texts(_chunks(head)))


def _verified_chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Every chunk up to the end, each checked; raises InputError where one is damaged or the end is missing."""
    offset = len(SIGNATURE)
    for kind, payload in _chunks(data):
        offset += _CHUNK.size + len(payload) + 4
        (stated,) = struct.unpack_from(">I", data, offset - 4)
        if zlib.crc32(payload, zlib.crc32(kind)) != stated:
            raise InputError("the PNG file is damaged: a checksum does not match")
        yield kind, payload
        if kind == b"IEND":
            return
    raise InputError("the PNG file is cut short")


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """(type, payload) of the chunks that are there in full."""
    view = memoryview(data)
    offset = len(SIGNATURE)
    while offset + _CHUNK.size <= len(data):
        length, kind = _CHUNK.unpack_from(data, offset)
        offset += _CHUNK.size
        if offset + length + 4 > len(data):
            return
        yield kind, view[offset : offset + length]
        offset += length + 4


def _read_texts(chunks: Iterator[tuple[bytes, memoryview]]) -> Iterator[tuple[str, str]]:
    for kind, payload in chunks:
        if kind == b"tEXt":
            key, _, value = bytes(payload).partition(b"\0")
            yield key.decode("latin-1"), value.decode("latin-1")


def _read_size(data: bytes) -> tuple[int, int]:
    """(W, H) as the header states them."""
    if len(data) < 24 or data[12:16] != b"IHDR":
        raise InputError("the PNG file is cut short" if len(data) < 24 else "the PNG file is damaged: no header")
    width, height = _SIZE.unpack_from(data, 16)
    return width, height
