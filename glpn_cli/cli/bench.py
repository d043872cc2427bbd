"""`glpn bench`: how fast a model is here."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glpn_cli.cli import options
from glpn_cli.cli.console import console
from glpn_cli.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from glpn_cli.models.recipe import Recipe

EXAMPLES = """
glpn bench                                  # mini on pictures made for it
glpn bench photos/ -m nyu --precision fp32 --against transformers
"""


class Peer(StrEnum):
    """Who else can do the same work."""

    TRANSFORMERS = "transformers"


def bench(
    inputs: options.Inputs = None,
    models: Annotated[
        list[str] | None,
        options.option("--model", "-m", metavar="NAME", panel=options.MODEL, help="As for predict; may be repeated."),
    ] = None,
    config: Annotated[
        list[str] | None,
        options.option(
            "--config", metavar="NAME", panel=options.MODEL, help="Random weights of a size, b0 or b4; may be repeated."
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
            "--against", metavar="WHO", panel=options.BATCH, help="Measure transformers beside it, in turns."
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Measure how fast a model is on this machine.

    Whole runs from shell to files, and stage by stage, beside the machine's own matrix product. Without INPUTS,
    pictures of 640x480 are made. Exits with 1 if the other program's numbers differ from ours.
    """
    from glpn_cli.batch.inputs import InputChoice, find_pictures
    from glpn_cli.batch.running import parse_batch_size
    from glpn_cli.benchmark.machine import matrix_rate
    from glpn_cli.benchmark.peer import check_peer_is_here
    from glpn_cli.benchmark.report import Bench
    from glpn_cli.benchmark.subjects import make_pictures
    from glpn_cli.cli.bench_report import describe_speed, make_speed_record
    from glpn_cli.devices import choose_device, choose_precision, set_threads

    if against is not None:
        check_peer_is_here()
    batch = parse_batch_size(batch_size)
    set_threads(threads)
    place = choose_device(device)
    used = dict.fromkeys(("fp32", choose_precision("auto", place), choose_precision(precision, place)))
    rates = {kind: matrix_rate(place, kind) for kind in used}
    passed = ["--input-size", input_size, "--device", place, "--precision", precision, "--batch-size", batch_size]
    passed += [] if workers is None else ["--workers", str(workers)]
    passed += [] if threads is None else ["--threads", str(threads)]
    passed += [] if max_depth is None else ["--max-depth", str(max_depth)]
    agrees = True
    with tempfile.TemporaryDirectory() as made:
        if inputs:
            found = find_pictures(InputChoice(inputs))
            paths = [str(source.path) for source in found.sources if source.path is not None] if found else []
            if not paths:
                raise UsageError("bench needs pictures that are files")
        else:
            paths = [str(path) for path in make_pictures(Path(made, "pictures"), pictures)]
        asked = Bench(paths, place, batch, passed, rounds, rates, against is not None)
        for recipe in _recipes(models, config, Path(made), max_depth, offline, place, precision, input_size):
            speed = asked.measure(recipe)
            agrees &= speed.agreement is None or speed.agreement.agrees
            if json:
                console.json(make_speed_record(speed))
            else:
                console.text(describe_speed(speed))
    if not agrees:
        raise typer.Exit(ExitCode.NOTHING_DONE)


def _recipes(
    models: list[str] | None,
    configs: list[str] | None,
    made: Path,
    max_depth: float | None,
    offline: bool,
    device: str,
    precision: str,
    input_size: str,
) -> Iterator[Recipe]:
    """Every model that was asked for, and those that have to be made."""
    from glpn_cli.benchmark.subjects import make_random_model
    from glpn_cli.cli.model_choice import choose_recipe

    made_here = [str(make_random_model(made / name, name)) for name in configs or ()]
    for name in [*(models or ()), *made_here] or [None]:
        yield choose_recipe(
            name, max_depth=max_depth, offline=offline, device=device, precision=precision, input_size=input_size
        )
