"""The second family as users meet it: inverse depth and labels through every command."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from chromium import chromium
from PIL import Image
from program_runs import RECORDS
from random_weights_dpt import HYBRID, LABELS, SMALL, randomized_estimator, randomized_segmenter
from safetensors.torch import load_file
from typer.testing import CliRunner, Result

from glpn_cli import DepthEstimator, DPTImageProcessor
from glpn_cli.cli import app
from glpn_cli.colormaps import HOLE_COLOR
from glpn_cli.colormaps.painting import label_palette
from glpn_cli.data.pairs import LabelPair
from glpn_cli.depth_files import read_depth, read_record
from glpn_cli.depth_files.labels import Labels, read_labels
from glpn_cli.errors import ModelError
from glpn_cli.images import ImageSource
from glpn_cli.prediction import DepthKind, LabelMap
from glpn_cli.prediction import Result as Answer

Glpn = Callable[..., Result]


@pytest.fixture(scope="module")
def depth_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "dpt"
    randomized_estimator(**SMALL).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def label_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "ade"
    randomized_segmenter(**SMALL).save_pretrained(folder)
    return folder


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    random = np.random.default_rng(1)
    path = tmp_path / "photo.jpg"
    Image.fromarray(random.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize((130, 101)).save(path)
    return path


@pytest.fixture
def glpn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Glpn:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)

    return run


def record_of(result: Result) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(result.stdout.splitlines()[0])
    RECORDS.validate(record)
    return record


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_inverse_depth_is_told_without_metres_in_every_format(
    glpn: Glpn, depth_model: Path, photo: Path, more: list[str]
) -> None:
    command = ["predict", photo, "-m", depth_model, "-o", "out", "-f", "npy,tiff,npz,pfm", "--json", *more]
    for _ in range(2):  # as it is written, and as it lies there
        outputs = record_of(glpn(*command))["outputs"]
        assert [output["map"] for output in outputs] == ["depth"] * 4
        assert [output["format"] for output in outputs if "unit" in output] == []


def test_inverse_depth_is_written_with_its_kind(glpn: Glpn, depth_model: Path, photo: Path) -> None:
    result = glpn("predict", photo, "-m", depth_model, "-o", "out", "--json")
    assert result.exit_code == 0, result.stderr
    record = record_of(result)
    assert record["kind"] == "disparity"
    assert "limit_m" not in record
    stored = read_depth("out/photo_depth.tiff")
    assert stored.depth.kind is DepthKind.DISPARITY
    assert stored.depth.size == (101, 130)
    assert glpn("inspect", "out/photo_depth.tiff").stdout.count("disparity") == 1


def test_what_needs_metres_refuses_inverse_depth_with_the_way_out(glpn: Glpn, depth_model: Path, photo: Path) -> None:
    for arguments in (("-f", "png16"), ("-f", "ply"), ("--max-depth", "10")):
        result = glpn("predict", photo, "-m", depth_model, "-o", "out", *arguments)
        assert result.exit_code == 2, arguments
        assert "metres" in result.stderr
    assert not Path("out").exists()


def test_inverse_depth_is_painted_near_warm_like_all_others(glpn: Glpn, depth_model: Path, photo: Path) -> None:
    assert glpn("predict", photo, "-m", depth_model, "-f", "npy,gray", "-o", "maps").exit_code == 0
    depth, gray = np.load("maps/photo_depth.npy"), np.asarray(Image.open("maps/photo_gray.png"))
    nearest, farthest = depth > np.quantile(depth, 0.9), depth < np.quantile(depth, 0.1)
    assert gray[nearest].mean() > gray[farthest].mean() + 100
    result = glpn("export", photo, "-m", depth_model, "--colormap", "gray", "--colorbar", "-o", "painted")
    assert result.exit_code == 0, result.stderr
    painted = np.asarray(Image.open("painted/photo_color.png"))[:, :130, 0]
    assert painted[nearest].mean() > painted[farthest].mean() + 100


def test_inverse_depth_is_measured_after_alignment_in_disparity(
    glpn: Glpn, depth_model: Path, photo: Path, tmp_path: Path
) -> None:
    """Ground truth that is exactly 1 / (a disparity + b) is met exactly."""
    found = DepthEstimator.from_pretrained(depth_model, precision="fp32").predict(photo)
    metres = 1 / (0.02 * found.values + 0.1)
    Image.fromarray(np.rint(metres * 1000).astype(np.uint16)).save(tmp_path / "truth.png")
    (tmp_path / "pairs.csv").write_text("rgb_path,depth_path,depth_scale\nphoto.jpg,truth.png,1000\n")
    result = glpn("evaluate", "-m", depth_model, "--data", tmp_path / "pairs.csv", "--json")
    assert result.exit_code == 0, result.stderr
    assert "disparity" in result.stdout
    scores = [json.loads(line) for line in result.stdout.splitlines()]
    abs_rel = [value for score in scores for value in _values_of(score, "abs_rel")]
    assert min(abs_rel) < 2e-3


def _values_of(value: Any, key: str) -> list[float]:
    """Every number that stands under a key, however deep, as itself or as its mean."""
    found: list[float] = []
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == key:
                numbers = inner.values() if isinstance(inner, dict) else [inner]
                found += [number for number in numbers if isinstance(number, float)][:1]
            found += _values_of(inner, key)
    elif isinstance(value, list):
        found += [number for inner in value for number in _values_of(inner, key)]
    return found


def test_inverse_depth_in_files_that_do_not_say_is_what_the_user_says(
    glpn: Glpn, depth_model: Path, photo: Path, tmp_path: Path
) -> None:
    """Beside its picture, by name, measured, inspected and scored: as the file that says it itself."""
    assert glpn("predict", photo, "-m", depth_model, "-f", "tiff", "-o", "said").exit_code == 0
    assert glpn("predict", photo, "-m", depth_model, "-f", "npy", "-o", ".").exit_code == 0
    assert glpn("export", "said/photo_depth.tiff", "-f", "gray", "-o", "right").exit_code == 0
    for given in ("photo.jpg", "photo_depth.npy"):
        told = glpn("export", given, "--kind", "disparity", "-f", "gray", "-o", f"told_{Path(given).stem}")
        assert told.exit_code == 0, told.stderr
        untold = glpn("export", given, "-f", "gray", "-o", f"untold_{Path(given).stem}")
        assert untold.exit_code == 0, untold.stderr
        right, found, wrong = (
            np.asarray(Image.open(f"{folder}/photo_gray.png")).astype(int)
            for folder in ("right", f"told_{Path(given).stem}", f"untold_{Path(given).stem}")
        )
        np.testing.assert_allclose(found, right, atol=1)
        assert np.corrcoef(wrong.ravel(), right.ravel())[0, 1] < 0
    assert "disparity" in glpn("inspect", "photo_depth.npy", "--kind", "disparity").stdout
    assert "disparity" in glpn("measure", "photo_depth.npy", "50,50", "--kind", "disparity").stdout
    metres = 1 / (0.02 * np.load("photo_depth.npy") + 0.1)
    Image.fromarray(np.rint(metres * 1000).astype(np.uint16)).save(tmp_path / "truth.png")
    Path("pairs.csv").write_text("rgb_path,depth_path,depth_scale\nphoto.jpg,truth.png,1000\n")
    Path("maps").mkdir()
    Path("photo_depth.npy").rename("maps/photo_depth.npy")
    Path("said/photo_depth.tiff").rename("maps/photo_depth.tiff")
    mixed = glpn("evaluate", "--predictions", "maps", "--data", "pairs.csv")
    assert mixed.exit_code == 2
    assert "--kind" in mixed.stderr
    result = glpn("evaluate", "--predictions", "maps", "--kind", "disparity", "--data", "pairs.csv", "--json")
    assert result.exit_code == 0, result.stderr
    scores = [json.loads(line) for line in result.stdout.splitlines()]
    assert min(value for score in scores for value in _values_of(score, "abs_rel")) < 2e-3


def test_labels_are_written_with_their_names(glpn: Glpn, label_model: Path, photo: Path) -> None:
    result = glpn("predict", photo, "-m", label_model, "-o", "out", "--json")
    assert result.exit_code == 0, result.stderr
    record = record_of(result)
    assert record["kind"] == "labels"
    assert record["outputs"] == [{"path": "out/photo_labels.png", "format": "labels", "map": "labels"}]
    found = read_labels("out/photo_labels.png")
    assert found.size == (101, 130)
    assert found.names == tuple(LABELS.values())
    expected = DepthEstimator.from_pretrained(label_model).label(photo)
    np.testing.assert_array_equal(found.labels, expected.labels)
    again = glpn("predict", photo, "-m", label_model, "-o", "out", "--json")
    assert record_of(again)["status"] == "skipped"
    other = glpn("predict", photo, "-m", label_model, "-o", "out", "--input-size", "original")
    assert other.exit_code == 1
    assert "was made otherwise" in other.stderr
    assert "labels" in glpn("inspect", "out/photo_labels.png").stdout


def test_labels_are_painted_with_a_legend(glpn: Glpn, label_model: Path, photo: Path) -> None:
    result = glpn("export", photo, "-m", label_model, "-o", "out")
    assert result.exit_code == 0, result.stderr
    record = read_record("out/photo_color.png")
    assert record is not None
    assert record.kind is None
    with Image.open("out/photo_color.png") as image:
        assert image.height == 101
        assert image.width > 130


def test_transparent_pixels_have_no_label_and_do_not_count(glpn: Glpn, label_model: Path, photo: Path) -> None:
    """Written, read back, painted and scored: nothing is said about what nobody sees."""
    with Image.open(photo) as image:
        seen = image.convert("RGBA")
    alpha = np.full((101, 130), 255, np.uint8)
    alpha[:, :40] = 0
    seen.putalpha(Image.fromarray(alpha))
    seen.save("cut.png")
    assert glpn("predict", "cut.png", "-m", label_model, "-o", "out", "--precision", "fp32").exit_code == 0
    stored = read_labels("out/cut_labels.png")
    assert stored.valid is not None
    np.testing.assert_array_equal(stored.valid, alpha > 0)
    assert glpn("export", "out/cut_labels.png", "-o", "painted").exit_code == 0
    assert glpn("export", "cut.png", "-m", label_model, "-o", "straight", "--precision", "fp32").exit_code == 0
    painted = Path("painted/cut_color.png").read_bytes()
    assert painted == Path("straight/cut_color.png").read_bytes()
    with Image.open("painted/cut_color.png") as image:
        assert {tuple(color) for color in np.asarray(image)[:, :40].reshape(-1, 3).tolist()} == {HOLE_COLOR}
    wrong = stored.labels.copy()
    wrong[:, :40] = 0  # would be half wrong, if it counted
    Image.fromarray(wrong).save("truth.png")
    lines = ["rgb_path,label_path", "cut.png,truth.png", "cut.png,out/cut_labels.png"]
    Path("pairs.csv").write_text("\n".join(lines) + "\n")
    result = glpn("evaluate", "-m", label_model, "--data", "pairs.csv", "--json")
    assert result.exit_code == 0, result.stderr
    scores = json.loads(result.stdout)
    assert (scores["pixels"], scores["pixel_accuracy"]) == (2 * 101 * 90, 1.0)


def test_stored_labels_are_painted_without_a_model(glpn: Glpn, label_model: Path, photo: Path) -> None:
    assert glpn("predict", photo, "-m", label_model, "-o", "out").exit_code == 0
    assert glpn("export", photo, "-m", label_model, "-o", "straight").exit_code == 0
    result = glpn("export", "out/photo_labels.png", "-o", "painted", "-m", "there is no such model")
    assert result.exit_code == 0, result.stderr
    assert Path("painted/photo_color.png").read_bytes() == Path("straight/photo_color.png").read_bytes()
    assert glpn("export", "out/photo_labels.png", "-o", "painted").exit_code == 0
    assert glpn("export", "out", "-o", "scanned").exit_code == 0
    assert Path("scanned/photo_color.png").read_bytes() == Path("straight/photo_color.png").read_bytes()


def test_labels_among_other_things_are_refused_where_named_and_left_out_where_found(
    glpn: Glpn, label_model: Path, depth_model: Path, photo: Path
) -> None:
    assert glpn("predict", photo, "-m", label_model, "-o", ".").exit_code == 0
    Image.open(photo).save("other.png")
    mixed = glpn("export", "photo_labels.png", "other.png", "-o", "mixed", "-m", label_model)
    assert mixed.exit_code == 2
    assert "among inputs" in mixed.stderr
    result = glpn("export", ".", "-o", "found", "-m", depth_model)
    assert result.exit_code == 0, result.stderr
    assert sorted(path.name for path in Path("found").iterdir()) == ["other_color.png", "photo_color.png"]


def test_labels_stand_beside_their_picture(glpn: Glpn, label_model: Path, photo: Path) -> None:
    """From the picture, from a file of labels beside it, and from one in a folder of its own with the picture named."""
    result = glpn("export", photo, "-m", label_model, "-o", "straight", "--side-by-side")
    assert result.exit_code == 0, result.stderr
    assert glpn("export", photo, "-m", label_model, "-o", "alone").exit_code == 0
    pixels, alone = (np.asarray(Image.open(f"{folder}/photo_color.png")) for folder in ("straight", "alone"))
    with Image.open(photo) as image:
        np.testing.assert_array_equal(pixels[:, :130], np.asarray(image))
    np.testing.assert_array_equal(pixels[:, 130:260], alone[:, :130])
    assert glpn("predict", photo, "-m", label_model, "-o", ".").exit_code == 0
    assert glpn("export", "photo_labels.png", "-o", "beside", "--side-by-side").exit_code == 0
    Path("maps").mkdir()
    Path("photo_labels.png").rename("maps/photo_labels.png")
    assert glpn("export", photo, "maps", "-o", "apart", "--side-by-side").exit_code == 0
    painted = Path("straight/photo_color.png").read_bytes()
    assert painted == Path("beside/photo_color.png").read_bytes() == Path("apart/photo_color.png").read_bytes()
    lost = glpn("export", "maps", "-o", "lost", "--side-by-side")
    assert lost.exit_code == 1
    assert "not beside it" in lost.stderr


def test_labels_painted_otherwise_are_painted_again(glpn: Glpn, label_model: Path, photo: Path) -> None:
    asked = ("export", photo, "-m", label_model, "-o", "out", "--json")
    assert record_of(glpn(*asked))["status"] == "ok"
    assert record_of(glpn(*asked))["status"] == "skipped"
    other = glpn(*asked, "--side-by-side")
    assert other.exit_code == 1
    assert "--side-by-side" in other.stderr + other.stdout
    assert record_of(glpn(*asked, "--side-by-side", "--existing", "update"))["status"] == "ok"
    assert record_of(glpn(*asked, "--side-by-side"))["status"] == "skipped"


def facts_on(page: Path) -> list[dict[str, Any]]:
    return [json.loads(facts) for facts in re.findall(r'class="entry">(.*?)\n', page.read_text("utf-8"))]


def test_labels_go_onto_a_page_by_name(glpn: Glpn, label_model: Path, photo: Path) -> None:
    assert glpn("predict", photo, "-m", label_model, "-o", ".").exit_code == 0
    (facts,) = facts_of_export(glpn, photo, "-m", label_model, "-o", "out")
    labels = read_labels("photo_labels.png").labels
    counts = np.bincount(labels.ravel(), minlength=len(LABELS))
    expected = [name for _, name in sorted(zip(-counts, LABELS.values(), strict=True)) if name]
    assert [label["name"] for label in facts["labels"]] == expected[: np.count_nonzero(counts)]
    assert facts["labels"][0]["share"] == pytest.approx(counts.max() / labels.size, abs=1e-4)
    (again,) = facts_of_export(glpn, photo, "-m", label_model, "-o", "out")  # painted already
    (stored,) = facts_of_export(glpn, "photo_labels.png", "-o", "painted")
    assert facts == again == stored


def facts_of_export(glpn: Glpn, *arguments: object) -> list[dict[str, Any]]:
    result = glpn("export", *arguments, "--html", "page.html")
    assert result.exit_code == 0, result.stderr
    return facts_on(Path("page.html"))


@pytest.mark.browser
def test_the_page_tells_labels_under_the_mouse(glpn: Glpn, tmp_path: Path) -> None:
    labels = np.zeros((96, 128), np.uint8)
    labels[:, 32:] = 2
    labels[:, 96:] = 1
    valid = np.ones(labels.shape, np.bool_)
    valid[:, :8] = False
    names = ("wall", "<b>floor</b>", "lamp", "never there")
    source = ImageSource(tmp_path / "a.png", "a.png", "a.png")
    (tmp_path / "a_labels.png").write_bytes(Labels().encode(Answer(LabelMap(labels, names, valid), source)).data)
    Image.fromarray(np.full((96, 128, 3), 200, np.uint8)).save(tmp_path / "a.png")
    assert glpn("export", "a_labels.png", "-o", "out", "--html", "page.html").exit_code == 0
    with chromium(tmp_path / "profile") as page:
        page.open(tmp_path / "page.html", ready="document.documentElement?.dataset.ready === '1'")
        page.wait_for("document.querySelector('.card canvas').width === 128")
        assert page.run("document.querySelector('.card .label span').textContent") == "lamp, <b>floor</b>, wall"
        assert page.run("document.querySelector('select').hidden")
        page.run("document.querySelector('.card').click()")
        page.wait_for("document.querySelector('dialog .view canvas').width === 128")
        page.wait_for("document.querySelectorAll('dialog .legend li').length === 3")
        x, y, width, height = page.run(
            "(({x, y, width, height}) => [x, y, width, height])"
            "(document.querySelector('dialog .view').getBoundingClientRect())"
        )
        scale = min(width / 128, height / 96)
        for column, told in ((2, "unknown"), (20, "wall"), (60, "lamp"), (110, "<b>floor</b>")):
            page.move(x + (width - 128 * scale) / 2 + column * scale, y + height / 2)
            page.wait_for(f"document.querySelector('dialog .depth').textContent === {json.dumps(told)}")
        pixel = page.run(
            "[...document.querySelector('dialog .view canvas').getContext('2d').getImageData(60, 40, 1, 1).data]"
        )
        assert pixel[:3] == label_palette(4)[2].tolist()
        assert page.run("getComputedStyle(document.querySelector('dialog .scale')).display") == "none"


def test_labels_go_through_lists(glpn: Glpn, label_model: Path, photo: Path) -> None:
    (photo.parent / "list.txt").write_text("photo.jpg\n")
    result = glpn("predict", "--files-from", "list.txt", "-m", label_model, "-o", "out")
    assert result.exit_code == 0, result.stderr
    assert Path("out/photo_labels.png").exists()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("predict", "photo.jpg", "-f", "png16"), "png16 holds depth"),
        (("predict", "photo.jpg", "-f", "bmp"), "no format 'bmp'"),
        (("predict", "photo.jpg", "--max-depth", "10"), "no metres"),
        (("export", "photo.jpg", "--contours", "1"), "--contours"),
        (("measure", "photo.jpg", "1,1"), "labels, not depth"),
    ],
)
def test_what_labels_do_not_have_is_refused(
    glpn: Glpn, label_model: Path, photo: Path, arguments: tuple[str, ...], word: str
) -> None:
    result = glpn(*arguments, "-m", label_model)
    assert result.exit_code != 0
    assert word in " ".join(result.stderr.split())


def test_depth_maps_are_not_labelled(glpn: Glpn, label_model: Path, depth_model: Path, photo: Path) -> None:
    assert glpn("predict", photo, "-m", depth_model).exit_code == 0
    photo.rename("other.jpg")
    result = glpn("export", "photo_depth.tiff", "other.jpg", "-m", label_model, "-o", "out")
    assert result.exit_code == 2
    assert "depth map" in result.stderr


def test_an_estimator_says_which_of_the_two_it_is(depth_model: Path, label_model: Path, photo: Path) -> None:
    with pytest.raises(ModelError, match="depth, not labels"):
        DepthEstimator.from_pretrained(depth_model).label(photo)
    with pytest.raises(ModelError, match="labels, not depth"):
        DepthEstimator.from_pretrained(label_model).predict(photo)


@pytest.mark.parametrize("kind", ["depth", "labels"])
def test_a_model_is_inspected(glpn: Glpn, depth_model: Path, label_model: Path, kind: str) -> None:
    result = glpn("inspect", depth_model if kind == "depth" else label_model)
    assert result.exit_code == 0
    assert {"depth": "no unit (disparity)", "labels": "labels"}[kind] in result.stdout
    assert "header      ok" in result.stdout


def test_labels_are_scored_by_pixel_accuracy_and_mean_iou(glpn: Glpn, label_model: Path, photo: Path) -> None:
    """Against its own answer a model is perfect; against half of it, half."""
    found = DepthEstimator.from_pretrained(label_model, precision="fp32").label(photo).labels
    Image.fromarray(found + 1).save("truth.png")
    half = found.copy()
    half[:, 65:] = (half[:, 65:] + 1) % len(LABELS)
    Image.fromarray(half + 1).save("half.png")
    lines = ["rgb_path,label_path,first_label", "photo.jpg,truth.png,1", "photo.jpg,half.png,1", "photo.jpg,no.png,1"]
    Path("pairs.csv").write_text("\n".join(lines) + "\n")
    result = glpn("evaluate", "-m", label_model, "--data", "pairs.csv", "--json", "--report", "report.jsonl")
    assert result.exit_code == 3
    assert "no.png" in result.stderr
    record = json.loads(result.stdout)
    assert record == json.loads(Path("report.jsonl").read_text())
    assert (record["pictures"], record["of"], record["pixels"]) == (2, 3, 2 * 101 * 130)
    assert record["pixel_accuracy"] == pytest.approx(3 / 4)
    assert 0 < record["mean_iou"] < 3 / 4
    assert set(record["iou"]) == set(LABELS.values())
    table = glpn("evaluate", "-m", label_model, "--data", "pairs.csv", "--allow-failed", "1")
    assert table.exit_code == 0
    assert "mean IoU" in table.stdout
    assert "2 of 3 pictures" in table.stdout


def test_scoring_labels_refuses_what_only_depth_has(
    glpn: Glpn, label_model: Path, depth_model: Path, photo: Path
) -> None:
    Path("pairs.csv").write_text("rgb_path,label_path\nphoto.jpg,truth.png\n")
    for arguments, word in (
        (("--align", "median"), "--align"),
        (("--clip",), "--clip"),
        (("--protocol", "kitti"), "--protocol"),
        (("--depth-scale", 1000), "--depth-scale"),
        (("--kind", "disparity"), "--kind"),
        (("-m", depth_model), "scored apart"),
    ):
        result = glpn("evaluate", "-m", label_model, "--data", "pairs.csv", *arguments)
        assert result.exit_code == 2
        assert word in result.stderr
    result = glpn("evaluate", "-m", label_model, "--data", "pairs.csv")
    assert result.exit_code == 1
    Path("pairs.csv").write_text("rgb_path,label_path\n")
    assert glpn("evaluate", "-m", label_model, "--data", "pairs.csv").exit_code == 2
    allowed = glpn("evaluate", "-m", label_model, "--data", "pairs.csv", "--allow-empty")
    assert allowed.exit_code == 0
    assert "0 of 0 pictures" in allowed.stdout


def test_scoring_labels_ends_with_the_first_failure_where_that_is_asked_for(
    glpn: Glpn, label_model: Path, photo: Path
) -> None:
    lines = ["rgb_path,label_path", *[f"{photo.name},missing_{index}.png" for index in range(3)]]
    Path("pairs.csv").write_text("\n".join(lines) + "\n")
    command = ["evaluate", "-m", label_model, "-m", label_model, "--data", "pairs.csv"]
    result = glpn(*command, "--fail-fast", "--allow-failed", "1")
    assert result.exit_code == 1
    assert result.stdout.count("0 of 3 pictures") == 1
    assert "missing_1" not in result.stderr
    assert glpn(*command, "--allow-failed", "3").exit_code == 0
    assert glpn(*command, "--allow-failed", "2").exit_code == 1


def test_an_interrupt_shows_how_labels_scored_so_far(
    glpn: Glpn, label_model: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert glpn("predict", photo, "-m", label_model, "-o", ".").exit_code == 0
    lines = ["rgb_path,label_path", *[f"{photo.name},photo_labels.png"] * 2, f"{photo.name},last.png"]
    Path("pairs.csv").write_text("\n".join(lines) + "\n")
    read = LabelPair.read

    def interrupted(self: LabelPair, *how: Any, **more: Any) -> Any:
        if self.label_path.name == "last.png":
            raise KeyboardInterrupt
        return read(self, *how, **more)

    monkeypatch.setattr(LabelPair, "read", interrupted)
    result = glpn("evaluate", "-m", label_model, "--data", "pairs.csv", "--report", "report.jsonl")
    assert result.exit_code == 130
    assert "2 of 3 pictures" in result.stdout
    assert json.loads(Path("report.jsonl").read_text())["pictures"] == 2


@pytest.mark.parametrize("kind", ["depth", "hybrid", "labels"])
def test_every_command_takes_a_folder_that_transformers_wrote(glpn: Glpn, kind: str, photo: Path) -> None:
    """One journey; `bench` has its own test."""
    if kind == "labels":
        randomized_segmenter(**SMALL).save_pretrained("model")
        truth, column, written = np.full((101, 130), 1, np.uint8), "label_path", "photo_labels.png"
    else:
        randomized_estimator(**(HYBRID if kind == "hybrid" else SMALL)).save_pretrained("model")
        truth, column, written = np.full((101, 130), 4000, np.uint16), "depth_path", "photo_depth.tiff"
        truth[:50] = 2000
    Image.fromarray(truth).save("truth.png")
    header = f"rgb_path,{column}" + (",depth_scale" if kind != "labels" else "")
    Path("pairs.csv").write_text(f"{header}\nphoto.jpg,truth.png{',1000' if kind != 'labels' else ''}\n")
    for command in (
        ("inspect", "model"),
        ("predict", "photo.jpg", "-m", "model", "-o", "out"),
        ("inspect", f"out/{written}"),
        ("export", "photo.jpg", "-m", "model", "-o", "painted"),
        ("export", f"out/{written}", "-o", "stored"),
        ("evaluate", "-m", "model", "--data", "pairs.csv"),
    ):
        result = glpn(*command)
        assert result.exit_code == 0, (command, result.stderr)
    assert Path("painted/photo_color.png").read_bytes() == Path("stored/photo_color.png").read_bytes()


@pytest.mark.parametrize("kind", ["depth", "labels"])
def test_a_pickle_of_transformers_becomes_a_folder(
    glpn: Glpn, depth_model: Path, label_model: Path, photo: Path, kind: str
) -> None:
    """As the published checkpoints are: without what the coarsest step never uses."""
    model = depth_model if kind == "depth" else label_model
    tensors = load_file(model / "model.safetensors")
    Path("old").mkdir()
    torch.save(
        {name: t for name, t in tensors.items() if "layers.0.residual_layer1" not in name}, "old/pytorch_model.bin"
    )
    Path("old/config.json").write_text((model / "config.json").read_text())
    result = glpn("convert", "old", "-o", "new")
    assert result.exit_code == 0, result.stderr
    assert DPTImageProcessor.from_pretrained("new").size == {"height": 64, "width": 64}
    assert glpn("predict", photo, "-m", "new", "-o", "out").exit_code == 0
    assert glpn("inspect", "new").exit_code == 0
