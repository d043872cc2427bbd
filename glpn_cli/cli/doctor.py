"""`glpn doctor`: is everything here as it should be?"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from glpn_cli.cli.console import console
from glpn_cli.cli.params import OutputParams, only
from glpn_cli.errors import ExitCode

EXAMPLES = """
glpn doctor
glpn doctor --clean depth/   # what killed runs of any machine left there
"""
_DAY_S = 86_400.0


def doctor(
    output: Annotated[OutputParams, only("json")],
    clean: Annotated[
        Path | None,
        typer.Option("--clean", metavar="DIR", help="Remove unfinished files from DIR and below, older than a day."),
    ] = None,
) -> None:
    """Check that everything here is as it should be.

    Looks at versions, codecs, devices, memory, writing, the cache and the models in it, and predicts once. Nothing is
    downloaded, and nothing left behind. Exits with 1 if something is broken.
    """
    if clean is not None:
        _clean(clean, json=output.json)
        return
    from glpn_cli.cli.columns import make_facts
    from glpn_cli.cli.health import Health, examine
    from glpn_cli.text import SCHEMA, words_text

    is_broken = False
    for finding in examine():
        is_broken |= finding.health is Health.BROKEN
        if output.json:
            hint = {"hint": finding.hint} if finding.hint else {}
            found = {"name": finding.name, "status": finding.health.value, "found": words_text(finding.words)}
            console.json({"schema": SCHEMA, "type": "check", **found, **hint})
            continue
        words = finding.words if finding.health is Health.GOOD else f"{finding.health.value.upper()}: {finding.words}"
        console.text(make_facts([(f"{finding.name:<17}", words)]))
        if finding.hint:
            console.text(make_facts([(" " * 17, f"hint: {finding.hint}")]))
    if is_broken:
        raise typer.Exit(ExitCode.NOTHING_DONE)


def _clean(folder: Path, *, json: bool) -> None:
    from glpn_cli.atomic_write import remove_stale
    from glpn_cli.errors import ErrorCode, UsageError
    from glpn_cli.text import SCHEMA, path_text

    if not folder.is_dir():
        raise UsageError(f"there is no folder {str(folder)!r}", code=ErrorCode.NOT_FOUND)
    removed = sum(remove_stale(Path(place), older_than_s=_DAY_S) for place, _, _ in os.walk(folder))
    if json:
        console.json({"schema": SCHEMA, "type": "cleaning", "folder": path_text(str(folder)), "removed": removed})
    else:
        console.result(f"{removed} unfinished files removed")
