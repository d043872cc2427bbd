"""The disk fails at the 1st, the 2nd, ... the last operation of every command that writes: nothing is lost or half."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from faulty_disk import OPERATIONS, FaultyDisk
from journeys import JOURNEYS, OUT, Proof, make_workplace, run


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, untouched_pictures: Path) -> Iterator[Path]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield make_workplace(tmp_path_factory.mktemp("injection"), untouched_pictures)
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _there(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)


def fail_once(proof: Proof, operation: str, call: int, number: int, *, lasting: bool = False) -> bool:
    """One run with one fault, and all that must hold after it; says whether the fault was reached."""
    proof.begin()
    disk = FaultyDisk(OUT, operation, call=call, number=number, lasting=lasting)
    with disk.in_place():
        result = run(proof.journey.words)
    if not disk.has_failed:
        assert result.exit_code == 0, result.output
        return False
    proof.check(result, os.strerror(number).lower())
    proof.check_going_on()
    return True


def count_operations(proof: Proof) -> Counter[str]:
    proof.begin()
    disk = FaultyDisk(OUT, "write")
    with disk.in_place():
        assert run(proof.journey.words).exit_code == 0
    return disk.counts


@pytest.mark.parametrize("name", ["predict again", "convert", "train"])
def test_a_disk_that_fails_at_the_last_moment_costs_nothing_that_was_there(
    name: str,
) -> None:
    proof = Proof.of(JOURNEYS[name])
    counts = count_operations(proof)
    for operation in ("write", "close", "fsync", "rename"):
        assert fail_once(proof, operation, counts[operation], errno.ENOSPC)


@pytest.mark.soak
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO], ids=["ENOSPC", "EIO"])
@pytest.mark.parametrize("name", JOURNEYS)
def test_a_disk_that_fails_at_any_moment_costs_nothing_that_was_there(name: str, number: int, lasting: bool) -> None:
    proof = Proof.of(JOURNEYS[name])
    faults = {}
    for operation in OPERATIONS:
        call = 1
        while fail_once(proof, operation, call, number, lasting=lasting):
            call += 1
        faults[operation] = call - 1
    print(f"{name}: {sum(faults.values())} faults, {faults}")  # noqa: T201 - pytest -rP shows it
    assert faults["write"] >= len(proof.new) - 1
    assert faults["fsync"] >= len(proof.new) - 1
