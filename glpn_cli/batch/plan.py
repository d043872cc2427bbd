"""Which input becomes which file, decided before a model is loaded: what is there already, and what cannot be.

Planning reads names, file dates and the records of existing outputs, never a pixel. What makes no sense for the run as
a whole (two inputs for one output, an output that is an input, a folder that cannot be written) is a UsageError, and
nothing was started; what is wrong with one input alone becomes that input's outcome.
"""

from __future__ import annotations

import os
import stat
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from glpn_cli.batch.naming import Destination, NameTemplate
from glpn_cli.batch.outcome import Facts, Outcome, Output, Status
from glpn_cli.batch.policies import Existing
from glpn_cli.depth_files import Record, Writer, read_record
from glpn_cli.errors import ErrorCode, GlpnError, InputError, OutputError, UsageError, code_of, reason_of
from glpn_cli.images import Refused
from glpn_cli.publish import probe_writable

_MOST_SHOWN = 3


class Source(Protocol):
    """An input, as far as planning looks at it."""

    @property
    def path(self) -> Path | None:
        """Where it is; None for standard input."""

    @property
    def name(self) -> str:
        """The relative name that its results carry."""

    @property
    def given(self) -> str:
        """What the user typed that led to it."""


S = TypeVar("S", bound=Source)


@dataclass(frozen=True, slots=True)
class Target:
    """One file to write: where (None is standard output), by whom, and whether it may replace what is there."""

    path: str | None
    writer: Writer
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


@dataclass
class Plan(Generic[S]):
    """A run that can be started.

    tasks:    inputs to work on, in order
    settled:  outcomes that are known already: skipped, or in somebody's way
    notes:    what the user should know about the run, one sentence each
    """

    tasks: list[Task[S]] = field(default_factory=list)
    settled: list[Outcome] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def folders(self) -> set[str]:
        """The folders that will be written into."""
        paths = (target.path for task in self.tasks for target in task.targets)
        return {_folder_of(path) for path in paths if path is not None}

    def add_found(self, refused: Iterable[Refused], notes: Iterable[str]) -> None:
        """Put what was named and cannot be used, and what was noticed, in front of everything else."""
        self.settled[:0] = [
            Outcome(Status.ERROR, each.given, each.name, each.given, error=each.error) for each in refused
        ]
        self.notes[:0] = notes

    @property
    def total(self) -> int:
        """How many inputs there are."""
        return len(self.settled) + len(self.tasks)

    def outcomes_of_dry_run(self) -> Iterator[Outcome]:
        """What `--dry-run` reports of the tasks."""
        for task in self.tasks:
            outputs = (*task.kept, *(describe(target) for target in task.targets))
            yield settle(task.source, Status.PLANNED, outputs=outputs)


Expect = Callable[[S, Writer], Record | None]
"""What a file written now for a source would say about itself; None where the format cannot say."""


def make_plan(
    sources: Sequence[S],
    writers: Sequence[Writer],
    *,
    destination: Destination,
    template: NameTemplate,
    model: str,
    existing: Existing,
    expect: Expect[S],
) -> Plan[S]:
    """Decide what becomes of every source. Raises UsageError where the run as a whole makes no sense."""
    if destination.is_stdout or destination.is_file:
        _check_single(sources, writers, destination)
    if destination.is_stdout:
        return Plan([Task(source, (Target(None, writers[0]),)) for source in sources])
    paths = _output_paths(sources, writers, destination, template, model)
    _check_collisions(sources, writers, paths)
    judge = _Judge(sources, existing, expect)
    plan: Plan[S] = Plan()
    for index, source in enumerate(sources):
        wanted = [
            Target(path, writer)
            for path, writer in zip(paths[index * len(writers) : (index + 1) * len(writers)], writers, strict=True)
        ]
        try:
            judged = [judge.judge(source, target) for target in wanted]
        except (OutputError, InputError) as error:
            plan.settled.append(settle(source, Status.ERROR, error=error))
            continue
        targets = tuple(each for each in judged if isinstance(each, Target))
        kept = tuple(each for each in judged if isinstance(each, _Kept))
        outputs = tuple(each.output for each in kept)
        if targets:
            plan.tasks.append(Task(source, targets, outputs))
        else:
            facts = next((Facts.of_record(each.record) for each in kept if each.record), None)
            plan.settled.append(settle(source, Status.SKIPPED, outputs=outputs, facts=facts))
    for folder in sorted(plan.folders):
        probe_writable(Path(folder))
    if judge.unsure:
        names = " and ".join(sorted(judge.unsure))
        plan.notes.append(f"{names} files do not say how they were made; those that are there are taken as they are")
    return plan


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
    place = source.name if source.path is None else str(source.path)
    return Outcome(status, source.given, source.name, place, outputs, facts, warnings, seconds, error)


def describe(target: Target, record: Record | None = None) -> Output:
    """A file of a result as reports name it; `record` is what the file says about itself, where it does."""
    scale = record.depth_scale if record else getattr(target.writer, "depth_scale", None)
    is_metres = target.writer.map == "depth" and (record is None or record.kind.is_metric)
    return Output(
        path=target.path if target.path is not None else "-",
        format=target.writer.format,
        map=target.writer.map,
        unit="m" if is_metres else None,
        depth_scale=scale,
        range=record.painted if record else None,
    )


def _check_single(sources: Sequence[S], writers: Sequence[Writer], destination: Destination) -> None:
    where = "standard output" if destination.path is None else f"{str(destination.path)!r}"
    hint = "name a folder with -o"
    if len(sources) > 1:
        raise UsageError(f"{len(sources)} inputs cannot all be written to {where}", hint=hint)
    if len(writers) > 1:
        formats = " and ".join(writer.format for writer in writers)
        raise UsageError(f"{formats} cannot both be written to {where}", hint=hint)


def _output_paths(
    sources: Sequence[S], writers: Sequence[Writer], destination: Destination, template: NameTemplate, model: str
) -> list[str]:
    """One path a source and writer, source by source."""
    assert destination.path is not None
    if destination.is_file:
        return [str(destination.path)] * len(sources)
    folder = str(destination.path)
    paths = []
    for source in sources:
        parent = ""
        if template.asks_for_parent and source.path is not None:
            parent = source.path.absolute().parent.name
        for writer in writers:
            filled = template.fill(source.name, parent=parent, map=writer.map, model=model)
            paths.append(os.path.normpath(os.path.join(folder, filled + writer.extension)))  # noqa: PTH118 - 100,000
    return paths


def _check_collisions(sources: Sequence[S], writers: Sequence[Writer], paths: Sequence[str]) -> None:
    """Refuse two inputs, or two formats, for one output."""
    first: dict[str, int] = {}
    pairs: list[str] = []
    count = 0
    fold = _name_folding(paths)
    for index, path in enumerate(paths):
        other = first.setdefault(fold(path), index)
        if other == index:
            continue
        count += 1
        if len(pairs) < _MOST_SHOWN:
            one, two = (sources[position // len(writers)] for position in (other, index))
            if one is two:
                formats = (writers[position % len(writers)].format for position in (other, index))
                pairs.append(f"{' and '.join(formats)} of {one.name!r} -> {path!r}")
            else:
                pairs.append(f"{_place(one)!r} and {_place(two)!r} -> {path!r}")
    if pairs:
        more = f", and {count - len(pairs)} more" if count > len(pairs) else ""
        raise UsageError(
            f"several results would be the same file: {'; '.join(pairs)}{more}",
            hint="tell them apart with --name, such as '{name}_{map}', or keep their folders with --root",
        )


def _folder_of(path: str) -> str:
    return os.path.dirname(path)  # noqa: PTH120 - plain strings, 100,000 of them


def _place(source: Source) -> str:
    return source.name if source.path is None else str(source.path)


def _name_folding(paths: Sequence[str]) -> Callable[[str], str]:
    """How the file system at hand compares names: as they are, without case, without the form of accents."""
    if sys.platform == "darwin":
        return lambda path: unicodedata.normalize("NFC", path).casefold()
    if os.name == "nt" or (paths and _ignores_case(_folder_of(paths[0]))):
        return str.casefold
    return lambda path: path


def _ignores_case(folder: str) -> bool:
    """Whether the file system of a folder, or of the nearest parent that exists, takes A for a."""
    place = Path(folder).absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    turned = place.with_name(place.name.swapcase()) if place.name else place
    try:
        return turned.name != place.name and turned.samefile(place)
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class _Kept:
    """An output that is there already and good, and what it says about itself."""

    output: Output
    record: Record | None


class _Judge(Generic[S]):
    """Decides what becomes of an output: write it, or keep what is there.

    unsure: formats of outputs that were kept without knowing how they were made
    """

    def __init__(self, sources: Iterable[S], existing: Existing, expect: Expect[S]) -> None:
        self._inputs = _Inputs(sources)
        self._existing = existing
        self._expect = expect
        self.unsure: set[str] = set()

    def judge(self, source: S, target: Target) -> Target | _Kept:
        """What to write, or what to keep.

        Raises OutputError where something is in the way, UsageError where nothing can ever be written there.
        """
        assert target.path is not None
        path = target.path
        try:
            status = os.stat(path)  # noqa: PTH116 - plain strings, 100,000 of them
        except FileNotFoundError:
            return target
        except NotADirectoryError as error:
            raise UsageError(f"cannot write {path!r}: a parent of it is a file", code=ErrorCode.IO) from error
        except OSError as error:
            raise OutputError(f"cannot look at {path!r}: {reason_of(error)}", code=code_of(error)) from error
        if stat.S_ISDIR(status.st_mode):
            raise UsageError(f"cannot write {path!r}: it is a folder", hint="choose another name with --name or -o")
        if status in self._inputs:
            raise UsageError(f"output {path!r} is one of the inputs", hint="choose another folder with -o")
        if not stat.S_ISREG(status.st_mode) or self._existing is Existing.OVERWRITE:  # /dev/null, a pipe
            return replace(target, replaces=True)
        if self._existing is Existing.ERROR:
            raise _in_the_way(path, "is there already", "--existing skip, update or overwrite")
        if target.writer.carries_record:
            return self._judge_record(source, target, path, _is_older(status, source))
        if _is_older(status, source):
            raise _in_the_way(path, "is older than its input, and does not say who wrote it", "--existing overwrite")
        self.unsure.add(target.writer.format)
        return _Kept(describe(target), None)

    def _judge_record(self, source: S, target: Target, path: str, is_older: bool) -> Target | _Kept:
        """The same for a file that can say how it was made."""
        try:
            found = read_record(Path(path))
        except InputError as error:
            raise _in_the_way(path, f"cannot be trusted: {error.message}", "--existing overwrite") from error
        if found is None:
            raise _in_the_way(path, "was not written by glpn", "--existing overwrite, or another folder with -o")
        wanted = self._expect(source, target.writer)
        differences = found.differences(wanted) if wanted is not None else ()
        if not differences and not is_older:
            return _Kept(describe(target, found), found)
        if self._existing is Existing.UPDATE:
            return replace(target, replaces=True)
        why = f"was made otherwise: {differences[0]}" if differences else "is older than its input"
        raise _in_the_way(path, why, "--existing update makes it again")


def _is_older(status: os.stat_result, source: Source) -> bool:
    made_from = _status(source.path) if source.path is not None else None
    return made_from is not None and status.st_mtime_ns < made_from.st_mtime_ns


class _Inputs:
    """The inputs as the file system knows them; read only if an output exists that could be one."""

    def __init__(self, sources: Iterable[Source]) -> None:
        self._sources = sources
        self._known: set[tuple[int, int]] | None = None

    def __contains__(self, status: os.stat_result) -> bool:
        if self._known is None:
            found = (_status(source.path) for source in self._sources if source.path is not None)
            self._known = {(each.st_dev, each.st_ino) for each in found if each is not None}
        return (status.st_dev, status.st_ino) in self._known


def _status(path: str | Path) -> os.stat_result | None:
    try:
        return os.stat(path)  # noqa: PTH116 - plain strings, 100,000 of them
    except OSError:
        return None


def _in_the_way(path: str, why: str, hint: str) -> OutputError:
    return OutputError(f"{path!r} {why}", hint=hint, code=ErrorCode.EXISTS)
