"""NumPy's own file: float32 (H, W), NaN where nothing is known. Values only; it does not say what they mean.

Read by our own few lines instead of `numpy.load`: the header is matched, never evaluated, its claim about the size is
held against the bytes that are there before anything is allocated, and pickles cannot occur.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from glpn_cli.depth_files.base import EncodedFile, Format, depth_of, with_holes
from glpn_cli.depth_files.contents import MAX_PIXELS, check_size
from glpn_cli.errors import ErrorCode, InputError
from glpn_cli.prediction import Result

SIGNATURE = b"\x93NUMPY"
_DESCR = re.compile(rb"'descr': *'([<>|=]?[fiuS][0-9]{1,6})'")
_ORDER = re.compile(rb"'fortran_order': *(True|False)")
_SHAPE = re.compile(rb"'shape': *\(([0-9, L]*)\)")
_OBJECTS = re.compile(rb"'descr': *'[<>|=]?O")
_MAX_HEADER = 10_000
_LARGEST_NUMBER = 8
HEAD_BYTES = _MAX_HEADER + 12


@dataclass(frozen=True)
class Npy(Format):
    """Depth as a NumPy array on disk, exactly as it is in memory."""

    format: ClassVar[str] = "npy"
    extension: ClassVar[str] = ".npy"
    carries_record: ClassVar[bool] = False

    @classmethod
    def sniff(cls, head: bytes) -> bool:
        """Whether a file is NumPy's."""
        return head.startswith(SIGNATURE)

    @classmethod
    def is_depth(cls, head: bytes) -> bool:
        """Always."""
        return cls.sniff(head)

    @classmethod
    def read_array(cls, data: bytes, max_pixels: int) -> tuple[NDArray[Any], Mapping[str, str]]:
        """The array. Raises InputError."""
        return decode_array(data, max_pixels=max_pixels), {}

    def encode(self, result: Result) -> EncodedFile:
        """The .npy file."""
        return EncodedFile(encode_array(with_holes(depth_of(result))))


def encode_array(array: NDArray[Any]) -> bytes:
    """An array as a .npy file."""
    file = BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=False)
    return file.getvalue()


def decode_array(data: bytes, *, max_pixels: int = MAX_PIXELS) -> NDArray[Any]:
    """The array of a .npy file: numbers or bytes, any shape, read-only where it needs no copy.

    Raises InputError where the file is damaged, holds objects, or claims more than it has.
    """
    dtype, shape, order, start = read_layout(data, len(data), max_pixels=max_pixels)
    try:
        return np.frombuffer(data, dtype, offset=start).reshape(shape, order=order)
    except ValueError as error:  # nothing in it, or more dimensions than there are
        raise InputError(f"the npy file holds no array: {error}") from error


def read_layout(
    head: bytes, length: int, *, max_pixels: int
) -> tuple[np.dtype[Any], tuple[int, ...], Literal["C", "F"], int]:
    """(type, shape, order, where the numbers begin) from the first bytes of a .npy file of `length`.

    Raises InputError where they do not fit that length, or are more than `max_pixels`.
    """
    header, start = _read_header(head)
    if _OBJECTS.search(header):
        raise InputError(
            "the npy file holds pickled Python objects, which are never loaded", code=ErrorCode.UNSUPPORTED
        )
    descr, order, shape_text = _DESCR.search(header), _ORDER.search(header), _SHAPE.search(header)
    if not (descr and order and shape_text):
        raise InputError("the npy file's header makes no sense, or it holds no plain numbers")
    try:
        dtype = np.dtype(descr[1].decode())
    except TypeError as error:
        raise InputError(f"the npy file holds '{descr[1].decode()}', which is no type of number") from error
    shape = tuple(int(side) for side in re.findall(rb"[0-9]{1,18}", shape_text[1]))
    size = math.prod(shape) * dtype.itemsize
    if size != length - start:
        raise InputError(
            f"the npy file says {'x'.join(map(str, shape))} {dtype.name} but holds {length - start} bytes of it"
        )
    check_size(1, max(1, math.prod(shape), size // _LARGEST_NUMBER), max_pixels)
    return dtype, shape, "F" if order[1] == b"True" else "C", start


def _read_header(data: bytes) -> tuple[bytes, int]:
    """The header's text, and where the array begins."""
    wide = len(data) > 6 and data[6] >= 2  # version 1 counts the header in two bytes, later ones in four
    start = 12 if wide else 10
    if len(data) < start:
        raise InputError("the npy file is cut short")
    length: int = struct.unpack_from("<I" if wide else "<H", data, 8)[0]
    if length > _MAX_HEADER or start + length > len(data):
        raise InputError("the npy file's header is too long, or cut short")
    return data[start : start + length], start + length
