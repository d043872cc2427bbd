"""Where a picture is: a file, or bytes that came through standard input; and reading it."""

from __future__ import annotations

import io
import os
import stat
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from glpn_cli.errors import ErrorCode, InputError
from glpn_cli.images.completeness import has_another_picture
from glpn_cli.images.decode import decode
from glpn_cli.images.formats import HEAD_BYTES, TEXT, TIFF, UNKNOWN, Foreign, recognise, unreadable_error
from glpn_cli.images.picture import AtLeast, ContentId, Picture, PictureWarning, ReadOptions

_DEFAULTS = ReadOptions()

# The most that is taken from a stream or a file. A TIFF may be larger: it is read by pieces.
MAX_BYTES = 2 << 30

# Bytes of a stream that are taken at once.
_PIECE = 1 << 20

# Files up to this size are read at once, so that nobody can change them under the decoder.
_AT_ONCE = 64 << 20


@dataclass(frozen=True, slots=True)
class ImageSource:
    """One picture to be read, and what to call its results.

    path:    the file; None where the bytes are at hand, because they can be read only once.
    name:    relative, with `/` between folders and its extension: "a/x.jpg". Results mirror it below the output folder.
    given:   what led here, as the user or a list wrote it.
    data:    the bytes, for what came through standard input or a pipe.
    options: how to read it.
    warnings: codes of `PictureWarning` that are known before it is read.
    """

    path: Path | None
    name: str
    given: str
    data: bytes | None = None
    options: ReadOptions = _DEFAULTS
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.path is None) == (self.data is None):
            raise ValueError("a picture is a file or bytes, one of them")

    @property
    def label(self) -> str:
        """Its name in messages, safe for a terminal."""
        return "standard input" if self.given == "-" else _label(self.path or Path(self.given))

    @property
    def content(self) -> Path | bytes:
        """Where the bytes are, or the bytes."""
        if self.path is not None:
            return self.path
        assert self.data is not None
        return self.data

    def has_content(self, size: int, blake2b: str) -> bool | None:
        """Whether its bytes are these; None where that cannot be told. They are read only where their size fits."""
        if self.data is not None:
            return len(self.data) == size and ContentId.of(io.BytesIO(self.data)).blake2b == blake2b
        assert self.path is not None
        try:
            status = self.path.stat()
            if not stat.S_ISREG(status.st_mode):
                return None
            version = (status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
            return status.st_size == size and _hash_file(self.path, size, version) == blake2b
        except OSError:
            return None

    def read(self, *, at_least: AtLeast | None = None) -> Picture:
        """The picture; see `read_rgb`."""
        picture = read_rgb(self, at_least=at_least)
        return replace(picture, warnings=(*self.warnings, *picture.warnings)) if self.warnings else picture

    def read_colors(self) -> NDArray[np.uint8]:
        """The upright picture, uint8 (H, W, 3), at its full size."""
        return self.read().rgb


def read_rgb(
    source: Path | bytes | ImageSource, options: ReadOptions | None = None, *, at_least: AtLeast | None = None
) -> Picture:
    """Read any picture: upright, 8-bit sRGB.

    options:  default to those of an ImageSource, or to `ReadOptions()`.
    at_least: how few pixels will do, see `AtLeast`; None is all. JPEG then decodes to a half, a quarter or an eighth of
              each side, in less time and far less memory; other formats come at full size.

    Raises InputError: E_NOT_FOUND, E_PERMISSION, E_IO, E_DECODE, E_UNSUPPORTED, E_TOO_LARGE, E_OOM, E_USAGE for a frame
    that the picture does not have; from workers E_CRASH and E_TIMEOUT, too.
    """
    if isinstance(source, ImageSource):
        options = options or source.options
        label, name, source = source.label, source.name, source.content
    elif isinstance(source, bytes):
        label, name = "the data", ""
    else:
        label, name = _label(source), source.name
    options = options or _DEFAULTS
    if options.workers is None:
        return _read(source, options, label=label, name=name, at_least=at_least)
    source, settled = _for_workers(source, label, name), replace(options, workers=None)
    return options.run(_read, source, settled, about=label, label=label, name=name, at_least=at_least)


@lru_cache(maxsize=1024)
def _hash_file(path: Path, size: int, version: tuple[int, ...]) -> str:  # noqa: ARG001 - a changed file is read again
    """The hash of a file, read once for all of its outputs."""
    with path.open("rb") as file:
        return ContentId.of(file).blake2b


def _read(source: Path | bytes, options: ReadOptions, *, label: str, name: str, at_least: AtLeast | None) -> Picture:
    if isinstance(source, bytes):
        picture = decode(io.BytesIO(source), options, label=label, name=name, at_least=at_least)
        if has_another_picture(source):
            picture = replace(picture, warnings=(*picture.warnings, PictureWarning.MORE))
        return picture
    try:
        with _Unmapped(source) as file:
            stream = _steady(file, label, name)
            return decode(stream, options, label=label, name=name, at_least=at_least)
    except OSError as error:
        raise unreadable_error(label, error) from error


def _for_workers(source: Path | bytes, label: str, name: str) -> Path | bytes:
    """A source that other processes can read: files by real path; the bytes of pipes that are open only here."""
    if isinstance(source, bytes):
        return source
    real = os.path.realpath(source)
    if os.path.isfile(real):  # noqa: PTH113 - never raises
        return Path(real)
    try:
        with _Unmapped(source) as file:
            return _steady(file, label, name).read()
    except OSError as error:
        raise unreadable_error(label, error) from error


def read_limited(stream: BinaryIO, label: str) -> bytes:
    """Read a stream to its end; raises InputError (E_TOO_LARGE) where it has more than `MAX_BYTES`."""
    data = io.BytesIO()
    while piece := stream.read(_PIECE):  # asked for all at once, Python takes the memory for the most that may come
        data.write(piece)
        if data.tell() > MAX_BYTES:
            raise InputError(f"{label} does not end within {MAX_BYTES >> 30} GiB", code=ErrorCode.TOO_LARGE)
    return data.getvalue()


def read_once(path: Path, label: str) -> bytes:
    """Read a pipe or a device to its end; only its head where its format is unknown, since it may never end.

    Raises InputError.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            is_known = recognise(head, name=path.name) not in (TEXT, UNKNOWN)
            return head + read_limited(file, label) if is_known else head
    except OSError as error:
        raise unreadable_error(label, error) from error


def _label(path: Path) -> str:
    """The path in quotes, with whatever could move a terminal's cursor escaped."""
    return repr(str(path))


class _Unmapped(io.BufferedReader):
    """A file without a number, which decoders read like any stream.

    libtiff maps a file whose number it knows into memory, and where that file shrinks meanwhile the process dies.
    """

    def __init__(self, path: Path) -> None:
        raw = io.FileIO(path)
        super().__init__(raw)
        self.status = os.fstat(raw.fileno())

    def fileno(self) -> int:
        raise io.UnsupportedOperation("this file is only read")


def _steady(file: _Unmapped, label: str, name: str) -> BinaryIO:
    """A seekable stream of the file, in memory (so that it cannot change) where it is not too large."""
    if stat.S_ISREG(file.status.st_mode):
        if file.status.st_size <= _AT_ONCE:
            return io.BytesIO(file.read())
        if file.status.st_size > MAX_BYTES:
            found = recognise(file.read(HEAD_BYTES), name=name)
            file.seek(0)
            if found is not TIFF:
                raise InputError(
                    f"{label} has {file.status.st_size:,} bytes, more than any picture needs", code=ErrorCode.TOO_LARGE
                )
        return file
    # A pipe or a device, which may never end: look before reading on.
    head = file.read(HEAD_BYTES)
    found = recognise(head, name=name)
    if isinstance(found, Foreign):
        raise found.error(label)
    return io.BytesIO(head + read_limited(file, label))
