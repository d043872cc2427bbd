"""The weights of a model on disk: one file, or the shards that an index names. Read whole into memory, never mapped.

A mapped file follows whoever changes it: cut short it ends the process (SIGBUS), and written over it gives other depths
under the old checksum. So the numbers are copied, and every look at a file checks that it has not changed.
"""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from glpn_cli.checkpoint.headers import (
    FETCH_AGAIN,
    MAX_HEADER_BYTES,
    PICKLE_MAGIC,
    ZIP_MAGIC,
    TensorInfo,
    read_pickle_header,
    read_safetensors_header,
    select_state,
)
from glpn_cli.errors import ErrorCode, ModelError, about_model_file
from glpn_cli.text import first_of, open_regular, quoted, read_json_object, shown

if TYPE_CHECKING:
    from torch import Tensor

WeightsFormat = Literal["safetensors", "pickle"]
SAFETENSORS: WeightsFormat = "safetensors"
_PICKLE: WeightsFormat = "pickle"

SAFETENSORS_SUFFIX = ".safetensors"
PICKLE_SUFFIXES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")
INDEX_SUFFIX = ".safetensors.index.json"

_BLOCK_BYTES = 16 << 20  # large: beside a thread that imports, every block waits for its turn twice, 5 ms each time
_MAX_INDEX_BYTES = 16_000_000

_Identity = tuple[int, ...]
"""What changes with a file: its size, and its two times, the second of which no user can set."""


class Weights:
    """The weights at a path: a safetensors file, a file of torch.save, or an index of shards.

    Any method raises ModelError (E_CHECKSUM) where a file has changed since the first look.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._identities: dict[Path, _Identity] = {}
        self._header: dict[str, TensorInfo] | None = None

    @property
    def format(self) -> WeightsFormat:
        """By the file's name; its content must agree when it is read."""
        return SAFETENSORS if self.path.name.lower().endswith((SAFETENSORS_SUFFIX, INDEX_SUFFIX)) else _PICKLE

    def files(self) -> dict[Path, list[str] | None]:
        """File -> the tensors that the index puts there; None where there is no index. Raises ModelError."""
        if not self.path.name.lower().endswith(INDEX_SUFFIX):
            return {self.path: None}
        return {self.path.parent / name: tensors for name, tensors in sorted(_read_index(self.path).items())}

    def size_bytes(self) -> int:
        """Of all files together. Raises ModelError."""
        with about_model_file(self.path):
            return sum(path.stat().st_size for path in self.files())

    def header(self) -> dict[str, TensorInfo]:
        """Name -> type and shape of every tensor, without torch. Raises ModelError."""
        if self._header is not None:
            return self._header
        found: dict[str, TensorInfo] = {}
        for path, expected in self.files().items():
            with self._open(path) as (file, weights_format, size):
                if weights_format == SAFETENSORS:
                    spans = read_safetensors_header(file, size=size, where=repr(str(path)))
                    own = {name: span.info for name, span in spans.items()}
                else:
                    own = read_pickle_header(file, where=repr(str(path)))
            if expected is not None and sorted(own) != sorted(expected):
                strangers = first_of(quoted(name) for name in sorted(set(own) ^ set(expected)))
                raise ModelError(f"{str(path)!r} and {str(self.path)!r} disagree about {strangers}", hint=FETCH_AGAIN)
            found |= own
        self._header = found
        return found

    def sha256(self) -> str:
        """The checksum of the file, or of the shards one after the other, 64 hex digits. Raises ModelError.

        It is computed once for a file that stays as it is.
        """
        paths = tuple(self.files())
        with about_model_file(self.path):
            identities = tuple(self._check(path, path.stat()) for path in paths)
            digest = _sha256(paths, identities)
            for path in paths:
                self._check(path, path.stat())
        return digest

    def read(self) -> dict[str, Tensor]:
        """Every tensor by name, as stored (F32, F16, BF16; I64 counters), on the CPU, finite.

        Nothing but tensors is ever unpickled. Raises ModelError on damage and on numbers that are not finite.
        """
        self.header()  # refuses, by name, before memory is taken
        tensors: dict[str, Tensor] = {}
        for path in self.files():
            with self._open(path) as (file, weights_format, size):
                where = repr(str(path))
                own = _read_safetensors(file, size, where) if weights_format == SAFETENSORS else _load(file, where)
            check_finite(own, where=where)
            tensors |= own
        return tensors

    @contextmanager
    def _open(self, path: Path) -> Iterator[tuple[BinaryIO, WeightsFormat, int]]:
        """(the open file at its start, its format by content, its size in bytes)."""
        with about_model_file(path), open_regular(path) as file:
            self._check(path, os.fstat(file.fileno()))
            size = os.fstat(file.fileno()).st_size
            weights_format = _format_of(file.read(512), size, path)
            file.seek(0)
            yield file, weights_format, size
            self._check(path, os.fstat(file.fileno()))

    def _check(self, path: Path, found: os.stat_result) -> _Identity:
        identity = (found.st_size, found.st_mtime_ns, found.st_ctime_ns)  # not the inode: some networks invent it
        if self._identities.setdefault(path, identity) != identity:
            raise ModelError(
                f"{str(path)!r} was changed while it was being read",
                hint="Run the same command again when nothing writes to it.",
                code=ErrorCode.CHECKSUM,
            )
        return identity


def check_finite(tensors: Mapping[str, Tensor], *, where: str) -> None:
    """Raises ModelError naming the first tensors that hold NaN or infinity."""
    import torch

    # A sum in float32 is finite only if every term is; only where it is not (it may overflow) each number is asked.
    bad = [
        name
        for name, tensor in tensors.items()
        if tensor.is_floating_point()
        and not torch.isfinite(tensor.sum(dtype=torch.float32))
        and not torch.isfinite(tensor).all()
    ]
    if bad:
        names = first_of(map(quoted, bad))
        raise ModelError(f"{where} holds numbers that are not finite, in {names}", hint="These weights are damaged.")


@lru_cache(maxsize=64)
def _sha256(paths: tuple[Path, ...], _identities: tuple[_Identity, ...]) -> str:
    digest = hashlib.sha256()
    block = memoryview(bytearray(_BLOCK_BYTES))
    for path in paths:
        with open_regular(path) as file:
            while count := file.readinto(block):  # type: ignore[attr-defined]  # a file on the disk
                digest.update(block[:count])
    return digest.hexdigest()


def _read_index(path: Path) -> dict[str, list[str]]:
    """Shard -> its tensors. Raises ModelError where a name is no safetensors file of the same folder."""
    index = read_json_object(path, max_bytes=_MAX_INDEX_BYTES)
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ModelError(f"{str(path)!r} has no weight_map, which says where each tensor is")
    shards: dict[str, list[str]] = {}
    for tensor, shard in weight_map.items():
        if not isinstance(shard, str) or Path(shard).name != shard or not shard.endswith(SAFETENSORS_SUFFIX):
            raise ModelError(
                f"{str(path)!r} puts {quoted(tensor)} into {quoted(str(shard))}, "
                f"which is no {SAFETENSORS_SUFFIX} file of the same folder"
            )
        shards.setdefault(shard, []).append(tensor)
    return shards


def _read_safetensors(file: BinaryIO, size: int, where: str) -> dict[str, Tensor]:
    """Tensors over one copy of the file in memory."""
    import numpy as np
    import torch

    types = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64}
    data = np.empty(size, np.uint8)
    read = file.readinto(data.data)  # type: ignore[attr-defined]  # a file on the disk, buffered: it reads to the end
    if read < size:
        raise ModelError(f"{where} is cut short: it ends after {read:,} of {size:,} bytes", hint=FETCH_AGAIN)
    header_end = 8 + min(int.from_bytes(data[:8].tobytes(), "little"), MAX_HEADER_BYTES)
    spans = read_safetensors_header(io.BytesIO(data[:header_end].tobytes()), size=size, where=where)
    tensors = {}
    for name, (info, start) in spans.items():
        dtype = types[info.dtype]
        if info.items == 0:
            tensors[name] = torch.empty(info.shape, dtype=dtype)
        elif start % dtype.itemsize:
            # Legal, and written by nobody we know: its bytes are copied to where the type may lie.
            raw = torch.frombuffer(data, dtype=torch.uint8, count=info.items * dtype.itemsize, offset=start)
            tensors[name] = raw.clone().view(dtype).reshape(info.shape)
        else:
            tensors[name] = torch.frombuffer(data, dtype=dtype, count=info.items, offset=start).reshape(info.shape)
    return tensors


def _load(file: BinaryIO, where: str) -> dict[str, Tensor]:
    """Read a file of torch.save, in which `read_pickle_header` found nothing but tensors."""
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about damage and age; the damage is told below
            saved = torch.load(file, map_location="cpu", weights_only=True)
    except (MemoryError, OSError):
        raise
    except Exception as error:  # what an unpickler raises on damaged bytes is open-ended
        reason = shown(str(error).partition("\n")[0][:200])
        raise ModelError(f"{where} cannot be read as a file of tensors: {reason}") from error

    def is_plain(value: object) -> bool:
        return isinstance(value, torch.Tensor) and value.layout == torch.strided

    return {name: tensor.detach() for name, tensor in select_state(saved, is_tensor=is_plain, where=where).items()}


def _format_of(head: bytes, size: int, path: Path) -> WeightsFormat:
    where, suffix = repr(str(path)), path.suffix.lower()
    if size == 0:
        raise ModelError(f"{where} is empty", hint=FETCH_AGAIN, code=ErrorCode.CHECKSUM)
    if head.startswith(b"version https://git-lfs"):
        raise ModelError(
            f"{where} is a pointer of Git LFS ({size} bytes), not the weights themselves",
            hint="Run: git lfs pull, or fetch the file again.",
        )
    if head.lstrip()[:15].lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise ModelError(
            f"{where} is a web page, not weights: something on the network answered in the hub's place",
            hint="Remove it, and fetch it again from a network without a login page.",
        )
    # A length of less than 4 GiB, then an object: no pickle has that, though the length may begin like one.
    is_safetensors = head[4:9] == b"\0\0\0\0{"
    is_pickle = not is_safetensors and head.startswith((ZIP_MAGIC, PICKLE_MAGIC))
    if is_pickle and suffix == SAFETENSORS_SUFFIX:
        raise ModelError(
            f"{where} is a pickle with the name of a safetensors file; it was not opened",
            hint="Ask where it comes from. If you trust that place, rename it to pytorch_model.bin.",
        )
    if is_safetensors and suffix in PICKLE_SUFFIXES:
        raise ModelError(
            f"{where} is a safetensors file with the name of a pickle", hint="Rename it to model.safetensors."
        )
    if not is_pickle and suffix in PICKLE_SUFFIXES:
        raise ModelError(f"{where} is no file that torch.save wrote (it starts with {head[:8]!r})")
    return _PICKLE if is_pickle else SAFETENSORS
