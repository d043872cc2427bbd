"""The model card that a run leaves beside its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from glpn_cli.text import words_text
from glpn_cli.training.config import TrainingConfig


def make_card(
    *, config: TrainingConfig, start: str, data: str, limit_m: float, command: str, history: Sequence[Mapping[str, Any]]
) -> str:
    """Markdown: what the model is, what it learned from and how, how it did on the way, and the command that made it.

    history: lines of history.jsonl.
    """
    last: Mapping[str, Any] = next((line for line in reversed(history) if line.get("type") == "train"), {})
    lines = [
        "---",
        "pipeline_tag: depth-estimation",
        "---",
        "# Depth from one picture",
        "",
        f"A GLPN that answers in metres along the optical axis, to {limit_m:g} m, trained with `glpn train`.",
        "",
        f"- Started from: {start}",
        f"- Data: {data}",
        f"- Steps: {last.get('step', 0)} of {config.steps}, {last.get('pictures', 0)} pictures",
        f"- Left out: {last.get('skipped', 0)} pictures, {last.get('dropped', 0)} steps that were not finite",
        f"- Recipe: {_recipe(config)}",
        *(f"  - {phase.steps} steps at {phase.size[1]}x{phase.size[0]}" for phase in config.phases),
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
        f"rate at most {schedule.peak:g} ({schedule.course.value} course)",
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
    """Validation by step; at most a dozen lines, the last among them."""
    found = [line for line in history if line.get("type") == "validation"]
    if not found:
        return []
    stride = -(-len(found) // 12)
    shown = found[::-1][::stride][::-1]
    rows = [
        f"| {line['step']} | {line['size'][1]}x{line['size'][0]} "
        f"| {line['raw']['abs_rel']:.4f} | {line['raw']['d1']:.4f} "
        f"| {line['median']['abs_rel']:.4f} | {line['median']['d1']:.4f} |"
        for line in shown
    ]
    head = ["| step | size | abs_rel | d1 | abs_rel, median-scaled | d1, median-scaled |", "|---|---|---|---|---|---|"]
    return [f"## Validation ({shown[-1]['measured']} pictures)", "", *head, *rows, ""]
