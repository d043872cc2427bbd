"""`glpn bench`: how fast a model is here."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from glpn_cli.cli.console import console, make_facts, make_table
from glpn_cli.cli.groups import only
from glpn_cli.cli.params import ModelParams
from glpn_cli.cli.unused_options import check_used
from glpn_cli.errors import ExitCode, UsageError
from glpn_cli.options import BATCH, MODEL, ExplicitOptions, option
from glpn_cli.pipeline.settings import InputSettings, OutputSettings, RunSettings
from glpn_cli.text import SCHEMA, size_text

if TYPE_CHECKING:
    from glpn_cli.benchmark.agreement import Agreement
    from glpn_cli.benchmark.measure import ModelSpeed, PeerSpeed, ProcessSpeed
    from glpn_cli.benchmark.timing import Timing

EXAMPLES = """
glpn bench                                  # lite on pictures made for it
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
        "A network with random weights: b0, b4, dpt-large, dpt-hybrid, dpt-large-ade, da2-small, da2-indoor-small, or "
        "a config.json; can be given more than once.",
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
        from glpn_cli.benchmark.synthetic import make_random_model, read_config

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
    run: Annotated[RunSettings, only("batch_size", "workers")],
    output: Annotated[OutputSettings, only("json")],
    inputs: Annotated[InputSettings, only(help={"named": "Pictures, folders of them, or glob patterns."})],
) -> None:
    """Measure how fast a model is on this machine.

    Whole runs from shell to files, and stage by stage, beside the machine's own matrix product. Without INPUTS,
    pictures of 640x480 are made. Exits with 1 if the results of the other program differ from ours.
    """
    from glpn_cli.benchmark.measure import Bench
    from glpn_cli.benchmark.peer import check_peer_installed
    from glpn_cli.devices import choose_device, set_threads

    check_used(explicit, {"bench: inputs are named": bool(inputs.named)})
    if subjects.against is not None:
        check_peer_installed()
    batch = run.batch_size or 1
    _tell_if_busy()
    set_threads(model.threads)
    model = replace(model, device=choose_device(model.device))
    agrees = True
    with tempfile.TemporaryDirectory() as made:
        paths = _choose_pictures(inputs.named, subjects.pictures, Path(made))
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
                console.json(_make_speed_record(speed))
            else:
                console.text(_describe_speed(speed))
    if not agrees:
        raise typer.Exit(ExitCode.NOTHING_DONE)


def _tell_if_busy() -> None:
    """Warn where other programs compute: their load of the last minute is more than half of the cores."""
    from glpn_cli.devices import cores

    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > cores() / 2:
        console.warn(
            f"the machine is busy: a load of {load:.1f} on {cores()} cores",
            hint="Figures are of use for comparing in one run alone; for others wait until it is idle.",
        )


def _options_of_predict(model: ModelParams, run: RunSettings) -> list[str]:
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


def _choose_pictures(inputs: list[str], count: int, made: Path) -> list[str]:
    """The paths of the pictures: those that are named, or new ones. Raises UsageError where none is a file."""
    from glpn_cli.benchmark.synthetic import make_pictures
    from glpn_cli.pipeline.search import find_pictures

    if not inputs:
        return [str(path) for path in make_pictures(made / "pictures", count)]
    found = find_pictures(InputSettings(named=inputs))
    paths = [str(source.path) for source in found.sources if source.path is not None]
    if not paths:
        raise UsageError("bench needs pictures that are files")
    return paths


# What is printed


def _describe_speed(speed: ModelSpeed) -> str:
    """A title, a table of medians and spreads, and what they come to."""
    title = f"{speed.model}: {speed.precision} on {speed.device}, the network sees {size_text(speed.network_size)}"
    rows = [_row(name, timing, "") for name, timing in speed.stages.items()]
    theirs = {}
    if (peer := speed.peer) is not None:
        rows.append(_row("transformers' network", peer.network, _ratio(peer.network, speed.stages["network"])))
        theirs = {whole.pictures: whole for whole in peer.whole}
    for whole in speed.whole:
        rows.append(_row(f"whole process, {_pictures(whole)}", whole.timing, _join(_pace(whole), _memory(whole))))
        if (other := theirs.get(whole.pictures)) is not None:
            words = _join(_ratio(other.timing, whole.timing), _pace(other), _memory(other))
            rows.append(_row(f"transformers', {_pictures(other)}", other.timing, words))
    table = make_table(("stage", "median", "from", "to", ""), rows)
    return f"{make_facts([], title=title)}\n{table}\n{make_facts(_facts(speed))}\n"


def _make_speed_record(speed: ModelSpeed) -> dict[str, Any]:
    """The same as JSON: seconds, bytes, operations a second, ratios (theirs by ours)."""
    height, width = speed.network_size
    record: dict[str, Any] = {
        "schema": SCHEMA,
        "type": "speed",
        "model": speed.model,
        "device": speed.device,
        "precision": speed.precision,
        "network_width": width,
        "network_height": height,
        "batch_size": speed.batch_size,
        "stages": {name: _times(timing) for name, timing in speed.stages.items()},
        "gflop": speed.flops / 1e9,
        "gflop_s": speed.rate / 1e9,
        "machine_gflop_s": speed.machine_rate / 1e9,
        "share": speed.share,
        "share_low": min(speed.shares),
        "share_high": max(speed.shares),
        "whole": [_whole(whole) for whole in speed.whole],
    }
    if speed.peer is not None:
        record["transformers"] = _peer(speed.peer, speed)
    return record


def _peer(peer: PeerSpeed, speed: ModelSpeed) -> dict[str, Any]:
    height, width = peer.network_size
    pairs = zip(peer.whole, speed.whole, strict=True)
    return {
        "precision": peer.precision,
        "network_width": width,
        "network_height": height,
        "network": _times(peer.network),
        "network_ratio": peer.network.median / speed.stages["network"].median,
        "whole": [{**_whole(theirs), "ratio": theirs.timing.median / ours.timing.median} for theirs, ours in pairs],
        "agrees": peer.agreement.agrees,
        **peer.agreement.figures,
        "rounding": peer.agreement.rounding,
    }


def _facts(speed: ModelSpeed) -> list[tuple[str, str | None]]:
    peer = speed.peer
    shares = f"{speed.share:.0%} of the machine's matrix product ({min(speed.shares):.0%} to {max(speed.shares):.0%})"
    size = None
    if peer is not None and peer.network_size != speed.network_size:
        seen = size_text(peer.network_size)
        size = f"in whole processes transformers' network sees {seen}: --input-size original is the same work"
    return [
        ("network", f"{speed.flops / 1e9:.1f} GFLOP at {speed.rate / 1e9:.0f} GFLOP/s: {shares}"),
        (
            "machine",
            f"{speed.machine_rate / 1e9:.0f} GFLOP/s in {speed.precision}, multiplied in turns with the network",
        ),
        ("transformers", None if peer is None else f"computes in {peer.precision}"),
        ("sizes", size),
        ("numbers", None if peer is None else _agreed(peer.agreement, speed.precision)),
    ]


def _agreed(agreement: Agreement, precision: str) -> str:
    rounding = "" if agreement.rounding is None else f" (transformers in {precision}: {agreement.rounding:.2%})"
    return f"{'agree' if agreement.agrees else 'DIFFER'}: {agreement.words.format(rounding)}"


def _row(name: str, timing: Timing, words: str) -> list[str]:
    return [name, *(f"{1000 * seconds:.1f} ms" for seconds in (timing.median, timing.low, timing.high)), words]


def _ratio(theirs: Timing, ours: Timing) -> str:
    return f"{theirs.median / ours.median:.2f} times ours"


def _pictures(whole: ProcessSpeed) -> str:
    return f"{whole.pictures} picture{'s' * (whole.pictures != 1)}"


def _pace(whole: ProcessSpeed) -> str:
    return "" if whole.pictures == 1 else f"{whole.pictures_per_second:.2f} pictures/s"


def _join(*words: str) -> str:
    return ", ".join(filter(None, words))


def _memory(whole: ProcessSpeed) -> str:
    return "" if whole.peak_bytes is None else f"{whole.peak_bytes / 2**20:.0f} MiB"


def _times(timing: Timing) -> dict[str, Any]:
    return {"median_s": timing.median, "low_s": timing.low, "high_s": timing.high, "rounds": len(timing.seconds)}


def _whole(whole: ProcessSpeed) -> dict[str, Any]:
    return {
        "pictures": whole.pictures,
        "pictures_s": whole.pictures_per_second,
        "peak_bytes": whole.peak_bytes,
        **_times(whole.timing),
    }
