"""The report of a run: an outcome for every input, JSON records, counts and the exit code.

`records.schema.json` describes the records. The vocabulary is closed and versioned: a change that could break a reader
raises `SCHEMA`.
"""

from __future__ import annotations

import math
import signal
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from glpn_cli import __version__
from glpn_cli.depth_files import Record
from glpn_cli.depth_files.record import LABELS
from glpn_cli.errors import ErrorCode, ExitCode, GlpnError, StoppedError, interrupt_code
from glpn_cli.geometry import ASSUMED_FOV_DEG
from glpn_cli.images import PictureWarning
from glpn_cli.pipeline.settings import Allowance
from glpn_cli.prediction import DepthKind, DepthMap, Intrinsics, LabelMap, Provenance, Result
from glpn_cli.text import SCHEMA, error_fields, path_text, words_text

FLAT, FOCAL, ASSUMED_FOV, LOST_FRAMES, AXIS = "W_FLAT", "W_FOCAL", "W_FOV", "W_FRAMES", "W_AXIS"
ASSUMED_UNIT = "W_UNIT"
"""Warnings about results; `PictureWarning` has those about pictures."""

_TEXTS = {
    FLAT: "its depth came out the same everywhere",
    FOCAL: "its camera's focal length is over 30 % off the camera that the model learned from, and so are its metres "
    "(--metres focal brings them to it)",
    ASSUMED_FOV: f"its camera is not known: a field of view of {ASSUMED_FOV_DEG:g} degrees is ASSUMED, and the points "
    "have the right shape only if that is so (say it with --focal)",
    AXIS: "the optical axis of --intrinsics is far from the middle of the picture: if they are of another size, "
    "distances and points are wrong (scale them to the picture's)",
    ASSUMED_UNIT: "the unit is not said: the numbers are ASSUMED to be metres along the axis (say it with --kind)",
    LOST_FRAMES: "some of its frames could not be used, and are missing or patched",
}


class Status(StrEnum):
    """The fate of an input."""

    OK = "ok"
    SKIPPED = "skipped"
    ERROR = "error"
    PLANNED = "planned"


@dataclass(frozen=True, slots=True)
class Output:
    """One file of a result.

    path:        as it was written, "-" for standard output
    unit:        of its numbers: "m"; None for colours and for depth without unit
    depth_scale: stored units per metre, for integers
    range:       (near, far) of the colours, for painted maps
    """

    path: str
    format: str
    map: str
    unit: str | None = None
    depth_scale: float | None = None
    range: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The fate of one input.

    given:  the argument that led to it
    name:   the relative name that its results carry
    place:  its path, for people
    facts:  the fields of the JSON record about its prediction
    stdout: bytes that the main thread has yet to write to standard output
    """

    status: Status
    given: str
    name: str
    place: str
    outputs: tuple[Output, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    seconds: float | None = None
    error: GlpnError | None = None
    stdout: bytes | None = None

    def to_record(self) -> dict[str, Any]:
        """The JSON record of one input; unknown fields are left out."""
        return _without_none(
            {
                "schema": SCHEMA,
                "type": "result",
                "status": self.status.value,
                "input": path_text(self.given),
                "name": path_text(self.name),
                "outputs": [_output_fields(output) for output in self.outputs],
                **self.facts,
                "warnings": list(self.warnings),
                "seconds": None if self.seconds is None else round(self.seconds, 4),
                "error": error_fields(self.error) if self.error else None,
            }
        )


@dataclass(frozen=True)
class RunEnd:
    """Why a run stopped before its last input; `RunEnd()` where it did not.

    is_enough: an input failed, and the run was to stop at the first failure
    """

    stopped: StoppedError | None = None
    interrupt: KeyboardInterrupt | None = None
    is_enough: bool = False


def result_facts(result: Result) -> dict[str, Any]:
    """The fields of a JSON record about a prediction."""
    made = result.prediction
    if isinstance(made, LabelMap):
        return _facts(None, size=made.size, provenance=result.provenance)
    return _facts(
        made.kind,
        limit_m=made.limit if isinstance(made, DepthMap) else None,
        min_max=made.min_max(),
        mean_median=made.mean_median(),
        size=made.size,
        provenance=result.provenance,
        intrinsics=result.intrinsics,
    )


def record_facts(record: Record) -> dict[str, Any]:
    """The same for a file that was written earlier."""
    return _facts(record.kind, limit_m=record.limit_m, min_max=record.min_max, provenance=record.provenance)


def _facts(
    kind: DepthKind | None,
    *,
    limit_m: float | None = None,
    min_max: tuple[float, float] | None = None,
    mean_median: tuple[float, float] | None = None,
    size: tuple[int, int] | None = None,
    provenance: Provenance | None = None,
    intrinsics: Intrinsics | None = None,
) -> dict[str, Any]:
    facts: dict[str, Any] = {"kind": kind.value if kind else LABELS, "limit_m": limit_m}
    for names, pair in ((("min", "max"), min_max), (("mean", "median"), mean_median)):
        if pair is not None and all(map(math.isfinite, pair)):
            facts |= {name: float(f"{value:.6g}") for name, value in zip(names, pair, strict=True)}
    if size is not None:
        facts |= {"width": size[1], "height": size[0]}
    if provenance is not None:
        height, width = provenance.network_size or (None, None)
        facts |= {
            "model": words_text(provenance.model),
            "revision": provenance.revision,
            "weights_sha256": provenance.weights_sha256,
            "network_width": width,
            "network_height": height,
            "device": provenance.device,
            "precision": provenance.precision,
            "batch_size": None if provenance.batch_size == 1 else provenance.batch_size,
            "lens_factor": provenance.lens_factor,
            "metres": None if provenance.lens_factor is None else "focal",
        }
    if intrinsics is not None:
        facts |= {"focal_px": intrinsics.fx, "focal_source": intrinsics.source}
    return _without_none(facts)


def _output_fields(output: Output) -> dict[str, Any]:
    return _without_none(
        {
            "path": path_text(output.path),
            "format": output.format,
            "map": output.map,
            "unit": output.unit,
            "depth_scale": output.depth_scale,
            "range": list(output.range) if output.range else None,
        }
    )


def _without_none(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


@dataclass
class Tally:
    """Counts of a run, the reason of its end, and the exit code.

    planned_total: the number of inputs; None where they come one by one
    """

    planned_total: int | None
    allowance: Allowance | None = None
    statuses: Counter[Status] = field(default_factory=Counter)
    codes: Counter[ErrorCode] = field(default_factory=Counter)
    ended: RunEnd = field(default_factory=RunEnd)

    def add(self, outcome: Outcome) -> None:
        """Count one more."""
        self.statuses[outcome.status] += 1
        if outcome.error is not None:
            self.codes[outcome.error.code] += 1

    @property
    def total(self) -> int:
        """The number of inputs, as far as it is known."""
        return self.done + self.failed if self.planned_total is None else self.planned_total

    @property
    def written(self) -> int:
        """Inputs whose results were written now."""
        return self.statuses[Status.OK]

    @property
    def done(self) -> int:
        """Inputs that need no more work: written, skipped, or only planned."""
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
        """The error code, or the signal, that ended the run early."""
        if self.ended.stopped is not None:
            return self.ended.stopped.code.value
        if self.ended.interrupt is not None:
            return signal.Signals(interrupt_code(self.ended.interrupt) - 128).name
        return None

    @property
    def exit_code(self) -> int:
        """The exit code of the process."""
        if self.ended.interrupt is not None:
            return interrupt_code(self.ended.interrupt)
        if self.ended.stopped is not None:
            return ExitCode.STOPPED
        is_cut_short = self.left > 0 or (self.ended.is_enough and self.planned_total is None)
        code = judge_failures(
            self.failed, self.total, self.allowance, is_any_done=self.done > 0, is_cut_short=is_cut_short
        )
        if code is ExitCode.NOTHING_DONE and set(self.codes) == {ErrorCode.USAGE}:
            return ExitCode.USAGE  # such as --frame 7 of a picture with one frame: known only once it is read
        return code

    def summary(self) -> dict[str, Any]:
        """The last JSON record of a run."""
        return {
            "schema": SCHEMA,
            "type": "summary",
            "total": self.total,
            **{status.value: self.statuses[status] for status in Status},
            "codes": {code.value: count for code, count in sorted(self.codes.items())},
            "stopped": self.stopped,
            "exit_code": int(self.exit_code),
            "version": __version__,
        }


def judge_failures(
    failed: int, total: int, allowance: Allowance | None, *, is_any_done: bool, is_cut_short: bool = False
) -> ExitCode:
    """The exit code for `failed` of `total` inputs.

    is_cut_short: the run ended at a failure and left inputs without their turn, which no allowance covers
    """
    is_allowed = allowance is not None and allowance.covers(failed, total) and not is_cut_short
    if not failed or is_allowed:
        return ExitCode.OK
    return ExitCode.SOME_FAILED if is_any_done else ExitCode.NOTHING_DONE


def warning_text(code: str) -> str:
    """The meaning of a warning's code."""
    return _TEXTS[code] if code in _TEXTS else PictureWarning(code).text
