"""`glpn measure` as users meet it, and what `predict` and `export` make of its calibration."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_rgb
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner, Result

from glpn_cli.cli import app
from glpn_cli.depth_files import make_writer, read_depth, read_record
from glpn_cli.prediction import DepthKind, DepthMap
from glpn_cli.prediction import Result as Answer
from glpn_cli.predictor import DepthEstimator

Glpn = Callable[..., Result]
RAMP = np.linspace(1, 3, 20 * 30, dtype=np.float32).reshape(20, 30)


@dataclass(frozen=True)
class Grey:
    name: str = "a.jpg"

    def read_colors(self) -> NDArray[np.uint8]:
        return np.full((20, 30, 3), 128, np.uint8)


@pytest.fixture
def glpn(tiny_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Glpn:
    monkeypatch.setenv("GLPN_MODEL", str(tiny_model))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object, **settings: Any) -> Result:
        return CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False, **settings)

    return run


@pytest.fixture
def ramp(tmp_path: Path) -> Path:
    """A stored map: 1 m at the top left to 3 m at the lower right, unknown in its first column."""
    valid = np.ones(RAMP.shape, np.bool_)
    valid[:, 0] = False
    path = tmp_path / "a_depth.tiff"
    writer = make_writer("tiff", kind=DepthKind.METRIC, limit_m=10.0)
    path.write_bytes(writer.encode(Answer(DepthMap(RAMP, valid=valid, limit=10.0), Grey())).data)
    return path


def save_disparity(path: Path) -> np.ndarray:
    """Inverse depth up to scale and shift; returns the true metres."""
    depth = DepthMap(50 / RAMP + 3, kind=DepthKind.DISPARITY)
    path.write_bytes(make_writer("tiff", kind=depth.kind, limit_m=None).encode(Answer(depth, Grey())).data)
    return RAMP


def test_metres_at_pixels_of_a_stored_map(glpn: Glpn, ramp: Path) -> None:
    result = glpn("measure", ramp, "29,19", "--focal", "65deg")
    assert result.exit_code == 0
    assert [line.split() for line in result.stdout.splitlines()] == [["pixel", "metres"], ["29,19", "3.000"]]
    assert result.stderr == ""


def test_small_numbers_keep_three_digits(glpn: Glpn, tmp_path: Path) -> None:
    depth = DepthMap(RAMP / 1e4, kind=DepthKind.DISPARITY)
    path = tmp_path / "far.tiff"
    path.write_bytes(make_writer("tiff", kind=depth.kind, limit_m=None).encode(Answer(depth, Grey())).data)
    assert glpn("measure", path, "29,19").stdout.split()[-1] == "0.0003"


def test_straight_from_a_picture_it_is_what_the_model_says(glpn: Glpn, tiny_model: Path, tmp_path: Path) -> None:
    Image.fromarray(make_rgb(48, 64)).save(tmp_path / "p.png")
    result = glpn("measure", "p.png", "10,20", "--json", "--precision", "fp32")
    assert result.exit_code == 0
    record = json.loads(result.stdout)
    expected = DepthEstimator.from_pretrained(tiny_model, precision="fp32").predict(tmp_path / "p.png")
    assert record["points"][0]["depth"] == pytest.approx(float(expected.values[20, 10]), abs=1e-5)
    assert record["unit"] == "m"
    piped = glpn("measure", "-", "10,20", "--json", "--precision", "fp32", input=(tmp_path / "p.png").read_bytes())
    assert json.loads(piped.stdout)["points"] == record["points"]


@pytest.mark.parametrize("seconds", [1_400_000_000, 1_700_000_000, 4_000_000_000])
@pytest.mark.parametrize("formats", ["png16", "png16,npy"])
def test_a_map_of_another_picture_is_not_measured(glpn: Glpn, tmp_path: Path, formats: str, seconds: int) -> None:
    """A BMP, so that both pictures have as many bytes."""
    picture, asked = tmp_path / "p.bmp", ("measure", "p.bmp", "10,20", "--json", "--precision", "fp32")
    Image.fromarray(make_rgb(48, 64)).save(picture)
    own = json.loads(glpn(*asked).stdout)["points"][0]["depth"]
    assert glpn("predict", picture, "-o", tmp_path, "-f", formats, "--max-depth", "3").exit_code == 0
    from_map = glpn(*asked)
    assert json.loads(from_map.stdout)["points"][0]["depth"] == pytest.approx(own * 3 / 10, abs=0.01)
    stored = "p_depth.png"
    assert json.loads(from_map.stdout)["stored_map"] == stored
    assert stored in from_map.stderr
    os.utime(picture, (seconds, seconds))
    assert glpn(*asked).stdout == from_map.stdout, "dates are no evidence"
    Image.fromarray(255 - make_rgb(48, 64)).save(picture)
    os.utime(picture, (seconds, seconds))
    measured = glpn(*asked)
    (tmp_path / "alone").mkdir()
    picture.rename(tmp_path / "alone/p.bmp")
    alone = glpn("measure", "alone/p.bmp", *asked[2:])
    assert json.loads(measured.stdout)["points"] == json.loads(alone.stdout)["points"]
    assert json.loads(measured.stdout)["stored_map"] is None
    assert "W_OTHER_MAP" in measured.stderr


def test_a_map_of_another_frame_or_orientation_is_not_measured(glpn: Glpn, tmp_path: Path) -> None:
    frames = [Image.fromarray(np.ascontiguousarray(make_rgb(48, 64)[::step])) for step in (1, -1)]
    exif = Image.Exif()
    exif[0x0112] = 6
    frames[0].save(tmp_path / "p.tiff", save_all=True, append_images=frames[1:], exif=exif)
    assert glpn("predict", "p.tiff", "-f", "npz").exit_code == 0
    for words in (("--frame", "1"), ("--orientation", "ignore")):
        other = glpn("measure", "p.tiff", "40,20", "--json", *words)
        assert other.exit_code == 0, other.stderr
        assert json.loads(other.stdout)["stored_map"] is None
        assert "W_OTHER_MAP" in other.stderr
        assert glpn("predict", "p.tiff", "-f", "npz", "--existing", "update", *words).exit_code == 0
        same = glpn("measure", "p.tiff", "40,20", "--json", *words)
        assert json.loads(same.stdout)["stored_map"] == "p_depth.npz"
        assert json.loads(same.stdout)["points"][0]["depth"] == pytest.approx(
            json.loads(other.stdout)["points"][0]["depth"], abs=1e-4
        )
        assert "W_OTHER_MAP" in glpn("measure", "p.tiff", "20,40").stderr
        again = glpn("export", "p.tiff", "-o", "painted", "--json", "--existing", "overwrite")
        assert "W_OTHER_MAP" in json.loads(again.stdout.splitlines()[0])["warnings"]


def test_options_that_a_map_answers_itself_are_said_to_change_nothing(glpn: Glpn, ramp: Path) -> None:
    for words in (("--kind", "disparity"), ("--depth-scale", "5000"), ("--white", "1023"), ("--frame", "2")):
        result = glpn("measure", ramp, "29,19", *words)
        assert result.stdout.split()[-1] == "3.000"
        assert f"{words[0]} changes nothing in it" in result.stderr


def test_distances_in_space_from_pixel_to_pixel(glpn: Glpn, ramp: Path) -> None:
    result = glpn("measure", ramp, "1,1", "29,1", "29,19", "--focal", "30px", "--json")
    assert result.exit_code == 0
    record = json.loads(result.stdout)
    one, other = (np.array([(x - 14.5) / 30, (1 - 9.5) / 30, 1]) * RAMP[1, x] for x in (1, 29))
    assert [each["from"] for each in record["distances"]] == [[1, 1], [29, 1]]
    assert record["distances"][0]["metres"] == pytest.approx(float(np.linalg.norm(one - other)), rel=1e-5)
    assert (record["focal_px"], record["focal_source"]) == (30, "option")
    text = glpn("measure", ramp, "1,1", "29,1", "--focal", "30px").stdout
    assert "from the one before" in text
    assert f"{record['distances'][0]['metres']:.3f}" in text


def test_an_assumed_field_of_view_is_loudly_named_where_it_matters(glpn: Glpn, ramp: Path) -> None:
    assert "ASSUMED" not in glpn("measure", ramp, "1,1").stderr
    assert "a field of view of 60 degrees is ASSUMED" in glpn("measure", ramp, "1,1", "2,2").stderr


def test_median_and_spread_in_boxes(glpn: Glpn, ramp: Path) -> None:
    result = glpn("measure", ramp, "--box", "1,0,30,20", "--box", "0,0,2,1", "--json")
    assert result.exit_code == 0
    whole, half = json.loads(result.stdout)["boxes"]
    assert whole["median"] == pytest.approx(float(np.median(RAMP[:, 1:])))
    assert half["valid_share"] == 0.5
    assert "50 %" in glpn("measure", ramp, "--box", "0,0,2,1").stdout


@pytest.mark.parametrize(
    ("words", "code"), [(("0,5",), 1), (("0,5", "1,5"), 3), (("--box", "0,0,1,9"), 1), (("1,5", "2,5"), 0)]
)
def test_what_is_unknown_is_said_and_the_exit_code_tells(
    glpn: Glpn, ramp: Path, words: tuple[str, ...], code: int
) -> None:
    result = glpn("measure", ramp, *words)
    assert result.exit_code == code
    assert ("unknown" in result.stdout) == (code != 0)


@pytest.mark.parametrize(
    "words",
    [(), ("30,0",), ("1",), ("--box", "0,0,31,5"), ("1,1", "--focal", "9"), ("--calibrate", "1,1"), ("--box", "1")],
)
def test_nonsense_is_exit_2(glpn: Glpn, ramp: Path, words: tuple[str, ...]) -> None:
    result = glpn("measure", ramp, *words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")


def test_missing_files_and_folders_are_told(glpn: Glpn, ramp: Path, tmp_path: Path) -> None:
    assert glpn("measure", "nowhere.png", "1,1").exit_code == 2
    (tmp_path / "text.txt").write_text("no picture")
    assert glpn("measure", "text.txt", "1,1").exit_code in (1, 3)
    (tmp_path / "b_depth.tiff").write_bytes(ramp.read_bytes())
    folder = glpn("measure", ".", "1,1")
    assert folder.exit_code == 2
    assert "one file" in folder.stderr


def test_one_known_distance_scales_a_whole_sequence_and_is_recorded(
    glpn: Glpn, tiny_model: Path, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        Image.fromarray(make_rgb(48, 64, seed=len(name))).save(tmp_path / f"{name}.png")
    plain = DepthEstimator.from_pretrained(tiny_model, precision="fp32").predict(tmp_path / "one.png").values
    metres = 1.25 * float(plain[20, 10])
    result = glpn("measure", "one.png", "--calibrate", f"10,20={metres:.6f}", "--precision", "fp32")
    assert result.exit_code == 0
    assert result.stdout.strip() == "calibration.json"
    assert "1.25 x depth" in result.stderr
    words = ("--calibration", "calibration.json", "--precision", "fp32", "-o", "out", "-f", "tiff,png16")
    assert glpn("predict", "one.png", "two.png", *words).exit_code == 0
    np.testing.assert_allclose(read_depth(tmp_path / "out/one_depth.tiff").depth.values, 1.25 * plain, rtol=1e-5)
    record = read_record(tmp_path / "out/two_depth.png")
    assert record is not None
    assert record.limit_m == pytest.approx(12.5)
    assert record.provenance is not None
    assert record.provenance.calibration is not None
    assert record.provenance.calibration.startswith("metric scale 1.25")
    assert glpn("predict", "one.png", "two.png", *words).stdout == ""  # skipped
    other = glpn("predict", "one.png", "-o", "out", "-f", "tiff", "--precision", "fp32")
    assert other.exit_code == 1
    assert "limit" in other.stderr or "calibration" in other.stderr


def test_two_known_distances_make_points_of_inverse_depth(glpn: Glpn, tmp_path: Path) -> None:
    truth = save_disparity(tmp_path / "a_depth.tiff")
    refused = glpn("export", "a_depth.tiff", "-f", "ply")
    assert refused.exit_code == 2
    assert "--calibrat" in refused.stderr
    assert glpn("measure", "a_depth.tiff", "--calibrate", "1,1=1").exit_code == 2
    known = [f"--calibrate={x},{y}={truth[y, x]:.6f}" for x, y in ((1, 1), (28, 18))]
    assert glpn("measure", "a_depth.tiff", *known, "-o", "c.json").exit_code == 0
    words = ("--calibration", "c.json", "--focal", "40px")
    assert glpn("export", "a_depth.tiff", "-f", "ply", *words).exit_code == 0
    np.testing.assert_allclose(read_depth(tmp_path / "a_points.ply").depth.values, truth, rtol=1e-4)
    measured = glpn("measure", "a_depth.tiff", "5,5", *words, "--json")
    assert json.loads(measured.stdout)["points"][0]["depth"] == pytest.approx(float(truth[5, 5]), rel=1e-4)


def test_a_calibration_of_another_model_is_refused_before_anything_starts(
    glpn: Glpn, tiny_model_80: Path, tmp_path: Path
) -> None:
    Image.fromarray(make_rgb(48, 64)).save(tmp_path / "p.png")
    assert glpn("measure", "p.png", "--calibrate", "1,1=3").exit_code == 0
    changed = json.loads((tmp_path / "calibration.json").read_text()) | {"weights_sha256": "ab" * 32, "model": "nyu"}
    (tmp_path / "other.json").write_text(json.dumps(changed))
    for command in ("predict", "export"):
        result = glpn(command, "p.png", "--calibration", "other.json", "-o", "out")
        assert result.exit_code == 2
        assert "for model nyu" in result.stderr
    assert not (tmp_path / "out").exists()
    assert glpn("predict", "p.png", "--calibration", "nowhere.json").exit_code == 2


def test_a_file_that_is_no_calibration_is_never_written_over(glpn: Glpn, ramp: Path, tmp_path: Path) -> None:
    (tmp_path / "calibration.json").write_text("mine")
    result = glpn("measure", ramp, "--calibrate", "1,1=3")
    assert result.exit_code == 2
    assert (tmp_path / "calibration.json").read_text() == "mine"
