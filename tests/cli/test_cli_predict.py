"""`glpn predict` as users meet it: a tiny real model, real files, the exit code first, then stdout, then the files."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from program_runs import RECORDS
from typer.testing import CliRunner, Result

from glpn_cli.cli import app
from glpn_cli.depth_files import read_depth, read_record
from glpn_cli.errors import ErrorCode
from glpn_cli.models import registry
from glpn_cli.models.registry import DEFAULT_MODEL
from glpn_cli.pipeline.plan import Task
from glpn_cli.pipeline.stages import Stages
from glpn_cli.predictor import DepthEstimator


@pytest.fixture
def glpn(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run `glpn predict` on the tiny model, one thread, fp32."""
    monkeypatch.setenv("GLPN_MODEL", str(tiny_model))

    def run(*arguments: object, **settings: Any) -> Result:
        words = ["predict", "--threads", "1", *map(str, arguments)]
        return CliRunner().invoke(app, words, catch_exceptions=False, **settings)

    return run


def records(result: Result) -> list[dict[str, Any]]:
    """The JSON lines of a run, each held against the schema."""
    found = [json.loads(line) for line in result.stdout.splitlines()]
    for record in found:
        RECORDS.validate(record)
    return found


def written(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_folder_becomes_depth_maps_that_mirror_it(
    glpn: Callable[..., Result], tiny_pictures: Path, tiny_model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = glpn(tiny_pictures, "-o", out, "--precision", "fp32")
    assert result.exit_code == 0
    expected = ["a_depth.png", "b_depth.png", "sub/c_depth.png", "sub/d_depth.png"]
    assert written(out) == expected
    assert sorted(result.stdout.splitlines()) == [str(out / name) for name in expected]
    estimator = DepthEstimator.from_pretrained(tiny_model, precision="fp32")
    for name, picture in (("a_depth.png", "a.jpg"), ("sub/d_depth.png", "sub/d.png")):
        stored = np.asarray(Image.open(io.BytesIO((out / name).read_bytes())))
        depth = estimator.predict(tiny_pictures / picture)
        assert stored.dtype == np.uint16
        np.testing.assert_allclose(stored / 1000, depth.values, atol=0.51e-3)


def test_a_single_file_keeps_its_bare_name_and_says_where_its_metres_come_from(
    glpn: Callable[..., Result], tiny_pictures: Path, tmp_path: Path
) -> None:
    result = glpn(tiny_pictures / "sub/c.webp", "-o", tmp_path / "out")
    assert result.exit_code == 0
    assert written(tmp_path / "out") == ["c_depth.png"]
    assert result.stderr == ""
    record = read_record(tmp_path / "out/c_depth.png")
    assert record is not None
    assert record.depth_scale == 1000
    assert record.limit_m == 10
    assert record.source == "c.webp"
    assert record.provenance is not None
    assert record.provenance.network_size == (32, 32)


def test_several_formats_are_written_at_once_and_json_tells_all_of_it(
    glpn: Callable[..., Result], tiny_pictures: Path, tmp_path: Path
) -> None:
    result = glpn(tiny_pictures / "a.jpg", "-f", "png16,npy,color", "-o", tmp_path / "out", "--json")
    assert result.exit_code == 0
    record, summary = records(result)
    assert written(tmp_path / "out") == ["a_color.png", "a_depth.npy", "a_depth.png"]
    assert [output["format"] for output in record["outputs"]] == ["png16", "npy", "color"]
    assert [output["map"] for output in record["outputs"]] == ["depth", "depth", "color"]
    assert record["outputs"][0]["depth_scale"] == 1000
    assert record["outputs"][2]["range"][0] < record["outputs"][2]["range"][1]
    assert (record["width"], record["height"]) == (64, 48)
    assert (record["network_width"], record["network_height"]) == (64, 32)
    assert 0 < record["min"] < record["max"] <= record["limit_m"] == 10
    assert record["kind"] == "metric"
    assert record["seconds"] > 0
    assert summary == {
        "schema": 1,
        "type": "summary",
        "total": 1,
        "ok": 1,
        "skipped": 0,
        "error": 0,
        "planned": 0,
        "codes": {},
        "stopped": None,
        "exit_code": 0,
        "version": summary["version"],
    }


def test_the_schema_knows_every_error_code() -> None:
    assert set(RECORDS.schema["$defs"]["code"]["enum"]) == {code.value for code in ErrorCode}


def test_output_may_be_a_file_whose_extension_is_the_format(
    glpn: Callable[..., Result], tiny_pictures: Path, tmp_path: Path
) -> None:
    target = tmp_path / "deep/er/x.npy"
    assert glpn(tiny_pictures / "a.jpg", "-o", target).stdout == f"{target}\n"
    assert np.load(target).shape == (48, 64)


def test_standard_input_and_output_are_one_picture_each(
    glpn: Callable[..., Result], tiny_pictures: Path, tmp_path: Path
) -> None:
    picture = (tiny_pictures / "b.png").read_bytes()
    result = glpn("-", "-o", "-", "--precision", "fp32", input=picture)
    assert result.exit_code == 0
    stored = read_depth(result.stdout_bytes)
    assert stored.depth.size == (65, 97)
    assert glpn(tiny_pictures / "b.png", "-o", tmp_path, "--precision", "fp32").exit_code == 0
    np.testing.assert_array_equal(stored.depth.values, read_depth(tmp_path / "b_depth.png").depth.values)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-o", "-", "--json"], "both want standard output"),
        (["-o", "-", "-f", "npy,png16"], "npy and png16 cannot both"),
        (["-o", "x.npy", "-f", "png16"], "ends in .npy"),
        (["-o", "x.jpg"], "no format here is written as .jpg"),
        (["-f", "png17"], "'png17'"),
        (["--name", "{stam}"], "{stam} is unknown"),
        (["--name", "../{stem}"], "no file name below"),
        (["--batch-size", "0"], "--batch-size"),
        (["--allow-failed", "some"], "--allow-failed"),
        (["--input-size", "huge"], "--input-size"),
        (["--device", "gpu"], "'gpu'"),
        (["--max-depth", "-3"], "--max-depth"),
        (["--depth-scale", "-3"], "--depth-scale"),
        (["--shard", "3"], "shard"),
        (["--as", "depth"], "predict makes depth"),
        (["--root", "/nowhere"], "outside"),
    ],
)
def test_settings_that_make_no_sense_are_refused_before_anything_starts(
    glpn: Callable[..., Result], tiny_pictures: Path, tmp_path: Path, arguments: list[str], says: str
) -> None:
    os.chdir(tmp_path)
    before = written(tmp_path)
    result = glpn(tiny_pictures / "a.jpg", *arguments)
    assert result.exit_code == 2, result.output
    assert says in result.stderr
    assert result.stdout == ""
    assert written(tmp_path) == before


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_two_inputs_for_one_output_are_refused_with_both_names(
    glpn: Callable[..., Result], tiny_pictures: Path, tmp_path: Path
) -> None:
    shutil.copy(tiny_pictures / "b.png", tiny_pictures / "a.png")
    result = glpn(tiny_pictures, "-o", tmp_path / "out")
    assert result.exit_code == 2
    first, hint = result.stderr.splitlines()
    assert "a.jpg" in first
    assert "a.png" in first
    assert "--name '{name}_{map}'" in hint
    assert not (tmp_path / "out").exists()
    assert glpn(tiny_pictures, "-o", tmp_path / "out", "--name", "{name}_{map}").exit_code == 0
    assert "a.jpg_depth.png" in written(tmp_path / "out")


def test_an_output_that_is_an_input_is_refused_and_unharmed(glpn: Callable[..., Result], tiny_pictures: Path) -> None:
    before = (tiny_pictures / "b.png").read_bytes()
    for policy in ("skip", "overwrite"):
        result = glpn(tiny_pictures / "b.png", "-o", tiny_pictures / "b.png", "--existing", policy)
        assert result.exit_code == 2
        assert "is one of the inputs" in result.stderr
    assert (tiny_pictures / "b.png").read_bytes() == before


def test_places_that_can_never_be_written_are_refused_before_a_model_is_loaded(
    glpn: Callable[..., Result], tiny_pictures: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "x_depth.png").mkdir()
    for arguments in (["-o", "file/deeper"], ["-o", "file"], ["-o", "x_depth.png"], ["--name", "x_{map}"]):
        result = glpn(tiny_pictures / "a.jpg", *arguments)
        assert result.exit_code == 2, arguments
        assert "torch" not in result.stderr
    assert (tmp_path / "file").read_text() == "mine"


def test_a_format_that_cannot_hold_the_models_range_is_refused(
    glpn: Callable[..., Result], tiny_pictures: Path, tiny_model_80: Path, tmp_path: Path
) -> None:
    arguments = [tiny_pictures / "a.jpg", "-m", tiny_model_80, "-o", tmp_path / "out"]
    result = glpn(*arguments, "--depth-scale", "1000")
    assert result.exit_code == 2
    assert result.stderr.rstrip().endswith("-f tiff") or "--depth-scale" in result.stderr
    assert "E_RANGE" in result.stderr
    assert not (tmp_path / "out").exists()
    assert glpn(*arguments).exit_code == 0
    stored = read_depth(tmp_path / "out/a_depth.png")
    assert stored.record is not None
    assert stored.record.depth_scale == 256
    low, high = stored.depth.min_max() or (0, 0)
    assert 40 < low < high <= 80, "80 m never become 14 m"


def test_a_folder_that_says_it_is_glpn_kitti_speaks_metres_to_80(
    glpn: Callable[..., Result], tiny_model: Path, tiny_pictures: Path, tmp_path: Path
) -> None:
    carried = tmp_path / "carried"
    shutil.copytree(tiny_model, carried)
    config = json.loads((carried / "config.json").read_text())
    config["glpn_cli"] = {"source": "vinvino02/glpn-kitti"}
    (carried / "config.json").write_text(json.dumps(config))
    arguments = [tiny_pictures / "a.jpg", "-m", carried, "-f", "npy", "--precision", "fp32"]
    assert glpn(*arguments, "-o", "far.npy").exit_code == 0
    result = glpn(*arguments, "-o", "near.npy", "--max-depth", "10")
    assert result.exit_code == 0
    assert "--max-depth 10" in result.stderr
    np.testing.assert_allclose(np.load("far.npy"), 8 * np.load("near.npy"), rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "code"),
    [("nothere.jpg", "E_NOT_FOUND"), ("empty", "E_USAGE"), ("*.jpg", "E_USAGE")],
)
def test_nothing_to_do_is_one_line_and_exit_2(
    glpn: Callable[..., Result], tmp_path: Path, name: str, code: str
) -> None:
    (tmp_path / "empty").mkdir()
    result = glpn(name, "-o", "out")
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert lines[0].startswith("error: ")
    assert lines[0].endswith(f"[{code}]")
    assert all(line.startswith("  hint: ") for line in lines[1:])
    assert not (tmp_path / "out").exists()


def test_an_empty_folder_may_be_allowed(glpn: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = glpn("empty", "--allow-empty", "--json")
    assert result.exit_code == 0
    assert [record["type"] for record in records(result)] == ["summary"]


def test_no_inputs_at_all_is_a_usage_error(glpn: Callable[..., Result]) -> None:
    assert glpn().exit_code == 2


@pytest.mark.parametrize("name", ["minni", "./nowhere", "no/such/model", "bad\x1bname"])
def test_a_model_that_does_not_exist_is_one_line_and_exit_2(
    glpn: Callable[..., Result], tiny_pictures: Path, tmp_path: Path, name: str
) -> None:
    result = glpn(tiny_pictures, "-m", name, "-o", "out", "--offline")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert "\x1b" not in result.stderr
    assert len(result.stderr.splitlines()) <= 2
    assert not (tmp_path / "out").exists()


def test_good_files_are_written_and_each_bad_one_is_named_once(
    glpn: Callable[..., Result], tiny_pictures: Path, tmp_path: Path
) -> None:
    good = (tiny_pictures / "a.jpg").read_bytes()
    (tiny_pictures / "truncated.jpg").write_bytes(good[: len(good) // 2])
    (tiny_pictures / "empty.png").write_bytes(b"")
    (tiny_pictures / "renamed.jpg").write_bytes((tiny_pictures / "b.png").read_bytes())
    (tiny_pictures / "page.jpg").write_text("<html>not found</html>")
    (tiny_pictures / "noise.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    (tiny_pictures / "notes.txt").write_text("not a picture, and not asked for")
    (tiny_pictures / "folder.jpg").mkdir()
    out = tmp_path / "out"
    result = glpn(tiny_pictures, "-o", out, "--report", "report.jsonl")
    assert result.exit_code == 3
    good_names = ["a_depth.png", "b_depth.png", "renamed_depth.png", "sub/c_depth.png", "sub/d_depth.png"]
    assert written(out) == good_names
    assert sorted(result.stdout.splitlines()) == [str(out / name) for name in good_names]
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    bad = ["empty.png", "noise.png", "page.jpg", "truncated.jpg"]
    assert len(errors) == len(bad)
    for name in bad:
        assert sum(name in line for line in errors) == 1
    assert "5 written, 4 failed" in result.stderr
    report = [json.loads(line) for line in (tmp_path / "report.jsonl").read_text().splitlines()]
    codes = {record["name"]: record["error"]["code"] for record in report if "error" in record and "name" in record}
    assert codes == {
        "empty.png": "E_DECODE",
        "noise.png": "E_DECODE",
        "page.jpg": "E_UNSUPPORTED",
        "truncated.jpg": "E_DECODE",
    }
    assert report[-1]["codes"] == {"E_DECODE": 3, "E_UNSUPPORTED": 1}


def test_only_bad_inputs_are_exit_1(glpn: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    assert glpn("empty.png", "-o", "out").exit_code == 1


def test_failures_can_be_allowed_or_end_the_run(
    glpn: Callable[..., Result], tiny_pictures: Path, tmp_path: Path
) -> None:
    (tiny_pictures / "0.png").write_bytes(b"")
    arguments = [tiny_pictures, "-o", tmp_path / "out", "--existing", "overwrite", "--json"]
    assert glpn(*arguments, "--allow-failed", "1").exit_code == 0
    assert glpn(*arguments, "--allow-failed", "20%").exit_code == 0
    assert glpn(*arguments, "--allow-failed", "19%").exit_code == 3
    assert glpn(*arguments, "--allow-failed", "0").exit_code == 3
    hasty = glpn(*arguments, "--fail-fast", "--workers", "1", "--allow-failed", "1")
    assert hasty.exit_code in (1, 3)
    assert records(hasty)[-1]["ok"] < 4


def test_an_allowed_truncation_is_a_warning(glpn: Callable[..., Result], tiny_pictures: Path) -> None:
    path = tiny_pictures / "a.jpg"
    path.write_bytes(path.read_bytes()[:-100])
    assert glpn(path, "-o", "strict").exit_code == 1
    result = glpn(path, "-o", "lax", "--allow-truncated", "--json")
    assert result.exit_code == 0
    assert records(result)[0]["warnings"] == ["W_TRUNCATED"]
    assert "W_TRUNCATED" in result.stderr


def test_a_second_run_skips_what_is_done_and_says_so(
    glpn: Callable[..., Result], tiny_pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert glpn(tiny_pictures, "-o", out).exit_code == 0
    before = {name: (out / name).stat().st_mtime_ns for name in written(out)}
    again = glpn(tiny_pictures, "-o", out, "--json")
    assert again.exit_code == 0
    found = records(again)
    assert [record["status"] for record in found[:-1]] == ["skipped"] * 4
    assert found[0]["outputs"][0]["depth_scale"] == 1000
    assert found[0]["kind"] == "metric"
    assert {name: (out / name).stat().st_mtime_ns for name in written(out)} == before
    assert "4 skipped" in again.stderr


def test_hints_meet_the_mistake(glpn: Callable[..., Result], tiny_pictures: Path, tmp_path: Path) -> None:
    picture, notes = tiny_pictures / "a.jpg", tmp_path / "README.md"
    notes.write_text("hello")
    in_the_way = glpn(picture, "-o", notes)
    assert in_the_way.exit_code == 2
    assert f"{str(notes)!r} is a file" in in_the_way.stderr
    assert "disk" not in in_the_way.stderr
    video = glpn(picture, "-o", tmp_path / "q.mp4")
    assert video.exit_code == 2
    assert "glpn export CLIP" in video.stderr
    assert not (tmp_path / "q.mp4").exists()
    weights = glpn(picture, "-m", "gone.ckpt", "--json", "-o", tmp_path)
    assert weights.exit_code == 2
    assert "E_NOT_FOUND" in weights.stderr
    assert glpn(picture, "-o", tmp_path, "--precision", "fp32").exit_code == 0
    other = glpn(picture, "-o", tmp_path, "--precision", "bf16")
    assert "--precision is fp32, not bf16" in other.stderr


def test_a_checksum_that_does_not_match_is_damage_and_no_lack(glpn: Callable[..., Result], tmp_path: Path) -> None:
    file = tmp_path / "noise.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(file)
    data = bytearray(file.read_bytes())
    data[data.index(b"IDAT") + 500] ^= 255
    file.write_bytes(data)
    result = glpn(file)
    assert result.exit_code == 1
    assert "E_DECODE" in result.stderr
    assert "damaged" in result.stderr
    assert "cut short" not in result.stderr


def test_what_another_run_made_meanwhile_is_not_made_again(
    glpn: Callable[..., Result], tiny_pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, decode = tmp_path / "out", Stages.decode
    seen: list[str] = []

    def decode_while_another_runs(self: Stages, task: Task) -> Any:
        monkeypatch.setattr(Stages, "decode", decode)
        assert glpn(tiny_pictures, "-o", out).exit_code == 0
        monkeypatch.setattr(Stages, "decode", count)
        return decode(self, task)

    def count(self: Stages, task: Task) -> Any:
        seen.append(task.source.name)
        return decode(self, task)

    monkeypatch.setattr(Stages, "decode", decode_while_another_runs)
    slower = glpn(tiny_pictures, "-o", out, "--json", "--workers", "1")
    assert slower.exit_code == 0
    assert seen == []
    assert sorted(record["status"] for record in records(slower)[:-1]) == ["ok"] + ["skipped"] * 3


def test_a_file_made_otherwise_is_in_the_way_until_update(
    glpn: Callable[..., Result], tiny_pictures: Path, tiny_model_80: Path, tmp_path: Path
) -> None:
    picture, out = tiny_pictures / "a.jpg", tmp_path / "out"
    assert glpn(picture, "-o", out).exit_code == 0
    before = (out / "a_depth.png").read_bytes()
    for change in (["-m", tiny_model_80], ["--input-size", "32"], ["--max-depth", "5"], ["--depth-scale", "5000"]):
        result = glpn(picture, "-o", out, *change)
        assert result.exit_code == 1, change
        assert "was made otherwise" in result.stderr
        assert "--existing update" in result.stderr
        assert (out / "a_depth.png").read_bytes() == before
    assert glpn(picture, "-o", out, "--max-depth", "5", "--existing", "update").exit_code == 0
    assert (out / "a_depth.png").read_bytes() != before


def test_a_map_that_records_another_camera_than_is_said_is_made_again_by_update(
    glpn: Callable[..., Result], tiny_pictures: Path, tmp_path: Path
) -> None:
    picture, out = tiny_pictures / "a.jpg", tmp_path / "out"
    assert glpn(picture, "-o", out).exit_code == 0
    for camera in (["--focal", "28mm"], ["--focal", "40px"], ["--intrinsics", "40,40,3,4"]):
        assert "--focal is" in glpn(picture, "-o", out, *camera).stderr
        assert glpn(picture, "-o", out, *camera, "--existing", "update").stdout != ""
        assert "1 skipped" in glpn(picture, "-o", out, *camera).stderr
        record = read_record(out / "a_depth.png")
        assert record is not None
        assert record.focal_source == "option"
    assert "1 skipped" in glpn(picture, "-o", out).stderr, "what is known better stays"


@pytest.mark.parametrize("seconds", [1_500_000_000, 4_000_000_000])
def test_a_map_of_other_bytes_is_done_again_whatever_their_dates(
    glpn: Callable[..., Result], tiny_pictures: Path, tmp_path: Path, seconds: int
) -> None:
    picture, out = tiny_pictures / "a.jpg", tmp_path / "out"
    assert glpn(picture, "-o", out).exit_code == 0
    before = (out / "a_depth.png").read_bytes()
    os.utime(picture, (seconds, seconds))
    assert glpn(picture, "-o", out, "--existing", "update", "--json").exit_code == 0
    os.utime(out / "a_depth.png", (1_400_000_000, 1_400_000_000))
    assert '"skipped": 1' in glpn(picture, "-o", out, "--json").stdout, "the bytes are the same, only dates differ"
    Image.new("RGB", (20, 10), "red").save(picture)
    os.utime(picture, (seconds, seconds))
    os.utime(out / "a_depth.png")
    refused = glpn(picture, "-o", out, "--json")
    assert refused.exit_code == 1
    assert json.loads(refused.stdout.splitlines()[0])["error"]["code"] == "E_EXISTS"
    assert (out / "a_depth.png").read_bytes() == before
    assert glpn(picture, "-o", out, "--existing", "update").exit_code == 0
    assert read_depth(out / "a_depth.png").depth.size == (10, 20)


def test_a_picture_that_is_newer_than_its_map_is_done_again_by_update(
    glpn: Callable[..., Result], tiny_pictures: Path, tmp_path: Path
) -> None:
    picture, out = tiny_pictures / "a.jpg", tmp_path / "out"
    assert glpn(picture, "-o", out).exit_code == 0
    Image.new("RGB", (20, 10), "red").save(picture)
    os.utime(out / "a_depth.png", (1_500_000_000, 1_500_000_000))
    assert "was made from another picture" in glpn(picture, "-o", out).stderr
    assert glpn(picture, "-o", out, "--existing", "update").exit_code == 0
    assert read_depth(out / "a_depth.png").depth.size == (10, 20)


def test_a_map_that_is_cut_short_is_not_taken_for_done(
    glpn: Callable[..., Result], tiny_pictures: Path, tmp_path: Path
) -> None:
    words = (tiny_pictures / "a.jpg", "-o", tmp_path / "out", "-f", "png16,tiff")
    assert glpn(*words).exit_code == 0
    for ending in ("png", "tiff"):
        path = tmp_path / f"out/a_depth.{ending}"
        whole = path.read_bytes()
        path.write_bytes(whole[:-20])
        result = glpn(*words)
        assert (result.exit_code, "cut short" in result.stderr) == (1, True)
        assert glpn(*words, "--existing", "overwrite").exit_code == 0
        assert path.read_bytes() == whole


def test_what_somebody_else_wrote_is_replaced_only_by_overwrite(
    glpn: Callable[..., Result], tiny_pictures: Path, tmp_path: Path
) -> None:
    (tmp_path / "a_depth.png").write_bytes(b"mine")
    for policy in ("skip", "update", "error"):
        result = glpn(tiny_pictures / "a.jpg", "--existing", policy)
        assert result.exit_code == 1
        assert "E_EXISTS" in result.stderr
        assert (tmp_path / "a_depth.png").read_bytes() == b"mine"
    assert glpn(tiny_pictures / "a.jpg", "--existing", "overwrite").exit_code == 0
    assert read_record(tmp_path / "a_depth.png") is not None


def test_formats_without_a_record_are_taken_as_they_are_and_that_is_said(
    glpn: Callable[..., Result], tiny_pictures: Path
) -> None:
    arguments = [tiny_pictures / "a.jpg", "-f", "npy,png16", "-o", "out"]
    assert glpn(*arguments).exit_code == 0
    result = glpn(*arguments)
    assert result.exit_code == 0
    assert "npy files do not say how they were made" in result.stderr
    Path("out/a_depth.png").unlink()
    again = glpn(*arguments, "--json")
    assert records(again)[0]["status"] == "ok"
    assert len(records(again)[0]["outputs"]) == 2
    assert Path("out/a_depth.png").exists()


def test_a_dry_run_tells_everything_and_writes_nothing(
    glpn: Callable[..., Result], tiny_pictures: Path, tmp_path: Path
) -> None:
    result = glpn(tiny_pictures, "-o", "out", "-n")
    assert result.exit_code == 0
    assert min(result.stdout.splitlines()) == "out/a_depth.png"
    assert not (tmp_path / "out").exists()
    planned = glpn(tiny_pictures, "-o", "out", "--dry-run", "--json")
    assert [record["status"] for record in records(planned)[:-1]] == ["planned"] * 4
    assert records(planned)[-1]["planned"] == 4


def test_planning_never_imports_torch(tiny_model: Path, tiny_pictures: Path) -> None:
    code = (
        "import sys\n"
        "from glpn_cli.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        "assert 'torch' not in sys.modules\n"
    )
    arguments = ["predict", str(tiny_pictures), "-m", str(tiny_model), "-n", "-o", "out"]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, stdout=subprocess.DEVNULL, timeout=60)


def test_our_own_outputs_are_left_out_of_scans_and_told_where_named(
    glpn: Callable[..., Result], tiny_pictures: Path
) -> None:
    assert glpn(tiny_pictures, "-o", tiny_pictures, "-f", "png16,color").exit_code == 0
    again = glpn(tiny_pictures, "-o", tiny_pictures, "-f", "png16,color", "--json")
    assert records(again)[-1]["skipped"] == 4
    assert records(again)[-1]["total"] == 4
    named = glpn(*sorted(tiny_pictures.glob("*.*")), "-o", "out")
    assert named.exit_code == 0
    assert "4 depth maps among the inputs are left out" in named.stderr
    alone = glpn(tiny_pictures / "a_depth.png", "-o", "out2")
    assert alone.exit_code == 2
    assert "is a depth map already" in alone.stderr
    assert glpn(tiny_pictures / "a_depth.png", "-o", "out2", "--as", "picture").exit_code == 0


def test_without_a_named_model_the_bundled_one_is_used_and_said(
    glpn: Callable[..., Result], tiny_model: Path, tiny_pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GLPN_MODEL")
    monkeypatch.setattr(registry.ModelRow, "bundled_folder", lambda _row: tiny_model)
    monkeypatch.setitem(registry.REGISTRY, DEFAULT_MODEL, _unchecked(registry.REGISTRY[DEFAULT_MODEL]))
    result = glpn(tiny_pictures / "a.jpg", "-o", "out", "-n")
    assert result.exit_code == 0
    (line,) = result.stderr.splitlines()
    assert DEFAULT_MODEL in line
    assert "glpn models list" in line
    assert f"default: {DEFAULT_MODEL}" in glpn("--help").stdout
    assert glpn(tiny_pictures / "a.jpg", "-o", "out", "-n", "-q").stderr == ""
    assert glpn(tiny_pictures / "a.jpg", "-o", "out", "-n", "-m", DEFAULT_MODEL).stderr == ""


def _unchecked(row: registry.ModelRow) -> registry.ModelRow:
    from dataclasses import replace

    return replace(row, weights=())


@pytest.mark.parametrize(
    "name",
    [
        b"[bold]x[-1].png",
        b"new\nline\x1b[31m.png",
        b"\xff latin.png",
        b"-dash.png",
        "深さ \u202e.png".encode(),
        b"%d {stem}.png",
    ],
)
def test_odd_names_are_done_kept_and_shown_safely(
    glpn: Callable[..., Result], tiny_pictures: Path, name: bytes
) -> None:
    folder = Path("odd")
    folder.mkdir()
    path = folder / os.fsdecode(name)
    shutil.copy(tiny_pictures / "b.png", path)
    (folder / os.fsdecode(b"bad" + name)).write_bytes(b"")
    expected = os.fsencode(Path("out") / f"{path.stem}_depth.png")
    result = glpn("odd", "-o", "out")
    assert result.exit_code == 3
    assert result.stdout_bytes == expected + b"\n"
    assert Path(os.fsdecode(expected)).exists()
    assert not set("\x1b\u202e") & set(result.stderr)
    assert len(result.stderr.splitlines()) == 3  # the error, its hint, and the sum
    told = records(glpn("odd", "-o", "out", "--json"))
    paths = [record["input"] for record in told[:-1]]
    assert any(isinstance(each, dict) for each in paths) == (b"\xff" in name)


def test_lists_of_files_are_read_from_files_and_standard_input(
    glpn: Callable[..., Result], tiny_pictures: Path
) -> None:
    os.chdir(tiny_pictures)
    Path("list.txt").write_text("a.jpg\nsub/c.webp\n")
    assert glpn("--files-from", "list.txt", "-o", "out").exit_code == 0
    assert written(Path("out")) == ["a_depth.png", "sub/c_depth.png"]
    assert glpn("--files0-from", "-", "-o", "out0", input=b"b.png\0sub/d.png\0").exit_code == 0
    assert written(Path("out0")) == ["b_depth.png", "sub/d_depth.png"]


def test_shards_divide_the_work(glpn: Callable[..., Result], tiny_pictures: Path) -> None:
    counts = [
        records(glpn(tiny_pictures, "-o", "out", "--shard", f"{part}/3", "--json"))[-1]["total"] for part in (1, 2, 3)
    ]
    assert sum(counts) == 4
    assert len(written(Path("out"))) == 4


def test_equal_runs_give_equal_bytes(glpn: Callable[..., Result], tiny_pictures: Path) -> None:
    for out in ("one", "two"):
        assert glpn(tiny_pictures, "-o", out, "-f", "png16,npy,color,tiff").exit_code == 0
    assert written(Path("one")) == written(Path("two"))
    for name in written(Path("one")):
        assert (Path("one") / name).read_bytes() == (Path("two") / name).read_bytes()


def test_batches_agree_with_single_pictures(glpn: Callable[..., Result], tiny_pictures: Path) -> None:
    for number in range(5):
        shutil.copy(tiny_pictures / "a.jpg", tiny_pictures / f"copy{number}.jpg")
    common = [tiny_pictures, "-f", "npy", "--precision", "fp32"]
    assert glpn(*common, "-o", "one").exit_code == 0
    assert glpn(*common, "-o", "four", "--batch-size", "4").exit_code == 0
    for name in written(Path("one")):
        np.testing.assert_allclose(np.load(Path("one") / name), np.load(Path("four") / name), rtol=0, atol=1e-4)


def test_a_missing_file_among_others_is_that_inputs_error(glpn: Callable[..., Result], tiny_pictures: Path) -> None:
    result = glpn("nothere.jpg", tiny_pictures / "a.jpg", "-o", "out", "--json")
    assert result.exit_code == 3
    first, second, summary = records(result)
    assert first["error"]["code"] == "E_NOT_FOUND"
    assert second["status"] == "ok"
    assert summary["codes"] == {"E_NOT_FOUND": 1}


def test_a_device_that_is_not_there_is_a_usage_error_with_those_that_are(
    glpn: Callable[..., Result], tiny_pictures: Path
) -> None:
    result = glpn(tiny_pictures / "a.jpg", "--device", "cuda:77", "-o", "out")
    assert result.exit_code == 2
    assert "cpu" in result.stderr
    assert written(Path("out")) == []


def test_verbose_says_what_was_done_with_each_file(glpn: Callable[..., Result], tiny_pictures: Path) -> None:
    result = glpn(tiny_pictures / "a.jpg", "-o", "out", "-v", "--precision", "fp32")
    assert "64x32 in fp32 on cpu" in result.stderr


def run_process(*arguments: object, **settings: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "glpn_cli", "predict", "--threads", "1", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **settings)


def test_an_interrupt_leaves_whole_files_and_says_how_to_go_on(tiny_model: Path, tiny_pictures: Path) -> None:
    for number in range(400):
        shutil.copy(tiny_pictures / "b.png", tiny_pictures / f"more{number}.png")
    with run_process(tiny_pictures, "-m", tiny_model, "-o", "out", "-f", "png16") as child:
        assert child.stdout is not None
        assert child.stdout.readline().startswith(b"out/")
        child.send_signal(signal.SIGTERM)
        _, talk = child.communicate(timeout=30)
    assert child.returncode == 143
    (line,) = talk.decode().splitlines()
    assert line.startswith("stopped by SIGTERM: ")
    assert line.endswith("run the same command again to go on")
    names = written(Path("out"))
    assert 0 < len(names) < 404
    for name in names:
        read_depth(Path("out") / name)


def test_a_reader_who_leaves_early_costs_no_file(tiny_model: Path, tiny_pictures: Path) -> None:
    with run_process(tiny_pictures, "-m", tiny_model, "-o", "out") as child:
        assert child.stdout is not None
        child.stdout.close()
        assert child.stderr is not None
        talk = child.stderr.read()
        child.wait(timeout=30)
    assert child.returncode == 0
    assert b"4 written\n" in talk
    assert b"Traceback" not in talk
    assert len(written(Path("out"))) == 4
