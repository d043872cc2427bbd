"""Everything that a run needs to go on as if it had never stopped, in one file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch

from glpn_cli.atomic_write import write_atomically
from glpn_cli.errors import ErrorCode, InputError, reason_of

STATE_FILE = "training.pt"


@dataclass(frozen=True, eq=False)
class TrainingState:
    """A run between two steps.

    step:      optimiser steps taken.
    position:  pictures that all processes have gone through.
    skipped:   pictures that could not be used.
    dropped:   steps left out because loss or gradient were not finite.
    network, optimizer, average: their state dicts; average is None for runs without one.
    settings:  what the run was started with.
    """

    step: int
    position: int
    skipped: int
    dropped: int
    network: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    average: Mapping[str, Any] | None
    settings: Mapping[str, Any]

    def save(self, folder: Path) -> None:
        """Write the state into `folder`, over the one before it. Raises OutputError or StoppedError."""
        write_atomically(folder / STATE_FILE, self._write)

    def _write(self, stream: BinaryIO) -> None:
        heard = _Heard(stream)
        try:
            torch.save(vars(self), cast("BinaryIO", heard))
        except RuntimeError:
            if heard.error is not None:
                raise heard.error  # noqa: B904 - the RuntimeError is torch's own, and says less
            raise


class _Heard:
    """A stream that remembers why it could not be written to: torch tells only that it stands at the wrong place."""

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


def read_state(folder: Path) -> TrainingState | None:
    """The state that a run left in `folder`, None where there is none. Raises InputError for a damaged one."""
    path = folder / STATE_FILE
    try:
        return TrainingState(**torch.load(path, map_location="cpu", weights_only=True))
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
