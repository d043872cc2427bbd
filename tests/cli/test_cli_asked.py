"""No option is dropped without a word: what is typed matters, or is refused, or is said to change nothing."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from random_weights_dpt import SMALL, randomized_estimator, randomized_segmenter
from typer.testing import CliRunner, Result

from glpn_cli import DepthEstimator
from glpn_cli.cli import app
from glpn_cli.depth_files import read_record


def glpn(line: str, *more: object) -> Result:
    return CliRunner().invoke(app, [*shlex.split(line), *map(str, more)], catch_exceptions=False)


def refused(result: Result, option: str, reason: str) -> None:
    """One error line that names the option and says why, a hint, exit code 2, and nothing else."""
    said = " ".join(result.stderr.split())
    assert result.exit_code == 2, said
    assert f"error: {option} " in said
    assert reason in said
    assert said.count("error:") == 1
    assert "hint: " in said
    assert result.stdout == ""


@pytest.fixture(scope="module")
def label_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "ade"
    randomized_segmenter(**SMALL).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def disparity_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "dpt"
    randomized_estimator(**SMALL).save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> None:
    """A photo, a depth map and the lists of both in the current folder; the tiny model is the usual one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLPN_MODEL", str(tiny_model))
    random = np.random.default_rng(1)
    Image.fromarray(random.integers(0, 256, (48, 64, 3), dtype=np.uint8)).save("photo.png")
    np.save("map.npy", np.linspace(1, 5, 48 * 64, dtype=np.float32).reshape(48, 64))
    Image.fromarray(np.full((48, 64), 2000, np.uint16)).save("truth.png")
    Path("pairs.csv").write_text("rgb_path,depth_path,depth_scale\nphoto.png,truth.png,1000\n")


@pytest.mark.parametrize(
    ("line", "option", "reason"),
    [
        ("predict photo.png -f npy --depth-scale 1000", "--depth-scale", "npy files"),
        (
            "predict photo.png --axes blender",
            "--axes",
            "hint: It is for -f ply, normals, normals16, normals-npz, normals-exr.",
        ),
        ("predict photo.png -f npy,exr --edge-cull", "--edge-cull", "npy and exr files"),
        ("predict photo.png -o out.png --name '{stem}'", "--name", "--output out.png"),
        ("predict photo.png -o - --name '{stem}'", "--name", "standard output"),
        ("predict photo.png -o - --existing skip", "--existing", "standard output"),
        ("export photo.png -f npy --colormap turbo", "--colormap", "hint: It is for -f color."),
        ("export photo.png -f gray --colormap gray", "--colormap", "gray files"),
        ("export photo.png -f gray16 --colorbar", "--colorbar", "gray16 files"),
        ("export photo.png -f gray --side-by-side", "--side-by-side", "gray files"),
        ("export photo.png -f gray --contours 1", "--contours", "gray files"),
        ("export photo.png -f tiff --range batch", "--range", "It is for -f color, gray, gray16"),
        ("export photo.png -f png16 --invert", "--invert", "png16 files"),
        ("export photo.png --depth-scale 5000", "--depth-scale", "hint: Take the inputs for depth maps with --as"),
        ("export photo.png --kind disparity", "--kind", "there is none among the inputs"),
        ("measure photo.png 1,1 --depth-scale 5000", "--depth-scale", "--as depth"),
        ("measure map.npy 1,1 -o known.json", "--output", "--calibrate"),
        ("measure map.npy --calibrate 1,1=2 --focal 65deg", "--focal", "is measured"),
        ("inspect map.npy -m mini", "--model", "a file is named"),
        ("inspect map.npy --input-size 640", "--input-size", "a file is named"),
        ("inspect mini --depth-scale 1000", "--depth-scale", "a model is named"),
        ("inspect mini -m nyu", "--model", "so does 'mini'"),
        ("models download mini --existing overwrite", "--existing", "none is named"),
        ("models download mini --refresh", "--refresh", "not from there"),
        ("bench photo.png --pictures 4", "--pictures", "INPUTS"),
        ("evaluate --data pairs.csv --kind disparity", "--kind", "there are none"),
        ("evaluate --data scenes:1:2 --depth-scale 1000", "--depth-scale", "there are none"),
        ("evaluate --data scenes:1:2 --isolate", "--isolate", "these pictures are rendered"),
        ("evaluate --data pairs.csv --predictions . --tta flip", "--tta", "hint: Name one with -m"),
        ("evaluate --data pairs.csv --predictions . --precision fp32", "--precision", "none is scored"),
        ("train --config b0 --data scenes:1 -o out --depth-scale 1000", "--depth-scale", "there is none"),
        ("train --config b0 --data pairs.csv -o out --val-count 4", "--val-count", "--val"),
        ("train --config b0 --data pairs.csv -o out --epochs 1 --steps 4", "--epochs", "--steps"),
        ("train --config b0 --data scenes:1 -o out --recipe rooms --epochs 2", "--epochs", "no end"),
    ],
)
def test_what_would_change_nothing_is_refused_before_anything_starts(line: str, option: str, reason: str) -> None:
    refused(glpn(line), option, reason)
    assert not Path("out").exists()


def test_standard_input_has_no_path_below_a_root() -> None:
    refused(CliRunner().invoke(app, shlex.split("predict - --root . -o out"), input=b"x"), "--root", "has no path")


def test_a_rehearsal_ends_with_the_first_failure_as_the_run_would() -> None:
    line = "predict photo.png one.jpg two.jpg -o out --fail-fast"
    runs = [glpn(line + more) for more in (" --dry-run", "")]
    assert [run.exit_code for run in runs] == [1, 1]
    assert ["one.jpg" in run.stderr and "two.jpg" not in run.stderr for run in runs] == [True, True]
    listed = CliRunner().invoke(
        app, shlex.split("predict --files-from - -o out --fail-fast -n"), input="one.jpg\nphoto.png\n"
    )
    assert (listed.exit_code, listed.stdout) == (1, "")


@pytest.mark.parametrize(
    "words",
    [
        *("--colormap turbo", "--range 1:5", "--invert", "--colorbar", "--contours 1", "--depth-scale 1000"),
        *("--focal 65deg", "--axes opengl", "--edge-cull", "--kind metric", "--upsample nearest"),
    ],
)
def test_labels_refuse_what_only_depth_has(label_model: Path, words: str) -> None:
    option = words.partition(" ")[0]
    refused(glpn(f"export photo.png {words} -m", label_model), option, "labels")
    if option in ("--depth-scale", "--focal", "--upsample", "--axes"):
        refused(glpn(f"predict photo.png {words} -m", label_model), option, "labels")


def test_stored_labels_and_spreads_refuse_what_only_depth_has(label_model: Path) -> None:
    assert glpn("predict photo.png -o labels -m", label_model).exit_code == 0
    assert glpn("predict photo.png -o spread --uncertainty").exit_code == 0
    for option, value in (("--colormap", "turbo"), ("--colorbar", ""), ("--focal", "65deg"), ("--kind", "metric")):
        refused(glpn(f"export labels/photo_labels.png {option} {value}"), option, "labels")
    for option, value in (("--contours", "1"), ("--side-by-side", ""), ("--html", "x.html"), ("--focal", "65deg")):
        refused(glpn(f"export spread/photo_uncertainty.tiff {option} {value}"), option, "maps of uncertainty")
    assert glpn("export spread/photo_uncertainty.tiff --colorbar --colormap turbo --invert --range 1:5").exit_code == 0


def test_a_default_format_that_has_no_use_for_an_option_counts_too(disparity_model: Path) -> None:
    refused(glpn("predict photo.png --depth-scale 1000 -m", disparity_model), "--depth-scale", "tiff files")


def test_what_one_of_the_files_or_the_page_looks_at_is_taken() -> None:
    for line in (
        "export photo.png -f npy,gray --range 1:5 -o one",
        "export photo.png -f color,ply --contours 1 --axes opengl -o two",
        "export photo.png -f gray --colormap turbo --html page.html -o three",
        "export map.npy -f npz --kind metric -o four",
        "export truth.png --as depth --depth-scale 1000 -o five",
        "predict photo.png -f png16,npy --depth-scale 500 -o six",
        "evaluate --data scenes:1:1 --baseline pairs.csv --depth-scale 1000",
    ):
        assert glpn(line).exit_code == 0, line


def test_the_environment_types_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLPN_DEVICE", "cpu")
    assert glpn("export map.npy --kind metric").stderr == ""
    assert glpn("inspect map.npy").exit_code == 0
    assert glpn("evaluate --data pairs.csv --predictions . --depth-scale 1000").exit_code != 2


def test_maps_made_earlier_say_that_another_model_changes_nothing_in_them(tiny_model: Path) -> None:
    assert glpn("predict photo.png").exit_code == 0
    one = glpn("export photo.png --tta flip -m", tiny_model)
    assert one.exit_code == 0
    assert "1 map is there already, made earlier: --model, --tta change nothing in it" in one.stderr
    measured = glpn("measure photo.png 1,1 --upsample nearest")
    assert "--upsample changes nothing in it" in measured.stderr
    painted = glpn("export photo_depth.png --depth-scale 256 -o a.png")
    assert "--depth-scale changes nothing in it" in painted.stderr
    stored = glpn("export photo_depth.png --depth-scale 256 -f png16 -o b.png")
    assert (stored.exit_code, stored.stderr) == (0, "")
    anew = glpn("export photo.png --as picture -o anew -m", tiny_model)
    assert anew.exit_code == 0
    assert "made earlier" not in anew.stderr


def test_labels_of_pictures_whose_depth_is_there_are_not_said_to_be_made_earlier(label_model: Path) -> None:
    assert glpn("predict photo.png -o .").exit_code == 0
    shutil.copy("photo.png", "other.png")
    result = glpn("export photo.png other.png -o out -m", label_model)
    assert sorted(Path(line).name for line in result.stdout.split()) == ["other_color.png", "photo_color.png"]
    assert "made earlier" not in result.stderr
    assert read_record(Path("out/photo_color.png")).kind is None


def labelled(label_model: Path, count: int) -> list[str]:
    """Lines of a CSV of pictures whose labels are half of the model's own."""
    lines = ["rgb_path,label_path"]
    for index in range(count):
        random = np.random.default_rng(index)
        Image.fromarray(random.integers(0, 256, (40 + 8 * (index % 2), 64, 3), dtype=np.uint8)).save(f"{index}.png")
        found = DepthEstimator.from_pretrained(label_model, precision="fp32").label(f"{index}.png").labels
        found[:20] = 0
        Image.fromarray(found).save(f"{index}_labels.png")
        lines.append(f"{index}.png,{index}_labels.png")
    return lines


def test_labels_are_scored_alike_by_many_workers_and_in_batches(
    label_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = labelled(label_model, 5)
    Path("labels.csv").write_text("\n".join([*lines[:3], "0.png,missing.png", *lines[3:]]) + "\n")
    sizes = _watch_batches(monkeypatch)
    results = [
        glpn(f"evaluate --data labels.csv --json --workers {workers} --batch-size {size} -m", label_model)
        for workers, size in ((1, 1), (3, 4))
    ]
    assert [result.exit_code for result in results] == [3, 3]
    assert all("missing.png" in result.stderr for result in results)
    one, many = (json.loads(result.stdout) for result in results)
    assert one == many
    assert (one["pictures"], one["of"]) == (5, 6)
    assert sizes == [1, 1, 1, 1, 1, 3, 2]


def _watch_batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    sizes: list[int] = []
    label: Callable[..., object] = DepthEstimator.label_pictures

    def watched(self: DepthEstimator, pictures: list[object]) -> object:
        sizes.append(len(pictures))
        return label(self, pictures)

    monkeypatch.setattr(DepthEstimator, "label_pictures", watched)
    return sizes
