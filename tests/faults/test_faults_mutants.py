"""Pictures and depth files broken by chance, the same on every machine: no crash, no hang, no warning, no bug."""

from __future__ import annotations

from collections import Counter

import mutants
import pytest

from glpn_cli.errors import ErrorCode, InputError
from glpn_cli.process_pool import Workers

PLAIN = {"ok", *(code.value for code in ErrorCode)} - {code.value for code in (ErrorCode.INTERNAL, ErrorCode.CRASH)}


def read_mutants(numbers: range) -> Counter[str]:
    """What comes of each, in a process of its own: an end of it or ten seconds without an answer fail the test."""
    outcomes: Counter[str] = Counter()
    troubles = []
    modules = ("mutants", "PIL.AvifImagePlugin", "glpn_cli.images")
    with Workers(1, timeout_s=10, memory_bytes=2 << 30, modules=modules) as workers:
        for number in numbers:
            try:
                outcome = workers.run(mutants.read_mutant, number, about=mutants.NAMES[number % len(mutants.NAMES)])
            except InputError as error:
                outcome = error.message
            except Exception as error:  # noqa: BLE001 - every other error is told with its number
                outcome = f"{mutants.NAMES[number % len(mutants.NAMES)]}: {error!r}"
            outcomes[outcome] += 1
            if outcome not in PLAIN:
                troubles.append((number, outcome))
    assert troubles == []
    return outcomes


def test_every_file_that_is_broken_was_whole_before() -> None:
    whole = [name for name in mutants.NAMES if mutants.encoded(name)]
    assert len(whole) >= len(mutants.NAMES) - 2  # HEIF and JXL are extras
    for name in whole:
        if name in mutants.PICTURES:
            mutants.read_picture(mutants.encoded(name), 1)


def test_a_thousand_mutants_are_told_or_read() -> None:
    outcomes = read_mutants(range(1000))
    assert outcomes["ok"] > 100
    assert outcomes[ErrorCode.DECODE.value] > 100


@pytest.mark.soak
@pytest.mark.parametrize("part", range(20))
def test_a_hundred_thousand_mutants_are_told_or_read(part: int) -> None:
    read_mutants(range(1000 + 5000 * part, 6000 + 5000 * part))
