"""What `glpn evaluate` shows: a heading that names everything that decides the numbers, and a table."""

from __future__ import annotations

import json as json_module
from collections.abc import Sequence
from pathlib import Path

from glpn_cli.cli.columns import make_table
from glpn_cli.cli.console import console, shown
from glpn_cli.evaluation.evaluate import Evaluation
from glpn_cli.evaluation.report import LABELS, Row, heading, make_differences, make_rows, to_csv, to_json
from glpn_cli.publish import publish


def show_evaluations(
    evaluations: Sequence[Evaluation], *, json: bool, report: Path | None, output: Path | None
) -> None:
    """Print the result as a table or as JSON, and write the files that were asked for."""
    if output is not None:
        publish(output, to_csv(evaluations).encode("utf-8", "surrogateescape"))
    record = to_json(evaluations)
    if report is not None:
        publish(report, json_module.dumps(record, ensure_ascii=False, allow_nan=False).encode() + b"\n")
    if json:
        console.json(record)
        return
    pages = [f"{_escape(heading(evaluation))}\n{_table(make_rows(evaluation))}" for evaluation in evaluations]
    if differences := make_differences(evaluations):
        pages.append(f"Differences on the same pictures; a 95 % interval without 0 is no luck\n{_table(differences)}")
    console.text("\n\n".join(pages))


def _table(rows: Sequence[Row]) -> str:
    """Metrics down, alignments across, each a mean with its 95 % interval; one table for each pair that is compared."""
    tables = []
    for name in dict.fromkeys(row.contestant for row in rows):
        own = [row for row in rows if row.contestant == name]
        alignments = list(dict.fromkeys(row.alignment for row in own))
        cells = {(row.metric, row.alignment): row.words() for row in own}
        headings = ["metric", *(word for how in alignments for word in (f"align {how.value}", "95 %"))]
        lines = [
            [LABELS[metric], *(word for how in alignments for word in cells.get((metric, how), ("", "")))]
            for metric in dict.fromkeys(row.metric for row in own)
        ]
        title = f"{shown(name)}\n" if " - " in name else ""
        tables.append(title + make_table(headings, lines))
    return "\n".join(tables) if tables else "nothing was measured"


def _escape(text: str) -> str:
    return "\n".join(shown(line) for line in text.splitlines())
