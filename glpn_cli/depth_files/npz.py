"""NumPy's zip: `depth` is float32 (H, W), NaN where nothing is known, and `glpn` the record, as JSON."""

from __future__ import annotations

import struct
import zipfile
import zlib
from dataclasses import dataclass
from io import BytesIO
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from glpn_cli.depth_files.npy import decode_array, encode_array
from glpn_cli.depth_files.record_text import text_from_json, text_to_json
from glpn_cli.depth_files.writer import FloatWriter, depth_of, depth_text, with_holes
from glpn_cli.errors import ErrorCode, InputError
from glpn_cli.prediction import Result

SIGNATURE = b"PK\x03\x04"
RECORD_MEMBER = "glpn.npy"
_DEPTH_MEMBER = "depth.npy"
# The record comes first, so that a scan knows our files from their first bytes: a zip's member begins with 30 bytes,
# then its name.
OWN_NAME_AT = 30
_MAX_RECORD = 1 << 16
_MAX_ARRAY = (1 << 31) + (1 << 20)
_COMPRESS_LEVEL = 1
# What zipfile raises on damaged archives, encrypted ones, and compressions that it does not know.
_DAMAGED = (
    zipfile.BadZipFile, OSError, ValueError, EOFError, KeyError, IndexError, NotImplementedError, RuntimeError,
    OverflowError, struct.error, zlib.error,
)  # fmt: skip


@dataclass(frozen=True)
class Npz(FloatWriter):
    """Depth as a NumPy archive, exactly as it is in memory: `numpy.load(path)["depth"]`."""

    format: ClassVar[str] = "npz"
    extension: ClassVar[str] = ".npz"

    def encode(self, result: Result) -> bytes:
        """The .npz file."""
        record = np.array(text_to_json(depth_text(self, result)))
        file = BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(_member(RECORD_MEMBER), encode_array(record))
            archive.writestr(
                _member(_DEPTH_MEMBER),
                encode_array(with_holes(depth_of(result))),
                compress_type=zipfile.ZIP_DEFLATED,
                compresslevel=_COMPRESS_LEVEL,
            )
        return file.getvalue()


def decode_npz(data: bytes) -> tuple[NDArray[Any], dict[str, str]]:
    """The depths, as they are stored, and the text of a .npz file: `depth`, or its only array. Raises InputError."""
    members = _read_sizes(data)
    arrays = [name for name in members if name.endswith(".npy") and name != RECORD_MEMBER]
    if _DEPTH_MEMBER not in arrays and len(arrays) != 1:
        found = ", ".join(name.removesuffix(".npy") for name in arrays[:8]) or "nothing"
        raise InputError(
            f"the npz file has no array named 'depth' (found: {found})",
            hint="Save one array alone, or name it: numpy.savez(path, depth=array).",
            code=ErrorCode.UNSUPPORTED,
        )
    name = _DEPTH_MEMBER if _DEPTH_MEMBER in arrays else arrays[0]
    array = decode_array(_read_member(data, name, most=_MAX_ARRAY))
    return array, _read_text(data) if RECORD_MEMBER in members else {}


def peek_text(data: bytes) -> dict[str, str]:
    """The record's text from a .npz file of ours, or from its first bytes; empty where it has none."""
    try:
        return _read_text_in_head(data)
    except _DAMAGED:
        return {}


def has_arrays(head: bytes) -> bool:
    """Whether a zip's first member is an array: what tells a .npz from any other zip."""
    length = int.from_bytes(head[26:28], "little")
    return head.startswith(SIGNATURE) and head[OWN_NAME_AT : OWN_NAME_AT + length].endswith(b".npy")


def _member(name: str) -> zipfile.ZipInfo:
    """A member dated 1980, as every ZipInfo is unless told otherwise, so that the same map gives the same bytes."""
    member = zipfile.ZipInfo(name)
    member.external_attr = 0o644 << 16
    return member


def _read_text(data: bytes) -> dict[str, str]:
    return _text_of(_read_member(data, RECORD_MEMBER, most=_MAX_RECORD))


def _read_text_in_head(head: bytes) -> dict[str, str]:
    """The record's member is stored as it is, so it can be read off without the archive's table at its end."""
    name_length, extra_length = struct.unpack_from("<HH", head, 26)
    (size,) = struct.unpack_from("<I", head, 22)
    start = OWN_NAME_AT + name_length + extra_length
    if head[OWN_NAME_AT : OWN_NAME_AT + name_length] != RECORD_MEMBER.encode() or start + size > len(head):
        return {}
    return _text_of(head[start : start + size])


def _text_of(member: bytes) -> dict[str, str]:
    try:
        return text_from_json(bytes(decode_array(member).tobytes()))
    except InputError:
        return {}


def _read_sizes(data: bytes) -> dict[str, int]:
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            return {member.filename: member.file_size for member in archive.infolist()}
    except _DAMAGED as error:
        raise InputError(f"the npz file is damaged or cut short: {error}") from error


def _read_member(data: bytes, name: str, *, most: int) -> bytes:
    """One member, its checksum verified; never more bytes than the archive's table says, nor than `most`."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            if archive.getinfo(name).file_size > most:
                raise InputError("the npz file holds too much for a depth map", code=ErrorCode.TOO_LARGE)
            return archive.read(name)
    except _DAMAGED as error:
        raise InputError(f"the npz file is damaged: {error}") from error
