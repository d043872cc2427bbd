"""What is there already: which outputs can stay, which are to be made again, and which are in the way."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from glpn_cli.depth_files import Record, read_record
from glpn_cli.errors import ErrorCode, InputError, OutputError, UsageError, code_of, reason_of
from glpn_cli.pipeline.outcome import Facts, Outcome, Output, Status
from glpn_cli.pipeline.settings import Existing
from glpn_cli.pipeline.tasks import OutputRules, Source, Target, Task, describe, settle

S = TypeVar("S", bound=Source)


class Inputs:
    """The inputs as the file system knows them; read only if an output exists that could be one.

    may_come: whether the file at a path may be an input that nobody has named yet
    """

    def __init__(self, sources: Iterable[Source], *, may_come: Callable[[str], bool] = lambda _: False) -> None:
        self._unread = list(sources)
        self._known: set[tuple[int, int]] = set()
        self.may_come = may_come

    def add(self, source: Source) -> None:
        """One more has been named."""
        self._unread.append(source)

    def __contains__(self, status: os.stat_result) -> bool:
        while self._unread:
            source = self._unread.pop()
            for each in (source, getattr(source, "picture", None)):  # a stored map may come with its photograph
                found = _status(each.path) if each is not None and each.path is not None else None
                if found is not None:
                    self._known.add((found.st_dev, found.st_ino))
        return (status.st_dev, status.st_ino) in self._known


def _status(path: str | Path) -> os.stat_result | None:
    try:
        return os.stat(path)  # noqa: PTH116 - plain strings, 100,000 of them
    except OSError:
        return None


@dataclass(frozen=True, slots=True)
class _Kept:
    """An output that is there already and good, and what it says about itself."""

    output: Output
    record: Record | None


class Judge(Generic[S]):
    """Decides what becomes of an output: write it, or keep what is there.

    unsure: formats of outputs that were kept without knowing how they were made
    """

    def __init__(self, rules: OutputRules[S], inputs: Inputs) -> None:
        self._rules = rules
        self._inputs = inputs
        self.unsure: set[str] = set()

    @property
    def notes(self) -> list[str]:
        """What a user should know about outputs that were kept."""
        if not self.unsure:
            return []
        names = " and ".join(sorted(self.unsure))
        return [f"{names} files do not say how they were made; those that are there are taken as they are"]

    def decide(self, source: S, targets: Sequence[Target]) -> Task[S] | Outcome:
        """What is to be done for a source, or what became of it already.

        Raises UsageError where nothing can ever be written there.
        """
        try:
            judged = [self._judge(source, target) for target in targets]
        except (OutputError, InputError) as error:
            return settle(source, Status.ERROR, error=error)
        kept = [each for each in judged if isinstance(each, _Kept)]
        outputs = tuple(each.output for each in kept)
        open_targets = tuple(each for each in judged if isinstance(each, Target))
        if open_targets:
            return Task(source, open_targets, outputs)
        facts = next((Facts.of_record(each.record) for each in kept if each.record), None)
        return settle(source, Status.SKIPPED, outputs=outputs, facts=facts)

    def _judge(self, source: S, target: Target) -> Target | _Kept:
        """What to write, or what to keep.

        Raises OutputError where something is in the way, UsageError where nothing can ever be written there.
        """
        assert target.path is not None
        path = target.path
        try:
            status = os.stat(path)  # noqa: PTH116 - plain strings, 100,000 of them
        except FileNotFoundError:
            # Another run on the same folder may be quicker: to overwrite means that too.
            return replace(target, replaces=self._rules.existing is Existing.OVERWRITE)
        except NotADirectoryError as error:
            raise UsageError(f"cannot write {path!r}: a parent of it is a file", code=ErrorCode.IO) from error
        except OSError as error:
            raise OutputError(f"cannot look at {path!r}: {reason_of(error)}", code=code_of(error)) from error
        if stat.S_ISDIR(status.st_mode):
            raise UsageError(f"cannot write {path!r}: it is a folder", hint="Choose another name with --name or -o.")
        if status in self._inputs:
            raise UsageError(f"output {path!r} is one of the inputs", hint="Choose another folder with -o.")
        if not stat.S_ISREG(status.st_mode):  # /dev/null, a pipe
            return replace(target, replaces=True)
        if self._rules.existing is Existing.OVERWRITE:
            if self._inputs.may_come(path):
                raise _in_the_way(
                    path, "was not written by glpn, and the list may name it yet", "Choose another folder with -o."
                )
            return replace(target, replaces=True)
        if self._rules.existing is Existing.ERROR:
            raise _in_the_way(path, "is there already", "Use --existing skip, update or overwrite.")
        if target.writer.carries_record:
            return self._judge_record(source, target, path, _is_older(status, source))
        if _is_older(status, source):
            raise _in_the_way(
                path, "is older than its input, and does not say who wrote it", "Replace it with --existing overwrite."
            )
        self.unsure.add(target.writer.format)
        return _Kept(describe(target), None)

    def _judge_record(self, source: S, target: Target, path: str, is_older: bool) -> Target | _Kept:
        """The same for a file that can say how it was made."""
        try:
            found = read_record(Path(path))
        except InputError as error:
            raise _in_the_way(
                path, f"cannot be trusted: {error.message}", "Replace it with --existing overwrite."
            ) from error
        if found is None:
            raise _in_the_way(
                path,
                "was not written by glpn",
                "Replace it with --existing overwrite, or choose another folder with -o.",
            )
        wanted = self._rules.expect(source, target.writer)
        differences = found.differences(wanted) if wanted is not None else ()
        if not differences and not is_older:
            return _Kept(describe(target, found), found)
        if self._rules.existing is Existing.UPDATE:
            return replace(target, replaces=True)
        why = f"was made otherwise: {differences[0]}" if differences else "is older than its input"
        raise _in_the_way(path, why, "Make it again with --existing update.")


def _is_older(status: os.stat_result, source: Source) -> bool:
    made_from = _status(source.path) if source.path is not None else None
    if made_from is None or made_from.st_mtime_ns > time.time_ns():
        return False  # a date that has not come yet, by a clock that was wrong, says nothing
    return status.st_mtime_ns < made_from.st_mtime_ns


def _in_the_way(path: str, why: str, hint: str) -> OutputError:
    return OutputError(f"{path!r} {why}", hint=hint, code=ErrorCode.EXISTS)
