"""Depth files in words: all facts of one, or a table of many; the same numbers in JSON."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glpn_cli.cli.console import make_facts
from glpn_cli.text import SCHEMA, path_text, shown, size_text

if TYPE_CHECKING:
    from glpn_cli.depth_files.summary import DepthSummary

_WIDTHS = (6, 6, 6, 6, 4, 7, 9)
"""Of all columns but the last; with them a name of 20 letters fits into 80 columns."""


class DepthTable:
    """A line for each depth file, as it is looked at; headings before the first."""

    def __init__(self) -> None:
        self._is_begun = False

    def add(self, path: Path, summary: DepthSummary) -> str:
        """The next line."""
        near, far = summary.min_max or (None, None)
        unit = "labels" if summary.kind is None else summary.kind.unit or summary.kind.value
        digits = ".3f" if unit == "m" else ".4g"
        numbers = ["" if each is None else f"{each:{digits}}" for each in (near, summary.median, summary.mean, far)]
        valid = "" if summary.valid_share is None else f"{100 * summary.valid_share:.4g} %"
        size = size_text(summary.size) if summary.size else ""
        line = _row((*numbers, unit, valid, size, shown(str(path))))
        if self._is_begun:
            return line
        self._is_begun = True
        return f"{_row(('min', 'median', 'mean', 'max', 'unit', 'valid', 'size', 'file'))}\n{line}"


def _row(entries: tuple[str, ...]) -> str:
    *columns, last = entries
    padded = (f"{entry:<{width}}" for entry, width in zip(columns, _WIDTHS, strict=True))
    return f"{'  '.join(padded)}  {last}"


def make_depth_record(path: Path, summary: DepthSummary) -> dict[str, Any]:
    """One JSON object; `record` is the file's own, key by key as it stands there."""
    height, width = summary.size or (None, None)
    near, far = summary.min_max or (None, None)
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
        "mean": summary.mean,
        "median": summary.median,
        "not_depth": summary.not_depth,
        "percentiles": {str(percent): value for percent, value in summary.percentiles},
        "record": summary.record.to_text() if summary.record else None,
    }


def describe_depth(path: Path, summary: DepthSummary) -> str:
    """The same for people."""
    from glpn_cli.depth_files.record import CHECKSUM, PREFIX, UNCERTAINTY

    meaning = "labels" if summary.kind is None else summary.kind.value
    if summary.kind is not None and summary.kind.is_metric:
        meaning = "metres along the optical axis"
        if summary.map == UNCERTAINTY:
            meaning = "metres of standard deviation"
    what = f"{summary.map} as {summary.format}, {meaning}"
    if summary.map == "color":
        what = "a picture painted from depth; its pixels are colours, not depths"
    if summary.map == "normals":
        what = f"{summary.map} as {summary.format}: unit vectors towards the camera; the range is of the depth"
    own = summary.record.to_text() if summary.record else {}
    # What was said already is not said twice, and checksums that hold are not said.
    said = {CHECKSUM, *(f"{PREFIX}{key}" for key in ("format", "map", "kind", "unit", "min", "max", "pixels_crc32"))}
    if summary.size is not None:
        said.add(f"{PREFIX}size")
    facts: list[tuple[str, str | None]] = [
        ("holds", what),
        ("size", size_text(summary.size) if summary.size else None),
        ("valid", None if summary.valid_share is None else f"{100 * summary.valid_share:.2f} %"),
        (
            "not depth",
            f"{summary.not_depth} pixels: 65535, 1e9 and more, infinite or negative" if summary.not_depth else None,
        ),
        ("range", _range_in_words(summary)),
        ("mean", None if summary.mean is None else f"{summary.mean:.4g}{_unit(summary)}"),
        ("percentiles", _percentiles_in_words(summary)),
        ("record", None if own else "none: the file does not say how it was made"),
        *(
            (key.removeprefix(PREFIX).replace("_", " ").lower(), _shorten(text))
            for key, text in own.items()
            if key not in said
        ),
    ]
    return make_facts(facts, title=str(path))


def _shorten(text: str) -> str:
    """Numbers with the digits that people read; everything else as it is."""
    return f"{float(text):.6g}" if re.fullmatch(r"\d+\.\d{5,}", text) else text


def _range_in_words(summary: DepthSummary) -> str:
    if summary.min_max is None:
        return "no valid pixel" if summary.size else "not recorded"
    near, far = summary.min_max
    return f"{near:.4g} to {far:.4g}{_unit(summary)}"


def _unit(summary: DepthSummary) -> str:
    return " m" if summary.kind and summary.kind.unit else ""


def _percentiles_in_words(summary: DepthSummary) -> str | None:
    return ", ".join(f"{percent} %: {value:.4g}" for percent, value in summary.percentiles) or None
