"""What is to be done: an input, the files it becomes, and the rules that say which."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from glpn_cli.depth_files import Record, Writer
from glpn_cli.errors import GlpnError
from glpn_cli.pipeline.naming import Destination, NameTemplate
from glpn_cli.pipeline.outcome import Facts, Outcome, Output, Status
from glpn_cli.pipeline.settings import Existing
from glpn_cli.prediction import DepthKind


class Source(Protocol):
    """An input, as far as planning looks at it."""

    @property
    def path(self) -> Path | None:
        """Where it is; None for what came through standard input or a pipe."""

    @property
    def name(self) -> str:
        """The relative name that its results carry."""

    @property
    def given(self) -> str:
        """What the user typed that led to it."""


S = TypeVar("S", bound=Source)

_MEASURES = frozenset({"depth", "points", "uncertainty"})
"""The maps whose numbers are depths or lengths; the others hold colours and labels."""


@dataclass(frozen=True, slots=True)
class Target:
    """One file to write: where (None is standard output), by whom, and whether it may replace what is there.

    kind: what the depths in it mean; None where there are none, but labels or colours
    """

    path: str | None
    writer: Writer
    kind: DepthKind | None
    replaces: bool = False


@dataclass(frozen=True, slots=True)
class Task(Generic[S]):
    """One input to work on.

    targets: what to write
    kept:    outputs that are there already and good
    """

    source: S
    targets: tuple[Target, ...]
    kept: tuple[Output, ...] = ()

    def planned(self) -> Outcome:
        """What `--dry-run` says of it."""
        return settle(self.source, Status.PLANNED, outputs=(*self.kept, *map(describe, self.targets)))


@dataclass(frozen=True)
class OutputRules(Generic[S]):
    """What becomes of any source: everything about outputs that is known without looking at an input.

    writers: one a format
    model:   what `{model}` in names stands for
    expect:  what a file written now for a source would say about itself; None where the format cannot say
    kind_of: what the depths of a source mean, or will; None where they become none
    """

    writers: Sequence[Writer]
    destination: Destination
    template: NameTemplate
    model: str
    existing: Existing
    expect: Callable[[S, Writer], Record | None]
    kind_of: Callable[[S], DepthKind | None]

    def targets(self, source: S) -> tuple[Target, ...]:
        """The files that a source would become, whatever is there already."""
        kind = self.kind_of(source)
        return tuple(Target(self._path(source, writer), writer, kind) for writer in self.writers)

    def _path(self, source: S, writer: Writer) -> str | None:
        destination = self.destination
        if destination.path is None or destination.is_file:
            return None if destination.path is None else str(destination.path)
        parent = ""
        if self.template.asks_for_parent and source.path is not None:
            parent = source.path.absolute().parent.name
        # os.path, not Path: there may be 100,000 of them.
        name = self.name_of(writer, source.name, parent=parent)
        return os.path.normpath(os.path.join(destination.path, name))  # noqa: PTH118

    def name_of(self, writer: Writer, name: str, *, parent: str) -> str:
        """What a writer's file is called, below the destination; see `NameTemplate.fill`.

        Where two formats share map and extension, as gray and gray16 do, {map} is the format.
        """
        likes = sum((each.map, each.extension) == (writer.map, writer.extension) for each in self.writers)
        shown = writer.map if likes == 1 else writer.format
        filled = self.template.fill(name, parent=parent, map=shown, format=writer.format, model=self.model)
        return filled + writer.extension


def settle(
    source: Source,
    status: Status,
    *,
    outputs: tuple[Output, ...] = (),
    facts: Facts | None = None,
    warnings: tuple[str, ...] = (),
    seconds: float | None = None,
    error: GlpnError | None = None,
) -> Outcome:
    """What became of a source."""
    return Outcome(status, source.given, source.name, place_of(source), outputs, facts, warnings, seconds, error)


def describe(target: Target, record: Record | None = None) -> Output:
    """A file of a result as reports name it; `record` is what the file says about itself, where it does."""
    scale = record.depth_scale if record else getattr(target.writer, "depth_scale", None)
    return Output(
        path=target.path if target.path is not None else "-",
        format=target.writer.format,
        map=target.writer.map,
        unit=target.kind.unit if target.kind is not None and target.writer.map in _MEASURES else None,
        depth_scale=scale,
        range=record.painted if record else None,
    )


def place_of(source: Source) -> str:
    """Where a source is, for people."""
    if source.path is not None:
        return str(source.path)
    if source.given != "-":
        return source.given
    return "standard input" if source.name == "stdin" else source.name  # or one of its frames
