"""`glpn train`: fine-tune a model, or train one from nothing."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from glpn_cli.cli.console import console
from glpn_cli.cli.params import DATA, INPUTS, MODEL, OUTPUTS, ModelParams, OutputParams, only, option
from glpn_cli.cli.unused_options import check_used
from glpn_cli.errors import UsageError
from glpn_cli.pipeline.settings import ExplicitOptions

if TYPE_CHECKING:
    from glpn_cli.data.samples import Sample, SampleSource
    from glpn_cli.models.settings import InferenceSettings
    from glpn_cli.training.config import TrainingConfig
    from glpn_cli.training.recipes import Wishes
    from glpn_cli.training.starts import Start

TRAINING = "Training"
_MOST_NAMED = 10
"""Pictures that cannot be validated on, by name."""
_LOOKED_AT = 20
"""Pictures among which one is looked for that can be used, to see what the data are like."""

EXAMPLES = """
glpn train -m nyu --data pairs.csv --epochs 5 -o mine
glpn train --config mini --data scenes:1 --recipe rooms -o rooms
"""


@dataclass(frozen=True, kw_only=True)
class DataParams:
    """Pictures to learn from, and to validate on."""

    PANEL = INPUTS

    data: str = option("--data DATA", ..., DATA, panel=INPUTS)
    validation: str | None = option(
        "--val DATA",
        None,
        "Pictures to validate on, never to learn from; named as for --data.",
        show_default="other scenes for scenes, else none",
    )
    val_count: int = option("--val-count N", 64, "Number of these pictures, at most.", min=1)
    depth_scale: float | None = option(
        "--depth-scale UNITS", None, "Units per metre in integer files, where a CSV does not say."
    )

    def open(self, explicit: ExplicitOptions) -> SampleSource:
        """The pictures to learn from. Raises UsageError, also for options that change nothing."""
        from glpn_cli.data.sources import asks_for_scale, check_scale, open_source

        specs = [self.data, *([self.validation] if self.validation else [])]
        source, *others = (
            open_source(spec, split=split, depth_scale=self.depth_scale)
            for spec, split in zip(specs, ("train", "test"), strict=False)
        )
        check_scale([source, *others], self.depth_scale)
        situations = {
            "train: nothing has a scale": not any(map(asks_for_scale, specs)),
            "train: nothing is validated": self.validation is None and not self.data.startswith("scenes:"),
            "train: steps are given": bool(explicit.among("--steps")),
            "train: data are endless": source.length is None,
        }
        check_used(explicit, situations)
        return source


@dataclass(frozen=True, kw_only=True)
class StartParams:
    """What training starts from: a model or a config, and the folder that it writes."""

    PANEL = MODEL

    output: Path = option("-o, --output DIR", ..., "The folder to write.", panel=OUTPUTS)
    model: str | None = option("-m, --model NAME", None, "Start from a model, or from an encoder.")
    config: str | None = option("--config SHAPE", None, "Start from random weights: b0, b4, mini, or a config.json.")


@dataclass(frozen=True, kw_only=True)
class TrainingParams:
    """How the network learns."""

    PANEL = TRAINING

    input_size: str | None = option(
        "--input-size WxH",
        None,
        "Size of the crops that the network learns from, in multiples of 32.",
        panel=MODEL,
        show_default="the recipe's",
    )
    batch_size: int | None = option(
        "--batch-size N",
        None,
        "Pictures per step, over all processes of torchrun.",
        panel=MODEL,
        min=1,
        show_default="12; rooms: 16",
    )
    workers: int = option(
        "--workers N", 0, "Processes that read ahead; 0: read between the steps.", panel=MODEL, min=0, max=256
    )
    recipe: Literal["paper", "rooms"] = option(
        "--recipe NAME",
        "paper",
        "paper: Kim et al. 2022. rooms: from scratch on rendered rooms, like the bundled model.",
    )
    steps: int | None = option("--steps N", None, "Optimiser steps.", min=1, show_default="the recipe's")
    epochs: float | None = option("--epochs N", None, "Passes over the data instead.", min=0, show_default="25")
    learning_rate: float | None = option(
        "--learning-rate RATE", None, "The highest rate of the schedule.", min=0, show_default="1e-4; rooms: 1e-3"
    )
    freeze: Literal["none", "encoder"] = option(
        "--freeze PART", "none", "encoder: train only the decoder and the head."
    )
    seed: int = option("--seed N", 0, "Seed of order, augmentation and dropout.", min=0)
    every: int | None = option(
        "--every N",
        None,
        "Save and validate every N steps; the start is validated too.",
        min=1,
        show_default="a tenth of the steps, at most 1000",
    )
    resume: bool = option("--resume", False, "Continue the run in the folder, or start it.")

    def wishes(self, precision: str) -> Wishes:
        """What the recipe's settings are replaced by. Raises UsageError."""
        from glpn_cli.models.config_base import InputSize
        from glpn_cli.training.recipes import Wishes

        size = None if self.input_size is None else InputSize.parse(self.input_size)
        if size is not None and size.exact is None:
            raise UsageError(
                f"--input-size {self.input_size!r} is no WIDTHxHEIGHT", hint="Write WIDTHxHEIGHT, for example 576x448."
            )
        return Wishes(
            steps=self.steps,
            epochs=self.epochs,
            batch_size=self.batch_size,
            rate=self.learning_rate,
            size=size.exact if size else None,
            precision=precision,
            freeze=self.freeze,
            seed=self.seed,
            every=self.every,
        )


def train(
    explicit: ExplicitOptions,
    pictures: DataParams,
    start: StartParams,
    model: Annotated[ModelParams, only("max_depth", "offline", "device", "precision", "threads")],
    training: TrainingParams,
    printing: Annotated[OutputParams, only("json")],
) -> None:
    """Train a model on pictures with depth.

    Training starts from exactly one of --model and --config. The folder is an ordinary model after every save. A run
    that was stopped, even by a signal, continues with --resume and ends with the same weights. To train in several
    processes, use torchrun.
    """
    from glpn_cli.atomic_write import probe_writable
    from glpn_cli.cli.training_report import TrainingView, sum_up
    from glpn_cli.devices import choose_device, choose_precision, set_threads
    from glpn_cli.training.folder import RunFolder
    from glpn_cli.training.ranks import join_ranks, leave_ranks, own_device
    from glpn_cli.training.run import Run, run_training

    if (start.model is None) == (start.config is None):
        raise UsageError("training starts from exactly one of --model and --config", hint="Run: glpn train --help")
    source = pictures.open(explicit)
    device = own_device(choose_device(model.device))
    wishes = training.wishes(choose_precision(model.precision, device))
    begun = None
    if start.model is not None:
        begun = ModelParams(model=start.model, max_depth=model.max_depth, offline=model.offline).resolve()
    settings = _choose_recipe(training.recipe, wishes, data=pictures.data, length=source.length, begun=begun)
    probe_writable(start.output)
    if model.threads is not None:
        set_threads(model.threads)
    initial = _choose_start(begun, start.config, pictures, model, training)
    ranks = join_ranks()
    try:
        initial = _fit_to_data(initial, source, pictures.data, tells=ranks.is_first)
        run = Run(
            start=initial,
            config=settings,
            source=source,
            folder=RunFolder(start.output),
            held_out=_read_held_out(pictures) if ranks.is_first else (),
            device=device,
            workers=training.workers,
            ranks=ranks,
            command=shlex.join(["glpn", *sys.argv[1:]]),
        )
        end = run_training(run, resume=training.resume, tell=TrainingView(ranks, json=printing.json).show)
    finally:
        console.progress("")
        leave_ranks()
    sum_up(end, settings, start.output, ranks, json=printing.json)


def _choose_recipe(
    name: str, wishes: Wishes, *, data: str, length: int | None, begun: InferenceSettings | None
) -> TrainingConfig:
    from glpn_cli.training.loop import Lens
    from glpn_cli.training.recipes import KITTI_CROP, PAPER_CROP, paper_recipe, rooms_recipe, smaller_crop

    if name == "rooms":
        return rooms_recipe(wishes, length=length)
    crop = KITTI_CROP if data.startswith("kitti:") else PAPER_CROP
    if begun is None:
        return paper_recipe(wishes, length=length, crop=crop)
    lens = Lens(begun.config.training_size, begun.config.training_focal_px)
    return paper_recipe(wishes, length=length, crop=smaller_crop(crop, lens.size), lens=lens)


def _choose_start(
    begun: InferenceSettings | None,
    config: str | None,
    pictures: DataParams,
    model: ModelParams,
    training: TrainingParams,
) -> Start:
    from glpn_cli.training.loop import Lens
    from glpn_cli.training.recipes import KITTI_LIMIT_M, ROOMS_LENS
    from glpn_cli.training.starts import start_from_model, start_from_shape

    if begun is not None:
        return start_from_model(begun, seed=training.seed)
    assert config is not None
    max_depth = model.max_depth
    if max_depth is None and pictures.data.startswith("kitti:"):
        max_depth = KITTI_LIMIT_M
    lens = ROOMS_LENS if training.recipe == "rooms" else Lens(ROOMS_LENS.size, None)
    return start_from_shape(config, max_depth=max_depth, lens=lens, seed=training.seed)


def _fit_to_data(start: Start, source: SampleSource, data: str, *, tells: bool) -> Start:
    """Warn of depths that are left out; return the start, with a camera only where the data have one too."""
    from glpn_cli.training.loop import Lens
    from glpn_cli.training.run import read_held_out

    found, _ = read_held_out(source, count=1, among=_LOOKED_AT)
    if not found:
        return start
    (sample,) = found
    known = sample.depth > 0
    beyond = float((sample.depth >= start.limit_m).sum() / max(1, known.sum()))
    if tells and beyond > 0.5:
        console.warn(
            f"{beyond:.0%} of {sample.name} lies beyond {start.limit_m:g} m and is left out; give the largest depth "
            "to learn with --max-depth"
        )
    if start.lens.focal_px is None or sample.focal_px is not None:
        return start
    if tells:
        console.note(f"{data} names no focal lengths: its depths are learned as they are, for no known camera")
    return replace(start, lens=Lens(start.lens.size, None))


def _read_held_out(pictures: DataParams) -> Sequence[Sample]:
    """The pictures to validate on, in memory; for rendered rooms, by default, rooms of another seed."""
    from glpn_cli.data.sources import open_source
    from glpn_cli.training.run import read_held_out

    spec = pictures.validation
    if spec is None and pictures.data.startswith("scenes:"):
        spec = "scenes:900" if int(pictures.data.split(":")[1]) != 900 else "scenes:901"
    if spec is None:
        console.note("nothing is validated; name pictures that the network does not learn from with --val")
        return ()
    source = open_source(spec, split="test", depth_scale=pictures.depth_scale)
    found, left_out = read_held_out(source, count=pictures.val_count)
    for message in left_out[:_MOST_NAMED]:
        console.warn(f"not validated on: {message}")
    if len(left_out) > _MOST_NAMED:
        console.note(f"{len(left_out) - _MOST_NAMED} more pictures of --val {spec} cannot be used")
    if not found:
        raise UsageError(f"none of the pictures of --val {spec} can be used")
    return found
