"""Facts in columns, for people: labels at the left, words at the right, wrapped to the terminal."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Sequence

from glpn_cli.text import shown


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


def format_count(count: float) -> str:
    """A large number for people: 3.66M, 78.3G."""
    for factor, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= factor:
            return f"{count / factor:.3g}{letter}"
    return f"{count:.0f}"
