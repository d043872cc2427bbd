"""The folder that a run writes: an ordinary checkpoint, its history, and what it takes to go on."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glpn_cli.atomic_write import is_temporary, remove_stale, write_atomically
from glpn_cli.checkpoint import CARD_FILE, CONFIG_FILE, PREPROCESSOR_FILE, WEIGHTS_FILE
from glpn_cli.errors import ErrorCode, UsageError
from glpn_cli.training.config import changed_settings
from glpn_cli.training.state import STATE_FILE, TrainingState, read_state

HISTORY_FILE = "history.jsonl"
PREVIEWS_FOLDER = "previews"
_OWN = {STATE_FILE, HISTORY_FILE, PREVIEWS_FOLDER, CONFIG_FILE, WEIGHTS_FILE, CARD_FILE, PREPROCESSOR_FILE}
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


@dataclass(frozen=True)
class RunFolder:
    """Where a run keeps everything."""

    path: Path

    def open(self, settings: Mapping[str, Any], *, resume: bool) -> TrainingState | None:
        """Make sure that a run may write here; the state to go on from, None for a run from the start.

        Raises UsageError where the folder is in use and `resume` is off, where it holds what is not ours, and where the
        run that left its state had other settings; InputError where that state is damaged.
        """
        found = sorted(entry.name for entry in self.path.iterdir()) if self.path.is_dir() else []
        found = [name for name in found if not is_temporary(name)]
        if found and not resume:
            raise UsageError(
                f"{self.path} is in use (found: {', '.join(found[:4])})",
                hint="Go on with its run by --resume, or name another folder.",
                code=ErrorCode.EXISTS,
            )
        state = read_state(self.path) if found else None
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
        """Whether all that belongs to the state was written after it: the card is the last of it."""
        try:
            return (self.path / CARD_FILE).stat().st_mtime_ns >= (self.path / STATE_FILE).stat().st_mtime_ns
        except FileNotFoundError:
            return False

    def cut_history(self, step: int, *, validated: bool = True) -> None:
        """Forget what was told after `step`: a run that goes on from there tells it again.

        validated: False forgets the validation at `step` too.
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


def _by_option(changes: Mapping[str, tuple[Any, Any]]) -> list[str]:
    """Changed settings as the user knows them: `--seed: 0, now 5`; one for each option, then what no option says.

    What follows from an option, as the lowest rate from the highest, is told only where nothing else is.
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
    """The step that a line of history tells of; a line that was cut short is of no step."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
