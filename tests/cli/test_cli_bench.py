"""`glpn bench`: what it measures, what it prints, and when it fails."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from glpn_cli.benchmark import machine
from glpn_cli.cli import app

STAGES = ["import", "load", "decode", "preprocess", "network", "postprocess", "encode"]


@pytest.fixture(autouse=True)
def _small_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_SIDE", {"cpu": 64})


@pytest.fixture(autouse=True)
def _own_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def bench(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["bench", "--rounds", "1", "--threads", "1", *map(str, arguments)])


def test_a_model_is_measured_stage_by_stage_and_beside_transformers(tiny_model: Path, tiny_pictures: Path) -> None:
    result = bench(
        tiny_pictures / "a.jpg", "-m", tiny_model, "--precision", "fp32", "--against", "transformers", "--json"
    )
    assert result.exit_code == 0, result.output
    (record,) = map(json.loads, result.stdout.splitlines())
    assert list(record["stages"]) == STAGES
    assert all(stage["low_s"] <= stage["median_s"] <= stage["high_s"] for stage in record["stages"].values())
    assert (record["network_width"], record["network_height"]) == (64, 32)
    assert record["precision"] == "fp32"
    expected = record["gflop"] / record["stages"]["network"]["median_s"]
    assert record["gflop_s"] == pytest.approx(expected)
    assert record["share"] == pytest.approx(record["gflop_s"] / record["machine_gflop_s"]["fp32"])
    assert [whole["pictures"] for whole in record["whole"]] == [1]
    assert record["whole"][0]["peak_bytes"] > 50e6
    theirs = record["transformers"]
    assert theirs["agrees"] is True
    assert theirs["largest_difference"] <= 1e-5
    assert theirs["whole"][0]["ratio"] == pytest.approx(theirs["whole"][0]["median_s"] / record["whole"][0]["median_s"])


def test_people_get_a_table_for_every_model(tiny_model: Path, tmp_path: Path, tiny_pictures: Path) -> None:
    other = shutil.copytree(tiny_model, tmp_path / "other")
    result = bench(tiny_pictures / "a.jpg", tiny_pictures / "b.png", "-m", tiny_model, "-m", other)
    assert result.exit_code == 0, result.output
    for stage in STAGES:
        assert result.stdout.count(f"\n{stage} ") == 2
    assert result.stdout.count("whole process, 2 pictures") == 2
    assert "of the machine's matrix product" in result.stdout


def test_a_size_that_nobody_published_is_refused(tmp_path: Path) -> None:
    result = bench("--config", "b9")
    assert result.exit_code == 2
    assert "b9" in result.output
