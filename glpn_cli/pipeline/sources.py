"""The inputs of a run: pictures, and maps that were stored earlier. Each file is identified once, by its first bytes.

A stored map comes with its picture where that is an input too, or lies beside it. A picture whose depth map lies beside
it, under the name that `predict` gives it, is replaced by that map. Maps of labels and of uncertainty are painted only
where all inputs are of that sort.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from glpn_cli.depth_files import Record, is_depth_file, is_depth_format, is_own_output, read_depth, read_record
from glpn_cli.depth_files.base import Guess
from glpn_cli.depth_files.contents import read_head
from glpn_cli.depth_files.formats import guess_content
from glpn_cli.depth_files.labels import read_labels
from glpn_cli.depth_files.record import LABELS
from glpn_cli.depth_files.uncertainty import UNCERTAINTY, read_uncertainty
from glpn_cli.errors import ErrorCode, InputError, UsageError
from glpn_cli.geometry import FocalChoice
from glpn_cli.images import (
    PICTURE_EXTENSIONS,
    Found,
    ImageSource,
    ListFile,
    PictureWarning,
    ReadOptions,
    Refused,
    Search,
    find_images,
    iterate_list,
    parse_shard,
)
from glpn_cli.pipeline.settings import ExplicitOptions, InputKind, InputSettings
from glpn_cli.prediction import DepthKind, Result

DEPTH_EXTENSIONS = (".png", ".tif", ".tiff", ".npy", ".npz", ".pfm", ".exr")
_HEAD_BYTES = 16 << 10
_PAINT_IT = "Paint it with glpn export, or take it for a picture with --as picture."
_OTHER_MAP, _DEPTH_LIKE = (PictureWarning.OTHER_MAP.value,), (PictureWarning.DEPTH_LIKE.value,)
# A picture in another format, as most are, holds no depth that is not told from its bytes.
_DEEP_EXTENSIONS = frozenset({".png", ".tif", ".tiff", ".pgm", ".pnm", ".jp2", ".j2k", ".j2c", ".jpx"})
_SAYS_DEPTH = re.compile(r"(?i)(?<![a-z])(depth|disp|disparity)s?(?![a-z])|depthmaps?|depth_?maps?")
_NAME_ANOTHER = "Name the depth map or the photograph, or take it for a picture with --as picture."


class Content(StrEnum):
    """The content of an input.

    AMBIGUOUS  greys of more than 8 bits without a record: depth of a sensor, or a photograph
    OTHER      pictures of depth that we painted, and our clouds of points
    """

    PICTURE = "picture"
    DEPTH = "depth"
    LABELS = "labels"
    UNCERTAINTY = "uncertainty"
    AMBIGUOUS = "ambiguous"
    OTHER = "other"


def identify(where: Path | bytes) -> tuple[Content, Record | None]:
    """The content of a file and its record, by one read of its first bytes.

    What cannot be read is taken for a picture, and fails when its turn comes.
    """
    try:
        head = read_head(where, _HEAD_BYTES)
    except InputError:
        return Content.PICTURE, None
    try:
        record = read_record(head)
    except InputError:
        record = None
    if is_depth_file(head):
        return Content.DEPTH, record
    if not is_own_output(head):
        match guess_content(where, head):
            case Guess.DEPTH:
                return Content.DEPTH, record
            case Guess.AMBIGUOUS:
                return (Content.DEPTH, record) if record and record.map == "depth" else (Content.AMBIGUOUS, None)
        return Content.PICTURE, None
    known = {LABELS: Content.LABELS, UNCERTAINTY: Content.UNCERTAINTY}
    return known.get(record.map, Content.OTHER) if record else Content.OTHER, record


@dataclass(frozen=True)
class StoredSource:
    """A map that was stored earlier, and its picture where that is at hand.

    content:     DEPTH, LABELS or UNCERTAINTY
    path:        the file; None where the bytes are at hand
    name:        the name of its picture: `a/x.jpg` for `a/x_depth.png`
    depth_scale: stored units per metre, for integers without a record
    kind:        the meaning of depths without a record
    data:        the bytes, from standard input or a pipe
    """

    content: Content
    path: Path | None
    name: str
    given: str
    record: Record | None = None
    picture: ImageSource | None = None
    depth_scale: float | None = None
    kind: DepthKind = DepthKind.METRIC
    options: ReadOptions = ReadOptions()  # noqa: RUF009 - frozen
    data: bytes | None = None

    @property
    def depth_kind(self) -> DepthKind:
        """The meaning of its depths."""
        return self.record.depth_kind if self.record else self.kind

    def read(self, focal: FocalChoice) -> Result:
        """The map with its record's provenance, and its camera by `focal` or by the record. Raises InputError."""
        where = self.data if self.path is None else Path(os.path.realpath(self.path))
        about = repr(self.given if self.path is None else str(self.path))
        provenance = self.record.provenance if self.record else None
        most = self.options.max_pixels
        if self.content is Content.LABELS:
            return Result(self.options.run(read_labels, where, about=about, max_pixels=most), self, provenance)
        if self.content is Content.UNCERTAINTY:
            uncertainty, record = self.options.run(read_uncertainty, where, about=about, max_pixels=most)
            return Result(uncertainty, self, record.provenance)
        stored = self.options.run(
            read_depth, where, about=about, depth_scale=self.depth_scale, kind=self.kind, max_pixels=most
        )
        provenance = stored.record.provenance if stored.record else None
        return Result(stored.depth, self, provenance, focal.camera(stored.depth.size, known=stored.camera))

    def read_colors(self) -> NDArray[np.uint8]:
        """The picture. Raises InputError where it is not at hand."""
        if self.picture is None:
            raise InputError(
                "the picture that it was made of is not beside it",
                hint="Name the folder of the pictures too: glpn export PICTURES MAPS --side-by-side",
            )
        return self.picture.read_colors()


Source = ImageSource | StoredSource


@dataclass(frozen=True)
class Sources:
    """The inputs of a run.

    takes_maps: whether stored maps are inputs (`export`) or in the way (`predict`)
    sources:    pictures and depth maps, or maps of `content` alone; empty for a stream
    refused:    named inputs that cannot be used
    """

    settings: InputSettings
    takes_maps: bool
    sources: Sequence[Source] = ()
    refused: Sequence[Refused] = ()
    notes: Sequence[str] = ()
    content: Content = Content.DEPTH

    @property
    def is_stream(self) -> bool:
        """Whether the inputs come one by one, in a list on standard input."""
        return self.settings.is_stream

    @property
    def needs_network(self) -> bool:
        """Whether there is a picture without a map, or may be."""
        return self.is_stream or any(isinstance(source, ImageSource) for source in self.sources)

    @property
    def stored_count(self) -> int:
        """The number of maps that exist already."""
        return sum(isinstance(source, StoredSource) for source in self.sources)

    def check_maps(self, explicit: ExplicitOptions, *options: str) -> None:
        """Refuse options about stored maps where there is none (UsageError)."""
        if not (self.is_stream or self.stored_count):
            explicit.refuse(
                *options,
                because="is about depth maps, and there is none among the inputs",
                hint="Take the inputs for depth maps with --as depth.",
            )

    def pictures_for(self, model: str) -> Sources:
        """The same for a model that predicts labels: pictures only. Raises UsageError for a depth map."""
        pictures: list[Source] = []
        for source in self.sources:
            picture = source.picture if isinstance(source, StoredSource) else source
            if picture is None or picture.given != source.given:
                raise UsageError(f"{source.given!r} is a depth map, and {model!r} labels pictures")
            pictures.append(picture)
        return replace(self, sources=pictures)

    def read_stream(self) -> Iterator[ImageSource | Refused]:
        """The items of the list on standard input, each as soon as its line is complete."""
        if sys.stdin is None:
            raise UsageError("standard input is closed")
        extensions = PICTURE_EXTENSIONS | frozenset(DEPTH_EXTENSIONS if self.takes_maps else ())
        search = _search(self.settings, extensions)
        return iterate_list(_Unbuffered(sys.stdin.buffer), search, is_nulled=bool(self.settings.lists0))

    def interpret(self, item: ImageSource) -> Source:
        """An item of the stream as a picture or a depth map. Raises InputError where it is neither."""
        settings = self.settings
        if settings.kind is InputKind.PICTURE:
            return item
        content, record = identify(item.content)
        if settings.kind is InputKind.AUTO:
            if content is Content.AMBIGUOUS:
                if self.takes_maps:
                    raise ambiguous_error(item.label)
                return replace(item, warnings=_DEPTH_LIKE)
            if not self.takes_maps and content is not Content.PICTURE:
                raise InputError(
                    f"{item.label} is a depth map already",
                    hint=_PAINT_IT,
                    code=ErrorCode.UNSUPPORTED,
                )
            if content in (Content.LABELS, Content.UNCERTAINTY):
                raise InputError(
                    f"{item.label} is a map of {content.value}, which is painted only where all inputs are such maps",
                    hint="Name it itself, not in a list, or take it for a picture with --as picture.",
                    code=ErrorCode.UNSUPPORTED,
                )
            if content is Content.OTHER:
                raise InputError(
                    f"{item.label} is a picture that was made of depth already",
                    hint=_NAME_ANOTHER,
                    code=ErrorCode.UNSUPPORTED,
                )
        return _pair_up([_Identified(item, content, record)], settings)[0] if self.takes_maps else item


def ambiguous_error(label: str) -> InputError:
    """The error for a file that may be depth or a picture."""
    return InputError(
        f"{label} holds greys of more than 8 bits and does not say what they are: a depth map, or a picture",
        hint="Say which: --as depth --depth-scale 1000 (units per metre), or --as picture.",
        code=ErrorCode.AMBIGUOUS,
    )


class _Unbuffered:
    """Standard input without Python's lock around it, which a thread that waits for more would hold at exit."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        try:
            self._number: int | None = stream.fileno()
        except OSError:
            self._number = None

    def read1(self, size: int = -1, /) -> bytes:
        """The bytes that are there, up to `size`."""
        return self._stream.read(size) if self._number is None else os.read(self._number, max(size, 1))


def is_made_from(record: Record | None, picture: ImageSource) -> bool | None:
    """Whether a file was made from the bytes that a picture has now; None where its record does not tell."""
    made = record.provenance if record is not None else None
    if made is None or made.source_bytes is None or made.source_blake2b is None:
        return None
    return picture.has_content(made.source_bytes, made.source_blake2b)


def find_pictures(settings: InputSettings) -> Sources:
    """The pictures to predict. Depth maps among them, as of `*.png`, are left out with a note.

    Raises UsageError where nothing is named or found, where all that is named is missing, and for depth maps alone.
    """
    if settings.kind is InputKind.DEPTH:
        raise UsageError("predict makes depth out of pictures", hint="Paint depth maps with: glpn export --as depth")
    if settings.is_stream:
        return Sources(settings, takes_maps=False)
    found = _find(settings, PICTURE_EXTENSIONS, is_own_output)
    maps: list[ImageSource] = []
    unclear: list[ImageSource] = []
    if settings.kind is InputKind.AUTO:
        for source in found.sources:
            if not (_is_asked(source, settings) or PurePosixPath(source.name).suffix.lower() in _DEEP_EXTENSIONS):
                continue
            content, _ = identify(source.content)
            if content is Content.AMBIGUOUS:
                unclear.append(source)
            elif content is not Content.PICTURE:
                maps.append(source)
    if maps and len(maps) == len(found.sources) and not found.refused:
        raise UsageError(
            f"{maps[0].given!r} is a depth map already" + (f", and so are {len(maps) - 1} more" if maps[1:] else ""),
            hint=_PAINT_IT,
        )
    sources, notes = list(found.sources), list(found.notes)
    if maps:
        notes.append(f"{len(maps)} depth maps among the inputs are left out (--as picture takes them for pictures)")
        left = set(map(id, maps))
        sources = [source for source in sources if id(source) not in left]
    if unclear:
        warned = set(map(id, unclear))
        sources = [replace(each, warnings=_DEPTH_LIKE) if id(each) in warned else each for each in sources]
        notes += _note_depth_by_name(unclear)
    return Sources(settings, takes_maps=False, sources=sources, refused=found.refused, notes=notes)


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
    known = [_Identified(source, *identify(source.content)) for source in found.sources]
    notes = list(found.notes)
    if settings.kind is InputKind.AUTO:
        unclear = [each.source for each in known if each.content is Content.AMBIGUOUS]
        refused = [Refused(each.given, each.name, ambiguous_error(each.label)) for each in unclear]
        inputs = replace(inputs, refused=[*found.refused, *refused])
        known = [each for each in known if each.content is not Content.AMBIGUOUS]
        if (labels := _labels_alone(known, settings)) is not None:
            return replace(inputs, sources=labels, content=Content.LABELS)
        known = [each for each in known if each.content is not Content.LABELS]
        ours = [
            each
            for each in known
            if each.content in (Content.OTHER, Content.UNCERTAINTY) and _is_asked(each.source, settings)
        ]
        is_uncertainty = [each.content is Content.UNCERTAINTY for each in ours]
        if ours and len(ours) == len(known):
            if all(is_uncertainty):
                return replace(inputs, sources=[_store(each, settings) for each in ours], content=Content.UNCERTAINTY)
            if not inputs.refused:
                more = f", and so are {len(ours) - 1} more" if ours[1:] else ""
                raise UsageError(
                    f"{ours[0].source.given!r} is a picture that was made of depth already{more}",
                    hint=_NAME_ANOTHER,
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
    sources = _pair_up(known, settings)
    if side_by_side and (orphans := _orphans(sources, settings)):
        maps = "1 depth map is" if len(orphans) == 1 else f"{len(orphans)} depth maps are"
        notes.append(f"{maps} left out of --side-by-side: the picture is not beside")
        sources = [each for each in sources if id(each) not in orphans]
    return replace(inputs, sources=sources, notes=notes)


def _search(
    settings: InputSettings, extensions: frozenset[str], leave_out: Callable[[Path], bool] | None = None
) -> Search:
    return Search(
        is_recursive=settings.recursive,
        root=settings.root,
        extensions=extensions,
        leave_out=leave_out,
        exclude=settings.exclude,
        shard=None if settings.shard is None else parse_shard(settings.shard),
        options=settings.reading or ReadOptions(),
    )


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

    lists = [ListFile(path) for path in settings.lists]
    lists += [ListFile(path, is_nulled=True) for path in settings.lists0]
    found = find_images(settings.named, _search(settings, extensions, leave), lists=lists)
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


def _is_asked(source: Source, settings: InputSettings) -> bool:
    """Whether an input was named itself, by an argument or in a list; folder scans leave our outputs out themselves."""
    return bool(settings.lists or settings.lists0) or source.given in settings.named


class _Identified(NamedTuple):
    """An input and its content."""

    source: ImageSource
    content: Content
    record: Record | None


def _store(found: _Identified, settings: InputSettings, content: Content | None = None) -> StoredSource:
    """An input as a stored map under the name of its picture, which is taken along where it lies beside."""
    source, own, record = found.source, PurePosixPath(found.source.name), found.record
    content = content or found.content
    # A picture of uncertainty must not have the name of the picture of its depth.
    stem = own.stem if content is Content.UNCERTAINTY else own.stem.removesuffix(f"_{content.value}") or own.stem
    name = str(own.with_name(stem + (PurePosixPath(record.source).suffix if record else own.suffix)))
    picture = None
    if record is not None and source.path is not None:
        beside = source.path.with_name(PurePosixPath(record.source).name or source.path.name)
        if beside != source.path and beside.is_file():
            picture = replace(source, path=beside, name=name)
            if is_made_from(record, picture) is False:
                picture = None
    kind = settings.depth_kind or DepthKind.METRIC
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


def _labels_alone(inputs: Sequence[_Identified], settings: InputSettings) -> list[StoredSource] | None:
    """The maps of labels, where all other inputs are their pictures; None where they are not, or there is none.

    Raises UsageError for labels that were named among other inputs.
    """
    labels = [each for each in inputs if each.content is Content.LABELS]
    if not labels:
        return None
    pictures = {each.source.name: each.source for each in inputs if each.content is not Content.LABELS}
    stored = [_store(each, settings) for each in labels]
    if pictures.keys() <= {each.name for each in stored}:
        return [replace(each, picture=pictures.get(each.name, each.picture)) for each in stored]
    for each in labels:
        if _is_asked(each.source, settings):
            raise UsageError(
                f"{each.source.given!r} is a map of labels, among inputs that are none", hint="Export them apart."
            )
    return None


def _pair_up(inputs: Iterable[_Identified], settings: InputSettings) -> list[Source]:
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
            stored = _store(each, settings, Content.DEPTH)
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


def _pictures_by_stem(inputs: Sequence[_Identified]) -> dict[PurePosixPath, ImageSource]:
    """The pictures among inputs that are said to be depth, each with a map of its name that looks more like depth."""
    groups: dict[PurePosixPath, list[_Identified]] = {}
    for each in inputs:
        groups.setdefault(_stem(each.source.name), []).append(each)
    pictures = {}
    for stem, group in groups.items():
        if len(group) > 1:
            first, *_, last = sorted(group, key=_likeness)
            if first.content is Content.PICTURE and _likeness(first) < _likeness(last):
                pictures[stem] = first.source
    return pictures


def _likeness(found: _Identified) -> int:
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
            kind = settings.depth_kind or DepthKind.METRIC
            scale, options = settings.depth_scale, picture.options
            maps.append(StoredSource(content, path, picture.name, picture.given, record, picture, scale, kind, options))
    return maps


def _choose_map(picture: ImageSource, maps: Sequence[StoredSource]) -> StoredSource | None:
    """The first map that says that it was made from these bytes; else, unless one was made from others, the first.

    A file of bare values that lies beside the map of another picture was most likely made with it.
    """
    maps = [each for each in maps if each.content is Content.DEPTH]
    is_own = [is_made_from(each.record, picture) for each in maps]
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
            is_other = is_made_from(stored.record, each) is False
            joined.append(replace(each, warnings=_OTHER_MAP) if is_other else replace(stored, picture=each))
        else:
            joined.append(each)
    return [each for each in joined if id(each) not in gone]


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


def _orphans(sources: Sequence[Source], settings: InputSettings) -> set[int]:
    """The ids of depth maps that cannot stand beside their picture, and were not named themselves.

    A folder of pictures may hold maps of another origin too, such as measured ones in a folder of their own. Those are
    left out, since their pictures are inputs; maps whose picture is not an input stay, and fail when their turn comes.
    """
    pictures = {PurePosixPath(each.name).name for each in sources if isinstance(each, ImageSource) or each.picture}

    def is_orphan(source: Source) -> bool:
        if isinstance(source, ImageSource) or source.picture is not None or _is_asked(source, settings):
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
