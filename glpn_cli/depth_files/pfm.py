"""PFM: float32, bottom row first, NaN where nothing is known. Values only; what MiDaS writes and Middlebury reads."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from glpn_cli.depth_files.writer import FloatWriter, depth_of, with_holes
from glpn_cli.errors import ErrorCode, InputError
from glpn_cli.prediction import Result

_HEADER = re.compile(rb"P[fF]\s+([0-9]{1,9})\s+([0-9]{1,9})\s+([-+]?[0-9.eE+-]{1,32})\s")
_COLORED = b"PF"


@dataclass(frozen=True)
class Pfm(FloatWriter):
    """Depth as a portable float map, exactly as it is in memory."""

    format: ClassVar[str] = "pfm"
    extension: ClassVar[str] = ".pfm"
    carries_record: ClassVar[bool] = False

    def encode(self, result: Result) -> bytes:
        """The PFM file, little-endian."""
        values = with_holes(depth_of(result))
        height, width = values.shape
        return f"Pf\n{width} {height}\n-1.0\n".encode("ascii") + values[::-1].tobytes()


def is_pfm(head: bytes) -> bool:
    """Whether a file's first bytes are those of a portable float map."""
    return _HEADER.match(head) is not None


def decode_pfm(data: bytes) -> NDArray[np.float32]:
    """The values, float32 (H, W), top row first. Raises InputError."""
    header = _HEADER.match(data)
    if header is None:
        raise InputError("the PFM file's header makes no sense")
    if data.startswith(_COLORED):
        raise InputError(
            "the PFM file holds colours; a depth map holds one number per pixel", code=ErrorCode.UNSUPPORTED
        )
    width, height = int(header[1]), int(header[2])
    pixels = memoryview(data)[header.end() :]
    if not width * height or len(pixels) != 4 * width * height:
        raise InputError(f"the PFM file says {width}x{height} but holds {len(pixels)} bytes of pixels")
    # The sign of the scale tells the order of the bytes; its size has no agreed meaning.
    values = np.frombuffer(pixels, "<f4" if header[3].startswith(b"-") else ">f4")
    return values.reshape(height, width)[::-1].astype(np.float32)
