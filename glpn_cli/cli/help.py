"""The help screens: options in chapters, examples at the end, 80 columns; and the options that every command has.

Typer's own panels need rich, which takes longer to import than the rest of `glpn --help` takes; its plain screens put
45 options of `predict` in one list. These are its plain screens, in chapters.
"""

from __future__ import annotations

import inspect
import re
import shutil
import textwrap
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from glpn_cli.cli.boundary import PARSE_ERROR
from glpn_cli.cli.console import console
from glpn_cli.cli.groups import without
from glpn_cli.options import ARGUMENTS, BATCH, INPUTS, MODEL, OUTPUTS, SPACE, option

_OPTIONS = "Options"
_FIRST, _LAST = (ARGUMENTS, INPUTS, MODEL), (OUTPUTS, SPACE, BATCH, _OPTIONS)
"""Chapters before and after those that only one command has."""
_NAMES_WIDTH, _NARROWEST = 26, 30
_WHOLE_HYPHEN = "\N{NON-BREAKING HYPHEN}"


class _Plain:
    """The screens of a command and of a group."""

    params: list[Any]
    help: str | None
    epilog: str | None

    def __init__(self, *args: Any, **settings: Any) -> None:
        settings["params"] = [*(settings.get("params") or ()), *_verbosity_options()]
        names = {"help_option_names": ["-h", "--help"]}
        settings["context_settings"] = {**names, **(settings.get("context_settings") or {})}
        super().__init__(*args, **settings)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line. Errors know the command, whose help they point to."""
        try:
            rest: list[str] = super().parse_args(ctx, args)  # type: ignore[misc]  # of the class beside this one
        except PARSE_ERROR as error:
            error.ctx = getattr(error, "ctx", None) or ctx  # type: ignore[attr-defined]  # Typer's own click has it
            raise
        return rest

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """[OPTIONS], the options that must be there, and the arguments."""
        needed = [param for param in self.params if param.required and param.param_type_name == "option"]
        arguments = [_usage_of(param, ctx) for param in self.params if param.param_type_name == "argument"]
        commands = ["COMMAND [ARGS]..."] if isinstance(self, TyperGroup) else []
        return [
            "[OPTIONS]",
            *(f"{max(param.opts, key=len)} {param.metavar}" for param in needed),
            *arguments,
            *commands,
        ]

    def get_short_help_str(self, limit: int = 0) -> str:
        """Return the first line of the help, whole."""
        del limit
        return str(self.help or "").partition("\n")[0]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the screen, on narrow terminals too: Typer takes them for 50 columns wide."""
        formatter.width = min(formatter.width, max(shutil.get_terminal_size().columns - 2, _NARROWEST))
        super().format_help(ctx, formatter)  # type: ignore[misc]  # of the class beside this one
        formatter.buffer = [text.replace(_WHOLE_HYPHEN, "-") for text in formatter.buffer]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the subcommands of a group, then the options in chapters."""
        chapters: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):  # type: ignore[attr-defined]  # of the class beside this one
            if (record := param.get_help_record(ctx)) is None:
                continue
            names, words = record
            if param.param_type_name == "argument":
                names = _usage_of(param, ctx)
            elif names.startswith("--"):
                names = f"    {names}"  # long names stand below each other
            title = param.rich_help_panel or (ARGUMENTS if param.param_type_name == "argument" else _OPTIONS)
            chapters.setdefault(title, []).append((names, _whole_words(_without_ranges(words))))
        if isinstance(self, TyperGroup):
            self.format_commands(ctx, formatter)
        own = [title for title in chapters if title not in (*_FIRST, *_LAST)]
        for title in (*_FIRST, *own, *_LAST):
            if title in chapters:
                with formatter.section(title):
                    formatter.write_dl(chapters[title], col_max=min(_NAMES_WIDTH, formatter.width // 3))

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples as they stand."""
        del ctx
        if self.epilog:
            formatter.write("\nExamples:\n" + textwrap.indent(inspect.cleandoc(self.epilog), "  ") + "\n")


def _whole_words(words: str) -> str:
    """Words whose lines Typer does not break at a hyphen: names of models are to be copied."""
    return re.sub(r"(?<=\w)-(?=\w)", _WHOLE_HYPHEN, words)


def _without_ranges(words: str) -> str:
    """The help of an option without the range that its number may be in, which its error tells: `1<=x<=256`."""
    text, bracket, facts = words.removesuffix("]").rpartition("  [")
    if not bracket:
        return words
    facts = re.sub(r"default: \((.*)\)(?=; |$)", r"default: \1", facts)
    told = [fact for fact in facts.split("; ") if "<=" not in fact and ">=" not in fact]
    return f"{text}  [{'; '.join(told)}]" if told else text


def _usage_of(argument: Any, ctx: Any) -> str:
    """NAME, [NAME] where it may be left out, with dots where it repeats."""
    (piece,) = argument.get_usage_pieces(ctx)
    return str(piece).replace("{", "").replace("}", "")


class PlainCommand(_Plain, TyperCommand):
    """A command with a help screen in chapters."""


class PlainGroup(_Plain, TyperGroup):
    """A group of commands with a help screen in chapters."""


def _switch(param: typer.CallbackParam, value: bool) -> None:
    if value:  # False is only the default: `glpn --debug predict` is parsed twice, once without it
        setattr(console, str(param.name), True)


@dataclass(frozen=True)
class _VerbosityParams:
    """How much is printed: options of every command, which go to the console and never reach the command."""

    quiet: bool = option(
        "-q, --quiet", False, "Print nothing but results and errors.", callback=_switch, expose_value=False
    )
    verbose: bool = option(
        "-v, --verbose",
        False,
        "Print more: a line per file, and which settings were chosen.",
        callback=_switch,
        expose_value=False,
    )
    debug: bool = option("--debug", False, "Show the traceback of an error.", callback=_switch, expose_value=False)


def _verbosity_options() -> list[Any]:
    """The parameters that every command has, fresh."""

    def carry() -> None:
        """Carry the options."""

    carry.__signature__ = inspect.Signature([*without().of(_VerbosityParams)])  # type: ignore[attr-defined]  # Typer reads it
    carrier = typer.Typer(add_completion=False, rich_markup_mode=None)
    carrier.command()(carry)
    return list(typer.main.get_command(carrier).params)
