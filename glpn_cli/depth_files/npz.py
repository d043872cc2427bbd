"""NumPy's zip: `depth` is float32 (H, W), NaN where nothing is known, and `glpn` the record, as JSON."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from glpn_cli.depth_files.base import EncodedFile, Format, depth_of, depth_record, with_holes
from glpn_cli.depth_files.npy import HEAD_BYTES, decode_array, encode_array, read_layout
from glpn_cli.depth_files.record import text_from_json, text_to_json
from glpn_cli.errors import ErrorCode, InputError
from glpn_cli.prediction import Result

SIGNATURE = b"PK\x03\x04"
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


@dataclass(frozen=True)
class Npz(Format):
    """Depth as a NumPy archive, exactly as it is in memory: `numpy.load(path)["depth"]`."""

    format: ClassVar[str] = "npz"
    extension: ClassVar[str] = ".npz"
    own_marks: ClassVar[tuple[tuple[bytes, int], ...]] = ((_RECORD_MEMBER.encode(), _NAME_AT),)

    @classmethod
    def sniff(cls, head: bytes) -> bool:
        """Whether a file is a zip archive."""
        return head.startswith(SIGNATURE)

    @classmethod
    def is_depth(cls, head: bytes) -> bool:
        """Whether the first member is an array: no other zip archive begins with one."""
        length = int.from_bytes(head[26:28], "little")
        return cls.sniff(head) and head[_NAME_AT : _NAME_AT + length].endswith(b".npy")

    @classmethod
    def peek(cls, head: bytes) -> Mapping[str, str]:
        """The text of the record's member, which comes first and is stored as it is."""
        try:
            name_length, extra_length = struct.unpack_from("<HH", head, 26)
            (size,) = struct.unpack_from("<I", head, 22)
        except struct.error:
            return {}
        start = _NAME_AT + name_length + extra_length
        if head[_NAME_AT : _NAME_AT + name_length] != _RECORD_MEMBER.encode() or start + size > len(head):
            return {}
        return _text_of(head[start : start + size])

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
        record = depth_record(self, result)
        text = np.array(text_to_json(record.to_text()))
        file = BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(_member(_RECORD_MEMBER), encode_array(text))
            archive.writestr(
                _member(_DEPTH_MEMBER),
                encode_array(with_holes(depth_of(result))),
                compress_type=zipfile.ZIP_DEFLATED,
                compresslevel=_COMPRESS_LEVEL,
            )
        return EncodedFile(file.getvalue(), record)


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
        raise InputError("the npz file is compressed in a way that NumPy does not read", code=ErrorCode.UNSUPPORTED)
    with archive.open(member) as stream:
        read_layout(stream.read(HEAD_BYTES), member.file_size, max_pixels=max_pixels)
    return archive.read(member)


def _text_of(member: bytes) -> dict[str, str]:
    try:
        return text_from_json(bytes(decode_array(member).tobytes()))
    except InputError:
        return {}
