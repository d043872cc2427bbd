"""Text that strangers wrote: harmless in messages, without loss in records, never endless."""

from __future__ import annotations

import json

import pytest

from glpn_cli.text import first_of, json_line, path_text, quoted, shown, words_text


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("a b.png", "a b.png"),
        ("größe 深度.png", "größe 深度.png"),
        ("\x1b[2J\n", "\\x1b[2J\\n"),
        ("\u202egnp.jpg", "\\u202egnp.jpg"),
        ("\udcff.png", "\\xff.png"),
    ],
)
def test_names_are_harmless_to_a_terminal(given: str, told: str) -> None:
    assert shown(given) == told


def test_a_path_that_is_no_text_is_kept_as_its_bytes() -> None:
    assert path_text("ü.png") == "ü.png"
    assert path_text("\udcff.png") == {"bytes": "/y5wbmc="}
    assert words_text("no '\udcff.png'") == "no '\\xff.png'"


def test_a_quote_is_ascii_and_ends() -> None:
    assert quoted("ü\n") == r"'\xfc\n'"
    assert quoted("x" * 500, longest=5) == "'xxxxx...'"


def test_of_many_names_the_first_are_told_and_how_many_more_there_are() -> None:
    assert first_of([]) == "nothing"
    assert first_of("abc") == "a, b, c"
    assert first_of(map(str, range(1700))) == "0, 1, 2 and 1,697 more"
    assert first_of("abc", most=1) == "a and 2 more"


def test_a_json_line_shows_what_is_no_utf_8_escaped_and_stays_json() -> None:
    record = {"model": "m\udcff", "n": 1, "é": "é"}
    assert json.loads(json_line(record)) == {"model": "m\\xff", "n": 1, "é": "é"}
    assert json_line(record).endswith('é"}\n'.encode())
    assert json_line(record, ensure_ascii=True).isascii()
