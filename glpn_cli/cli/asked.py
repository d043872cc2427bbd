"""Which options were typed, so that none of them is dropped without a word."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from glpn_cli.cli.console import console
from glpn_cli.pipeline.settings import ExplicitOptions

if TYPE_CHECKING:
    from glpn_cli.pipeline.sources import Sources

_MAKING = ("--model", "--max-depth", "--input-size", "--tta", "--upsample", "--metres")
"""The options that say what a map will be. How a network computes (`--precision`) is no promise where none has to."""


def find_asked(context: typer.Context) -> ExplicitOptions:
    """The options that were typed, not those that the environment or a default says."""
    typed = set()
    for param in context.command.params:
        source = context.get_parameter_source(param.name or "")
        if param.param_type_name == "option" and source is not None and source.name == "COMMANDLINE":
            typed.add(max(param.opts, key=len))
    return ExplicitOptions(frozenset(typed))


def note_made_earlier(found: Sources, asked: ExplicitOptions) -> None:
    """Tell of options that change nothing in maps that are there already, which no network has to make."""
    typed = asked.among(*_MAKING)
    if not typed or not (count := found.stored_count):
        return
    maps = "1 map is there already" if count == 1 else f"{count} maps are there already"
    change = "changes" if len(typed) == 1 else "change"
    console.note(f"{maps}, made earlier: {', '.join(typed)} {change} nothing in {'it' if count == 1 else 'them'}")
