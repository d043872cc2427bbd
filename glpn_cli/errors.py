"""Everything that can go wrong, as a tree; each error carries an exit code, an error code and what to do.

::

    GlpnError
    ├── UsageError       exit 2   the request makes no sense; nothing was started
    ├── InputError       exit 3   one input cannot be used; the others go on (1 if none succeeded)
    ├── OutputError      exit 3   one result cannot be written where it should go; the others go on
    ├── ModelError       exit 1   a model is missing, damaged, or not what it says it is
    └── StoppedError     exit 4   something that is no input broke (disk, device, memory); run again

Errors are raised near their cause and become one line on stderr, one JSON record and one exit code at one boundary
(`glpn_cli.cli`).
"""

from __future__ import annotations

import errno
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum, StrEnum
from pathlib import Path
from types import CodeType
from typing import Any, ClassVar, TypeVar

_Function = TypeVar("_Function", bound=Callable[..., Any])


class ExitCode(IntEnum):
    """What the process tells its caller."""

    OK = 0
    NOTHING_DONE = 1
    USAGE = 2
    SOME_FAILED = 3
    STOPPED = 4


class ErrorCode(StrEnum):
    """The closed vocabulary of `error.code` in JSON records and of the words in brackets on stderr."""

    USAGE = "E_USAGE"
    NOT_FOUND = "E_NOT_FOUND"
    PERMISSION = "E_PERMISSION"
    IO = "E_IO"
    NO_SPACE = "E_NOSPACE"
    EXISTS = "E_EXISTS"
    DECODE = "E_DECODE"
    UNSUPPORTED = "E_UNSUPPORTED"
    TOO_LARGE = "E_TOO_LARGE"
    TIMEOUT = "E_TIMEOUT"
    CRASH = "E_CRASH"
    RANGE = "E_RANGE"
    MODEL = "E_MODEL"
    CHECKSUM = "E_CHECKSUM"
    DEVICE = "E_DEVICE"
    OUT_OF_MEMORY = "E_OOM"
    DATA = "E_DATA"
    AMBIGUOUS = "E_AMBIGUOUS"
    INTERNAL = "E_INTERNAL"

    @property
    def meaning(self) -> str:
        """What it says of an input, an output or a run, in a few words."""
        return _EXPLAINED[self][0]

    @property
    def hint(self) -> str:
        """What to do about it, where nothing more exact is known."""
        return _EXPLAINED[self][1]


_EXPLAINED = {
    ErrorCode.USAGE: ("the request makes no sense", "See what there is with --help."),
    ErrorCode.NOT_FOUND: ("there is no such file, folder or model", "Check the name, and the folder you are in."),
    ErrorCode.PERMISSION: ("the operating system forbids it", "Check whose it is, and its modes."),
    ErrorCode.IO: ("reading or writing failed", "Check the disk or the connection, and run the same command again."),
    ErrorCode.NO_SPACE: (
        "the disk or the quota is full, or the file too long",
        "Make room, and run the same command again.",
    ),
    ErrorCode.EXISTS: ("something else is where the result should go", "Choose what happens then with --existing."),
    ErrorCode.DECODE: ("the file is empty, cut short or damaged", "Fetch or save the file again."),
    ErrorCode.UNSUPPORTED: (
        "the file is nothing that can be read here",
        "Convert it first: a picture to PNG or JPEG, depth to TIFF or npz.",
    ),
    ErrorCode.TOO_LARGE: ("it is larger than is allowed", "Make it smaller, or allow more with --max-pixels."),
    ErrorCode.TIMEOUT: ("reading it took too long", "Allow more with --timeout, or save the file again."),
    ErrorCode.CRASH: ("the decoder of the file crashed", "Save the file again with another program."),
    ErrorCode.RANGE: ("the numbers do not fit into the format", "Choose another --depth-scale or --format."),
    ErrorCode.MODEL: ("the model is missing, damaged or unknown", "Look at it with glpn inspect MODEL."),
    ErrorCode.CHECKSUM: ("a model's file is not what it should be", "Download the model again."),
    ErrorCode.DEVICE: ("the device cannot be used, or was lost", "Look at the devices with glpn doctor."),
    ErrorCode.OUT_OF_MEMORY: ("there is not enough memory for it", "Try a smaller --input-size, or fewer --workers."),
    ErrorCode.DATA: ("data do not fit together", "Check that they belong together."),
    ErrorCode.AMBIGUOUS: ("the file may be depth or a picture", "Say which: --as depth, or --as picture."),
    ErrorCode.INTERNAL: ("this is a bug in glpn", "Run it again with --debug, and report what it says."),
}


class GlpnError(Exception):
    """Root of the tree.

    message: what was wrong, with the value, in one sentence.
    hint:    what to do about it, in whole sentences or as `Run: COMMAND`; by default what its code advises.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.NOTHING_DONE
    default_code: ClassVar[ErrorCode] = ErrorCode.INTERNAL

    def __init__(self, message: str, *, hint: str | None = None, code: ErrorCode | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.hint = hint or self.code.hint


class UsageError(GlpnError, ValueError):
    """The request makes no sense, and nothing was started."""

    exit_code = ExitCode.USAGE
    default_code = ErrorCode.USAGE


class InputError(GlpnError):
    """One input cannot be used; the rest of the batch goes on."""

    exit_code = ExitCode.SOME_FAILED
    default_code = ErrorCode.DECODE


class OutputError(GlpnError):
    """One result cannot be written where it should go; the rest of the batch goes on."""

    exit_code = ExitCode.SOME_FAILED
    default_code = ErrorCode.IO


class ModelError(GlpnError, ValueError):
    """A model is missing, damaged, or not what it says it is."""

    exit_code = ExitCode.NOTHING_DONE
    default_code = ErrorCode.MODEL


class StoppedError(GlpnError):
    """Something that is no input broke: a full disk, a lost device. What is done stays done; run again."""

    exit_code = ExitCode.STOPPED
    default_code = ErrorCode.IO


_CODES_OF_ERRNO = {
    errno.ENOENT: ErrorCode.NOT_FOUND,
    errno.EACCES: ErrorCode.PERMISSION,
    errno.EPERM: ErrorCode.PERMISSION,
    errno.EROFS: ErrorCode.PERMISSION,
    errno.ENOSPC: ErrorCode.NO_SPACE,
    errno.EDQUOT: ErrorCode.NO_SPACE,
    errno.EFBIG: ErrorCode.NO_SPACE,
}


def code_of(error: OSError) -> ErrorCode:
    """The error code that says what the operating system said."""
    return _CODES_OF_ERRNO.get(error.errno or 0, ErrorCode.IO)


def reason_of(error: OSError) -> str:
    """The operating system's own words for `error`, without the path and the number."""
    return (error.strerror or str(error)).lower()


# How the dynamic linker and C libraries say that there is no memory for a shared library.
_NO_ROOM_FOR_LIBRARY = ("failed to map segment", "cannot allocate")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether there was no memory: for data, or for a library that should have been loaded."""
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    if isinstance(error, ImportError | OSError):
        return any(words in str(error).lower() for words in _NO_ROOM_FOR_LIBRARY)
    return isinstance(error, MemoryError)


def wrap_exception(error: BaseException, kind: type[GlpnError] = InputError) -> GlpnError:
    """Any exception as an error of ours, of class `kind`, which names its cause; ours are returned as they are."""
    if isinstance(error, GlpnError):
        return error
    if is_out_of_memory(error):
        known = kind("there is not enough memory for it", code=ErrorCode.OUT_OF_MEMORY)
    elif isinstance(error, OSError):
        known = kind(reason_of(error), code=code_of(error))
    else:
        said = f"{type(error).__name__}: {error}".rstrip(": ")
        known = kind(f"this is a bug in glpn: {said}", code=ErrorCode.INTERNAL)
    known.__cause__ = error
    return known


@contextmanager
def about_file(path: Path) -> Iterator[None]:
    """Turn exceptions about one foreign file into InputErrors that name it; our errors of other kinds pass."""
    try:
        yield
    except Exception as error:
        known = wrap_exception(error)
        if not isinstance(known, InputError):
            raise
        raise InputError(f"{path}: {known.message}", hint=known.hint, code=known.code) from error


@contextmanager
def about_model_file(path: Path) -> Iterator[None]:
    """Turn OSErrors about a file of a model into ModelErrors that name it."""
    try:
        yield
    except OSError as error:
        raise ModelError(f"cannot read {str(path)!r}: {reason_of(error)}", code=code_of(error)) from error


def interrupt_code(error: KeyboardInterrupt) -> int:
    """The exit code of an interrupted process: 128 and the number of the signal.

    Our signal handlers put the code into the exception; without it the signal is Ctrl-C's.
    """
    told = error.args[0] if error.args else None
    return told if isinstance(told, int) else 128 + signal.SIGINT


UNINTERRUPTED: set[CodeType] = set()
"""The functions that a signal does not interrupt."""


def uninterrupted(function: _Function) -> _Function:
    """Let a function finish, for half a second at most, when a signal comes to the program: it reports finished work.

    Between the end of that work and its report, an interrupt would leave a file on the disk that nobody counts.
    """
    UNINTERRUPTED.add(function.__code__)
    return function
