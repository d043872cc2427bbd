"""`--metres focal`: metres through the lens of each picture, where its focal length and the network's are known."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_rgb
from PIL import ExifTags, Image
from program_runs import RECORDS
from random_weights_dpt import SMALL, randomized_estimator, randomized_segmenter
from typer.testing import CliRunner, Result

from glpn_cli import DepthEstimator
from glpn_cli.checkpoint import Checkpoint
from glpn_cli.cli import app
from glpn_cli.depth_files import read_depth, read_record
from glpn_cli.depth_files.uncertainty import read_uncertainty
from glpn_cli.errors import InputError, UsageError

Glpn = Callable[..., Result]

DIAGONAL_MM = 43.2666153
OWN_PX = 64.0
"""The focal length of the model's camera, at 64 x 48."""


def factor_of(focal_mm: float) -> float:
    """By closed form, for a picture of 64 x 48."""
    return focal_mm * 80 / DIAGONAL_MM / OWN_PX


@pytest.fixture
def glpn(tiny_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Glpn:
    """The tiny model says through which lens it learned."""
    folder = tmp_path / "model"
    folder.mkdir()
    config = dict(Checkpoint.open(tiny_model).config)
    own = {"training_size": [48, 64], "training_focal_px": OWN_PX}
    (folder / "config.json").write_text(json.dumps({**config, "glpn_cli": {**config.get("glpn_cli", {}), **own}}))
    (folder / "model.safetensors").write_bytes((tiny_model / "model.safetensors").read_bytes())
    monkeypatch.setenv("GLPN_MODEL", str(folder))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object, **settings: Any) -> Result:
        words = [
            *map(str, arguments),
            *(("--threads", "1") if arguments[0] in ("predict", "export", "measure") else ()),
        ]
        return CliRunner().invoke(app, words, catch_exceptions=False, **settings)

    return run


def save_photo(name: str, *, focal_mm: int | None = None, size: tuple[int, int] = (48, 64), turned: int = 1) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = turned
    if focal_mm is not None:
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = focal_mm
    Image.fromarray(make_rgb(*size)).save(name, exif=exif, quality=95)


def records(result: Result) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in result.stdout.splitlines()]
    for record in found:
        RECORDS.validate(record)
    return found


def depth_in(path: str) -> np.ndarray:
    return read_depth(Path(path)).depth.values


@pytest.mark.parametrize("focal_mm", [28, 85])
def test_metres_are_multiplied_by_the_ratio_of_the_focal_lengths(glpn: Glpn, focal_mm: int) -> None:
    save_photo("a.jpg", focal_mm=focal_mm)
    assert glpn("predict", "a.jpg", "-f", "tiff,npy", "-o", "plain").exit_code == 0
    (record, _) = records(glpn("predict", "a.jpg", "-f", "tiff,npy", "-o", "out", "--metres", "focal", "--json"))
    factor = factor_of(focal_mm)
    assert record["lens_factor"] == pytest.approx(factor)
    assert (record["metres"], record["focal_source"], record["warnings"]) == ("focal", "exif", [])
    assert record["limit_m"] == pytest.approx(10 * factor)
    for name in ("a_depth.tiff", "a_depth.npy"):
        np.testing.assert_allclose(depth_in(f"out/{name}"), depth_in(f"plain/{name}") * factor, rtol=1e-6)
    stored = read_depth(Path("out/a_depth.tiff"))
    assert stored.depth.limit == pytest.approx(10 * factor)
    assert stored.record is not None
    made = stored.record.provenance
    assert made is not None
    assert (made.metres, made.trained_limit_m) == ("focal auto", 10)
    told = glpn("inspect", "out/a_depth.tiff").stdout
    assert "focal auto" in told
    assert f"lens factor      {factor:.6g}" in told
    plain = read_record(Path("plain/a_depth.tiff"))
    assert plain is not None
    assert not any("metres" in key or "lens" in key or "trained" in key for key in plain.to_text())


def test_exif_and_all_that_focal_says_agree_whatever_way_the_picture_is_turned(glpn: Glpn) -> None:
    save_photo("a.jpg", focal_mm=28, turned=6)  # upright 48 x 64
    px = 28 * 80 / DIAGONAL_MM
    deg = 2 * np.degrees(np.arctan(24 / px))
    ways = {
        "exif": (),
        "mm": ("--focal", "28mm"),
        "px": ("--focal", f"{px:.9f}px"),
        "deg": ("--focal", f"{deg:.9f}deg"),
    }
    for way, words in ways.items():
        result = glpn("predict", "a.jpg", "-f", "npy", "-o", way, "--metres", "focal", *words, "--json")
        assert records(result)[0]["lens_factor"] == pytest.approx(factor_of(28), rel=1e-6)
        np.testing.assert_allclose(depth_in(f"{way}/a_depth.npy"), depth_in("exif/a_depth.npy"), rtol=1e-6)


def test_a_map_scaled_to_one_lens_is_not_read_through_another(glpn: Glpn) -> None:
    save_photo("a.jpg", focal_mm=28)
    assert glpn("predict", "a.jpg", "-o", "out", "--metres", "focal").exit_code == 0
    assert glpn("predict", "a.jpg", "-o", "plain").exit_code == 0
    wrong = glpn("measure", "out/a_depth.png", "3,3", "9,9", "--focal", "56mm")
    assert (wrong.exit_code, "scaled to a focal length of 51.77 pixels" in wrong.stderr) == (1, True)
    assert glpn("measure", "out/a_depth.png", "3,3", "9,9", "--focal", "28.3mm").exit_code == 0
    assert glpn("measure", "plain/a_depth.png", "3,3", "9,9", "--focal", "56mm").exit_code == 0
    assert glpn("export", "out/a_depth.png", "-f", "ply", "--focal", "56mm").exit_code == 1


def test_a_picture_of_another_size_through_the_same_lens_has_the_same_factor(glpn: Glpn) -> None:
    save_photo("a.jpg", focal_mm=28)
    save_photo("b.jpg", focal_mm=28, size=(96, 128))
    found = records(glpn("predict", "a.jpg", "b.jpg", "-o", "out", "--metres", "focal", "--json"))
    assert [record["lens_factor"] for record in found[:2]] == [pytest.approx(factor_of(28))] * 2


@pytest.mark.parametrize("command", ["predict", "export"])
@pytest.mark.parametrize("from_stdin", [False, True])
def test_a_lens_that_nobody_knows_is_that_pictures_error(glpn: Glpn, command: str, from_stdin: bool) -> None:
    save_photo("a.jpg", focal_mm=28)
    save_photo("b.jpg")
    names = ("--files-from", "-") if from_stdin else ("a.jpg", "b.jpg")
    given = {"input": "b.jpg\na.jpg\n"} if from_stdin else {}
    result = glpn(command, *names, "-f", "npy", "-o", "out", "--metres", "focal", "--json", **given)
    assert result.exit_code == 3
    found = {record["name"]: record for record in records(result) if record["type"] == "result"}
    assert (found["a.jpg"]["status"], found["b.jpg"]["status"]) == ("ok", "error")
    assert found["b.jpg"]["error"]["code"] == "E_DATA"
    assert "--focal 28mm" in found["b.jpg"]["error"]["hint"]
    assert [path.name for path in Path("out").iterdir()] == ["a_depth.npy"]
    assert glpn(command, "b.jpg", "-f", "npy", "-o", "out", "--metres", "focal", "--focal", "28mm").exit_code == 0


def test_measure_tells_of_a_lens_that_nobody_knows_and_measures_through_one_that_is(glpn: Glpn) -> None:
    save_photo("b.jpg")
    result = glpn("measure", "b.jpg", "1,1", "--metres", "focal")
    assert result.exit_code == 1
    assert "--focal 28mm" in result.stderr
    plain, brought = (
        json.loads(glpn("measure", "b.jpg", "1,1", "9,9", "--focal", "50mm", "--metres", kind, "--json").stdout)
        for kind in ("trained", "focal")
    )
    factor = factor_of(50)
    assert "lens_factor" not in plain
    assert brought["lens_factor"] == pytest.approx(factor)
    assert brought["points"][0]["depth"] == pytest.approx(plain["points"][0]["depth"] * factor)
    assert brought["distances"][0]["metres"] == pytest.approx(plain["distances"][0]["metres"] * factor)


def test_metres_are_part_of_the_recipe(glpn: Glpn) -> None:
    save_photo("a.jpg", focal_mm=28)
    words = ("predict", "a.jpg", "-o", "out", "--json")
    assert glpn(*words).exit_code == 0
    other = glpn(*words, "--metres", "focal")
    assert other.exit_code == 1
    assert "metres is not recorded, not focal auto" in other.stderr
    assert records(glpn(*words, "--metres", "focal", "--existing", "update"))[0]["status"] == "ok"
    (again, _) = records(glpn(*words, "--metres", "focal"))
    assert again["status"] == "skipped"
    assert again["lens_factor"] == pytest.approx(factor_of(28))
    for more in (("--focal", "50mm"), ("--max-depth", "20")):
        other = glpn(*words, "--metres", "focal", *more)
        assert "was made otherwise" in json.loads(other.stdout.splitlines()[0])["error"]["message"]
        (done, _) = records(glpn(*words, "--metres", "focal", *more, "--existing", "update"))
        assert done["status"] == "ok"
    assert glpn(*words).exit_code == 1  # these are no trained metres


def test_sixteen_bits_that_cannot_hold_it_are_that_pictures_error(glpn: Glpn) -> None:
    save_photo("a.jpg", focal_mm=28)
    save_photo("b.jpg", focal_mm=280)
    result = glpn("predict", "a.jpg", "b.jpg", "-o", "out", "--depth-scale", "5000", "--metres", "focal", "--json")
    assert result.exit_code == 3
    codes = {record["name"]: record.get("error", {}).get("code") for record in records(result) if "name" in record}
    assert codes == {"a.jpg": None, "b.jpg": "E_RANGE"}
    assert [path.name for path in Path("out").iterdir()] == ["a_depth.png"]


@pytest.mark.parametrize("focal", ["0." + 60 * "0" + "1px", "0.001deg"])
def test_a_lens_of_nearly_nothing_is_refused_before_anything_starts(glpn: Glpn, focal: str) -> None:
    save_photo("a.jpg")
    result = glpn("predict", "a.jpg", "-f", "tiff", "-o", "out", "--metres", "focal", "--focal", focal)
    assert result.exit_code == 2
    assert "--focal" in result.stderr
    assert not Path("out").exists()


@pytest.mark.parametrize("focal", ["5px", "640mm"])
def test_a_lens_beyond_belief_or_in_the_wrong_unit_is_that_pictures_error(glpn: Glpn, focal: str) -> None:
    save_photo("a.jpg")
    result = glpn("predict", "a.jpg", "-f", "tiff", "-o", "out", "--metres", "focal", "--focal", focal)
    assert result.exit_code == 1
    assert "hint: Mind the unit of --focal" in result.stderr
    assert not Path("out").exists()


def test_how_far_answers_lie_apart_is_multiplied_too_and_flips_are_averaged_before(glpn: Glpn) -> None:
    save_photo("a.jpg", focal_mm=85)
    words = ("predict", "a.jpg", "-f", "npy", "--uncertainty", "--tta", "flip", "--precision", "fp32")
    for kind in ("trained", "focal"):
        assert glpn(*words, "-o", kind, "--metres", kind).exit_code == 0
    plain, brought = (read_uncertainty(Path(f"{kind}/a_uncertainty.tiff")) for kind in ("trained", "focal"))
    np.testing.assert_allclose(brought[0].values, plain[0].values * factor_of(85), rtol=1e-5)
    np.testing.assert_allclose(
        depth_in("focal/a_depth.npy"), depth_in("trained/a_depth.npy") * factor_of(85), rtol=1e-6
    )
    assert glpn(*words, "-o", "focal", "--metres", "focal").stdout == ""


def test_a_warned_of_camera_is_no_more_where_metres_are_brought_to_it(glpn: Glpn) -> None:
    save_photo("a.jpg", focal_mm=85)
    plain = glpn("predict", "a.jpg", "-o", "plain", "--json")
    assert records(plain)[0]["warnings"] == ["W_FOCAL"]
    assert "--metres focal" in plain.stderr
    assert "W_FOCAL" not in glpn("predict", "a.jpg", "-o", "out", "--metres", "focal").stderr


def test_points_in_space_and_colours_are_of_the_same_metres(glpn: Glpn) -> None:
    save_photo("a.jpg", focal_mm=85)
    words = ("-f", "tiff,ply,color", "--range", "model", "--metres", "focal", "-o", "out", "--json")
    (record, _) = records(glpn("export", "a.jpg", *words))
    np.testing.assert_allclose(depth_in("out/a_points.ply"), depth_in("out/a_depth.tiff"), rtol=1e-5)
    painted = next(output["range"] for output in record["outputs"] if output["format"] == "color")
    assert max(painted) == pytest.approx(10 * factor_of(85))


def test_a_rehearsal_and_standard_input_behave(glpn: Glpn) -> None:
    save_photo("a.jpg", focal_mm=85)
    rehearsed = glpn("predict", "a.jpg", "-o", "out", "--metres", "focal", "--dry-run", "--json")
    assert records(rehearsed)[0]["status"] == "planned"
    assert not Path("out").exists()
    piped = {
        kind: np.load(
            io.BytesIO(
                glpn(
                    "predict", "-", "-o", "-", "-f", "npy", "--metres", kind, input=Path("a.jpg").read_bytes()
                ).stdout_bytes
            )
        )
        for kind in ("trained", "focal")
    }
    np.testing.assert_allclose(piped["focal"], piped["trained"] * factor_of(85), rtol=1e-6)


@pytest.mark.parametrize("command", ["predict", "export", "measure"])
def test_it_is_refused_where_nothing_is_metres_or_no_lens_is_known(
    glpn: Glpn, tiny_model: Path, tmp_path: Path, command: str
) -> None:
    save_photo("a.jpg", focal_mm=28)
    randomized_estimator(**SMALL).save_pretrained(tmp_path / "dpt")
    pixels = ("1,1",) if command == "measure" else ()
    for model, reason in ((tmp_path / "dpt", "which predicts disparity"), (tiny_model, "through which lens")):
        result = glpn(command, "a.jpg", *pixels, "-m", model, "--metres", "focal")
        assert result.exit_code == 2
        assert "error: --metres focal " in result.stderr
        assert reason in " ".join(result.stderr.split())
        assert "hint: " in result.stderr
    with pytest.raises(UsageError, match="through which lens"):
        DepthEstimator.from_pretrained(tiny_model, focal="auto")


def test_labels_have_no_metres(glpn: Glpn, tmp_path: Path) -> None:
    save_photo("a.jpg", focal_mm=28)
    randomized_segmenter(**SMALL).save_pretrained(tmp_path / "ade")
    for kind in ("trained", "focal"):
        result = glpn("predict", "a.jpg", "-m", tmp_path / "ade", "--metres", kind)
        assert result.exit_code == 2
        assert "predicts labels" in " ".join(result.stderr.split())


def test_a_calibration_makes_up_for_the_lens_itself(glpn: Glpn) -> None:
    save_photo("a.jpg", focal_mm=28)
    assert glpn("measure", "a.jpg", "--calibrate", "1,1=2").exit_code == 0
    for command in ("predict", "export"):
        both = glpn(command, "a.jpg", "-o", "out", "--metres", "focal", "--calibration", "calibration.json")
        assert both.exit_code == 2
        assert "makes up for the lens itself" in " ".join(both.stderr.split())
    for words in (("--calibrate", "1,1=2"), ("1,1", "--calibration", "calibration.json")):
        assert glpn("measure", "a.jpg", "--metres", "focal", *words).exit_code == 2
    assert glpn("predict", "a.jpg", "-o", "out", "--metres", "focal").exit_code == 0
    stored = ("export", "out/a_depth.png", "-f", "tiff", "-o", "again")
    assert glpn(*stored, "--calibration", "calibration.json").exit_code != 0
    assert glpn("measure", "out/a_depth.png", "--calibrate", "1,1=2").exit_code == 2
    # Into another format it goes as it is, and goes on telling.
    assert glpn(*stored).exit_code == 0
    record = read_record(Path("again/a_depth.tiff"))
    assert record is not None
    assert record.provenance is not None
    assert record.provenance.lens_factor == pytest.approx(factor_of(28))
    assert glpn(*stored).stdout == ""


def test_maps_that_are_there_already_stay_as_they_are_and_that_is_said(glpn: Glpn) -> None:
    save_photo("a.jpg", focal_mm=28)
    assert glpn("predict", "a.jpg", "-o", "out").exit_code == 0
    result = glpn("export", "out/a_depth.png", "-o", "out", "--metres", "focal")
    assert result.exit_code == 0
    assert "--metres changes nothing in it" in " ".join(result.stderr.split())


def test_the_interface_of_python_takes_a_focal_length_too(glpn: Glpn, tmp_path: Path) -> None:
    save_photo("a.jpg", focal_mm=28)
    plain = DepthEstimator.from_pretrained(tmp_path / "model", precision="fp32")
    depth = plain.predict("a.jpg")
    for focal, factor in (("auto", factor_of(28)), ("85mm", factor_of(85))):
        brought = DepthEstimator.from_pretrained(tmp_path / "model", precision="fp32", focal=focal).predict("a.jpg")
        np.testing.assert_allclose(brought.values, depth.values * factor, rtol=1e-6)
        assert brought.limit == pytest.approx(10 * factor)
    with pytest.raises(InputError, match="no EXIF"):
        DepthEstimator.from_pretrained(tmp_path / "model", focal="auto").predict(make_rgb(48, 64))


def test_evaluate_scores_the_same_whoever_multiplies(glpn: Glpn) -> None:
    rooms = ("scenes", "-o", "rooms", "--count", "3", "--seed", "7", "--size", "96x64", "--focal", "70px")
    assert glpn(*rooms).exit_code == 0
    words = ("predict", "rooms/rgb", "-f", "npy", "-o", "maps", "--metres", "focal", "--focal", "70px")
    assert glpn(*words, "--precision", "fp32").exit_code == 0
    scored = ("evaluate", "--data", "rooms/pairs.csv", "--json")
    one = json.loads(glpn(*scored, "-m", "model", "--precision", "fp32", "--align", "none,focal").stdout)
    other = json.loads(glpn(*scored, "--predictions", "maps", "--align", "none").stdout)
    by_evaluate, by_predict = one["models"][0]["scores"]["focal"], other["models"][0]["scores"]["none"]
    assert by_evaluate["abs_rel"]["mean"] != pytest.approx(
        one["models"][0]["scores"]["none"]["abs_rel"]["mean"], rel=0.1
    )
    for name, score in by_evaluate.items():
        assert by_predict[name]["mean"] == pytest.approx(score["mean"], rel=1e-5)


def test_a_map_says_with_how_many_it_shared_a_batch(glpn: Glpn) -> None:
    """In bf16 a batch of eight moves pixels by up to 21 mm."""
    for name in "abc":
        Image.fromarray(make_rgb(64, 48, seed=ord(name))).save(f"{name}.png")
    together = glpn("predict", "a.png", "b.png", "-f", "npz", "-o", "two", "--batch-size", 2, "--json")
    records = [json.loads(line) for line in together.stdout.splitlines()]
    assert [record.get("batch_size") for record in records if record["type"] == "result"] == [2, 2]
    alone = glpn("predict", "c.png", "-f", "npz", "-o", "one", "--json")
    assert "batch_size" not in json.loads(alone.stdout.splitlines()[0])
    two = read_record(Path("two/a_depth.npz"))
    assert two is not None
    assert two.provenance is not None
    assert two.provenance.batch_size == 2
    assert b"batch_size" not in Path("one/c_depth.npz").read_bytes()
    assert glpn("predict", "a.png", "-f", "npz", "-o", "two", "--existing", "skip").exit_code == 0, "still the same map"
