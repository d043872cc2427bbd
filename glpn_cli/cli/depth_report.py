"""What a depth file says about itself, as JSON and as text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from glpn_cli.cli.columns import make_facts
from glpn_cli.depth_files.record import PREFIX
from glpn_cli.depth_files.summary import DepthSummary
from glpn_cli.depth_files.uncertainty import UNCERTAINTY
from glpn_cli.text import SCHEMA, path_text


def make_depth_record(path: Path, summary: DepthSummary) -> dict[str, Any]:
    """One JSON object; `record` is the file's own, key by key as it stands there."""
    height, width = summary.size or (None, None)
    near, far = summary.extent or (None, None)
    return {
        "schema": SCHEMA,
        "type": "depth",
        "path": path_text(str(path)),
        "format": summary.format,
        "map": summary.map,
        "kind": summary.kind.value if summary.kind else "labels",
        "unit": summary.kind.unit if summary.kind else None,
        "width": width,
        "height": height,
        "valid_share": summary.valid_share,
        "min": near,
        "max": far,
        "percentiles": {str(percent): value for percent, value in summary.percentiles},
        "record": summary.record.to_text() if summary.record else None,
    }


def describe_depth(path: Path, summary: DepthSummary) -> str:
    """The same for people."""
    meaning = "labels" if summary.kind is None else summary.kind.value
    if summary.kind is not None and summary.kind.is_metric:
        meaning = "metres along the optical axis"
        if summary.map == UNCERTAINTY:
            meaning = "metres by which answers lie apart (standard deviation)"
    what = f"{summary.map} as {summary.format}, {meaning}"
    if summary.map == "color":
        what = "a picture that was painted of depth; its pixels are depths no more"
    own = summary.record.to_text() if summary.record else {}
    # What was said already is not said twice.
    said = {f"{PREFIX}{key}" for key in ("format", "map", "kind", "unit", "min", "max")}
    facts: list[tuple[str, str | None]] = [
        ("holds", what),
        ("size", f"{summary.size[1]}x{summary.size[0]}" if summary.size else None),
        ("valid", None if summary.valid_share is None else f"{100 * summary.valid_share:.2f} %"),
        ("range", _range_in_words(summary)),
        ("percentiles", _percentiles_in_words(summary)),
        ("record", None if own else "none: the file does not say how it was made"),
        *((key.removeprefix(PREFIX).replace("_", " "), _shorten(text)) for key, text in own.items() if key not in said),
    ]
    return make_facts(facts, title=str(path))


def _shorten(text: str) -> str:
    """Numbers with the digits that people read; everything else as it is."""
    return f"{float(text):.6g}" if re.fullmatch(r"\d+\.\d{5,}", text) else text


def _range_in_words(summary: DepthSummary) -> str:
    if summary.extent is None:
        return "no valid pixel" if summary.size else "not recorded"
    near, far = summary.extent
    return f"{near:.4g} to {far:.4g}" + (" m" if summary.kind and summary.kind.unit else "")


def _percentiles_in_words(summary: DepthSummary) -> str | None:
    return ", ".join(f"{percent} %: {value:.4g}" for percent, value in summary.percentiles) or None
