"""What results are called and where they go: `--output`, `--name` and `--format` put together."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from glpn_cli.depth_files import FORMATS
from glpn_cli.errors import UsageError
from glpn_cli.images import PICTURE_EXTENSIONS
from glpn_cli.pipeline.settings import DEFAULT_NAME

_SAME = {".tif": ".tiff"}
"""Extensions that mean another one."""

_VIDEOS = (".mkv", ".mp4", ".mov")
"""Extensions of the videos that are written."""

_OTHER_VIDEOS = (".m4v", ".webm", ".avi", ".mpg", ".mpeg", ".wmv")
"""What asks for a video, and was never meant for a folder's name."""

_FIELDS = ("stem", "map", "format", "name", "parent", "model")
_FIELD = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class Destination:
    """Where results go: a folder, one file, or standard output (`path` is None).

    is_video: whether the file is a video, which only clips become
    """

    path: Path | None
    is_file: bool = False
    is_video: bool = False

    @classmethod
    def parse(cls, text: str) -> Destination:
        """Read `--output`: `-`, a file if it ends in a format's extension, else a folder.

        Raises UsageError for a folder where a file should be, and for the extension of a picture format that we do not
        write: a folder called `depth.jpg` is never what was meant.
        """
        if text == "-":
            return cls(None)
        if not text or "\0" in text:
            raise UsageError(f"--output {text!r} is no path")
        path = Path(text)
        extension = _extension_of(path)
        if extension in _VIDEOS and not path.is_dir():
            return cls(path, is_file=True, is_video=True)
        if extension in _OTHER_VIDEOS and not path.is_dir():
            raise UsageError(
                f"--output {text!r}: videos are written as {', '.join(_VIDEOS)}",
                hint=f"Write one of these, and make another of it with: ffmpeg -i {path.stem}.mkv {text}",
            )
        written = {writer.extension for writer in FORMATS.values()}
        if text.endswith(("/", "\\")) or extension not in written | PICTURE_EXTENSIONS:
            return cls(path)
        if path.is_dir():
            if extension in written:
                raise UsageError(
                    f"--output {text!r} is a folder, but looks like a file",
                    hint=f"Write {text + '/'!r} if the folder is meant.",
                )
            return cls(path)
        if extension not in written:
            raise UsageError(
                f"--output {text!r}: no format here is written as {extension}",
                hint=f"Files end in {', '.join(sorted(written))}; any other name is a folder.",
            )
        return cls(path, is_file=True)

    @property
    def is_stdout(self) -> bool:
        """Whether the one result goes to standard output."""
        return self.path is None


def choose_formats(asked: str | None, destination: Destination, *, default: str, allowed: Sequence[str]) -> list[str]:
    """The formats to write: what `--format` lists, else what the output file's extension means, else `default`.

    Raises UsageError for unknown formats, and for a file whose extension belongs to another one.
    """
    extension = _extension_of(destination.path) if destination.path and destination.is_file else None
    if destination.is_video:
        raise UsageError(
            f"--output ends in {extension}, and pictures become no video",
            hint=f"Of a clip it is made by: glpn export CLIP -o FILE{extension}. "
            f"Pictures that are frames are named as a sequence: frame_%05d.png.",
        )
    if asked is None:
        if extension is None:
            return [default]
        known = [default, *(name for name in allowed if name != default)]
        fitting = [name for name in known if FORMATS[name].extension == extension]
        if not fitting:
            raise UsageError(f"no format of this command is written as {extension}", hint=_list_formats(allowed))
        return fitting[:1]
    formats = list(dict.fromkeys(word.strip().lower() for word in asked.split(",") if word.strip()))
    unknown = [name for name in formats if name not in allowed]
    if unknown or not formats:
        raise UsageError(f"there is no format {(unknown or [asked])[0]!r} here", hint=_list_formats(allowed))
    for name in formats:
        if extension is not None and FORMATS[name].extension != extension:
            raise UsageError(f"--output ends in {extension}, but {name} files end in {FORMATS[name].extension}")
    return formats


def _extension_of(path: Path) -> str:
    extension = path.suffix.lower()
    return _SAME.get(extension, extension)


def _list_formats(allowed: Sequence[str]) -> str:
    return f"The formats are {', '.join(allowed)}."


@dataclass(frozen=True)
class NameTemplate:
    """`--name`: what a result is called, without its extension.

    {stem}   the input's name without folders and extension
    {name}   with its extension
    {map}    depth, color, gray, ...; where two formats share it and their extension, the format
    {format} png16, gray16, ...
    {parent} the name of the folder that the input is in
    {model}  the model, by its last name

    A `/` makes folders. Below the output folder the input's own folders come first, unless {parent} places them.
    """

    text: str = DEFAULT_NAME

    def __post_init__(self) -> None:
        unknown = [field for field in _FIELD.findall(self.text) if field not in _FIELDS]
        if unknown or "{" in _FIELD.sub("", self.text) or "}" in _FIELD.sub("", self.text):
            wrong = f"{{{unknown[0]}}} is unknown" if unknown else "braces do not match"
            raise UsageError(
                f"--name {self.text!r}: {wrong}", hint=f"The fields are {', '.join(f'{{{name}}}' for name in _FIELDS)}."
            )
        parts = PurePosixPath(self.text).parts
        if not parts or self.text.startswith("/") or self.text.endswith("/") or ".." in parts or "\0" in self.text:
            raise UsageError(f"--name {self.text!r} is no file name below the output folder")

    @property
    def asks_for_parent(self) -> bool:
        """Whether the folder of an input is part of the name."""
        return "{parent}" in self.text

    def fill(self, name: str, *, parent: str, map: str, format: str, model: str) -> str:  # noqa: A002 - their names
        """The relative path, without extension, of a result of the input called `name` ("a/x.jpg").

        parent: the folder's name, for inputs whose own name has none
        """
        folder, _, last = name.rpartition("/")
        stem, dot, _ = last.rpartition(".")
        values: Mapping[str, str] = {
            "stem": stem if stem and dot else last,
            "name": last,
            "map": map,
            "format": format,
            "parent": folder.rpartition("/")[2] or parent,
            "model": re.sub(r"[^\w.-]", "_", model.rstrip("/").rpartition("/")[2].partition("@")[0]) or "model",
        }
        filled = _FIELD.sub(lambda found: values[found[1]], self.text)
        return f"{folder}/{filled}" if folder and not self.asks_for_parent else filled
