"""The names of results: paths below some folder, with `/` between their parts on every system.

Paths are text here, not `Path`: there may be a hundred thousand of them.
"""

# ruff: noqa: PTH100, PTH118, PTH119

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from glpn_cli.errors import UsageError


def stem_of(name: str) -> str:
    """A relative name without its extension: the outputs of names that share it would collide."""
    folder, slash, last = name.rpartition("/")
    stem, dot, _ = last.rpartition(".")
    return folder + slash + (stem if dot and stem else last)


def name_below(root: str | Path, path: str) -> str:
    """The path below the root, with `/`, '' for the root itself; raises UsageError outside it."""
    for top, inner in _ways(root, path):
        if inner == top:
            return ""
        if inner.startswith(top.rstrip(os.sep) + os.sep):
            return inner[len(top.rstrip(os.sep)) + 1 :].replace(os.sep, "/")
    raise UsageError(
        f"{path!r} lies outside the root {os.path.abspath(root)!r}, so its results have no name",
        hint="Name a folder above all inputs with --root DIR.",
    )


def last_part(path: str) -> str:
    """A path's own name."""
    return os.path.basename(path.rstrip(os.sep)) or path


def _ways(root: str | Path, path: str) -> Iterator[tuple[str, str]]:
    """A root and a path as they are written; and, should they meet only so, without the links that led to them."""
    yield os.path.abspath(root), os.path.abspath(path)
    folder, name = os.path.split(os.path.abspath(path))
    yield os.path.realpath(root), os.path.join(os.path.realpath(folder), name)
    yield os.path.realpath(root), os.path.realpath(path)


@dataclass(frozen=True, slots=True)
class Shard:
    """Part `number` (from 1) of `count`."""

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise UsageError(
                f"there is no shard {self.number} of {self.count}", hint="Write --shard 1/4 for the first of four."
            )

    def holds(self, stem: str) -> bool:
        """Whether an output of this name is in this part.

        Names that one file system or another takes for the same (by case, by the way accents are written) are in one
        part, so that their collision is seen.
        """
        folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", stem).casefold())
        digest = hashlib.blake2b(folded.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest, "big") % self.count == self.number - 1


def parse_shard(text: str) -> Shard:
    """Read `I/N`; raises UsageError."""
    match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    if match is None:
        raise UsageError(f"{text!r} is no shard", hint="Write --shard 1/4 for the first of four.")
    return Shard(int(match[1]), int(match[2]))
