"""OpenEXR: channel Z, float32, in metres, infinite where nothing is known; the record is its text attributes.

Compositors take depth from Z. The same numbers stand in channel Y as well, a grey picture's own, since Blender and
OpenCV read a file of Z alone as zeros; that takes 3 to 6 % more room. Pixels are read and written by the library
OpenEXR, from the extra `exr`; records are read without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from glpn_cli.depth_files.record_text import PROGRAM
from glpn_cli.depth_files.writer import FloatWriter, depth_of, depth_text, with_holes
from glpn_cli.errors import ErrorCode, InputError
from glpn_cli.images.exr import SIGNATURE, ExrHeader, check_library, encode_channels, read_channels, read_header
from glpn_cli.prediction import DepthKind, Result

# Our first attribute, since the library sorts them, so that a scan knows our files from their first bytes.
OWN_HEAD = SIGNATURE + b"\2\0\0\0Software\0string\0"
OWN_MARK, OWN_MARK_AT = PROGRAM.encode() + b" ", len(OWN_HEAD) + 4
MAX_PIXELS = 1 << 28
# Renderers write 1e10 where a ray meets nothing.
_NOTHING_FROM = 1e9


@dataclass(frozen=True)
class Exr(FloatWriter):
    """Depth as OpenEXR, exactly as it is in memory; any kind."""

    format: ClassVar[str] = "exr"
    extension: ClassVar[str] = ".exr"

    def check(self, kind: DepthKind, limit_m: float | None) -> None:  # noqa: ARG002
        """Refuse to begin without the library (UsageError)."""
        check_library()

    def encode(self, result: Result) -> bytes:
        """The EXR file."""
        values = np.nan_to_num(with_holes(depth_of(result)), nan=np.inf)
        return encode_channels({"Y": values, "Z": values}, text=depth_text(self, result))


def decode_exr(data: bytes) -> tuple[NDArray[Any], dict[str, str]]:
    """The depths float32 (H, W), not finite where nothing is known, and the text of an EXR file. Raises InputError."""
    header = read_header(data)
    header.check(MAX_PIXELS)
    (values,) = read_channels(BytesIO(data), [_choose_channel(header)], max_pixels=MAX_PIXELS)
    return np.where(np.abs(values) < _NOTHING_FROM, values, np.float32(np.inf)), header.texts


def peek_text(head: bytes) -> dict[str, str]:
    """The record's text from the first bytes of an EXR file."""
    return read_header(head).texts


def is_depth(head: bytes) -> bool:
    """Whether an EXR file holds something else than colours."""
    return head.startswith(SIGNATURE) and not read_header(head).is_picture


def _choose_channel(header: ExrHeader) -> str:
    names = header.channels
    for wanted in ("Z", "depth.Z", "Depth.Z", "Y", "V"):
        if wanted in names:
            return wanted
    ends = [name for name in names if name.endswith((".Z", ".V"))]
    if len(ends) == 1 or len(names) == 1:
        return (ends or names)[0]
    raise InputError(
        f"the EXR file has no channel Z (found: {', '.join(names[:8])})",
        hint="Export depth as one channel, Z.",
        code=ErrorCode.UNSUPPORTED,
    )
