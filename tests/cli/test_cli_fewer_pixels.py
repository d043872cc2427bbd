"""Large JPEGs are decoded to no more pixels than the network needs, and nobody can tell from the results."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_rgb
from PIL import ExifTags, Image
from plyfile import PlyData
from typer.testing import CliRunner, Result

from glpn_cli.cli import app
from glpn_cli.depth_files import read_depth
from glpn_cli.images import ImageSource, Picture, read_rgb
from glpn_cli.models.config_base import InputSize
from glpn_cli.models.resolve import resolve_model
from glpn_cli.models.settings import InferenceSettings, Upsampling
from glpn_cli.predictor import DepthEstimator

HEIGHT, WIDTH = 600, 800


@pytest.fixture
def glpn(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run a command on the tiny model, one thread."""
    monkeypatch.setenv("GLPN_MODEL", str(tiny_model))

    def run(*arguments: object) -> Result:
        result = CliRunner().invoke(app, [*map(str, arguments), "--threads", "1", "--json"], catch_exceptions=False)
        assert result.exit_code == 0, result.stderr
        return result

    return run


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A JPEG that lies on its side and says so: upright it is 800x600."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    path = tmp_path / "photo.jpg"
    Image.fromarray(np.rot90(make_rgb(HEIGHT, WIDTH))).save(path, quality=95, exif=exif)
    return path


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Picture]:
    """The pictures that are read for the network, as they are read."""
    seen: list[Picture] = []
    read = ImageSource.read

    def watch(self: ImageSource, **settings: Any) -> Picture:
        seen.append(read(self, **settings))
        return seen[-1]

    monkeypatch.setattr(ImageSource, "read", watch)
    return seen


def test_a_large_jpeg_is_decoded_small_and_its_depth_comes_back_at_its_own_size(
    glpn: Callable[..., Result], photo: Path, decoded: list[Picture], tiny_model: Path, tmp_path: Path
) -> None:
    result = glpn("predict", photo, "-o", tmp_path / "out.npy", "--input-size", "160", "--precision", "fp32")
    record = json.loads(result.stdout.splitlines()[0])
    assert (record["width"], record["height"]) == (WIDTH, HEIGHT)
    assert (record["network_width"], record["network_height"]) == (160, 128)
    assert [each.size for each in decoded] == [(HEIGHT // 2, WIDTH // 2)]
    depth = read_depth(tmp_path / "out.npy").depth
    assert depth.size == (HEIGHT, WIDTH)
    estimator = DepthEstimator.from_pretrained(tiny_model, precision="fp32", input_size="160", threads=1)
    whole = estimator.predict_pictures([read_rgb(photo)])[0]
    np.testing.assert_allclose(depth.values, whole.values, rtol=0.02)
    np.testing.assert_array_equal(depth.values, estimator.predict(photo).values)


@pytest.mark.parametrize(
    "options",
    [("--input-size", "original"), ("--input-size", "160", "--upsample", "guided"), ("--input-size", "640")],
)
def test_where_every_pixel_counts_every_pixel_is_decoded(
    glpn: Callable[..., Result], photo: Path, decoded: list[Picture], tmp_path: Path, options: tuple[str, ...]
) -> None:
    glpn("predict", photo, "-o", tmp_path / "out.png", *options)
    assert [each.size for each in decoded] == [(HEIGHT, WIDTH)]


def test_points_and_pictures_beside_their_maps_have_all_their_colours(
    glpn: Callable[..., Result], photo: Path, decoded: list[Picture], tmp_path: Path
) -> None:
    glpn("export", photo, "-o", tmp_path, "-f", "color,ply", "--side-by-side", "--input-size", "160")
    assert decoded[0].size == (HEIGHT // 2, WIDTH // 2)
    painted = np.asarray(Image.open(tmp_path / "photo_color.png"))
    upright = read_rgb(photo).rgb
    np.testing.assert_array_equal(painted[:, :WIDTH], upright)
    points = PlyData.read(tmp_path / "photo_points.ply")["vertex"]
    colors = np.stack([points[name] for name in ("red", "green", "blue")], axis=1)
    np.testing.assert_array_equal(colors, upright.reshape(-1, 3))


def test_the_same_depth_is_written_beside_an_uncertainty_as_without(
    glpn: Callable[..., Result], photo: Path, tmp_path: Path
) -> None:
    for folder, options in (("one", ()), ("other", ("--uncertainty",))):
        glpn("predict", photo, "-o", tmp_path / folder, "--input-size", "160", *options)
    assert (tmp_path / "one/photo_depth.png").read_bytes() == (tmp_path / "other/photo_depth.png").read_bytes()


def test_a_recipe_wants_twice_the_networks_size_and_all_where_every_pixel_counts(tiny_model: Path) -> None:
    model = resolve_model(str(tiny_model))
    assert InferenceSettings(model).enough_pixels((3000, 4000)) == (960, 1280)
    assert InferenceSettings(model, InputSize.parse("160")).enough_pixels((HEIGHT, WIDTH)) == (256, 320)
    assert InferenceSettings(model, InputSize.parse("original")).enough_pixels((3000, 4000)) is None
    assert InferenceSettings(model, upsample=Upsampling.GUIDED).enough_pixels((3000, 4000)) is None
