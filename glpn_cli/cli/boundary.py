"""Where errors become a line on stderr and an exit code, and where the process meets its streams, signals and end."""

from __future__ import annotations

import atexit
import errno
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from types import FrameType
from typing import Any, NoReturn, cast, get_args

import typer

from glpn_cli.cli.console import console
from glpn_cli.errors import (
    UNINTERRUPTED,
    ErrorCode,
    ExitCode,
    GlpnError,
    StoppedError,
    UsageError,
    code_of,
    interrupt_code,
    is_out_of_memory,
    reason_of,
    wrap_exception,
)

PARSE_ERROR = cast("type[Exception]", typer.BadParameter.__mro__[1])
"""What Typer raises for a command line it cannot parse; its own click, which nobody outside may import."""

_RETRY_S = 0.02
"""How soon an interrupt that came at a bad moment is tried again."""

_PATIENCE_S = 0.5
"""How long an interrupt waits for an `uninterrupted` function, which may itself wait for whoever reads its output."""


@contextmanager
def boundary() -> Iterator[None]:
    """Whatever is raised within becomes one line on stderr and an exit code."""
    try:
        yield
    except (typer.Exit, typer.Abort, SystemExit, GeneratorExit, PARSE_ERROR):
        raise
    except BaseException as error:
        raise typer.Exit(tell(error)) from error


def tell(error: BaseException) -> int:
    """Print an error; returns its exit code."""
    if isinstance(error, BrokenPipeError):
        return _reader_left()
    if isinstance(error, KeyboardInterrupt):
        return interrupted(error)
    known = _known(error)
    console.error(known)
    # SOME_FAILED is the code of a run over several inputs, which ends with it itself; here one thing failed.
    return ExitCode.NOTHING_DONE if known.exit_code is ExitCode.SOME_FAILED else known.exit_code


def _known(error: BaseException) -> GlpnError:
    """Any error as a GlpnError."""
    if is_out_of_memory(error):
        known: GlpnError = StoppedError("out of memory", code=ErrorCode.OUT_OF_MEMORY)
    elif isinstance(error, OSError):
        where = f"{os.fsdecode(error.filename)}: " if error.filename is not None else ""
        kind = StoppedError if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO) else GlpnError
        known = kind(f"{where}{reason_of(error)}", code=code_of(error))
    else:
        return wrap_exception(error, GlpnError)
    known.__cause__ = error
    return known


def tell_parse_error(error: Any) -> int:
    """Print what is wrong with a command line, in our own form; returns the exit code."""
    ctx: Any = getattr(error, "ctx", None)
    path = ctx.command_path if ctx is not None else "glpn"
    if type(error).__name__ == "NoArgsIsHelpError":
        console.page(ctx.get_help())
        return ExitCode.USAGE
    if getattr(error, "option_name", None) and hasattr(error, "possibilities"):
        known = _explain_unknown_option(error.option_name, ctx)
    else:
        message = error.format_message().strip().rstrip(".").replace("\n", " ").replace("\t", "")
        message = message.replace("Value error, ", "")  # the words of the library that checks values
        known = UsageError(message[:1].lower() + message[1:], hint=f"Run: {path} --help")
    known.__cause__ = error
    console.error(known)
    return known.exit_code


def _explain_unknown_option(option: str, ctx: Any) -> UsageError:
    """The error of an option that a command does not have: who has it, whose value it is, or which is meant."""
    from difflib import get_close_matches

    asked, run_help = ctx.command_path, f"Run: {ctx.command_path} --help"
    owners = _find_owners(ctx.find_root().command)
    if option in owners:
        inner = [owner for owner in owners[option] if owner.startswith(f"{asked} ")]
        hint = f"Run: {inner[0]} {option}" if inner else run_help
        return UsageError(f"{option} belongs to {_list_few(owners[option])}, not to {asked}", hint=hint)
    for param in ctx.command.params:
        if option[2:] in _values_of(param):
            meant = f"{param.opts[0]} {option[2:]}"
            return UsageError(f"no such option: {option}", hint=f"Did you mean {meant}? Run: {asked} --help")
    own = [*(name for name, commands in owners.items() if asked in commands), "--help"]
    if near := get_close_matches(option, own, 1):
        return UsageError(f"no such option: {option}", hint=f"Did you mean {near[0]}? Run: {asked} --help")
    if near := get_close_matches(option, owners, 1, cutoff=0.8):
        run_help = f"Did you mean {near[0]}, which belongs to {_list_few(owners[near[0]])}? {run_help}"
    return UsageError(f"no such option: {option}", hint=run_help)


def _values_of(param: Any) -> list[Any]:
    """All that an option may be; empty where there is no list."""
    kind = getattr(getattr(param, "type_descriptor", None), "annotation", None)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [member.value for member in kind]
    return list(get_args(kind))


def _list_few(commands: list[str]) -> str:
    """`glpn predict and glpn export`; of many, the number."""
    return f"{len(commands)} other commands" if len(commands) > 3 else " and ".join(commands)


def _find_owners(program: Any) -> dict[str, list[str]]:
    """Every option, with the commands that have it."""
    owners: dict[str, list[str]] = {}
    todo = [("glpn", program)]
    while todo:
        name, command = todo.pop(0)
        for param in command.params:
            for spelling in (*param.opts, *param.secondary_opts) if param.param_type_name == "option" else ():
                owners.setdefault(spelling, []).append(name)
        subcommands: Any = getattr(command, "commands", {})
        todo += [(f"{name} {each}", subcommands[each]) for each in subcommands]
    return owners


def interrupted(error: KeyboardInterrupt) -> int:
    """Print that a signal ended the run; returns the exit code of that signal."""
    if console.debug:
        console.traceback(error)
    console.note("interrupted")
    return interrupt_code(error)


def _reader_left() -> int:
    """A reader who has seen enough of a list is no error; one who misses half of a file is."""
    console.abandon_stdout()
    return 128 + signal.SIGPIPE if console.writes_bytes and hasattr(signal, "SIGPIPE") else ExitCode.OK


def close_stdout(code: int) -> int:
    """Flush what is left while an error can still be told; the exit code, now that this is known."""
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


def run_process(program: Callable[[], object]) -> NoReturn:
    """Run the program, which exits, as a process of its own: with standard streams and signal handlers."""
    _open_missing_streams()
    try:
        try:
            _handle_signals()
            program()
        except KeyboardInterrupt as error:  # before the program begins, or when it has told its code already
            sys.exit(interrupted(error))
    except SystemExit as end:
        if threading.active_count() > 1:
            _leave_at_once(end)
        raise
    finally:
        gc.freeze()  # or the interpreter's end looks for garbage among all that torch holds, for a quarter of a second
    raise AssertionError("the program exits")


def remove_unfinished() -> None:
    """Leave no half of a file behind that a thread was still writing when the run was ended."""
    if (writing := sys.modules.get("glpn_cli.atomic_write")) is not None:
        writing.remove_unfinished()


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


def _handle_signals() -> None:
    """Turn a polite end into KeyboardInterrupt carrying the exit code; a second one ends the process at once.

    While something is imported the exception waits for the end of that: thrown into an import, it can abort the process
    (torch's C++ meets it), or be lost (the library takes it for a module that is missing). It waits a moment for
    `uninterrupted` functions too. Where Python itself drops it, as in a `__del__`, it is raised again.
    """
    heard_at = 0.0

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal heard_at
        heard_at = time.monotonic()
        for handled in numbers:
            signal.signal(handled, at_once)
        if hasattr(signal, "SIGALRM"):
            signal.signal(signal.SIGALRM, lambda _, later: interrupt(number, later))
            sys.unraisablehook = retry
        interrupt(number, frame)

    def interrupt(number: int, frame: FrameType | None) -> None:
        if hasattr(signal, "SIGALRM") and _must_wait(frame, time.monotonic() - heard_at):
            signal.setitimer(signal.ITIMER_REAL, _RETRY_S)
        else:
            raise KeyboardInterrupt(128 + number)

    def retry(dropped: Any) -> None:
        if isinstance(dropped.exc_value, KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, _RETRY_S)
        else:
            sys.__unraisablehook__(dropped)

    def at_once(number: int, frame: FrameType | None) -> None:
        del frame
        remove_unfinished()
        os._exit(128 + number)

    known = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    numbers = [number for number in known if signal.getsignal(number) is not signal.SIG_IGN]  # nohup stays ignored
    for number in numbers:
        signal.signal(number, end)


def _must_wait(frame: FrameType | None, waited_s: float) -> bool:
    """Whether an interrupt would come at a bad moment: during an import, or within an `uninterrupted` function."""
    while frame is not None and frame.f_code is not run_process.__code__:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        if frame.f_code in UNINTERRUPTED:
            return waited_s < _PATIENCE_S
        frame = frame.f_back
    return False
