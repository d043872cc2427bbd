"""Model folders of a few kilobytes, raw safetensors bytes, and folders laid out as the hub's cache."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from glpn_cli.checkpoint.write import EncodedFolder
from glpn_cli.models.config_base import read_config

TINY: dict[str, Any] = {
    "model_type": "glpn",
    "architectures": ["GLPNForDepthEstimation"],
    "depths": [1, 1, 1, 1],
    "hidden_sizes": [4, 8, 10, 16],
    "num_attention_heads": [1, 2, 5, 8],
    "decoder_hidden_size": 8,
    "max_depth": 10,
}
"""A GLPN of 20,000 parameters."""

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def tiny_state(config: Mapping[str, Any] = TINY, *, seed: int = 0) -> dict[str, Tensor]:
    """Random weights of that config under the names that files give them."""
    random = torch.Generator().manual_seed(seed)
    return {
        row.transformers: torch.tensor(3) if row.is_counter else torch.rand(row.shape, generator=random) * 0.1
        for row in read_config(config).weight_rows()
    }


def make_model_folder(folder: Path, *, seed: int = 0, **changes: Any) -> Path:
    """A whole model folder, its config changed as asked."""
    config = TINY | changes
    EncodedFolder.of(
        config=config, state=tiny_state(config, seed=seed), preprocessor={"do_resize": True, "size_divisor": 32}
    ).write(folder)
    return folder


def raw_safetensors(header: object, data: bytes = b"", *, length: int | None = None) -> bytes:
    """A safetensors file with any header at all: an object, or the header's own text or bytes."""
    text = header if isinstance(header, bytes) else header.encode() if isinstance(header, str) else json_bytes(header)
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def json_bytes(value: object) -> bytes:
    return json.dumps(value).encode()


def make_cache(cache: Path, repository: str, files: Mapping[str, bytes], *, commit: str = COMMIT) -> Path:
    """A repository as the hub's library leaves it in its cache; returns the snapshot folder.

    Large files are blobs named by SHA-256, small ones by git's object name, and `main` points at the commit.
    """
    home = cache / f"models--{repository.replace('/', '--')}"
    snapshot = home / "snapshots" / commit
    for folder in (snapshot, home / "blobs", home / "refs"):
        folder.mkdir(parents=True, exist_ok=True)
    (home / "refs" / "main").write_text(commit)
    for name, data in files.items():
        blob = home / "blobs" / blob_name(name, data)
        blob.write_bytes(data)
        (snapshot / name).unlink(missing_ok=True)
        (snapshot / name).symlink_to(Path("../../blobs") / blob.name)
    return snapshot


def blob_name(name: str, data: bytes) -> str:
    """What the hub calls the contents of a file: weights are large, the rest is text."""
    if name.endswith((".safetensors", ".bin")):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
