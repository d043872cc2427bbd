"""Patterns like `photos/**/*.jpg`, for shells that do not expand them."""

# ruff: noqa: PTH118 (paths are text, as everywhere in the search)

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from glpn_cli.images.walk import Entry, walk

_WILDCARD = re.compile(r"[*?\[]")


def is_pattern(text: str) -> bool:
    """Whether a path contains a wildcard: `*`, `?` or `[`."""
    return _WILDCARD.search(text) is not None


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern taken apart.

    folder: what precedes the first wildcard, the folder that names are relative to.
    parts:  the rest, one per level; `**` stands for any number of folders.
    """

    folder: str
    parts: tuple[str, ...]

    @property
    def spells_extension(self) -> bool:
        """Whether it ends in an extension (`*.dat`), so that it says itself which files are meant."""
        return "." in re.split(r"[*?\]]", self.parts[-1])[-1]

    def find(self) -> Iterator[Entry]:
        """The files that match, in natural order, and the folders that could not be searched.

        Wildcards do not match a leading dot.
        """
        levels = [None if part == "**" else re.compile(fnmatch.translate(part)) for part in self.parts]

        def enter(name: str) -> bool:
            steps = name.split("/")
            for level, step in zip(levels, steps, strict=False):
                if level is None:
                    return True
                if level.match(step) is None:
                    return False
            return len(steps) < len(levels)

        return walk(self.folder, wanted=lambda name: _matches(name.split("/"), levels), enter=enter)


def parse_pattern(text: str) -> Pattern:
    """Take a pattern apart; folders that exist under a name with brackets in it are no wildcards."""
    parts = [part for part in text.split("/") if part not in ("", ".")]
    folder = "/" if text.startswith("/") else ""
    while len(parts) > 1 and (not is_pattern(parts[0]) or os.path.lexists(os.path.join(folder, parts[0]))):
        folder = os.path.join(folder, parts.pop(0))
    if text.endswith("/") and parts[-1] != "**":
        parts.append("**")  # a folder, which means what is in it
    if parts[-1] == "**":
        parts.append("*")
    return Pattern(folder or ".", tuple(parts))


def _matches(steps: list[str], levels: list[re.Pattern[str] | None]) -> bool:
    """Whether the levels of a path are those of a pattern; None stands for any number of folders."""
    if not levels:
        return not steps
    if levels[0] is None:
        return any(_matches(steps[skipped:], levels[1:]) for skipped in range(len(steps)))
    return bool(steps) and levels[0].match(steps[0]) is not None and _matches(steps[1:], levels[1:])
