"""`glpn evaluate` for models that predict labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from glpn_cli.cli.console import console, make_table
from glpn_cli.cli.evaluation_report import show_records
from glpn_cli.data.pairs import read_label_pairs
from glpn_cli.errors import ExitCode, StoppedError, UsageError
from glpn_cli.evaluation.segmentation import LabelScores, score_labels
from glpn_cli.pipeline.report import judge_failures
from glpn_cli.text import SCHEMA, shown, words_text

if TYPE_CHECKING:
    from glpn_cli.cli.params import ModelParams
    from glpn_cli.images import ReadOptions
    from glpn_cli.models.settings import InferenceSettings
    from glpn_cli.pipeline.settings import InputSettings, OutputSettings, RunSettings

_MOST_SHOWN = 20


def evaluate_labels(
    models: Sequence[InferenceSettings],
    data: str,
    model: ModelParams,
    run: RunSettings,
    reading: ReadOptions,
    inputs: InputSettings,
    output: OutputSettings,
) -> ExitCode:
    """Score models that predict labels on a CSV of pictures with labels, print the scores, and return the exit code.

    Raises UsageError where only some of the models predict labels, and for data that are no such CSV.
    """
    from glpn_cli.predictor import DepthEstimator

    if not all(settings.predicts_labels for settings in models):
        raise UsageError("models that predict labels and models that predict depth are scored apart")
    pairs = read_label_pairs(Path(data).expanduser(), may_be_empty=inputs.allow_empty)
    failed: set[int] = set()
    records: list[dict[str, Any]] = []
    is_cut_short = False
    end: BaseException | None = None
    for settings in models:
        estimator = DepthEstimator(settings, device=model.device, threads=model.threads)
        names = settings.config.label_names
        scores: list[LabelScores] = []
        try:
            found = score_labels(
                pairs,
                estimator.label_pictures,
                labels=len(names),
                workers=run.threads,
                batch_size=run.batch_size or 1,
                reading=reading,
                at_least=settings.enough_pixels,
            )
            for index, each in enumerate(found):
                if isinstance(each, LabelScores):
                    scores.append(each)
                    continue
                failed.add(index)
                console.error(each, about=pairs[index].name)
                if run.fail_fast:
                    is_cut_short = settings is not models[-1] or index + 1 < len(pairs)
                    break
        except (KeyboardInterrupt, StoppedError, MemoryError) as error:
            end = error
        total = sum(scores, LabelScores.nothing(len(names)))
        records.append(_record(settings, total, names, of=len(pairs), precision=estimator.precision))
        if end is not None or (failed and run.fail_fast):
            break
    show_records(records, lambda: "\n".join(map(_page, records)), json=output.json, report=output.report)
    if end is not None:
        raise end
    is_any_done = any(record["pictures"] for record in records)
    return judge_failures(len(failed), len(pairs), run.allow_failed, is_any_done=is_any_done, is_cut_short=is_cut_short)


def _record(
    settings: InferenceSettings, scores: LabelScores, names: tuple[str, ...], *, of: int, precision: str
) -> dict[str, Any]:
    iou = {name: _number(value) for name, value in zip(names, scores.iou, strict=True)}
    return {
        "schema": SCHEMA,
        "type": "label_evaluation",
        "model": words_text(settings.model.name),
        "weights_sha256": settings.weights_sha256,
        "precision": precision,
        "input_size": str(settings.input_size),
        "pictures": scores.pictures,
        "of": of,
        "pixels": int(scores.true.sum()),
        "pixel_accuracy": _number(scores.pixel_accuracy),
        "mean_iou": _number(scores.mean_iou),
        "iou": iou,
    }


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)


def _page(record: dict[str, Any]) -> str:
    """The same for people: the two scores, then the labels from the best to the worst."""
    known = sorted(((iou, name) for name, iou in record["iou"].items() if iou is not None), reverse=True)
    rows = [("pixel accuracy", _words(record["pixel_accuracy"])), ("mean IoU", _words(record["mean_iou"]))]
    rows += [(f"IoU of {shown(name)}", _words(iou)) for iou, name in known[:_MOST_SHOWN]]
    if len(known) > _MOST_SHOWN:
        rows.append((f"and {len(known) - _MOST_SHOWN} more labels", "see --json"))
    heading = (
        f"{shown(str(record['model']))}, {record['precision']}, size {record['input_size']}: "
        f"{record['pictures']} of {record['of']} pictures, {record['pixels']:,} pixels with a label"
    )
    return f"{heading}\n{make_table(('score', 'value'), rows)}"


def _words(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4f}"
