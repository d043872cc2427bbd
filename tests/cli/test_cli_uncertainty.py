"""`glpn predict --uncertainty`: how far several answers lie apart, as a map of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from glpn_cli.calibration import Calibration
from glpn_cli.cli import app
from glpn_cli.colormaps import read_table
from glpn_cli.depth_files import is_depth_file, is_own_output, read_depth, read_record
from glpn_cli.errors import InputError
from glpn_cli.images import read_rgb
from glpn_cli.prediction import DepthKind, DepthMap
from glpn_cli.predictor import DepthEstimator

Glpn = Callable[..., Result]


@pytest.fixture
def glpn(tiny_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Glpn:
    monkeypatch.setenv("GLPN_MODEL", str(tiny_model))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object, **settings: Any) -> Result:
        words = [*map(str, arguments), "--threads", "1", "--precision", "fp32"]
        return CliRunner().invoke(app, words, catch_exceptions=False, **settings)

    return run


@pytest.mark.parametrize("more", [["--dry-run"], []])
def test_all_that_is_in_metres_is_told_to_be(glpn: Glpn, tiny_pictures: Path, more: list[str]) -> None:
    formats = ["-f", "npy,ply,pfm,tiff", "--uncertainty", "--name", "{stem}_{map}_{name}"]
    result = glpn("predict", tiny_pictures / "b.png", *formats, "--json", *more)
    assert result.exit_code == 0, result.stderr
    outputs = json.loads(result.stdout.splitlines()[0])["outputs"]
    assert sorted(output["map"] for output in outputs if output.get("unit") == "m") == [
        *["depth"] * 3,
        "points",
        "uncertainty",
    ]
    colored = json.loads(glpn("export", tiny_pictures / "b.png", "-f", "color,gray16", "--json").stdout.splitlines()[0])
    assert [output.get("unit") for output in colored["outputs"]] == [None, None]


def test_it_is_written_beside_the_map_and_is_no_depth(glpn: Glpn, tiny_pictures: Path, tmp_path: Path) -> None:
    result = glpn("predict", tiny_pictures / "b.png", "-o", "out", "--uncertainty")
    assert result.exit_code == 0
    assert sorted(Path(line).name for line in result.stdout.splitlines()) == ["b_depth.png", "b_uncertainty.tiff"]
    path = tmp_path / "out/b_uncertainty.tiff"
    record = read_record(path)
    assert record is not None
    assert (record.map, record.to_text()["glpn:unit"]) == ("uncertainty", "m")
    assert is_own_output(path)
    assert not is_depth_file(path)
    with pytest.raises(InputError, match="map of uncertainty"):
        read_depth(path)
    with Image.open(path) as image:
        std = np.asarray(image)
    assert std.shape == (65, 97)
    assert (std >= 0).all()
    assert std.max() > 0
    # The map itself is the plain one, and a second run has nothing to do.
    plain = glpn("predict", tiny_pictures / "b.png", "-o", "plain")
    assert plain.exit_code == 0
    assert (tmp_path / "plain/b_depth.png").read_bytes() == (tmp_path / "out/b_depth.png").read_bytes()
    assert glpn("predict", tiny_pictures / "b.png", "-o", "out", "--uncertainty").stdout == ""


def test_answers_that_agree_have_none(tiny_model: Path, tiny_pictures: Path) -> None:
    estimator = DepthEstimator.from_pretrained(tiny_model, precision="fp32")
    picture = read_rgb(tiny_pictures / "b.png")
    std = estimator.predict_std(picture)
    assert std.dtype == np.float32
    estimator._network = lambda pixels: pixels.mean(1) * 0 + 3  # type: ignore[assignment]
    assert np.abs(estimator.predict_std(picture)).max() < 1e-5


@pytest.mark.parametrize("words", [("-o", "-"), ("-o", "x.png")])
def test_two_maps_do_not_fit_into_one_file(glpn: Glpn, tiny_pictures: Path, words: tuple[str, ...]) -> None:
    assert glpn("predict", tiny_pictures / "b.png", *words, "--uncertainty").exit_code == 2


def test_names_that_both_would_have_come_with_one_that_tells_them_apart(glpn: Glpn, tiny_pictures: Path) -> None:
    words = ("predict", tiny_pictures / "b.png", "-o", "out", "--uncertainty", "-f", "tiff", "--name")
    refused = glpn(*words, "{stem}")
    assert "depth and uncertainty of 'b.png'" in refused.stderr
    assert "--name '{stem}_{map}'" in refused.stderr
    assert glpn(*words, "{stem}_{map}").exit_code == 0


def test_a_calibration_scales_it_with_the_map(glpn: Glpn, tiny_pictures: Path, tmp_path: Path) -> None:
    picture = tiny_pictures / "b.png"
    assert glpn("measure", picture, "--calibrate", "1,1=2", "--calibrate", "90,60=9").exit_code in (0, 2)
    assert glpn("measure", picture, "--calibrate", "1,1=2", "-o", "one.json").exit_code == 0
    scale = json.loads((tmp_path / "one.json").read_text())["scale"]
    assert abs(scale - 1) > 0.05
    assert glpn("predict", picture, "-o", "plain", "--uncertainty", "-f", "tiff").exit_code == 0
    words = ("--uncertainty", "--calibration", "one.json", "-f", "tiff", "-o", "true")
    assert glpn("predict", picture, *words).exit_code == 0
    for kind in ("depth", "uncertainty"):
        before, after = (read_floats(tmp_path / folder / f"b_{kind}.tiff") for folder in ("plain", "true"))
        np.testing.assert_allclose(after, before * scale, rtol=1e-5)
    record = read_record(tmp_path / "true/b_uncertainty.tiff")
    assert record is not None
    assert record.provenance is not None
    assert record.provenance.calibration == f"metric scale {scale:.9g} shift 0"
    assert glpn("predict", picture, *words).stdout == ""  # the same again has nothing to do


def read_floats(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_a_shift_moves_all_answers_alike_and_disparity_spreads_by_depth_squared() -> None:
    std = np.full((1, 3), 0.01, np.float32)
    depth = DepthMap(np.array([[1, 2, 4]], np.float32))
    affine = Calibration(DepthKind.METRIC, scale=2, shift=0.5)
    np.testing.assert_allclose(affine.apply_to_std(std, affine.apply(depth)), 0.02)
    # Two answers, a step to both sides of each disparity: half their distance in metres is the standard deviation.
    disparity = DepthMap(np.array([[1, 2, 4]], np.float32), kind=DepthKind.DISPARITY)
    inverse = Calibration(DepthKind.DISPARITY, scale=0.3, shift=0.1)
    low, high = (
        inverse.apply(DepthMap(disparity.values + step, kind=DepthKind.DISPARITY)).values for step in (0.01, -0.01)
    )
    found = inverse.apply_to_std(std, inverse.apply(disparity))
    np.testing.assert_allclose(found, (high - low) / 2, rtol=1e-3)


@pytest.fixture
def doubts(glpn: Glpn, tiny_pictures: Path) -> Path:
    """A map and its uncertainty."""
    assert glpn("predict", tiny_pictures / "b.png", "-o", "out", "--uncertainty").exit_code == 0
    return Path("out/b_uncertainty.tiff")


def test_export_paints_it_warm_where_answers_lie_apart_with_a_bar_in_metres(glpn: Glpn, doubts: Path) -> None:
    result = glpn("export", doubts, "-o", "colours", "-m", "no/such/model", "--range", "0.001:0.5")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.split() == ["colours/b_uncertainty_color.png"]
    painted = pixels("colours/b_uncertainty_color.png")
    std = read_floats(doubts)
    assert painted.shape == (65, 97, 3)
    table = read_table("spectral")
    shares = np.clip((std - 0.001) / (0.5 - 0.001), 0, 1)
    expected = table[255 - np.rint(255 * shares).astype(int)]
    assert np.abs(painted.astype(int) - expected).max() <= 8  # a step of the table here and there
    assert (painted == expected).all(axis=2).mean() > 0.95
    record = read_record(Path("colours/b_uncertainty_color.png"))
    assert record is not None
    assert record.painted == (0.001, 0.5)
    assert record.provenance is not None
    with_bar = glpn("export", doubts, "-o", "bar", "--colorbar", "--colormap", "viridis")
    assert with_bar.exit_code == 0
    assert pixels("bar/b_uncertainty_color.png").shape[1] > 97 + 30
    again = glpn("export", doubts, "-o", "bar", "--colorbar", "--colormap", "viridis")
    assert (again.exit_code, again.stdout) == (0, "")


def test_among_other_inputs_it_is_left_out_with_a_note(glpn: Glpn, doubts: Path) -> None:
    result = glpn("export", doubts, "out/b_depth.png", "-o", "colours")
    assert result.exit_code == 0
    assert result.stdout.split() == ["colours/b_color.png"]
    assert "1 file that glpn made of depth are left out" not in result.stderr
    assert "1 file that glpn made of depth is left out" in result.stderr
    named = glpn("export", "colours/b_color.png", "-o", "more")
    assert named.exit_code == 2
    assert "made of depth already" in named.stderr


@pytest.mark.parametrize(
    "words", [("--contours", "1"), ("--side-by-side",), ("--range", "batch"), ("--range", "model")]
)
def test_what_only_depth_has_is_refused_for_it(glpn: Glpn, doubts: Path, words: tuple[str, ...]) -> None:
    assert glpn("export", doubts, "-o", "colours", *words).exit_code == 2
    assert not Path("colours").exists()


def test_inspect_tells_its_own_numbers_and_measure_refuses_it(glpn: Glpn, doubts: Path) -> None:
    record = json.loads(CliRunner().invoke(app, ["inspect", str(doubts), "--json"]).stdout)
    std = read_floats(doubts)
    assert record["map"] == "uncertainty"
    assert (record["width"], record["height"]) == (97, 65)
    assert record["max"] == pytest.approx(float(std.max()), rel=1e-5)
    assert record["percentiles"]["50"] == pytest.approx(float(np.median(std)), rel=1e-5)
    assert float(record["record"]["glpn:max"]) == pytest.approx(float(std.max()), rel=1e-5)
    assert "standard deviation" in CliRunner().invoke(app, ["inspect", str(doubts)]).stdout
    refused = glpn("measure", doubts, "1,1")
    assert refused.exit_code == 2
    assert "a map of uncertainty, not of depth" in refused.stderr


def pixels(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)
