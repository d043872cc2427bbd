"""Depth Anything as users meet it: a folder of it through every command, without a unit and in metres."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from random_weights_depth_anything import METRIC, SMALL, randomized_model
from transformers import pipeline
from transformers.models.dpt.image_processing_pil_dpt import DPTImageProcessorPil
from typer.testing import CliRunner, Result

from glpn_cli import DepthEstimator
from glpn_cli.cli import app
from glpn_cli.depth_files import read_depth
from glpn_cli.models.config_base import read_config
from glpn_cli.prediction import DepthKind

Glpn = Callable[..., Result]


def make_folder(folder: Path, fields: dict[str, object]) -> Path:
    """A folder as transformers writes it, with the processor's settings as the hub has them."""
    randomized_model(**fields).save_pretrained(folder)
    config = read_config(json.loads((folder / "config.json").read_text()))
    (folder / "preprocessor_config.json").write_text(json.dumps(config.preprocessor()))
    return folder


@pytest.fixture(scope="module")
def relative(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("models") / "relative", SMALL)


@pytest.fixture(scope="module")
def metric(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("models") / "metric", METRIC)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    random = np.random.default_rng(1)
    path = tmp_path / "photo.jpg"
    Image.fromarray(random.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize((130, 101)).save(path)
    return path


@pytest.fixture
def glpn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Glpn:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)

    return run


def test_inverse_depth_is_written_with_its_kind_and_refuses_metres_with_the_way_out(
    glpn: Glpn, relative: Path, photo: Path
) -> None:
    for arguments in (("-f", "png16"), ("-f", "ply"), ("--max-depth", "10")):
        refused = glpn("predict", photo, "-m", relative, "-o", "out", *arguments)
        assert refused.exit_code == 2, arguments
        assert "metres" in refused.stderr
    assert glpn("predict", photo, "-m", relative, "-o", "out").exit_code == 0
    stored = read_depth("out/photo_depth.tiff").depth
    assert (stored.kind, stored.size) == (DepthKind.DISPARITY, (101, 130))
    shown = glpn("inspect", relative).stdout
    assert "depth_anything" in shown
    assert "no unit (disparity)" in shown


def test_metres_are_written_to_the_limit_of_the_config(glpn: Glpn, metric: Path, photo: Path) -> None:
    assert glpn("predict", photo, "-m", metric, "-o", "out", "-f", "png16,npy").exit_code == 0
    stored = read_depth("out/photo_depth.png").depth
    assert (stored.kind, stored.limit) == (DepthKind.METRIC, 20.0)
    assert "metres, to 20 m" in glpn("inspect", metric).stdout
    near = np.load("out/photo_depth.npy")
    assert glpn("predict", photo, "-m", metric, "-o", "far", "-f", "npy", "--max-depth", "80").exit_code == 0
    np.testing.assert_allclose(np.load("far/photo_depth.npy"), 4 * near, rtol=1e-4)
    measured = glpn("measure", photo, "50,50", "-m", metric, "--json")
    assert measured.exit_code == 0, measured.stderr
    assert json.loads(measured.stdout.splitlines()[0])["schema"] == 1


@pytest.mark.parametrize("name", ["relative", "metric"])
def test_every_other_command_takes_the_folder(
    glpn: Glpn, name: str, photo: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(name)
    assert glpn("export", photo, "-m", folder, "-o", "painted").exit_code == 0
    assert Path("painted/photo_color.png").is_file()
    found = DepthEstimator.from_pretrained(folder, precision="fp32").predict(photo).values
    metres = found if name == "metric" else 1 / (0.02 * found + 0.1)
    Image.fromarray(np.rint(metres * 1000).astype(np.uint16)).save(tmp_path / "truth.png")
    (tmp_path / "pairs.csv").write_text("rgb_path,depth_path,depth_scale\nphoto.jpg,truth.png,1000\n")
    scored = glpn("evaluate", "-m", folder, "--data", "pairs.csv")
    assert scored.exit_code == 0, scored.stderr
    converted = glpn("convert", folder, "-o", "ours")
    assert converted.exit_code == 0, converted.stderr
    again = DepthEstimator.from_pretrained("ours", precision="fp32").predict(photo).values
    np.testing.assert_array_equal(again, found)


@pytest.mark.parametrize("name", ["relative", "metric"])
def test_the_answer_is_that_of_the_pipeline_of_transformers(
    name: str, photo: Path, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(name)
    processor = DPTImageProcessorPil.from_pretrained(folder)
    estimate = pipeline("depth-estimation", model=str(folder), image_processor=processor, device="cpu")
    expected = np.asarray(estimate(str(photo))["predicted_depth"].squeeze())
    estimator = DepthEstimator.from_pretrained(folder, precision="fp32", input_size="original")
    found = estimator.predict(photo).values
    inside = (expected > 0.01 * expected.max()) & (expected < (19.9 if name == "metric" else np.inf))
    np.testing.assert_allclose(found[inside], expected[inside], rtol=0, atol=1e-4 * np.ptp(expected))


def test_pictures_of_one_size_go_through_together_with_the_same_answers(metric: Path, photo: Path) -> None:
    from glpn_cli.images import read_rgb

    estimator = DepthEstimator.from_pretrained(metric, precision="fp32")
    pictures = [read_rgb(photo)] * 3
    single = estimator.predict(photo).values
    for depth in estimator.predict_pictures(pictures):
        np.testing.assert_allclose(depth.values, single, rtol=0, atol=1e-5 * 20)
