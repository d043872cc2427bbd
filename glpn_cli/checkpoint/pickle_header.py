"""The names, types and shapes inside a file that `torch.save` wrote, read without torch and without running anything.

A pickle is a program for a small stack machine that may import and call whatever it likes. This reader interprets the
few instructions that a dictionary of tensors needs, on values of its own; what would be a call becomes a description,
and anything else is refused by name. So a pickle can be inspected, and checked against its config, before torch is
asked to load it (with `weights_only=True`).

A small program can build a tuple in a tuple, a million deep or doubled a hundred times, of which nothing may be asked:
to hash, compare or print it overflows the stack or never ends. So names and keys are plain, and numbers short.
"""

from __future__ import annotations

import io
import pickletools
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, NoReturn

from glpn_cli.checkpoint.safetensors_header import ITEM_BYTES, MAX_DIMENSIONS, TensorInfo, check_dtype, shown
from glpn_cli.errors import ModelError

MAX_PROGRAM_BYTES = 16_000_000
"""The instructions alone, without the numbers; a thousand tensors take 0.2 MB."""

ZIP_MAGIC = b"PK\x03\x04"
PICKLE_MAGIC = b"\x80"
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # what torch.save wrote first before it wrote zip archives (until 1.5)
_MAX_BITS = 80  # of a number: the one above is the longest that there is

_STORAGES = {
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "LongStorage": "I64",
    "DoubleStorage": "F64",
    "IntStorage": "I32",
    "ShortStorage": "I16",
    "CharStorage": "I8",
    "ByteStorage": "U8",
    "BoolStorage": "BOOL",
}


@dataclass(frozen=True)
class _Global:
    """The name of something that a pickle would import."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(frozen=True)
class _Storage:
    """Where a tensor's numbers lie: their type, their file in the archive, how many there are."""

    dtype: str
    key: str
    items: int


@dataclass(frozen=True)
class _Tensor:
    info: TensorInfo
    storage: _Storage


def read_pickle_header(file: BinaryIO, *, where: str) -> dict[str, TensorInfo]:
    """Name -> type and shape of every tensor in an open file that `torch.save` wrote.

    Names are as `select_state` gives them. Raises ModelError where the file is damaged, would run code, or holds
    anything but tensors; `where` names it in messages.
    """
    if file.read(4) == ZIP_MAGIC:
        file.seek(0)
        saved, sizes = _read_archive(file, where)
    else:
        file.seek(0)
        # In memory, where a length that the file does not have is cut to what there is.
        saved, sizes = _read_legacy(io.BytesIO(file.read(MAX_PROGRAM_BYTES)), where), None
    tensors: dict[str, TensorInfo] = {}
    for name, value in select_state(saved, is_tensor=lambda value: isinstance(value, _Tensor), where=where).items():
        check_dtype(name, value.info.dtype, where=where)
        _check_storage(name, value, sizes, where)
        tensors[name] = value.info
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
        names = ", ".join(shown(str(key)) for key in strangers[:8]) + (", ..." if len(strangers) > 8 else "")
        raise ModelError(f"{where} holds more than tensors: {names}", hint="Save its state dict alone.")
    prefix = "module."
    if all(name.startswith(prefix) for name in saved):
        return {name[len(prefix) :]: value for name, value in saved.items()}
    return dict(saved)


def _check_storage(name: str, tensor: _Tensor, sizes: Mapping[str, int] | None, where: str) -> None:
    """A tensor may not claim more numbers than its storage has, nor a storage more bytes than its file."""
    storage = tensor.storage
    if tensor.info.items > storage.items:
        raise ModelError(
            f"{where}: tensor {shown(name)} is {tensor.info}, but only {storage.items:,} numbers are stored"
        )
    if sizes is not None and sizes.get(storage.key) != storage.items * ITEM_BYTES[storage.dtype]:
        raise ModelError(f"{where} is damaged: the numbers of tensor {shown(name)} are not all there")


def _read_archive(file: BinaryIO, where: str) -> tuple[Any, dict[str, int]]:
    """(what was saved, storage -> bytes) of the zip archives that torch.save writes since 1.6."""
    try:
        with zipfile.ZipFile(file) as archive:
            entries = {entry.filename.partition("/")[2]: entry for entry in archive.infolist()}
            sizes = {
                name.removeprefix("data/"): entry.file_size
                for name, entry in entries.items()
                if name.startswith("data/") and entry.compress_type == zipfile.ZIP_STORED
            }
            with archive.open(_find_program(entries, where)) as stream:
                return _interpret(io.BytesIO(stream.read(MAX_PROGRAM_BYTES)), where), sizes
    except ModelError:
        raise
    except (zipfile.BadZipFile, zlib.error, struct.error, ValueError, RuntimeError, EOFError, OverflowError) as error:
        raise ModelError(
            f"{where} is damaged: {error}", hint="The download or copy was not complete; fetch it again."
        ) from error


def _find_program(entries: Mapping[str, zipfile.ZipInfo], where: str) -> zipfile.ZipInfo:
    program = entries.get("data.pkl")
    if program is None:
        raise ModelError(f"{where} is a zip archive, but not one that torch.save wrote")
    if program.file_size > MAX_PROGRAM_BYTES:
        raise ModelError(f"{where}: {program.file_size:,} bytes of instructions are no dictionary of tensors")
    return program


def _read_legacy(file: BinaryIO, where: str) -> Any:
    """What was saved in the older form: four pickles in a row, of which the last is the dictionary."""
    if _interpret(file, where) != _LEGACY_MAGIC:
        raise ModelError(f"{where} is a pickle, but not one that torch.save wrote", hint="Nothing in it was executed.")
    _interpret(file, where)  # the version of the format
    _interpret(file, where)  # byte order and sizes of the machine
    return _interpret(file, where)


def _interpret(program: BinaryIO, where: str) -> Any:
    machine = _StackMachine(where)
    try:
        with warnings.catch_warnings():  # of odd escapes in old texts, which only a damaged file has
            warnings.simplefilter("ignore", DeprecationWarning)
            for opcode, argument, _ in pickletools.genops(program):
                machine.step(opcode.name, argument)
        return machine.stack[-1]
    except ModelError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ModelError(f"{where} is a damaged pickle: {error or 'its instructions make no sense'}") from error


class _StackMachine:
    """Just enough of pickle's machine for dictionaries of tensors."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.stack: list[Any] = []
        self.marks: list[int] = []  # where groups of operands begin on the stack
        self.memo: dict[int, Any] = {}

    def step(self, opcode: str, argument: Any) -> None:
        """Carry out one instruction."""
        if opcode in _PUSH_ARGUMENT:
            if isinstance(argument, int) and argument.bit_length() > _MAX_BITS:
                self.refuse(f"has a number of {argument.bit_length():,} bits")
            self.stack.append(argument)
        elif opcode in _PUSH_CONSTANT:
            self.stack.append(_PUSH_CONSTANT[opcode]())
        elif opcode in _STORE:
            self.memo[len(self.memo) if opcode == "MEMOIZE" else int(argument)] = self.stack[-1]
        elif opcode in _FETCH:
            self.stack.append(self.memo[int(argument)])
        elif opcode in _TUPLES:
            count = _TUPLES[opcode]
            self.stack[-count:] = [tuple(self.stack[-count:])]
        elif opcode in _INSTRUCTIONS:
            _INSTRUCTIONS[opcode](self, argument)
        elif opcode == "PROTO" and argument not in _PROTOCOLS:
            self.refuse(f"is written in version {argument} of the pickle language")
        elif opcode not in _IGNORED:
            self.refuse(f"needs the instruction {opcode}")

    def refuse(self, what: str) -> NoReturn:
        """Raise ModelError: this pickle wants something that no dictionary of tensors needs."""
        raise ModelError(
            f"{self.where} {what}, which no file of tensors needs and which could run code; nothing was executed",
            hint="Use a safetensors file of these weights, or ask where this file comes from.",
        )

    def mark(self, _argument: Any) -> None:
        self.marks.append(len(self.stack))

    def _since_mark(self) -> list[Any]:
        at = self.marks.pop()
        values = self.stack[at:]
        del self.stack[at:]
        return values

    def make_tuple(self, _argument: Any) -> None:
        self.stack.append(tuple(self._since_mark()))

    def append(self, _argument: Any) -> None:
        value = self.stack.pop()
        self.stack[-1].append(value)

    def appends(self, _argument: Any) -> None:
        values = self._since_mark()
        self.stack[-1].extend(values)

    def set_item(self, _argument: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.stack[-1].update(_make_dict([(key, value)]))

    def set_items(self, _argument: Any) -> None:
        values = self._since_mark()
        self.stack[-1].update(_make_dict(zip(values[::2], values[1::2], strict=True)))

    def name(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._push_global(module, name)

    def name_from_stack(self, _argument: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            self.refuse("asks for something without a name")
        self._push_global(module, name)

    def _push_global(self, module: str, name: str) -> None:
        """Nothing is imported; a name that no dictionary of tensors needs is refused."""
        found = _Global(module, name)
        if found not in _CALLS and not (module == "torch" and name in _STORAGES):
            self.refuse(f"asks for {shown(str(found))}")
        self.stack.append(found)

    def refer_to_storage(self, _argument: Any) -> None:
        kind, storage, key, _device, items, *_ = self.stack.pop()
        if (kind, type(storage), type(key), type(items)) != ("storage", _Global, str, int):
            self.refuse("has a reference to something that is no storage")
        self.stack.append(_Storage(_STORAGES[storage.name], key, items))

    def call(self, _argument: Any) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, _Global) or function not in _CALLS:
            self.refuse(f"calls {shown(str(function))}" if isinstance(function, _Global) else "calls what has no name")
        self.stack.append(_CALLS[function](*arguments))

    def set_attributes(self, _argument: Any) -> None:
        self.stack.pop()  # attributes of a dictionary: notes of torch's modules on their versions


def _make_dict(pairs: Iterable[Any] = ()) -> dict[Any, Any]:
    """A dictionary whose keys are texts or numbers."""
    listed = [(key, value) for key, value in pairs]
    if not all(isinstance(key, str | bytes | int | float | None) for key, _ in listed):
        raise ValueError("it keeps something under a key that is no text and no number")
    return dict(listed)


def _rebuild_tensor(storage: _Storage, _offset: int, shape: Iterable[int], *_rest: Any) -> _Tensor:
    sizes = tuple(shape)
    is_shape = len(sizes) <= MAX_DIMENSIONS and all(type(size) is int and size >= 0 for size in sizes)
    if not isinstance(storage, _Storage) or not is_shape:
        raise ValueError("it has a tensor of an impossible shape")
    return _Tensor(TensorInfo(storage.dtype, sizes), storage)


_CALLS: Mapping[Any, Callable[..., Any]] = {
    _Global("collections", "OrderedDict"): _make_dict,
    _Global("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    _Global("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
}
_INSTRUCTIONS: Mapping[str, Callable[[_StackMachine, Any], None]] = {
    "MARK": _StackMachine.mark,
    "TUPLE": _StackMachine.make_tuple,
    "APPEND": _StackMachine.append,
    "APPENDS": _StackMachine.appends,
    "SETITEM": _StackMachine.set_item,
    "SETITEMS": _StackMachine.set_items,
    "GLOBAL": _StackMachine.name,
    "STACK_GLOBAL": _StackMachine.name_from_stack,
    "BINPERSID": _StackMachine.refer_to_storage,
    "REDUCE": _StackMachine.call,
    "BUILD": _StackMachine.set_attributes,
}
_PUSH_ARGUMENT = set(
    "BINUNICODE SHORT_BINUNICODE BINUNICODE8 UNICODE BININT BININT1 BININT2 INT LONG LONG1 LONG4 BINFLOAT FLOAT "
    "SHORT_BINSTRING BINSTRING STRING SHORT_BINBYTES BINBYTES".split()
)
_PUSH_CONSTANT: Mapping[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": set,
}
_STORE = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}
_FETCH = {"GET", "BINGET", "LONG_BINGET"}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_IGNORED = {"PROTO", "FRAME", "STOP"}
_PROTOCOLS = range(2, 6)
