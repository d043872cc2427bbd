"""What became of an input, and what a whole run came to."""

from __future__ import annotations

import signal
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from glpn_cli.depth_files import Record
from glpn_cli.errors import ErrorCode, ExitCode, GlpnError, interrupt_code
from glpn_cli.geometry import ASSUMED_FOV_DEG
from glpn_cli.images import PictureWarning
from glpn_cli.pipeline.engine import Ended
from glpn_cli.pipeline.settings import Allowance
from glpn_cli.prediction import DepthKind, Intrinsics, Provenance

FLAT, FOCAL, ASSUMED_FOV = "W_FLAT", "W_FOCAL", "W_FOV"
"""Warnings about what came out; those about what went in are in `PictureWarning`."""

_TEXTS = {
    FLAT: "its depth came out the same everywhere",
    FOCAL: "its camera's focal length is over 30 % off the camera that the model learned from, and so are its metres "
    "(--metres focal brings them to it)",
    ASSUMED_FOV: f"its camera is not known: a field of view of {ASSUMED_FOV_DEG:g} degrees is ASSUMED, and the points "
    "have the right shape only if that is so (say it with --focal)",
}


class Status(StrEnum):
    """What became of an input."""

    OK = "ok"
    SKIPPED = "skipped"
    ERROR = "error"
    PLANNED = "planned"


@dataclass(frozen=True, slots=True)
class Output:
    """One file of a result.

    path:        as it was written, "-" for standard output
    unit:        of the numbers in it: "m", or None for colours and for depth without unit
    depth_scale: stored units per metre, for integers
    range:       (near, far) of the colours, for pictures
    """

    path: str
    format: str
    map: str
    unit: str | None = None
    depth_scale: float | None = None
    range: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a prediction, short of its values.

    kind:   what its depths mean; None for labels
    extent: (smallest, largest) valid depth
    size:   (H, W)
    """

    kind: DepthKind | None
    limit_m: float | None = None
    extent: tuple[float, float] | None = None
    size: tuple[int, int] | None = None
    provenance: Provenance | None = None
    intrinsics: Intrinsics | None = None

    @classmethod
    def of_record(cls, record: Record) -> Facts:
        """What a file says about itself."""
        return cls(record.kind, record.limit_m, record.extent, provenance=record.provenance)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one input.

    given: what the user typed that led to it
    name:  the relative name that its results carry
    place: where it is, for people
    """

    status: Status
    given: str
    name: str
    place: str
    outputs: tuple[Output, ...] = ()
    facts: Facts | None = None
    warnings: tuple[str, ...] = ()
    seconds: float | None = None
    error: GlpnError | None = None


@dataclass
class Tally:
    """The report of a run: counts, what stopped it, and the exit code that tells it all.

    planned_total: how many inputs there are; None where they come one by one and nobody knows
    """

    planned_total: int | None
    allowance: Allowance = field(default_factory=Allowance)
    statuses: Counter[Status] = field(default_factory=Counter)
    codes: Counter[ErrorCode] = field(default_factory=Counter)
    ended: Ended = field(default_factory=Ended)

    def add(self, outcome: Outcome) -> None:
        """Count one more."""
        self.statuses[outcome.status] += 1
        if outcome.error is not None:
            self.codes[outcome.error.code] += 1

    @property
    def total(self) -> int:
        """How many inputs there are, as far as is known."""
        return self.done + self.failed if self.planned_total is None else self.planned_total

    @property
    def written(self) -> int:
        """Inputs whose results were written now."""
        return self.statuses[Status.OK]

    @property
    def done(self) -> int:
        """Inputs that need no more work: written, rightly skipped, or only planned."""
        return sum(count for status, count in self.statuses.items() if status is not Status.ERROR)

    @property
    def failed(self) -> int:
        """Inputs that failed."""
        return self.statuses[Status.ERROR]

    @property
    def left(self) -> int:
        """Inputs that had no turn."""
        return self.total - self.done - self.failed

    @property
    def stopped(self) -> str | None:
        """What ended the run early, in a word: an error code, or a signal."""
        if self.ended.stopped is not None:
            return self.ended.stopped.code.value
        if self.ended.interrupt is not None:
            return signal.Signals(interrupt_code(self.ended.interrupt) - 128).name
        return None

    @property
    def exit_code(self) -> int:
        """What the process should tell its caller."""
        if self.ended.interrupt is not None:
            return interrupt_code(self.ended.interrupt)
        if self.ended.stopped is not None:
            return ExitCode.STOPPED
        is_cut_short = self.left > 0 or (self.ended.is_enough and self.planned_total is None)
        code = judge_failures(
            self.failed, self.total, self.allowance, is_any_done=self.done > 0, is_cut_short=is_cut_short
        )
        if code is ExitCode.NOTHING_DONE and set(self.codes) == {ErrorCode.USAGE}:
            return ExitCode.USAGE  # a frame that no input has: the request made no sense, as is known only now
        return code


def judge_failures(
    failed: int, total: int, allowance: Allowance, *, is_any_done: bool, is_cut_short: bool = False
) -> ExitCode:
    """What failures among `total` inputs come to.

    is_cut_short: one of them ended the run and left inputs without their turn; that is never forgiven.
    """
    if not failed or (allowance.covers(failed, total) and not is_cut_short):
        return ExitCode.OK
    return ExitCode.SOME_FAILED if is_any_done else ExitCode.NOTHING_DONE


def words_of(warning: str) -> str:
    """What the code of a warning means."""
    return _TEXTS[warning] if warning in _TEXTS else PictureWarning(warning).text
