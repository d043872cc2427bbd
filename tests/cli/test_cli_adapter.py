"""Models that transformers runs as users meet them: one folder through every command, and the refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_adapted import write_zoedepth
from typer.testing import CliRunner, Result

from glpn_cli.benchmark.stages import ModelStages
from glpn_cli.cli import app
from glpn_cli.depth_files import read_depth
from glpn_cli.models.adapter import config as adapter_config
from glpn_cli.models.resolve import resolve_model
from glpn_cli.models.settings import InferenceSettings
from glpn_cli.prediction import DepthKind

Glpn = Callable[..., Result]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_zoedepth(tmp_path_factory.mktemp("models") / "zoe")


@pytest.fixture
def glpn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Glpn:
    """The program beside a photo with its true depth, with the model folder as `zoe`."""
    monkeypatch.chdir(tmp_path)
    Path("zoe").symlink_to(folder)
    random = np.random.default_rng(1)
    Image.fromarray(random.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize((130, 101)).save("photo.jpg")
    Image.fromarray(random.integers(500, 9000, (101, 130)).astype(np.uint16)).save("truth.png")
    Path("pairs.csv").write_text("rgb_path,depth_path,depth_scale\nphoto.jpg,truth.png,1000\n")

    def run(words: str) -> Result:
        return CliRunner().invoke(app, words.split(), catch_exceptions=False)

    return run


def test_metres_without_a_known_limit_are_kept_as_floats_and_go_through_every_command(glpn: Glpn) -> None:
    predicted = glpn("predict photo.jpg -m zoe -o out --json")
    assert predicted.exit_code == 0, predicted.stderr
    record = json.loads(predicted.stdout.splitlines()[0])
    assert (record["kind"], record["precision"], record["outputs"][0]["format"]) == ("metric", "fp32", "tiff")
    assert (record["network_height"], record["network_width"]) == (96, 128)
    stored = read_depth("out/photo_depth.tiff").depth
    assert (stored.kind, stored.limit, stored.size) == (DepthKind.METRIC, None, (101, 130))
    assert glpn("predict photo.jpg -m zoe -o out -f png16").exit_code == 0

    shown = glpn("inspect zoe").stdout
    assert "metres" in shown
    assert "fit the config" in shown
    assert glpn("export photo.jpg -m zoe -o painted").exit_code == 0
    measured = glpn("measure photo.jpg 50,50 -m zoe --json")
    assert json.loads(measured.stdout.splitlines()[0])["unit"] == "m"
    scored = glpn("evaluate -m zoe --data pairs.csv")
    assert scored.exit_code == 0, scored.stderr
    assert "median" in scored.stdout


def test_the_stages_that_bench_times_run(glpn: Glpn) -> None:
    model = ModelStages(InferenceSettings(resolve_model("zoe")), Path("photo.jpg"), device="cpu")
    assert model.precision == "fp32"
    assert model.flops > 1e6
    encoded = [stage() for stage in model.stages().values()][-1]
    assert isinstance(encoded, bytes)


@pytest.mark.parametrize(
    "words",
    [
        "convert zoe -o ours",
        "convert zoe -o zoe.onnx",
        "train -m zoe --data pairs.csv --val pairs.csv -o run --steps 1 --input-size 64x64",
        "predict photo.jpg -m zoe --input-size 640",
        "predict photo.jpg -m zoe --precision bf16",
        "predict photo.jpg -m zoe --upsample guided",
        "predict photo.jpg -m zoe --uncertainty",
        "predict photo.jpg -m zoe --max-depth 10",
        "predict photo.jpg -m zoe --metres focal",
        "bench photo.jpg -m zoe --against transformers --rounds 1 --threads 1",
        "predict photo.jpg -m hf:zoe",
    ],
)
def test_what_cannot_be_had_of_it_is_refused_in_a_line_before_anything_is_written(glpn: Glpn, words: str) -> None:
    before = sorted(path.name for path in Path.cwd().iterdir())
    refused = glpn(words)
    assert refused.exit_code in (1, 2), refused.output
    assert refused.stderr.count("error:") == 1
    assert "Traceback" not in refused.stderr
    assert "zoe" in refused.stderr
    assert sorted(path.name for path in Path.cwd().iterdir() if path.name != "run") == before


def test_unknown_kinds_get_no_metres_and_are_scored_by_the_median(glpn: Glpn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter_config, "KNOWN_KINDS", {})
    for words in ("-f png16", "-f ply"):
        refused = glpn(f"predict photo.jpg -m zoe -o out {words}")
        assert refused.exit_code == 2
        assert "unknown depth" in refused.stderr
    predicted = glpn("predict photo.jpg -m zoe -o out -f tiff,color --json")
    assert json.loads(predicted.stdout.splitlines()[0])["kind"] == "unknown"
    assert read_depth("out/photo_depth.tiff").depth.kind is DepthKind.UNKNOWN
    shown = glpn("inspect zoe").stdout
    assert "no unit (unknown)" in shown
    assert "depth_kind" in shown
    scored = glpn("evaluate -m zoe --data pairs.csv")
    assert "align median" in scored.stdout
    assert "align none" not in scored.stdout
    assert glpn("evaluate -m zoe --data pairs.csv --align none").exit_code == 2


def test_without_the_extra_every_command_says_what_to_install(glpn: Glpn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter_config, "find_spec", lambda _name: None)
    for words in ("predict photo.jpg -m zoe", "inspect zoe", "measure photo.jpg 50,50 -m zoe"):
        refused = glpn(words)
        assert refused.exit_code in (1, 2)
        assert "pip install 'glpn-cli[transformers]'" in refused.stderr.replace("\n", " ")
