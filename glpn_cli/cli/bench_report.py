"""What `glpn bench` says of a model: a page for people, a record for programs."""

from __future__ import annotations

from typing import Any

from glpn_cli.batch.json_values import SCHEMA
from glpn_cli.benchmark.report import ModelSpeed, Whole
from glpn_cli.benchmark.timings import Timing
from glpn_cli.cli.columns import make_facts, make_table


def describe_speed(speed: ModelSpeed) -> str:
    """A title, a table of medians and spreads, and what they come to."""
    height, width = speed.network_size
    title = f"{speed.model}: {speed.precision} on {speed.device}, the network sees {width}x{height}"
    rows = [_row(name, timing, "") for name, timing in speed.stages.items()]
    if speed.peer_network is not None:
        rows.append(
            _row("transformers' network", speed.peer_network, _ratio(speed.peer_network, speed.stages["network"]))
        )
    theirs = {whole.pictures: whole for whole in speed.peer_whole}
    for whole in speed.whole:
        rows.append(_row(f"whole process, {_pictures(whole)}", whole.timing, _memory(whole)))
        if (peer := theirs.get(whole.pictures)) is not None:
            words = ", ".join(filter(None, (_ratio(peer.timing, whole.timing), _memory(peer))))
            rows.append(_row(f"transformers', {_pictures(peer)}", peer.timing, words))
    table = make_table(("stage", "median", "from", "to", ""), rows)
    return f"{make_facts([], title=title)}\n{table}\n{make_facts(_facts(speed))}\n"


def make_speed_record(speed: ModelSpeed) -> dict[str, Any]:
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
        "machine_gflop_s": {name: rate / 1e9 for name, rate in speed.machine.items()},
        "share": speed.share,
        "whole": [_whole(whole) for whole in speed.whole],
    }
    if speed.peer_network is not None and speed.agreement is not None:
        pairs = zip(speed.peer_whole, speed.whole, strict=True)
        record["transformers"] = {
            "network": _times(speed.peer_network),
            "network_ratio": speed.peer_network.median / speed.stages["network"].median,
            "whole": [{**_whole(theirs), "ratio": theirs.timing.median / ours.timing.median} for theirs, ours in pairs],
            "agrees": speed.agreement.agrees,
            "largest_difference": speed.agreement.largest,
            "mean_relative_difference": speed.agreement.mean_relative,
        }
    return record


def _facts(speed: ModelSpeed) -> list[tuple[str, str | None]]:
    rates = ", ".join(f"{rate / 1e9:.0f} GFLOP/s in {name}" for name, rate in speed.machine.items())
    share = "" if speed.share is None else f", {speed.share:.0%} of the machine's matrix product"
    agreement = speed.agreement
    agreed = None
    if agreement is not None:
        agreed = (
            f"{'agree' if agreement.agrees else 'DIFFER'}: at most {agreement.largest:.1e} of the limit, "
            f"{agreement.mean_relative:.2%} on average"
        )
    return [
        ("network", f"{speed.flops / 1e9:.1f} GFLOP at {speed.rate / 1e9:.0f} GFLOP/s{share}"),
        ("machine", rates),
        ("numbers", agreed),
    ]


def _row(name: str, timing: Timing, words: str) -> list[str]:
    return [name, *(f"{1000 * seconds:.1f} ms" for seconds in (timing.median, timing.low, timing.high)), words]


def _ratio(theirs: Timing, ours: Timing) -> str:
    return f"{theirs.median / ours.median:.2f} times ours"


def _pictures(whole: Whole) -> str:
    return f"{whole.pictures} picture{'s' * (whole.pictures != 1)}"


def _memory(whole: Whole) -> str:
    return "" if whole.peak_bytes is None else f"{whole.peak_bytes / 2**20:.0f} MiB"


def _times(timing: Timing) -> dict[str, Any]:
    return {"median_s": timing.median, "low_s": timing.low, "high_s": timing.high, "rounds": len(timing.seconds)}


def _whole(whole: Whole) -> dict[str, Any]:
    return {"pictures": whole.pictures, "peak_bytes": whole.peak_bytes, **_times(whole.timing)}
