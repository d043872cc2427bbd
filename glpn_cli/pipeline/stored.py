"""Depth maps that are on disk already, as inputs: which files are maps, and which pictures have theirs beside them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from glpn_cli.depth_files import Record, StoredDepth, is_depth_file, is_own_output, read_depth, read_record
from glpn_cli.errors import InputError
from glpn_cli.images import ImageSource, ReadOptions
from glpn_cli.pipeline.settings import InputKind
from glpn_cli.prediction import DepthKind

DEPTH_EXTENSIONS = (".png", ".tif", ".tiff", ".npy", ".npz", ".pfm", ".exr")
_SUFFIX = "_depth"


@dataclass(frozen=True)
class DepthSource:
    """A stored depth map, and the picture that it belongs to where that is at hand.

    path:        the file; None where the bytes are at hand
    name:        what the picture is called: `a/x.jpg` for `a/x_depth.png`
    record:      what the file says about itself
    depth_scale: stored units per metre, for integers in files that do not say
    options:     where it is read
    data:        the bytes, for what came through standard input or a pipe
    kind:        what the numbers mean in files that do not say
    """

    path: Path | None
    name: str
    given: str
    record: Record | None = None
    picture: ImageSource | None = None
    depth_scale: float | None = None
    options: ReadOptions = ReadOptions()  # noqa: RUF009 - frozen
    data: bytes | None = None
    kind: DepthKind = DepthKind.METRIC

    @property
    def depth_kind(self) -> DepthKind:
        """What the numbers mean, by the file's own word or else the user's."""
        return self.record.depth_kind if self.record else self.kind

    def read(self) -> StoredDepth:
        """The map. Raises InputError."""
        content = self.data if self.path is None else Path(os.path.realpath(self.path))
        assert content is not None
        about = repr(self.given if self.path is None else str(self.path))
        return self.options.run(read_depth, content, about=about, depth_scale=self.depth_scale, kind=self.kind)

    def read_colors(self) -> NDArray[np.uint8]:
        """The picture. Raises InputError where it is not at hand."""
        if self.picture is None:
            raise InputError(
                "the picture that it was made of is not beside it",
                hint="Name the folder of the pictures too: glpn export PICTURES MAPS --side-by-side",
            )
        return self.picture.read_colors()


def is_no_depth(source: Path | bytes) -> bool:
    """Whether a scan for pictures and maps should leave a file: our own pictures of depth."""
    return is_own_output(source) and not is_depth_file(source)


def tell_apart(
    sources: Iterable[ImageSource],
    *,
    kind: InputKind = InputKind.AUTO,
    depth_scale: float | None = None,
    depth_kind: DepthKind = DepthKind.METRIC,
) -> list[ImageSource | DepthSource]:
    """Which inputs are depth maps, and which pictures have theirs beside them or among the inputs.

    A picture with its map is painted from that; the map itself, if it is an input too, is then no second one. Of the
    same map in several formats one is taken.

    depth_scale, depth_kind: what maps mean that do not say, see `DepthSource`
    """
    sources = list(sources)
    if kind is InputKind.PICTURE:
        return list(sources)
    folders = _Folders()
    maps: list[DepthSource] = []
    found: list[ImageSource | DepthSource] = []
    taken: set[Path] = set()
    for source in sources:
        if _is_map(source, kind):
            maps.append(_stored(source, depth_scale))
            found.append(maps[-1])
        elif (beside := _with_map_beside(source, folders, depth_scale)) is not None:
            assert beside.path is not None
            taken.add(beside.path.absolute())
            found.append(beside)
        else:
            found.append(source)
    doubled = {id(each) for each in maps if each.path is not None and each.path.absolute() in taken}
    doubled |= {id(each) for each in _other_forms(each for each in maps if id(each) not in doubled)}
    joined = _join([each for each in found if id(each) not in doubled])
    return [replace(each, kind=depth_kind) if isinstance(each, DepthSource) else each for each in joined]


def _join(sources: Sequence[ImageSource | DepthSource]) -> list[ImageSource | DepthSource]:
    """The same, with each map that came without its picture joined to it, where it is an input of the same name."""
    alone = {
        each.name: each
        for each in reversed(sources)
        if isinstance(each, DepthSource) and each.picture is None and _is_of(each.record, PurePosixPath(each.name))
    }
    joined: list[ImageSource | DepthSource] = []
    gone: set[int] = set()
    for each in sources:
        if isinstance(each, ImageSource) and (stored := alone.pop(each.name, None)) is not None:
            gone.add(id(stored))
            joined.append(replace(stored, picture=each))
        else:
            joined.append(each)
    return [each for each in joined if id(each) not in gone]


def _is_of(record: Record | None, picture: PurePosixPath) -> bool:
    """Whether a map says that it is of this picture."""
    return record is not None and PurePosixPath(record.source).name == picture.name


def without_orphans(
    sources: Sequence[ImageSource | DepthSource], *, named: frozenset[str] | None
) -> list[ImageSource | DepthSource]:
    """The sources that can stand beside their picture, as far as nobody asked for the others.

    A folder of pictures may hold maps of another origin too, such as measured ones in a folder of their own. Those are
    left out, since their pictures are there already; maps that were named, or whose picture is not, stay, and are told
    when their turn comes.

    named: what was asked for by name; None: everything was
    """
    pictures = {PurePosixPath(each.name).name for each in sources if isinstance(each, ImageSource) or each.picture}
    if named is None or not pictures:
        return list(sources)

    def stays(source: ImageSource | DepthSource) -> bool:
        if isinstance(source, ImageSource) or source.picture is not None or source.given in named:
            return True
        return source.record is not None and PurePosixPath(source.record.source).name not in pictures

    return [each for each in sources if stays(each)]


def _other_forms(maps: Iterable[DepthSource]) -> Iterator[DepthSource]:
    """Maps that are there in a better form too: of `x_depth.png` and `x_depth.npy`, the one that says what it is."""
    best: dict[tuple[Path, str], DepthSource] = {}
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


def _is_map(source: ImageSource, kind: InputKind) -> bool:
    return kind is InputKind.DEPTH or is_depth_file(source.content)


def _stored(source: ImageSource, depth_scale: float | None) -> DepthSource:
    """A file that is a map, named after its picture; which is taken along if it lies beside."""
    record = find_record(source.content)
    own = PurePosixPath(source.name)
    extension = PurePosixPath(record.source).suffix if record else own.suffix
    name = str(own.with_name(own.stem.removesuffix(_SUFFIX) + extension)) if own.stem != _SUFFIX else source.name
    picture = None
    if record is not None and source.path is not None:
        beside = source.path.with_name(PurePosixPath(record.source).name or source.path.name)
        if beside != source.path and beside.is_file():
            picture = replace(source, path=beside, name=name)
    return DepthSource(source.path, name, source.given, record, picture, depth_scale, source.options, source.data)


def _with_map_beside(picture: ImageSource, folders: _Folders, depth_scale: float | None) -> DepthSource | None:
    """The map that lies beside a picture, under the name that `predict` gives it."""
    if picture.path is None:
        return None
    for extension in DEPTH_EXTENSIONS:
        path = picture.path.with_name(picture.path.stem + _SUFFIX + extension)
        if not folders.has(path) or not is_depth_file(path):
            continue
        record = find_record(path)
        if record is None or _is_of(record, PurePosixPath(picture.path.name)):
            return DepthSource(path, picture.name, picture.given, record, picture, depth_scale, picture.options)
    return None


def find_record(source: Path | bytes) -> Record | None:
    """What a file of ours says about itself; what cannot be read is told when its turn comes."""
    try:
        return read_record(source)
    except InputError:
        return None


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
