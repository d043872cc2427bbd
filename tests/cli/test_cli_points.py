"""Points in space as users meet them: `-f ply` of `predict` and `export`, and what is known of the camera."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import plyfile
import pytest
from conftest import make_rgb
from PIL import ExifTags, Image
from program_runs import RECORDS
from typer.testing import CliRunner, Result

from glpn_cli.checkpoint import Checkpoint
from glpn_cli.cli import app
from glpn_cli.depth_files import read_depth, read_record

DIAGONAL_MM = 43.2666


@pytest.fixture
def glpn(tiny_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    monkeypatch.setenv("GLPN_MODEL", str(tiny_model))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object, **settings: Any) -> Result:
        return CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False, **settings)

    return run


def save_photo(path: Path, *, focal_mm: int | None = None, orientation: int = 1) -> Path:
    """A picture of 64 x 48, stored as a camera stores it."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    if focal_mm is not None:
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = focal_mm
    Image.fromarray(make_rgb(48, 64)).save(path, exif=exif, quality=95)
    return path


def records(result: Result) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in result.stdout.splitlines()]
    for record in found:
        RECORDS.validate(record)
    return found


def test_a_picture_becomes_points_in_its_own_colours(glpn: Callable[..., Result], tmp_path: Path) -> None:
    photo = save_photo(tmp_path / "a.jpg", focal_mm=28)
    result = glpn("predict", photo, "-f", "png16,ply", "-o", "out")
    assert result.exit_code == 0
    assert sorted(Path(line).name for line in result.stdout.splitlines()) == ["a_depth.png", "a_points.ply"]
    vertex = plyfile.PlyData.read(tmp_path / "out/a_points.ply")["vertex"]
    assert len(vertex) == 64 * 48
    with Image.open(photo) as image:
        colours = np.asarray(image.convert("RGB")).reshape(-1, 3)
    assert np.array_equal(np.stack([vertex[name] for name in ("red", "green", "blue")], 1), colours)
    focal = 28 * 80 / DIAGONAL_MM
    depth = read_depth(tmp_path / "out/a_depth.png").depth.values
    np.testing.assert_allclose(vertex["z"], depth.ravel(), atol=0.51e-3)
    assert vertex["x"][0] == pytest.approx(vertex["z"][0] * -31.5 / focal, rel=1e-4)
    assert result.stderr == ""


def test_exif_focal_is_used_after_the_picture_is_turned_upright(glpn: Callable[..., Result], tmp_path: Path) -> None:
    save_photo(tmp_path / "a.jpg", focal_mm=28, orientation=6)
    (record, _) = records(glpn("predict", "a.jpg", "-f", "ply", "-o", "out", "--json"))
    assert (record["width"], record["height"]) == (48, 64)
    assert record["focal_source"] == "exif"
    assert record["focal_px"] == pytest.approx(28 * 80 / DIAGONAL_MM, rel=1e-5)
    stored = read_record(tmp_path / "out/a_points.ply")
    assert stored is not None
    assert stored.cloud is not None
    assert stored.size == (64, 48)


def test_an_assumed_field_of_view_is_loudly_named_where_it_shapes_something(
    glpn: Callable[..., Result], tmp_path: Path
) -> None:
    save_photo(tmp_path / "a.jpg")
    result = glpn("predict", "a.jpg", "-f", "ply", "-o", "out")
    assert result.exit_code == 0
    assert "a field of view of 60 degrees is ASSUMED" in result.stderr
    assert "--focal" in result.stderr
    quiet = glpn("predict", "a.jpg", "-o", "depth", "--json")
    assert quiet.stderr == ""
    record = records(quiet)[0]
    assert record["focal_source"] == "assumed"
    assert record["focal_px"] == pytest.approx(32 / np.tan(np.radians(30)))
    assert glpn("predict", "a.jpg", "-f", "ply", "-o", "other", "--focal", "65deg").stderr == ""


def test_axes_and_focal_are_part_of_the_recipe(glpn: Callable[..., Result], tmp_path: Path) -> None:
    save_photo(tmp_path / "a.jpg", focal_mm=28)
    words = ("predict", "a.jpg", "-f", "ply", "-o", "out", "--axes", "blender")
    assert glpn(*words).exit_code == 0
    assert glpn(*words).stdout == ""  # skipped
    other = glpn(*words, "--focal", "70px")
    assert other.exit_code == 1
    assert "focal is auto, not 70px" in other.stderr
    assert glpn(*words, "--focal", "70px", "--existing", "update").exit_code == 0
    record = read_record(tmp_path / "out/a_points.ply")
    assert record is not None
    assert record.focal_px == 70
    assert record.focal_source == "option"


def test_stored_maps_become_points_by_the_camera_that_they_recorded(
    glpn: Callable[..., Result], tmp_path: Path
) -> None:
    save_photo(tmp_path / "a.jpg", focal_mm=28)
    assert glpn("predict", "a.jpg", "-f", "tiff").exit_code == 0
    (record, _) = records(glpn("export", "a.jpg", "-f", "ply", "--json"))
    assert record["focal_source"] == "file"
    assert record["focal_px"] == pytest.approx(28 * 80 / DIAGONAL_MM, rel=1e-5)
    points = read_depth(tmp_path / "a_points.ply").depth
    assert np.array_equal(points.values, read_depth(tmp_path / "a_depth.tiff").depth.values)


def test_a_range_for_the_batch_leaves_points_alone(glpn: Callable[..., Result], tmp_path: Path) -> None:
    save_photo(tmp_path / "a.jpg", focal_mm=28)
    words = ("--range", "batch", "--axes", "opengl", "-o", "out")
    assert glpn("export", "a.jpg", "-f", "color,ply", *words).exit_code == 0
    record = read_record(tmp_path / "out/a_points.ply")
    assert record is not None
    assert record.cloud is not None
    assert record.cloud.axes == "opengl"


@pytest.mark.parametrize(("focal_mm", "is_off"), [(28, False), (35, False), (77, True), (13, True), (None, False)])
def test_a_camera_far_from_the_one_learned_from_is_warned_of(
    glpn: Callable[..., Result], tiny_model: Path, tmp_path: Path, focal_mm: int | None, is_off: bool
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    config = dict(Checkpoint.open(tiny_model).config)
    own = {"training_size": [480, 640], "training_focal_px": 518.86}
    (folder / "config.json").write_text(json.dumps({**config, "glpn_cli": {**config.get("glpn_cli", {}), **own}}))
    (folder / "model.safetensors").write_bytes((tiny_model / "model.safetensors").read_bytes())
    save_photo(tmp_path / "a.jpg", focal_mm=focal_mm)
    result = glpn("predict", "a.jpg", "-m", folder, "-o", "out", "--json")
    assert result.exit_code == 0
    assert ("W_FOCAL" in records(result)[0]["warnings"]) == is_off
    assert ("over 30 % off the camera" in result.stderr) == is_off


@pytest.mark.parametrize("command", ["predict", "export"])
def test_nonsense_for_a_focal_length_is_refused_before_anything_starts(
    glpn: Callable[..., Result], tmp_path: Path, command: str
) -> None:
    save_photo(tmp_path / "a.jpg")
    result = glpn(command, "a.jpg", "--focal", "28", "-f", "ply")
    assert result.exit_code == 2
    assert "28mm" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]


def test_intrinsics_place_the_points_and_are_recorded(glpn: Callable[..., Result], tmp_path: Path) -> None:
    save_photo(tmp_path / "a.jpg", focal_mm=28)
    camera = ("--intrinsics", "60.5,50,20,30.25")
    assert glpn("predict", "a.jpg", "-f", "ply,png16", *camera, "-o", "out").exit_code == 0
    vertex = plyfile.PlyData.read(tmp_path / "out/a_points.ply")["vertex"]
    assert vertex["x"][0] == pytest.approx(vertex["z"][0] * -20 / 60.5, rel=1e-4)
    assert vertex["y"][0] == pytest.approx(vertex["z"][0] * -30.25 / 50, rel=1e-4)
    stored = read_depth(tmp_path / "out/a_depth.png").camera
    assert stored is not None
    assert (stored.fx, stored.fy, stored.cx, stored.cy) == (60.5, 50, 20, 30.25)
    assert glpn("export", "out/a_depth.png", "-f", "ply", "-o", "again").exit_code == 0
    again = plyfile.PlyData.read(tmp_path / "again/a_points.ply")["vertex"]
    assert again["y"][0] == pytest.approx(again["z"][0] * -30.25 / 50, rel=1e-4)
    measured = json.loads(glpn("measure", "out/a_depth.png", "0,0", "9,9", "--json").stdout)
    assert measured["intrinsics"] == [60.5, 50, 20, 30.25]


def test_intrinsics_of_a_picture_of_another_size_are_warned_of(glpn: Callable[..., Result], tmp_path: Path) -> None:
    save_photo(tmp_path / "a.jpg")
    for words, is_warned in (
        ("60,60,20,30", False),
        ("30,30,16,12", True),
        ("90,90,47,35", True),
        ("60,60,5,24", False),
    ):
        for run in ("predicted", "stored"):
            result = glpn("measure", "a.jpg", "10,10", "20,20", "--intrinsics", words)
            assert result.exit_code == 0, result.stderr
            assert ("W_AXIS" in result.stderr) == is_warned, (words, run)
            glpn("predict", "a.jpg")


def test_intrinsics_scale_metres_like_a_focal_length(glpn: Callable[..., Result], tmp_path: Path) -> None:
    save_photo(tmp_path / "a.jpg")
    asked = ("measure", "a.jpg", "3,4", "--metres", "focal", "--json", "-m", "mini", "--precision", "fp32")
    one = json.loads(glpn(*asked, "--focal", "60px").stdout)
    other = json.loads(glpn(*asked, "--intrinsics", "60,60,20,30").stdout)
    assert other["points"] == one["points"]
    assert other["lens_factor"] == one["lens_factor"]


def test_cameras_that_make_no_sense_are_refused(glpn: Callable[..., Result], tmp_path: Path) -> None:
    save_photo(tmp_path / "a.jpg")
    for words in (("1,2,3",), ("0,50,20,20",), ("50px",), ("auto",), ("50,50,20,20", "--focal", "50px")):
        assert glpn("predict", "a.jpg", "-o", "out", "--intrinsics", *words).exit_code == 2, words
    result = glpn("predict", "a.jpg", "-o", "out", "--json", "--intrinsics", "50,50,320,240")
    assert result.exit_code == 1
    assert records(result)[0]["error"]["code"] == "E_DATA", "intrinsics of a larger picture"
