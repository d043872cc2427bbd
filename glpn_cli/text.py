"""Text for programs and for people: values of JSON records, names in messages, escaping for terminals.

And JSON that somebody else wrote: one object, of bounded size, that means the same to every reader. The standard
library's reader takes NaN and Infinity, keeps the last of two equal keys, overflows its stack on deep nesting, and
stops at long numbers with a message about Python. Here each of these is an error that says so.
"""

from __future__ import annotations

import base64
import errno
import json
import math
import os
import re
import stat
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

from glpn_cli.errors import GlpnError, ModelError, about_model_file

SCHEMA = 1
"""Version of the JSON records; a change that could break a reader of them raises it."""

_MAX_CONFIG_BYTES = 1_000_000
"""No config.json of a model comes near a megabyte."""

_NO_UTF_8 = re.compile("[\ud800-\udfff]")
"""Bytes of names, as Python keeps them in text."""

_MAX_DIGITS = 19  # a signed 64-bit integer


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


def json_line(record: Mapping[str, Any], *, ensure_ascii: bool = False) -> bytes:
    """One JSON value on one line; what is no UTF-8 in its words is shown escaped."""
    text = json.dumps(record, ensure_ascii=ensure_ascii, allow_nan=False) + "\n"
    return _NO_UTF_8.sub(lambda found: f"\\\\x{ord(found[0]) & 0xFF:02x}", text).encode()


def shown(text: str | PathLike[str]) -> str:
    """`text` on one line and harmless to a terminal: control characters, and bytes that are no text, are escaped."""
    given = os.fspath(text)
    if given.isascii() and given.isprintable():
        return given
    return "".join(map(_escape, given))


def quoted(text: str, *, longest: int = 200) -> str:
    """`text` from a stranger, as a message quotes it: in quotes, ASCII, cut after `longest` characters."""
    return ascii(text if len(text) <= longest else text[:longest] + "...")


def size_text(size: Sequence[int]) -> str:
    """(H, W), and whatever follows, as people write it: WIDTHxHEIGHT."""
    return f"{size[1]}x{size[0]}"


def clock(seconds: float) -> str:
    """A length of time for people: 2:05, 1:02:05; parts of a second are left out."""
    whole = int(seconds)
    hours = f"{whole // 3600}:{whole // 60 % 60:02}" if whole >= 3600 else f"{whole // 60}"
    return f"{hours}:{whole % 60:02}"


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


class _TroubleError(ValueError):
    """Valid JSON that makes no sense in a config."""


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading; a pipe, which could block for ever, is not opened. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise OSError(errno.EINVAL, "it is a pipe, a device or a folder, not a file")


def read_json_object(path: Path, *, max_bytes: int = _MAX_CONFIG_BYTES) -> dict[str, Any]:
    """The JSON object in a file.

    Raises ModelError naming the file and the trouble: missing, unreadable, too large, or anything that
    `parse_json_object` refuses.
    """
    with about_model_file(path), open_regular(path) as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise ModelError(f"{str(path)!r} is larger than {max_bytes:,} bytes: not a config")
    return parse_json_object(data, where=repr(str(path)))


def parse_json_object(data: bytes, *, where: str) -> dict[str, Any]:
    """The JSON object in `data`; `where` names it in messages.

    Raises ModelError on text that is not UTF-8 or starts with a byte order mark, not JSON, no object, nested too deep,
    or has equal keys, numbers of more than 19 digits, NaN or Infinity.
    """
    if not data.strip():
        raise ModelError(f"{where} is empty")
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise ModelError(f"{where} starts with a byte order mark", hint="Save it as UTF-8 without a byte order mark.")
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_int=_bounded_int,
            parse_float=_finite_float,
            parse_constant=_no_constant,
        )
    except RecursionError as error:
        raise ModelError(f"{where} is nested too deep") from error
    except UnicodeDecodeError as error:
        raise ModelError(f"{where} is not UTF-8 text (byte {error.start})") from error
    except _TroubleError as error:
        raise ModelError(f"{where} {error}") from error
    except json.JSONDecodeError as error:
        raise ModelError(f"{where} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    if not isinstance(value, dict):
        raise ModelError(f"{where} holds {_kind_of(value)}, not an object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _TroubleError(f"has the key {quoted(twice, longest=60)} twice")
    return found


def _bounded_int(text: str) -> int:
    if len(text.lstrip("-")) > _MAX_DIGITS:
        raise _TroubleError(f"has a number of {len(text.lstrip('-')):,} digits")
    return int(text)


def _finite_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _TroubleError(f"has the number {quoted(text, longest=60)}, which is beyond double precision")
    return value


def _no_constant(text: str) -> Any:
    raise _TroubleError(f"has the number {text}")


def _kind_of(value: object) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return "a list" if isinstance(value, list) else "a string" if isinstance(value, str) else "a number"
