"""The folder that a run writes: an ordinary checkpoint, its history, and the state from which it can be resumed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch

from glpn_cli.atomic_write import is_temporary, remove_stale, write_atomically
from glpn_cli.checkpoint import CARD_FILE, CONFIG_FILE, PREPROCESSOR_FILE, WEIGHTS_FILE
from glpn_cli.errors import ErrorCode, InputError, UsageError, reason_of

STATE_FILE = "training.pt"
HISTORY_FILE = "history.jsonl"
PREVIEWS_FOLDER = "previews"
TEACHER_FOLDER = "teacher"
"""The depth that a teacher gives; it may be there before the run, and serves the next one too."""
_OWN = {
    STATE_FILE,
    HISTORY_FILE,
    PREVIEWS_FOLDER,
    TEACHER_FOLDER,
    CONFIG_FILE,
    WEIGHTS_FILE,
    CARD_FILE,
    PREPROCESSOR_FILE,
}
_MOST_NAMED = 8

_RECIPE = "--recipe"
_OPTIONS = {
    r"data": "--data",
    r"start": "--model or --config",
    r"limit_m": "--max-depth",
    r"processes": "processes of torchrun",
    r"training\.phases\.\d+\.steps": "--steps or --epochs",
    r"training\.phases\.\d+\.size": "--input-size, as [height, width]",
    r"training\.schedule\.peak": "--learning-rate",
    r"training\.batch_size": "--batch-size",
    r"training\.precision": "--precision",
    r"training\.freeze": "--freeze",
    r"training\.seed": "--seed",
    r"training\.every": "--every",
    r"training\..*": _RECIPE,
}
_DERIVED = r"training\.schedule\.(low|warm_up)|training\.average|model\.(max_depth|glpn_cli\.limit_m)"


@dataclass(frozen=True, eq=False)
class TrainingState:
    """The state of a run between two steps.

    step:      optimiser steps taken.
    position:  pictures that all processes have gone through.
    skipped:   pictures that could not be used.
    dropped:   steps that were undone because loss or gradient were not finite.
    network, optimizer, average: their state dicts; average is None for runs without one.
    settings:  those that the run was started with.
    """

    step: int
    position: int
    skipped: int
    dropped: int
    network: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    average: Mapping[str, Any] | None
    settings: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> TrainingState | None:
        """The state that a run left in `folder`, None where there is none. Raises InputError for a damaged one."""
        path = folder / STATE_FILE
        try:
            return cls(**torch.load(path, map_location="cpu", weights_only=True))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InputError(f"{path}: {reason_of(error)}", code=ErrorCode.IO) from error
        except Exception as error:  # a damaged pickle or zip can raise nearly anything
            raise InputError(
                f"{path} is damaged: {error}",
                hint="Start again in a new folder, from the weights beside it with -m.",
                code=ErrorCode.DATA,
            ) from error

    def save(self, folder: Path) -> None:
        """Write the state into `folder` and replace the one before it. Raises OutputError or StoppedError."""
        write_atomically(folder / STATE_FILE, self._write)

    def _write(self, stream: BinaryIO) -> None:
        remembering = _ErrorRememberingStream(stream)
        try:
            torch.save(vars(self), cast("BinaryIO", remembering))
        except RuntimeError:
            if remembering.error is not None:
                raise remembering.error  # noqa: B904 - the RuntimeError is torch's own, and says less
            raise


@dataclass(frozen=True)
class RunFolder:
    """A run's folder."""

    path: Path

    def check_free(self, *, resume: bool) -> list[str]:
        """The files of a run in the folder. Raises UsageError where the folder is in use and `resume` is off."""
        found = sorted(entry.name for entry in self.path.iterdir()) if self.path.is_dir() else []
        found = [name for name in found if not is_temporary(name) and name != TEACHER_FOLDER]
        if found and not resume:
            raise UsageError(
                f"{self.path} is in use (found: {', '.join(found[:4])})",
                hint="Go on with its run by --resume, or name another folder.",
                code=ErrorCode.EXISTS,
            )
        return found

    def open(self, settings: Mapping[str, Any], *, resume: bool) -> TrainingState | None:
        """Check that a run may write here, and return the state to resume from, None for a run from the start.

        Raises UsageError where the folder is in use and `resume` is off, where it holds files of others, and where the
        run that left its state had other settings; InputError for a damaged state.
        """
        found = self.check_free(resume=resume)
        state = TrainingState.read(self.path) if found else None
        if state is None:
            if strange := [name for name in found if name not in {HISTORY_FILE, PREVIEWS_FOLDER}]:
                raise UsageError(
                    f"{self.path} holds no run to go on with (found: {', '.join(strange[:4])})",
                    hint="Name an empty folder.",
                    code=ErrorCode.EXISTS,
                )
            return None
        told = {name: value for name, value in settings.items() if name in state.settings}  # earlier versions told less
        if changed := _by_option(changed_settings(state.settings, told)):
            more = f" and {len(changed) - _MOST_NAMED} more" if len(changed) > _MOST_NAMED else ""
            raise UsageError(
                f"the run in {self.path} had other settings: {'; '.join(changed[:_MOST_NAMED])}{more}",
                hint="Go on with the same settings, or start in another folder from its weights with -m.",
            )
        remove_stale(self.path)
        return state

    def is_saved_whole(self) -> bool:
        """Whether the save is complete: the card is written last, after the state."""
        try:
            return (self.path / CARD_FILE).stat().st_mtime_ns >= (self.path / STATE_FILE).stat().st_mtime_ns
        except FileNotFoundError:
            return False

    def cut_history(self, step: int, *, validated: bool = True) -> None:
        """Remove the lines after `step` from the history: a run that is resumed there writes them again.

        validated: False removes the validation at `step` too.
        """
        path = self.path / HISTORY_FILE
        if path.is_file():
            kept = [
                line
                for line in path.read_text("utf-8", "replace").split("\n")
                if _step_of(line) < step or (_step_of(line) == step and (validated or '"validation"' not in line))
            ]
            write_atomically(path, "".join(f"{line}\n" for line in kept).encode())

    def add_history(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Append to history.jsonl."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / HISTORY_FILE).open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(line, allow_nan=False) + "\n" for line in lines)

    def read_history(self) -> list[dict[str, Any]]:
        """Every line of history.jsonl."""
        path = self.path / HISTORY_FILE
        text = path.read_text("utf-8") if path.is_file() else ""
        return [json.loads(line) for line in text.split("\n") if line]


def changed_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The settings that differ between two runs, by name: {"schedule.peak": (0.0001, 0.001)}.

    A setting that `before` does not have and that is off now has not changed: earlier versions recorded fewer.
    """
    old, new = (dict(_flat(settings)) for settings in (before, now))
    return {
        name: (old.get(name), new.get(name))
        for name in dict.fromkeys((*old, *new))
        if old.get(name) != new.get(name) and (name in old or new[name])
    }


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every plain value within settings with its dotted name; lists count from 1, and sizes stay together."""
    items: Iterable[tuple[Any, Any]]
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
        items = enumerate(value, start=1)
    else:
        yield name, list(value) if isinstance(value, tuple) else value
        return
    for part, item in items:
        yield from _flat(item, f"{name}.{part}" if name else str(part))


def _by_option(changes: Mapping[str, tuple[Any, Any]]) -> list[str]:
    """Changed settings by their options: `--seed: 0, now 5`; one line per option, then settings without an option.

    Settings that follow from another, as the lowest rate from the highest, are named only where nothing else is.
    """
    found: dict[str, str] = {}
    others: list[str] = []
    for name, (old, new) in changes.items():
        words = f"{old!r}, now {new!r}"
        if re.fullmatch(_DERIVED, name):
            continue
        option = next((option for pattern, option in _OPTIONS.items() if re.fullmatch(pattern, name)), None)
        if option is None:
            others.append(f"{name}: {words}")
        else:
            told = f"{option} ({name}: {words})" if option == _RECIPE else f"{option}: {words}"
            found.setdefault(option, told)
    return [*found.values(), *others] or [f"{name}: {old!r}, now {new!r}" for name, (old, new) in changes.items()]


def _step_of(line: str) -> float:
    """The step of a line of history; inf for a line that was cut short."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


class _ErrorRememberingStream:
    """A stream that keeps the error of a failed write: torch reports only that the position is wrong."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        """Pass it on."""
        try:
            return self._stream.write(data)
        except OSError as error:
            self.error = self.error or error
            raise

    def flush(self) -> None:
        """Nothing is kept here."""
