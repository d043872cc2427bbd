"""What `glpn bench` says of a model: a page for people, a record for programs."""

from __future__ import annotations

from typing import Any

from glpn_cli.benchmark.agreement import Agreement, DepthAgreement, LabelAgreement
from glpn_cli.benchmark.report import ModelSpeed, PeerSpeed, Whole
from glpn_cli.benchmark.timings import Timing
from glpn_cli.cli.columns import make_facts, make_table
from glpn_cli.text import SCHEMA


def describe_speed(speed: ModelSpeed) -> str:
    """A title, a table of medians and spreads, and what they come to."""
    height, width = speed.network_size
    title = f"{speed.model}: {speed.precision} on {speed.device}, the network sees {width}x{height}"
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
        **_figures(peer.agreement),
    }


def _figures(agreement: Agreement) -> dict[str, Any]:
    if isinstance(agreement, LabelAgreement):
        return {"labels": agreement.labels, "labels_apart": agreement.apart, "rounding": agreement.rounding}
    if isinstance(agreement, DepthAgreement):
        return {
            "largest_difference": agreement.largest,
            "mean_relative_difference": agreement.mean_relative,
            "millimetres": agreement.levels,
            "millimetres_of": agreement.levels_of,
            "rounding": agreement.rounding,
        }
    return {
        "largest_difference": agreement.largest,
        "mean_difference": agreement.mean,
        "rounding": agreement.rounding,
    }


def _facts(speed: ModelSpeed) -> list[tuple[str, str | None]]:
    peer = speed.peer
    shares = f"{speed.share:.0%} of the machine's matrix product ({min(speed.shares):.0%} to {max(speed.shares):.0%})"
    size = None
    if peer is not None and peer.network_size != speed.network_size:
        height, width = peer.network_size
        size = f"in whole processes transformers' network sees {width}x{height}: --input-size original is the same work"
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
    verdict = "agree" if agreement.agrees else "DIFFER"
    rounding = "" if agreement.rounding is None else f" (transformers in {precision}: {agreement.rounding:.2%})"
    if isinstance(agreement, LabelAgreement):
        return f"{verdict}: another one of {agreement.labels} labels at {agreement.apart:.2%} of pixels{rounding}"
    if isinstance(agreement, DepthAgreement):
        return (
            f"{verdict}: at most {agreement.largest:.1e} of the limit, {agreement.mean_relative:.2%} on "
            f"average{rounding}; {agreement.levels:,} different millimetres for {agreement.levels_of:,} "
            f"({agreement.level_share:.0%})"
        )
    return f"{verdict}: at most {agreement.largest:.1e} of the range, {agreement.mean:.2%} on average{rounding}"


def _row(name: str, timing: Timing, words: str) -> list[str]:
    return [name, *(f"{1000 * seconds:.1f} ms" for seconds in (timing.median, timing.low, timing.high)), words]


def _ratio(theirs: Timing, ours: Timing) -> str:
    return f"{theirs.median / ours.median:.2f} times ours"


def _pictures(whole: Whole) -> str:
    return f"{whole.pictures} picture{'s' * (whole.pictures != 1)}"


def _pace(whole: Whole) -> str:
    return "" if whole.pictures == 1 else f"{whole.pictures_per_second:.2f} pictures/s"


def _join(*words: str) -> str:
    return ", ".join(filter(None, words))


def _memory(whole: Whole) -> str:
    return "" if whole.peak_bytes is None else f"{whole.peak_bytes / 2**20:.0f} MiB"


def _times(timing: Timing) -> dict[str, Any]:
    return {"median_s": timing.median, "low_s": timing.low, "high_s": timing.high, "rounds": len(timing.seconds)}


def _whole(whole: Whole) -> dict[str, Any]:
    return {
        "pictures": whole.pictures,
        "pictures_s": whole.pictures_per_second,
        "peak_bytes": whole.peak_bytes,
        **_times(whole.timing),
    }
