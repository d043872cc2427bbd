"""Does a weights file hold exactly the tensors of a network? Answered from its header alone, without torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from glpn_cli.errors import ModelError
from glpn_cli.models.config_base import WeightRow
from glpn_cli.text import first_of


@dataclass(frozen=True)
class Fit:
    """How a file's tensors meet a network's.

    sources:    our name -> the name in the file, for every tensor that fits
    missing:    file names of tensors that are not there
    unexpected: file names that the network has no place for
    misshapen:  one sentence a tensor, with the expected and the found shape
    """

    sources: Mapping[str, str]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshapen: tuple[str, ...]

    @property
    def is_exact(self) -> bool:
        """Whether nothing is missing, unexpected or mis-shaped."""
        return not (self.missing or self.unexpected or self.misshapen)

    def require(self, what: str) -> None:
        """Raise ModelError naming the first of each trouble unless all tensors fit; `what` names the file."""
        if self.is_exact:
            return
        troubles = [
            f"{word} {len(names)}: {first_of(names)}"
            for word, names in (
                ("missing", self.missing),
                ("unexpected", self.unexpected),
                ("mis-shaped", self.misshapen),
            )
            if names
        ]
        raise ModelError(
            f"{what} does not fit its config.json: {'; '.join(troubles)}",
            hint="Is this the config.json of these weights? One that lost keys describes another network.",
        )


def fit_weights(
    rows: Iterable[WeightRow],
    shapes_found: Mapping[str, tuple[int, ...]],
    *,
    part: str | tuple[str, ...] = "",
    base_prefix: str = "",
) -> Fit:
    """Hold the tensors of a file against those of a network.

    rows:         the whole network's tensors
    shapes_found: the file's names and shapes
    part:         start (or starts) of the names here that are wanted; "" = all. Other known tensors are left where
                  they are.
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
    return Fit(sources, tuple(missing), unexpected, tuple(misshapen))
