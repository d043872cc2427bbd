"""Text for programs and for people: values of JSON records, names in messages, escaping for terminals."""

from __future__ import annotations

import base64
import os
import unicodedata
from collections.abc import Iterable
from os import PathLike

from glpn_cli.errors import GlpnError

SCHEMA = 1
"""Version of the JSON records; a change that could break a reader of them raises it."""


def error_fields(error: GlpnError) -> dict[str, str]:
    """An error as JSON records carry it."""
    return {"code": error.code.value, "message": words_text(error.message), "hint": words_text(error.hint)}


def path_text(path: str) -> str | dict[str, str]:
    """A path as JSON can hold it without loss: itself, or its bytes where it is no UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return {"bytes": base64.b64encode(os.fsencode(path)).decode("ascii")}
    return path


def words_text(text: str) -> str:
    """Words for people, in JSON: what is no UTF-8 in them is shown escaped."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def shown(text: str | PathLike[str]) -> str:
    """`text` on one line and harmless to a terminal: control characters, and bytes that are no text, are escaped."""
    given = os.fspath(text)
    if given.isascii() and given.isprintable():
        return given
    return "".join(map(_escape, given))


def quoted(text: str, *, longest: int = 200) -> str:
    """`text` from a stranger, as a message quotes it: in quotes, ASCII, cut after `longest` characters."""
    return ascii(text if len(text) <= longest else text[:longest] + "...")


def first_of(names: Iterable[str], *, most: int = 3) -> str:
    """The first names of many and how many more there are: "a, b, c and 697 more"; "nothing" where there are none."""
    listed = list(names)
    more = f" and {len(listed) - most:,} more" if len(listed) > most else ""
    return (", ".join(listed[:most]) or "nothing") + more


def _escape(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte that is no UTF-8, as the operating system's names may have
        return f"\\x{ord(character) - 0xDC00:02x}"
    # Cc control, Cf direction marks and the like, Cs surrogates, Zl and Zp line ends.
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return character.encode("unicode_escape").decode("ascii")
    return character
