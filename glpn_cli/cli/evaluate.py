"""`glpn evaluate`: how good a model, or a folder of maps, is on pictures with known depth."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glpn_cli.cli import options

if TYPE_CHECKING:
    from glpn_cli.data.samples import SampleSource
    from glpn_cli.evaluation.alignment import Alignment
    from glpn_cli.evaluation.contestants import Contestant
    from glpn_cli.evaluation.evaluate import PictureScores
    from glpn_cli.evaluation.protocols import Protocol
    from glpn_cli.pipeline.settings import Allowance, ExplicitOptions, RunSettings

SCORING = "Scoring"

_OF_DEPTH = (
    *("--crop", "--gt-range", "--align", "--clip", "--protocol", "--baseline", "--predictions"),
    *("--depth-scale", "--kind", "--output"),
)
_OF_MODELS = ("--max-depth", "--device", "--precision", "--input-size", "--tta", "--batch-size", "--threads")
"""What makes no sense for data with labels, and where no model is scored."""

EXAMPLES = """
glpn evaluate -m nyu --data nyu:datasets/nyu --protocol nyu
glpn evaluate -m mini -m ./mine --data pairs.csv -o scores.csv
"""


def evaluate(
    context: typer.Context,
    data: options.Data,
    models: Annotated[
        list[str] | None,
        options.option(
            "--model",
            "-m",
            metavar="NAME",
            panel=options.MODEL,
            show_default="mini, or GLPN_MODEL",
            help="As in predict; given more than once, differences to the first are told with paired intervals.",
        ),
    ] = None,
    predictions: Annotated[
        list[Path] | None,
        options.option(
            "--predictions", metavar="DIR", panel=SCORING, help="Score the maps in a folder; may be repeated."
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        options.option(
            "--baseline",
            metavar="DATA",
            panel=SCORING,
            help="Score as well what fits log depth to the picture's rows of these data, and never looks.",
        ),
    ] = None,
    protocol: Annotated[
        str, options.option("--protocol", metavar="NAME", panel=SCORING, help="nyu, kitti or none.")
    ] = "none",
    crop: Annotated[
        str | None,
        options.option(
            "--crop",
            metavar="NAME",
            panel=SCORING,
            show_default="the protocol's",
            help="What counts of a frame: garg, eigen, nyu or none.",
        ),
    ] = None,
    gt_range: Annotated[
        str | None,
        options.option(
            "--gt-range",
            metavar="NEAR:FAR",
            panel=SCORING,
            show_default="the protocol's",
            help="True depths that count, in metres.",
        ),
    ] = None,
    align: Annotated[
        str | None,
        options.option(
            "--align",
            metavar="LIST",
            panel=SCORING,
            show_default="none,median",
            help="What is done first: none; focal (metres for the known camera); or fitted to the truth: median, "
            "scale-shift, disparity.",
        ),
    ] = None,
    clip: Annotated[
        bool, options.option("--clip", panel=SCORING, help="Bring predictions into the range that counts first.")
    ] = False,
    max_depth: options.MaxDepth = None,
    offline: options.Offline = False,
    device: options.Device = "auto",
    precision: options.PrecisionOption = options.Precision.FP32,
    input_size: options.InputSize = "auto",
    tta: options.TtaOption = options.Tta.NONE,
    batch_size: Annotated[
        str, options.option("--batch-size", metavar="N", panel=options.MODEL, help="Pictures together; auto is 1.")
    ] = "auto",
    workers: options.Workers = None,
    threads: options.Threads = None,
    depth_scale: options.DepthScale = None,
    isolate: options.Isolate = False,
    timeout: options.Timeout = None,
    kind: options.KindOption = options.Kind.METRIC,
    output: Annotated[
        Path | None,
        options.option(
            "--output", "-o", metavar="FILE", panel=options.OUTPUTS, help="Write a CSV with a line a picture."
        ),
    ] = None,
    json: options.Json = False,
    report: options.Report = None,
    fail_fast: options.FailFast = False,
    allow_failed: options.AllowFailed = None,
    allow_empty: options.AllowEmpty = False,
) -> None:
    """Score a model, or maps in a folder, against measured depth.

    Every mean is over pictures and comes with its bootstrap 95 % interval, which one picture has not; what could not
    be measured is counted. A model that answers labels is scored on a CSV of rgb_path,label_path, by pixel accuracy
    and mean IoU.
    """
    from glpn_cli.cli.asked import find_asked
    from glpn_cli.cli.evaluation_report import check_results, show_evaluations
    from glpn_cli.cli.label_evaluation import evaluate_labels
    from glpn_cli.cli.model_choice import choose_recipe
    from glpn_cli.cli.reading import choose_workers
    from glpn_cli.data.label_pairs import is_label_data
    from glpn_cli.data.sources import check_scale, open_source
    from glpn_cli.evaluation.alignment import parse_alignments
    from glpn_cli.evaluation.contestants import FolderContestant, ModelContestant, fit_rows
    from glpn_cli.evaluation.evaluate import check_focal, choose_alignments, gather
    from glpn_cli.evaluation.protocols import choose_protocol
    from glpn_cli.images import ReadOptions
    from glpn_cli.pipeline.settings import Allowance, RunSettings, parse_batch_size
    from glpn_cli.prediction import DepthKind

    rules = choose_protocol(protocol, crop=crop, gt_range=gt_range, clip=clip)
    align_by = parse_alignments(align)
    allowance, pace = Allowance.parse(allow_failed), RunSettings(workers, parse_batch_size(batch_size), fail_fast)
    asked = find_asked(context)
    reading = ReadOptions(workers=choose_workers(isolate=isolate, timeout=timeout, processes=pace.threads))
    check_results(output=output, report=report, inputs=[data, *([baseline] if baseline else []), *(predictions or ())])
    source = rows_source = None
    if not is_label_data(data):
        _refuse_unread(asked, [data, *([baseline] if baseline else [])], is_model=not predictions or bool(models))
        source = open_source(data, split="test", depth_scale=depth_scale, may_be_empty=allow_empty, reading=reading)
        check_focal(source, align_by)
        if baseline is not None:
            rows_source = open_source(baseline, split="train", depth_scale=depth_scale, reading=reading)
        if not predictions:
            check_scale([source, *([rows_source] if rows_source else [])], depth_scale)
    recipes = [
        choose_recipe(
            name,
            max_depth=max_depth,
            offline=offline,
            device=device,
            precision=precision,
            input_size=input_size,
            tta=tta,
            takes_labels=source is None,
        )
        for name in models or _default_models(predictions)
    ]
    if source is None:
        asked.refuse(*_OF_DEPTH, because="makes no sense for data with labels")
        with reading.workers or nullcontext():
            code = evaluate_labels(
                recipes,
                data,
                device=device,
                threads=threads,
                pace=pace,
                reading=reading,
                json=json,
                report=report,
                allowance=allowance,
                allow_empty=allow_empty,
            )
        raise typer.Exit(code)
    with reading.workers or nullcontext():
        contestants: list[Contestant] = [ModelContestant(recipe, device=device, threads=threads) for recipe in recipes]
        contestants += [
            FolderContestant(
                folder,
                pictures=map(source.name_of, range(source.length or 0)),
                depth_scale=depth_scale,
                kind=DepthKind(kind.value),
                reading=reading,
            )
            for folder in predictions or ()
        ]
        if rows_source is not None:
            contestants.append(fit_rows(rows_source))
        for contestant in contestants:
            choose_alignments(align_by, contestant)
        rows, end = _run(source, contestants, rules, align_by, pace)
    if rows or end is None:
        evaluations = gather(contestants, rows, protocol=rules, align_by=align_by, total=source.length)
        show_evaluations(evaluations, json=json, report=report, output=output)
    if end is not None:
        raise end
    raise typer.Exit(_exit_code(rows, source.length or 0, allowance))


def _refuse_unread(asked: ExplicitOptions, data: Sequence[str], *, is_model: bool) -> None:
    """Refuse options about maps, or about models, that are not scored, and a scale that nothing asks for (UsageError).

    data: all that is read
    """
    if not is_model:
        asked.refuse(*_OF_MODELS, because="is about models, and none is scored", hint="Name one with -m.")
    if asked.among("--predictions"):
        return
    if all(spec.startswith("scenes:") for spec in data):
        asked.refuse("--isolate", "--timeout", because="is about files, and these pictures are rendered")
    asked.refuse("--kind", because="is about the maps of --predictions, and there are none")
    from glpn_cli.data.sources import asks_for_scale

    if not any(map(asks_for_scale, data)):
        asked.refuse("--depth-scale", because="is for a CSV or --predictions, and there are none")


def _default_models(predictions: list[Path] | None) -> list[str | None]:
    """The user's usual model where nothing else is to be scored; None is the bundled one, and is told."""
    return [] if predictions else [os.environ.get("GLPN_MODEL") or None]


def _run(
    source: SampleSource,
    contestants: Sequence[Contestant],
    rules: Protocol,
    align_by: tuple[Alignment, ...],
    pace: RunSettings,
) -> tuple[list[tuple[PictureScores, ...]], BaseException | None]:
    """Measure picture by picture, telling each that could not be as it comes; and what ended it early, if anything."""
    from glpn_cli.cli.console import console
    from glpn_cli.cli.progress import Progress
    from glpn_cli.errors import StoppedError
    from glpn_cli.evaluation.evaluate import evaluate as measure

    assert source.length is not None
    progress = Progress(source.length)
    rows = []
    try:
        for row in measure(
            source,
            contestants,
            protocol=rules,
            align_by=align_by,
            workers=pace.threads,
            batch_size=pace.batch_size or 1,
        ):
            rows.append(row)
            errors = {error.message: error for scores in row for error in scores.problems}
            for error in errors.values():
                console.error(error, about=row[0].name)
            progress.advance(row[0].name, computed=True)
            if errors and pace.fail_fast:
                break
    except (KeyboardInterrupt, StoppedError, MemoryError) as error:
        return rows, error
    finally:
        progress.close()
    return rows, None


def _exit_code(rows: Sequence[tuple[PictureScores, ...]], total: int, allowance: Allowance) -> int:
    """A picture counts as failed where one of those that are scored cannot be scored on it, in every way asked for."""
    from glpn_cli.pipeline.report import judge_failures

    failed = sum(any(scores.problems for scores in row) for row in rows)
    is_any_done = any(scores.error is None for row in rows for scores in row)
    return judge_failures(failed, total, allowance, is_any_done=is_any_done, is_cut_short=len(rows) < total)
