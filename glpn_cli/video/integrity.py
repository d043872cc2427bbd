"""Whether a file is all there and as it was written: Matroska that is cut short, frames of FFV1 that are damaged."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

from glpn_cli.images.completeness import REVERSED_BITS

_HEAD_BYTES = 256
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_FOOTER, _ONES = 8, 0xFFFFFFFF


def lacks_bytes(path: Path) -> bool:
    """Whether a file of Matroska is shorter than its segment says (RFC 8794 and 9559); False for all others."""
    try:
        with path.open("rb") as file:
            head, length = file.read(_HEAD_BYTES), os.fstat(file.fileno()).st_size
    except OSError:
        return False
    if not head.startswith(_EBML):
        return False
    at, size = _read_element_size(head, len(_EBML))
    at += size or 0
    if size is None or head[at : at + 4] != _SEGMENT:
        return False
    begin, size = _read_element_size(head, at + len(_SEGMENT))
    return size is not None and begin + size > length


def _read_element_size(head: bytes, at: int) -> tuple[int, int | None]:
    """Where an element's content begins, and its length; None where it is not told, as in pipes."""
    count = 9 - head[at : at + 1].ljust(1, b"\xff")[0].bit_length()
    number = int.from_bytes(head[at : at + count], "big") & ((1 << 7 * count) - 1)
    return at + count, None if number == (1 << 7 * count) - 1 or count > 8 else number


def are_slices_sound(packet: bytes) -> bool:
    """Whether the checksums of a frame of FFV1, of version 3, hold.

    Each slice ends in its size (24 bits), a status (8 bits), and what makes the CRC of all of it 0.
    """
    end = len(packet)
    while end > 0:
        begin = end - _FOOTER - int.from_bytes(packet[end - _FOOTER : end - _FOOTER + 3], "big")
        if begin < 0 or end < _FOOTER:
            return False
        # The CRC takes the highest bit of a byte first, and zlib's the lowest.
        if zlib.crc32(packet[begin:end].translate(REVERSED_BITS), _ONES) != _ONES:
            return False
        end = begin
    return True
