"""Reading and writing the tensors themselves: the one file of this room that imports torch, inside its functions."""

from __future__ import annotations

import mmap
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from glpn_cli.checkpoint.pickle_header import read_pickle_header, select_state
from glpn_cli.checkpoint.safetensors_header import (
    TensorInfo,
    is_counter,
    make_safetensors_header,
    read_safetensors_header,
    shown,
)
from glpn_cli.checkpoint.weights_file import SAFETENSORS, open_weights
from glpn_cli.errors import ErrorCode, ModelError

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of a weights file by name, as stored (F32, F16, BF16; I64 counters), on the CPU.

    A safetensors file is mapped, so that its numbers are read when they are first used. Nothing but tensors is ever
    unpickled. Raises ModelError on damage, on anything that is no tensor, and on numbers that are not finite.
    """
    with open_weights(path) as (file, weights_format, size):
        where = repr(str(path))
        if weights_format == SAFETENSORS:
            tensors = _map_safetensors(file, size, where)
        else:
            read_pickle_header(file, where=where)  # refuses, by name, what torch would refuse less plainly
            tensors = _load_pickle(path, where, is_archive=zipfile.is_zipfile(file))
    check_finite(tensors, where=where)
    return tensors


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
        names = ", ".join(shown(name) for name in bad[:5]) + (f" and {len(bad) - 5} more" if len(bad) > 5 else "")
        raise ModelError(f"{where} holds numbers that are not finite, in {names}", hint="These weights are damaged.")


def encode_safetensors(
    tensors: Mapping[str, Tensor], *, dtype: torch.dtype | None = None
) -> Callable[[], Iterator[bytes]]:
    """What makes the pieces of a safetensors file, as often as it is called: equal weights give equal bytes.

    dtype: the floating-point type to store (float32, float16, bfloat16); None = as they are.

    Raises ModelError at once where a tensor has no type that weights may have, or does not fit `dtype`.
    """
    import torch

    names = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64"}
    stored: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        cast = tensor.detach().to("cpu")
        stored[name] = cast.to(dtype) if dtype is not None and cast.is_floating_point() else cast
        if stored[name].dtype not in names or (stored[name].dtype == torch.int64 and not is_counter(name)):
            raise ModelError(f"tensor {shown(name)} has type {tensor.dtype}; weights are float32, float16 or bfloat16")
    check_finite(stored, where="what would be written")
    header, order = make_safetensors_header(
        {name: TensorInfo(names[tensor.dtype], tuple(tensor.shape)) for name, tensor in stored.items()}
    )
    return partial(_pieces, header, [stored[name] for name in order])


def _pieces(header: bytes, tensors: list[Tensor]) -> Iterator[bytes]:
    import torch

    yield header
    for tensor in tensors:
        yield tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def _map_safetensors(file: BinaryIO, size: int, where: str) -> dict[str, Tensor]:
    """Tensors over a private mapping of the file: writing to one changes this process's copy alone."""
    import torch

    types = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64}
    header = read_safetensors_header(file, size=size, where=where)
    mapped = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY)
    tensors = {}
    for name, info in header.tensors.items():
        dtype, start = types[info.dtype], header.starts[name]
        if info.items == 0:
            tensors[name] = torch.empty(info.shape, dtype=dtype)
        elif start % dtype.itemsize:
            # Legal, and written by nobody we know: its bytes are copied to where the type may lie.
            raw = torch.frombuffer(mapped, dtype=torch.uint8, count=info.items * dtype.itemsize, offset=start)
            tensors[name] = raw.clone().view(dtype).reshape(info.shape)
        else:
            tensors[name] = torch.frombuffer(mapped, dtype=dtype, count=info.items, offset=start).reshape(info.shape)
    return tensors


def _load_pickle(path: Path, where: str, *, is_archive: bool) -> dict[str, Tensor]:
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about damage and age; the damage is told below
            saved = torch.load(path, map_location="cpu", weights_only=True, mmap=is_archive)
    except (MemoryError, OSError):
        raise
    except Exception as error:  # what an unpickler raises on damaged bytes is open-ended
        reason = str(error).partition("\n")[0][:200]
        raise ModelError(f"{where} cannot be read as a file of tensors: {reason}", code=ErrorCode.MODEL) from error

    def is_plain(value: object) -> bool:
        return isinstance(value, torch.Tensor) and value.layout == torch.strided

    return {name: tensor.detach() for name, tensor in select_state(saved, is_tensor=is_plain, where=where).items()}
