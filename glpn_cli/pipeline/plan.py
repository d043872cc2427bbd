"""Which input becomes which file, decided before a model is loaded: what is there already, and what cannot be.

Planning reads names, file dates and the records of existing outputs, never a pixel. What makes no sense for the run as
a whole (two inputs for one output, an output that is an input, a folder that cannot be written) is a UsageError, and
nothing was started; what is wrong with one input alone becomes that input's outcome.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from glpn_cli.atomic_write import probe_writable
from glpn_cli.errors import UsageError
from glpn_cli.images import Refused
from glpn_cli.pipeline.judging import Inputs, Judge
from glpn_cli.pipeline.outcome import Outcome, Status
from glpn_cli.pipeline.tasks import OutputRules, Source, Target, Task, place_of

S = TypeVar("S", bound=Source)

_MOST_SHOWN = 3


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

    @property
    def swept(self) -> set[str]:
        """The folders that a run before may have left something in: those, and where its results are already."""
        places = (output.path for outcome in self.settled for output in outcome.outputs if output.path != "-")
        return self.folders | {_folder_of(path) for path in places}

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


def make_plan(sources: Sequence[S], rules: OutputRules[S]) -> Plan[S]:
    """Decide what becomes of every source. Raises UsageError where the run as a whole makes no sense."""
    if rules.destination.is_stdout or rules.destination.is_file:
        _check_single(sources, rules)
    wanted = [rules.targets(source) for source in sources]
    if rules.destination.is_stdout:
        return Plan([Task(source, targets) for source, targets in zip(sources, wanted, strict=True)])
    _check_collisions(sources, wanted)
    judge = Judge(rules, Inputs(sources))
    plan: Plan[S] = Plan()
    for source, targets in zip(sources, wanted, strict=True):
        decided = judge.decide(source, targets)
        if isinstance(decided, Task):
            plan.tasks.append(decided)
        else:
            plan.settled.append(decided)
    for folder in sorted(plan.folders):
        probe_writable(Path(folder))
    plan.notes += judge.notes
    return plan


def _check_single(sources: Sequence[S], rules: OutputRules[S]) -> None:
    destination, writers = rules.destination, rules.writers
    where = "standard output" if destination.path is None else f"{str(destination.path)!r}"
    hint = "Name a folder with -o."
    if len(sources) > 1:
        raise UsageError(f"{len(sources)} inputs cannot all be written to {where}", hint=hint)
    if len(writers) > 1:
        formats = " and ".join(writer.format for writer in writers)
        raise UsageError(f"{formats} cannot both be written to {where}", hint=hint)


def _check_collisions(sources: Sequence[S], wanted: Sequence[Sequence[Target]]) -> None:
    """Refuse two inputs, or two formats, for one output."""
    first: dict[str, tuple[int, Target]] = {}
    pairs: list[str] = []
    count = 0
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
    if pairs:
        more = f", and {count - len(pairs)} more" if count > len(pairs) else ""
        raise UsageError(
            f"several results would be the same file: {'; '.join(pairs)}{more}",
            hint="Tell them apart with --name, of {name}, {map} and {format}, or keep their folders with --root.",
        )


def _both(one: Source, earlier: Target, two: Source, later: Target) -> str:
    if one is two:
        return f"{earlier.writer.format} and {later.writer.format} of {one.name!r}"
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
