"""`glpn inspect FILE`: what a depth file says about itself, and what its numbers are."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner, Result

from glpn_cli.cli import app
from glpn_cli.depth_files import make_writer
from glpn_cli.prediction import DepthKind, DepthMap, Provenance
from glpn_cli.prediction import Result as Answer

Glpn = Callable[..., Result]
RAMP = np.linspace(1, 3, 20 * 30, dtype=np.float32).reshape(20, 30)


@dataclass(frozen=True)
class Grey:
    name: str = "rooms/a.jpg"

    def read_colors(self) -> NDArray[np.uint8]:
        return np.full((20, 30, 3), 128, np.uint8)


@pytest.fixture
def glpn() -> Glpn:
    def run(*arguments: object) -> Result:
        return CliRunner().invoke(app, ["inspect", *map(str, arguments)], catch_exceptions=False)

    return run


def write(path: Path, word: str, *, valid: NDArray[np.bool_] | None = None) -> Path:
    """A file of ours: a ramp from 1 to 3 m."""
    depth = DepthMap(RAMP, valid=valid, limit=10.0)
    made = Provenance(model="nyu", weights_sha256="ab" * 32, limit_m=10.0, network_size=(480, 640))
    writer = make_writer(word, kind=DepthKind.METRIC, limit_m=10.0)
    path.write_bytes(writer.encode(Answer(depth, Grey(), made)).data)
    return path


def test_our_own_depth_file_says_everything(glpn: Glpn, tmp_path: Path) -> None:
    valid = np.ones(RAMP.shape, np.bool_)
    valid[:5] = False
    path = write(tmp_path / "a_depth.png", "png16", valid=valid)
    result = glpn(path)
    assert result.exit_code == 0
    said = " ".join(result.stdout.split())
    for words in (
        "holds depth as png16, metres along the optical axis",
        "size 30x20",
        "valid 75.00 %",
        "range 1.501 to 3 m",
        "percentiles 1 %: 1.516",
        "model nyu",
        "depth scale 1000",
        "limit m 10",
        "source rooms/a.jpg",
        "network size 640x480",
    ):
        assert words in said
    record = json.loads(glpn(path, "--json").stdout)
    assert set(record) == {
        *("schema", "type", "path", "format", "map", "kind", "unit", "width", "height", "valid_share", "min", "max"),
        *("mean", "median", "not_depth", "percentiles", "record"),
    }
    assert (record["type"], record["width"], record["height"], record["valid_share"]) == ("depth", 30, 20, 0.75)
    assert record["record"]["glpn:weights_sha256"] == "ab" * 32
    assert record["percentiles"]["50"] == pytest.approx(2.251, abs=2e-3)


def test_a_file_without_a_record_shows_its_numbers_alone(glpn: Glpn, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", RAMP)
    result = glpn(tmp_path / "a.npy")
    assert result.exit_code == 0
    said = " ".join(result.stdout.split())
    assert "holds depth as npy" in said
    assert "range 1 to 3 m" in said
    assert "record none: the file does not say how it was made" in said


def test_a_coloured_picture_of_ours_says_how_it_was_painted(glpn: Glpn, tmp_path: Path) -> None:
    result = glpn(write(tmp_path / "a_color.png", "color"))
    assert result.exit_code == 0
    said = " ".join(result.stdout.split())
    assert "holds a picture painted from depth" in said
    assert "colormap spectral" in said


def test_integers_that_do_not_say_their_scale_need_it(glpn: Glpn, tmp_path: Path) -> None:
    Image.fromarray((RAMP * 256).astype(np.uint16)).save(tmp_path / "kitti.png")
    refused = glpn(tmp_path / "kitti.png")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "E_AMBIGUOUS" in refused.stderr
    refused = glpn(tmp_path / "kitti.png", "--as", "depth")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "--depth-scale" in refused.stderr
    said = glpn(tmp_path / "kitti.png", "--as", "depth", "--depth-scale", "256").stdout
    assert "range 1 to 3 m" in " ".join(said.split())


def test_what_is_no_depth_file_is_one_line(glpn: Glpn, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "photo.png")
    (tmp_path / "notes.txt").write_text("hello")
    for name in ("photo.png", "notes.txt"):
        result = glpn(tmp_path / name)
        assert (result.exit_code, result.stdout) == (1, "")
        assert f"error: {tmp_path / name}: " in result.stderr
    assert glpn("--as", "depth", tmp_path / "missing.png").exit_code == 2
    assert glpn("--as", "depth").exit_code == 2


@pytest.mark.parametrize(
    "name", ["out/missing_depth.png", "out/missing.npy", "runs/model.safetensors", "runs/best.ckpt"]
)
def test_a_file_that_is_not_there_is_not_looked_for_on_the_network(
    glpn: Glpn, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("it asked the network"))
    result = glpn(name)
    assert result.exit_code == 2
    assert name in result.stderr
    assert "download" not in result.stderr


def test_pixels_that_can_be_no_depth_are_counted_and_left_out_of_the_range(tmp_path: Path) -> None:
    values = np.full((8, 8), 2.0, np.float32)
    values[0] = (1e9, np.inf, -1, np.nan, 2, 2, 2, 3)
    np.save(tmp_path / "a.npy", values)
    result = CliRunner().invoke(app, ["inspect", str(tmp_path / "a.npy"), "--json"])
    assert result.exit_code == 0
    record = json.loads(result.stdout)
    assert (record["min"], record["max"]) == (2, 3)
    assert record["not_depth"] == 3  # NaN is the usual hole
    assert "3 pixels" in CliRunner().invoke(app, ["inspect", str(tmp_path / "a.npy")]).stdout


def test_a_map_beyond_the_limit_of_pixels_is_refused_with_the_way_out(glpn: Glpn, tmp_path: Path) -> None:
    path = write(tmp_path / "a.tiff", "tiff")
    result = glpn(path, "--max-pixels", 599)
    assert result.exit_code == 1
    assert "--max-pixels 600" in result.stderr
    assert glpn(path, "--max-pixels", 600).exit_code == 0


def test_the_mean_and_the_median_are_of_the_valid_pixels(tmp_path: Path) -> None:
    file = tmp_path / "map.npy"
    np.save(file, np.array([[1, 2, 6], [np.nan, 1, np.nan]], np.float32))
    result = CliRunner().invoke(app, ["inspect", str(file), "--json"])
    record = json.loads(result.stdout)
    assert (record["mean"], record["median"]) == (2.5, 1.5)


def test_several_files_are_told_in_turn_and_one_that_is_gone_stops_no_other(tmp_path: Path) -> None:
    for name in ("a.npy", "b.npy"):
        np.save(tmp_path / name, np.ones((2, 3), np.float32))
    names = [str(tmp_path / name) for name in ("a.npy", "gone.npy", "b.npy")]
    result = CliRunner().invoke(app, ["inspect", *names, "--json"])
    assert result.exit_code == 3
    assert [json.loads(line)["path"] for line in result.stdout.splitlines()] == [names[0], names[2]]
    assert "gone.npy" in result.stderr


def test_a_folder_of_maps_is_a_table(glpn: Glpn, tmp_path: Path) -> None:
    (tmp_path / "maps" / "below").mkdir(parents=True)
    write(tmp_path / "maps" / "a10_depth.png", "png16")
    write(tmp_path / "maps" / "a9_depth.tiff", "tiff")
    np.save(tmp_path / "maps" / "below" / "a.npy", RAMP)
    write(tmp_path / "maps" / "a9_color.png", "color")
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "maps" / "photo.png")
    result = glpn(tmp_path / "maps")
    assert result.exit_code == 0
    headings, *rows = [line.split() for line in result.stdout.splitlines()]
    assert headings == ["min", "median", "mean", "max", "unit", "valid", "size", "file"]
    assert [Path(row[-1]).name for row in rows] == ["a9_depth.tiff", "a10_depth.png", "a.npy"]
    assert all(row[:8] == ["1.000", "2.000", "2.000", "3.000", "m", "100", "%", "30x20"] for row in rows)
    records = [json.loads(line) for line in glpn(tmp_path / "maps", "--json").stdout.splitlines()]
    assert [record["median"] for record in records] == [pytest.approx(2, abs=1e-3)] * 3


def test_a_folder_without_maps_or_model_is_told(glpn: Glpn, tmp_path: Path) -> None:
    Image.fromarray((RAMP * 1000).astype(np.uint16)).save(tmp_path / "scan.png")
    refused = glpn(tmp_path)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "--as depth" in refused.stderr
    assert "3 m" in glpn(tmp_path, "--as", "depth", "--depth-scale", "1000").stdout
    write(tmp_path / "a_depth.png", "png16")
    result = glpn(tmp_path)
    assert "a_depth.png" in result.stdout
    assert "--as depth" in result.stderr


def test_one_that_fails_stops_no_other(glpn: Glpn, tmp_path: Path) -> None:
    good = write(tmp_path / "a_depth.png", "png16")
    (tmp_path / "b.npy").write_bytes(b"broken")
    result = glpn(tmp_path / "b.npy", good, "mini", tmp_path / "none.png")
    assert result.exit_code == 3
    assert "a_depth.png" in result.stdout
    assert "mini: " in result.stdout
    assert "b.npy" in result.stderr
    assert "none.png" in result.stderr
