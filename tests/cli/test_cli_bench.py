"""`glpn bench`: what it measures, what it prints, and when it fails."""

from __future__ import annotations

import json
import runpy
import shutil
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from random_weights_depth_anything import METRIC, randomized_model
from random_weights_dpt import SMALL, randomized_estimator, randomized_segmenter
from tiny_checkpoints import TINY
from typer.testing import CliRunner, Result

from glpn_cli.benchmark import measure, stages
from glpn_cli.benchmark.stages import ModelStages
from glpn_cli.cli import app
from glpn_cli.cli.console import console

STAGES = ["import", "load", "decode", "preprocess", "network", "postprocess", "encode"]


@pytest.fixture(autouse=True)
def _small_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "_SIDES", {"cpu": (64,)})


@pytest.fixture(autouse=True)
def _own_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run what `bench` would start as processes here: each would import torch, and theirs transformers."""

    def run(_m: str, module: str, *arguments: str) -> tuple[float, int]:
        started = time.perf_counter()
        if module == "glpn_cli":
            with monkeypatch.context() as patch:
                patch.setattr(console, "quiet", False)
                done = CliRunner().invoke(app, arguments, catch_exceptions=False)
            assert done.exit_code == 0, done.stderr
        else:
            with monkeypatch.context() as patch:
                patch.setattr("sys.argv", [module, *arguments])
                runpy.run_path(module_path(module), run_name="__main__")
        return time.perf_counter() - started, 2**30

    monkeypatch.setattr(measure, "run_python", run)
    monkeypatch.setattr(measure, "import_seconds", lambda _module: time.perf_counter() / 1e6)


def module_path(name: str) -> str:
    """The file of a module that can be run."""
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return spec.origin


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
    assert record["share"] == pytest.approx(record["gflop_s"] / record["machine_gflop_s"])
    assert record["share_low"] <= record["share"] <= record["share_high"]
    assert [whole["pictures"] for whole in record["whole"]] == [1]
    assert record["whole"][0]["peak_bytes"] > 50e6
    theirs = record["transformers"]
    assert theirs["agrees"] is True
    assert (theirs["precision"], theirs["network_width"], theirs["network_height"]) == ("fp32", 64, 32)
    assert theirs["millimetres"] == pytest.approx(theirs["millimetres_of"], rel=0.02)
    assert theirs["largest_difference"] <= 1e-5
    assert theirs["whole"][0]["ratio"] == pytest.approx(theirs["whole"][0]["median_s"] / record["whole"][0]["median_s"])


@pytest.mark.usefixtures("_in_this_process")
def test_people_get_a_table_for_every_model(tiny_model: Path, tmp_path: Path, tiny_pictures: Path) -> None:
    other = shutil.copytree(tiny_model, tmp_path / "other")
    result = bench(tiny_pictures / "a.jpg", tiny_pictures / "b.png", "-m", tiny_model, "-m", other)
    assert result.exit_code == 0, result.output
    for stage in STAGES:
        assert result.stdout.count(f"\n{stage} ") == 2
    assert result.stdout.count("whole process, 2 pictures") == 2
    assert "of the machine's matrix product" in " ".join(result.stdout.split())
    assert "pictures/s" in result.stdout


def test_a_size_that_nobody_published_is_refused(tmp_path: Path) -> None:
    result = bench("--config", "b9")
    assert result.exit_code == 2
    assert "b9" in result.output


@pytest.mark.parametrize(("load", "is_told"), [(0.0, False), (1000.0, True)])
def test_a_busy_machine_is_told(
    load: float, is_told: bool, tiny_model: Path, tiny_pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.getloadavg", lambda: (load, load, load), raising=False)
    result = bench(tiny_pictures / "a.jpg", "-m", tiny_model, "--device", "nowhere")
    assert ("the machine is busy" in result.stderr) is is_told


@pytest.mark.usefixtures("_in_this_process")
def test_every_stage_shows_its_spread(tiny_model: Path, tiny_pictures: Path) -> None:
    result = bench(tiny_pictures / "a.jpg", "-m", tiny_model, "--rounds", 2, "--json")
    assert result.exit_code == 0, result.output
    stages = json.loads(result.stdout)["stages"]
    assert {stage["rounds"] for stage in stages.values()} == {2}
    assert all(stage["low_s"] < stage["high_s"] for stage in stages.values())


@pytest.mark.usefixtures("_in_this_process")
def test_random_weights_of_a_config_file_are_called_by_it(tmp_path: Path, tiny_pictures: Path) -> None:
    path = tmp_path / "own.json"
    path.write_text(json.dumps(TINY))
    result = bench(tiny_pictures / "a.jpg", "--config", path, "--config", path)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"{path} (random weights): ")
    assert result.stdout.count("random weights") == 1


@pytest.mark.usefixtures("_in_this_process")
@pytest.mark.parametrize("kind", ["depth", "labels"])
def test_a_dpt_that_transformers_wrote_is_measured_beside_it(kind: str, tmp_path: Path, tiny_pictures: Path) -> None:
    model = (randomized_segmenter if kind == "labels" else randomized_estimator)(**SMALL)
    model.save_pretrained(tmp_path / "dpt")
    arguments = (tiny_pictures / "a.jpg", "-m", tmp_path / "dpt", "--against", "transformers", "--json")
    result = bench(*arguments, "--precision", "fp32", "--input-size", "64x64")
    assert result.exit_code == 0, result.output
    theirs = json.loads(result.stdout)["transformers"]
    assert theirs["agrees"] is True
    if kind == "labels":
        assert theirs["labels"] > 1
        assert theirs["labels_apart"] <= 1e-4
    else:
        assert theirs["largest_difference"] <= 1e-4
    low = bench(*arguments, "--precision", "bf16", "--input-size", "64x64")
    assert low.exit_code == 0, low.output
    assert json.loads(low.stdout)["transformers"]["rounding"] > 0


@pytest.mark.soak
def test_a_depth_anything_that_transformers_wrote_is_measured_beside_it(tmp_path: Path, tiny_pictures: Path) -> None:
    randomized_model(**METRIC).save_pretrained(tmp_path / "da")
    result = bench(
        tiny_pictures / "a.jpg", "-m", tmp_path / "da", "--precision", "fp32", "--against", "transformers", "--json"
    )
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["transformers"]["agrees"] is True


def test_pixels_that_transformers_cannot_take_are_refused_with_the_way_out(tmp_path: Path, tiny_pictures: Path) -> None:
    randomized_estimator(**SMALL).save_pretrained(tmp_path / "dpt")
    arguments = ("-m", tmp_path / "dpt", "--input-size", "96x32")
    result = bench(tiny_pictures / "a.jpg", *arguments, "--against", "transformers")
    assert result.exit_code == 2
    assert "--input-size original" in result.stderr


@pytest.mark.usefixtures("_in_this_process")
def test_numbers_that_differ_are_told_and_fail(
    tiny_model: Path, tiny_pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    infer = ModelStages.infer
    monkeypatch.setattr(ModelStages, "infer", lambda self, pixels: 1.01 * infer(self, pixels))
    result = bench(tiny_pictures / "a.jpg", "-m", tiny_model, "--precision", "fp32", "--against", "transformers")
    assert result.exit_code == 1
    assert "DIFFER: at most" in result.stdout
