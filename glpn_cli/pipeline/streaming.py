"""A list that is still being written: each input is planned, done and told as it comes, in a process that is fed.

Nothing is known of what will come, so what would refuse a whole run elsewhere (two inputs for one output) is here the
error of the item that brings it. The model is loaded before the first item.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Generic, TypeVar, cast

from glpn_cli.atomic_write import probe_writable, remove_stale
from glpn_cli.depth_files import is_own_output
from glpn_cli.errors import ErrorCode, InputError, OutputError, UsageError
from glpn_cli.images import ImageSource, ReadOptions, Refused, Search, iterate_list, parse_shard
from glpn_cli.pipeline.engine import Ended, Engine
from glpn_cli.pipeline.jobs import Job
from glpn_cli.pipeline.judging import Inputs, Judge
from glpn_cli.pipeline.outcome import Outcome, Status
from glpn_cli.pipeline.plan import name_folding
from glpn_cli.pipeline.running import Written, is_enough, outcome_of
from glpn_cli.pipeline.settings import InputSettings, RunSettings
from glpn_cli.pipeline.stages import Stages
from glpn_cli.pipeline.tasks import OutputRules, Source, Task, place_of, settle

S = TypeVar("S", bound=Source)
D = TypeVar("D")
A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Settled:
    """An item of a stream that needs no work: what became of it is known."""

    outcome: Outcome


def read_stream(choice: InputSettings, *, extensions: frozenset[str]) -> Iterator[ImageSource | Refused]:
    """The inputs of the list on standard input, each as soon as its name is complete."""
    if sys.stdin is None:
        raise UsageError("standard input is closed")
    search = Search(
        is_recursive=choice.recursive,
        root=choice.root,
        extensions=extensions,
        shard=parse_shard(choice.shard) if choice.shard is not None else None,
        options=choice.reading or ReadOptions(),
    )
    return iterate_list(_Unbuffered(sys.stdin.buffer), search, is_nulled=bool(choice.lists0))


class _Unbuffered:
    """Standard input without Python's lock around it, which a thread that waits for more would hold at the end."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        try:
            self._number: int | None = stream.fileno()
        except OSError:
            self._number = None

    def read1(self, size: int = -1, /) -> bytes:
        """What is there, up to `size` bytes."""
        return self._stream.read(size) if self._number is None else os.read(self._number, max(size, 1))


class StreamPlanner(Generic[S]):
    """Plans items one by one; remembers earlier ones, and what they become.

    interpret: what an item is to be worked on as; raises InputError where it cannot be

    Raises UsageError where the results would not go into a folder, or that cannot be written, and where two formats of
    an item would be one file.
    """

    def __init__(self, rules: OutputRules[S], interpret: Callable[[ImageSource], S]) -> None:
        destination = rules.destination
        if destination.path is None or destination.is_file:
            raise UsageError("a list on standard input needs a folder for its results", hint="Name one with -o DIR.")
        _check_formats(rules)
        self._interpret = interpret
        self._rules = rules
        self._inputs = Inputs([], may_come=self._may_come)
        self._taken: dict[str, str] = {}
        self._fold = name_folding(str(destination.path / "x"))
        self.folder: Path = destination.path
        probe_writable(self.folder)

    def plan(self, item: ImageSource) -> Task[S] | Settled:
        """What is to be done for the next item, or what became of it already."""
        self._inputs.add(item)
        try:
            source = self._interpret(item)
        except InputError as error:
            return Settled(settle(item, Status.ERROR, error=error))
        self._inputs.add(source)
        targets = self._rules.targets(source)
        for target in targets:
            assert target.path is not None
            other = self._taken.setdefault(self._fold(target.path), place_of(source))
            if other != place_of(source):
                taken = OutputError(f"{other!r} is written to {target.path!r} already", code=ErrorCode.EXISTS)
                return Settled(settle(source, Status.ERROR, error=taken))
        try:
            decided = Judge(self._rules, self._inputs).decide(source, targets)
        except UsageError as error:  # nothing can be written there, now or ever
            known = OutputError(error.message, hint=error.hint, code=error.code)
            return Settled(settle(source, Status.ERROR, error=known))
        return decided if isinstance(decided, Task) else Settled(decided)

    def _may_come(self, path: str) -> bool:
        """Whether a file could be an item that comes later: it is none of ours, and can be worked on."""
        if is_own_output(Path(path)):
            return False
        try:
            self._interpret(ImageSource(Path(path), path, path))
        except InputError:
            return False
        return True


def _check_formats(rules: OutputRules[S]) -> None:
    """Refuse two formats of any one item for one file (UsageError)."""
    first: dict[str, str] = {}
    for writer in rules.writers:
        other = first.setdefault(rules.name_of(writer, "x.x", parent="x"), writer.format)
        if other != writer.format:
            raise UsageError(
                f"{other} and {writer.format} of every input would be the same file",
                hint="Tell them apart with --name, such as '{stem}_{format}'.",
            )


def plan_stream(items: Iterable[ImageSource | Refused], planner: StreamPlanner[S]) -> Iterator[Task[S] | Settled]:
    """Plan items as they come."""
    for item in items:
        if isinstance(item, Refused):
            yield Settled(Outcome(Status.ERROR, item.given, item.name, item.given, error=item.error))
        else:
            yield planner.plan(item)


def _sweeping(tasks: Iterable[Task[S] | Settled], swept: set[Path]) -> Iterator[Task[S] | Settled]:
    """The same; what killed runs left in a folder is removed when a result in it is met first."""
    for task in tasks:
        places = task.outcome.outputs if isinstance(task, Settled) else task.targets
        folders = {Path(place.path).parent for place in places if place.path is not None}
        for folder in folders - swept:
            remove_stale(folder)
        swept |= folders
        yield task


class _Passing(Generic[S, D, A]):
    """Stages that let settled items pass."""

    def __init__(self, stages: Stages[Task[S], D, A, Written]) -> None:
        self._stages = stages
        self.open = stages.open

    def decode(self, task: Task[S] | Settled) -> D | Settled:
        return task if isinstance(task, Settled) else self._stages.decode(task)

    def group(self, decoded: D | Settled) -> Hashable:
        return None if isinstance(decoded, Settled) else self._stages.group(decoded)

    def infer(self, batch: Sequence[D | Settled]) -> Sequence[A | Settled]:
        if isinstance(batch[0], Settled):
            return cast("Sequence[A | Settled]", batch)
        return self._stages.infer(cast("Sequence[D]", batch))

    def finish(self, task: Task[S] | Settled, answer: A | Settled) -> Written | Settled:
        if isinstance(task, Settled):
            return task
        return self._stages.finish(task, cast("A", answer))


@dataclass(frozen=True)
class StreamRun(Generic[S, D, A]):
    """A run over what comes, until the list ends."""

    items: Iterator[ImageSource | Refused]
    interpret: Callable[[ImageSource], S]
    rules: OutputRules[S]
    stages: Stages[Task[S], D, A, Written]
    pace: RunSettings
    allow_empty: bool = False
    total: None = None
    notes: tuple[str, ...] = ()

    def carry_out(self, show: Callable[[Outcome], None]) -> Ended:
        """Do what comes; `show` is told of every outcome as it comes."""
        planner = StreamPlanner(self.rules, self.interpret)
        remove_stale(planner.folder)

        def report(job: Job[Task[S] | Settled, D | Settled, A | Settled, Written | Settled]) -> bool:
            if isinstance(job.task, Settled):
                outcome = job.task.outcome
            else:
                outcome = outcome_of(cast("Job[Task[S], D, A, Written]", job))
            show(outcome)
            return not is_enough(outcome, self.pace)

        tasks = _sweeping(self._plan(planner), {planner.folder})
        engine = Engine(
            _Passing(self.stages),
            report,
            workers=self.pace.threads,
            batch_size=self.pace.batch_size,
            is_fed=True,
        )
        return engine.run(tasks)

    def rehearse(self, show: Callable[[Outcome], None]) -> Ended:
        """Tell what would be done with each item, and do nothing."""
        for task in self._plan(StreamPlanner(self.rules, self.interpret)):
            outcome = task.outcome if isinstance(task, Settled) else task.planned()
            show(outcome)
            if is_enough(outcome, self.pace):
                return Ended(is_enough=True)
        return Ended()

    def _plan(self, planner: StreamPlanner[S]) -> Iterator[Task[S] | Settled]:
        is_empty = True
        for task in plan_stream(self.items, planner):
            is_empty = False
            yield task
        if is_empty and not self.allow_empty:
            raise UsageError("the list on standard input is empty", hint="Add --allow-empty to make this no error.")
