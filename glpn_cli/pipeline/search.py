"""Finding the inputs of a run: what commands name, what folders hold, and what lists say.

Maps of labels and of uncertainty are painted only where all inputs are of that sort.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from glpn_cli.depth_files import is_own_output
from glpn_cli.errors import ErrorCode, UsageError
from glpn_cli.images import (
    PICTURE_EXTENSIONS,
    Found,
    ImageSource,
    ListFile,
    PictureWarning,
    ReadOptions,
    Refused,
    Search,
    Shard,
    find_images,
    make_listed,
)
from glpn_cli.pipeline.pairing import DEPTH_EXTENSIONS, Identified, find_labels_alone, find_orphans, is_asked, pair_up
from glpn_cli.pipeline.settings import InputKind, InputSettings
from glpn_cli.pipeline.sources import Content, Sources, ambiguous_error, clip_error, identify

PAINT_IT = "Paint it with glpn export, or take it for a picture with --as picture."
DEPTH_LIKE = (PictureWarning.DEPTH_LIKE.value,)
# A picture in another format, as most are, holds no depth that is not told from its bytes.
_DEEP_EXTENSIONS = frozenset({".png", ".tif", ".tiff", ".pgm", ".pnm", ".jp2", ".j2k", ".j2c", ".jpx"})
_SAYS_DEPTH = re.compile(r"(?i)(?<![a-z])(depth|disp|disparity)s?(?![a-z])|depthmaps?|depth_?maps?")
NAME_ANOTHER = "Name the depth map or the photograph, or take it for a picture with --as picture."


def find_pictures(settings: InputSettings) -> Sources:
    """The pictures to predict. Depth maps among them, as of `*.png`, are left out with a note.

    Raises UsageError where nothing is named or found, where all that is named is missing, and for depth maps alone.
    """
    if settings.kind is InputKind.DEPTH:
        raise UsageError("predict makes depth out of pictures", hint="Paint depth maps with: glpn export --as depth")
    if settings.is_stream:
        return Sources(settings, takes_maps=False)
    found = _find(settings, PICTURE_EXTENSIONS, is_own_output)
    sources: list[ImageSource] = []
    maps: list[ImageSource] = []
    clips: list[ImageSource] = []
    unclear: list[ImageSource] = []
    for source in found.sources:
        content = Content.PICTURE
        if settings.kind is InputKind.AUTO and (
            is_asked(source, settings) or PurePosixPath(source.name).suffix.lower() in _DEEP_EXTENSIONS
        ):
            content, _ = identify(source.content)
        if content is Content.PICTURE:
            sources.append(source)
        elif content is Content.AMBIGUOUS:
            unclear.append(source)
            sources.append(replace(source, warnings=DEPTH_LIKE))
        elif content is Content.CLIP:
            clips.append(source)
        else:
            maps.append(source)
    if maps and len(maps) == len(found.sources) and not found.refused:
        raise UsageError(
            f"{maps[0].given!r} is a depth map already" + (f", and so are {len(maps) - 1} more" if maps[1:] else ""),
            hint=PAINT_IT,
        )
    notes = list(found.notes)
    if maps:
        notes.append(f"{len(maps)} depth maps among the inputs are left out (--as picture takes them for pictures)")
    notes += _note_depth_by_name(unclear)
    refused = (*found.refused, *_refuse_clips(clips))
    return Sources(settings, takes_maps=False, sources=sources, refused=refused, notes=notes)


def _refuse_clips(clips: Iterable[ImageSource]) -> list[Refused]:
    """The errors of clips in lists that can be read only once, and under names of pictures."""
    return [Refused(each.given, each.name, clip_error(each.label)) for each in clips]


def _note_depth_by_name(unclear: Sequence[ImageSource]) -> Iterator[str]:
    """A note about files that may be depth, and whose name or folder says that they are."""
    named = [each for each in unclear if _SAYS_DEPTH.search(str(each.path or each.name))]
    if named:
        more = f" and {len(named) - 1} more" if named[1:] else ""
        yield (
            f"{named[0].label}{more}: greys of 16 bits under a name that says depth are taken for pictures, and their "
            "depth is wrong if they are maps; paint those with glpn export --as depth --depth-scale 1000"
        )


def find_sources(settings: InputSettings, *, side_by_side: bool = False) -> Sources:
    """Pictures and stored maps. Our own pictures of depth among them, as of `*.png`, are left out with a note.

    side_by_side: leave out, with a note, depth maps in the folders of pictures that are of no picture there

    Raises UsageError where there is nothing to do, and for maps of labels that are named among other inputs.
    """
    if settings.is_stream:
        return Sources(settings, takes_maps=True)
    found = _find(
        settings,
        PICTURE_EXTENSIONS | frozenset(DEPTH_EXTENSIONS),
        lambda path: is_own_output(path) and identify(path)[0] in (Content.OTHER, Content.UNCERTAINTY),
    )
    inputs = Sources(settings, takes_maps=True, sources=found.sources, refused=found.refused, notes=found.notes)
    if settings.kind is InputKind.PICTURE:
        return inputs
    known = [Identified(source, *identify(source.content)) for source in found.sources]
    notes = list(found.notes)
    if settings.kind is InputKind.AUTO:
        unclear = [each.source for each in known if each.content is Content.AMBIGUOUS]
        refused = [Refused(each.given, each.name, ambiguous_error(each.label)) for each in unclear]
        refused += _refuse_clips(each.source for each in known if each.content is Content.CLIP)
        inputs = replace(inputs, refused=[*found.refused, *refused])
        known = [each for each in known if each.content not in (Content.AMBIGUOUS, Content.CLIP)]
        if (labels := find_labels_alone(known, settings)) is not None:
            return replace(inputs, sources=labels, content=Content.LABELS)
        known = [each for each in known if each.content is not Content.LABELS]
        ours = [
            each
            for each in known
            if each.content in (Content.OTHER, Content.UNCERTAINTY) and is_asked(each.source, settings)
        ]
        is_uncertainty = [each.content is Content.UNCERTAINTY for each in ours]
        if ours and len(ours) == len(known):
            if all(is_uncertainty):
                return replace(inputs, sources=[each.as_stored(settings) for each in ours], content=Content.UNCERTAINTY)
            if not inputs.refused:
                more = f", and so are {len(ours) - 1} more" if ours[1:] else ""
                raise UsageError(
                    f"{ours[0].source.given!r} is a picture that was made of depth already{more}",
                    hint=NAME_ANOTHER,
                )
        if ours:
            files = (
                "1 file that glpn made of depth is"
                if len(ours) == 1
                else f"{len(ours)} files that glpn made of depth are"
            )
            notes.append(
                f"{files} left out" + ("; maps of uncertainty are painted alone" if any(is_uncertainty) else "")
            )
            left = set(map(id, ours))
            known = [each for each in known if id(each) not in left]
    sources = pair_up(known, settings)
    if side_by_side and (orphans := find_orphans(sources, settings)):
        maps = "1 depth map is" if len(orphans) == 1 else f"{len(orphans)} depth maps are"
        notes.append(f"{maps} left out of --side-by-side: the picture is not beside")
        sources = [each for each in sources if id(each) not in orphans]
    return replace(inputs, sources=sources, notes=notes)


def find_files(
    settings: InputSettings, extensions: frozenset[str], leave_out: Callable[[Path], bool] | None = None
) -> Sequence[ImageSource]:
    """The files that are named, whatever they hold, and those in folders that end in one of `extensions`.

    leave_out: the files in folders that are left all the same
    """
    lists = [each for each in _lists(settings) if Path(each.path).is_file()]
    return find_images(settings.named, make_search(settings, extensions, leave_out), lists=lists).sources


def make_search(
    settings: InputSettings, extensions: frozenset[str], leave_out: Callable[[Path], bool] | None = None
) -> Search:
    """How the inputs are searched for files of these extensions. Raises UsageError for a shard that is none."""
    return Search(
        is_recursive=settings.recursive,
        root=settings.root,
        extensions=extensions,
        leave_out=leave_out,
        exclude=tuple(settings.exclude),
        shard=None if settings.shard is None else Shard.parse(settings.shard),
        options=settings.reading or ReadOptions(),
    )


def _lists(settings: InputSettings) -> list[ListFile]:
    nulled = [ListFile(path, is_nulled=True) for path in settings.lists0]
    return [*map(ListFile, settings.lists), *nulled]


def _find(settings: InputSettings, extensions: frozenset[str], leave_out: Callable[[Path], bool]) -> Found:
    """All inputs; named ones that cannot be used are in `refused`.

    extensions: of the files that folder scans take
    leave_out:  files that they leave all the same

    Raises UsageError where nothing is named or found, or all that is named is missing.
    """
    if not (settings.named or settings.lists or settings.lists0):
        raise UsageError("no inputs", hint="Name pictures or folders of them, or - for standard input.")
    if settings.root is not None and not (settings.lists or settings.lists0) and set(settings.named) == {"-"}:
        raise UsageError("--root makes no sense for standard input, which has no path", hint="Leave it out.")
    left: list[Path] = []

    def leave(path: Path) -> bool:
        if not leave_out(path):
            return False
        left.append(path)
        return True

    found = find_images(settings.named, make_search(settings, extensions, leave), lists=_lists(settings))
    if not found.sources and not settings.allow_empty and settings.shard is None:
        _refuse_nothing(settings, found, left_count=len(left))
    return found


def _refuse_nothing(settings: InputSettings, found: Found, *, left_count: int) -> None:
    """Say why there is nothing to do (UsageError), unless an input has an error of its own."""
    missing = [each for each in found.refused if each.error.code is ErrorCode.NOT_FOUND]
    if found.refused and len(missing) < len(found.refused):
        return
    if missing:
        more = f" (and {len(missing) - 1} more)" if missing[1:] else ""
        raise UsageError(missing[0].error.message + more, hint=missing[0].error.hint, code=ErrorCode.NOT_FOUND)
    places = " ".join(repr(name) for name in (*settings.named, *settings.lists, *settings.lists0)[:3])
    if left_count:
        made = "a file that glpn made" if left_count == 1 else f"{left_count} files that glpn made"
        raise UsageError(
            f"there is nothing in {places} but {made}",
            hint="Name the folder of the photographs, or paint depth maps with glpn export.",
        )
    raise UsageError(
        f"there are no pictures in {places}",
        hint="A file named itself is tried whatever its extension; --allow-empty makes this no error.",
    )


def read_lists(settings: InputSettings) -> Iterator[ImageSource]:
    """The files that lists name, by their names alone, a piece of the lists at a time. Raises UsageError."""
    search = make_search(settings, PICTURE_EXTENSIONS)
    for entry in _lists(settings):
        for name in entry.read_names():
            if (source := make_listed(name, search)) is not None:
                yield source
