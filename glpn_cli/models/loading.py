"""The documented loading arguments of `from_pretrained`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

from glpn_cli.checkpoint import Checkpoint
from glpn_cli.checkpoint.hub import hub_settings
from glpn_cli.errors import ModelError, UsageError
from glpn_cli.models.resolve import resolve_model

_AUTOMATIC = ("auto", "balanced", "balanced_low_0", "sequential")


@dataclass(frozen=True)
class Loading:
    """The documented arguments of `from_pretrained` that say how to load, not what.

    revision:           commit, branch or tag of a hub repository
    local_files_only:   no network
    cache_dir:          where the hub's files are kept, instead of its usual cache
    token:              for the hub; True: the one of `hf auth login`
    dtype, torch_dtype: of the weights, a torch.dtype or its name; "auto": as config.json says; by default fp32
    device_map:         one device, or "auto"
    use_safetensors:    True refuses pickled weights
    """

    revision: str | None = None
    local_files_only: bool = False
    cache_dir: str | PathLike[str] | None = None
    token: str | bool | None = None
    dtype: Any = None
    torch_dtype: Any = None
    device_map: Any = None
    use_safetensors: bool | None = None

    @classmethod
    def take(cls, arguments: dict[str, Any]) -> Self:
        """Take these arguments out of all that were given."""
        return cls(**{field.name: arguments.pop(field.name) for field in fields(cls) if field.name in arguments})

    def open(self, name: str | PathLike[str]) -> Checkpoint:
        """The checkpoint of a registry name, folder, file or hub repository. Raises ModelError."""
        text = fspath(name)
        is_remote = self.revision is not None and not Path(text).exists()
        asked = f"{text}@{self.revision}" if is_remote else text
        with hub_settings(None if self.cache_dir is None else Path(self.cache_dir), self.token):
            checkpoint = resolve_model(asked, offline=self.local_files_only).checkpoint
        if self.use_safetensors and not checkpoint.weights.name.endswith((".safetensors", ".safetensors.index.json")):
            raise ModelError(f"{text!r} has no safetensors, but {checkpoint.weights.name}")
        return checkpoint

    def place(self, model: nn.Module, checkpoint: Checkpoint) -> None:
        """Give a loaded model the type and the device that were asked for. Raises UsageError for unknown ones."""
        model.to(device=self._device(), dtype=self._dtype(checkpoint))

    def _dtype(self, checkpoint: Checkpoint) -> torch.dtype:
        asked = self.torch_dtype if self.dtype is None else self.dtype
        if asked == "auto":
            asked = checkpoint.config.get("dtype") or checkpoint.config.get("torch_dtype")
        if isinstance(asked, str):
            asked = getattr(torch, asked.removeprefix("torch."), asked)
        if asked is None:
            return torch.float32
        if not (isinstance(asked, torch.dtype) and asked.is_floating_point):
            raise UsageError(f"dtype = {asked!r} is not supported", hint='Use torch.float16, torch.bfloat16 or "auto".')
        return asked

    def _device(self) -> torch.device | None:
        asked = self.device_map
        if isinstance(asked, dict) and len(set(asked.values())) == 1:
            asked = next(iter(asked.values()))
        if asked is None:
            return None
        if asked in _AUTOMATIC:
            return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
        try:
            return torch.device(asked)
        except (RuntimeError, TypeError) as error:
            raise UsageError(
                f"device_map = {self.device_map!r} is not one device", hint='Use "auto", "cpu" or "cuda:0".'
            ) from error
