"""The header of an OpenEXR file, read without any library: enough to tell pictures from depth, and how large they are.

The layout is that of "OpenEXR File Layout" (openexr.com): a magic number, a version, then attributes, each a name, a
type, a length and a value, up to an empty name.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

SIGNATURE = b"\x76\x2f\x31\x01"
_START = 8
_LONGEST_NAME = 255


@dataclass(frozen=True)
class ExrHeader:
    """What an OpenEXR file says before its pixels.

    attributes: name -> (type, raw value), in the file's order
    end:        where the header ends; None where the bytes at hand end before it does
    """

    attributes: Mapping[str, tuple[str, bytes]]
    end: int | None

    @property
    def channels(self) -> dict[str, int]:
        """Name -> type of number (0 uint32, 1 float16, 2 float32), in the file's order; of the first part."""
        raw = self._value("channels", "chlist")
        found: dict[str, int] = {}
        at = 0
        while (stop := raw.find(b"\0", at)) > at and stop + 17 <= len(raw):
            (found[raw[at:stop].decode("latin-1")],) = struct.unpack_from("<i", raw, stop + 1)
            at = stop + 17
        return found

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the pixels that are there. Raises ValueError where it makes no sense."""
        raw = self._value("dataWindow", "box2i")
        if len(raw) != 16:
            raise ValueError("it does not say how large it is")
        left, top, right, bottom = struct.unpack("<4i", raw)
        if right < left or bottom < top:
            raise ValueError(f"it says that it is {right - left + 1}x{bottom - top + 1}")
        return bottom - top + 1, right - left + 1

    @property
    def texts(self) -> dict[str, str]:
        """Every attribute that is text."""
        return {name: raw.decode("latin-1") for name, (kind, raw) in self.attributes.items() if kind == "string"}

    @property
    def is_picture(self) -> bool:
        """Whether it holds colours."""
        return {"R", "G", "B"} <= self.channels.keys()

    def number(self, name: str, kind: str) -> int | None:
        """The value of an attribute of one byte."""
        raw = self._value(name, kind)
        return raw[0] if len(raw) == 1 else None

    def _value(self, name: str, kind: str) -> bytes:
        found, raw = self.attributes.get(name, ("", b""))
        return raw if found == kind else b""


def read_header(head: bytes) -> ExrHeader:
    """The header, as far as the first bytes of a file reach; attributes that are cut off are left out."""
    attributes: dict[str, tuple[str, bytes]] = {}
    at = _START
    while at < len(head):
        if head[at] == 0:
            return ExrHeader(attributes, at + 1)
        name, at = _read_name(head, at)
        kind, at = _read_name(head, at)
        if at < 0 or at + 4 > len(head):
            break
        (length,) = struct.unpack_from("<I", head, at)
        at += 4
        if at + length > len(head):
            break
        attributes[name] = (kind, head[at : at + length])
        at += length
    return ExrHeader(attributes, None)


def _read_name(head: bytes, at: int) -> tuple[str, int]:
    """A name and where it ends; -1 where it does not."""
    end = head.find(b"\0", at, at + _LONGEST_NAME + 1) if at >= 0 else -1
    return ("", -1) if end < 0 else (head[at:end].decode("latin-1"), end + 1)
