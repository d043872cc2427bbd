"""`glpn bench`: how fast a model is here."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from glpn_cli.cli import options
from glpn_cli.cli.console import console
from glpn_cli.errors import ExitCode, UsageError

EXAMPLES = """
glpn bench                                  # mini on pictures made for it
glpn bench --config b4 --pictures 64 --against transformers
"""


class Peer(StrEnum):
    """Who else can do the same work."""

    TRANSFORMERS = "transformers"
    TRANSFORMERS_BF16 = "transformers-bf16"

    @property
    def precision(self) -> str:
        """In what the other computes: fp32, as it does where nobody says otherwise, or bf16."""
        return "bf16" if self is Peer.TRANSFORMERS_BF16 else "fp32"


def bench(
    context: typer.Context,
    inputs: options.Inputs = None,
    models: Annotated[
        list[str] | None,
        options.option("--model", "-m", metavar="NAME", panel=options.MODEL, help="As for predict; may be repeated."),
    ] = None,
    config: Annotated[
        list[str] | None,
        options.option(
            "--config",
            metavar="NAME",
            panel=options.MODEL,
            help="Random weights of a size: b0, b4, dpt-large, dpt-hybrid, dpt-large-ade, or a config.json; may be "
            "repeated.",
        ),
    ] = None,
    max_depth: options.MaxDepth = None,
    offline: options.Offline = False,
    device: options.Device = "auto",
    precision: options.PrecisionOption = options.Precision.AUTO,
    input_size: options.InputSize = "auto",
    batch_size: options.BatchSize = "auto",
    workers: options.Workers = None,
    threads: options.Threads = None,
    pictures: Annotated[
        int,
        options.option("--pictures", metavar="N", min=1, panel=options.BATCH, help="How many to make, without INPUTS."),
    ] = 1,
    rounds: Annotated[
        int, options.option("--rounds", metavar="N", min=1, panel=options.BATCH, help="How often all is measured.")
    ] = 5,
    against: Annotated[
        Peer | None,
        options.option(
            "--against",
            metavar="WHO",
            panel=options.BATCH,
            help="Measure transformers (in fp32) or transformers-bf16 beside it, in turns.",
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Measure how fast a model is on this machine.

    Whole runs from shell to files, and stage by stage, beside the machine's own matrix product. Without INPUTS,
    pictures of 640x480 are made. Exits with 1 if the other program's numbers differ from ours.
    """
    from glpn_cli.benchmark.peer import check_peer_is_here
    from glpn_cli.benchmark.report import Bench
    from glpn_cli.benchmark.subjects import make_pictures
    from glpn_cli.cli.asked import find_asked
    from glpn_cli.cli.bench_report import describe_speed, make_speed_record
    from glpn_cli.cli.model_choice import choose_recipe
    from glpn_cli.devices import choose_device, set_threads
    from glpn_cli.pipeline.settings import InputSettings, parse_batch_size
    from glpn_cli.pipeline.sources import find_pictures

    if inputs:
        find_asked(context).refuse("--pictures", because="says how many to make, and INPUTS name those that are there")
    if against is not None:
        check_peer_is_here()
    batch = parse_batch_size(batch_size) or 1
    set_threads(threads)
    place = choose_device(device)
    passed = ["--input-size", input_size, "--device", place, "--precision", precision, "--batch-size", batch_size]
    passed += [] if workers is None else ["--workers", str(workers)]
    passed += [] if threads is None else ["--threads", str(threads)]
    passed += [] if max_depth is None else ["--max-depth", str(max_depth)]
    agrees = True
    with tempfile.TemporaryDirectory() as made:
        if inputs:
            found = find_pictures(InputSettings(inputs))
            paths = [str(source.path) for source in found.sources if source.path is not None] if found else []
            if not paths:
                raise UsageError("bench needs pictures that are files")
        else:
            paths = [str(path) for path in make_pictures(Path(made, "pictures"), pictures)]
        asked = Bench(paths, place, batch, passed, rounds, threads, against.precision if against else None)
        for name, title in _models(models, config, Path(made)):
            recipe = choose_recipe(
                name,
                max_depth=max_depth,
                offline=offline,
                device=place,
                precision=precision,
                input_size=input_size,
                takes_labels=True,
            )
            speed = asked.measure(recipe, title=title or recipe.model.name)
            agrees &= speed.peer is None or speed.peer.agreement.agrees
            if json:
                console.json(make_speed_record(speed))
            else:
                console.text(describe_speed(speed))
    if not agrees:
        raise typer.Exit(ExitCode.NOTHING_DONE)


def _models(models: list[str] | None, configs: list[str] | None, made: Path) -> Iterator[tuple[str | None, str | None]]:
    """The name and the title of every model that was asked for, and of those that have to be made, one at a time."""
    from glpn_cli.benchmark.subjects import make_random_model, read_config

    fields = {name: read_config(name) for name in configs or ()}
    if not models and not fields:
        yield None, None
    for name in models or ():
        yield name, None
    for index, (config, raw) in enumerate(fields.items()):
        folder = make_random_model(made / str(index), raw)
        yield str(folder), f"{config} (random weights)"
        shutil.rmtree(folder)
