"""Output: results on stdout, messages and progress on stderr, and nothing that could hurt a terminal.

Results (written paths, JSON lines, tables) are the only thing on stdout. Paths keep their bytes, whatever they are;
on a terminal, and in all messages, control characters are shown escaped, so that a file name cannot repaint the screen.
Nothing here wraps, colours by pattern or reads markup: a file may be called `[/].jpg`.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, TextIO

from glpn_cli.errors import ErrorCode, GlpnError, reason_of
from glpn_cli.text import clock, json_line, shown

if TYPE_CHECKING:
    from os import PathLike

_REDRAW_S = 0.1
_STATUS_S = 60.0
_RED, _YELLOW, _DIM, _PLAIN = "\033[31m", "\033[33m", "\033[2m", "\033[0m"


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person is looking at `stream`."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False


class Console:
    """Prints results and messages: one for the process, quiet or verbose by the options that every command has."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the options of an earlier command line."""
        self.quiet = False
        self.verbose = False
        self.debug = False
        self.writes_bytes = False  # stdout carries a file: a reader who leaves early misses something
        self._advised: set[str] = set()  # hints that were given: advice for a thousand files is given once
        self._line = ""  # the progress line that stands on the terminal now

    # Results, on stdout

    def result(self, line: str | PathLike[str]) -> None:
        """Print one result, usually a written path, on a line of its own."""
        text = os.fspath(line)
        text = shown(text) if is_terminal(sys.stdout) else text
        self._put(os.fsencode(text) + b"\n")

    def text(self, text: str) -> None:
        """Print a finished table or page; its lines are the caller's, so escape the names in it with `shown`."""
        self._put(os.fsencode(text.rstrip("\n") + "\n"))

    def json(self, record: Mapping[str, Any]) -> None:
        """Print one JSON value on one line, and flush it; on a terminal in ASCII, which moves no cursor."""
        self._put(json_line(record, ensure_ascii=is_terminal(sys.stdout)))

    def abandon_stdout(self) -> None:
        """Send what is still buffered nowhere, so that it does not hit a closed pipe again at the end."""
        if sys.stdout is None:
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, sys.stdout.fileno())
        except (OSError, ValueError):
            pass
        finally:
            os.close(nowhere)

    def _put(self, data: bytes) -> None:
        if sys.stdout is None:
            return
        self._clear_line()
        try:
            buffer = getattr(sys.stdout, "buffer", None)
            if buffer is None:
                sys.stdout.write(data.decode("utf-8", "backslashreplace"))
            else:
                buffer.write(data)
            sys.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise GlpnError(f"cannot write to standard output: {reason_of(error)}", code=ErrorCode.IO) from error
        self._draw_line()

    # Messages, on stderr

    def note(self, text: str) -> None:
        """Print a message; not with --quiet."""
        if not self.quiet:
            self._say(text)

    def detail(self, text: str) -> None:
        """Print a message with --verbose only."""
        if self.verbose:
            self._say(text, style=_DIM)

    def warn(self, text: str, *, hint: str | None = None) -> None:
        """Print a warning and its hint; not with --quiet."""
        if not self.quiet:
            self._say(text, label="warning", style=_YELLOW, hint=hint)

    def error(self, error: GlpnError, *, about: str | None = None) -> None:
        """Print an error in one line and its hint in a second one, unless that hint was printed before."""
        if self.debug:
            self.traceback(error)
        message = error.message if about is None or about in error.message else f"{about}: {error.message}"
        self._say(f"{message} [{error.code}]", label="error", style=_RED, hint=error.hint)

    def page(self, text: str) -> None:
        """Print a help page to stderr, as an answer to a command line that asked for nothing."""
        if sys.stderr is not None:
            sys.stderr.write(text.rstrip("\n") + "\n")

    def traceback(self, error: BaseException) -> None:
        """Print where an error came from."""
        if sys.stderr is not None:
            self._clear_line()
            traceback.print_exception(error, file=sys.stderr)

    def progress(self, line: str) -> None:
        """Redraw the one line that says how far we are; '' takes it away. A no-op where nobody watches."""
        if not self.draws_progress:
            return
        self._clear_line()
        self._line = line
        self._draw_line()

    @property
    def draws_progress(self) -> bool:
        """Whether a line that redraws itself is welcome: on a terminal that can, and not with --quiet."""
        return not self.quiet and is_terminal(sys.stderr) and os.environ.get("TERM", "") not in ("dumb", "")

    @property
    def colors(self) -> bool:
        """Whether stderr takes colour."""
        return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and is_terminal(sys.stderr)

    def _say(self, text: str, *, label: str = "", style: str = "", hint: str | None = None) -> None:
        if sys.stderr is None:
            return
        paint, plain = (style, _PLAIN) if style and self.colors else ("", "")
        line = f"{paint}{label}:{plain} {shown(text)}" if label else f"{paint}{shown(text)}{plain}"
        lines = [line]
        if hint and hint not in self._advised:
            self._advised.add(hint)
            lines.append(f"  hint: {shown(hint)}")
        self._clear_line()
        try:
            sys.stderr.write("\n".join(lines) + "\n")
            sys.stderr.flush()
        except (OSError, ValueError):
            return  # nobody listens; the exit code still tells
        self._draw_line()

    def _clear_line(self) -> None:
        self._draw("\r\033[K")

    def _draw_line(self) -> None:
        self._draw(self._line)

    def _draw(self, text: str) -> None:
        if not self._line:
            return
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except (OSError, ValueError):
            self._line = ""


console = Console()


class ProgressLine:
    """A line that says how far a run is: redrawn a few times a second; told once a minute where nobody watches."""

    def __init__(self) -> None:
        self._started = self._drawn = self._told = time.monotonic()

    def line(self) -> str:
        """How far it is now, in the width of the terminal."""
        raise NotImplementedError

    def show(self, *, at_once: bool = False) -> None:
        """Draw the line where it is time to, or at once: the first one, and the last."""
        now = time.monotonic()
        if at_once or now - self._drawn >= _REDRAW_S:
            self._drawn = now
            console.progress(self.line())
        if now - self._told >= _STATUS_S and not console.draws_progress:
            self._told = now
            console.detail(self.line().strip())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the line away."""
        console.progress("")


class Progress(ProgressLine):
    """Counts inputs as they finish; says so where somebody watches.

    total: how many there are; None where nobody knows
    """

    def __init__(self, total: int | None) -> None:
        super().__init__()
        self._total = total
        self._done = 0
        self._computed = 0
        self._name = ""
        console.progress(self.line())

    def advance(self, name: str, *, computed: bool) -> None:
        """One more is finished; `computed` ones tell how long the rest will take, skipped ones do not."""
        self._name = name
        self._done += 1
        self._computed += computed
        self.show(at_once=self._done == self._total)

    def line(self) -> str:
        """Inputs done, of how many, how many a second, and the time that is left."""
        if self._total is None:
            return fit_line(f"{self._done}{self._pace()}", self._name)
        facts = f"{self._done}/{self._total}{self._pace()}"
        return fit_line(facts, self._name, share=self._done / max(self._total, 1))

    def _pace(self) -> str:
        elapsed = time.monotonic() - self._started
        if self._computed < 2 or elapsed < 1:
            return ""
        rate = self._computed / elapsed
        if self._total is None:
            return f"  {rate:.1f}/s"
        return f"  {rate:.1f}/s  {clock((self._total - self._done) / rate)} left"


def fit_line(facts: str, name: str, *, share: float | None = None) -> str:
    """Facts, behind a bar where a share is known, and as much of a name as the terminal has room for."""
    width = shutil.get_terminal_size((80, 24)).columns - 1
    line = facts if share is None else f"{_draw_bar(share, max(0, min(24, width - len(facts) - 3)))} {facts}"
    room = width - len(line) - 2
    return line[:width] if room < 8 else f"{line}  {shown(name)[-room:]}"


def _draw_bar(share: float, width: int) -> str:
    """A bar of `width` characters, in plain ASCII where the terminal has nothing else."""
    encoding = (getattr(sys.stderr, "encoding", None) or "ascii").lower().replace("-", "")
    full, empty = ("━", "─") if encoding.startswith("utf") else ("#", "-")
    filled = round(share * width)
    return full * filled + empty * (width - filled)


# Facts in columns, for people: labels at the left, words at the right, wrapped to the terminal


def make_facts(facts: Iterable[tuple[str, str | None]], *, title: str = "") -> str:
    """`label  words` lines under a title; a fact that is None is left out. Everything is shown escaped."""
    known = [(label, shown(words)) for label, words in facts if words is not None]
    column = max((len(label) for label, _ in known), default=0) + 2
    lines = [shown(title)] if title else []
    for label, words in known:
        wrapped = _wrap(words, _width() - column - 2) or [""]
        lines.append(f"  {label:<{column}}{wrapped[0]}")
        lines += [" " * (column + 2) + line for line in wrapped[1:]]
    return "\n".join(lines)


def make_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table as plain text: every column as wide as its widest entry, the last one unbounded."""
    lines = [list(headings), *([shown(entry) for entry in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    return "\n".join(
        "  ".join(f"{entry:<{width}}" for entry, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def wrap_line(text: str) -> str:
    """One line, as several where it is wider than the terminal; those that follow are indented. Shown escaped."""
    return "\n  ".join(_wrap(shown(text), _width() - 2))


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_on_hyphens=False, break_long_words=False)


def _width() -> int:
    """Columns of the terminal, from 40 to 100; 80 where there is none."""
    return max(40, min(100, shutil.get_terminal_size((80, 24)).columns))
