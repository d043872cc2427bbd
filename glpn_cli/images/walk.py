"""Walking through folders in the order a person would, img2 before img10; and the names that results get there.

Each folder is met once, never in circles. Names are paths below some folder, with `/` between their parts on every
system. Paths are text here, not `Path`: there may be a hundred thousand of them.
"""

# ruff: noqa: PTH100, PTH118, PTH119

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from glpn_cli.errors import UsageError

_DIGITS = re.compile(r"([0-9]+)")

# Folders that systems and storage make beside pictures, for previews, deleted files and the like; case does not matter.
_SYSTEM_FOLDERS = frozenset(
    "@eadir @recycle @recently-snapshot #recycle #snapshot $recycle.bin recycler __macosx lost+found".split()
) | {"system volume information"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A file met on the way.

    path:  below the folder as it was given.
    name:  relative to that folder, with `/`.
    real:  the path without links, the same for all ways that lead to one file.
    error: why it cannot be used: a folder that cannot be listed, a link to nowhere.
    """

    path: str
    name: str
    real: str
    error: OSError | None = None


def _natural_key(name: str) -> tuple[list[str | int], str]:
    """Sorts numbers in names by value, letters without case, and `img` before `img2` whatever follows the last dot.

    Names that differ at all never compare equal.
    """
    stem, dot, extension = name.rpartition(".")
    parts: list[str | int] = list(_DIGITS.split((stem if dot else extension).casefold()))
    parts[1::2] = [int(digits) for digits in parts[1::2]]
    return parts, name


def walk(
    folder: str, *, wanted: Callable[[str], bool], enter: Callable[[str], bool] = lambda _: True
) -> Iterator[Entry]:
    """Find the files below a folder.

    wanted: asked with the relative name of each file.
    enter:  asked with the relative name of each folder below.

    Left out: what begins with a dot, folders of the system below `folder` (`@eaDir`, `lost+found`), and what is neither
    file nor folder (pipes, devices). Links to files are files.
    Links to folders are followed out of `folder`, but not to another place within it, where the files are met anyway.
    """
    top = os.path.realpath(folder)
    entered = {top}
    pending = [_list(folder, "", top)]
    while pending:
        step = next(pending[-1], None)
        if step is None:
            pending.pop()
        elif isinstance(step, Entry):
            yield step
        else:
            entry, name, real = step
            if _is_folder(entry):
                if entry.name.casefold() in _SYSTEM_FOLDERS or not enter(name):
                    continue
                if entry.is_symlink():
                    real = os.path.realpath(entry.path)
                    if _is_within(real, top):
                        continue
                if real not in entered:
                    entered.add(real)
                    pending.append(_list(entry.path, name + "/", real))
            elif wanted(name):
                found = _as_file(entry, name, real)
                if found is not None:
                    yield found


def _list(folder: str, prefix: str, real: str) -> Iterator[tuple[os.DirEntry[str], str, str] | Entry]:
    """List one folder, sorted: (entry, relative name, real path unless it is a link)."""
    try:
        with os.scandir(folder) as listing:
            entries = sorted(
                (entry for entry in listing if not entry.name.startswith(".")), key=lambda e: _natural_key(e.name)
            )
    except OSError as error:
        yield Entry(folder, prefix.rstrip("/"), real, error)
        return
    real = real.rstrip(os.sep) + os.sep
    for entry in entries:
        yield entry, prefix + entry.name, real + entry.name


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link to itself


def _as_file(entry: os.DirEntry[str], name: str, real: str) -> Entry | None:
    """The entry as a file, None if it is something else."""
    try:
        is_link = entry.is_symlink()
        if is_link:
            entry.stat()
        is_file = entry.is_file()
    except OSError as error:  # even of what is no link, where a file system over a network does not list its kind
        return Entry(entry.path, name, real, error)
    return Entry(entry.path, name, os.path.realpath(entry.path) if is_link else real) if is_file else None


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


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

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Take a pattern apart; folders that exist under a name with brackets in it are no wildcards."""
        parts = [part for part in text.split("/") if part not in ("", ".")]
        folder = "/" if text.startswith("/") else ""
        while len(parts) > 1 and (not is_pattern(parts[0]) or os.path.lexists(os.path.join(folder, parts[0]))):
            folder = os.path.join(folder, parts.pop(0))
        if text.endswith("/") and parts[-1] != "**":
            parts.append("**")  # a folder, which means what is in it
        if parts[-1] == "**":
            parts.append("*")
        return cls(folder or ".", tuple(parts))

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


def _matches(steps: list[str], levels: list[re.Pattern[str] | None]) -> bool:
    """Whether the levels of a path are those of a pattern; None stands for any number of folders."""
    if not levels:
        return not steps
    if levels[0] is None:
        return any(_matches(steps[skipped:], levels[1:]) for skipped in range(len(steps)))
    return bool(steps) and levels[0].match(steps[0]) is not None and _matches(steps[1:], levels[1:])


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

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read `I/N`; raises UsageError."""
        match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
        if match is None:
            raise UsageError(f"{text!r} is no shard", hint="Write --shard 1/4 for the first of four.")
        return cls(int(match[1]), int(match[2]))

    def holds(self, stem: str) -> bool:
        """Whether an output of this name is in this part.

        Names that one file system or another takes for the same (by case, by the way accents are written) are in one
        part, so that their collision is seen.
        """
        folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", stem).casefold())
        digest = hashlib.blake2b(folded.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest, "big") % self.count == self.number - 1
