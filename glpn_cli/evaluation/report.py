"""An evaluation as rows of a table, as JSON, and as a CSV with a line for each picture."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from glpn_cli.errors import InputError
from glpn_cli.evaluation.alignment import Alignment
from glpn_cli.evaluation.evaluate import Evaluation
from glpn_cli.evaluation.metrics import LEVEL, Interval
from glpn_cli.evaluation.protocols import Protocol
from glpn_cli.text import first_of

LABELS = {
    "sq_rel": "sq_rel m",
    "rmse": "rmse m",
    "silog_half": "silog (lambda 0.5)",
    "silog_100": "silog (KITTI, x100)",
    "normal_mean": "normals: mean deg",
    "normal_median": "normals: median deg",
    "normal_11_25": "normals under 11.25",
    "normal_22_5": "normals under 22.5",
    "normal_30": "normals under 30",
    "edge_precision": "edges: precision",
    "edge_recall": "edges: recall",
    "edge_f1": "edges: F1",
    "scale_jitter": "scale jitter",
    "tae": "temporal alignment",
}
"""What a table calls a metric, where that is not its name: both conventions of silog, and units where there are any."""


@dataclass(frozen=True)
class Row:
    """One line of a table: a metric's mean and interval for one predictor and one alignment."""

    predictor: str
    alignment: Alignment
    metric: str
    interval: Interval

    def words(self) -> tuple[str, str]:
        """The mean, and the bounds of its interval, or that there is none."""
        digits = 2 if self.metric in ("silog_100", "normal_mean", "normal_median") else 4
        mean, low, high = self.interval.mean, self.interval.low, self.interval.high
        bounds = "none" if low is None or high is None else f"{low:.{digits}f} .. {high:.{digits}f}"
        return f"{mean:.{digits}f}", bounds


def heading(evaluation: Evaluation) -> str:
    """Everything that decides the scores, then the counts of pictures without scores."""
    count, total = len(evaluation.measured), evaluation.total
    aligned = ", ".join(how.value + _clipping(how, evaluation.protocol) for how in evaluation.alignments)
    lines = [
        f"{evaluation.predictor.name}: {evaluation.predictor.describe()}",
        f"{evaluation.protocol.describe()}, align {aligned}",
        f"{count} of {total} pictures",
    ]
    if evaluation.failures:
        counts = ", ".join(f"{count} {code}" for code, count in sorted(evaluation.failures.items()))
        lines.append(f"not measured: {counts}")
    if left := total - len(evaluation.pictures):
        lines.append(f"stopped before the last {left}")
    lines += [_gap_words(evaluation, how) for how in evaluation.alignments if evaluation.missing(how)]
    for group in evaluation.groups:
        if names := evaluation.without(group):
            lines.append(f"{group.value}: {count - len(names)} of {total} pictures")
    partial = [picture for picture in evaluation.measured if picture.known < 1]
    if partial:
        lines.append(f"{len(partial)} maps lack depth in places; there only what they have is measured")
    return "\n".join(lines)


def _gap_words(evaluation: Evaluation, how: Alignment) -> str:
    """The number of pictures in an alignment's mean, and the names of those left out."""
    names = evaluation.missing(how)
    count = len(evaluation.measured) - len(names)
    return f"align {how.value}: {count} of {evaluation.total} pictures; without a focal length: {first_of(names)}"


def _clipping(how: Alignment, protocol: Protocol) -> str:
    """The bounds of an alignment, in brackets; empty where it has none, or the protocol clips."""
    bounds = None if protocol.clip else how.bounds_m(protocol.range_m)
    if bounds is None:
        return ""
    return (
        f" (kept over {bounds[0]:g} m)" if math.isinf(bounds[1]) else f" (clipped to {bounds[0]:g} .. {bounds[1]:g} m)"
    )


def make_rows(evaluation: Evaluation) -> list[Row]:
    """Every metric's mean, alignment by alignment."""
    return [
        Row(evaluation.predictor.name, alignment, metric, interval)
        for alignment in evaluation.alignments
        for metric, interval in evaluation.means(alignment).items()
    ]


def make_differences(evaluations: Sequence[Evaluation]) -> list[Row]:
    """The mean differences of the other predictors from the first, on the pictures that both have scores for."""
    rows = []
    for other in evaluations[1:]:
        for alignment in other.alignments:
            for metric in other.metrics:
                difference = other.compare(evaluations[0], alignment, metric)
                if difference is not None:
                    name = f"{other.predictor.name} - {evaluations[0].predictor.name}"
                    rows.append(Row(name, alignment, metric, difference))
    return rows


def to_json(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """The whole result as plain values; `low` and `high` of an interval are null where it is of one picture."""
    return {
        "schema": 1,
        "type": "evaluation",
        "level": LEVEL,
        "models": [_model_json(evaluation) for evaluation in evaluations],
        "differences": [
            {"between": row.predictor, "align": row.alignment.value, "metric": row.metric, **asdict(row.interval)}
            for row in make_differences(evaluations)
        ],
    }


def _model_json(evaluation: Evaluation) -> dict[str, Any]:
    protocol = evaluation.protocol
    missing = {group.value: list(names) for group in evaluation.groups if (names := evaluation.without(group))}
    return {
        "name": evaluation.predictor.name,
        "settings": evaluation.predictor.describe(),
        "kind": evaluation.predictor.kind.value,
        "protocol": protocol.name,
        "crop": protocol.crop.value,
        "range_m": None if protocol.range_m is None else list(protocol.range_m),
        "clip": protocol.clip,
        **({"gt_kind": "ray"} if protocol.is_ray else {}),
        **({} if protocol.camera is None else {"camera": protocol.camera.text}),
        "align_bounds_m": {
            how.value: [near, None if math.isinf(far) else far]
            for how in evaluation.alignments
            for near, far in filter(None, [how.bounds_m(protocol.range_m)])
        },
        "pictures": evaluation.total,
        "measured": len(evaluation.measured),
        "failures": dict(sorted(evaluation.failures.items())),
        "align_missing": {
            how.value: list(evaluation.missing(how)) for how in evaluation.alignments if evaluation.missing(how)
        },
        **({"metrics_missing": missing} if missing else {}),
        "scores": {
            alignment.value: {metric: asdict(value) for metric, value in evaluation.means(alignment).items()}
            for alignment in evaluation.alignments
        },
    }


def to_csv(evaluations: Sequence[Evaluation]) -> str:
    """A line for every predictor, picture and alignment, those without scores too."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    metrics = evaluations[0].metrics if evaluations else ()
    writer.writerow(["model", "picture", "align", "pixels", "known", *metrics, "error"])
    for evaluation in evaluations:
        for picture in evaluation.pictures:
            start = [evaluation.predictor.name, picture.name]
            seen, nothing = [picture.pixels, f"{picture.known:.6g}"], [""] * len(metrics)
            if picture.error is not None:
                writer.writerow([*start, "", 0, "", *nothing, _words(picture.error)])
            for alignment, scores in picture.scores.items():
                numbers = [f"{scores[metric]:.9g}" if metric in scores else "" for metric in metrics]
                writer.writerow([*start, alignment.value, *seen, *numbers, ""])
            for alignment, error in picture.gaps.items():
                writer.writerow([*start, alignment.value, *seen, *nothing, _words(error)])
            if picture.no_camera is not None:
                writer.writerow([*start, "", *seen, *nothing, _words(picture.no_camera)])
    return file.getvalue()


def _words(error: InputError) -> str:
    return f"{error.code}: {error.message}"
