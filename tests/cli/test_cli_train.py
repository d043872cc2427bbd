"""`glpn train` as users meet it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import make_rgb, write_tiny_model
from PIL import Image
from random_weights_dpt import SMALL, randomized_estimator
from typer.testing import CliRunner, Result

from glpn_cli.cli import app


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = ["rgb_path,depth_path,depth_scale"]
    for index in range(4):
        Image.fromarray(make_rgb(64, 96, seed=index)).save(f"{index}.png")
        depth = np.full((64, 96), 2000 + 500 * index, np.uint16)
        if index == 3:
            depth[:] = 0
        Image.fromarray(depth).save(f"{index}_gt.png")
        lines.append(f"{index}.png,{index}_gt.png,1000")
    Path("pairs.csv").write_text("\n".join(lines) + "\n")


def glpn(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["train", *map(str, arguments)], catch_exceptions=False)


SHORT = ("--input-size", "64x64", "--batch-size", 2, "--steps", 4, "--every", 2, "--threads", 1, "--device", "cpu")


def test_a_model_is_fine_tuned_into_an_ordinary_folder(tmp_path: Path) -> None:
    start = write_tiny_model(tmp_path / "start")
    result = glpn("-m", start, "--data", "pairs.csv", "--val", "pairs.csv", "-o", "mine", *SHORT)
    assert result.exit_code == 0
    assert result.stdout == "mine\n"
    assert "3_gt.png has no valid pixel" in result.stderr
    assert "4 steps; 2 pictures left out" in result.stderr
    assert "step 4: validation abs_rel" in result.stderr
    assert json.loads(Path("mine/config.json").read_text())["glpn_cli"]["training_size"] == [64, 64]
    predicted = CliRunner().invoke(app, ["predict", "0.png", "-m", "mine", "-f", "npy", "--threads", "1"])
    assert predicted.exit_code == 0
    assert np.load("0_depth.npy").shape == (64, 96)


def test_data_that_do_not_say_their_scale_are_told_it(tmp_path: Path) -> None:
    lines = [line.rsplit(",", 1)[0] for line in Path("pairs.csv").read_text().splitlines()]
    Path("bare.csv").write_text("\n".join(lines) + "\n")
    start = write_tiny_model(tmp_path / "start")
    told = glpn("-m", start, "--data", "pairs.csv", "-o", "told", *SHORT)
    settings = ("-m", start, "--data", "bare.csv", "--val", "bare.csv", "-o", "bare", *SHORT)
    assert glpn(*settings).exit_code == 2
    assert glpn(*settings, "--depth-scale", 1000).exit_code == told.exit_code == 0
    assert Path("bare/model.safetensors").read_bytes() == Path("told/model.safetensors").read_bytes()
    contradicted = glpn("-m", start, "--data", "pairs.csv", "-o", "never", *SHORT, "--depth-scale", 500)
    assert contradicted.exit_code == 2
    assert "--depth-scale 500 contradicts the data" in contradicted.stderr
    other = glpn(*settings, "--depth-scale", 500, "--resume")
    assert other.exit_code == 2
    assert "units per metre" in other.stderr


def test_data_without_focal_lengths_leave_a_model_without_a_lens(tmp_path: Path) -> None:
    start = write_tiny_model(tmp_path / "start")
    config = json.loads((start / "config.json").read_text())
    config["glpn_cli"] = {**config.get("glpn_cli", {}), "training_size": [64, 64], "training_focal_px": 60.0}
    (start / "config.json").write_text(json.dumps(config))
    result = glpn("-m", start, "--data", "pairs.csv", "-o", "mine", *SHORT)
    assert result.exit_code == 0
    assert "pairs.csv names no focal lengths" in result.stderr
    assert "training_focal_px" not in json.loads(Path("mine/config.json").read_text())["glpn_cli"]
    lines = Path("pairs.csv").read_text().splitlines()
    Path("lens.csv").write_text("\n".join([lines[0] + ",fx,fy", *(f"{line},80,80" for line in lines[1:])]))
    result = glpn("-m", start, "--data", "lens.csv", "-o", "other", *SHORT)
    assert "focal lengths" not in result.stderr
    assert json.loads(Path("other/config.json").read_text())["glpn_cli"]["training_focal_px"] == 60


def test_depths_that_the_model_cannot_say_are_told_before_it_learns(tmp_path: Path) -> None:
    Path("far.csv").write_text(Path("pairs.csv").read_text().replace(",1000", ",100"))
    start = write_tiny_model(tmp_path / "start")
    result = glpn("-m", start, "--data", "far.csv", "-o", "mine", *SHORT)
    assert "100% of 0.png lies beyond 10 m" in result.stderr
    assert "--max-depth" in result.stderr
    assert "beyond" not in glpn("-m", start, "--max-depth", 80, "--data", "far.csv", "-o", "other", *SHORT).stderr


def test_resume_starts_goes_on_and_refuses_other_settings(tmp_path: Path) -> None:
    settings = ("-m", write_tiny_model(tmp_path / "start"), "--data", "pairs.csv", "-o", "mine", *SHORT)
    assert glpn(*settings, "--resume").exit_code == 0
    weights = Path("mine/model.safetensors").read_bytes()
    assert glpn(*settings).exit_code == 2
    again = glpn(*settings, "--resume", "--json")
    assert (again.exit_code, again.stdout) == (0, "")
    assert Path("mine/model.safetensors").read_bytes() == weights
    other = glpn(*settings, "--resume", "--seed", 5)
    assert other.exit_code == 2
    assert "--seed: 0, now 5" in other.stderr


def test_json_tells_the_run_on_stdout_as_history_does() -> None:
    shape = Path("tiny.json")
    shape.write_text(json.dumps({"model_type": "glpn", "hidden_sizes": [8, 8, 10, 8], "decoder_hidden_size": 8}))
    result = glpn("--config", shape, "--data", "pairs.csv", "--recipe", "rooms", "-o", "mine", "--json", *SHORT)
    assert result.exit_code == 0
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert lines == [json.loads(line) for line in Path("mine/history.jsonl").read_text().splitlines()]
    assert {line["type"] for line in lines} == {"train", "skipped"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "starts from exactly one of --model and --config"),
        (("-m", "tiny", "--config", "b0"), "starts from exactly one of --model and --config"),
        (("--config", "b7"), "--config 'b7'"),
        (("--config", "b0", "--input-size", "100x64"), "both sides must be multiples of 32"),
        (("--config", "b0", "--input-size", "640"), "is no WIDTHxHEIGHT"),
        (("--config", "b0", "--precision", "fp16", "--device", "cpu"), "fp16"),
        (("--config", "b0", "--val", "nowhere.csv"), "there is no data 'nowhere.csv'"),
    ],
)
def test_nonsense_is_refused_and_nothing_is_written(words: tuple[str, ...], message: str) -> None:
    result = glpn(*words, "--data", "pairs.csv", "-o", "mine")
    assert result.exit_code == 2
    assert message in result.stderr
    assert not Path("mine").exists()


def test_endless_data_need_a_number_of_steps() -> None:
    result = glpn("--config", "b0", "--data", "scenes:1", "-o", "mine")
    assert result.exit_code == 2
    assert "--steps" in result.stderr


def _photos(folder: Path) -> None:
    """Three pictures, one in a folder of its own, and a file that is none."""
    (folder / "more").mkdir(parents=True)
    for index, name in enumerate(("a.png", "b.png", "more/a.png")):
        Image.fromarray(make_rgb(64, 96, seed=10 + index)).save(folder / name)
    (folder / "broken.jpg").write_bytes(b"no picture")


def test_a_teacher_gives_depth_to_pictures_without(tmp_path: Path) -> None:
    teacher, start = write_tiny_model(tmp_path / "teacher", seed=3), write_tiny_model(tmp_path / "start")
    _photos(Path("photos"))
    settings = ("-m", start, "--teacher", teacher, "--data", "photos", "-o", "mine", *SHORT)
    result = glpn(*settings)
    assert result.exit_code == 0
    assert "broken.jpg" in result.stderr
    assert "4 steps" in result.stderr
    (place,) = Path("mine/teacher").iterdir()
    taught = sorted(place.rglob("*.png"))
    assert [path.relative_to(place).as_posix() for path in taught] == [
        "a.png_depth.png",
        "b.png_depth.png",
        "more/a.png_depth.png",
    ]
    predicted = CliRunner().invoke(
        app, ["predict", "photos/a.png", "-m", str(teacher), "-o", "alone", "--threads", "1"]
    )
    assert predicted.exit_code == 0
    assert np.array_equal(np.asarray(Image.open("alone/a_depth.png")), np.asarray(Image.open(taught[0])))
    card = Path("mine/README.md").read_text()
    assert "photos, taught by" in card


def test_what_a_teacher_gave_is_not_made_again(tmp_path: Path) -> None:
    teacher, start = write_tiny_model(tmp_path / "teacher", seed=3), write_tiny_model(tmp_path / "start")
    _photos(Path("photos"))
    settings = ("-m", start, "--teacher", teacher, "--data", "photos", "-o", "mine", *SHORT)
    assert glpn(*settings, "--steps", 2).exit_code == 0
    before = {path: path.stat().st_mtime_ns for path in Path("mine/teacher").rglob("*.png")}
    weights = Path("mine/model.safetensors").read_bytes()
    assert glpn(*settings, "--steps", 2, "--resume").exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in Path("mine/teacher").rglob("*.png")} == before
    assert Path("mine/model.safetensors").read_bytes() == weights


def test_pictures_that_differ_in_their_extension_alone_are_both_taught(tmp_path: Path) -> None:
    start = write_tiny_model(tmp_path / "start")
    Path("photos").mkdir()
    for name in ("a.png", "a.jpg"):
        Image.fromarray(make_rgb(64, 96, seed=4)).save(Path("photos") / name)
    assert glpn("-m", start, "--teacher", start, "--data", "photos", "-o", "mine", *SHORT).exit_code == 0
    assert sorted(path.name for path in Path("mine/teacher").rglob("*.png")) == ["a.jpg_depth.png", "a.png_depth.png"]


def test_another_teacher_replaces_nothing(tmp_path: Path) -> None:
    teacher, start = write_tiny_model(tmp_path / "teacher", seed=3), write_tiny_model(tmp_path / "start")
    _photos(Path("photos"))
    settings = ("-m", start, "--data", "photos", "-o", "mine", *SHORT, "--steps", 1)
    assert glpn(*settings, "--teacher", teacher).exit_code == 0
    before = {path: path.read_bytes() for path in Path("mine/teacher").rglob("*.png")}
    result = glpn(*settings, "--teacher", start, "--resume")
    assert result.exit_code == 2
    assert "taught by" in result.stderr
    assert {path: path.read_bytes() for path in before} == before


def test_a_folder_without_pictures_teaches_nothing(tmp_path: Path) -> None:
    start = write_tiny_model(tmp_path / "start")
    Path("photos").mkdir()
    result = glpn("-m", start, "--teacher", start, "--data", "photos", "-o", "mine", *SHORT)
    assert result.exit_code == 1
    assert "no pictures in photos" in result.stderr


def test_taught_pictures_and_measured_ones_are_learned_from_together(tmp_path: Path) -> None:
    teacher, start = write_tiny_model(tmp_path / "teacher", seed=3), write_tiny_model(tmp_path / "start")
    _photos(Path("photos"))
    result = glpn("-m", start, "--teacher", teacher, "--data", "photos", "--data", "pairs.csv", "-o", "mine", *SHORT)
    assert result.exit_code == 0
    card = Path("mine/README.md").read_text()
    assert "pairs.csv" in card
    assert "taught by" in card


def test_a_student_comes_nearer_to_its_teacher(tmp_path: Path) -> None:
    teacher, start = write_tiny_model(tmp_path / "teacher", seed=3), write_tiny_model(tmp_path / "start")
    _photos(Path("photos"))
    result = glpn(
        *("-m", start, "--teacher", teacher, "--data", "photos", "-o", "mine", "--input-size", "64x64"),
        *("--batch-size", 3, "--steps", 40, "--learning-rate", 1e-3, "--threads", 1, "--device", "cpu"),
    )
    assert result.exit_code == 0

    def distance(model: Path | str) -> float:
        for each, folder in ((model, "ours"), (teacher, "theirs")):
            arguments = [
                "predict",
                "photos/a.png",
                "-m",
                str(each),
                "-f",
                "npy",
                "-o",
                folder,
                "--existing",
                "overwrite",
            ]
            assert CliRunner().invoke(app, arguments).exit_code == 0
        ours, theirs = np.load("ours/a_depth.npy"), np.load("theirs/a_depth.npy")
        return float(np.abs(np.log(ours / theirs)).mean())

    assert distance("mine") < 0.7 * distance(start)


def test_a_folder_without_depth_needs_a_teacher(tmp_path: Path) -> None:
    _photos(Path("photos"))
    result = glpn("-m", write_tiny_model(tmp_path / "start"), "--data", "photos", "-o", "mine", *SHORT)
    assert result.exit_code == 2
    assert "--teacher" in result.stderr


def test_a_teacher_with_nothing_to_teach_is_refused(tmp_path: Path) -> None:
    start = write_tiny_model(tmp_path / "start")
    result = glpn("-m", start, "--teacher", start, "--data", "pairs.csv", "-o", "mine", *SHORT)
    assert result.exit_code == 2
    assert "--teacher" in result.stderr


def test_a_teacher_without_metres_is_refused(tmp_path: Path) -> None:
    _photos(Path("photos"))
    start, teacher = write_tiny_model(tmp_path / "start"), tmp_path / "dpt"
    randomized_estimator(**SMALL).save_pretrained(teacher)
    result = glpn("-m", start, "--teacher", teacher, "--data", "photos", "-o", "mine", *SHORT)
    assert result.exit_code == 2
    assert "no metres" in result.stderr
    assert not Path("mine").exists()


def test_endless_rooms_are_not_mixed(tmp_path: Path) -> None:
    start = write_tiny_model(tmp_path / "start")
    result = glpn("-m", start, "--data", "pairs.csv", "--data", "scenes:1", "-o", "mine", *SHORT)
    assert result.exit_code == 2
    assert "scenes:1:20000" in result.stderr


def test_mistakes_are_found_before_anything_is_taught(tmp_path: Path) -> None:
    start = write_tiny_model(tmp_path / "start")
    _photos(Path("photos"))
    settings = ("-m", start, "--teacher", start, "--data", "photos", "-o", "mine")
    assert glpn(*settings, "--input-size", "50x64").exit_code == 2
    Path("full").mkdir()
    Path("full/else.txt").touch()
    assert glpn(*settings[:-1], "full").exit_code == 2
    assert not Path("mine").exists()
    assert not Path("full/teacher").exists()
