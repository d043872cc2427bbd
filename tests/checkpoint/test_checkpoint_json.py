"""config.json of strangers: read to the letter, or refused with the file and the trouble named."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glpn_cli.errors import ErrorCode, ModelError
from glpn_cli.text import parse_json_object, read_json_object

TROUBLES = {
    "empty": (b"", "is empty"),
    "white space": (b" \n\t", "is empty"),
    "byte order mark": (b'\xef\xbb\xbf{"a": 1}', "byte order mark"),
    "utf-16": ('{"a": 1}'.encode("utf-16"), "byte order mark"),
    "latin-1": (b'{"a": "\xe9"}', "not UTF-8 text (byte 7)"),
    "cut short": (b'{"a": [1, 2', "is not JSON"),
    "web page": (b"<!DOCTYPE html><html>", "is not JSON"),
    "a list": (b"[1, 2]", "holds a list, not an object"),
    "a word": (b'"glpn"', "holds a string, not an object"),
    "null": (b"null", "holds null, not an object"),
    "a number": (b"10", "holds a number, not an object"),
    "deep nesting": (b'{"a": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "nested too deep"),
    "long integer": (b'{"a": ' + b"9" * 5_000 + b"}", "a number of 5,000 digits"),
    "NaN": (b'{"max_depth": NaN}', "has the number NaN"),
    "Infinity": (b'{"max_depth": -Infinity}', "has the number -Infinity"),
    "overflow": (b'{"max_depth": 1e999}', "'1e999', which is beyond double precision"),
    "equal keys": (b'{"max_depth": 10, "max_depth": 80}', "has the key 'max_depth' twice"),
    "equal keys below": (b'{"glpn_cli": {"x": 1, "x": 1}}', "has the key 'x' twice"),
}


@pytest.mark.parametrize(("data", "trouble"), TROUBLES.values(), ids=TROUBLES)
def test_a_config_that_is_no_plain_object_is_refused_with_its_trouble(
    tmp_path: Path, data: bytes, trouble: str
) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(data)
    with pytest.raises(ModelError) as caught:
        read_json_object(path)
    assert trouble in caught.value.message
    assert str(path) in caught.value.message


def test_a_config_is_read_with_every_key_that_it_has(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"max_depth": 10, "torch_dtype": "float32", "größe": [1.5, -2, null, true]}')
    assert read_json_object(tmp_path / "config.json") == {
        "max_depth": 10,
        "torch_dtype": "float32",
        "größe": [1.5, -2, None, True],
    }


def test_a_config_of_more_than_a_megabyte_is_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b'{"a": "' + b"x" * 1_000_000 + b'"}')
    with pytest.raises(ModelError, match="larger than 1,000,000 bytes"):
        read_json_object(tmp_path / "config.json")


def test_a_config_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file") as caught:
        read_json_object(tmp_path / "config.json")
    assert caught.value.code == ErrorCode.NOT_FOUND


@given(st.binary(max_size=200))
def test_any_bytes_are_an_object_or_a_model_error(data: bytes) -> None:
    with suppress(ModelError):
        assert isinstance(parse_json_object(data, where="config.json"), dict)
