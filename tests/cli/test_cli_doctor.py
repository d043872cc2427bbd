"""`glpn doctor`: what it finds, what it says of what is broken, and what it cleans."""

from __future__ import annotations

import functools
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants
from PIL import Image
from program_runs import without_root
from tiny_checkpoints import files_of, make_cache, make_model_folder
from typer.testing import CliRunner, Result

from glpn_cli import devices
from glpn_cli.cli import app
from glpn_cli.models import arithmetic, registry
from glpn_cli.models.arithmetic import LayerCheck
from glpn_cli.models.registry import DEFAULT_MODEL, REGISTRY

check_layers_once = functools.cache(arithmetic.check_layers)
"""What is found of the machine's layers does not change from test to test, and takes seconds."""


@pytest.fixture(autouse=True)
def _layers_are_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arithmetic, "check_layers", check_layers_once)


def doctor(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["doctor", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def _healthy(monkeypatch: pytest.MonkeyPatch, tiny_model: Path, tmp_path: Path) -> None:
    monkeypatch.setattr(registry.ModelRow, "bundled_folder", lambda _row: tiny_model)
    monkeypatch.setattr(registry, "REGISTRY", {DEFAULT_MODEL: replace(registry.REGISTRY[DEFAULT_MODEL], weights=())})


@pytest.mark.usefixtures("_healthy")
def test_a_sound_installation_is_exit_0_and_every_check_speaks() -> None:
    result = doctor("--json")
    assert result.exit_code == 0, result.output
    found = {record["name"]: record for record in map(json.loads, result.stdout.splitlines())}
    assert set(found) == {
        "versions",
        "codecs",
        "cores",
        "devices",
        "arithmetic",
        "writing",
        "isolation",
        "cache",
        "bundled model",
        "downloaded models",
        "prediction",
    }
    assert {record["status"] for record in found.values()} <= {"ok", "limited"}
    assert "torch" in found["versions"]["found"]
    assert "JPEG" in found["codecs"]["found"]
    assert "cpu" in found["devices"]["found"]
    assert " m" in found["prediction"]["found"]


@pytest.mark.usefixtures("_healthy")
def test_people_get_the_same_in_columns() -> None:
    result = doctor()
    assert result.exit_code == 0
    assert "versions" in result.stdout
    assert all(len(line) <= 100 for line in result.stdout.splitlines())


def check_with(monkeypatch: pytest.MonkeyPatch, **faults: int) -> Result:
    """What doctor says where the layers fare so in every precision of a CPU."""
    check = LayerCheck("strided convolutions", cases=48, error=1.2, **faults)
    monkeypatch.setattr(arithmetic, "check_layers", lambda *_: [check])
    monkeypatch.setattr(devices, "list_devices", lambda: ["cpu"])
    return doctor("--json")


def arithmetic_of(result: Result) -> list[dict[str, str]]:
    records = map(json.loads, result.stdout.splitlines())
    return [record for record in records if record["name"] == "arithmetic"]


@pytest.mark.usefixtures("_healthy")
def test_layers_that_torch_gets_wrong_are_told_and_break_nothing_where_the_models_avoid_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    result = check_with(monkeypatch, wrong=12, wrong_in_models=0)
    assert result.exit_code == 0
    found = arithmetic_of(result)
    assert {record["status"] for record in found} == {"ok"}
    assert "12 of 48 strided convolutions" in found[0]["found"]
    assert "fp32 on cpu" in found[0]["found"]


@pytest.mark.usefixtures("_healthy")
def test_layers_that_the_models_get_wrong_are_broken_with_a_precision_that_is_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("glpn_cli.cli.doctor.multiplies_bf16", lambda _device: True)
    result = check_with(monkeypatch, wrong=12, wrong_in_models=7)
    assert result.exit_code == 1
    found = next(record for record in arithmetic_of(result) if "bf16" in record["found"])
    assert found["status"] == "broken"
    assert "the models 7" in found["found"]
    assert "--precision fp32" in found["hint"]


def test_a_missing_model_is_broken_with_a_hint_and_exit_1(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(registry, "BUNDLED", tmp_path / "nowhere")
    result = doctor("--json")
    assert result.exit_code == 1
    found = {record["name"]: record for record in map(json.loads, result.stdout.splitlines())}
    assert found["bundled model"]["status"] == "broken"
    assert "hint" in found["bundled model"]
    assert found["writing"]["status"] == "ok", "one broken thing does not hide the others"


def test_cleaning_removes_old_unfinished_files_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    old = tmp_path / "sub/.glpn-elsewhere-123-0123456789abcdef.tmp"
    young = tmp_path / ".glpn-elsewhere-124-0123456789abcdef.tmp"
    mine = tmp_path / "sub/depth.png"
    for path in (old, young, mine):
        path.write_bytes(b"x")
    for path in (old, mine):
        os.utime(path, (1_600_000_000, 1_600_000_000))
    result = doctor("--clean", tmp_path)
    assert (result.exit_code, result.stdout) == (0, "1 unfinished files removed\n")
    assert (old.exists(), young.exists(), mine.exists()) == (False, True, True)


def test_cleaning_a_folder_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    assert doctor("--clean", tmp_path / "nowhere").exit_code == 2


def test_a_damaged_bundled_model_is_broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    damaged = shutil.copytree(registry.BUNDLED, tmp_path / "bundled")
    weights = damaged / DEFAULT_MODEL / "model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[:-9] + bytes([data[-9] ^ 4]) + data[-8:])
    monkeypatch.setattr(registry, "BUNDLED", damaged)
    found = {record["name"]: record for record in map(json.loads, doctor("--json").stdout.splitlines())}
    assert found["bundled model"]["status"] == "broken"
    assert "E_CHECKSUM" in found["bundled model"]["found"]


@pytest.mark.usefixtures("_healthy")
def test_a_damaged_model_of_the_cache_is_broken_with_the_command_that_mends_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    nyu = replace(REGISTRY["nyu"], weights=())
    monkeypatch.setattr(registry, "REGISTRY", {**registry.REGISTRY, "nyu": nyu})
    assert nyu.repository is not None
    snapshot = make_cache(tmp_path / "hub", nyu.repository, files_of(make_model_folder(tmp_path / "model")))
    sound = {record["name"]: record for record in map(json.loads, doctor("--json").stdout.splitlines())}
    assert sound["downloaded models"]["found"] == "nyu"
    (snapshot / "model.safetensors").resolve().write_bytes(b"")
    result = doctor("--json")
    assert result.exit_code == 1
    found = {record["name"]: record for record in map(json.loads, result.stdout.splitlines())}
    assert found["downloaded models"]["status"] == "broken"
    assert found["downloaded models"]["hint"] == "Run: glpn models download nyu --refresh"


@pytest.mark.usefixtures("_healthy")
def test_a_missing_codec_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("encoder error")

    monkeypatch.setitem(Image.SAVE, "AVIF", refuse)
    found = {record["name"]: record for record in map(json.loads, doctor("--json").stdout.splitlines())}
    assert found["codecs"]["status"] == "limited"
    assert "not AVIF" in found["codecs"]["found"]
    assert "hint" in found["codecs"]


@pytest.mark.usefixtures("_healthy")
def test_a_folder_that_cannot_be_written_limits_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    monkeypatch.chdir(locked)
    with without_root():
        result = doctor("--json")
    assert result.exit_code == 0
    found = {record["name"]: record for record in map(json.loads, result.stdout.splitlines())}
    assert found["writing"]["status"] == "limited"
    assert "-o" in found["writing"]["hint"]
