"""Dividing inputs among machines that know nothing of each other."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass

from glpn_cli.errors import UsageError


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
