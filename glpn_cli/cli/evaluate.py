"""`glpn evaluate`: how good a model, or a folder of maps, is on pictures with known depth."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from glpn_cli.cli.groups import only
from glpn_cli.cli.params import DATA, ModelParams, SpaceParams
from glpn_cli.cli.unused_options import check_used
from glpn_cli.options import INPUTS, MODEL, OUTPUTS, READ_SCALE, ExplicitOptions, option
from glpn_cli.pipeline.settings import InputSettings, OutputSettings, RunSettings

if TYPE_CHECKING:
    from glpn_cli.data.samples import SampleSource
    from glpn_cli.evaluation.evaluate import Evaluation
    from glpn_cli.evaluation.metrics import MetricGroup
    from glpn_cli.evaluation.predictors import Predictor
    from glpn_cli.evaluation.protocols import Protocol
    from glpn_cli.images import ReadOptions
    from glpn_cli.models.settings import InferenceSettings

_SCORING = "Scoring"
_FOCAL = "The camera's focal length, as for predict; auto is that of the data."

EXAMPLES = """
glpn evaluate -m nyu --data nyu:datasets/nyu --protocol nyu
glpn evaluate -m lite -m ./mine --data pairs.csv -o scores.csv
glpn evaluate -m lite --data scenes:7:64 --metrics depth,normals,edges
glpn evaluate -m lite --data walks/pairs.csv --temporal
"""


@dataclass(frozen=True, kw_only=True)
class SubjectParams:
    """What is scored, and on which data."""

    PANEL = MODEL

    data: str = option("--data DATA", ..., DATA, panel=INPUTS)
    models: list[str] | None = option(
        "-m, --model NAME",
        None,
        "As for predict; if given more than once, differences from the first are printed with paired intervals.",
        show_default="lite, or GLPN_MODEL",
    )
    predictions: list[Path] | None = option(
        "--predictions DIR", None, "Score the depth maps in a folder; can be given more than once.", panel=_SCORING
    )
    baseline: str | None = option(
        "--baseline DATA",
        None,
        "Also score a predictor that never looks at the picture: log depth by row, fitted to these data.",
        panel=_SCORING,
    )

    @property
    def specs(self) -> list[str]:
        """All the data."""
        return [self.data, *([self.baseline] if self.baseline else [])]

    @property
    def model_names(self) -> list[str | None]:
        """The models; where nothing is named, the user's usual one; None is the bundled one."""
        if self.models:
            return [*self.models]
        return [] if self.predictions else [os.environ.get("GLPN_MODEL") or None]


@dataclass(frozen=True, kw_only=True)
class _ScoringParams:
    """How predictions are compared with the truth."""

    PANEL = _SCORING

    protocol: str = option("--protocol NAME", "none", "nyu, kitti or none.")
    crop: str | None = option(
        "--crop NAME", None, "Part of each frame that counts: garg, eigen, nyu or none.", show_default="the protocol's"
    )
    gt_range: str | None = option(
        "--gt-range NEAR:FAR", None, "True depths that count, in metres.", show_default="the protocol's"
    )
    align: str | None = option(
        "--align LIST",
        None,
        "Alignments before scoring: none; focal (metres for the known camera); or fitted to the truth: "
        "median, scale-shift, disparity.",
        show_default="none,median",
    )
    clip: bool = option("--clip", False, "Clip predictions to the range that counts first.")
    metrics: str = option(
        "--metrics LIST",
        "depth",
        "depth (the field's errors); normals (angles of surfaces through the camera); edges (precision and recall of "
        "depth edges).",
    )
    temporal: bool = option(
        "--temporal",
        False,
        "The pictures are frames of films, in order: add scale jitter, and flicker and alignment along the true motion "
        "where the data have poses.",
    )
    gt_kind: Literal["depth", "ray"] = option(
        "--gt-kind KIND",
        "depth",
        "True depths of a CSV are along the camera's axis (depth), or along the ray of each pixel (ray).",
    )
    csv: Path | None = option("-o, --output FILE", None, "Write a CSV with one line per picture.", panel=OUTPUTS)

    def rules(self, space: SpaceParams) -> Protocol:
        """The protocol, with the camera. Raises UsageError."""
        from glpn_cli.evaluation.protocols import Protocol

        protocol = Protocol.choose(self.protocol, crop=self.crop, gt_range=self.gt_range, clip=self.clip)
        is_named = space.choice.text != "auto"
        return replace(protocol, is_ray=self.gt_kind == "ray", camera=space.choice if is_named else None)

    @property
    def groups(self) -> tuple[MetricGroup, ...]:
        """The metrics. Raises UsageError."""
        from glpn_cli.evaluation.metrics import MetricGroup

        return (*MetricGroup.parse_list(self.metrics), *((MetricGroup.TEMPORAL,) if self.temporal else ()))

    @property
    def needs_camera(self) -> list[str]:
        """The options that need the cameras of the pictures, as they are typed. Raises UsageError."""
        from glpn_cli.evaluation.alignment import Alignment
        from glpn_cli.evaluation.metrics import MetricGroup

        needs = {
            "--align focal": Alignment.FOCAL in Alignment.parse_list(self.align),
            "--metrics normals": MetricGroup.NORMALS in self.groups,
            "--gt-kind ray": self.gt_kind == "ray",
        }
        return [option for option, is_asked in needs.items() if is_asked]


def evaluate(
    explicit: ExplicitOptions,
    subjects: SubjectParams,
    scoring: _ScoringParams,
    model: Annotated[
        ModelParams, only("max_depth", "offline", "device", "input_size", "tta", "threads", precision="fp32")
    ],
    run: Annotated[
        RunSettings,
        only(
            "fail_fast",
            "allow_failed",
            help={"batch_size": "Pictures per batch; auto is 1.", "workers": "Threads that decode."},
        ),
    ],
    inputs: Annotated[InputSettings, only("max_pixels", "isolate", "timeout", "depth_kind", "allow_empty")],
    output: Annotated[OutputSettings, only("json", "report", help=READ_SCALE)],
    space: Annotated[SpaceParams, only("intrinsics", help={"focal": _FOCAL})],
) -> None:
    """Score a model, or depth maps in a folder, against measured depth.

    Every mean is over pictures and comes with its bootstrap 95 % interval, except for a single picture; pictures that
    cannot be measured are counted. A model that predicts labels is scored on a CSV of rgb_path,label_path, by pixel
    accuracy and mean IoU.
    """
    from glpn_cli.cli.evaluation_report import check_results, show_evaluations
    from glpn_cli.cli.label_evaluation import evaluate_labels
    from glpn_cli.cli.outcomes import warn_of_assumed_metres
    from glpn_cli.data.pairs import is_label_data
    from glpn_cli.evaluation.alignment import Alignment
    from glpn_cli.evaluation.evaluate import Evaluation
    from glpn_cli.evaluation.predictors import FolderPredictor

    rules, align_by, groups = scoring.rules(space), Alignment.parse_list(scoring.align), scoring.groups
    reading = inputs.choose_reading(run.threads)
    check_results(output=scoring.csv, report=output.report, inputs=[*subjects.specs, *(subjects.predictions or ())])
    has_labels = is_label_data(subjects.data)
    sources = [] if has_labels else _open_data(explicit, subjects, scoring, rules, inputs, output, reading)
    models = [replace(model, model=name).resolve(takes_labels=has_labels) for name in subjects.model_names]
    check_used(explicit, {"evaluate: labels": has_labels})
    with reading.workers or nullcontext():
        if has_labels:
            code = evaluate_labels(models, subjects.data, model, run, reading, inputs, output)
            raise typer.Exit(code)
        predictors = _open_predictors(models, sources, subjects, model, inputs, output, reading)
        evaluations = [
            Evaluation.begin(each, sources[0], protocol=rules, align_by=align_by, groups=groups) for each in predictors
        ]
        if not explicit.among("--kind", "--depth-scale"):
            warn_of_assumed_metres(
                [str(path) for each in predictors if isinstance(each, FolderPredictor) for path in each.bare]
            )
        end = _run(sources[0], evaluations, run)
    if evaluations[0].pictures or end is None:
        show_evaluations(evaluations, json=output.json, report=output.report, output=scoring.csv)
    if end is not None:
        raise end
    raise typer.Exit(_exit_code(evaluations, run))


def _open_data(
    explicit: ExplicitOptions,
    subjects: SubjectParams,
    scoring: _ScoringParams,
    rules: Protocol,
    inputs: InputSettings,
    output: OutputSettings,
    reading: ReadOptions,
) -> list[SampleSource]:
    """The pictures with depth, and those that the baseline is fitted to. Raises UsageError, also for unused options."""
    from glpn_cli.data.sources import asks_for_scale, check_scale, open_source
    from glpn_cli.evaluation.cameras import check_cameras, through_cameras

    maps, specs = bool(subjects.predictions), subjects.specs
    situations = {
        "evaluate: no model is scored": maps and not subjects.models,
        "evaluate: pictures are rendered": not maps and all(spec.startswith("scenes:") for spec in specs),
        "evaluate: rooms are no film": subjects.data.startswith("scenes:"),
        "evaluate: no folder is scored": not maps,
        "evaluate: nothing has a scale": not maps and not any(map(asks_for_scale, specs)),
        "evaluate: no camera is needed": not scoring.needs_camera,
        "evaluate: truth is along the axis": not asks_for_scale(subjects.data),
    }
    check_used(explicit, situations)
    scale = output.depth_scale
    source = open_source(
        subjects.data, split="test", depth_scale=scale, may_be_empty=inputs.allow_empty, reading=reading
    )
    check_cameras(source, rules.camera, scoring.needs_camera)
    sources = [source]
    if subjects.baseline is not None:
        sources.append(open_source(subjects.baseline, split="train", depth_scale=scale, reading=reading))
    if not maps:
        check_scale(sources, scale)
    return [
        through_cameras(each, rules.camera, is_ray=rules.is_ray and asks_for_scale(spec))
        for each, spec in zip(sources, specs, strict=True)
    ]


def _open_predictors(
    models: Sequence[InferenceSettings],
    sources: Sequence[SampleSource],
    subjects: SubjectParams,
    model: ModelParams,
    inputs: InputSettings,
    output: OutputSettings,
    reading: ReadOptions,
) -> list[Predictor]:
    """All that is scored: models, folders, the baseline."""
    from glpn_cli.evaluation.predictors import FolderPredictor, ModelPredictor, RowFit
    from glpn_cli.prediction import DepthKind

    source, *fitted_to = sources
    predictors: list[Predictor] = [
        ModelPredictor(settings, device=model.device, threads=model.threads) for settings in models
    ]
    predictors += [
        FolderPredictor(
            folder,
            pictures=map(source.name_of, range(source.length or 0)),
            depth_scale=output.depth_scale,
            kind=DepthKind(inputs.depth_kind),
            reading=reading,
        )
        for folder in subjects.predictions or ()
    ]
    return [*predictors, *map(RowFit.fit, fitted_to)]


def _run(source: SampleSource, evaluations: Sequence[Evaluation], run: RunSettings) -> BaseException | None:
    """Measure picture by picture and print errors as they come; return what ended it early, if anything."""
    from glpn_cli.cli.console import Progress, console
    from glpn_cli.errors import StoppedError
    from glpn_cli.evaluation.evaluate import evaluate as measure

    progress = Progress(evaluations[0].total)
    try:
        for row in measure(source, evaluations, workers=run.threads, batch_size=run.batch_size or 1):
            errors = {error.message: error for scores in row for error in scores.problems}
            for error in errors.values():
                console.error(error, about=row[0].name)
            progress.advance(row[0].name, computed=True)
            if errors and run.fail_fast:
                break
    except (KeyboardInterrupt, StoppedError, MemoryError) as error:
        return error
    finally:
        progress.close()
    return None


def _exit_code(evaluations: Sequence[Evaluation], run: RunSettings) -> int:
    """A picture counts as failed where a predictor cannot be scored on it with every alignment."""
    from glpn_cli.pipeline.report import judge_failures

    rows = list(zip(*(each.pictures for each in evaluations), strict=False))  # an interrupt may leave one behind
    failed = sum(any(scores.problems for scores in row) for row in rows)
    total, is_any_done = evaluations[0].total, any(each.measured for each in evaluations)
    return judge_failures(failed, total, run.allow_failed, is_any_done=is_any_done, is_cut_short=len(rows) < total)
