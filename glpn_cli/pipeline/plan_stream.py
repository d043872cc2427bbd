"""The plan of a list that is still being written, item by item.

Nothing is known of the items to come, so that here a collision is the error of the item that brings it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from glpn_cli.atomic_write import probe_writable
from glpn_cli.depth_files import is_own_output
from glpn_cli.errors import ErrorCode, InputError, OutputError, UsageError
from glpn_cli.images import PICTURE_EXTENSIONS, ImageSource, Refused, iterate_list
from glpn_cli.pipeline.outputs import OutputRules, Target
from glpn_cli.pipeline.pairing import DEPTH_EXTENSIONS, Identified, pair_up
from glpn_cli.pipeline.plan import ExistingOutputs, Task, make_outcome, name_folding, place_of, refused_outcome
from glpn_cli.pipeline.report import Outcome, Status
from glpn_cli.pipeline.search import DEPTH_LIKE, NAME_ANOTHER, PAINT_IT, make_search
from glpn_cli.pipeline.settings import InputKind
from glpn_cli.pipeline.sources import Content, Source, Sources, ambiguous_error, clip_error, identify


class StreamPlanner:
    """Plans the items of a list one by one, and remembers their outputs.

    folder: of the results
    fold:   how its file system compares names

    Raises UsageError where the results would not go into a folder, or that cannot be written, and where two formats of
    an item would be one file.
    """

    def __init__(self, inputs: Sources, rules: OutputRules) -> None:
        destination = rules.destination
        if destination.path is None or destination.is_file:
            raise UsageError("a list on standard input needs a folder for its results", hint="Name one with -o DIR.")
        _check_formats(rules)
        self._inputs = inputs
        self._rules = rules
        self._existing = ExistingOutputs(rules, (), may_come=self._may_come)
        self._taken: dict[str, str] = {}
        self.fold = name_folding(str(destination.path / "x"))
        self.folder: Path = destination.path
        probe_writable(self.folder)

    def plan_all(self) -> Iterator[Task | Outcome]:
        """The work for every item, or its outcome, as the items come."""
        is_empty = True
        for item in _read_stream(self._inputs):
            is_empty = False
            yield refused_outcome(item) if isinstance(item, Refused) else self.plan(item)
        if is_empty and not self._inputs.settings.allow_empty:
            raise UsageError("the list on standard input is empty", hint="Add --allow-empty to make this no error.")

    def plan(self, item: ImageSource) -> Task | Outcome:
        """The work for one item, or its outcome."""
        self._existing.add_input(item)
        try:
            source = _interpret(self._inputs, item)
        except InputError as error:
            return make_outcome(item, Status.ERROR, error=error)
        self._existing.add_input(source)
        targets = self._rules.targets(source)
        for target in targets:
            assert target.path is not None
            other = self._taken.setdefault(self.fold(target.path), place_of(source))
            if other != place_of(source):
                taken = OutputError(f"{other!r} is written to {target.path!r} already", code=ErrorCode.EXISTS)
                return make_outcome(source, Status.ERROR, error=taken)
        return _resolve(self._existing, source, targets)

    def plan_alone(self, item: ImageSource) -> Task | Outcome:
        """The work for one item whose outputs are nobody else's; nothing is remembered of it."""
        try:
            source = _interpret(self._inputs, item)
        except InputError as error:
            return make_outcome(item, Status.ERROR, error=error)
        existing = ExistingOutputs(self._rules, (item, source), may_come=self._may_come)
        return _resolve(existing, source, self._rules.targets(source))

    def _may_come(self, path: str) -> bool:
        """Whether a file could be a later item: it is none of ours, and can be worked on."""
        if is_own_output(Path(path)):
            return False
        try:
            _interpret(self._inputs, ImageSource(Path(path), path, path))
        except InputError:
            return False
        return True


def _resolve(existing: ExistingOutputs, source: Source, targets: Sequence[Target]) -> Task | Outcome:
    """The work that is left for an item; where nothing can be written, now or ever, that is its error."""
    try:
        return existing.resolve(source, targets)
    except UsageError as error:
        known = OutputError(error.message, hint=error.hint, code=error.code)
        return make_outcome(source, Status.ERROR, error=known)


def _check_formats(rules: OutputRules) -> None:
    """Refuse two formats of any one item for one file (UsageError)."""
    first: dict[str, str] = {}
    for writer in rules.writers:
        other = first.setdefault(rules.name_of(writer, "x.x", parent="x"), writer.format)
        if other != writer.format:
            raise UsageError(
                f"{other} and {writer.format} of every input would be the same file",
                hint="Tell them apart with --name, such as '{stem}_{map}'.",
            )


def _read_stream(inputs: Sources) -> Iterator[ImageSource | Refused]:
    """The items of the list on standard input, each as soon as its line is complete."""
    if sys.stdin is None:
        raise UsageError("standard input is closed")
    extensions = PICTURE_EXTENSIONS | frozenset(DEPTH_EXTENSIONS if inputs.takes_maps else ())
    search = make_search(inputs.settings, extensions)
    return iterate_list(_Unbuffered(sys.stdin.buffer), search, is_nulled=bool(inputs.settings.lists0))


def _interpret(inputs: Sources, item: ImageSource) -> Source:
    """An item of the stream as a picture or a depth map. Raises InputError where it is neither."""
    settings = inputs.settings
    if settings.kind is InputKind.PICTURE:
        return item
    content, record = identify(item.content)
    if content is Content.CLIP:
        raise clip_error(item.label)
    if settings.kind is InputKind.AUTO:
        if content is Content.AMBIGUOUS:
            if inputs.takes_maps:
                raise ambiguous_error(item.label)
            return replace(item, warnings=DEPTH_LIKE)
        if not inputs.takes_maps and content is not Content.PICTURE:
            raise InputError(
                f"{item.label} is a depth map already",
                hint=PAINT_IT,
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
                hint=NAME_ANOTHER,
                code=ErrorCode.UNSUPPORTED,
            )
    return pair_up([Identified(item, content, record)], settings)[0] if inputs.takes_maps else item


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
