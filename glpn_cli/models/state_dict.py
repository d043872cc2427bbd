"""Weights files and networks: whether their tensors match, and how tensors get from one to the other.

Matching needs a file's header only and no torch; reading and loading import it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from glpn_cli.checkpoint import Checkpoint
from glpn_cli.errors import ModelError
from glpn_cli.models.config_base import WeightRow, read_config
from glpn_cli.text import first_of

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class StateDictMatch:
    """How a file's tensors match a network's.

    sources:    our name -> the name in the file, for every tensor that matches
    missing:    file names of tensors that are not there
    unexpected: file names that the network has no place for
    misshapen:  one sentence a tensor, with the expected and the found shape
    """

    sources: Mapping[str, str]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshapen: tuple[str, ...]

    @classmethod
    def of(
        cls,
        rows: Iterable[WeightRow],
        shapes_found: Mapping[str, tuple[int, ...]],
        *,
        part: str | tuple[str, ...] = "",
        base_prefix: str = "",
    ) -> StateDictMatch:
        """Compare the tensors of a file with those of a network.

        rows:         the whole network's tensors
        shapes_found: the file's names and shapes
        part:         start (or starts) of the names here that are wanted; "" = all. Other known tensors are ignored.
        base_prefix:  a bare part saves its tensors without this start of their names in the file
        """
        sources: dict[str, str] = {}
        missing, misshapen = [], []
        known = set()
        for row in rows:
            short = row.transformers.removeprefix(base_prefix) if part else row.transformers
            found = row.transformers if row.transformers in shapes_found else short
            known.add(found)
            if not row.name.startswith(part):
                continue
            if found not in shapes_found:
                if not (row.is_counter or row.is_idle):
                    missing.append(row.transformers)
            elif tuple(shapes_found[found]) != row.shape:
                misshapen.append(f"{found} should be {list(row.shape)}, is {list(shapes_found[found])}")
            else:
                sources[row.name] = found
        unexpected = tuple(name for name in shapes_found if name not in known)
        return cls(sources, tuple(dict.fromkeys(missing)), unexpected, tuple(dict.fromkeys(misshapen)))

    @property
    def is_exact(self) -> bool:
        """Whether nothing is missing, unexpected or mis-shaped."""
        return not (self.missing or self.unexpected or self.misshapen)

    def describe(self) -> str:
        """How many tensors do not match, and the first of each kind."""
        mismatches = {"missing": self.missing, "unexpected": self.unexpected, "mis-shaped": self.misshapen}
        return "; ".join(f"{len(names)} {word}: {first_of(names)}" for word, names in mismatches.items() if names)

    def require_exact(self, file: Path) -> None:
        """Raise ModelError, naming the first of each kind of mismatch, unless all tensors match."""
        if not self.is_exact:
            raise ModelError(
                f"{file} does not fit its config.json: {self.describe()}",
                hint="Is this the config.json of these weights? One that lost keys describes another network.",
            )


def load_network(checkpoint: Checkpoint, *, limit_m: float | None = None) -> nn.Module:
    """The network of a checkpoint, in fp32 and eval mode, every tensor accounted for.

    limit_m: depth at full scale in metres, where it is not the config's own.
    Raises ModelError where config and weights do not fit each other, before anything is allocated.
    """
    config = read_config(checkpoint.config)
    if limit_m is not None:
        config = config.with_limit(limit_m)
    return config.load(checkpoint).eval()


def zeros(row: WeightRow) -> Tensor:
    """The stand-in for a tensor that a file may lack."""
    import torch

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
    part: start (or starts) of the names that are wanted; see `StateDictMatch.of`.
    fill: makes the stand-in for a tensor that the file may lack, and lacks.

    Raises ModelError naming every mismatch.
    """
    rows = list(rows)
    header = {name: info.shape for name, info in checkpoint.header().items()}
    match = StateDictMatch.of(rows, header, part=part, base_prefix=base_prefix)
    match.require_exact(checkpoint.weights)
    stored = checkpoint.read_state()
    state = {name: stored[source] for name, source in match.sources.items()}
    state = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    return state | {row.name: fill(row) for row in rows if row.name.startswith(part) and row.name not in state}


def file_state(
    state: Mapping[str, Tensor], rows: Iterable[WeightRow], *, part: str | tuple[str, ...] = "", base_prefix: str = ""
) -> dict[str, Tensor]:
    """A network's tensors under the names that files give them."""
    names = {row.name: row.transformers for row in rows if row.name.startswith(part)}
    strip = base_prefix if part else ""
    return {names[name].removeprefix(strip): tensor for name, tensor in state.items()}
