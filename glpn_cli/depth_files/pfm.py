"""Netpbm's maps, of values only: PFM, and PGM of more than 8 bits, which is only read.

PFM holds float32, bottom row first, NaN where nothing is known; MiDaS writes it and Middlebury reads it. Sensors' tools
write PGM, and NYU's raw data are in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from glpn_cli.depth_files.base import (
    DEEPEST_GREY_BITS,
    EncodedFile,
    Format,
    Guess,
    ValuesOnly,
    check_size,
    depth_of,
    with_holes,
)
from glpn_cli.errors import ErrorCode, InputError
from glpn_cli.prediction import Result

_HEADER = re.compile(rb"P[fF]\s+([0-9]{1,9})\s+([0-9]{1,9})\s+([-+]?[0-9.eE+-]{1,32})\s")
_COLORED = b"PF"
_SPACE = rb"(?:\s|#[^\n]{0,1024}\n){1,64}"
_PGM_HEADER = re.compile(rb"P5" + rb"([0-9]{1,9})".join([_SPACE] * 3) + rb"([0-9]{1,5})\s")


class Pfm(ValuesOnly):
    """Depth as a portable float map, exactly as it is in memory."""

    format: ClassVar[str] = "pfm"
    extension: ClassVar[str] = ".pfm"
    signature: ClassVar[re.Pattern[bytes]] = _HEADER

    @classmethod
    def read_array(cls, data: bytes, max_pixels: int) -> tuple[NDArray[Any], Mapping[str, str]]:
        """The values, float32 (H, W), top row first. Raises InputError."""
        header = _HEADER.match(data)
        assert header is not None
        if data.startswith(_COLORED):
            raise InputError(
                "the PFM file holds colours; a depth map holds one number per pixel", code=ErrorCode.UNSUPPORTED
            )
        width, height = int(header[1]), int(header[2])
        check_size(height, width, max_pixels)
        pixels = memoryview(data)[header.end() :]
        if len(pixels) != 4 * width * height:
            raise InputError(f"the PFM file says {width}x{height} but holds {len(pixels)} bytes of pixels")
        # The sign of the scale tells the order of the bytes; its size has no agreed meaning.
        values = np.frombuffer(pixels, "<f4" if header[3].startswith(b"-") else ">f4")
        return values.reshape(height, width)[::-1].astype(np.float32), {}

    def encode(self, result: Result) -> EncodedFile:
        """The PFM file, little-endian."""
        values = with_holes(depth_of(result))
        height, width = values.shape
        return EncodedFile(f"Pf\n{width} {height}\n-1.0\n".encode("ascii") + values[::-1].tobytes())


class Pgm(Format):
    """Whole numbers of 16 bits, the higher byte first, as Netpbm says; their units per metre are not told."""

    format: ClassVar[str] = "pgm"
    extension: ClassVar[str] = ".pgm"
    carries_record: ClassVar[bool] = False

    @classmethod
    def sniff(cls, head: bytes) -> bool:
        """Whether a file is binary PGM of more than 8 bits."""
        header = _PGM_HEADER.match(head)
        return header is not None and 1 << DEEPEST_GREY_BITS <= int(header[3]) <= np.iinfo(np.uint16).max

    @classmethod
    def guess(cls, source: Path | bytes, head: bytes) -> Guess:  # noqa: ARG003
        """Always ambiguous."""
        return Guess.AMBIGUOUS

    @classmethod
    def read_array(cls, data: bytes, max_pixels: int) -> tuple[NDArray[Any], Mapping[str, str]]:
        """The values, uint16 (H, W). Raises InputError."""
        header = _PGM_HEADER.match(data)
        assert header is not None
        width, height = int(header[1]), int(header[2])
        check_size(height, width, max_pixels)
        pixels = memoryview(data)[header.end() :]
        if len(pixels) < 2 * width * height:
            raise InputError(f"the PGM file says {width}x{height} but holds {len(pixels)} bytes of pixels")
        values = np.frombuffer(pixels, ">u2", count=width * height)
        return values.reshape(height, width).astype(np.uint16), {}
