"""How help looks: one column of options and one of words, in chapters, with real examples at the end; 80 columns.

Every command and group of the program is one of these two classes. They also carry the options that everybody has
(--quiet, --verbose, --debug), which go straight to the console and never reach a command's signature.
"""

from __future__ import annotations

import inspect
import shutil
import textwrap
from collections.abc import Iterable
from enum import Enum
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from glpn_cli.cli.console import console

CONTEXT: dict[str, Any] = {"help_option_names": ["-h", "--help"]}
_NAMES_WIDTH = 26
_KEPT_TOGETHER = "\N{NO-BREAK SPACE}"
_OPTIONS, _ARGUMENTS = "Options", "Arguments"


class _Tidy:
    """What a command and a group have in common: the options that everybody has, and a page that one can read."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        settings["params"] = [*(settings.get("params") or ()), *talk_options()]
        settings["context_settings"] = {**CONTEXT, **(settings.get("context_settings") or {})}
        super().__init__(*args, **settings)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the page."""
        formatter.write(render_page(self, ctx))


class TidyCommand(_Tidy, TyperCommand):
    """A command whose help is a page that one can read."""


class TidyGroup(_Tidy, TyperGroup):
    """A group of commands whose help is a page that one can read."""


def _talk(
    _quiet: Annotated[
        bool,
        typer.Option(
            "--quiet",
            "-q",
            help="Say nothing but errors.",
            expose_value=False,
            callback=lambda value: _switch("quiet", on=value),
        ),
    ] = False,
    _verbose: Annotated[
        bool,
        typer.Option(
            "--verbose",
            "-v",
            help="Say more: a line per file, what was chosen and why.",
            expose_value=False,
            callback=lambda value: _switch("verbose", on=value),
        ),
    ] = False,
    _debug: Annotated[
        bool,
        typer.Option(
            "--debug",
            help="Show the traceback of an error.",
            expose_value=False,
            callback=lambda value: _switch("debug", on=value),
        ),
    ] = False,
) -> None:
    """Carry the options that every command has."""


def _switch(name: str, *, on: bool) -> None:
    if on:  # off is only the default: `glpn --debug predict` is parsed twice, once without it
        setattr(console, name, True)


def talk_options() -> list[Any]:
    """The parameters that every command has, fresh."""
    carrier = typer.Typer(add_completion=False, rich_markup_mode=None)
    carrier.command()(_talk)
    return list(typer.main.get_command(carrier).params)


def render_page(command: Any, ctx: Any) -> str:
    """The help of a command as text: usage, what it does, options in chapters, subcommands, examples."""
    width = max(50, min(80, shutil.get_terminal_size((80, 24)).columns))
    usage = " ".join(["Usage:", ctx.command_path, *_usage_pieces(command, ctx)])
    wrapped = textwrap.fill(usage, width, subsequent_indent=" " * 7, break_on_hyphens=False)
    blocks = [wrapped.replace(_KEPT_TOGETHER, " ")]
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    blocks += [textwrap.fill(paragraph, width, break_on_hyphens=False) for paragraph in paragraphs]
    if isinstance(command, TyperGroup):
        blocks.append(
            _chapter(
                "Commands", ((name, _first_line(command, ctx, name)) for name in command.list_commands(ctx)), width
            )
        )
    chapters: dict[str, list[tuple[str, str]]] = {}
    for param in command.get_params(ctx):
        if getattr(param, "hidden", False):
            continue
        is_option = param.param_type_name == "option"
        chapter = getattr(param, "rich_help_panel", None) or (_OPTIONS if is_option else _ARGUMENTS)
        chapters.setdefault(chapter, []).append((_names(param), _words(param)))
    if _OPTIONS in chapters:
        chapters[_OPTIONS] = chapters.pop(_OPTIONS)  # the general ones come last
    blocks += [_chapter(title, rows, width) for title, rows in chapters.items()]
    if command.epilog:
        blocks.append("Examples:\n" + textwrap.indent(inspect.cleandoc(command.epilog), "  "))
    return "\n\n".join(block for block in blocks if block) + "\n"


def _usage_pieces(command: Any, ctx: Any) -> list[str]:
    """What follows a command's name: arguments, in brackets where they may be left away, and options that may not."""
    options, *arguments = (piece.replace("{", "").replace("}", "") for piece in command.collect_usage_pieces(ctx))
    needed = [_names(param).strip() for param in command.get_params(ctx) if param.required and param.opts[0][0] == "-"]
    return [options, *(names.split(", ")[-1].replace(" ", _KEPT_TOGETHER) for names in needed), *arguments]


def _first_line(group: Any, ctx: Any, name: str) -> str:
    return str(group.get_command(ctx, name).help or "").partition("\n")[0]


def _names(param: Any) -> str:
    """`-m, --model NAME`; long names stand below each other."""
    if param.param_type_name == "argument":
        name = param.metavar or param.name.upper()
        return name if param.nargs == 1 or name.endswith("...") else f"{name}..."
    short = [name for name in param.opts if not name.startswith("--")]
    long = [name for name in (*param.opts, *param.secondary_opts) if name.startswith("--")]
    names = ", ".join(short) + (", " if short and long else "") if short else "    "
    names += " / ".join(long)
    takes_value = not (param.is_flag or param.count)
    return f"{names} {param.metavar or param.name.upper()}" if takes_value else names


def _words(param: Any) -> str:
    facts = []
    default = param.show_default if isinstance(param.show_default, str) else param.default
    if param.show_default and default not in (None, False, (), [], ""):
        is_pair = getattr(param, "is_flag", False) and param.secondary_opts
        shown_default = default.value if isinstance(default, Enum) else default
        facts.append(f"default: {'on' if is_pair else shown_default}")
    if param.envvar:
        facts.append(f"env: {param.envvar}")
    if param.required:
        facts.append("required")
    words = inspect.cleandoc(param.help or "")
    return " ".join([words, *(f"[{fact}]".replace(" ", _KEPT_TOGETHER) for fact in facts)])


def _chapter(title: str, rows: Iterable[tuple[str, str]], width: int) -> str:
    lines = [f"{title}:"]
    rows = list(rows)
    column = min(max((len(names) for names, _ in rows), default=0), _NAMES_WIDTH)
    indent = " " * (column + 4)
    for names, words in rows:
        wrapped = textwrap.wrap(words, width - len(indent), break_on_hyphens=False) or [""]
        wrapped = [line.replace(_KEPT_TOGETHER, " ") for line in wrapped]
        if len(names) > column:
            lines.append(f"  {names}")
            lines += [indent + line for line in wrapped]
        else:
            lines.append(f"  {names:<{column}}  {wrapped[0]}".rstrip())
            lines += [indent + line for line in wrapped[1:]]
    return "\n".join(lines)
