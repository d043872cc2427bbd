"""Pictures and the maps that were stored of them, brought together.

A stored map comes with its picture where that is an input too, or lies beside it. A picture whose depth map lies beside
it, under the name that `predict` gives it, is replaced by that map.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from glpn_cli.depth_files import Record, is_depth_format
from glpn_cli.errors import UsageError
from glpn_cli.images import ImageSource, PictureWarning
from glpn_cli.pipeline.settings import InputKind, InputSettings
from glpn_cli.pipeline.sources import Content, Source, StoredSource, identify, is_made_from, shows_same
from glpn_cli.prediction import DepthKind

DEPTH_EXTENSIONS = (".png", ".tif", ".tiff", ".npy", ".npz", ".pfm", ".exr")
_OTHER_MAP = (PictureWarning.OTHER_MAP.value,)


def is_asked(source: Source, settings: InputSettings) -> bool:
    """Whether an input was named itself, by an argument or in a list; folder scans leave our outputs out themselves."""
    return bool(settings.lists or settings.lists0) or source.given in settings.named


class Identified(NamedTuple):
    """An input and its content."""

    source: ImageSource
    content: Content
    record: Record | None

    def as_stored(self, settings: InputSettings, content: Content | None = None) -> StoredSource:
        """An input as a stored map under the name of its picture, which is taken along where it lies beside."""
        source, own, record = self.source, PurePosixPath(self.source.name), self.record
        content = content or self.content
        # A picture of uncertainty must not have the name of the picture of its depth.
        stem = own.stem if content is Content.UNCERTAINTY else own.stem.removesuffix(f"_{content.value}") or own.stem
        name = str(own.with_name(stem + (PurePosixPath(record.source).suffix if record else own.suffix)))
        picture = None
        if record is not None and source.path is not None:
            beside = source.path.with_name(PurePosixPath(record.source).name or source.path.name)
            if beside != source.path and beside.is_file():
                picture = replace(source, path=beside, name=name)
                if _shows(record, picture) is False:
                    picture = None
        kind = DepthKind(settings.depth_kind)
        return StoredSource(
            content,
            source.path,
            name,
            source.given,
            record,
            picture,
            settings.depth_scale,
            kind,
            source.options,
            source.data,
        )


def find_labels_alone(inputs: Sequence[Identified], settings: InputSettings) -> list[StoredSource] | None:
    """The maps of labels, if every other input is a picture of one of them; else None.

    Raises UsageError for labels that were named among other inputs.
    """
    labels = [each for each in inputs if each.content is Content.LABELS]
    if not labels:
        return None
    pictures = {each.source.name: each.source for each in inputs if each.content is not Content.LABELS}
    stored = [each.as_stored(settings) for each in labels]
    if pictures.keys() <= {each.name for each in stored}:
        return [replace(each, picture=pictures.get(each.name, each.picture)) for each in stored]
    for each in labels:
        if is_asked(each.source, settings):
            raise UsageError(
                f"{each.source.given!r} is a map of labels, among inputs that are none", hint="Export them apart."
            )
    return None


def pair_up(inputs: Iterable[Identified], settings: InputSettings) -> list[Source]:
    """Pictures and depth maps: of a picture that has a map the map alone, of a map in several formats one."""
    folders = _Folders()
    maps: list[StoredSource] = []
    found: list[Source] = []
    taken: set[Path] = set()
    inputs = list(inputs)
    pictures = _pictures_by_stem(inputs) if settings.kind is InputKind.DEPTH else {}
    used = {id(each) for each in pictures.values()}
    for each in inputs:
        if id(each.source) in used:
            continue
        if settings.kind is InputKind.DEPTH or each.content is Content.DEPTH:
            stored = each.as_stored(settings, Content.DEPTH)
            if (picture := pictures.get(_stem(each.source.name))) is not None:
                stored = replace(stored, name=picture.name, picture=picture)
            maps.append(stored)
            found.append(stored)
        else:
            beside = _find_maps(each.source, folders, settings)
            own = _choose_map(each.source, beside)
            # Those of another picture are left out like the one that is used: their results would have its name.
            taken.update(stored.path.absolute() for stored in beside if stored.path is not None)
            found.append(own or (replace(each.source, warnings=_OTHER_MAP) if beside else each.source))
    doubled = {id(each) for each in maps if each.path is not None and each.path.absolute() in taken}
    doubled |= {id(each) for each in _worse_copies(each for each in maps if id(each) not in doubled)}
    return _join([each for each in found if id(each) not in doubled])


def _stem(name: str) -> PurePosixPath:
    """The name that a picture and its map share, of whatever formats they are."""
    path = PurePosixPath(name)
    return path.with_name(path.stem.removesuffix("_depth") or path.stem)


def _pictures_by_stem(inputs: Sequence[Identified]) -> dict[PurePosixPath, ImageSource]:
    """The pictures among inputs that are said to be depth, each with a map of its name that looks more like depth."""
    groups: dict[PurePosixPath, list[Identified]] = {}
    for each in inputs:
        groups.setdefault(_stem(each.source.name), []).append(each)
    pictures = {}
    for stem, group in groups.items():
        if len(group) > 1:
            first, *_, last = sorted(group, key=_likeness)
            if first.content is Content.PICTURE and _likeness(first) < _likeness(last):
                pictures[stem] = first.source
    return pictures


def _likeness(found: Identified) -> int:
    """How much an input looks like depth: 0 where its format holds none."""
    if found.content is not Content.PICTURE:
        return 2 if found.content is Content.AMBIGUOUS else 3
    return int(is_depth_format(found.source.content))


def _find_maps(picture: ImageSource, folders: _Folders, settings: InputSettings) -> list[StoredSource]:
    """The maps that lie beside a picture, under the name that `predict` gives them, in the order of formats.

    Those that do not say that they are depth are AMBIGUOUS.
    """
    if picture.path is None:
        return []
    maps: list[StoredSource] = []
    for extension in DEPTH_EXTENSIONS:
        path = picture.path.with_name(picture.path.stem + "_depth" + extension)
        if not folders.has(path):
            continue
        content, record = identify(path)
        if content is Content.AMBIGUOUS or (
            content is Content.DEPTH and (record is None or _is_of(record, PurePosixPath(picture.path.name)))
        ):
            kind = DepthKind(settings.depth_kind)
            scale, options = settings.depth_scale, picture.options
            maps.append(StoredSource(content, path, picture.name, picture.given, record, picture, scale, kind, options))
    return maps


def _choose_map(picture: ImageSource, maps: Sequence[StoredSource]) -> StoredSource | None:
    """The first map that says that it was made from these bytes; else, unless one was made from others, the first.

    A file of bare values that lies beside the map of another picture was most likely made with it.
    """
    maps = [each for each in maps if each.content is Content.DEPTH]
    is_own = [_shows(each.record, picture) for each in maps]
    if True in is_own:
        return maps[is_own.index(True)]
    return maps[0] if maps and False not in is_own else None


def _join(sources: Sequence[Source]) -> list[Source]:
    """The same, with maps that came without their picture joined to it, where it is an input of the same name."""
    alone = {
        each.name: each
        for each in reversed(sources)
        if isinstance(each, StoredSource) and each.picture is None and _is_of(each.record, PurePosixPath(each.name))
    }
    joined: list[Source] = []
    gone: set[int] = set()
    for each in sources:
        if isinstance(each, ImageSource) and (stored := alone.pop(each.name, None)) is not None:
            gone.add(id(stored))
            is_other = _shows(stored.record, each) is False
            joined.append(replace(each, warnings=_OTHER_MAP) if is_other else replace(stored, picture=each))
        else:
            joined.append(each)
    return [each for each in joined if id(each) not in gone]


def _shows(record: Record | None, picture: ImageSource) -> bool | None:
    """Whether a map is of these bytes, and of the frame and the orientation that are read; None: it does not tell."""
    return is_made_from(record, picture) if shows_same(record, picture) else False


def _is_of(record: Record | None, picture: PurePosixPath) -> bool:
    """Whether a map is of this picture, by its record."""
    return record is not None and PurePosixPath(record.source).name == picture.name


def _worse_copies(maps: Iterable[StoredSource]) -> Iterator[StoredSource]:
    """Maps that exist in a better format too: of `x_depth.png` and `x_depth.npy`, the one without a record."""
    best: dict[tuple[Path, str], StoredSource] = {}
    for each in maps:
        if each.path is None:
            continue
        key = (each.path.parent, each.path.stem)
        other = best.setdefault(key, each)
        if other is each:
            continue
        worse = other if each.record is not None and other.record is None else each
        best[key] = each if worse is other else other
        yield worse


def find_orphans(sources: Sequence[Source], settings: InputSettings) -> set[int]:
    """The ids of depth maps that cannot stand beside their picture, and were not named themselves.

    A folder of pictures may hold maps of another origin too, such as measured ones in a folder of their own. Those are
    left out, since their pictures are inputs; maps whose picture is not an input stay, and fail when their turn comes.
    """
    pictures = {PurePosixPath(each.name).name for each in sources if isinstance(each, ImageSource) or each.picture}

    def is_orphan(source: Source) -> bool:
        if isinstance(source, ImageSource) or source.picture is not None or is_asked(source, settings):
            return False
        return source.record is None or PurePosixPath(source.record.source).name in pictures

    return {id(each) for each in sources if pictures and is_orphan(each)}


class _Folders:
    """The names in each folder, listed once a run."""

    def __init__(self) -> None:
        self._names: dict[Path, frozenset[str]] = {}

    def has(self, path: Path) -> bool:
        folder = path.parent
        if folder not in self._names:
            try:
                self._names[folder] = frozenset(os.listdir(folder))  # noqa: PTH208 - names are all that is asked
            except OSError:
                self._names[folder] = frozenset()
        return path.name in self._names[folder]
