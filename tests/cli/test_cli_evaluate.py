"""`glpn evaluate` as users meet it."""

from __future__ import annotations

import csv
import errno
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import make_rgb
from faulty_disk import FaultyDisk
from PIL import Image
from typer.testing import CliRunner, Result

from glpn_cli.cli import app
from glpn_cli.data.pairs import LabelPair
from glpn_cli.data.samples import Sample
from glpn_cli.errors import InputError
from glpn_cli.evaluation.predictors import FolderPredictor
from glpn_cli.images import ReadOptions
from glpn_cli.prediction import DepthMap


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def glpn(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Three pictures with depth, one whose depth is missing."""
    lines = ["rgb_path,depth_path,depth_scale"]
    for index in range(4):
        Image.fromarray(make_rgb(64, 96, seed=index)).save(tmp_path / f"{index}.png")
        depth = np.random.default_rng(index).integers(1000, 8000, (64, 96)).astype(np.uint16)
        depth[:4] = 0
        if index != 2:
            Image.fromarray(depth).save(tmp_path / f"{index}_gt.png")
        lines.append(f"{index}.png,{index}_gt.png,1000")
    path = tmp_path / "pairs.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_model_is_scored_raw_and_median_scaled_and_what_is_missing_is_told(pairs: Path, tiny_model: Path) -> None:
    result = glpn("evaluate", "-m", tiny_model, "--data", pairs, "--threads", 1, "-o", "scores.csv")
    assert result.exit_code == 3
    assert "3 of 4 pictures" in result.stdout
    assert "fp32 on cpu" in result.stdout
    assert "align none" in result.stdout
    assert "silog (KITTI, x100)" in result.stdout
    assert "2_gt.png is missing" in result.stderr
    rows = list(csv.DictReader(Path("scores.csv").read_text().splitlines()))
    assert len(rows) == 3 * 2 + 1
    assert all(0 < float(row["abs_rel"]) < 5 for row in rows if not row["error"])
    allowed = glpn("evaluate", "-m", tiny_model, "--data", pairs, "--threads", 1, "--allow-failed", 1)
    assert allowed.exit_code == 0


def test_maps_written_by_predict_score_as_the_model_that_made_them(pairs: Path, tiny_model: Path) -> None:
    settings = ["-m", tiny_model, "--threads", 1, "--precision", "fp32"]
    assert glpn("predict", "0.png", "1.png", "3.png", "-o", "maps", "-f", "npy", *settings).exit_code == 0
    result = glpn("evaluate", *settings, "--predictions", "maps", "--data", pairs, "--json", "--allow-failed", 1)
    assert result.exit_code == 0
    record = json.loads(result.stdout)
    model, maps = record["models"]
    assert model["scores"]["none"]["rmse"]["mean"] == pytest.approx(maps["scores"]["none"]["rmse"]["mean"], rel=1e-5)
    differences = {row["metric"]: row["mean"] for row in record["differences"] if row["align"] == "none"}
    assert differences["rmse"] == pytest.approx(0, abs=1e-5)


def test_pages_are_80_columns_wide_whatever_is_aligned(pairs: Path, tiny_model: Path) -> None:
    result = glpn("evaluate", "-m", tiny_model, "--data", pairs, "--threads", 1, "--align", "median,scale-shift,none")
    assert "scale-shift" in result.stdout
    assert max(map(len, result.stdout.splitlines()[1:])) <= 80  # the first one is the model's path


def test_a_perfect_prediction_scores_perfectly(pairs: Path) -> None:
    Path("perfect").mkdir()
    for index in (0, 1, 3):
        (Path("perfect") / f"{index}.png").write_bytes(Path(f"{index}_gt.png").read_bytes())
    result = glpn("evaluate", "--predictions", "perfect", "--depth-scale", 1000, "--data", pairs, "--json")
    assert result.exit_code == 3
    (model,) = json.loads(result.stdout)["models"]
    assert model["failures"] == {"E_NOT_FOUND": 1}
    assert model["scores"]["none"]["d1"]["mean"] == 1
    assert model["scores"]["none"]["abs_rel"]["mean"] == 0


def test_a_baseline_that_never_looks_is_scored_beside(pairs: Path, tiny_model: Path) -> None:
    settings = ["-m", tiny_model, "--threads", 1, "--data", pairs, "--allow-failed", 1]
    result = glpn("evaluate", *settings, "--baseline", pairs, "--gt-range", "1:8", "--clip", "--align", "none")
    assert result.exit_code == 0
    assert "row fit: log depth = a + b row" in result.stdout
    assert "row fit - " in result.stdout
    assert "1 < true depth < 8 m, crop none, clip on" in result.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "nothing.csv"], "there is no data 'nothing.csv'"),
        (["--data", "/"], "folder '/' has no pairs.csv"),
        (["--data", "pairs.csv", "--protocol", "nyuu"], "--protocol 'nyuu' is none of none, nyu, kitti"),
        (["--data", "pairs.csv", "--crop", "round"], "--crop 'round'"),
        (["--data", "pairs.csv", "--align", "none,mean"], "--align 'mean'"),
        (["--data", "pairs.csv", "--gt-range", "5"], "--gt-range '5'"),
        (["--data", "pairs.csv", "--clip"], "--clip needs a range"),
        (["--data", "pairs.csv", "--predictions", "nowhere"], "nowhere is no folder"),
    ],
)
def test_nonsense_is_refused_before_a_model_is_loaded(pairs: Path, words: list[str], message: str) -> None:
    result = glpn("evaluate", *words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


def test_nothing_measured_is_exit_code_one(pairs: Path, tiny_model: Path) -> None:
    result = glpn("evaluate", "-m", tiny_model, "--data", pairs, "--protocol", "nyu", "--threads", 1)
    assert result.exit_code == 1
    assert "the NYU crop is rows and columns of 640x480" in result.stderr
    assert "nothing was measured" in result.stdout


def test_the_first_failure_ends_the_run_where_that_is_asked_for(pairs: Path) -> None:
    maps = Path("maps")
    maps.mkdir()
    for index in (0, 3):
        (maps / f"{index}.png").write_bytes(Path(f"{index}_gt.png").read_bytes())
    settings = ["--predictions", maps, "--depth-scale", 1000, "--data", pairs]
    result = glpn("evaluate", *settings, "--fail-fast", "--allow-failed", 1)
    assert result.exit_code == 3
    assert "1 of 4 pictures" in result.stdout
    assert "stopped before the last 2" in result.stdout
    (model,) = json.loads(glpn("evaluate", *settings, "--fail-fast", "--json").stdout)["models"]
    assert (model["pictures"], model["measured"], model["failures"]) == (4, 1, {"E_NOT_FOUND": 1})


@pytest.mark.parametrize(("allowed", "code"), [("3", 1), ("4", 0), ("100%", 0)])
def test_failures_are_forgiven_by_one_rule(pairs: Path, allowed: str, code: int) -> None:
    Path("maps").mkdir()
    Path("maps/other.png").write_bytes(Path("0_gt.png").read_bytes())
    settings = ["--predictions", "maps", "--depth-scale", 1000, "--data", pairs]
    assert glpn("evaluate", *settings, "--allow-failed", allowed).exit_code == code


@pytest.fixture
def perfect(pairs: Path) -> list[object]:
    """The words that score maps that are the truth itself, for three of four pictures."""
    Path("perfect").mkdir()
    for index in (0, 1, 3):
        (Path("perfect") / f"{index}.png").write_bytes(Path(f"{index}_gt.png").read_bytes())
    return ["evaluate", "--predictions", "perfect", "--depth-scale", 1000, "--data", pairs]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-o", "perfect"], "one of the inputs"),
        (["--report", "."], "'.' is a folder"),
        (["-o", "./pairs.csv"], "one of the inputs"),
        (["--report", "link.csv"], "one of the inputs"),
        (["--baseline", "rows.csv", "-o", "rows.csv"], "one of the inputs"),
        (["-o", "new", "--report", "./new"], "--output and --report are both"),
        (["-o", "perfect/0.png"], "is no report"),
    ],
)
def test_results_that_would_replace_something_else_are_refused_before_measuring(
    perfect: list[object], words: list[str], message: str
) -> None:
    Path("link.csv").symlink_to("pairs.csv")
    # The heading of a data list that looks like a table of ours.
    Path("rows.csv").write_text("model,picture,align,rgb_path,depth_path,depth_scale\n,,,0.png,0_gt.png,1000\n")
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    result = glpn(*perfect, *words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "2_gt.png" not in result.stderr
    assert result.stdout == ""
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_scores_are_shown_though_the_disk_is_full(perfect: list[object], tmp_path: Path, form: list[str]) -> None:
    with FaultyDisk(tmp_path, "write", call=1, number=errno.ENOSPC, lasting=True).in_place():
        result = glpn(*perfect, *form, "-o", "scores.csv")
    assert result.exit_code == 4
    assert "E_NOSPACE" in result.stderr
    assert ('"measured": 3' if form else "3 of 4 pictures") in result.stdout
    assert not Path("scores.csv").exists()


def test_an_interrupt_shows_what_was_measured_so_far(perfect: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    predict = FolderPredictor.predict

    def interrupted(self: FolderPredictor, sample: Sample) -> DepthMap:
        if sample.name == "3.png":
            raise KeyboardInterrupt
        return predict(self, sample)

    monkeypatch.setattr(FolderPredictor, "predict", interrupted)
    result = glpn(*perfect, "-o", "scores.csv")
    assert result.exit_code == 130
    assert "2 of 4 pictures" in result.stdout
    assert "stopped before the last 1" in result.stdout
    assert len(Path("scores.csv").read_text().splitlines()) == 1 + 2 * 2 + 1


def test_data_that_do_not_say_their_scale_are_told_it(pairs: Path, perfect: list[object]) -> None:
    told = json.loads(glpn(*perfect, "--json").stdout)
    lines = [line.rsplit(",", 1) for line in pairs.read_text().splitlines()]
    pairs.write_text("\n".join(f"{line[0]}," if place == 2 else ",".join(line) for place, line in enumerate(lines)))
    assert json.loads(glpn(*perfect, "--json").stdout) == told
    pairs.write_text("\n".join(line[0] for line in lines))
    assert json.loads(glpn(*perfect, "--json").stdout) == told
    untold = glpn("evaluate", "--predictions", "perfect", "--data", pairs)
    assert untold.exit_code == 2
    assert "has no column depth_scale" in untold.stderr
    assert "--depth-scale" in untold.stderr
    zero = glpn("evaluate", "--predictions", "perfect", "--data", pairs, "--depth-scale", 0)
    assert (zero.exit_code, zero.stdout) == (2, "")


def test_a_scale_beside_lines_that_all_name_another_is_refused(pairs: Path, perfect: list[object]) -> None:
    result = glpn("evaluate", "--data", pairs, "--depth-scale", 256)
    assert result.exit_code == 2
    assert "--depth-scale 256 contradicts the data, where every line says its own depth_scale: 1000" in result.stderr
    assert result.stdout == ""
    stored = 256  # of the maps, and no matter of the data
    for index in (0, 1, 3):
        depth = np.asarray(Image.open(f"perfect/{index}.png")).astype(np.float64) / 1000 * stored
        Image.fromarray(depth.round().astype(np.uint16)).save(f"perfect/{index}.png")
    other = glpn(*(stored if word == 1000 else word for word in perfect))
    assert (other.exit_code, "3 of 4 pictures" in other.stdout) == (3, True)


def test_a_map_that_could_be_of_two_pictures_of_one_name_is_nobodys(pairs: Path, perfect: list[object]) -> None:
    Path("walk").mkdir()
    Path("walk/0.png").write_bytes(Path("0.png").read_bytes())
    pairs.write_text(pairs.read_text() + "walk/0.png,0_gt.png,1000\n")
    result = glpn(*perfect)
    assert "walk/0.png has no map of its own: 0.png could be that of any picture of this name" in result.stderr
    assert "3 of 5 pictures" in result.stdout


def test_metres_for_cameras_that_no_line_tells_are_refused_once(pairs: Path) -> None:
    result = glpn("evaluate", "--data", pairs, "--align", "none,focal")
    assert result.exit_code == 2
    assert "pairs.csv has a focal length, which --align focal needs" in result.stderr
    assert "Add the columns fx,fy to the CSV." in result.stderr
    assert result.stdout == ""


def test_a_picture_without_a_camera_keeps_its_other_scores_and_is_told(pairs: Path) -> None:
    heading, *lines = pairs.read_text().splitlines()
    cameras = (",80,80", ",,", ",80,80", ",80,80")
    filmed = [line + camera for line, camera in zip(lines, cameras, strict=True)]
    pairs.write_text("\n".join([f"{heading},fx,fy", *filmed]) + "\n")
    result = glpn(
        "evaluate", "-m", "mini", "--data", pairs, "--threads", 1, "--align", "none,focal", "--allow-failed", 1
    )
    assert result.exit_code == 3
    assert "1.png: its focal length is not known, so it has no score for focal [E_DATA]" in result.stderr
    assert "3 of 4 pictures" in result.stdout
    assert "align focal: 2 of 4 pictures; without a focal length: 1.png" in result.stdout


def test_an_empty_list_is_an_error_unless_that_is_allowed(perfect: list[object], pairs: Path) -> None:
    pairs.write_text("rgb_path,depth_path,depth_scale\n")
    assert glpn(*perfect).exit_code == 2
    allowed = glpn(*perfect, "--allow-empty", "-o", "scores.csv")
    assert allowed.exit_code == 0
    assert "0 of 0 pictures" in allowed.stdout
    assert len(Path("scores.csv").read_text().splitlines()) == 1


def test_a_map_of_another_picture_is_never_scored(pairs: Path, tiny_model: Path) -> None:
    words = ["0.png", "1.png", "-m", tiny_model, "-o", "maps", "--threads", 1]
    assert glpn("predict", *words).exit_code == 0
    Image.fromarray(make_rgb(64, 96, seed=9)).save("0.png")
    result = glpn("evaluate", "--predictions", "maps", "--data", pairs, "-o", "scores.csv")
    assert result.exit_code == 3
    assert "0_depth.png: this map was made from another picture than 0.png is now" in result.stderr
    assert "1 of 4 pictures" in result.stdout
    rows = list(csv.DictReader(Path("scores.csv").read_text().splitlines()))
    assert {row["picture"] for row in rows if row["abs_rel"]} == {"1.png"}


def test_a_map_of_another_orientation_is_never_scored(pairs: Path, tiny_model: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down, and of the same size
    Image.fromarray(make_rgb(64, 96)).save("0.png", exif=exif)
    words = ["0.png", "1.png", "-m", tiny_model, "-o", "maps", "--threads", 1, "--orientation", "ignore"]
    assert glpn("predict", *words).exit_code == 0
    result = glpn("evaluate", "--predictions", "maps", "--data", pairs)
    assert "0_depth.png: this map is of another frame or orientation of 0.png" in result.stderr
    assert glpn("predict", *words[:-2], "--existing", "update").exit_code == 0
    assert "orientation" not in glpn("evaluate", "--predictions", "maps", "--data", pairs).stderr


def test_one_limit_of_pixels_holds_for_pictures_truths_and_maps(perfect: list[object]) -> None:
    refused = glpn(*perfect, "--max-pixels", 6143)
    assert refused.exit_code == 1
    assert refused.stderr.count("6,144 pixels") == 4
    Image.new("I;16", (1000, 10), 3000).save("perfect/1.png")
    result = glpn(*perfect, "--max-pixels", 6144)
    assert "1.png: the map has 10,000 pixels" in result.stderr
    assert "2 of 4 pictures" in result.stdout


def test_one_foreign_file_is_one_failed_pair(perfect: list[object], pairs: Path) -> None:
    Path("perfect/1.png").write_bytes(Path("perfect/1.png").read_bytes()[:-40])
    with pairs.open("a") as file:
        file.write(f"{'a' * 300}.png,0_gt.png,1000\n0.png,{'b/' * 3000}b.png,1000\n")
    result = glpn(*perfect)
    assert result.exit_code == 3
    assert "2 of 6 pictures" in result.stdout
    assert "E_INTERNAL" not in result.stderr


def test_the_limit_of_pixels_holds_for_labels() -> None:
    Image.fromarray(make_rgb(8, 8, seed=0)).save("a.png")
    Image.new("L", (9, 8)).save("labels.png")
    with pytest.raises(InputError, match="has 72 pixels"):
        LabelPair(Path("a.png"), Path("labels.png")).read(3, ReadOptions(max_pixels=64))


def test_a_large_jpeg_is_scored_as_predict_writes_it(tmp_path: Path, tiny_model: Path) -> None:
    """They differed in the third digit: `predict` decodes a quarter of its pixels, and `evaluate` decoded all."""
    noise = np.random.default_rng(0).integers(0, 256, (375, 500, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((4000, 3000)).save("large.jpg", quality=60)
    truth = np.zeros((3000, 4000), np.uint16)
    truth[::16, ::16] = 3000  # few pixels are quickly scored
    Image.fromarray(truth).save("truth.png", compress_level=1)
    Path("pairs.csv").write_text("rgb_path,depth_path,depth_scale\nlarge.jpg,truth.png,1000\n")
    settings = ("-m", tiny_model, "--precision", "fp32", "--threads", 1)
    assert glpn("predict", "large.jpg", "-o", "maps", "-f", "npy", *settings).exit_code == 0
    scores = []
    for options in (settings, ("--predictions", "maps")):
        result = glpn("evaluate", "--data", "pairs.csv", "--json", *options)
        assert result.exit_code == 0, result.stderr
        scores.append(json.loads(result.stdout)["models"][0]["scores"])
    assert scores[0] == scores[1]


def test_a_film_is_scored_for_its_steadiness(pairs: Path, perfect: list[object]) -> None:
    lines = pairs.read_text().splitlines()
    poses = [lines[0] + ",tx,ty,tz,qx,qy,qz,qw", *(line + f",{i},0,0,0,0,0,1" for i, line in enumerate(lines[1:]))]
    pairs.write_text("\n".join(poses) + "\n")
    result = glpn(*perfect, "--temporal", "--json")
    (model,) = json.loads(result.stdout)["models"]
    assert model["scores"]["none"]["scale_jitter"]["mean"] == pytest.approx(0, abs=1e-3)
    pairs.write_text("\n".join([poses[0], poses[1].replace(",1", ",9")]) + "\n")
    assert glpn(*perfect, "--temporal").exit_code == 2
    refused = glpn("evaluate", "--temporal", "-m", "mini", "--data", "scenes:7:2")
    assert refused.exit_code == 2
    assert "scenes --walk" in refused.stderr
