"""`glpn train`: fine-tune a model, or train one from nothing."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from glpn_cli.cli import options
from glpn_cli.cli.console import console
from glpn_cli.errors import UsageError

if TYPE_CHECKING:
    from glpn_cli.data.samples import Sample, SampleSource
    from glpn_cli.models.settings import Recipe
    from glpn_cli.pipeline.settings import ExplicitOptions
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


class RecipeName(StrEnum):
    """The recipes that have names."""

    PAPER = "paper"
    ROOMS = "rooms"


class Freeze(StrEnum):
    """What stays as it is."""

    NONE = "none"
    ENCODER = "encoder"


def train(
    context: typer.Context,
    data: options.Data,
    output: options.OutputFolder,
    validation: Annotated[
        str | None,
        options.option(
            "--val",
            metavar="DATA",
            panel=options.INPUTS,
            show_default="other scenes for scenes, else none",
            help="Pictures to validate on, never to learn from; named as --data is.",
        ),
    ] = None,
    val_count: Annotated[
        int,
        options.option("--val-count", metavar="N", min=1, panel=options.INPUTS, help="How many of them, at most."),
    ] = 64,
    depth_scale: Annotated[
        float | None,
        options.option(
            "--depth-scale",
            metavar="UNITS",
            panel=options.INPUTS,
            help="Units per metre in integer files, where a CSV does not say.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        options.option("--model", "-m", metavar="NAME", panel=options.MODEL, help="Start from a model, or an encoder."),
    ] = None,
    config: Annotated[
        str | None,
        options.option(
            "--config", metavar="SHAPE", panel=options.MODEL, help="Start from nothing: b0, b4, mini, or a config.json."
        ),
    ] = None,
    max_depth: options.MaxDepth = None,
    offline: options.Offline = False,
    device: options.Device = "auto",
    precision: options.PrecisionOption = options.Precision.AUTO,
    input_size: Annotated[
        str | None,
        options.option(
            "--input-size",
            metavar="WxH",
            panel=options.MODEL,
            show_default="the recipe's",
            help="Size of the crops that the network learns from; multiples of 32.",
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        options.option(
            "--batch-size",
            metavar="N",
            min=1,
            panel=options.MODEL,
            show_default="12; rooms: 16",
            help="Pictures a step, over all processes of torchrun.",
        ),
    ] = None,
    workers: Annotated[
        int,
        options.option(
            "--workers",
            metavar="N",
            min=0,
            max=256,
            panel=options.MODEL,
            help="Processes that read ahead; 0: read in between.",
        ),
    ] = 0,
    threads: options.Threads = None,
    recipe: Annotated[
        RecipeName,
        options.option(
            "--recipe",
            metavar="NAME",
            panel=TRAINING,
            help="paper: Kim et al. 2022. rooms: from scratch on rendered rooms, as the bundled model.",
        ),
    ] = RecipeName.PAPER,
    steps: Annotated[
        int | None,
        options.option(
            "--steps", metavar="N", min=1, panel=TRAINING, show_default="the recipe's", help="Optimiser steps."
        ),
    ] = None,
    epochs: Annotated[
        float | None,
        options.option(
            "--epochs", metavar="N", min=0, panel=TRAINING, show_default="25", help="Passes over the data instead."
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        options.option(
            "--learning-rate",
            metavar="RATE",
            min=0,
            panel=TRAINING,
            show_default="1e-4; rooms: 1e-3",
            help="The highest rate of the schedule.",
        ),
    ] = None,
    freeze: Annotated[
        Freeze, options.option("--freeze", metavar="PART", panel=TRAINING, help="encoder: only the rest learns.")
    ] = Freeze.NONE,
    seed: Annotated[
        int, options.option("--seed", metavar="N", min=0, panel=TRAINING, help="Of order, augmentation and dropout.")
    ] = 0,
    every: Annotated[
        int | None,
        options.option(
            "--every",
            metavar="N",
            min=1,
            panel=TRAINING,
            show_default="a tenth of the steps, at most 1000",
            help="Save and validate every N steps; what it starts from is validated, too.",
        ),
    ] = None,
    resume: Annotated[
        bool, options.option("--resume", panel=TRAINING, help="Go on with the run in the folder, or start it.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Train a model on pictures with depth.

    Starts from exactly one of --model and --config. The folder is an ordinary model at every save; a run that was
    stopped, even by a signal, goes on with --resume and ends with the same weights. For several processes: torchrun.
    """
    import torch

    from glpn_cli.atomic_write import probe_writable
    from glpn_cli.cli.asked import find_asked
    from glpn_cli.cli.model_choice import choose_recipe
    from glpn_cli.cli.training_report import TrainingView, sum_up
    from glpn_cli.data.sources import check_scale, open_source
    from glpn_cli.devices import choose_device, choose_precision
    from glpn_cli.training.folder import RunFolder
    from glpn_cli.training.ranks import join_ranks, leave_ranks, own_device
    from glpn_cli.training.recipes import KITTI_LIMIT_M, Wishes
    from glpn_cli.training.run import Run, run_training

    if (model is None) == (config is None):
        raise UsageError("training starts from exactly one of --model and --config", hint="Run: glpn train --help")
    source = open_source(data, split="train", depth_scale=depth_scale)
    seen_too = [open_source(validation, split="test", depth_scale=depth_scale)] if validation else []
    check_scale([source, *seen_too], depth_scale)
    _refuse_unread(find_asked(context), [data, *([validation] if validation else [])], is_endless=source.length is None)
    chosen_device = own_device(choose_device(device))
    wishes = Wishes(
        steps=steps,
        epochs=epochs,
        batch_size=batch_size,
        rate=learning_rate,
        size=_parse_size(input_size),
        precision=choose_precision(precision, chosen_device),
        freeze=freeze.value,
        seed=seed,
        every=every,
    )
    begun = None if model is None else choose_recipe(model, max_depth=max_depth, offline=offline)
    settings = _choose_recipe(recipe, wishes, data=data, length=source.length, begun=begun)
    probe_writable(output)
    if threads is not None:
        torch.set_num_threads(threads)
    if config is not None and max_depth is None and data.startswith("kitti:"):
        max_depth = KITTI_LIMIT_M
    start = _choose_start(begun, config, max_depth=max_depth, seed=seed, recipe=recipe)
    ranks = join_ranks()
    try:
        start = _fit_to_data(start, source, data, tells=ranks.is_first)
        held_out = (
            _read_held_out(validation, data=data, count=val_count, depth_scale=depth_scale) if ranks.is_first else ()
        )
        run = Run(
            start=start,
            config=settings,
            source=source,
            folder=RunFolder(output),
            held_out=held_out,
            device=chosen_device,
            workers=workers,
            ranks=ranks,
            command=shlex.join(["glpn", *sys.argv[1:]]),
        )
        view = TrainingView(ranks, json=json)
        end = run_training(run, resume=resume, tell=view.show)
    finally:
        console.progress("")
        leave_ranks()
    sum_up(end, settings, output, ranks, json=json)


def _refuse_unread(asked: ExplicitOptions, data: Sequence[str], *, is_endless: bool) -> None:
    """Refuse options that nothing would look at (UsageError).

    data: what is learned from, and what is validated on
    """
    from glpn_cli.data.sources import asks_for_scale

    if not any(map(asks_for_scale, data)):
        asked.refuse("--depth-scale", because="is for a CSV, and there is none")
    if len(data) == 1 and not data[0].startswith("scenes:"):
        asked.refuse("--val-count", because="is about the pictures of --val, and there are none")
    if asked.among("--steps"):
        asked.refuse("--epochs", because="says how long, and so does --steps")
    if is_endless:
        asked.refuse("--epochs", because="has no meaning: these data have no end", hint="Say how long with --steps.")


def _parse_size(text: str | None) -> tuple[int, int] | None:
    from glpn_cli.models.config_base import InputSize

    if text is None:
        return None
    size = InputSize.parse(text)
    if size.exact is None:
        raise UsageError(f"--input-size {text!r} is no WIDTHxHEIGHT", hint="Write WIDTHxHEIGHT, for example 576x448.")
    return size.exact


def _choose_recipe(
    name: RecipeName, wishes: Wishes, *, data: str, length: int | None, begun: Recipe | None
) -> TrainingConfig:
    from glpn_cli.training.loop import Lens
    from glpn_cli.training.recipes import KITTI_CROP, PAPER_CROP, paper_recipe, rooms_recipe, smaller_crop

    if name is RecipeName.ROOMS:
        return rooms_recipe(wishes, length=length)
    crop = KITTI_CROP if data.startswith("kitti:") else PAPER_CROP
    if begun is None:
        return paper_recipe(wishes, length=length, crop=crop)
    lens = Lens(begun.config.training_size, begun.config.training_focal_px)
    return paper_recipe(wishes, length=length, crop=smaller_crop(crop, lens.size), lens=lens)


def _choose_start(
    begun: Recipe | None, config: str | None, *, max_depth: float | None, seed: int, recipe: RecipeName
) -> Start:
    from glpn_cli.training.loop import Lens
    from glpn_cli.training.recipes import ROOMS_LENS
    from glpn_cli.training.starts import start_from_model, start_from_shape

    if begun is not None:
        return start_from_model(begun, seed=seed)
    assert config is not None
    lens = ROOMS_LENS if recipe is RecipeName.ROOMS else Lens(ROOMS_LENS.size, None)
    return start_from_shape(config, max_depth=max_depth, lens=lens, seed=seed)


def _fit_to_data(start: Start, source: SampleSource, data: str, *, tells: bool) -> Start:
    """Tell what one of the pictures shows to be amiss; the start, with a lens only where the data have one, too."""
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
            f"{beyond:.0%} of {sample.name} lies beyond {start.limit_m:g} m, which is left out; name the largest depth "
            "that is to be learned with --max-depth"
        )
    if start.lens.focal_px is None or sample.focal_px is not None:
        return start
    if tells:
        console.note(f"{data} names no focal lengths: its depths are learned as they are, through no known lens")
    return replace(start, lens=Lens(start.lens.size, None))


def _read_held_out(spec: str | None, *, data: str, count: int, depth_scale: float | None) -> Sequence[Sample]:
    """The pictures to validate on, in memory; rendered rooms have others of their kind to offer."""
    from glpn_cli.data.sources import open_source
    from glpn_cli.training.run import read_held_out

    if spec is None and data.startswith("scenes:"):
        spec = "scenes:900" if int(data.split(":")[1]) != 900 else "scenes:901"
    if spec is None:
        console.note("nothing is validated; name pictures that the network does not learn from with --val")
        return ()
    found, left_out = read_held_out(open_source(spec, split="test", depth_scale=depth_scale), count=count)
    for message in left_out[:_MOST_NAMED]:
        console.warn(f"not validated on: {message}")
    if len(left_out) > _MOST_NAMED:
        console.note(f"{len(left_out) - _MOST_NAMED} more pictures of --val {spec} cannot be used")
    if not found:
        raise UsageError(f"none of the pictures of --val {spec} can be used")
    return found
