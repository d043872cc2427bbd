"""Outcomes as JSON: one flat record an input, then one summary. `records.schema.json` says what they hold.

The vocabulary is closed and versioned: a change that a reader could stumble over raises `SCHEMA`.
"""

from __future__ import annotations

import math
from typing import Any

from glpn_cli._version import __version__
from glpn_cli.depth_files.record import LABELS
from glpn_cli.pipeline.outcome import Facts, Outcome, Output, Status, Tally
from glpn_cli.text import SCHEMA, error_fields, path_text, words_text


def make_record(outcome: Outcome) -> dict[str, Any]:
    """The record of one input; what is not known is left out."""
    record: dict[str, Any] = {
        "schema": SCHEMA,
        "type": "result",
        "status": outcome.status.value,
        "input": path_text(outcome.given),
        "name": path_text(outcome.name),
        "outputs": [_output_fields(output) for output in outcome.outputs],
        **(_fact_fields(outcome.facts) if outcome.facts else {}),
        "warnings": list(outcome.warnings),
        "seconds": None if outcome.seconds is None else round(outcome.seconds, 4),
        "error": error_fields(outcome.error) if outcome.error else None,
    }
    return _known(record)


def make_summary(tally: Tally) -> dict[str, Any]:
    """The last record of a run."""
    return {
        "schema": SCHEMA,
        "type": "summary",
        "total": tally.total,
        **{status.value: tally.statuses[status] for status in Status},
        "codes": {code.value: count for code, count in sorted(tally.codes.items())},
        "stopped": tally.stopped,
        "exit_code": int(tally.exit_code),
        "version": __version__,
    }


def _output_fields(output: Output) -> dict[str, Any]:
    return _known(
        {
            "path": path_text(output.path),
            "format": output.format,
            "map": output.map,
            "unit": output.unit,
            "depth_scale": output.depth_scale,
            "range": list(output.range) if output.range else None,
        }
    )


def _fact_fields(facts: Facts) -> dict[str, Any]:
    fields: dict[str, Any] = {"kind": facts.kind.value if facts.kind else LABELS, "limit_m": facts.limit_m}
    if facts.extent is not None and all(map(math.isfinite, facts.extent)):
        fields |= {"min": _rounded(facts.extent[0]), "max": _rounded(facts.extent[1])}
    if facts.size is not None:
        fields |= {"width": facts.size[1], "height": facts.size[0]}
    if (made := facts.provenance) is not None:
        height, width = made.network_size or (None, None)
        fields |= {
            "model": words_text(made.model),
            "revision": made.revision,
            "weights_sha256": made.weights_sha256,
            "network_width": width,
            "network_height": height,
            "device": made.device,
            "precision": made.precision,
            "lens_factor": made.lens_factor,
        }
        if made.lens_factor is not None:
            fields["metres"] = "focal"
    if facts.intrinsics is not None:
        fields |= {"focal_px": facts.intrinsics.fx, "focal_source": facts.intrinsics.source}
    return fields


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def _known(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}
