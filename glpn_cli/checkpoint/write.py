"""Model folders on their way to the disk: encoded whole, compared or written; bytes depend on contents alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glpn_cli.atomic_write import write_together
from glpn_cli.checkpoint.folder import (
    CONFIG_FILE,
    OWN_KEY,
    PICKLE_FILE,
    PREPROCESSOR_FILE,
    WEIGHTS_FILE,
    Checkpoint,
)
from glpn_cli.checkpoint.headers import TensorInfo, is_counter, make_safetensors_header
from glpn_cli.checkpoint.weights import INDEX_SUFFIX, SAFETENSORS, check_finite
from glpn_cli.errors import ModelError, about_model_file
from glpn_cli.text import quoted

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class EncodedFolder:
    """A model folder that is not on the disk yet: file name -> its bytes in pieces, made anew at every call.

    The weights come last, so that a folder that has them is whole.
    """

    files: Mapping[str, Callable[[], Iterable[bytes]]]

    @classmethod
    def of(
        cls,
        *,
        config: Mapping[str, Any],
        state: Mapping[str, Tensor],
        preprocessor: Mapping[str, Any] | None = None,
    ) -> EncodedFolder:
        """A folder that transformers reads as its own; equal contents give equal bytes.

        config: must name its model_type; an integral max_depth is written as the integer that transformers wants
        state:  tensors by the names they have in files

        Raises ModelError on weights that nobody could read back.
        """
        if not isinstance(config.get("model_type"), str):
            raise ModelError("a config without model_type cannot be written")
        texts = {CONFIG_FILE: _encode_json(config)}
        if preprocessor is not None:
            texts[PREPROCESSOR_FILE] = _encode_json(preprocessor)
        pieces = {name: partial(iter, [data]) for name, data in texts.items()}
        return cls({**pieces, WEIGHTS_FILE: _encode_safetensors(state)})

    @classmethod
    def copy_of(cls, checkpoint: Checkpoint, *, own: Mapping[str, Any]) -> EncodedFolder:
        """A folder to carry: the same weights byte for byte, and a config that says where they come from.

        own: joins what the config has under our key: source, revision, limit_m and the like.
        """
        config = {**checkpoint.config, OWN_KEY: {**checkpoint.own, **own}}
        copies = {path.name: path for path in checkpoint.files() if path.name != CONFIG_FILE}
        if not checkpoint.weights.name.endswith(INDEX_SUFFIX):
            weights_name = WEIGHTS_FILE if checkpoint.weights_format == SAFETENSORS else PICKLE_FILE
            copies[weights_name] = copies.pop(checkpoint.weights.name)
        pieces = {name: partial(_pieces_of_file, path) for name, path in copies.items()}
        return cls({CONFIG_FILE: partial(iter, [_encode_json(config)]), **pieces})

    def write(self, folder: Path) -> None:
        """Write all files together. Raises OutputError and StoppedError as `write_atomically` does."""
        write_together({folder / name: pieces() for name, pieces in self.files.items()})

    def differing(self, folder: Path) -> list[str]:
        """The files that are in `folder` with other bytes. Raises ModelError where one cannot be read."""
        there = [name for name in self.files if (folder / name).exists()]
        return [
            name
            for name in there
            if not (folder / name).is_file() or _sha256(_pieces_of_file(folder / name)) != _sha256(self.files[name]())
        ]


def _encode_safetensors(tensors: Mapping[str, Tensor]) -> Callable[[], Iterator[bytes]]:
    """A function that makes the pieces of a safetensors file, anew at every call: equal weights give equal bytes.

    Raises ModelError at once where a tensor has no type that weights may have.
    """
    import torch

    names = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64"}
    stored = {name: tensor.detach().to("cpu") for name, tensor in tensors.items()}
    for name, tensor in stored.items():
        if tensor.dtype not in names or (tensor.dtype == torch.int64 and not is_counter(name)):
            raise ModelError(f"tensor {quoted(name)} has type {tensor.dtype}; weights are float32, float16 or bfloat16")
    check_finite(stored, where="what would be written")
    header, order = make_safetensors_header(
        {name: TensorInfo(names[tensor.dtype], tuple(tensor.shape)) for name, tensor in stored.items()}
    )
    return partial(_pieces, header, [stored[name] for name in order])


def _encode_json(value: Mapping[str, Any]) -> bytes:
    """The bytes of a config file: sorted, indented, with max_depth as an integer where it is one."""
    depth = value.get("max_depth")
    if isinstance(depth, float) and depth.is_integer():
        value = {**value, "max_depth": int(depth)}
    return (json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


def _pieces(header: bytes, tensors: list[Tensor]) -> Iterator[bytes]:
    import torch

    yield header
    for tensor in tensors:
        yield tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def _pieces_of_file(path: Path) -> Iterator[bytes]:
    """A file, a megabyte at a time."""
    with about_model_file(path), path.open("rb") as file:
        while piece := file.read(1 << 20):
            yield piece


def _sha256(pieces: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()
