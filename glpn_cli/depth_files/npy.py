"""NumPy's files: .npy holds values only, and does not say what they mean; .npz holds a record beside them.

Both are float32 (H, W), NaN where nothing is known. Read by our own few lines instead of `numpy.load`: the header is
matched, never evaluated, its claim about the size is held against the bytes that are there before anything is
allocated, and pickles cannot occur.
"""

from __future__ import annotations

import math
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from glpn_cli.depth_files.base import (
    EncodedFile,
    Format,
    ValuesOnly,
    check_size,
    depth_of,
    with_holes,
)
from glpn_cli.depth_files.record import Record, text_from_json, text_to_json
from glpn_cli.errors import ErrorCode, InputError
from glpn_cli.options import MAX_PIXELS
from glpn_cli.prediction import Result

_DESCR = re.compile(rb"'descr': *'([<>|=]?[fiuS][0-9]{1,6})'")
_ORDER = re.compile(rb"'fortran_order': *(True|False)")
_SHAPE = re.compile(rb"'shape': *\(([0-9, L]*)\)")
_BYTES = re.compile(rb"'descr': *'\|S([0-9]{1,6})'")
_OBJECTS = re.compile(rb"'descr': *'[<>|=]?O")
_MAX_HEADER = 10_000
_LARGEST_NUMBER = 8
_HEAD_BYTES = _MAX_HEADER + 12

_ZIP = b"PK\x03\x04"
_ZIP_END, _ZIP_END_BYTES = b"PK\x05\x06", 22
_RECORD_MEMBER = "glpn.npy"
_DEPTH_MEMBER = "depth.npy"
# The record comes first, so that a scan knows our files from their first bytes: a member begins with 30 bytes, then its
# name.
_NAME_AT = 30
_MAX_RECORD = 1 << 16
_COMPRESS_LEVEL = 1
# What zipfile raises on damaged archives, encrypted ones, and compressions that it does not know.
_DAMAGED = (
    zipfile.BadZipFile, OSError, ValueError, EOFError, KeyError, IndexError, NotImplementedError, RuntimeError,
    OverflowError, struct.error, zlib.error,
)  # fmt: skip


class Npy(ValuesOnly):
    """Depth as a NumPy array on disk, exactly as it is in memory."""

    format: ClassVar[str] = "npy"
    extension: ClassVar[str] = ".npy"
    signature: ClassVar[re.Pattern[bytes]] = re.compile(rb"\x93NUMPY")

    @classmethod
    def read_array(cls, data: bytes, max_pixels: int) -> tuple[NDArray[Any], Mapping[str, str]]:
        """The array. Raises InputError."""
        return decode_array(data, max_pixels=max_pixels), {}

    def encode(self, result: Result) -> EncodedFile:
        """The .npy file."""
        return EncodedFile(encode_array(with_holes(depth_of(result))))


class Npz(Format):
    """Depth as a NumPy archive, exactly as it is in memory: `numpy.load(path)["depth"]`."""

    format: ClassVar[str] = "npz"
    extension: ClassVar[str] = ".npz"
    own_marks: ClassVar[tuple[tuple[bytes, int], ...]] = ((_RECORD_MEMBER.encode(), _NAME_AT),)

    @classmethod
    def sniff(cls, head: bytes) -> bool:
        """Whether a file is a zip archive."""
        return head.startswith(_ZIP)

    @classmethod
    def is_depth(cls, head: bytes) -> bool:
        """Whether the first member is an array: no other zip archive begins with one."""
        if cls.is_own(head):
            return super().is_depth(head)
        length = int.from_bytes(head[26:28], "little")
        return cls.sniff(head) and head[_NAME_AT : _NAME_AT + length].endswith(b".npy")

    @classmethod
    def peek(cls, head: bytes) -> Mapping[str, str]:
        """The text of the record's member, which comes first; NumPy deflates it, or leaves its size to what follows."""
        try:
            (method,), lengths = struct.unpack_from("<H", head, 8), struct.unpack_from("<HH", head, 26)
            name, member = head[_NAME_AT : _NAME_AT + lengths[0]], head[_NAME_AT + sum(lengths) :]
            if name != _RECORD_MEMBER.encode():
                return {}
            if method == zipfile.ZIP_DEFLATED:
                member = zlib.decompressobj(-zlib.MAX_WBITS).decompress(member, _MAX_RECORD)
            header, start = _read_header(member)
        except (struct.error, zlib.error, InputError):
            return {}
        length = _BYTES.search(header)
        return {} if length is None else _text_of(member[: start + int(length[1])])

    @classmethod
    def ends_whole(cls, head: bytes, tail: bytes, length: int) -> bool:  # noqa: ARG003
        """Whether the directory of the archive ends it."""
        return tail[-_ZIP_END_BYTES:].startswith(_ZIP_END)

    @classmethod
    def read_array(cls, data: bytes, max_pixels: int) -> tuple[NDArray[Any], Mapping[str, str]]:
        """`depth`, or the only array, and the text of the record. Raises InputError."""
        try:
            with zipfile.ZipFile(BytesIO(data)) as archive:
                members = archive.namelist()
                array = decode_array(_read_member(archive, _choose_array(members), max_pixels), max_pixels=max_pixels)
                text = _text_of(_read_member(archive, _RECORD_MEMBER, _MAX_RECORD)) if _RECORD_MEMBER in members else {}
        except _DAMAGED as error:
            raise InputError(f"the npz file is damaged or cut short: {error}") from error
        return array, text

    def encode(self, result: Result) -> EncodedFile:
        """The .npz file."""
        values = with_holes(depth_of(result))
        record = self.depth_record(result).with_pixels(values)
        return EncodedFile(archive_array("depth", values, record), record)


def archive_array(name: str, array: NDArray[np.float32], record: Record) -> bytes:
    """A .npz file of one array and its record."""
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(_member(_RECORD_MEMBER), encode_array(np.array(text_to_json(record.to_text()))))
        archive.writestr(
            _member(f"{name}.npy"),
            encode_array(array),
            compress_type=zipfile.ZIP_DEFLATED,
            compresslevel=_COMPRESS_LEVEL,
        )
    return file.getvalue()


def encode_array(array: NDArray[Any]) -> bytes:
    """An array as a .npy file."""
    file = BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=False)
    return file.getvalue()


def decode_array(data: bytes, *, max_pixels: int = MAX_PIXELS) -> NDArray[Any]:
    """The array of a .npy file: numbers or bytes, any shape, read-only where it needs no copy.

    Raises InputError where the file is damaged, holds objects, or claims more than it has.
    """
    dtype, shape, order, start = _read_layout(data, len(data), max_pixels=max_pixels)
    try:
        return np.frombuffer(data, dtype, offset=start).reshape(shape, order=order)
    except ValueError as error:  # nothing in it, or more dimensions than there are
        raise InputError(f"the npy file holds no array: {error}") from error


def _read_layout(
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


def _member(name: str) -> zipfile.ZipInfo:
    """A member dated 1980, as every ZipInfo is unless told otherwise, so that the same map gives the same bytes."""
    member = zipfile.ZipInfo(name)
    member.external_attr = 0o644 << 16
    return member


def _choose_array(members: Sequence[str]) -> str:
    """The member that holds the depths. Raises InputError."""
    arrays = [name for name in members if name.endswith(".npy") and name != _RECORD_MEMBER]
    if _DEPTH_MEMBER in arrays or len(arrays) == 1:
        return _DEPTH_MEMBER if _DEPTH_MEMBER in arrays else arrays[0]
    found = ", ".join(name.removesuffix(".npy") for name in arrays[:8]) or "nothing"
    raise InputError(
        f"the npz file has no array named 'depth' (found: {found})",
        hint="Save one array alone, or name it: numpy.savez(path, depth=array).",
        code=ErrorCode.UNSUPPORTED,
    )


def _read_member(archive: zipfile.ZipFile, name: str, max_pixels: int) -> bytes:
    """A member, its checksum verified: as NumPy writes them, and of at most `max_pixels` numbers. Raises InputError."""
    member = archive.getinfo(name)
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(
            "the npz file is compressed in a way that is not read here",
            hint="Save it again: numpy.savez_compressed(path, depth=array).",
            code=ErrorCode.UNSUPPORTED,
        )
    with archive.open(member) as stream:
        _read_layout(stream.read(_HEAD_BYTES), member.file_size, max_pixels=max_pixels)
    return archive.read(member)


def _text_of(member: bytes) -> dict[str, str]:
    try:
        return text_from_json(bytes(decode_array(member).tobytes()))
    except InputError:
        return {}
