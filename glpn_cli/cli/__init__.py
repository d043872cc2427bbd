"""The command line: the app, the table of commands, and the one boundary where errors become exit codes.

A command is a file in this folder and a line in `COMMANDS`. The file holds either a function of the command's name and
its `EXAMPLES`, or, for a command with subcommands, `app`: a Typer(cls=TidyGroup, rich_markup_mode=None, epilog=...)
whose commands are registered with `cls=TidyCommand, epilog=...`. Files are imported when their command is called (or
listed), and import heavy rooms inside functions: `glpn --help` never sees torch.

A command returns None; it raises one of our errors, or `typer.Exit(code)` where a run ended with something to tell.
"""

from __future__ import annotations

import atexit
import errno
import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from types import FrameType
from typing import Annotated, Any, NoReturn, cast

import typer

from glpn_cli._version import __version__
from glpn_cli.cli.console import console
from glpn_cli.cli.screens import TidyCommand, TidyGroup
from glpn_cli.errors import ErrorCode, ExitCode, GlpnError, StoppedError, UsageError, code_of, reason_of

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
    "doctor",
)
"""Commands in the order of the help screen: each is `glpn_cli/cli/NAME.py`."""

_TYPER_USAGE_ERROR = cast("type[Exception]", typer.BadParameter.__mro__[1])
"""What Typer raises for a command line it cannot parse; its own click, which nobody outside may import."""


class CommandTable(Mapping[str, Any]):
    """Name -> command, built from the command's file when it is first asked for."""

    def __init__(self) -> None:
        self._built: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in COMMANDS:
            raise KeyError(name)
        if name not in self._built:
            self._built[name] = _build_command(name)
        return self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


def _build_command(name: str) -> Any:
    home = import_module(f"glpn_cli.cli.{name}")
    carrier: typer.Typer = getattr(home, "app", None) or typer.Typer(add_completion=False, rich_markup_mode=None)
    if not hasattr(home, "app"):
        carrier.command(name, cls=TidyCommand, epilog=home.EXAMPLES)(getattr(home, name))
    return typer.main.get_command(carrier)


class GlpnGroup(TidyGroup):
    """The program: knows its commands by name only, and is where every error ends."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **{**settings, "commands": CommandTable()})
        self.commands: Any = CommandTable()

    def list_commands(self, ctx: Any) -> list[str]:
        """Names only: building every command is for the help screen."""
        del ctx
        return list(COMMANDS)

    def main(self, *args: Any, **settings: Any) -> NoReturn:
        """Run the program and exit with its code."""
        console.reset()
        settings["prog_name"] = "glpn-cli" if settings.get("prog_name") == "glpn-cli" else "glpn"
        settings["standalone_mode"] = False
        try:
            code = super().main(*args, **settings)
        except _TYPER_USAGE_ERROR as error:
            code = _tell_usage(error)
        except typer.Abort:
            code = _interrupted(KeyboardInterrupt())
        except (SystemExit, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a signal, or no memory, between the two boundaries below
            code = _tell(error)
        _remove_unfinished()
        sys.exit(_close_stdout(code if isinstance(code, int) else ExitCode.OK))

    def make_context(self, *args: Any, **settings: Any) -> Any:
        """Parse the command line; --version and its like print while that is done."""
        with _boundary():
            return super().make_context(*args, **settings)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with _boundary():
            return super().invoke(ctx)


@contextmanager
def _boundary() -> Iterator[None]:
    """Whatever is raised within becomes one line on stderr and an exit code."""
    try:
        yield
    except (typer.Exit, typer.Abort, SystemExit, GeneratorExit, _TYPER_USAGE_ERROR):
        raise
    except BaseException as error:
        raise typer.Exit(_tell(error)) from error


def _tell(error: BaseException) -> int:
    """Say what went wrong, and give the exit code that says it too."""
    if isinstance(error, BrokenPipeError):
        return _reader_left()
    if isinstance(error, KeyboardInterrupt):
        return _interrupted(error)
    known = _known(error)
    console.error(known)
    # Some failed and others did not: only who does several things can say so, and then nothing comes here.
    return ExitCode.NOTHING_DONE if known.exit_code is ExitCode.SOME_FAILED else known.exit_code


def _known(error: BaseException) -> GlpnError:
    """`error` as one of ours, so that everything that goes wrong looks the same."""
    known: GlpnError
    if isinstance(error, GlpnError):
        return error
    if isinstance(error, MemoryError):
        known = StoppedError(
            "out of memory", hint="Try a smaller --input-size, or fewer --workers.", code=ErrorCode.OUT_OF_MEMORY
        )
    elif isinstance(error, OSError):
        where = f"{os.fsdecode(error.filename)}: " if error.filename is not None else ""
        kind = StoppedError if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO) else GlpnError
        known = kind(f"{where}{reason_of(error)}", code=code_of(error))
    else:
        said = f"{type(error).__name__}: {error}".rstrip(": ")
        known = GlpnError(f"this is a bug in glpn: {said}", hint="Run it again with --debug, and report what it says.")
    known.__cause__ = error
    return known


def _tell_usage(error: Any) -> int:
    """Say what is wrong with a command line, in our own form."""
    ctx: Any = getattr(error, "ctx", None)
    path = ctx.command_path if ctx is not None else "glpn"
    if type(error).__name__ == "NoArgsIsHelpError":
        console.page(ctx.get_help())
        return ExitCode.USAGE
    message = error.format_message().strip().rstrip(".").replace("\n", " ").replace("\t", "")
    known = UsageError(message[:1].lower() + message[1:], hint=f"Run: {path} --help")
    known.__cause__ = error
    console.error(known)
    return known.exit_code


def _interrupted(error: KeyboardInterrupt) -> int:
    """130, or 128 and the number of the signal that `_hear_signals` put into the exception."""
    code = error.args[0] if error.args and isinstance(error.args[0], int) else 128 + signal.SIGINT
    if console.debug:
        console.traceback(error)
    console.note("interrupted")
    return code


def _reader_left() -> int:
    """A reader who has seen enough of a list is no error; one who misses half of a file is."""
    console.abandon_stdout()
    return 128 + signal.SIGPIPE if console.writes_bytes and hasattr(signal, "SIGPIPE") else ExitCode.OK


def _remove_unfinished() -> None:
    """Leave no half of a file behind that a thread was still writing when the run was ended."""
    if (publish := sys.modules.get("glpn_cli.publish")) is not None:
        publish.remove_unfinished()


def _close_stdout(code: int) -> int:
    """Flush what is left while an error can still be told."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        return code or _reader_left()
    except OSError as error:
        console.error(GlpnError(f"cannot write to standard output: {reason_of(error)}", code=ErrorCode.IO))
        console.abandon_stdout()
        return code or ExitCode.NOTHING_DONE
    return code


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
    _open_missing_streams()
    name = os.path.basename(sys.argv[0])  # noqa: PTH119 - a name, not a path
    try:
        try:
            _hear_signals()
            typer.main.get_command(app)(prog_name=name)
        except KeyboardInterrupt as error:  # before the program begins, or when it has told its code already
            sys.exit(_interrupted(error))
    except SystemExit as end:
        if any(thread.daemon for thread in threading.enumerate()):
            _leave_at_once(end)
        raise
    finally:
        gc.freeze()  # or the interpreter's end looks for garbage among all that torch holds, for a quarter of a second
    raise AssertionError("the app exits")


def _leave_at_once(end: SystemExit) -> NoReturn:
    """End the process while a thread may still compute: it would stumble over what the interpreter's end takes away."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(end.code if isinstance(end.code, int) else ExitCode.NOTHING_DONE)


def _open_missing_streams() -> None:
    """Fill closed standard streams with the null device, lest the first file we open become stdout."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)


def _hear_signals() -> None:
    """Turn a polite end into KeyboardInterrupt carrying the exit code; a second one ends the process at once."""

    def end(number: int, frame: FrameType | None) -> None:
        del frame
        for heard in numbers:
            signal.signal(heard, at_once)
        raise KeyboardInterrupt(128 + number)

    def at_once(number: int, frame: FrameType | None) -> None:
        del frame
        _remove_unfinished()
        os._exit(128 + number)

    known = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    numbers = [number for number in known if signal.getsignal(number) is not signal.SIG_IGN]  # nohup stays ignored
    for number in numbers:
        signal.signal(number, end)
