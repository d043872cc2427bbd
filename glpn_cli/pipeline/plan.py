"""The plan of a run: the files that every input becomes, decided before a model is loaded.

Planning reads names, file dates and the records of existing outputs, never a pixel. A request that makes no sense as a
whole (two inputs for one output, an output that is an input, a folder that cannot be written) is a UsageError, and
nothing was started; a problem of one input is that input's outcome.
"""

from __future__ import annotations

import os
import stat
import sys
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glpn_cli.atomic_write import probe_writable
from glpn_cli.depth_files import Record, read_record
from glpn_cli.errors import ErrorCode, InputError, OutputError, UsageError, code_of, reason_of
from glpn_cli.images import ImageSource, Refused
from glpn_cli.pipeline.outputs import OutputRules, Target
from glpn_cli.pipeline.report import Outcome, Output, Status, record_facts
from glpn_cli.pipeline.settings import Existing
from glpn_cli.pipeline.sources import Source, Sources, is_made_from

if TYPE_CHECKING:
    from glpn_cli.images.given import GivenSource

_MOST_SHOWN = 3
_OVERWRITE = "Replace it with --existing overwrite."


@dataclass(frozen=True, slots=True)
class Task:
    """One input to work on.

    targets: the files to write
    kept:    outputs that exist already and are good
    """

    source: Source | GivenSource
    targets: tuple[Target, ...]
    kept: tuple[Output, ...] = ()

    def planned(self) -> Outcome:
        """Its outcome in a dry run."""
        return make_outcome(
            self.source, Status.PLANNED, outputs=(*self.kept, *(each.describe() for each in self.targets))
        )


@dataclass
class Plan:
    """A run that can be started.

    tasks:   inputs to work on, in order
    known:   outcomes that are known already
    notes:   for the user, one sentence each
    look_again: the work that is left of a task when its turn comes
    """

    tasks: list[Task] = field(default_factory=list)
    known: list[Outcome] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    look_again: Callable[[Task], Task | Outcome] = field(default=lambda task: task, repr=False)

    def remaining(self) -> Iterator[Task | Outcome]:
        """The tasks, each looked at again when its turn comes: another run on the folder may have made its files."""
        return map(self.look_again, self.tasks)

    @property
    def folders(self) -> set[str]:
        """The folders that will be written into."""
        paths = (target.path for task in self.tasks for target in task.targets)
        return {_folder_of(path) for path in paths if path is not None}

    @property
    def swept(self) -> set[str]:
        """The folders where an earlier run may have left temporary files: those, and the ones of existing outputs."""
        places = (output.path for outcome in self.known for output in outcome.outputs if output.path != "-")
        return self.folders | {_folder_of(path) for path in places}

    @property
    def total(self) -> int:
        """The number of inputs."""
        return len(self.known) + len(self.tasks)


def make_outcome(source: Source | GivenSource, status: Status, **facts: Any) -> Outcome:
    """The outcome of a source."""
    return Outcome(status, source.given, source.name, place_of(source), **facts)


def refused_outcome(refused: Refused) -> Outcome:
    """The outcome of an input that cannot be used."""
    return Outcome(Status.ERROR, refused.given, refused.name, refused.given, error=refused.error)


def place_of(source: Source | GivenSource) -> str:
    """The path of a source, for people."""
    if source.path is not None:
        return str(source.path)
    if source.given != "-":
        return source.given
    return "standard input" if source.name == "stdin" else source.name  # or one of its frames


def make_plan(inputs: Sources, rules: OutputRules) -> Plan:
    """Plan all inputs. Raises UsageError where the run as a whole makes no sense."""
    sources = inputs.sources
    if rules.destination.is_stdout or rules.destination.is_file:
        _check_single(sources, rules)
    plan = Plan(known=[refused_outcome(each) for each in inputs.refused], notes=list(inputs.notes))
    wanted = [rules.targets(source) for source in sources]
    if rules.destination.is_stdout:
        plan.tasks = [Task(source, targets) for source, targets in zip(sources, wanted, strict=True)]
        return plan
    _check_collisions(sources, wanted)
    existing = ExistingOutputs(rules, sources)
    plan.look_again = existing.look_again
    for source, targets in zip(sources, wanted, strict=True):
        planned = existing.resolve(source, targets)
        if isinstance(planned, Task):
            plan.tasks.append(planned)
        else:
            plan.known.append(planned)
    for folder in sorted(plan.folders):
        probe_writable(Path(folder))
    plan.notes += existing.notes
    return plan


def _check_single(sources: Sequence[Source], rules: OutputRules) -> None:
    destination, writers = rules.destination, rules.writers
    where = "standard output" if destination.path is None else f"{str(destination.path)!r}"
    hint = "Name a folder with -o."
    if len(sources) > 1:
        raise UsageError(f"{len(sources)} inputs cannot all be written to {where}", hint=hint)
    if len(writers) > 1:
        formats = " and ".join(writer.format for writer in writers)
        raise UsageError(f"{formats} cannot both be written to {where}", hint=hint)


def _check_collisions(sources: Sequence[Source], wanted: Sequence[Sequence[Target]]) -> None:
    """Refuse two inputs, or two formats, for one output (UsageError)."""
    first: dict[str, tuple[int, Target]] = {}
    pairs: list[str] = []
    count, hint = 0, ""
    fold = name_folding(next((target.path for targets in wanted for target in targets), None))
    for index, targets in enumerate(wanted):
        for target in targets:
            assert target.path is not None
            other, earlier = first.setdefault(fold(target.path), (index, target))
            if earlier is target:
                continue
            count += 1
            if len(pairs) < _MOST_SHOWN:
                pairs.append(f"{_both(sources[other], earlier, sources[index], target)} -> {target.path!r}")
                hint = hint or _tell_apart(sources[other], sources[index])
    if pairs:
        more = f", and {count - len(pairs)} more" if count > len(pairs) else ""
        raise UsageError(f"several results would be the same file: {'; '.join(pairs)}{more}", hint=hint)


def _tell_apart(one: Source, two: Source) -> str:
    """How results of one name are told apart: two formats of a source, x.jpg and x.png, or a/x.jpg and b/x.jpg."""
    if one is two:
        return "Tell them apart with: --name '{stem}_{map}'"
    if one.name != two.name:
        return "Tell them apart with: --name '{name}_{map}'"
    return "Keep their folders with --root DIR, or tell them apart with --name."


def _both(one: Source, earlier: Target, two: Source, later: Target) -> str:
    if one is two:
        word = "map" if earlier.writer.format == later.writer.format else "format"
        return f"{getattr(earlier.writer, word)} and {getattr(later.writer, word)} of {one.name!r}"
    return f"{place_of(one)!r} and {place_of(two)!r}"


def _folder_of(path: str) -> str:
    return os.path.dirname(path)  # noqa: PTH120 - plain strings, 100,000 of them


def name_folding(path: str | None) -> Callable[[str], str]:
    """How the file system at a path compares names: as they are, without case, without the form of accents."""
    if sys.platform == "darwin":
        return lambda name: unicodedata.normalize("NFC", name).casefold()
    if os.name == "nt" or (path is not None and _ignores_case(_folder_of(path))):
        return str.casefold
    return lambda name: name


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


# Outputs that exist


class ExistingOutputs:
    """Decides for every output that exists: keep it, replace it, or report that it is in the way.

    may_come: whether the file at a path may be an input that has not been named yet
    """

    def __init__(
        self, rules: OutputRules, sources: Iterable[Source], *, may_come: Callable[[str], bool] = lambda _: False
    ) -> None:
        self._rules = rules
        self._unread = list(sources)
        self._inputs: set[tuple[int, int]] = set()
        self._may_come = may_come
        self._changed: Source | None = None  # the last one that is not what its output was made from
        self._unsure: set[str] = set()  # formats of outputs that were kept without knowing how they were made

    @property
    def notes(self) -> list[str]:
        """For the user, about outputs that were kept."""
        if not self._unsure:
            return []
        names = " and ".join(sorted(self._unsure))
        return [f"{names} files do not say how they were made; those that are there are taken as they are"]

    def add_input(self, source: Source) -> None:
        """One more input, which no output may be."""
        self._unread.append(source)

    def resolve(self, source: Source, targets: Sequence[Target]) -> Task | Outcome:
        """The work that is left for a source, or its outcome. Raises UsageError where a target can never be written."""
        outputs: list[Output] = []
        missing: list[Target] = []
        record = None
        try:
            for target in targets:
                decided = self._resolve_target(source, target)
                if isinstance(decided, Target):
                    missing.append(decided)
                else:
                    outputs.append(target.describe(decided[0]))
                    record = record or decided[0]
            if self._changed is source:
                self._refuse_bare(targets, missing)
        except (OutputError, InputError) as error:
            return make_outcome(source, Status.ERROR, error=error)
        if missing:
            return Task(source, tuple(missing), tuple(outputs))
        facts = record_facts(record) if record else {}
        return make_outcome(source, Status.SKIPPED, outputs=tuple(outputs), facts=facts)

    def look_again(self, task: Task) -> Task | Outcome:
        """The work that is left of a task, some of whose new files may have come since it was planned."""
        new = [target.path for target in task.targets if target.path is not None and not target.replaces]
        if not isinstance(task.source, Source) or not any(map(os.path.exists, new)):
            return task
        try:
            return self.resolve(task.source, self._rules.targets(task.source))
        except UsageError as error:
            return make_outcome(task.source, Status.ERROR, error=error)

    def _refuse_bare(self, targets: Sequence[Target], missing: Sequence[Target]) -> None:
        """Raise OutputError for files of bare values that would stay beside a map that is made anew."""
        made = {target.path for target in missing}
        for target in targets:
            if target.path is not None and target.path not in made and not target.writer.carries_record:
                why = "does not say what it was made from, and the map beside it was made from another picture"
                raise _in_the_way(target.path, why, _OVERWRITE)

    def _resolve_target(self, source: Source, target: Target) -> Target | tuple[Record | None]:
        """The target to write, or the record of the file that is kept.

        Raises OutputError where something is in the way, UsageError where nothing can ever be written there.
        """
        assert target.path is not None
        path, existing = target.path, self._rules.existing
        try:
            status = os.stat(path)  # noqa: PTH116 - plain strings, 100,000 of them
        except FileNotFoundError:
            # Another run on the same folder may be quicker: to overwrite means that too.
            return replace(target, replaces=existing is Existing.OVERWRITE)
        except NotADirectoryError as error:
            in_the_way = next(each for each in Path(path).parents if each.exists())
            raise UsageError(
                f"cannot write {path!r}: {str(in_the_way)!r} is a file, and not a folder",
                hint=f"Choose a folder with -o, or a file that ends in {target.writer.extension}.",
                code=ErrorCode.IO,
            ) from error
        except OSError as error:
            raise OutputError(f"cannot look at {path!r}: {reason_of(error)}", code=code_of(error)) from error
        if stat.S_ISDIR(status.st_mode):
            raise UsageError(f"cannot write {path!r}: it is a folder", hint="Choose another name with --name or -o.")
        if self._is_input(status):
            raise UsageError(f"output {path!r} is one of the inputs", hint="Choose another folder with -o.")
        if not stat.S_ISREG(status.st_mode):  # /dev/null, a pipe
            return replace(target, replaces=True)
        if existing is Existing.OVERWRITE:
            if self._may_come(path):
                why = "was not written by glpn, and the list may name it yet"
                raise _in_the_way(path, why, "Choose another folder with -o.")
            return replace(target, replaces=True)
        if existing is Existing.ERROR:
            raise _in_the_way(path, "is there already", "Use --existing skip, update or overwrite.")
        if target.writer.carries_record:
            return self._compare_record(source, target, path, _is_older(status, source))
        if _is_older(status, source):
            raise _in_the_way(path, "is older than its input, and does not say who wrote it", _OVERWRITE)
        self._unsure.add(target.writer.format)
        return (None,)

    def _compare_record(self, source: Source, target: Target, path: str, is_older: bool) -> Target | tuple[Record]:
        """The same for a format whose files say how they were made."""
        try:
            found = read_record(Path(path), whole=True)
        except InputError as error:
            raise _in_the_way(path, f"cannot be trusted: {error.message}", _OVERWRITE) from error
        if found is None:
            hint = "Replace it with --existing overwrite, or choose another folder with -o."
            raise _in_the_way(path, "was not written by glpn", hint)
        wanted = self._rules.expect(source, target.writer)
        differences = found.differences(wanted) if wanted is not None else ()
        differences += found.camera_difference(self._rules.focal)
        is_same = _is_of_same_bytes(found, wanted, source)
        if is_same is False:
            self._changed = source
        is_stale = is_older if is_same is None else not is_same
        if not differences and not is_stale:
            return (found,)
        if self._rules.existing is Existing.UPDATE:
            return replace(target, replaces=True)
        stale = "is older than its input" if is_same is None else "was made from another picture than its input is now"
        why = f"was made otherwise: {differences[0]}" if differences else stale
        raise _in_the_way(path, why, "Make it again with --existing update.")

    def _is_input(self, status: os.stat_result) -> bool:
        """Whether a file is an input, or the picture of one; those are looked up only once an output exists."""
        while self._unread:
            source = self._unread.pop()
            for each in (source, getattr(source, "picture", None)):
                found = _status(each.path) if each is not None and each.path is not None else None
                if found is not None:
                    self._inputs.add((found.st_dev, found.st_ino))
        return (status.st_dev, status.st_ino) in self._inputs


def _status(path: str | Path) -> os.stat_result | None:
    try:
        return os.stat(path)  # noqa: PTH116 - plain strings, 100,000 of them
    except OSError:
        return None


def _is_older(status: os.stat_result, source: Source) -> bool:
    made_from = _status(source.path) if source.path is not None else None
    if made_from is None or made_from.st_mtime_ns > time.time_ns():
        return False  # a date in the future, by a clock that was wrong, says nothing
    return status.st_mtime_ns < made_from.st_mtime_ns


def _is_of_same_bytes(found: Record, wanted: Record | None, source: Source) -> bool | None:
    """Whether an output was made from the picture that the input is, or is a map of; None where records do not tell."""
    if isinstance(source, ImageSource):
        return is_made_from(found, source)
    made, given = (each and each.provenance and each.provenance.source_blake2b for each in (found, wanted))
    return made == given if made and given else None


def _in_the_way(path: str, why: str, hint: str) -> OutputError:
    return OutputError(f"{path!r} {why}", hint=hint, code=ErrorCode.EXISTS)
