"""Checkpoints meet networks: strict loading under the names of each, and the documented `from_pretrained`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from functools import partial
from os import PathLike, fspath
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from glpn_cli.atomic_write import write_atomically
from glpn_cli.checkpoint import Checkpoint, write_checkpoint
from glpn_cli.errors import ModelError
from glpn_cli.models.config_base import ModelFamily, WeightRow, family_of
from glpn_cli.models.resolve import resolve_model
from glpn_cli.models.state_dict import fit_weights


def load_network(checkpoint: Checkpoint, *, limit_m: float | None = None) -> nn.Module:
    """The network of a checkpoint, in fp32 and eval mode, every tensor accounted for.

    limit_m: depth at full scale in metres, where it is not the config's own.
    Raises ModelError where config and weights do not fit each other, before anything is allocated.
    """
    family = family_of(checkpoint.config)
    config = family.read_config(checkpoint.config)
    if limit_m is not None:
        config = family.config_with_limit(config, limit_m)
    state = read_state(checkpoint, family.weight_rows(config))
    with torch.device("meta"):  # no memory, no random numbers: every tensor comes from the file
        network = family.build(config)
    network.load_state_dict(state, strict=True, assign=True)
    return network.eval()


def zeros(row: WeightRow) -> Tensor:
    """What stands for a tensor that a file need not have."""
    return torch.zeros(row.shape, dtype=torch.long if row.is_counter else torch.float32)


def read_state(
    checkpoint: Checkpoint,
    rows: Iterable[WeightRow],
    *,
    part: str | tuple[str, ...] = "",
    base_prefix: str = "",
    fill: Callable[[WeightRow], Tensor] = zeros,
) -> dict[str, Tensor]:
    """A checkpoint's tensors under the network's own names, in fp32.

    rows: every tensor that the file may hold.
    part: start (or starts) of the names that are wanted; see `fit_weights`.
    fill: what stands for a tensor that the file need not have, and has not.

    Raises ModelError naming what does not fit.
    """
    rows = list(rows)
    header = {name: info.shape for name, info in checkpoint.header().items()}
    fit = fit_weights(rows, header, part=part, base_prefix=base_prefix)
    fit.require(str(checkpoint.weights))
    stored = checkpoint.read_state()
    state = {name: stored[source] for name, source in fit.sources.items()}
    state = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    return state | {row.name: fill(row) for row in rows if row.name.startswith(part) and row.name not in state}


def file_state(
    state: Mapping[str, Tensor], rows: Iterable[WeightRow], *, part: str | tuple[str, ...] = "", base_prefix: str = ""
) -> dict[str, Tensor]:
    """The other way: a network's tensors under the names that files give them."""
    names = {row.name: row.transformers for row in rows if row.name.startswith(part)}
    strip = base_prefix if part else ""
    return {names[name].removeprefix(strip): tensor for name, tensor in state.items()}


class Pretrained(nn.Module):
    """The documented way in and out of folders, for the documented classes.

    config_class:  the family's config
    part:          start (or starts) of the names of the tensors that the class holds; "" = all
    base_prefix:   what files of that part alone leave away from their names
    module_prefix: where the class keeps the network
    """

    config_class: ClassVar[type[Any]]
    part: ClassVar[str | tuple[str, ...]] = ""
    base_prefix: ClassVar[str] = ""
    module_prefix: ClassVar[str] = ""
    config: Any

    @classmethod
    def from_pretrained(
        cls,
        name: str | PathLike[str],
        *,
        config: Any = None,
        revision: str | None = None,
        local_files_only: bool = False,
        **overrides: Any,
    ) -> Self:
        """The model of a folder, a registry name or a hub repository, in fp32 and eval mode.

        config:           used instead of the checkpoint's own.
        revision:         commit, branch or tag of a hub repository.
        local_files_only: no network.
        overrides:        config fields, such as `output_attentions=True`; unknown ones are refused by name.

        Raises ModelError (a ValueError) naming every tensor that is missing, unexpected or mis-shaped.
        """
        checkpoint = open_named(name, revision=revision, offline=local_files_only)
        family = family_of(checkpoint.config)
        config = with_overrides(config or family.read_config(checkpoint.config), overrides)
        config.source = config.source or checkpoint.source  # so that a saved copy is known for what it is
        if not isinstance(config, cls.config_class):
            raise ModelError(f"{cls.__name__} cannot load a checkpoint of type {checkpoint.config.get('model_type')!r}")
        rows, fill = cls.rows(family, config), partial(cls.fill, config)
        state = read_state(checkpoint, rows, part=cls.part, base_prefix=cls.base_prefix, fill=fill)
        with torch.device("meta"):
            model = cls(config)
        model.load_state_dict(
            {f"{cls.module_prefix}{name}": tensor for name, tensor in state.items()}, strict=True, assign=True
        )
        return model.eval()

    def save_pretrained(self, folder: str | PathLike[str]) -> None:
        """Write config.json and model.safetensors; transformers loads the folder too."""
        raw = self.config.to_dict()
        own = {name.removeprefix(self.module_prefix): tensor for name, tensor in self.state_dict().items()}
        write_checkpoint(
            Path(folder),
            config=raw | {"architectures": [type(self).__name__]},
            state=file_state(own, self.rows(family_of(raw), self.config), part=self.part, base_prefix=self.base_prefix),
        )

    @classmethod
    def rows(cls, family: ModelFamily, config: Any) -> list[WeightRow]:
        """Every tensor that a file of this model may hold."""
        return list(family.weight_rows(config))

    @classmethod
    def fill(cls, config: Any, row: WeightRow) -> Tensor:  # noqa: ARG003 - for classes that draw fresh weights
        """What stands for a tensor that a file need not have, and has not."""
        return zeros(row)


def with_overrides(config: Any, overrides: Mapping[str, Any]) -> Any:
    """A copy of the config with some fields replaced. Raises ModelError naming fields that it does not have."""
    known = {field.name for field in fields(config)}
    if unknown := sorted(set(overrides) - known):
        raise ModelError(
            f"{type(config).__name__} has no field {', '.join(unknown)}", hint=f"It has: {', '.join(sorted(known))}."
        )
    return replace(config, **overrides)


def open_named(name: str | PathLike[str], *, revision: str | None = None, offline: bool = False) -> Checkpoint:
    """The checkpoint of a registry name, folder, file or hub repository."""
    text = fspath(name)
    is_remote = revision is not None and not Path(text).exists()
    return resolve_model(f"{text}@{revision}" if is_remote else text, offline=offline).checkpoint


def read_config(config_class: type[Any], name: str | PathLike[str], overrides: Mapping[str, Any]) -> Any:
    """The config of a named checkpoint, some fields replaced. Raises ModelError if it is of another class."""
    raw = open_named(name).config
    config = family_of(raw).read_config(raw)
    if not isinstance(config, config_class):
        raise ModelError(f"{fspath(name)!r} holds a {type(config).__name__}, not a {config_class.__name__}")
    return with_overrides(config, overrides)


def write_config(config: Any, folder: str | PathLike[str]) -> None:
    """Write a config's config.json into `folder`."""
    write_atomically(
        Path(folder) / "config.json", (json.dumps(config.to_dict(), indent=2, sort_keys=True) + "\n").encode()
    )
