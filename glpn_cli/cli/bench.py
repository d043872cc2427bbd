"""`glpn bench`: how fast a model is here."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from glpn_cli.cli.console import console
from glpn_cli.cli.params import (
    BATCH,
    MODEL,
    InputParams,
    ModelParams,
    OutputParams,
    RunParams,
    only,
    option,
)
from glpn_cli.cli.unused_options import check_used
from glpn_cli.errors import ExitCode, UsageError
from glpn_cli.pipeline.settings import ExplicitOptions

EXAMPLES = """
glpn bench                                  # mini on pictures made for it
glpn bench --config b4 --pictures 64 --against transformers
"""


@dataclass(frozen=True, kw_only=True)
class SubjectParams:
    """Which models to measure, on how many pictures, how often, and beside which other program."""

    PANEL = MODEL

    models: list[str] | None = option("-m, --model NAME", None, "As for predict; can be given more than once.")
    config: list[str] | None = option(
        "--config NAME",
        None,
        "Random weights of a size: b0 or b4; dpt-large, dpt-hybrid or dpt-large-ade; or a config.json; can be given "
        "more than once.",
    )
    pictures: int = option("--pictures N", 1, "Number of pictures to make, without INPUTS.", panel=BATCH, min=1)
    rounds: int = option("--rounds N", 5, "Number of times that all is measured.", panel=BATCH, min=1)
    against: Literal["transformers", "transformers-bf16"] | None = option(
        "--against PROGRAM",
        None,
        "Measure transformers (in fp32, its default) or transformers-bf16 beside it, in turns.",
        panel=BATCH,
    )

    @property
    def peer_precision(self) -> str | None:
        """The precision of the other program, if there is one."""
        return self.against and ("bf16" if self.against == "transformers-bf16" else "fp32")

    def each(self, made: Path) -> Iterator[tuple[str | None, str | None]]:
        """The name and the title of each model, one at a time; random ones exist until the next.

        made: a folder for them
        """
        from glpn_cli.benchmark.subjects import make_random_model, read_config

        fields = {name: read_config(name) for name in self.config or ()}
        if not self.models and not fields:
            yield None, None
        for name in self.models or ():
            yield name, None
        for index, (config, raw) in enumerate(fields.items()):
            folder = make_random_model(made / str(index), raw)
            yield str(folder), f"{config} (random weights)"
            shutil.rmtree(folder)


def bench(
    explicit: ExplicitOptions,
    subjects: SubjectParams,
    model: Annotated[ModelParams, only("max_depth", "offline", "device", "precision", "input_size", "threads")],
    run: Annotated[RunParams, only("batch_size", "workers")],
    output: Annotated[OutputParams, only("json")],
    inputs: Annotated[InputParams, only("inputs")],
) -> None:
    """Measure how fast a model is on this machine.

    Whole runs from shell to files, and stage by stage, beside the machine's own matrix product. Without INPUTS,
    pictures of 640x480 are made. Exits with 1 if the results of the other program differ from ours.
    """
    from glpn_cli.benchmark.peer import check_peer_is_here
    from glpn_cli.benchmark.report import Bench
    from glpn_cli.cli.bench_report import describe_speed, make_speed_record
    from glpn_cli.devices import choose_device, set_threads
    from glpn_cli.pipeline.settings import parse_batch_size

    check_used(explicit, {"bench: inputs are named": bool(inputs.inputs)})
    if subjects.against is not None:
        check_peer_is_here()
    batch = parse_batch_size(run.batch_size) or 1
    set_threads(model.threads)
    model = replace(model, device=choose_device(model.device))
    agrees = True
    with tempfile.TemporaryDirectory() as made:
        paths = _choose_pictures(inputs.inputs, subjects.pictures, Path(made))
        task = Bench(
            paths,
            model.device,
            batch,
            _options_of_predict(model, run),
            subjects.rounds,
            model.threads,
            subjects.peer_precision,
        )
        for name, title in subjects.each(Path(made)):
            recipe = replace(model, model=name).resolve(takes_labels=True)
            speed = task.measure(recipe, title=title or recipe.model.name)
            agrees &= speed.peer is None or speed.peer.agreement.agrees
            if output.json:
                console.json(make_speed_record(speed))
            else:
                console.text(describe_speed(speed))
    if not agrees:
        raise typer.Exit(ExitCode.NOTHING_DONE)


def _options_of_predict(model: ModelParams, run: RunParams) -> list[str]:
    """The command line that whole runs of `glpn predict` get."""
    known = {
        "--input-size": model.input_size,
        "--device": model.device,
        "--precision": model.precision,
        "--batch-size": run.batch_size,
        "--workers": run.workers,
        "--threads": model.threads,
        "--max-depth": model.max_depth,
    }
    return [word for name, value in known.items() if value is not None for word in (name, str(value))]


def _choose_pictures(inputs: list[str] | None, count: int, made: Path) -> list[str]:
    """The paths of the pictures: those that are named, or new ones. Raises UsageError where none is a file."""
    from glpn_cli.benchmark.subjects import make_pictures
    from glpn_cli.pipeline.settings import InputSettings
    from glpn_cli.pipeline.sources import find_pictures

    if not inputs:
        return [str(path) for path in make_pictures(made / "pictures", count)]
    found = find_pictures(InputSettings(inputs))
    paths = [str(source.path) for source in found.sources if source.path is not None] if found else []
    if not paths:
        raise UsageError("bench needs pictures that are files")
    return paths
