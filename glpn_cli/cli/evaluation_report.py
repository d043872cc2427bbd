"""The output of `glpn evaluate`: a heading with everything that decides the scores, and a table."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from glpn_cli.atomic_write import probe_writable, write_atomically
from glpn_cli.cli.console import console, make_table, wrap_line
from glpn_cli.cli.outcomes import RECORDS, TABLE, check_in_the_way
from glpn_cli.errors import ErrorCode, UsageError
from glpn_cli.evaluation.evaluate import Evaluation
from glpn_cli.evaluation.report import LABELS, Row, heading, make_differences, make_rows, to_csv, to_json
from glpn_cli.text import json_line, shown


def show_evaluations(
    evaluations: Sequence[Evaluation], *, json: bool, report: Path | None, output: Path | None
) -> None:
    """Print the result as a table or as JSON, then write the files that were asked for.

    Raises StoppedError where the disk takes no more: what was measured is on the screen then.
    """
    try:
        show_records([to_json(evaluations)], lambda: _page(evaluations), json=json, report=report)
    finally:
        if output is not None:
            write_atomically(output, to_csv(evaluations).encode("utf-8", "surrogateescape"))


def show_records(
    records: Sequence[dict[str, Any]], page: Callable[[], str], *, json: bool, report: Path | None
) -> None:
    """Print records as JSON lines, or else their page, then write them to the report that was asked for."""
    try:
        if json:
            for record in records:
                console.json(record)
        else:
            console.text(page())
    finally:  # the reader of stdout may have left
        if report is not None:
            write_atomically(report, b"".join(map(json_line, records)))


def check_results(*, output: Path | None, report: Path | None, inputs: Sequence[str | Path]) -> None:
    """Refuse, before anything is measured, files that cannot be written or must not be replaced (UsageError).

    inputs: what is read, as it was named
    """
    for path, ours in ((output, TABLE), (report, RECORDS)):
        if path is None:
            continue
        if any(_is_same(path, Path(each).expanduser()) for each in inputs):
            raise UsageError(f"{str(path)!r} is one of the inputs", hint="Name another file.", code=ErrorCode.EXISTS)
        check_in_the_way(path, ours)
        probe_writable(path.parent)
    if output is not None and report is not None and _is_same(output, report):
        raise UsageError(f"--output and --report are both {str(output)!r}", hint="Name two files.")


def _is_same(path: Path, other: Path) -> bool:
    """Whether two names are one file, there or not."""
    try:
        return path.samefile(other)
    except OSError:
        return os.path.realpath(path) == os.path.realpath(other)


_ACROSS = 2
"""So many alignments fit beside each other into 80 columns."""


def _page(evaluations: Sequence[Evaluation]) -> str:
    pages = [f"{_heading(evaluation)}\n{_table(make_rows(evaluation))}" for evaluation in evaluations]
    if differences := make_differences(evaluations):
        pages.append(f"Differences on the same pictures; a 95 % interval without 0 is no luck\n{_table(differences)}")
    return "\n\n".join(pages)


def _table(rows: Sequence[Row]) -> str:
    """Metrics down, two alignments across, each a mean with its 95 % interval; for each pair that is compared."""
    tables = []
    for name in dict.fromkeys(row.predictor for row in rows):
        own = [row for row in rows if row.predictor == name]
        alignments = list(dict.fromkeys(row.alignment for row in own))
        cells = {(row.metric, row.alignment): row.words() for row in own}
        title = f"{shown(name)}\n" if " - " in name else ""
        for first in range(0, len(alignments), _ACROSS):
            across = alignments[first : first + _ACROSS]
            headings = ["metric, aligned by", *(word for how in across for word in (how.value, "95 %"))]
            lines = [
                [LABELS.get(metric, metric), *(word for how in across for word in cells.get((metric, how), ("", "")))]
                for metric in dict.fromkeys(row.metric for row in own)
            ]
            tables.append(title + make_table(headings, lines))
    return "\n".join(tables) if tables else "nothing was measured"


def _heading(evaluation: Evaluation) -> str:
    return "\n".join(map(wrap_line, heading(evaluation).splitlines()))
