"""`glpn predict --uncertainty`: how far several answers lie apart, as a map of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from glpn_cli.cli import app
from glpn_cli.depth_files import is_depth_file, is_own_output, read_depth, read_record
from glpn_cli.errors import InputError
from glpn_cli.images import read_rgb
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
    with pytest.raises(InputError, match="how sure a network was"):
        read_depth(path)
    with Image.open(path) as image:
        spread = np.asarray(image)
    assert spread.shape == (65, 97)
    assert (spread >= 0).all()
    assert spread.max() > 0
    # The map itself is the plain one, and a second run has nothing to do.
    plain = glpn("predict", tiny_pictures / "b.png", "-o", "plain")
    assert plain.exit_code == 0
    assert (tmp_path / "plain/b_depth.png").read_bytes() == (tmp_path / "out/b_depth.png").read_bytes()
    assert glpn("predict", tiny_pictures / "b.png", "-o", "out", "--uncertainty").stdout == ""


def test_answers_that_agree_have_none(tiny_model: Path, tiny_pictures: Path) -> None:
    estimator = DepthEstimator.from_pretrained(tiny_model, precision="fp32")
    picture = read_rgb(tiny_pictures / "b.png")
    spread = estimator.spread(picture)
    assert spread.dtype == np.float32
    estimator._network = lambda pixels: pixels.mean(1) * 0 + 3  # type: ignore[assignment]
    assert np.abs(estimator.spread(picture)).max() < 1e-5


@pytest.mark.parametrize("words", [("-o", "-"), ("-o", "x.png")])
def test_two_maps_do_not_fit_into_one_file(glpn: Glpn, tiny_pictures: Path, words: tuple[str, ...]) -> None:
    assert glpn("predict", tiny_pictures / "b.png", *words, "--uncertainty").exit_code == 2


def test_calibrated_depth_has_none(glpn: Glpn, tiny_pictures: Path) -> None:
    assert glpn("measure", tiny_pictures / "b.png", "--calibrate", "1,1=2").exit_code == 0
    result = glpn("predict", tiny_pictures / "b.png", "--uncertainty", "--calibration", "calibration.json")
    assert result.exit_code == 2
