"""The checksums of a PNG's pixels, which Pillow leaves out."""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO

_SIGNATURE_BYTES = 8
_PIECE = 1 << 20


def check_pixel_chunks(stream: BinaryIO) -> None:
    """Hold every chunk of pixels against its checksum; what follows the last of them may be missing.

    Raises EOFError where one is cut short, SyntaxError (as Pillow does) where one is damaged.
    """
    stream.seek(_SIGNATURE_BYTES)
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
        told = stream.read(4)
        if len(told) < 4:
            raise EOFError("its pixels end too early")
        if told != struct.pack(">I", checksum):
            raise SyntaxError("its pixels do not match their checksum")
