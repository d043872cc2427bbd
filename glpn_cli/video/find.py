"""The clips among the inputs: named files by their content, files in folders by their extension."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from glpn_cli.errors import GlpnError, InputError
from glpn_cli.images import PICTURE_EXTENSIONS, ImageSource, ReadOptions, Refused
from glpn_cli.images.formats import HEAD_BYTES, is_video
from glpn_cli.pipeline.search import find_files
from glpn_cli.pipeline.settings import InputKind, InputSettings
from glpn_cli.pipeline.sources import Source, Sources
from glpn_cli.video.depth_clip import DEPTH_MAPS, peek_record
from glpn_cli.video.sources import files_of_sequence, is_sequence, peek_stdin

EXTENSIONS = frozenset(
    ".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .m2ts .mts .wmv .asf .flv .ogv .3gp .mxf .y4m .nut .ivf".split()
)
"""Of files in folders that are taken for clips. `.ts` is not among them: most of those are programs."""

_ANIMATED = frozenset({".gif", ".apng", ".webp"})
"""Pictures that may move: clips where a video is asked for."""

_PARTIAL = ".partial."


@dataclass(frozen=True)
class Clips:
    """The clips among the inputs.

    clips:   in the order of the inputs
    refused: sequences without a picture
    rest:    the inputs that are left; None where none is
    made:    the names of clips that glpn made, which are left out
    """

    clips: Sequence[ImageSource]
    refused: Sequence[Refused]
    rest: InputSettings | None
    made: Sequence[str] = ()

    def without(self, found: Sources) -> Sources:
        """The other inputs, of those that were found."""
        taken = {clip.path for clip in self.clips}
        sources: list[Source] = [source for source in found.sources if source.path is None or source.path not in taken]
        given = {*self.made, *(clip.given for clip in self.clips)}
        return replace(found, sources=sources, refused=[each for each in found.refused if each.given not in given])

    @classmethod
    def find(cls, settings: InputSettings, *, wants_video: bool, takes_depth: bool) -> Clips:
        """Take the clips out of the inputs. Those that glpn made are left out in folders, and beside other inputs.

        wants_video: whether the options ask for a video, so that an animated GIF is one
        takes_depth: whether clips of depth are inputs, or left out like painted ones
        """
        if settings.is_stream or settings.kind is InputKind.PICTURE:
            return cls((), (), settings)
        options = settings.reading or ReadOptions()
        clips: list[ImageSource] = []
        refused: list[Refused] = []
        named: list[str] = []
        made: list[str] = []
        for name in settings.named:
            if name == "-":
                if _is_video(peek_stdin(), "", wants_video=wants_video):
                    clips.append(ImageSource(None, "stdin", "-", b"", options=options))
                    continue
            elif is_sequence(name):
                path = Path(name)
                try:
                    files_of_sequence(path)
                    clips.append(ImageSource(path, path.name, name, options=options))
                except InputError as error:
                    refused.append(Refused(name, path.name, error))
                continue
            named.append(name)
        rest = replace(settings, named=named)
        # What can be read once, a pipe or standard input, is left for the search for pictures.
        again = replace(
            rest,
            named=[name for name in named if not _is_read_once(name)],
            lists=[name for name in settings.lists if not _is_read_once(name)],
            lists0=[name for name in settings.lists0 if not _is_read_once(name)],
        )
        if again.named or again.lists or again.lists0:

            def leave(path: Path) -> bool:
                if not _is_left(path, takes_depth=takes_depth):
                    return False
                made.append(str(path))
                return True

            found = find_files(again, EXTENSIONS, leave)
            clips += [
                source for source in found if _is_clip(source, wants_video=wants_video) and _is_wanted(source, rest)
            ]
        if not clips and not refused:
            return cls((), (), settings, made)
        given = {clip.given for clip in clips}
        files = {_identity(clip.path) for clip in clips if clip.path is not None}
        left = [name for name in named if name not in given and _identity(name) not in files]
        has_rest = bool(left or settings.lists or settings.lists0)
        others = [clip for clip in clips if clip.path is None or not _is_left(clip.path, takes_depth=takes_depth)]
        if has_rest or others:
            made += [clip.given for clip in clips if clip not in others]
            clips = others
        return cls(clips, refused, replace(settings, named=left, allow_empty=True) if has_rest else None, made)


def _is_left(path: Path, *, takes_depth: bool) -> bool:
    """Whether a clip was made by glpn, and is no input; False where that cannot be told, and its turn comes."""
    try:
        record = peek_record(path)
    except GlpnError:
        return False
    return record is not None and not (takes_depth and record.map in DEPTH_MAPS)


def _identity(path: str | Path) -> object:
    """What is equal for two names of one file."""
    try:
        status = os.stat(path)  # noqa: PTH116 - text, 100,000 of them
    except OSError:
        return path
    return status.st_dev, status.st_ino


def _is_read_once(name: str) -> bool:
    """Whether a name is standard input, a pipe or a device."""
    return name == "-" or (os.path.exists(name) and not os.path.isfile(name) and not os.path.isdir(name))  # noqa: PTH110, PTH112, PTH113 - text


def _is_clip(source: ImageSource, *, wants_video: bool) -> bool:
    path = source.path
    if path is None:
        return False
    extension = path.suffix.lower()
    if extension in EXTENSIONS:
        return True
    if extension in PICTURE_EXTENSIONS and not (wants_video and extension in _ANIMATED):
        return False
    try:
        with path.open("rb") as file:
            return _is_video(file.read(HEAD_BYTES), path.name, wants_video=wants_video)
    except OSError:
        return False


def _is_video(head: bytes, name: str, *, wants_video: bool) -> bool:
    """Whether a file begins as a video does."""
    if wants_video and (head[:6] in (b"GIF87a", b"GIF89a") or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")):
        return True
    return is_video(head, name=name)


def _is_wanted(source: ImageSource, settings: InputSettings) -> bool:
    """Whether a clip is to be worked on: not what an interrupted run left in a folder."""
    return source.given in settings.named or _PARTIAL not in source.name


def is_clip_file(text: str) -> bool:
    """Whether a file that is named is a video, by its content."""
    path = Path(text)
    return os.path.isfile(text) and _is_clip(ImageSource(path, path.name, text), wants_video=False)  # noqa: PTH113 - never raises
