"""Find the pictures that arguments and lists mean.

- A file is a picture whatever its name; a folder is searched for names that end like a picture's.
- A pattern is a folder (what precedes its wildcards) and a choice among what lies below; a file that bears the
  pattern's very name is that file.
- Results are named by the file alone for files, by the path below the folder for folders and patterns, and by the path
  below a root for lists and wherever a root is given.
- One file is read once, however many ways lead to it.

Paths are text here, not `Path`, until they become sources: there may be a hundred thousand of them.
"""

# ruff: noqa: PTH100, PTH114, PTH116, PTH122, PTH123

from __future__ import annotations

import codecs
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from glpn_cli.errors import ErrorCode, InputError, UsageError, code_of, reason_of
from glpn_cli.images.formats import unreadable_error
from glpn_cli.images.picture import ReadOptions
from glpn_cli.images.source import ImageSource, read_limited, read_once
from glpn_cli.images.walk import Entry, Pattern, Shard, is_pattern, last_part, name_below, stem_of, walk

PICTURE_EXTENSIONS = frozenset(
    ".jpg .jpeg .jpe .jfif .mpo .png .apng .webp .gif .tif .tiff .bmp .dib .ppm .pgm .pbm .pnm .jp2 .j2k .jpx .j2c"
    " .avif .avifs .heic .heif .jxl .tga .qoi .exr".split()
)


@dataclass(frozen=True, eq=False, slots=True)
class Refused:
    """An input that cannot be used, known before anything was read.

    given: as the user or a list wrote it; for what a folder held, its path.
    name:  what its results would have been called.
    """

    given: str
    name: str
    error: InputError


@dataclass(frozen=True, eq=False, slots=True)
class Found:
    """The inputs that were found: pictures to read, errors, and remarks for the user."""

    sources: tuple[ImageSource, ...]
    refused: tuple[Refused, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Search:
    """How inputs are looked for.

    is_recursive: folders are searched to the bottom.
    root:         the folder that names are relative to, for every input.
    extensions:   what files in folders must end in, lower case with the dot.
    exclude:      patterns for what a folder or a pattern does not yield: names of files or folders (`thumbs`,
                  `*_s.jpg`), or paths below it (`old/*`). Files that were named always count.
    leave_out:    asked for each file that a folder or a pattern yields, never for files that were named.
    shard:        only this part of all inputs, by the hash of a name without its extension.
    options:      how the pictures will be read.
    """

    is_recursive: bool = True
    root: Path | None = None
    extensions: frozenset[str] = PICTURE_EXTENSIONS
    leave_out: Callable[[Path], bool] | None = None
    exclude: tuple[str, ...] = ()
    shard: Shard | None = None
    options: ReadOptions = field(default_factory=ReadOptions)


_ALL = Search()


def find_images(
    inputs: Sequence[str],
    search: Search = _ALL,
    *,
    lists: Sequence[ListFile] = (),
    stdin: BinaryIO | None = None,
) -> Found:
    """Find the pictures that files, folders, patterns, `-` and lists of names mean.

    The order is that of the arguments, then of the lists; within a folder it is natural.

    stdin: what `-` stands for; the process's standard input if None.

    Raises UsageError for a file outside the root, a pattern without a match, a list that cannot be read, and for
    standard input that is wanted twice.
    """
    if [*inputs, *(entry.path for entry in lists)].count("-") > 1:
        raise UsageError("standard input can only be read once", hint="Give '-' once, as a picture or as a list.")
    sources: list[ImageSource] = []
    refused: list[Refused] = []
    seen: set[str] = set()
    repeated = 0
    for item, real in _each_item(inputs, search, lists, stdin):
        if real in seen:
            repeated += 1
            continue
        seen.add(real)
        if isinstance(item, ImageSource):
            sources.append(item)
        else:
            refused.append(item)
    notes = []
    if repeated:
        count = "1 input leads" if repeated == 1 else f"{repeated} inputs lead"
        notes.append(f"{count} to a file that was found before; each file is read once")
    return Found(tuple(sources), tuple(refused), tuple(notes))


def iterate_list(
    stream: _ByteStream, search: Search = _ALL, *, is_nulled: bool = False
) -> Iterator[ImageSource | Refused]:
    """The pictures of a list, each as soon as its name has come, for a process that is fed.

    A name outside the root is that item's refusal. A file listed twice comes twice: it may have changed.
    """
    for name in _iterate_names(stream, is_nulled=is_nulled):
        try:
            for item, _ in _expand(name, search, is_listed=True):
                yield item
        except UsageError as error:
            yield Refused(name, name, InputError(error.message, hint=error.hint, code=ErrorCode.USAGE))


def make_listed(given: str, search: Search = _ALL) -> ImageSource | None:
    """A file of a list by its name alone: whether it is there is seen when it is read. None for another shard's.

    Raises UsageError outside the root.
    """
    name = name_below(search.root or Path(), given)
    return ImageSource(Path(given), name, given, options=search.options) if _is_mine(name, search) else None


# A picture, or why it is none, and its real path, by which files are the same.
_Item = tuple[ImageSource | Refused, str]


def _each_item(
    inputs: Sequence[str], search: Search, lists: Sequence[ListFile], stdin: BinaryIO | None
) -> Iterator[_Item]:
    for given in inputs:
        if given != "-":
            yield from _expand(given, search)
        elif (item := _read_stdin(search, stdin)) is not None:
            yield item, given
    for entry in lists:
        for name in entry.read_names(stdin=stdin):
            yield from _expand(name, search, is_listed=True)


def _expand(given: str, search: Search, *, is_listed: bool = False) -> Iterator[_Item]:
    """The pictures of one argument, or of one name in a list, where wildcards are letters and `.` is the root."""
    root = search.root or (Path() if is_listed else None)
    error: OSError | ValueError | None = None
    is_file = False
    try:
        mode = os.stat(given).st_mode
        if stat.S_ISDIR(mode):
            yield from _scan(given, search, root)
            return
        is_file = stat.S_ISREG(mode)
    except OSError as caught:
        error = caught
        if not is_listed and is_pattern(given) and not os.path.lexists(given):
            yield from _match(given, search)
            return
    except ValueError as caught:
        error = caught
    if "\0" in given:  # no file has such a name, and asking about it is an error
        yield Refused(given, last_part(given), _refuse_missing(given, error)), given
        return
    name = name_below(root, given) if root else last_part(given)
    if not _is_mine(name, search):
        return
    if is_file:
        yield ImageSource(Path(given), name, given, options=search.options), os.path.realpath(given)
    elif error is None:
        yield _read_pipe(given, name, search), os.path.realpath(given)
    else:
        yield Refused(given, name, _refuse_missing(given, error)), os.path.abspath(given)


def _scan(folder: str, search: Search, root: Path | None) -> Iterator[_Item]:
    """The pictures in a folder."""
    prefix = name_below(root, folder) if root else ""
    found = walk(
        folder,
        wanted=lambda name: _ends_like_a_picture(name, search) and not _is_excluded(name, search),
        enter=lambda name: search.is_recursive and not _is_excluded(name, search),
    )
    return _take(found, prefix, search)


def _match(given: str, search: Search) -> Iterator[_Item]:
    """The pictures that a pattern names; raises UsageError if there are none."""
    pattern = Pattern.parse(given)
    prefix = name_below(search.root, pattern.folder) if search.root else ""
    found = [
        entry
        for entry in pattern.find()
        if (entry.error or pattern.spells_extension or _ends_like_a_picture(entry.name, search))
        and not _is_excluded(entry.name, search)
    ]
    if all(isinstance(entry.error, FileNotFoundError | NotADirectoryError) for entry in found):
        raise UsageError(f"{given!r} matches no picture", hint="A folder without wildcards means all pictures in it.")
    yield from _take(iter(found), prefix, search)


def _take(entries: Iterator[Entry], prefix: str, search: Search) -> Iterator[_Item]:
    """Turn files that were met into pictures with names."""
    for entry in entries:
        name = f"{prefix}/{entry.name}" if prefix and entry.name else prefix or entry.name
        if not _is_mine(name, search):
            continue
        path = Path(entry.path)
        if entry.error is not None:
            yield Refused(entry.path, name, unreadable_error(repr(entry.path), entry.error)), entry.real
        elif search.leave_out is None or not search.leave_out(path):
            yield ImageSource(path, name, entry.path, options=search.options), entry.real


def _ends_like_a_picture(name: str, search: Search) -> bool:
    return os.path.splitext(name)[1].lower() in search.extensions


def _is_excluded(name: str, search: Search) -> bool:
    """Whether a pattern excludes a relative name, or a folder that it lies in."""
    steps = name.split("/")
    paths = ["/".join(steps[:count]) for count in range(1, len(steps) + 1)]
    return any(fnmatchcase(each, pattern.rstrip("/")) for pattern in search.exclude for each in (*steps, *paths))


def _is_mine(name: str, search: Search) -> bool:
    return search.shard is None or search.shard.holds(stem_of(name))


def is_address(given: str) -> bool:
    """Whether a name is an address of the web."""
    return re.match(r"[a-z]+://", given) is not None and "\0" not in given


def address_error(given: str) -> InputError:
    """The error for an address: nothing here opens one."""
    return InputError(f"{given!r} is an address, not a file", hint="Download it first.", code=ErrorCode.NOT_FOUND)


def _refuse_missing(given: str, error: OSError | ValueError | None) -> InputError:
    """The error for an argument that is no file."""
    if is_address(given):
        return address_error(given)
    if not isinstance(error, OSError) or not given:
        return InputError(f"{given!r} is no file name", code=ErrorCode.NOT_FOUND)
    if isinstance(error, FileNotFoundError) and os.path.islink(given):
        return InputError(f"{given!r} is a link to a file that does not exist", code=ErrorCode.NOT_FOUND)
    return unreadable_error(repr(given), error)


def _read_pipe(given: str, name: str, search: Search) -> ImageSource | Refused:
    """Read a pipe or a device now and keep the bytes, because they can be read only once."""
    try:
        return ImageSource(None, name, given, read_once(Path(given), repr(given)), search.options)
    except InputError as error:
        return Refused(given, name, error)


def _read_stdin(search: Search, stdin: BinaryIO | None) -> ImageSource | Refused | None:
    name = "stdin"
    if not _is_mine(name, search):
        return None
    try:
        return ImageSource(None, name, "-", read_limited(_stdin(stdin), "standard input"), search.options)
    except InputError as error:
        return Refused("-", name, error)
    except OSError as error:
        return Refused("-", name, unreadable_error("standard input", error))


def _stdin(stdin: BinaryIO | None) -> BinaryIO:
    if stdin is not None:
        return stdin
    if sys.stdin is None:
        raise UsageError("standard input is closed")
    return sys.stdin.buffer


@contextmanager
def _open_list(entry: ListFile, stdin: BinaryIO | None) -> Iterator[_ByteStream]:
    if entry.path == "-":
        yield cast("_ByteStream", _stdin(stdin))
        return
    try:
        with open(entry.path, "rb") as stream:
            yield stream
    except OSError as error:
        raise UsageError(f"list {entry.path!r} cannot be read: {reason_of(error)}", code=code_of(error)) from error


# No path is this long; what has no separator for so many bytes is no list.
_LONGEST_NAME = 1 << 16


@dataclass(frozen=True, slots=True)
class ListFile:
    """A file that lists inputs.

    path:      the file, or `-` for standard input.
    is_nulled: names end in a zero byte (`find -print0`) instead of a line's end.
    """

    path: str
    is_nulled: bool = False

    def read_names(self, *, stdin: BinaryIO | None = None) -> Iterator[str]:
        """The names in a list: text, or the column `path` of a Parquet file, a piece at a time.

        Raises UsageError where it cannot be read.
        """
        with _open_list(self, stdin) as stream:
            # Looked at without taking it: a list may be a pipe.
            if (
                self.path != "-"
                and isinstance(stream, BufferedReader)
                and stream.peek(len(_PARQUET)).startswith(_PARQUET)
            ):
                yield from _read_parquet(self.path)
                return
            yield from _iterate_names(stream, is_nulled=self.is_nulled)


_PARQUET = b"PAR1"


def _read_parquet(path: str) -> Iterator[str]:
    """The column `path` of a Parquet file, of text or bytes."""
    try:
        from pyarrow import ArrowException, ArrowInvalid
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        hint = "Run: pip install pyarrow"
        raise UsageError(f"list {path!r} is a Parquet file, which needs pyarrow", hint=hint) from error
    try:
        with ParquetFile(path) as file:
            if "path" not in file.schema_arrow.names:
                columns = ", ".join(file.schema_arrow.names[:10])
                raise UsageError(f"list {path!r} has no column 'path'", hint=f"It has {columns}.")
            for batch in file.iter_batches(columns=["path"], batch_size=1 << 14):
                for name in batch.column(0).to_pylist():
                    if not isinstance(name, str | bytes):
                        raise UsageError(f"the column 'path' of {path!r} holds {name!r}, which is no name")
                    yield os.fsdecode(name)
    except (ArrowException, ArrowInvalid, OSError) as error:
        raise UsageError(f"list {path!r} cannot be read: {error}") from error


class _ByteStream(Protocol):
    """A stream whose `read1` gives what is there without waiting for more."""

    def read1(self, size: int = ..., /) -> bytes:
        """Up to `size` bytes, b'' at the end."""


def _iterate_names(stream: _ByteStream, *, is_nulled: bool = False) -> Iterator[str]:
    """Each name as soon as it is complete.

    Bytes that are no text in the file system's encoding survive. Empty names are left out, and of lines the ends that
    Windows writes.

    Raises UsageError for something that is no list.
    """
    end = b"\0" if is_nulled else b"\n"
    rest = b""
    is_first = True
    while chunk := stream.read1(1 << 16):
        *names, rest = (rest + chunk).split(end)
        for name in names:
            if text := _decode(name, is_nulled=is_nulled, is_first=is_first):
                yield text
            is_first = False
        if len(rest) > _LONGEST_NAME:
            raise UsageError(f"this is no list of file names: no end of a name within {_LONGEST_NAME:,} bytes")
    if text := _decode(rest, is_nulled=is_nulled, is_first=is_first):
        yield text


def _decode(name: bytes, *, is_nulled: bool, is_first: bool) -> str:
    if not is_nulled:
        name = name.removesuffix(b"\r")
        if is_first and name.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise UsageError("the list is text in UTF-16, as PowerShell writes it", hint="Save it as UTF-8.")
        if is_first:
            name = name.removeprefix(codecs.BOM_UTF8)
    return os.fsdecode(name)
