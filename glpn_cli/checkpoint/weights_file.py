"""A file of weights as bytes: which format it is by its content, what it says it holds, its checksum."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Literal

from glpn_cli.checkpoint.pickle_header import PICKLE_MAGIC, ZIP_MAGIC, read_pickle_header
from glpn_cli.checkpoint.safetensors_header import TensorInfo, read_safetensors_header
from glpn_cli.errors import ErrorCode, ModelError, code_of, reason_of

WeightsFormat = Literal["safetensors", "pickle"]
SAFETENSORS: WeightsFormat = "safetensors"
PICKLE: WeightsFormat = "pickle"

SAFETENSORS_SUFFIX = ".safetensors"
PICKLE_SUFFIXES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")

# Large blocks: beside a thread that imports, every block waits for its turn twice, 5 ms each time.
_BLOCK_BYTES = 16 << 20

FETCH_AGAIN = "The download or copy was not complete; fetch it again."


@contextmanager
def open_weights(path: Path) -> Iterator[tuple[BinaryIO, WeightsFormat, int]]:
    """(the open file at its start, its format by content, its size in bytes).

    Raises ModelError where it cannot be opened, is none of both formats, or its name says the other one.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            weights_format = _format_of(file.read(512), size, path)
            file.seek(0)
            yield file, weights_format, size
    except OSError as error:
        raise ModelError(f"cannot read {str(path)!r}: {reason_of(error)}", code=code_of(error)) from error


def read_header(path: Path) -> dict[str, TensorInfo]:
    """Name -> type and shape of every tensor in a weights file, without torch. Raises ModelError."""
    with open_weights(path) as (file, weights_format, size):
        if weights_format == SAFETENSORS:
            return dict(read_safetensors_header(file, size=size, where=repr(str(path))).tensors)
        return read_pickle_header(file, where=repr(str(path)))


def sha256_of(path: Path) -> str:
    """The checksum of a file, 64 hex digits; computed once for a file that stays as it is. Raises ModelError."""
    try:
        state = path.stat()
        return _sha256(path, (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns))
    except OSError as error:
        raise ModelError(f"cannot read {str(path)!r}: {reason_of(error)}", code=code_of(error)) from error


@lru_cache(maxsize=64)
def _sha256(path: Path, _identity: tuple[int, ...]) -> str:
    digest = hashlib.sha256()
    block = memoryview(bytearray(_BLOCK_BYTES))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(block):
            digest.update(block[:count])
    return digest.hexdigest()


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
    return PICKLE if is_pickle else SAFETENSORS
