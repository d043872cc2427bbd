"""Lists of pairs as CSV files: a line a pair, with the paths of its halves, relative to the file."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from glpn_cli.errors import ErrorCode, UsageError, reason_of


@dataclass(frozen=True)
class Row:
    """A line of a list.

    where: which one, for messages.
    """

    where: str
    values: Mapping[str, str]

    def get(self, column: str) -> str:
        """What it has there; nothing where the file has no such column."""
        return self.values.get(column, "")


def read_rows(path: Path, *, needed: Sequence[str], paths: Sequence[str], hint: str, may_be_empty: bool) -> list[Row]:
    """All lines of a list below its heading.

    needed: columns that it must have; the hint says what they are
    paths:  those of them that are nowhere empty

    Raises UsageError where it is no such file, naming the line.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            named = next(reader, [])
            columns = _strip(named)
            if missing := [column for column in needed if column not in columns]:
                raise UsageError(f"{path} has no column {', '.join(missing)}", hint=hint, code=ErrorCode.DATA)
            is_spaced = columns != named  # "a, b": then its lines are written so too, and no name begins with a space
            lines = ((reader.line_num, _strip(words) if is_spaced else words) for words in reader if words)
            rows = [Row(f"{path} line {number}", dict(zip(columns, words, strict=False))) for number, words in lines]
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {reason_of(error)}", code=ErrorCode.NOT_FOUND) from error
    except (UnicodeDecodeError, csv.Error) as error:
        hint = "Save it as text in UTF-8, with commas between the columns."
        raise UsageError(f"{path} is no CSV file: {error}", hint=hint, code=ErrorCode.DATA) from error
    for row in rows:
        if not all(map(row.get, paths)):
            hint = f"Every line must name both files: {','.join(paths)}."
            raise UsageError(f"{row.where}: a path is empty", hint=hint, code=ErrorCode.DATA)
    if not rows and not may_be_empty:
        hint = f"Add a line for each pair below the first: {','.join(paths)}."
        raise UsageError(f"{path} lists no pairs", hint=hint, code=ErrorCode.DATA)
    return rows


def _strip(words: Sequence[str]) -> list[str]:
    return [word.strip() for word in words]


def has_column(path: Path, column: str) -> bool:
    """Whether a file is a list with a column; False for whatever cannot be read."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return column in _strip(next(csv.reader(file), []))
    except (OSError, ValueError, csv.Error):
        return False
