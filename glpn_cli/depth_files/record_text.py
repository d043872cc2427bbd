"""How a record is spelled: a flat table of printable ASCII that any format can carry.

Some formats hold nothing else. What is not printable ASCII, and `%` itself, is written as the percent-escaped bytes of
its UTF-8 form, so a name that is no UTF-8 at all comes back with its own bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import quote_from_bytes, unquote_to_bytes

from glpn_cli._version import __version__

PROGRAM = "glpn-cli"
SOFTWARE = f"{PROGRAM} {__version__}"
PREFIX = "glpn:"

_PRINTABLE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


def is_ours(text: Mapping[str, str]) -> bool:
    """Whether a file that carries this text was written by this program."""
    return text.get("Software", "").split(" ")[0] == PROGRAM and PREFIX + "format" in text


def text_to_json(text: Mapping[str, str]) -> bytes:
    """A record's text as one JSON object, ASCII, for formats that carry a single text."""
    return json.dumps(dict(text)).encode("ascii")


def text_from_json(raw: bytes) -> dict[str, str]:
    """A record's text from one JSON object of strings, NUL-padded or not; empty where it is anything else."""
    try:
        text = json.loads(raw.rstrip(b"\0"))
    except (ValueError, RecursionError):
        return {}
    if not isinstance(text, dict):
        return {}
    return {key: value for key, value in text.items() if isinstance(value, str)}


def escape(value: str) -> str:
    """Printable ASCII that stands for any string; never fails."""
    raw = b"".join(_bytes_of(character) for character in value)
    return quote_from_bytes(raw, safe=_PRINTABLE)


def unescape(text: str) -> str:
    """The string that `escape` was given; bytes that are no UTF-8 come back as Python names files (surrogates)."""
    return unquote_to_bytes(text).decode("utf-8", "surrogateescape")


def number_text(value: float) -> str:
    """The shortest text that reads back as the same number: 1000, 0.3, 65.535."""
    return repr(float(value)).removesuffix(".0")


def _bytes_of(character: str) -> bytes:
    try:
        return character.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half of a surrogate pair, which only a script can have put into a name
        return character.encode("utf-8", "surrogatepass")
