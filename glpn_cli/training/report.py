"""The events of a run, as lines of history.jsonl and as sentences, and the model card that sums them up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from glpn_cli.evaluation.metrics import Scores
from glpn_cli.text import clock, size_text, words_text
from glpn_cli.training.config import TrainingConfig


@dataclass(frozen=True)
class Progress:
    """A stretch of steps: their mean losses and their speed.

    steps:            of the whole run.
    pictures:         since the run began, as are skipped and dropped.
    skipped, dropped: pictures that could not be used, and steps that were not finite.
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
        return {"type": "train", **_shorten({name: value for name, value in asdict(self).items() if name != "steps"})}

    def words(self) -> str:
        """For a terminal."""
        left = (self.steps - self.step) * self.pictures / max(self.step, 1) / max(self.pictures_per_s, 1e-9)
        return (
            f"step {self.step}/{self.steps}  loss {self.loss:.4f}  rate {self.rate:.1e}  "
            f"{self.pictures_per_s:.1f} pictures/s  {clock(left)} left"
        )


@dataclass(frozen=True)
class Validation:
    """The network's mean scores on pictures that it does not learn from.

    pictures: how many it had learned from.
    size:     (h, w) at which it was validated.
    measured: how many it was scored on.
    raw:      scores of its depth; median: after each map was scaled to the true median.
    """

    step: int
    pictures: int
    size: tuple[int, int]
    measured: int
    raw: Scores
    median: Scores

    def to_line(self) -> dict[str, Any]:
        """For history.jsonl."""
        return {"type": "validation", **_shorten(asdict(self))}

    def words(self) -> str:
        """For a terminal."""
        raw, median = self.raw, self.median
        return (
            f"step {self.step}: validation abs_rel {raw.abs_rel:.4f}, d1 {raw.d1:.4f}; "
            f"median-scaled {median.abs_rel:.4f}, {median.d1:.4f} ({self.measured} pictures)"
        )


@dataclass(frozen=True)
class Skipped:
    """Messages about the pictures of a step that could not be used."""

    step: int
    messages: tuple[str, ...]

    def to_line(self) -> dict[str, Any]:
        """For history.jsonl."""
        return {"type": "skipped", "step": self.step, "messages": [words_text(message) for message in self.messages]}


Event = Progress | Validation | Skipped


def _shorten(value: Any) -> Any:
    """Plain values for JSON: six significant digits, and null for numbers that are not finite."""
    if isinstance(value, Mapping):
        return {name: _shorten(each) for name, each in value.items()}
    if isinstance(value, tuple):
        return list(value)
    if not isinstance(value, float):
        return value
    return float(f"{value:.6g}") if abs(value) < float("inf") else None


def make_card(
    *, config: TrainingConfig, start: str, data: str, limit_m: float, command: str, history: Sequence[Mapping[str, Any]]
) -> str:
    """Markdown about the model: its origin, data, recipe, validation, and the command that trained it.

    start:   the origin of the initial weights.
    history: lines of history.jsonl.
    """
    last: Mapping[str, Any] = next((line for line in reversed(history) if line.get("type") == "train"), {})
    lines = [
        "---",
        "pipeline_tag: depth-estimation",
        "---",
        "# Depth from one picture",
        "",
        f"A network that answers in metres along the optical axis, to {limit_m:g} m, trained with `glpn train`.",
        "",
        f"- Started from: {start}",
        f"- Data: {data}",
        f"- Steps: {last.get('step', 0)} of {config.steps}, {last.get('pictures', 0)} pictures",
        f"- Left out: {last.get('skipped', 0)} pictures, {last.get('dropped', 0)} steps that were not finite",
        f"- Recipe: {_recipe(config)}",
        *(f"  - {phase.steps} steps at {size_text(phase.size)}" for phase in config.phases),
        "",
        "The licence is for you to choose, within what the data and the weights that it started from allow.",
        "",
        *_validation_table(history),
        "## Made by",
        "",
        "```",
        command,
        "```",
    ]
    return words_text("\n".join(lines) + "\n")


def _recipe(config: TrainingConfig) -> str:
    schedule = config.schedule
    loss = "mean error of log depth" if config.loss == "log-l1" else "SiLog"
    facts = [
        "AdamW" if config.weight_decay else "Adam",
        f"batch {config.batch_size}",
        f"rate at most {schedule.peak:g} ({schedule.course} course)",
        loss,
        config.precision,
        f"seed {config.seed}",
    ]
    if any(phase.gradient_weight for phase in config.phases):
        facts.append("gradient matching " + ", ".join(f"{phase.gradient_weight:g}" for phase in config.phases))
    if any(phase.normal_weight for phase in config.phases):
        facts.append("surface normals " + ", ".join(f"{phase.normal_weight:g}" for phase in config.phases))
    if config.average is not None:
        facts.append(f"weights averaged at {config.average:g}")
    if config.freeze != "none":
        facts.append(f"{config.freeze} frozen")
    return ", ".join(facts)


def _validation_table(history: Sequence[Mapping[str, Any]]) -> list[str]:
    """The scores by step, in at most a dozen lines with the last among them."""
    found = [line for line in history if line.get("type") == "validation"]
    if not found:
        return []
    stride = -(-len(found) // 12)
    shown = found[::-1][::stride][::-1]
    rows = [
        f"| {line['step']} | {size_text(line['size'])} "
        f"| {line['raw']['abs_rel']:.4f} | {line['raw']['d1']:.4f} "
        f"| {line['median']['abs_rel']:.4f} | {line['median']['d1']:.4f} |"
        for line in shown
    ]
    head = ["| step | size | abs_rel | d1 | abs_rel, median-scaled | d1, median-scaled |", "|---|---|---|---|---|---|"]
    return [f"## Validation ({shown[-1]['measured']} pictures)", "", *head, *rows, ""]
