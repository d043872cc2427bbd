"""The command line: the app and its table of commands.

A command is a file in this folder and a line in `COMMANDS`. The file holds a function of the command's name, whose
parameters are options and groups of options (see `params`), and its `EXAMPLES`; `models` has subcommands and holds a
Typer `app` instead. A file is imported when its command is called, and imports heavy rooms inside functions, so that
`glpn --help` never imports torch.

A command returns None; it raises one of our errors, or `typer.Exit(code)` at the end of a run. `boundary` turns errors
into messages and exit codes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Annotated, Any, NoReturn

import typer

from glpn_cli import __version__
from glpn_cli.cli.boundary import (
    PARSE_ERROR,
    boundary,
    close_stdout,
    interrupted,
    remove_unfinished,
    run_process,
    tell,
    tell_parse_error,
)
from glpn_cli.cli.console import console
from glpn_cli.cli.groups import with_groups
from glpn_cli.cli.help import PlainCommand, PlainGroup
from glpn_cli.errors import ExitCode

COMMANDS = (
    "predict",
    "export",
    "measure",
    "inspect",
    "models",
    "convert",
    "evaluate",
    "train",
    "scenes",
    "bench",
    "serve",
    "doctor",
)
"""Commands in the order of the help screen: each is `glpn_cli/cli/NAME.py`."""


class _CommandTable(Mapping[str, Any]):
    """Name -> command, built from the command's file when it is first asked for."""

    def __getitem__(self, name: str) -> Any:
        if name not in COMMANDS:
            raise KeyError(name)
        return _build_command(name, import_module(f"glpn_cli.cli.{name}"))

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


@cache
def _build_command(name: str, home: ModuleType) -> Any:
    carrier: typer.Typer = getattr(home, "app", None) or typer.Typer(add_completion=False, rich_markup_mode=None)
    if not hasattr(home, "app"):
        carrier.command(name, cls=PlainCommand, epilog=home.EXAMPLES)(with_groups(getattr(home, name)))
    return typer.main.get_command(carrier)


def _summary_of(name: str) -> str:
    """The first line of a command's help."""
    home = import_module(f"glpn_cli.cli.{name}")
    text = home.app.info.help if hasattr(home, "app") else getattr(home, name).__doc__
    return str(text).partition("\n")[0]


class GlpnGroup(PlainGroup):
    """The program: knows its commands by name only, and is where every error ends."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **{**settings, "commands": _CommandTable()})
        self.commands: Any = _CommandTable()

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names, in the order of the help screen."""
        del ctx
        return list(COMMANDS)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the names with their sentences; a command is built only where it is called."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, _summary_of(name)) for name in COMMANDS])

    def main(self, *args: Any, **settings: Any) -> NoReturn:
        """Run the program and exit with its code."""
        console.reset()
        settings["prog_name"] = "glpn-cli" if settings.get("prog_name") == "glpn-cli" else "glpn"
        settings["standalone_mode"] = False
        try:
            code = super().main(*args, **settings)
        except PARSE_ERROR as error:
            code = tell_parse_error(error)
        except typer.Abort:
            code = interrupted(KeyboardInterrupt())
        except (SystemExit, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a signal, or no memory, between the two boundaries below
            code = tell(error)
        remove_unfinished()
        sys.exit(close_stdout(code if isinstance(code, int) else ExitCode.OK))

    def make_context(self, *args: Any, **settings: Any) -> Any:
        """Parse the command line; --version and its like print while that is done."""
        with boundary():
            return super().make_context(*args, **settings)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with boundary():
            return super().invoke(ctx)


def _print_version(value: bool) -> None:
    if value:
        console.result(f"glpn {__version__}")
        raise typer.Exit


app = typer.Typer(
    name="glpn",
    cls=GlpnGroup,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    epilog="""
    glpn predict photo.jpg            # metres for every pixel: photo_depth.png
    glpn export holiday/ --colorbar   # a folder in colours, with a metre scale
    """,
)


@app.callback()
def glpn(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, expose_value=False, help="Print the version."
        ),
    ] = False,
) -> None:
    """Turn pictures into depth maps, in metres."""


def main() -> NoReturn:
    """Run the program as a process: this is what the installed commands call."""
    name = os.path.basename(sys.argv[0])  # noqa: PTH119 - a name, not a path
    run_process(lambda: typer.main.get_command(app)(prog_name=name))
