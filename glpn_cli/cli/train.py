"""`glpn train`: fine-tune a model, or train one from nothing."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from glpn_cli.cli.console import console
from glpn_cli.cli.groups import only
from glpn_cli.cli.params import ModelParams
from glpn_cli.cli.training_data import DataParams, model_to_train_with
from glpn_cli.errors import UsageError
from glpn_cli.options import MODEL, OUTPUTS, ExplicitOptions, option
from glpn_cli.pipeline.settings import OutputSettings
from glpn_cli.training.settings import TrainingSettings

if TYPE_CHECKING:
    from glpn_cli.data.samples import SampleSource
    from glpn_cli.models.settings import InferenceSettings
    from glpn_cli.training.config import TrainingConfig
    from glpn_cli.training.initial_model import InitialModel

_LOOKED_AT = 20
"""Pictures among which one is looked for that can be used, to see what the data are like."""

EXAMPLES = """
glpn train -m nyu --data pairs.csv --epochs 5 -o mine
glpn train -m lite --teacher nyu --data photos/ --epochs 5 -o small
glpn train --config mini --data scenes:1 --recipe rooms -o rooms
"""


@dataclass(frozen=True, kw_only=True)
class _StartParams:
    """What training starts from: a model or a config, and the folder that it writes."""

    PANEL = MODEL

    output: Path = option("-o, --output DIR", ..., "The folder to write.", panel=OUTPUTS)
    model: str | None = option("-m, --model NAME", None, "Start from a model, or from an encoder.")
    config: str | None = option("--config SHAPE", None, "Start from random weights: b0, b4, mini, or a config.json.")


def train(
    explicit: ExplicitOptions,
    pictures: DataParams,
    start: _StartParams,
    model: Annotated[ModelParams, only("max_depth", "offline", "device", "precision", "threads")],
    training: TrainingSettings,
    printing: Annotated[OutputSettings, only("json")],
) -> None:
    """Train a model on pictures with depth.

    Training starts from exactly one of --model and --config. The folder is a model after every save. A run that was
    stopped, even by a signal, continues with --resume and ends with the same weights. Several processes: torchrun.
    """
    from glpn_cli.atomic_write import probe_writable
    from glpn_cli.cli.training_report import TrainingView, sum_up
    from glpn_cli.data.samples import join_sources
    from glpn_cli.devices import choose_device, choose_precision, set_threads
    from glpn_cli.training.folder import RunFolder
    from glpn_cli.training.ranks import Ranks, own_device
    from glpn_cli.training.run import Run, run_training

    if (start.model is None) == (start.config is None):
        raise UsageError("training starts from exactly one of --model and --config", hint="Run: glpn train --help")
    measured = pictures.open(explicit)
    device = own_device(choose_device(model.device))
    training = replace(training, precision=choose_precision(model.precision, device))
    settings = None if start.model is None else model_to_train_with(start.model, model, max_depth=model.max_depth)
    teacher = pictures.resolve_teacher(model)
    choose_recipe = partial(_choose_recipe, training, settings, is_kitti=pictures.is_kitti)
    choose_recipe(measured[0].length if measured else 1)  # raises what it has to, before anything is taught
    folder = RunFolder(start.output)
    folder.check_free(resume=training.resume)
    probe_writable(start.output)
    if model.threads is not None:
        set_threads(model.threads)
    initial = _choose_initial_model(settings, start.config, pictures, model, training)
    ranks = Ranks.join()
    try:
        if teacher is not None:
            with ranks.first_goes_first():
                measured += pictures.teach(teacher, start.output, device=device, threads=model.threads)
        source = join_sources(measured)
        config = choose_recipe(source.length)
        initial = _fit_to_data(initial, measured, tells=ranks.is_first)
        run = Run(
            initial=initial,
            config=config,
            source=source,
            folder=folder,
            held_out=pictures.read_held_out() if ranks.is_first else (),
            device=device,
            workers=training.workers,
            ranks=ranks,
            command=shlex.join(["glpn", *sys.argv[1:]]),
        )
        end = run_training(run, resume=training.resume, report=TrainingView(ranks, json=printing.json).show)
    finally:
        console.progress("")
        ranks.leave()
    sum_up(end, config, start.output, ranks, json=printing.json)


def _choose_recipe(
    training: TrainingSettings, settings: InferenceSettings | None, length: int | None, *, is_kitti: bool
) -> TrainingConfig:
    """The recipe for data with an epoch of `length`, from a model with `settings` or from nothing."""
    from glpn_cli.training.initial_model import Camera
    from glpn_cli.training.recipes import KITTI_CROP, PAPER_CROP, paper_recipe, rooms_recipe, smaller_crop

    if training.recipe == "rooms":
        return rooms_recipe(training, length=length)
    crop = KITTI_CROP if is_kitti else PAPER_CROP
    if settings is None:
        return paper_recipe(training, length=length, crop=crop)
    camera = Camera(settings.config.training_size, settings.config.training_focal_px)
    return paper_recipe(training, length=length, crop=smaller_crop(crop, camera.size), camera=camera)


def _choose_initial_model(
    settings: InferenceSettings | None,
    shape: str | None,
    pictures: DataParams,
    model: ModelParams,
    training: TrainingSettings,
) -> InitialModel:
    """The model with `settings`, or fresh weights in a shape."""
    from glpn_cli.training.initial_model import Camera, InitialModel
    from glpn_cli.training.recipes import KITTI_LIMIT_M, ROOMS_CAMERA

    if settings is not None:
        return InitialModel.load(settings, seed=training.seed)
    assert shape is not None
    max_depth = model.max_depth
    if max_depth is None and pictures.is_kitti:
        max_depth = KITTI_LIMIT_M
    camera = ROOMS_CAMERA if training.recipe == "rooms" else Camera(ROOMS_CAMERA.size, None)
    return InitialModel.make(shape, max_depth=max_depth, camera=camera, seed=training.seed)


def _fit_to_data(initial: InitialModel, sources: Sequence[SampleSource], *, tells: bool) -> InitialModel:
    """Warn of depths that are left out; drop the model's camera where some of the data have none."""
    from glpn_cli.training.run import read_held_out

    for source in sources:
        found, _ = read_held_out(source, count=1, among=_LOOKED_AT)
        if not found:
            continue
        (sample,) = found
        known = sample.depth > 0
        beyond = float((sample.depth >= initial.limit_m).sum() / max(1, known.sum()))
        if tells and beyond > 0.5:
            console.warn(
                f"{beyond:.0%} of {sample.name} lies beyond {initial.limit_m:g} m and is left out; give the largest "
                "depth to learn with --max-depth"
            )
        if initial.camera.focal_px is None or sample.focal_px is not None:
            continue
        if tells:
            console.note(
                f"{source.name} names no focal lengths: its depths are learned as they are, for no known camera"
            )
        initial = replace(initial, camera=replace(initial.camera, focal_px=None))
    return initial
