"""What every JSON record of the program is made of: the schema's number, errors, paths that may be no text."""

from __future__ import annotations

import base64
import os

from glpn_cli.errors import GlpnError

SCHEMA = 1
"""A change that a reader of records could stumble over raises it."""


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
    """Words for people: what is no UTF-8 in them is shown escaped."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
