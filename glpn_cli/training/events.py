"""What a run tells as it goes: lines of history.jsonl, and the words for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from glpn_cli.text import words_text
from glpn_cli.training.loop import StepReport
from glpn_cli.training.validation import Validation


@dataclass(frozen=True)
class Progress:
    """A stretch of steps: their mean losses, and how fast they went.

    skipped, dropped: pictures that could not be used and steps that were not finite, since the run began.
    """

    step: int
    steps: int
    pictures: int
    loss: float
    depth_loss: float
    gradient_loss: float
    normal_loss: float
    rate: float
    pictures_per_s: float
    skipped: int
    dropped: int

    def to_line(self) -> dict[str, Any]:
        """For history.jsonl."""
        return {"type": "train", **{name: _short(value) for name, value in asdict(self).items() if name != "steps"}}

    def words(self) -> str:
        """For a terminal."""
        left = (self.steps - self.step) * self.pictures / max(self.step, 1) / max(self.pictures_per_s, 1e-9)
        clock = f"{int(left) // 3600}:{int(left) // 60 % 60:02}:{int(left) % 60:02}"
        return (
            f"step {self.step}/{self.steps}  loss {self.loss:.4f}  rate {self.rate:.1e}  "
            f"{self.pictures_per_s:.1f} pictures/s  {clock} left"
        )


@dataclass(frozen=True)
class Validated:
    """How the network did on the pictures it does not learn from."""

    step: int
    pictures: int
    size: tuple[int, int]
    result: Validation

    def to_line(self) -> dict[str, Any]:
        """For history.jsonl."""
        scores: Mapping[str, Any] = {
            "raw": {name: _short(value) for name, value in asdict(self.result.raw).items()},
            "median": {name: _short(value) for name, value in asdict(self.result.median).items()},
        }
        return {
            "type": "validation",
            "step": self.step,
            "pictures": self.pictures,
            "size": list(self.size),
            "measured": self.result.pictures,
            **scores,
        }

    def words(self) -> str:
        """For people."""
        raw, median = self.result.raw, self.result.median
        return (
            f"step {self.step}: validation abs_rel {raw.abs_rel:.4f}, d1 {raw.d1:.4f}; "
            f"median-scaled {median.abs_rel:.4f}, {median.d1:.4f} ({self.result.pictures} pictures)"
        )


@dataclass(frozen=True)
class Skipped:
    """Pictures that could not be used at a step, and why."""

    step: int
    messages: tuple[str, ...]

    def to_line(self) -> dict[str, Any]:
        """For history.jsonl."""
        return {"type": "skipped", "step": self.step, "messages": [words_text(message) for message in self.messages]}


Event = Progress | Validated | Skipped


class Window:
    """Gathers the reports of a stretch of steps."""

    def __init__(self) -> None:
        self._reports: list[StepReport] = []

    def add(self, report: StepReport) -> None:
        """One more step."""
        self._reports.append(report)

    def close(self, *, steps: int, pictures: int, skipped: int, dropped: int, seconds: float) -> Progress:
        """The stretch as one, and begin the next."""
        reports, self._reports = self._reports, []
        good = [report for report in reports if not report.is_dropped] or reports

        def mean(name: str) -> float:
            return sum(float(getattr(report, name)) for report in good) / len(good)

        return Progress(
            step=reports[-1].step,
            steps=steps,
            pictures=pictures,
            loss=mean("loss"),
            depth_loss=mean("depth_loss"),
            gradient_loss=mean("gradient_loss"),
            normal_loss=mean("normal_loss"),
            rate=reports[-1].rate,
            pictures_per_s=sum(report.pictures for report in reports) / max(seconds, 1e-9),
            skipped=skipped,
            dropped=dropped,
        )


def _short(value: Any) -> Any:
    """Six significant digits; what is no finite number is null, as JSON wants it."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.6g}") if abs(value) < float("inf") else None
