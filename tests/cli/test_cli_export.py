"""`glpn export` as users meet it: colours from pictures, from maps made earlier, and from maps that lie beside."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from glpn_cli import DepthKind, DepthMap
from glpn_cli.cli import app
from glpn_cli.depth_files import read_depth, read_record


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLPN_MODEL", str(tiny_model))


def glpn(*arguments: object, **settings: Any) -> Result:
    words = [*map(str, arguments), "--threads", "1", "--precision", "fp32"]
    return CliRunner().invoke(app, words, catch_exceptions=False, **settings)


def written(folder: str | Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())


def pixels(path: str | Path) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(Path(path).read_bytes())))


@pytest.fixture(scope="module")
def maps(tiny_model: Path, untouched_pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of maps of the tiny pictures, made once."""
    folder = tmp_path_factory.mktemp("maps")
    assert glpn("predict", untouched_pictures, "-o", folder, "-m", tiny_model).exit_code == 0
    return folder


@pytest.fixture
def depth(maps: Path) -> Path:
    """A copy of them for each test."""
    return shutil.copytree(maps, Path("depth"))


def test_pictures_become_coloured_pictures_of_their_own_size(tiny_pictures: Path) -> None:
    result = glpn("export", tiny_pictures, "-o", "out")
    assert result.exit_code == 0
    assert written("out") == ["a_color.png", "b_color.png", "sub/c_color.png", "sub/d_color.png"]
    assert pixels("out/a_color.png").shape == (48, 64, 3)
    record = read_record(Path("out/a_color.png"))
    assert record is not None
    assert record.map == "color"
    assert record.painted is not None


def test_maps_made_earlier_give_the_same_colours_without_torch_or_model(depth: Path, tiny_pictures: Path) -> None:
    code = (
        "import sys\n"
        "from glpn_cli.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        "assert 'torch' not in sys.modules\n"
    )
    arguments = ["export", str(depth), "-o", "from_maps", "-m", "no/such/model", "--precision", "fp32"]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, stdout=subprocess.DEVNULL, timeout=60)
    assert glpn("export", tiny_pictures, "-o", "from_pictures").exit_code == 0
    assert written("from_maps") == written("from_pictures")
    for name in written("from_maps"):
        one, other = pixels(Path("from_maps") / name), pixels(Path("from_pictures") / name)
        # Rounding to millimetres moves a colour by a step of the table at most here and there.
        assert (np.abs(one.astype(int) - other).max(axis=-1) <= 12).mean() > 0.95


def test_a_picture_with_its_map_beside_it_is_painted_from_that(tiny_pictures: Path) -> None:
    assert glpn("predict", tiny_pictures / "a.jpg", "-o", tiny_pictures, "--max-depth", "3").exit_code == 0
    result = glpn("export", tiny_pictures / "a.jpg", "-o", "out", "-m", "no/such/model", "--side-by-side", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[0])["limit_m"] == 3
    picture = pixels("out/a_color.png")
    assert picture.shape[1] >= 2 * 64
    folder = glpn("export", tiny_pictures, "-o", "all", "--json")
    assert json.loads(folder.stdout.splitlines()[-1])["ok"] == 4, "the map is no second input"


def test_a_map_of_another_picture_is_neither_painted_nor_joined_to_it(tiny_pictures: Path) -> None:
    picture = tiny_pictures / "a.jpg"
    assert glpn("predict", picture, "-o", tiny_pictures).exit_code == 0
    assert glpn("predict", picture, "-o", "maps").exit_code == 0
    Image.new("RGB", (20, 10), "red").save(picture)
    os.utime(picture, (1_400_000_000, 1_400_000_000))
    for number, inputs in enumerate(((picture,), (tiny_pictures,), (picture, tiny_pictures / "a_depth.png"))):
        result = glpn("export", *inputs, "-o", f"out{number}", "--json")
        assert result.exit_code == 0, result.stderr
        assert pixels(f"out{number}/a_color.png").shape == (10, 20, 3)
        assert "W_OTHER_MAP" in result.stdout
    (tiny_pictures / "a_depth.png").rename("a_depth.png")
    result = glpn("export", tiny_pictures, "maps", "-o", "both", "--side-by-side", "--json")
    assert result.exit_code == 0, result.stderr
    assert pixels("both/a_color.png").shape == (10, 40, 3)
    assert "W_OTHER_MAP" in result.stdout


def test_pictures_painted_of_a_map_are_done_again_for_another_picture(tiny_pictures: Path) -> None:
    picture = tiny_pictures / "a.jpg"
    assert glpn("predict", picture, "-o", "maps").exit_code == 0
    assert glpn("export", "maps", "-o", "out").exit_code == 0
    assert '"skipped": 1' in glpn("export", "maps", "-o", "out", "--json").stdout
    Image.new("RGB", (20, 10), "red").save(picture)
    assert glpn("predict", picture, "-o", "maps", "--existing", "update").exit_code == 0
    os.utime("maps/a_depth.png", (1_400_000_000, 1_400_000_000))
    assert glpn("export", "maps", "-o", "out").exit_code == 1
    assert glpn("export", "maps", "-o", "out", "--existing", "update").exit_code == 0
    assert pixels("out/a_color.png").shape == (10, 20, 3)


def test_the_same_map_in_two_formats_is_painted_once(tiny_pictures: Path) -> None:
    assert glpn("predict", tiny_pictures / "a.jpg", "-o", "depth", "-f", "npy,png16,tiff").exit_code == 0
    result = glpn("export", "depth", "-o", "out", "--json")
    assert result.exit_code == 0
    record, summary = map(json.loads, result.stdout.splitlines())
    assert summary["ok"] == 1
    assert record["weights_sha256"], "the one that says how it was made"


def test_grey_in_8_and_in_16_bits_goes_side_by_side_by_the_names_of_its_formats(tiny_pictures: Path) -> None:
    words = ("export", tiny_pictures / "a.jpg", "-f", "gray,gray16,color,png16", "-o", "out")
    assert glpn(*words).exit_code == 0
    assert written("out") == ["a_color.png", "a_depth.png", "a_gray.png", "a_gray16.png"]
    assert [pixels(f"out/a_{name}.png").dtype.itemsize for name in ("gray", "gray16")] == [1, 2]
    assert glpn(*words, "--name", "x").exit_code == 2, "a name that tells nothing apart"
    listed = glpn("export", "--files-from", "-", "-f", "gray16,gray", "-o", "listed", input=f"{tiny_pictures}/a.jpg\n")
    assert listed.exit_code == 0
    assert [Path(line).name for line in listed.stdout.split()] == ["a_gray16.png", "a_gray.png"]


def test_bare_numbers_are_painted_too(depth: Path) -> None:
    np.save("x.npy", np.linspace(1, 5, 48 * 64, dtype=np.float32).reshape(48, 64))
    assert glpn("export", "x.npy", "-o", "out", "--colorbar").exit_code == 0
    assert written("out") == ["x_color.png"]


def test_integers_of_unknown_scale_need_to_be_told(tiny_pictures: Path) -> None:
    Image.fromarray(np.full((20, 30), 2000, np.uint16)).save("raw.png")
    asked = glpn("export", "raw.png", "--as", "depth", "-o", "out")
    assert asked.exit_code == 1
    assert "--depth-scale" in asked.stderr
    assert glpn("export", "raw.png", "--as", "depth", "--depth-scale", "1000", "-o", "out").exit_code == 0


def test_a_range_over_the_batch_paints_equal_depths_equally(tiny_pictures: Path, depth: Path) -> None:
    for source in (tiny_pictures, depth):
        out = f"out_{source.name}"
        assert glpn("export", source, "-o", out, "--range", "batch").exit_code == 0
        ranges = set()
        for name in written(out):
            record = read_record(Path(out) / name)
            assert record is not None
            ranges.add(record.painted)
        assert len(ranges) == 1
        each = glpn("export", source, "-o", f"{out}_each")
        assert each.exit_code == 0
    one = glpn("export", depth, "-o", "out_depth", "--range", "batch", "--json")
    assert json.loads(one.stdout.splitlines()[-1])["skipped"] == 4


def test_what_is_there_already_belongs_to_the_batch_only_in_its_range(tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    maps.mkdir()
    for name, farthest in (("a", 5.0), ("b", 9.0)):
        np.save(maps / f"{name}.npy", np.linspace(1, farthest, 32 * 48, dtype=np.float32).reshape(32, 48))
    words = ["--range", "batch", "-f", "color,gray,npy", "-o", "out", "--json"]
    command = ["export", maps, *words]

    def ranges() -> set[tuple[float, float] | None]:
        records = [read_record(Path("out") / name) for name in written("out") if name.endswith(".png")]
        return {record.painted for record in records if record is not None}

    assert glpn("export", maps / "a.npy", *words).exit_code == 0
    alone = ranges()
    changed = glpn(*command)
    assert changed.exit_code == 3
    assert "was made otherwise: near is" in changed.stderr
    assert "--existing update" in changed.stderr
    assert len(ranges()) == 2
    assert glpn(*command, "--existing", "update").exit_code == 0
    assert len(ranges()) == 1
    assert ranges() != alone
    again = glpn(*command)
    assert again.exit_code == 0
    assert json.loads(again.stdout.splitlines()[-1])["skipped"] == 2
    # Two that were each painted alone are no batch, though both are there.
    apart = ["--range", "batch", "-o", "apart"]
    assert glpn("export", maps / "a.npy", *apart).exit_code == glpn("export", maps / "b.npy", *apart).exit_code == 0
    assert glpn("export", maps, *apart).exit_code == 1


def test_a_fixed_range_in_metres_is_recorded_and_a_change_of_look_is_noticed(depth: Path) -> None:
    assert glpn("export", depth, "-o", "out", "--range", "0.5:8").exit_code == 0
    record = read_record(Path("out/a_color.png"))
    assert record is not None
    assert record.painted == (0.5, 8.0)
    assert glpn("export", depth, "-o", "out", "--range", "0.5:8").exit_code == 0
    changed = glpn("export", depth, "-o", "out", "--range", "0.5:9")
    assert changed.exit_code == 1
    assert "was made otherwise" in changed.stderr
    assert glpn("export", depth, "-o", "out", "--range", "0.5:9", "--existing", "update").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--colormap", "jet"], "'jet'"),
        (["--range", "8:0.5"], "--range"),
        (["--contours", "-1"], "contours"),
        (["-f", "labels"], "'labels'"),
        (["-o", "x.npy"], ".npy"),
    ],
)
def test_looks_that_make_no_sense_are_refused(depth: Path, arguments: list[str], says: str) -> None:
    result = glpn("export", depth, *arguments)
    assert result.exit_code == 2
    assert says in result.stderr


def test_colours_go_to_standard_output_too(depth: Path) -> None:
    result = glpn("export", depth / "a_depth.png", "-o", "-")
    assert result.exit_code == 0
    assert np.asarray(Image.open(io.BytesIO(result.stdout_bytes))).shape == (48, 64, 3)


def test_side_by_side_without_its_picture_is_that_inputs_error(depth: Path, tiny_pictures: Path) -> None:
    shutil.copy(tiny_pictures / "a.jpg", depth)
    result = glpn("export", depth, "-o", "out", "--side-by-side")
    assert result.exit_code == 3
    assert written("out") == ["a_color.png"]
    assert result.stderr.count("is not beside it") == 3


def test_maps_find_their_pictures_in_another_folder_of_the_same_run(depth: Path, tiny_pictures: Path) -> None:
    result = glpn("export", tiny_pictures, depth, "-o", "out", "--side-by-side", "-m", "no/such/model")
    assert result.exit_code == 0, result.stderr
    assert written("out") == ["a_color.png", "b_color.png", "sub/c_color.png", "sub/d_color.png"]
    left = pixels("out/b_color.png")[:, :97]
    assert np.array_equal(left, pixels(tiny_pictures / "b.png"))
    # Without anything beside them they are one and the same as well, and none is painted twice.
    summary = json.loads(glpn("export", depth, tiny_pictures, "-o", "plain", "--json").stdout.splitlines()[-1])
    assert (summary["ok"], summary["total"]) == (4, 4)


def test_measured_maps_in_a_folder_of_pictures_are_left_out_of_side_by_side(
    depth: Path, tiny_pictures: Path, maps: Path
) -> None:
    shutil.copytree(maps, tiny_pictures / "truth")
    result = glpn("export", tiny_pictures, "-o", "out", "--side-by-side")
    assert result.exit_code == 0
    assert written("out") == ["a_color.png", "b_color.png", "sub/c_color.png", "sub/d_color.png"]
    assert result.stderr.count("4 depth maps are left out of --side-by-side") == 1
    joined = glpn("export", tiny_pictures, depth, "-o", "joined", "--side-by-side", "-m", "no/such/model")
    assert joined.exit_code == 0, joined.stderr
    # Painted for themselves they need no picture; named, they are told.
    assert len(written("plain") if glpn("export", tiny_pictures, "-o", "plain").exit_code == 0 else []) == 8
    named = glpn("export", tiny_pictures / "a.jpg", tiny_pictures / "truth/b_depth.png", "-o", "x", "--side-by-side")
    assert named.exit_code == 3
    assert "Name the folder of the pictures too" in named.stderr


def test_damaged_maps_are_named_and_the_others_painted(depth: Path) -> None:
    whole = (depth / "a_depth.png").read_bytes()
    (depth / "a_depth.png").write_bytes(whole[:-40])
    result = glpn("export", depth, "-o", "out", "--range", "batch")
    assert result.exit_code == 3
    assert written("out") == ["b_color.png", "sub/c_color.png", "sub/d_color.png"]
    assert len([line for line in result.stderr.splitlines() if line.startswith("error")]) == 1


@pytest.mark.parametrize("name", ["npy", "npz", "tiff", "pfm", "exr", "png16"])
def test_stored_maps_are_written_in_other_formats_without_a_model(depth: Path, name: str) -> None:
    before = read_depth(depth / "b_depth.png")
    result = glpn("export", depth, "-o", "out", "-f", name, "-m", "no/such/model")
    assert result.exit_code == 0, result.stderr
    path = next(Path("out").glob("b_depth.*"))
    after = read_depth(path)
    assert after.format == name
    assert np.array_equal(after.depth.values, before.depth.values)
    if after.record is not None:
        assert before.record is not None
        assert after.record.provenance == before.record.provenance
        assert after.record.source == "b.png"
    assert glpn("export", depth, "-o", "out", "-f", name).stdout == ""  # all there already


def test_stored_maps_are_calibrated_without_a_model(depth: Path) -> None:
    known = {"type": "calibration", "schema": 1, "kind": "metric", "scale": 1.5, "shift": 0.25}
    Path("c.json").write_text(json.dumps(known))
    words = ("export", depth / "b_depth.png", "--calibration", "c.json", "-m", "no/such/model")
    assert glpn(*words, "-o", "true.tif").exit_code == 0
    before, after = read_depth(depth / "b_depth.png"), read_depth(Path("true.tif"))
    np.testing.assert_allclose(after.depth.values, 1.5 * before.depth.values + 0.25, rtol=1e-6)
    assert after.record is not None
    assert after.record.provenance is not None
    assert after.record.provenance.calibration == "metric scale 1.5 shift 0.25"
    # What is there already is told apart by that first.
    assert glpn("export", depth / "b_depth.png", "-f", "tiff", "-o", "same").exit_code == 0
    told = glpn(*words, "-f", "tiff", "-o", "same")
    assert told.exit_code == 1
    assert "calibration is not recorded, not metric scale 1.5 shift 0.25" in told.stderr


@pytest.mark.parametrize("words", [("-f", "png16"), ("-f", "ply"), ("--contours", "1")])
def test_a_map_of_another_kind_fails_alone_wherever_it_stands(tmp_path: Path, words: tuple[str, ...]) -> None:
    values = np.linspace(1, 9, 48, dtype=np.float32).reshape(6, 8)
    (tmp_path / "maps").mkdir()
    for name, kind in (("a", DepthKind.DISPARITY), ("b", DepthKind.METRIC), ("c", DepthKind.DISPARITY)):
        DepthMap(values, kind=kind).save(tmp_path / "maps" / f"{name}_depth.tiff")
    result = glpn("export", tmp_path / "maps", "-o", tmp_path / "out", *words)
    assert result.exit_code == 3
    assert [path.name[0] for path in (tmp_path / "out").iterdir()] == ["b"]
    assert all(f"{name}_depth.tiff: " in result.stderr for name in "ac")


def test_one_input_that_is_done_already_says_so(depth: Path) -> None:
    words = ("export", depth / "b_depth.png", "-o", "out")
    assert glpn(*words).stderr == ""
    again = glpn(*words)
    assert (again.exit_code, again.stdout) == (0, "")
    assert "1 skipped (already done)" in again.stderr


def test_a_folder_of_nothing_but_our_own_pictures_is_told_as_such(depth: Path) -> None:
    assert glpn("export", depth, "-o", "look").exit_code == 0
    for command, folder in (("export", "look"), ("predict", depth)):
        refused = glpn(command, folder, "-o", "more")
        assert refused.exit_code == 2
        assert "but 4 files that glpn made" in refused.stderr
