"""The header of a safetensors file, read strictly and without torch.

A file is eight bytes of length, that much JSON (name -> dtype, shape, span of bytes), then the tensors' bytes without
gaps. What the header says is believed only where it agrees with the size of the file.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from glpn_cli.checkpoint.json_object import parse_json_object
from glpn_cli.errors import ModelError

MAX_HEADER_BYTES = 16_000_000
"""A thousand tensors take 0.15 MB."""

ITEM_BYTES = {"F32": 4, "F16": 2, "BF16": 2, "I64": 8}
"""The types that weights may have; I64 only for counters of training batches."""

COUNTER = "num_batches_tracked"
METADATA_KEY = "__metadata__"
MAX_DIMENSIONS = 8
"""Of a tensor: of a convolution it has four."""


@dataclass(frozen=True)
class TensorInfo:
    """What a file says about one tensor: its type, "F32", "F16", "BF16" or "I64", and its shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def items(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    def __str__(self) -> str:
        return f"{self.dtype} {list(self.shape)}"


@dataclass(frozen=True)
class SafetensorsHeader:
    """tensors: name -> type and shape, in the order of their bytes. starts: name -> first byte in the file."""

    tensors: Mapping[str, TensorInfo]
    starts: Mapping[str, int]
    metadata: Mapping[str, str]


def is_counter(name: str) -> bool:
    """Whether a tensor only counts training batches: the one kind of integer among weights."""
    return name.rpartition(".")[2] == COUNTER


def check_dtype(name: str, dtype: str, *, where: str) -> None:
    """Raises ModelError where a tensor's type is none that weights may have."""
    if dtype not in ITEM_BYTES or (dtype == "I64" and not is_counter(name)):
        raise ModelError(
            f"{where}: tensor {shown(name)} has type {dtype[:40]}; weights are F32, F16 or BF16",
            hint="Save the weights again as float32.",
        )


def read_safetensors_header(file: BinaryIO, *, size: int, where: str) -> SafetensorsHeader:
    """Read and check the header of an open file of `size` bytes; `where` names it in messages.

    Raises ModelError naming the tensor, what was expected and what was found.
    """
    (length,) = struct.unpack("<Q", file.read(8)) if size >= 8 else (0,)
    if length < 2 or length > size - 8:
        raise ModelError(f"{where} is no safetensors file: its header would have {length:,} of {size:,} bytes")
    if length > MAX_HEADER_BYTES:
        raise ModelError(f"{where}: a header of {length:,} bytes is beyond the {MAX_HEADER_BYTES:,} that are read")
    raw = parse_json_object(file.read(length), where=f"the header of {where}")
    metadata = _read_metadata(raw.pop(METADATA_KEY, {}), where)
    spans = {name: _read_span(name, entry, where) for name, entry in raw.items()}
    if not spans:
        raise ModelError(f"{where} holds no tensors")
    ordered = sorted(spans.items(), key=lambda item: item[1][1:])
    _check_contiguous(((name, begin, end) for name, (_, begin, end) in ordered), size - 8 - length, where)
    return SafetensorsHeader(
        tensors={name: info for name, (info, _, _) in ordered},
        starts={name: 8 + length + begin for name, (_, begin, _) in ordered},
        metadata=metadata,
    )


def make_safetensors_header(tensors: Mapping[str, TensorInfo]) -> tuple[bytes, tuple[str, ...]]:
    """The header's bytes, and the order in which the tensors' bytes must follow it.

    Wide types come first and the header ends on a multiple of eight, so that every tensor is aligned; names are sorted,
    so that equal weights make equal files.
    """
    order = tuple(sorted(tensors, key=lambda name: (-ITEM_BYTES[tensors[name].dtype], name)))
    entries: dict[str, Any] = {METADATA_KEY: {"format": "pt"}}
    begin = 0
    for name in order:
        info = tensors[name]
        end = begin + info.items * ITEM_BYTES[info.dtype]
        entries[name] = {"dtype": info.dtype, "shape": list(info.shape), "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text, order


def shown(name: str) -> str:
    """A tensor's name as a message shows it: quoted, escaped, not endless."""
    return ascii(name if len(name) <= 200 else name[:200] + "...")


def _read_metadata(value: Any, where: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise ModelError(f"the header of {where}: {METADATA_KEY} is not an object of strings")
    return value


def _read_span(name: str, entry: Any, where: str) -> tuple[TensorInfo, int, int]:
    """Type and shape of one tensor and its (begin, end) in bytes after the header."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ModelError(f"the header of {where}: {shown(name)} is not described by dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str):
        raise ModelError(f"the header of {where}: the type of {shown(name)} is no string")
    check_dtype(name, dtype, where=where)
    if not _are_sizes(shape) or len(shape) > MAX_DIMENSIONS:
        raise ModelError(f"the header of {where}: {shown(name)} has the impossible shape {str(shape)[:80]}")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise ModelError(f"the header of {where}: {shown(name)} has the impossible span {str(offsets)[:80]}")
    info = TensorInfo(dtype, tuple(shape))
    begin, end = offsets
    if end - begin != info.items * ITEM_BYTES[dtype]:
        raise ModelError(
            f"the header of {where}: {shown(name)} is {info}, which takes {info.items * ITEM_BYTES[dtype]:,} bytes, "
            f"but its span has {end - begin:,}"
        )
    return info, begin, end


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def _check_contiguous(spans: Iterable[tuple[str, int, int]], data_bytes: int, where: str) -> None:
    """Every byte after the header belongs to exactly one tensor."""
    position = 0
    for name, begin, end in spans:
        if begin != position:
            trouble = "overlaps the tensor before it" if begin < position else "leaves a hole before it"
            raise ModelError(f"the header of {where}: {shown(name)} {trouble} (byte {begin:,}, expected {position:,})")
        position = end
    if position != data_bytes:
        trouble = "cut short" if position > data_bytes else "longer than its header says"
        raise ModelError(
            f"{where} is {trouble}: its tensors take {position:,} bytes, the file has {data_bytes:,} for them",
            hint="The download or copy was not complete; fetch it again." if position > data_bytes else None,
        )
