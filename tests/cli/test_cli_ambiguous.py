"""Files that may be depth or a picture, and what every command makes of them."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_rgb
from PIL import Image
from typer.testing import CliRunner, Result

from glpn_cli.cli import app
from glpn_cli.depth_files import read_depth

Glpn = Callable[..., Result]
MILLIMETRES = np.linspace(500, 4000, 48 * 64).reshape(48, 64).round().astype(np.uint16)
MILLIMETRES[24, 32] = 1382
DEPTH = ("--as", "depth", "--depth-scale", 1000)


@pytest.fixture
def glpn(tiny_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Glpn:
    monkeypatch.setenv("GLPN_MODEL", str(tiny_model))
    monkeypatch.chdir(tmp_path)

    def run(*words: object, **settings: Any) -> Result:
        return CliRunner().invoke(app, [*map(str, words)], catch_exceptions=False, **settings)

    return run


def encode(values: np.ndarray, format: str, **options: Any) -> bytes:  # noqa: A002 - as Pillow calls it
    stream = BytesIO()
    Image.fromarray(values).save(stream, format, **options)
    return stream.getvalue()


def big_tiff(values: np.ndarray) -> bytes:
    """A BigTIFF of one strip, its directory behind the pixels."""
    letter = {"f": 3, "u": 1}[values.dtype.kind]
    height, width = values.shape
    tags = {256: width, 257: height, 258: 8 * values.itemsize, 259: 1, 262: 1, 273: 16, 277: 1, 278: height}
    tags |= {279: values.nbytes, 339: letter}
    entries = b"".join(struct.pack("<HHQQ", tag, 16, 1, value) for tag, value in tags.items())
    pixels = values.tobytes()
    head = struct.pack("<4sHHQ", b"II+\0", 8, 0, 16 + len(pixels))
    return head + pixels + struct.pack("<Q", len(tags)) + entries + bytes(8)


UNCLEAR = {
    "sensor.png": encode(MILLIMETRES, "PNG"),
    "sensor.tif": encode(MILLIMETRES, "TIFF"),
    "sensor.tiff": encode(MILLIMETRES, "TIFF", compression="tiff_lzw"),
    "big.tif": big_tiff(MILLIMETRES),
    "sensor.pgm": b"P5\n# Kinect\n64 48\n65535\n" + MILLIMETRES.astype(">u2").tobytes(),
}
FLOATS = (MILLIMETRES / 1000).astype(np.float32)


@pytest.mark.parametrize("name", UNCLEAR)
def test_a_map_of_a_sensor_is_no_photograph(glpn: Glpn, name: str) -> None:
    Path(name).write_bytes(UNCLEAR[name])
    for words in (("measure", name, "32,24"), ("export", name, "-o", "out"), ("inspect", name)):
        refused = glpn(*words)
        assert refused.exit_code == 1, words
        assert "E_AMBIGUOUS" in refused.stderr
        assert "--as depth --depth-scale 1000" in refused.stderr
        assert "--as picture" in refused.stderr
    right = glpn("measure", name, "32,24", *DEPTH, "--json")
    assert json.loads(right.stdout)["points"][0]["depth"] == pytest.approx(1.382)
    assert glpn("inspect", name, *DEPTH).exit_code == 0
    assert glpn("measure", name, "32,24", "--as", "picture").exit_code == 0


def test_greys_of_16_bits_in_jpeg_2000_are_refused_like_others(glpn: Glpn) -> None:
    Path("sensor.jp2").write_bytes(encode(MILLIMETRES, "JPEG2000", irreversible=False))
    refused = glpn("measure", "sensor.jp2", "32,24")
    assert (refused.exit_code, "E_AMBIGUOUS" in refused.stderr) == (1, True)
    assert glpn("measure", "sensor.jp2", "32,24", "--as", "picture").exit_code == 0
    Path("grey.jp2").write_bytes(encode(make_rgb(48, 64)[..., 0], "JPEG2000"))
    assert glpn("measure", "grey.jp2", "32,24").exit_code == 0


def test_predict_takes_them_for_pictures_and_warns_louder_of_a_name_that_says_depth(glpn: Glpn) -> None:
    for folder in ("scans", "depth"):
        Path(folder).mkdir()
        Path(folder, "a.png").write_bytes(UNCLEAR["sensor.png"])
        result = glpn("predict", folder, "-o", "out", "--json", "--existing", "overwrite")
        assert result.exit_code == 0
        assert json.loads(result.stdout.splitlines()[0])["warnings"] == ["W_DARK", "W_DEPTH_LIKE"][::-1]
        assert ("a name that says depth" in result.stderr) is (folder == "depth")
    chosen = glpn("predict", "depth", "-o", "out", "--json", "--as", "picture", "--existing", "overwrite")
    assert "W_DEPTH_LIKE" not in chosen.stdout
    listed = glpn("predict", "--files-from", "-", "-o", "listed", "--json", input="depth/a.png\n")
    assert "W_DEPTH_LIKE" in listed.stdout
    listed = glpn("export", "--files-from", "-", "-o", "listed", "--json", input="depth/a.png\n")
    assert "E_AMBIGUOUS" in listed.stdout


def test_other_inputs_go_on(glpn: Glpn) -> None:
    Path("in").mkdir()
    Path("in/a.png").write_bytes(UNCLEAR["sensor.png"])
    Path("in/b.jpg").write_bytes(encode(make_rgb(48, 64), "JPEG"))
    result = glpn("export", "in", "-o", "out", "--json")
    assert result.exit_code == 3
    found = {row["name"]: row for row in map(json.loads, result.stdout.splitlines()[:-1])}
    assert found["b.jpg"]["status"] == "ok"
    assert found["a.png"]["error"]["code"] == "E_AMBIGUOUS"


def test_a_map_of_ours_that_another_program_saved_again_is_not_predicted_anew(glpn: Glpn) -> None:
    """OpenCV and Pillow keep the pixels and drop the text."""
    Path("desk.png").write_bytes(encode(make_rgb(48, 64), "PNG"))
    assert glpn("predict", "desk.png").exit_code == 0
    own = json.loads(glpn("measure", "desk_depth.png", "32,24", "--json").stdout)["points"]
    Image.fromarray(np.asarray(Image.open("desk_depth.png"))).save("desk_depth.png")
    refused = glpn("measure", "desk_depth.png", "32,24")
    assert (refused.exit_code, "E_AMBIGUOUS" in refused.stderr) == (1, True)
    assert json.loads(glpn("measure", "desk_depth.png", "32,24", *DEPTH, "--json").stdout)["points"] == own
    beside = glpn("measure", "desk.png", "32,24", "--json")
    assert beside.exit_code == 0
    assert json.loads(beside.stdout)["stored_map"] is None
    assert "W_OTHER_MAP" in beside.stderr, "the map beside it is not passed over in silence"


@pytest.mark.parametrize("width", [16, 32, 64])
@pytest.mark.parametrize("kind", ["big", "plain"])
def test_one_float_a_pixel_is_depth_for_every_command(glpn: Glpn, width: int, kind: str) -> None:
    """The directory lies behind the pixels, far from the first bytes."""
    values = np.tile(FLOATS, (4, 4)).astype(f"<f{width // 8}")
    if kind == "big":
        data = big_tiff(values)
    else:
        tags = {256: values.shape[1], 257: values.shape[0], 258: width, 259: 1, 262: 1, 273: 8, 277: 1}
        tags |= {278: values.shape[0], 279: values.nbytes, 339: 3}
        entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
        head = struct.pack("<4sI", b"II*\0", 8 + values.nbytes)
        data = head + values.tobytes() + struct.pack("<H", len(tags)) + entries + bytes(4)
    Path("x.tif").write_bytes(data)
    np.testing.assert_array_equal(read_depth(Path("x.tif")).depth.values, values.astype(np.float32))
    measured = json.loads(glpn("measure", "x.tif", "32,24", "--json").stdout)
    assert measured["points"][0]["depth"] == pytest.approx(1.382, abs=1e-3)
    assert measured["stored_map"] == "x.tif"
    assert json.loads(glpn("inspect", "x.tif", "--json").stdout)["map"] == "depth"
    assert glpn("export", "x.tif", "-o", "out", "-m", "no/such/model").exit_code == 0
    assert glpn("predict", "x.tif", "-o", "out").exit_code == 2


def test_a_folder_scan_leaves_out_floats(glpn: Glpn) -> None:
    Path("in").mkdir()
    Path("in/a.tif").write_bytes(encode(FLOATS, "TIFF"))
    Path("in/b.jpg").write_bytes(encode(make_rgb(48, 64), "JPEG"))
    result = glpn("predict", "in", "-o", "out")
    assert result.stdout.split() == ["out/b_depth.png"]
    assert "depth maps among the inputs are left out" in result.stderr


def test_maps_of_others_pair_with_their_pictures_by_stem(glpn: Glpn) -> None:
    for name in ("photos/a.jpg", "photos/sub/b.png", "photos/alone.jpg"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(encode(make_rgb(48, 64), "JPEG" if name.endswith("jpg") else "PNG"))
    for name in ("depth/a.png", "depth/sub/b_depth.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(UNCLEAR["sensor.png"])
    words = ("photos/a.jpg", "photos/sub", "depth/a.png", "depth/sub", *DEPTH, "-m", "no/such/model")
    result = glpn("export", *words, "--side-by-side", "-f", "color,ply", "-o", "out")
    assert result.exit_code == 0, result.stderr
    for name in ("a", "b"):
        assert np.asarray(Image.open(BytesIO(Path(f"out/{name}_color.png").read_bytes()))).shape == (48, 128, 3)
        points = Path(f"out/{name}_points.ply").read_bytes()
        assert b"property uchar red" in points
    result = glpn("export", "photos", "depth", *DEPTH, "--side-by-side", "-o", "all", "--json")
    assert result.exit_code == 0
    found = {row["name"]: row["status"] for row in map(json.loads, result.stdout.splitlines()[:-1])}
    assert found == {"a.jpg": "ok", "sub/b.png": "ok"}
    assert "left out of --side-by-side" in result.stderr


@pytest.mark.parametrize("name", ["midas.npy", "midas.pfm", "midas.tif"])
def test_bare_numbers_are_metres_only_with_a_word(glpn: Glpn, name: str) -> None:
    """MiDaS writes inverse depth without a unit, in the same formats."""
    pfm = b"Pf\n64 48\n-1.0\n" + FLOATS[::-1].tobytes()
    np.save("midas.npy", FLOATS)
    Path("midas.pfm").write_bytes(pfm)
    Path("midas.tif").write_bytes(encode(FLOATS, "TIFF"))
    assumed = glpn("measure", name, "32,24", "--json")
    assert "W_UNIT" in assumed.stderr
    assert json.loads(assumed.stdout)["unit_source"] == "assumed"
    said = glpn("measure", name, "32,24", "--json", "--kind", "metric")
    assert said.stderr == ""
    assert json.loads(said.stdout)["unit_source"] == "known"
    inverse = glpn("measure", name, "32,24", "--json", "--kind", "disparity")
    assert json.loads(inverse.stdout)["unit"] is None


@pytest.mark.parametrize(
    "command", [("measure", "m.npy", "32,24"), ("inspect", "m.npy"), ("export", "m.npy", "-f", "npz")]
)
def test_a_scale_that_floats_do_not_use_is_refused(glpn: Glpn, command: tuple[str, ...]) -> None:
    """Floats in millimetres would be a thousand times too far, without a word."""
    np.save("m.npy", 1000 * FLOATS)
    refused = glpn(*command, "--depth-scale", 1000)
    assert refused.exit_code == 1
    assert "floats" in refused.stderr
    assert "depth / 1000" in refused.stderr


def test_the_scale_of_files_to_be_written_is_no_scale_of_floats(glpn: Glpn) -> None:
    np.save("m.npy", FLOATS)
    assert glpn("export", "m.npy", "-f", "png16", "--depth-scale", 256).exit_code == 0
    measured = json.loads(glpn("measure", "m_depth.png", "32,24", "--json").stdout)
    assert measured["points"][0]["depth"] == pytest.approx(float(FLOATS[24, 32]), abs=1 / 256)


def test_export_makes_metres_of_bare_numbers_only_with_a_word(glpn: Glpn) -> None:
    """Else the inverse depth of MiDaS became a map that records metres."""
    np.save("a.npy", FLOATS)
    np.save("b.npy", FLOATS)
    assert "W_UNIT" in glpn("export", "a.npy", "b.npy", "-f", "png16").stderr
    assert "W_UNIT" not in glpn("export", "a.npy", "-f", "npz", "--kind", "metric").stderr
    assert "W_UNIT" not in glpn("export", "a_depth.png").stderr


def test_scores_of_bare_numbers_say_that_they_are_taken_for_metres(glpn: Glpn) -> None:
    """Else the inverse depth of MiDaS got scores in metres."""
    Path("maps").mkdir()
    np.save("maps/a.npy", FLOATS)
    np.save("truth.npy", FLOATS)
    Image.new("RGB", FLOATS.shape[::-1]).save("a.png")
    Path("pairs.csv").write_text("rgb_path,depth_path,depth_scale\na.png,truth.npy,1\n")
    scored = ["evaluate", "--predictions", "maps", "--data", "pairs.csv"]
    assert "W_UNIT" in glpn(*scored).stderr
    assert glpn(*scored, "--kind", "metric").stderr == ""
    assert "W_UNIT" not in glpn(*scored, "--kind", "disparity", "--align", "disparity").stderr
