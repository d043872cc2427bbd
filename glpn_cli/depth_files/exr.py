"""OpenEXR: channel Z, float32, in metres, infinite where nothing is known; the record is its text attributes.

Compositors take depth from Z. The same numbers stand in channel Y as well, a grey picture's own, since Blender and
OpenCV read a file of Z alone as zeros; that takes 3 to 6 % more room. Pixels are read and written by the library
OpenEXR, from the extra `exr`; records are read without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from glpn_cli.depth_files.base import EncodedFile, Format, depth_of, with_holes
from glpn_cli.depth_files.record import PROGRAM
from glpn_cli.errors import ErrorCode, InputError
from glpn_cli.images.exr import SIGNATURE, ExrHeader, check_library, encode_channels, read_channels
from glpn_cli.prediction import DepthKind, Result

# Our first attribute, since the library sorts them, so that a scan knows our files from their first bytes.
_OWN_HEAD = SIGNATURE + b"\2\0\0\0Software\0string\0"


class Exr(Format):
    """Depth as OpenEXR, exactly as it is in memory; any kind."""

    format: ClassVar[str] = "exr"
    extension: ClassVar[str] = ".exr"
    own_marks: ClassVar[tuple[tuple[bytes, int], ...]] = ((f"{PROGRAM} ".encode(), len(_OWN_HEAD) + 4),)

    @classmethod
    def sniff(cls, head: bytes) -> bool:
        """Whether a file is OpenEXR."""
        return head.startswith(SIGNATURE)

    @classmethod
    def is_own(cls, head: bytes) -> bool:
        """Whether a file is OpenEXR, and ours."""
        return head.startswith(_OWN_HEAD) and super().is_own(head)

    @classmethod
    def is_depth(cls, head: bytes) -> bool:
        """Whether an EXR file holds something else than colours."""
        if cls.is_own(head):
            return super().is_depth(head)
        return cls.sniff(head) and not ExrHeader.read(head).is_picture

    @classmethod
    def peek(cls, head: bytes) -> Mapping[str, str]:
        """The text attributes, as far as they are there."""
        return ExrHeader.read(head).texts

    @classmethod
    def read_array(cls, data: bytes, max_pixels: int) -> tuple[NDArray[Any], Mapping[str, str]]:
        """The channel of depths, float32 (H, W). Raises InputError."""
        header = ExrHeader.read(data)
        header.check(max_pixels)
        (values,) = read_channels(BytesIO(data), [_choose_channel(header)], max_pixels=max_pixels)
        return values, header.texts

    def check(self, kind: DepthKind, limit_m: float | None) -> None:  # noqa: ARG002
        """Refuse to begin without the library (UsageError)."""
        check_library()

    def encode(self, result: Result) -> EncodedFile:
        """The EXR file."""
        values = np.nan_to_num(with_holes(depth_of(result)), nan=np.inf)
        record = self.depth_record(result).with_pixels(values)
        return EncodedFile(encode_channels({"Y": values, "Z": values}, text=record.to_text()), record)


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
