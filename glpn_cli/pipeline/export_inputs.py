"""What `export` and `measure` work on: pictures, stored depth maps, labels or uncertainty, found and told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from glpn_cli.errors import ErrorCode, InputError, UsageError
from glpn_cli.images import PICTURE_EXTENSIONS, Found, ImageSource, Refused
from glpn_cli.pipeline.doubting import is_uncertainty
from glpn_cli.pipeline.inputs import find_inputs
from glpn_cli.pipeline.labelling import is_stored_labels, tell_labels
from glpn_cli.pipeline.settings import ExplicitOptions, InputKind, InputSettings
from glpn_cli.pipeline.stored import DEPTH_EXTENSIONS, DepthSource, is_no_depth, tell_apart, without_orphans
from glpn_cli.prediction import DepthKind

EXTENSIONS = PICTURE_EXTENSIONS | frozenset(DEPTH_EXTENSIONS)

ExportSource = ImageSource | DepthSource

_OTHERWISE = "Name the depth map or the photograph, or take it for a picture with --as picture."


class Content(StrEnum):
    """What the inputs of an export are about."""

    DEPTH = "depth"
    LABELS = "labels"
    UNCERTAINTY = "uncertainty"


@dataclass(frozen=True)
class ExportInputs:
    """What an export works on: pictures and depth maps, or files of labels alone, or of uncertainty alone."""

    sources: Sequence[ExportSource]
    refused: Sequence[Refused]
    notes: Sequence[str]
    content: Content = Content.DEPTH

    @property
    def needs_network(self) -> bool:
        """Whether there is a picture whose map is not there yet."""
        is_depth = self.content is Content.DEPTH
        return is_depth and any(isinstance(source, ImageSource) for source in self.sources)

    @property
    def count_stored(self) -> int:
        """How many maps are there already."""
        if self.content is not Content.DEPTH:
            return len(self.sources)
        return sum(isinstance(source, DepthSource) for source in self.sources)

    @property
    def found(self) -> Found:
        """The same, where none of it is a depth map."""
        sources = tuple(source for source in self.sources if isinstance(source, ImageSource))
        return Found(sources, tuple(self.refused), tuple(self.notes))


def find_exports(
    choice: InputSettings,
    *,
    side_by_side: bool = False,
) -> ExportInputs | None:
    """Find pictures and stored maps; None where they come one by one on standard input.

    side_by_side: leave out, with a note, maps in the folders of pictures that are of no picture there

    Raises UsageError where there is nothing to do.
    """
    if choice.is_stream:
        return None
    named = None if choice.lists or choice.lists0 else frozenset(choice.named)
    found = find_inputs(choice, extensions=EXTENSIONS, leave_out=_is_nothing_to_export)
    if choice.kind is InputKind.AUTO:
        labels, others = tell_labels(found.sources, named=named)
        if labels:
            return ExportInputs(labels, found.refused, found.notes, Content.LABELS)
        found = replace(found, sources=tuple(others))
        found, content = _without_paintings(found, named=named)
        if content is Content.UNCERTAINTY:
            return ExportInputs(found.sources, found.refused, found.notes, content)
    sources = tell_apart(
        found.sources,
        kind=choice.kind,
        depth_scale=choice.depth_scale,
        depth_kind=choice.depth_kind or DepthKind.METRIC,
    )
    notes = found.notes
    if side_by_side:
        fitting = without_orphans(sources, named=named)
        if count := len(sources) - len(fitting):
            maps = "1 depth map is" if count == 1 else f"{count} depth maps are"
            notes = (*notes, f"{maps} left out of --side-by-side: the picture is not beside")
            sources = fitting
    return ExportInputs(sources, found.refused, notes)


def check_is_exported(source: ImageSource, *, kind: InputKind) -> ImageSource:
    """The source, unless it is a file that we made of depth, and is not to be taken for a picture (InputError).

    For items of a list that is still being written: which of them come alone, nobody knows.
    """
    if kind is not InputKind.AUTO or not is_no_depth(source.content):
        return source
    if is_uncertainty(source) or (source.path is not None and is_stored_labels(source.path)):
        raise InputError(
            f"{source.label} is no depth map, and what is no depth is painted alone",
            hint="Name it itself, not in a list, or take it for a picture with --as picture.",
            code=ErrorCode.UNSUPPORTED,
        )
    raise InputError(
        f"{source.label} is a picture that was made of depth already", hint=_OTHERWISE, code=ErrorCode.UNSUPPORTED
    )


def refuse_for_pictures(sources: Sequence[ExportSource], asked: ExplicitOptions, *options: str) -> None:
    """Refuse options about stored maps where there is none (UsageError)."""
    if not any(isinstance(source, DepthSource) for source in sources):
        asked.refuse(
            *options,
            because="is about depth maps, and there is none among the inputs",
            hint="Take the inputs for depth maps with --as depth.",
        )


def _is_nothing_to_export(path: Path) -> bool:
    return is_no_depth(path) and not is_stored_labels(path)


def _without_paintings(found: Found, *, named: frozenset[str] | None) -> tuple[Found, Content]:
    """What was found without our own pictures of depth, which `*.png` names too, and what it is about.

    Maps of uncertainty are painted where they come alone; among others they are left out likewise.

    named: what was asked for by name, since scans leave our pictures out themselves; None: everything was

    Raises UsageError where nothing is left.
    """
    asked = [source for source in found.sources if named is None or source.given in named]
    ours = [source for source in asked if is_no_depth(source.content)]
    if not ours:
        return found, Content.DEPTH
    if len(ours) == len(found.sources):
        if all(map(is_uncertainty, ours)):
            return found, Content.UNCERTAINTY
        if not found.refused:
            raise UsageError(
                f"{ours[0].given!r} is a picture that was made of depth already"
                + (f", and so are {len(ours) - 1} more" if ours[1:] else ""),
                hint=_OTHERWISE,
            )
    left_out = {id(source) for source in ours}
    are = "1 file that glpn made of depth is" if len(ours) == 1 else f"{len(ours)} files that glpn made of depth are"
    note = f"{are} left out" + ("; maps of uncertainty are painted alone" if any(map(is_uncertainty, ours)) else "")
    sources = tuple(source for source in found.sources if id(source) not in left_out)
    return replace(found, sources=sources, notes=(*found.notes, note)), Content.DEPTH
