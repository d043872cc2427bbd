"""The settings of a run: its inputs, its model, its outputs, its work, and the failures that it allows.

Light to import, with neither torch nor numpy: the command line takes its defaults from here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from glpn_cli.devices import cores
from glpn_cli.errors import UsageError

if TYPE_CHECKING:
    from glpn_cli.calibration import Calibration
    from glpn_cli.depth_files import ColorizeOptions, PointCloudOptions
    from glpn_cli.images import ReadOptions
    from glpn_cli.models.settings import InferenceSettings
    from glpn_cli.prediction import DepthKind

DEFAULT_NAME = "{stem}_{map}"
_MOST_WORKERS = 8


class Existing(StrEnum):
    """What to do with an output that exists: `--existing`."""

    SKIP = "skip"
    UPDATE = "update"
    OVERWRITE = "overwrite"
    ERROR = "error"


class InputKind(StrEnum):
    """How to take an input: `--as`."""

    AUTO = "auto"
    PICTURE = "picture"
    DEPTH = "depth"


@dataclass(frozen=True)
class ExplicitOptions:
    """The options that the user typed, by their long names; environment variables and defaults do not count.

    An option that changes nothing is an error, never ignored.
    """

    options: frozenset[str] = frozenset()

    def among(self, *options: str) -> tuple[str, ...]:
        """Those of `options` that were typed, in their order."""
        return tuple(option for option in options if option in self.options)

    def refuse(self, *options: str, because: str, hint: str | None = None) -> None:
        """Raise UsageError for the first of `options` that was typed; `because` follows its name in the message."""
        for option in self.among(*options):
            raise UsageError(f"{option} {because}", hint=hint or "Leave it out.")


@dataclass(frozen=True)
class InputSettings:
    """Which inputs to take, and how to read them.

    named:       files, folders, glob patterns, or - for a picture's bytes on standard input
    lists:       files that list inputs, one a line
    lists0:      the same, NUL-terminated
    root:        results are named by the path below it
    shard:       "I/N"
    kind:        how to take the inputs
    reading:     how pictures are read
    depth_scale: stored units per metre in integer depth maps without a record
    depth_kind:  the meaning of depth maps without a record; None: metric
    exclude:     patterns of names or paths that folders and glob patterns leave out
    """

    named: Sequence[str] = ()
    lists: Sequence[str] = ()
    lists0: Sequence[str] = ()
    recursive: bool = True
    root: Path | None = None
    shard: str | None = None
    kind: InputKind = InputKind.AUTO
    reading: ReadOptions | None = None
    allow_empty: bool = False
    depth_scale: float | None = None
    depth_kind: DepthKind | None = None
    exclude: tuple[str, ...] = ()

    @property
    def is_stream(self) -> bool:
        """Whether the only input is a list on standard input: its items are then done one by one, as they come."""
        return not self.named and [*self.lists, *self.lists0] == ["-"]


@dataclass(frozen=True)
class ModelSettings:
    """Which model to run, and where.

    inference:   the model with its inference settings
    device:      auto, cpu, mps, cuda, cuda:N
    threads:     torch's; None: every core that this process may use
    uncertainty: also estimate the uncertainty of each depth
    """

    inference: InferenceSettings
    device: str = "auto"
    threads: int | None = None
    uncertainty: bool = False


@dataclass(frozen=True)
class OutputSettings:
    """Where results go and in which form.

    output:      a folder, a file, or - for standard output
    formats:     comma-separated; None: by the extension of the output file, else the default
    name:        the template of file names, see `NameTemplate`
    paints:      whether the default is colours (`export`) or the map itself (`predict`)
    depth_scale: stored units per metre, for integer formats
    look:        how maps are painted
    cloud:       how points in space are made
    calibration: turns depths into true metres
    page:        an HTML file that shows all results
    explicit:    the options that the user typed
    """

    output: str = "."
    formats: str | None = None
    name: str = DEFAULT_NAME
    paints: bool = False
    depth_scale: float | None = None
    existing: Existing = Existing.SKIP
    look: ColorizeOptions | None = None
    cloud: PointCloudOptions | None = None
    calibration: Calibration | None = None
    page: Path | None = None
    explicit: ExplicitOptions = ExplicitOptions()


@dataclass(frozen=True)
class RunSettings:
    """How much a run does at once, and when it stops.

    workers:    threads that decode, and as many that write; None: by the number of cores
    batch_size: pictures per batch; None: the quickest
    fail_fast:  stop at the first input that fails
    """

    workers: int | None = None
    batch_size: int | None = None
    fail_fast: bool = False

    @property
    def threads(self) -> int:
        """The number of workers."""
        return self.workers or min(cores(), _MOST_WORKERS)


def parse_batch_size(text: str) -> int | None:
    """Read `--batch-size`: a number, or auto, which is None. Raises UsageError."""
    if text == "auto":
        return None
    if text.isascii() and text.isdigit() and 0 < int(text) <= 4096:
        return int(text)
    raise UsageError(f"--batch-size {text!r} is neither auto nor a number from 1 to 4096")


@dataclass(frozen=True)
class Allowance:
    """How many inputs may fail before the run counts as failed: `--allow-failed`."""

    count: int = 0
    percent: float = 0.0

    @classmethod
    def parse(cls, text: str | None) -> Allowance:
        """Read `5` or `2.5%`. Raises UsageError."""
        if text is None:
            return cls()
        if text.isascii() and text.isdigit():
            return cls(count=int(text))
        if re.fullmatch(r"\d{1,3}(\.\d+)?%", text) and float(text[:-1]) <= 100:
            return cls(percent=float(text[:-1]))
        raise UsageError(
            f"--allow-failed {text!r} is neither a number nor a percentage", hint="Write for example 5, or 2%."
        )

    def covers(self, failed: int, total: int) -> bool:
        """Whether that many failures are allowed."""
        return failed <= self.count or failed * 100 <= self.percent * total
