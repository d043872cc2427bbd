"""The catalogue of faults has 72 cases, and each has its test here, by number."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CASES = range(1, 73)
CHAPTERS = {
    "decoding": range(1, 31),
    "paths": range(31, 53),
    "process": range(53, 65),
    "models": range(65, 73),
}


def numbers_of(chapter: str) -> set[int]:
    """The cases that have a test whose name says more than the number."""
    text = Path(__file__).with_name(f"test_faults_{chapter}.py").read_text("utf-8")
    return {
        int(number) for number in re.findall(r"^def test_case_(\d\d)_[a-z0-9]+(?:_[a-z0-9]+){3,}\(", text, re.MULTILINE)
    }


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_case_of_a_chapter_has_a_test_and_no_other_case_is_there(chapter: str) -> None:
    found = numbers_of(chapter)
    assert not sorted(set(CHAPTERS[chapter]) - found), "cases without a test"
    assert not sorted(found - set(CHAPTERS[chapter])), "cases of another chapter"


def test_the_chapters_hold_every_case_once() -> None:
    assert sorted(number for cases in CHAPTERS.values() for number in cases) == list(CASES)
