"""Headers of weights files: name, type and shape of every tensor. No torch, and nothing in a file is executed.

The reader of safetensors is ours because the library's keeps the last of two tensors of one name, and because it reads
only by mapping the file, which then follows whoever changes it.

The reader of pickles is ours because `torch.load(weights_only=True)` runs nothing foreign but can be made to end the
process (a tuple 200,000 deep as a key: SIGSEGV), to run for ever (a tuple doubled a hundred times as a key: 862 bytes),
and to take any memory (`bytearray(2**32)`: 389 bytes). Here every instruction takes constant time and few bytes.
"""

from __future__ import annotations

import io
import json
import math
import pickle
import pickletools
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple, NoReturn

from glpn_cli.errors import ModelError
from glpn_cli.text import first_of, parse_json_object, quoted, shown

MAX_HEADER_BYTES = 16_000_000
"""Of a safetensors file; a thousand tensors take 0.15 MB."""

_MAX_PROGRAM_BYTES = 2_000_000
"""Of a pickle, without its numbers; a thousand tensors take 0.2 MB."""

_ITEM_BYTES = {"F32": 4, "F16": 2, "BF16": 2, "I64": 8}
"""The types that weights may have; I64 only for counters of training batches."""

_COUNTER = "num_batches_tracked"
_METADATA_KEY = "__metadata__"
_MAX_DIMENSIONS = 8
"""Of a tensor: of a convolution it has four."""

ZIP_MAGIC = b"PK\x03\x04"
PICKLE_MAGIC = b"\x80"
FETCH_AGAIN = "The download or copy was not complete; fetch it again."

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # what torch.save wrote first before it wrote zip archives (until 1.5)


@dataclass(frozen=True)
class TensorInfo:
    """One tensor as a file describes it: its type, "F32", "F16", "BF16" or "I64", and its shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def items(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    def __str__(self) -> str:
        return f"{self.dtype} {list(self.shape)}"


class _Span(NamedTuple):
    """One tensor of a safetensors file, and its first byte in the file."""

    info: TensorInfo
    start: int


def is_counter(name: str) -> bool:
    """Whether a tensor only counts training batches: the one kind of integer among weights."""
    return name.rpartition(".")[2] == _COUNTER


def _check_dtype(name: str, dtype: str, *, where: str) -> None:
    """Raises ModelError where a tensor's type is none that weights may have."""
    if dtype not in _ITEM_BYTES or (dtype == "I64" and not is_counter(name)):
        raise ModelError(
            f"{where}: tensor {quoted(name)} has type {dtype[:40]}; weights are F32, F16 or BF16",
            hint="Save the weights again as float32.",
        )


# Safetensors: eight bytes of length, that much JSON (name -> dtype, shape, span of bytes), the tensors without gaps.


def read_safetensors_header(file: BinaryIO, *, size: int, where: str) -> dict[str, _Span]:
    """The tensors of an open file of `size` bytes, in the order of their bytes; `where` names it in messages.

    Raises ModelError naming the tensor, the expected and the found.
    """
    (length,) = struct.unpack("<Q", file.read(8)) if size >= 8 else (0,)
    if length < 2 or length > size - 8:
        raise ModelError(f"{where} is no safetensors file: its header would have {length:,} of {size:,} bytes")
    if length > MAX_HEADER_BYTES:
        raise ModelError(f"{where}: a header of {length:,} bytes is beyond the {MAX_HEADER_BYTES:,} that are read")
    header = f"the header of {where}"
    raw = parse_json_object(file.read(length), where=header)
    metadata = raw.pop(_METADATA_KEY, {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise ModelError(f"{header}: {_METADATA_KEY} is not an object of strings")
    spans = {name: _read_span(name, entry, where, header) for name, entry in raw.items()}
    if not spans:
        raise ModelError(f"{where} holds no tensors")
    found: dict[str, _Span] = {}
    position = 0
    for name, (info, begin, end) in sorted(spans.items(), key=lambda item: item[1][1:]):
        if begin != position:  # every byte after the header belongs to exactly one tensor
            trouble = "overlaps the tensor before it" if begin < position else "leaves a hole before it"
            raise ModelError(f"{header}: {quoted(name)} {trouble} (byte {begin:,}, expected {position:,})")
        found[name] = _Span(info, 8 + length + begin)
        position = end
    if position != size - 8 - length:
        is_short = position > size - 8 - length
        raise ModelError(
            f"{where} is {'cut short' if is_short else 'longer than its header says'}: "
            f"its tensors take {position:,} bytes, the file has {size - 8 - length:,} for them",
            hint=FETCH_AGAIN if is_short else None,
        )
    return found


def make_safetensors_header(tensors: Mapping[str, TensorInfo]) -> tuple[bytes, tuple[str, ...]]:
    """The header's bytes, and the order in which the tensors' bytes must follow it.

    Wide types come first and the header ends on a multiple of eight, so that every tensor is aligned; names are sorted,
    so that equal weights make equal files.
    """
    order = tuple(sorted(tensors, key=lambda name: (-_ITEM_BYTES[tensors[name].dtype], name)))
    entries: dict[str, Any] = {_METADATA_KEY: {"format": "pt"}}
    begin = 0
    for name in order:
        info = tensors[name]
        end = begin + info.items * _ITEM_BYTES[info.dtype]
        entries[name] = {"dtype": info.dtype, "shape": list(info.shape), "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text, order


def _read_span(name: str, entry: Any, where: str, header: str) -> tuple[TensorInfo, int, int]:
    """Type and shape of one tensor and its (begin, end) in bytes after the header."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ModelError(f"{header}: {quoted(name)} is not described by dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str):
        raise ModelError(f"{header}: the type of {quoted(name)} is no string")
    _check_dtype(name, dtype, where=where)
    if not _are_sizes(shape):
        raise ModelError(f"{header}: {quoted(name)} has the impossible shape {str(shape)[:80]}")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise ModelError(f"{header}: {quoted(name)} has the impossible span {str(offsets)[:80]}")
    info = TensorInfo(dtype, tuple(shape))
    begin, end = offsets
    need = info.items * _ITEM_BYTES[dtype]
    if end - begin != need:
        raise ModelError(
            f"{header}: {quoted(name)} is {info}, which takes {need:,} bytes, but its span has {end - begin:,}"
        )
    return info, begin, end


def _are_sizes(value: Any) -> bool:
    """Whether something is a short list or tuple of whole numbers that a file of 8 EiB could have."""
    return (
        isinstance(value, list | tuple)
        and len(value) <= _MAX_DIMENSIONS
        and all(type(item) is int and 0 <= item < 1 << 63 for item in value)
    )


# Pickles: a program for a small stack machine, which may import and call whatever it likes.


def read_pickle_header(file: BinaryIO, *, where: str) -> dict[str, TensorInfo]:
    """Name -> type and shape of every tensor in an open file that `torch.save` wrote.

    Names are as `select_state` gives them. Raises ModelError where the file is damaged, would run code, or holds
    anything but tensors; `where` names it in messages.
    """
    is_archive = file.read(4) == ZIP_MAGIC
    file.seek(0)
    saved, sizes = _read_archive(file, where) if is_archive else (_read_legacy(file, where), None)
    tensors: dict[str, TensorInfo] = {}
    for name, tensor in select_state(saved, is_tensor=lambda value: isinstance(value, _Tensor), where=where).items():
        info, storage = tensor
        _check_dtype(name, info.dtype, where=where)
        if info.items > storage.items:
            raise ModelError(f"{where}: tensor {quoted(name)} is {info}, but only {storage.items:,} numbers are stored")
        if sizes is not None and sizes.get(storage.key) != storage.items * _ITEM_BYTES[storage.dtype]:
            raise ModelError(f"{where} is damaged: the numbers of tensor {quoted(name)} are not all there")
        tensors[name] = info
    return tensors


def select_state(saved: Any, *, is_tensor: Callable[[Any], bool], where: str) -> dict[str, Any]:
    """The tensors by name out of what was saved.

    They may lie under "state_dict" or "model" beside whatever a training run keeps; "module." in front of every name,
    which data-parallel training puts there, is dropped. Raises ModelError where anything else is among them.
    """
    for key in ("state_dict", "model"):
        if isinstance(saved, Mapping) and isinstance(saved.get(key), Mapping):
            saved = saved[key]
            break
    if not isinstance(saved, Mapping) or not saved:
        raise ModelError(f"{where} holds no tensors by name")
    strangers = [key for key, value in saved.items() if not isinstance(key, str) or not is_tensor(value)]
    if strangers:
        names = first_of(quoted(str(key)) for key in strangers)
        raise ModelError(f"{where} holds more than tensors: {names}", hint="Save its state dict alone.")
    prefix = "module."
    if all(name.startswith(prefix) for name in saved):
        return {name[len(prefix) :]: value for name, value in saved.items()}
    return dict(saved)


def _read_archive(file: BinaryIO, where: str) -> tuple[Any, dict[str, int]]:
    """(what was saved, storage -> bytes) of the zip archives that torch.save writes since 1.6, uncompressed."""
    with _damage_told(where), zipfile.ZipFile(file) as archive:
        stored = [entry for entry in archive.infolist() if entry.compress_type == zipfile.ZIP_STORED]
        entries = {entry.filename.partition("/")[2]: entry for entry in stored}
        program = entries.get("data.pkl")
        if program is None:
            raise ModelError(f"{where} is a zip archive, but not one that torch.save wrote")
        if program.file_size > _MAX_PROGRAM_BYTES:
            raise ModelError(f"{where}: {program.file_size:,} bytes of instructions are no dictionary of tensors")
        sizes = {name.removeprefix("data/"): entry.file_size for name, entry in entries.items()}
        return _Unpickler(io.BytesIO(archive.read(program)), where).load(), sizes


def _read_legacy(file: BinaryIO, where: str) -> Any:
    """Read the older form: four pickles in a row, of which the last is the dictionary."""
    programs = io.BytesIO(file.read(_MAX_PROGRAM_BYTES))
    with _damage_told(where):
        if _Unpickler(programs, where).load() != _LEGACY_MAGIC:
            hint = "Nothing in it was executed."
            raise ModelError(f"{where} is a pickle, but not one that torch.save wrote", hint=hint)
        _Unpickler(programs, where).load()  # the version of the format
        _Unpickler(programs, where).load()  # byte order and sizes of the machine
        return _Unpickler(programs, where).load()


@contextmanager
def _damage_told(where: str) -> Iterator[None]:
    """Turn what damaged archives and pickles raise, which may be anything, into a ModelError."""
    try:
        yield
    except (ModelError, MemoryError):
        raise
    except Exception as error:
        said = shown(str(error)[:120]) or "its instructions make no sense"  # zipfile quotes 64 kB of a name
        raise ModelError(f"{where} is damaged: {said}", hint=FETCH_AGAIN) from error


class _Storage(NamedTuple):
    """Where a tensor's numbers lie: their type, their file in the archive, how many there are."""

    dtype: str
    key: str
    items: int


class _Tensor(NamedTuple):
    info: TensorInfo
    storage: _Storage


class _StorageType(NamedTuple):
    dtype: str


class _Table(dict[Any, Any]):
    """A dictionary of plain keys: to hash a tuple in a tuple, doubled a hundred times, would never end."""

    def __setitem__(self, key: Any, value: Any) -> None:
        if not isinstance(key, str | bytes | int | float | None):
            raise TypeError("it keeps something under a key that is no text and no number")
        super().__setitem__(key, value)


def _make_table() -> _Table:
    return _Table()


def _rebuild_tensor(storage: Any, _offset: Any, shape: Any, _stride: Any, *_rest: Any) -> _Tensor:
    if not isinstance(storage, _Storage) or not _are_sizes(shape):
        raise ValueError("it has a tensor of an impossible shape")
    return _Tensor(TensorInfo(storage.dtype, tuple(shape)), storage)


def _rebuild_parameter(tensor: Any, _requires_grad: Any, _hooks: Any) -> Any:
    return tensor


_GLOBALS: Mapping[str, Any] = {
    "collections.OrderedDict": _make_table,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch.FloatStorage": _StorageType("F32"),
    "torch.HalfStorage": _StorageType("F16"),
    "torch.BFloat16Storage": _StorageType("BF16"),
    "torch.LongStorage": _StorageType("I64"),
    "torch.DoubleStorage": _StorageType("F64"),
    "torch.IntStorage": _StorageType("I32"),
    "torch.ShortStorage": _StorageType("I16"),
    "torch.CharStorage": _StorageType("I8"),
    "torch.ByteStorage": _StorageType("U8"),
    "torch.BoolStorage": _StorageType("BOOL"),
}
"""All that a pickle may ask for, and what it gets: stand-ins that describe tensors."""

_KNOWN = """
PROTO FRAME STOP MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT BINUNICODE SHORT_BINUNICODE
BINUNICODE8 SHORT_BINSTRING BINSTRING SHORT_BINBYTES BINBYTES EMPTY_DICT EMPTY_LIST EMPTY_TUPLE TUPLE TUPLE1 TUPLE2
TUPLE3 APPEND APPENDS SETITEM SETITEMS BINPUT LONG_BINPUT MEMOIZE BINGET LONG_BINGET GLOBAL STACK_GLOBAL BINPERSID
REDUCE BUILD
"""
_CODES = [getattr(pickle, name)[0] for name in _KNOWN.split()]


class _Instructions(dict[int, Any]):
    """The few instructions that dictionaries of tensors need; every other one is refused."""

    def __missing__(self, code: int) -> NoReturn:
        names = [known.name for known in pickletools.opcodes if known.code == chr(code)]
        raise _RefusedError(f"needs the instruction {first_of(names)}")


class _RefusedError(Exception):
    """A pickle wants something that no dictionary of tensors needs."""


class _Unpickler(pickle._Unpickler):
    """Python's own unpickler, in Python, with few of its instructions and with stand-ins for all that it imports."""

    dispatch = _Instructions({code: pickle._Unpickler.dispatch[code] for code in _CODES})
    stack: list[Any]

    def __init__(self, file: BinaryIO, where: str) -> None:
        super().__init__(file)
        self.where = where

    def load(self) -> Any:
        try:
            return super().load()
        except _RefusedError as error:
            raise ModelError(
                f"{self.where} {error}, which no file of tensors needs and which could run code; nothing was executed",
                hint="Use a safetensors file of these weights, or ask where this file comes from.",
            ) from error

    def find_class(self, module: str, name: str) -> Any:
        wanted = f"{module}.{name}"
        if wanted not in _GLOBALS:
            raise _RefusedError(f"asks for {quoted(wanted)}")
        return _GLOBALS[wanted]

    def persistent_load(self, reference: Any) -> _Storage:
        if not isinstance(reference, tuple) or len(reference) not in (5, 6):
            raise _RefusedError("has a reference to something that is no storage")
        kind, storage, key, _device, items = reference[:5]
        if (kind, type(storage), type(key), type(items)) != ("storage", _StorageType, str, int) or items >= 1 << 63:
            raise _RefusedError("has a reference to something that is no storage")
        return _Storage(storage.dtype, key, items)

    def _load_empty_dict(self) -> None:
        self.stack.append(_Table())

    def _load_build(self) -> None:
        self.stack.pop()  # attributes of a dictionary: notes of torch's modules on their versions

    dispatch |= {pickle.EMPTY_DICT[0]: _load_empty_dict, pickle.BUILD[0]: _load_build}
