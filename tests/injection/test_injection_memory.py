"""Memory runs out at the 1st, the 2nd, ... any call: one picture is lost at most, or the run stops and says why."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from faulty_calls import FaultyCalls, ending_within, raising_at
from journeys import JOURNEYS, OUT, PREDICT, Journey, Proof, contents, make_workplace, run

from glpn_cli.images import source
from glpn_cli.pipeline import stages
from glpn_cli.predictor import DepthEstimator


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, untouched_pictures: Path) -> Iterator[Path]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield make_workplace(tmp_path_factory.mktemp("injection"), untouched_pictures)
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _there(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)


NPY = Journey((*PREDICT, "-f", "npy"))


@pytest.mark.parametrize("stage", ["read", "inference", "publish"])
def test_memory_that_runs_out_for_one_picture_costs_that_picture(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where: tuple[Any, str] = {
        "read": (source, "decode"),
        "inference": (DepthEstimator, "infer"),
        "publish": (stages, "write_atomically"),
    }[stage]
    proof = Proof.of(NPY)
    call = 1
    while True:
        proof.begin()
        function, calls = raising_at(call, getattr(*where), MemoryError())
        with monkeypatch.context() as broken:
            broken.setattr(*where, function)
            result = run(NPY.words)
        if calls[0] < call:
            break
        assert result.exit_code == 3
        proof.check(result, "there is not enough memory for it")
        assert len(contents(OUT)) == 3
        proof.check_going_on()
        call += 1
    assert call == 5, "four pictures, and a run without a fault"
    assert result.exit_code == 0


# A generator that is thrown away is a call too, from which Python lets nothing out.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def run_out_at(proof: Proof, call: int) -> str:
    """One run whose memory is gone at a call, and all that must hold after it; says where that was."""
    proof.begin()
    faulty = FaultyCalls(call=call, error=MemoryError())
    with ending_within(60), faulty.in_place():
        result = run(proof.journey.words)
    told = result.stderr
    if faulty.place.endswith("take_checksum"):  # a thread without memory to begin: Python shows where
        told = told[told.rindex("MemoryError") :]
    try:
        assert "Traceback" not in told
        if result.exit_code == 0:  # what it broke can be done without: a picture's metadata
            assert contents(OUT).keys() == proof.new.keys()
            proof.check_files()
        else:
            assert "memory" in told
            assert "bug in glpn" not in told
            assert result.exit_code in (1, 3, 4)
            proof.check_files()
    except AssertionError as error:
        raise AssertionError(f"at call {call}, {faulty.place}: {error}\n{result.stderr}") from error
    return faulty.place


def count_calls(proof: Proof) -> int:
    proof.begin()
    faulty = FaultyCalls()
    with faulty.in_place():
        assert run(proof.journey.words).exit_code == 0
    return faulty.calls


@pytest.mark.parametrize("name", ["predict", "export again"])
def test_memory_that_runs_out_at_some_calls_harms_nothing(name: str) -> None:
    proof = Proof.of(JOURNEYS[name])
    count = count_calls(proof)
    for call in random.Random(6).sample(range(1, count), 10):
        run_out_at(proof, call)
    proof.check_going_on()


@pytest.mark.soak
@pytest.mark.parametrize("name", ["predict", "predict again", "export", "convert again", "measure"])
def test_memory_that_runs_out_at_any_call_harms_nothing(name: str) -> None:
    proof = Proof.of(JOURNEYS[name])
    count = count_calls(proof)
    places = {run_out_at(proof, call) for call in random.Random(7).sample(range(1, count), min(count - 1, 600))}
    print(f"{name}: {count} calls; memory ran out in {len(places)} functions")  # noqa: T201 - pytest -rP shows it
    proof.check_going_on()
