"""Reads lists of files: CSV with commas, semicolons or tabs (the first line decides), and plain lines."""

from __future__ import annotations

import codecs
import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from glpn_cli.errors import ErrorCode, UsageError, reason_of


@dataclass(frozen=True)
class Row:
    """One line of a list, by column.

    where: file and line number, for messages.
    """

    where: str
    values: Mapping[str, str]

    def get(self, column: str) -> str:
        """The text in a column; empty if the file has no such column."""
        return self.values.get(column, "")

    def number(self, column: str) -> float:
        """The number in a column; nan if it is none."""
        try:
            return float(self.get(column))
        except ValueError:
            return math.nan

    def positive(self, column: str, *, hint: str) -> float:
        """The number in a column. Raises UsageError unless it is positive and finite."""
        value = self.number(column)
        if not 0 < value < math.inf:
            message = f"{self.where}: {column} {self.get(column)!r} is no positive number"
            raise UsageError(message, hint=hint, code=ErrorCode.DATA)
        return value


def read_rows(path: Path, *, needed: Sequence[str], paths: Sequence[str], hint: str, may_be_empty: bool) -> list[Row]:
    """Read all lines of a CSV file below its heading.

    needed: columns that it must have; `hint` names them
    paths:  columns that no line may leave empty

    Raises UsageError for any other file, naming the line.
    """
    try:
        text = read_list_text(path)
        rows = _parse(path, text, needed=needed, hint=hint)
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


def read_list_text(path: Path) -> str:
    """Read text in UTF-8, or in UTF-16 with its byte order mark, as spreadsheets save it.

    Raises UsageError if it cannot be read, UnicodeDecodeError if it is no text.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {reason_of(error)}", code=ErrorCode.NOT_FOUND) from error
    return data.decode("utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig")


def _parse(path: Path, text: str, *, needed: Sequence[str], hint: str) -> list[Row]:
    """Split the lines below the heading. A quoted one may span several lines; its number is that of the first."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter_of(text))
    named = next(reader, [])
    columns = _strip(named)
    if missing := [column for column in needed if column not in columns]:
        raise UsageError(f"{path} has no column {', '.join(missing)}", hint=hint, code=ErrorCode.DATA)
    is_spaced = columns != named  # "a, b": then its lines are written so too, and no name begins with a space
    rows: list[Row] = []
    number = reader.line_num + 1
    for words in reader:
        if words:
            values = dict(zip(columns, _strip(words) if is_spaced else words, strict=False))
            rows.append(Row(f"{path} line {number}", values))
        number = reader.line_num + 1
    return rows


def _delimiter_of(text: str) -> str:
    """The column separator: the one of `,`, `;` and tab that the first line has most of."""
    heading = text.partition("\n")[0]
    return max(",;\t", key=heading.count)


def _strip(words: Sequence[str]) -> list[str]:
    return [word.strip() for word in words]


def has_column(path: Path, column: str) -> bool:
    """Whether a file is a CSV file with a column; False if it cannot be read."""
    try:
        text = read_list_text(path)
        return column in _strip(next(csv.reader(io.StringIO(text), delimiter=_delimiter_of(text)), []))
    except (UsageError, ValueError, csv.Error):
        return False
