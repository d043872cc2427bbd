"""Clips through the commands: frames, times, sound and depths come out as they went in."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

pytest.importorskip("av", reason="needs the extra video")

from video.clips import code_anew, depths_of, make_clip, pictures, read_frames, read_packets

from glpn_cli.cli import app
from glpn_cli.depth_files import read_depth, read_record
from glpn_cli.images import ImageSource
from glpn_cli.video.clip import Clip
from glpn_cli.video.depth_clip import DepthClip
from glpn_cli.video.settings import ClipSettings

Glpn = Callable[..., Result]


@pytest.fixture
def glpn(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Glpn:
    monkeypatch.setenv("GLPN_MODEL", str(tiny_model))

    def run(command: str, *arguments: object, **settings: Any) -> Result:
        words = [command, "--threads", "1", *map(str, arguments)]
        return CliRunner().invoke(app, words, catch_exceptions=False, **settings)

    return run


def run(command: str, *arguments: object) -> Result:
    return CliRunner().invoke(app, [command, *map(str, arguments)], catch_exceptions=False)


def source(path: Path) -> ImageSource:
    return ImageSource(path, path.name, str(path))


VARIABLE = (0, 40, 90, 100, 300, 305)


def test_depth_of_a_clip_keeps_every_frame_and_its_time(glpn: Glpn, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", times=VARIABLE, time_base=Fraction(1, 1000), size=(49, 65), pix_fmt="yuv444p")
    result = glpn("predict", clip, "-o", tmp_path / "d.mkv", "--json")
    assert result.exit_code == 0, result.stderr
    made, summary = map(json.loads, result.stdout.splitlines())
    assert (made["frames"], made["lost_frames"], made["width"], made["height"]) == (6, 0, 65, 49)
    assert not {"mean", "median"} & set(made), "they would be of one frame, beside the least and the most of all"
    assert "glpn predict" in run("inspect", clip).stderr
    assert summary["ok"] == summary["total"] == 1
    frames = read_frames(tmp_path / "d.mkv")
    assert [round(time * 1000) for time, _ in frames] == list(VARIABLE)
    assert {levels.shape for _, levels in frames} == {(49, 65)}


def test_depth_of_a_clip_is_bit_for_bit_that_of_its_frames(glpn: Glpn, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", 3)
    assert glpn("predict", clip, "-o", tmp_path / "d.mkv").exit_code == 0
    assert glpn("predict", clip, "-o", tmp_path / "frames").exit_code == 0
    maps = sorted((tmp_path / "frames").iterdir())
    assert [path.name for path in maps] == [f"a_00000{n}_{n * 0.04:.3f}s_depth.png" for n in range(3)]
    with DepthClip(tmp_path / "d.mkv") as stored:
        for (frame, depth), path in zip(depths_of(stored), maps, strict=True):
            assert np.array_equal(depth.values, read_depth(path).depth.values)
            assert stored.record.limit_m == read_record(path).limit_m  # type: ignore[union-attr]
            assert frame.time_s == pytest.approx(float(path.name.split("_")[2][:-1]), abs=1e-3)


def test_a_clip_of_depth_tells_its_depth_at_a_time(glpn: Glpn, tmp_path: Path) -> None:
    clip, depth = make_clip(tmp_path / "a.mp4", 4), tmp_path / "d.mkv"
    glpn("predict", clip, "-o", depth)
    with DepthClip(depth) as stored:
        third = depths_of(stored)[2][1]
    measured = json.loads(glpn("measure", depth, "10,20", "--at", "0.1s", "--json").stdout)
    assert measured["points"][0]["depth"] == third.values[20, 10]
    seen = json.loads(run("inspect", depth, "--at", "0.1", "--json").stdout)
    assert (seen["width"], seen["height"]) == (64, 48)
    assert seen["min"] == pytest.approx(float(third.values.min()))


def depth_at(glpn: Glpn, path: Path, time: str) -> float:
    result = glpn("measure", path, "10,20", "--at", time, "--json")
    assert result.exit_code == 0, result.stderr
    depth: float = json.loads(result.stdout)["points"][0]["depth"]
    return depth


@pytest.mark.parametrize(("codec", "pix_fmt"), [("libx264", "yuv420p"), ("ffv1", "gray"), ("ffv1", "gray10le")])
def test_depth_that_another_program_coded_anew_is_no_depth(
    codec: str, pix_fmt: str, glpn: Glpn, tmp_path: Path
) -> None:
    depth = tmp_path / "d.mkv"
    glpn("predict", make_clip(tmp_path / "a.mp4", 3), "-o", depth)
    anew = code_anew(depth, tmp_path / "anew.mkv", codec, pix_fmt)
    for words in (
        ("measure", anew, "1,2", "--at", "0"),
        ("inspect", anew),
        ("inspect", anew, "--at", "0"),
        ("export", anew, "-o", tmp_path / "look.mp4"),
    ):
        result = run(*words)
        assert result.exit_code == 1, words
        assert "coded its frames anew" in result.stderr
        assert "E_DATA" in result.stderr
    same = code_anew(depth, tmp_path / "same.mkv", "ffv1", "gray16le")
    assert depth_at(glpn, same, "0.04") == depth_at(glpn, depth, "0.04")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"factor": 2}, "32x24"),
        ({"rotation": 180}, "turned"),
        ({"encoder": "Lavc62.1.100 ffv1"}, "coded its frames anew (Lavc62"),
        ({"record": ('"1000"', '"4000"')}, "its checksum does not match"),
    ],
    ids=["scaled", "turned", "by ffmpeg", "scale"],
)
def test_depth_that_another_program_changed_without_loss_is_no_depth(
    change: dict[str, Any], said: str, glpn: Glpn, tmp_path: Path
) -> None:
    depth = tmp_path / "d.mkv"
    glpn("predict", make_clip(tmp_path / "a.mp4", 3), "-o", depth)
    anew = code_anew(depth, tmp_path / "anew.mkv", "ffv1", "gray16le", **change)
    for words in (
        ("measure", anew, "1,2", "--at", "0"),
        ("inspect", anew),
        ("export", anew, "-o", tmp_path / "look.mp4"),
        ("predict", tmp_path / "a.mp4", "-o", anew),
    ):
        result = run(*words)
        assert result.exit_code == 1, words
        assert said in result.stderr, words
        assert ("E_EXISTS" if words[0] == "predict" else "E_DATA") in result.stderr


def test_depth_of_an_earlier_version_that_does_not_say_its_size_is_read(glpn: Glpn, tmp_path: Path) -> None:
    depth = tmp_path / "d.mkv"
    glpn("predict", make_clip(tmp_path / "a.mp4", 3), "-o", depth)
    with DepthClip(depth) as stored:
        signed = stored.record.to_text()
    old = json.dumps({key: text for key, text in signed.items() if "crc32" not in key and key != "glpn:size"})
    earlier = code_anew(depth, tmp_path / "old.mkv", "ffv1", "gray16le", record=(json.dumps(signed), old))
    assert depth_at(glpn, earlier, "0.04") == depth_at(glpn, depth, "0.04")


def test_depth_of_a_part_has_the_times_of_its_clip(glpn: Glpn, tmp_path: Path) -> None:
    clip, whole, part = make_clip(tmp_path / "a.mp4", 30), tmp_path / "whole.mkv", tmp_path / "part.mkv"
    assert glpn("predict", clip, "-o", whole, "--no-steady").exit_code == 0
    assert glpn("predict", clip, "-o", part, "--no-steady", "--start", "0.4s").exit_code == 0
    for time in ("0.4", "0.52", "1.1"):
        assert depth_at(glpn, part, time) == depth_at(glpn, whole, time)
    assert glpn("measure", part, "1,2", "--at", "0.3").exit_code == 2
    assert glpn("export", part, "-o", tmp_path / "look.mp4").exit_code == 0
    assert [round(time, 3) for time, _ in read_frames(tmp_path / "look.mp4")] == [round(n / 25, 3) for n in range(20)]


def test_a_damaged_frame_of_depth_is_left_out_and_never_patched(glpn: Glpn, tmp_path: Path) -> None:
    depth, damaged = tmp_path / "d.mkv", tmp_path / "damaged.mkv"
    assert glpn("predict", make_clip(tmp_path / "a.mp4", 6), "-o", depth).exit_code == 0
    packet, whole = read_packets(depth, "video")[2], depth.read_bytes()
    for place in (len(packet) // 5, len(packet) // 2, len(packet) - 20):
        data = bytearray(whole)
        data[whole.index(packet) + place] ^= 0x10
        damaged.write_bytes(data)
        result = glpn("measure", damaged, "10,20", "--at", "0.1s")
        assert (result.exit_code, "E_DECODE" in result.stderr) == (1, True)
        for time in ("0", "0.04", "0.12", "0.2"):
            assert depth_at(glpn, damaged, time) == depth_at(glpn, depth, time)
    painted = glpn("export", damaged, "-o", tmp_path / "look.mp4", "--json")
    assert json.loads(painted.stdout.splitlines()[0])["warnings"] == ["W_FRAMES"]
    assert "0.080 s" in painted.stderr


def test_no_depth_is_made_of_painted_depth(glpn: Glpn, tmp_path: Path) -> None:
    painted = tmp_path / "look.mp4"
    assert glpn("export", make_clip(tmp_path / "a.mp4", 3), "-o", painted).exit_code == 0
    for words in (
        ("measure", painted, "1,2", "--at", "0"),
        ("predict", painted, "-o", tmp_path / "d.mkv"),
        ("export", painted, "-o", tmp_path / "again.mp4"),
    ):
        result = glpn(*words)
        assert (result.exit_code, "painted of depth" in result.stderr) == (2, True), words


def test_a_frame_of_a_clip_is_measured_through_the_model(glpn: Glpn, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", 3)
    glpn("predict", clip, "-o", tmp_path / "d.mkv", "--no-steady")
    stored = json.loads(glpn("measure", tmp_path / "d.mkv", "10,20", "--at", "0.08s", "--json").stdout)
    direct = json.loads(glpn("measure", clip, "10,20", "--at", "0.08s", "--json").stdout)
    assert direct["points"][0]["depth"] == pytest.approx(stored["points"][0]["depth"], abs=1e-3)


def test_a_clip_of_depth_tells_what_it_is(glpn: Glpn, tmp_path: Path) -> None:
    depth = tmp_path / "d.mkv"
    glpn("predict", make_clip(tmp_path / "a.mp4", 4), "-o", depth)
    seen = json.loads(run("inspect", depth, "--json").stdout)
    assert (seen["type"], seen["frames"], seen["depth_scale"], seen["source"]) == ("clip", 4, "1000", "a.mp4")
    assert "depth scale" in run("inspect", depth).stdout


@pytest.mark.parametrize("words", [("d.mkv", "1,2"), ("d.mkv", "1,2", "--at", "9s"), ("p.png", "1,2", "--at", "1s")])
def test_a_time_is_named_for_clips_and_lies_in_them(
    words: tuple[str, ...], glpn: Glpn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    glpn("predict", make_clip(tmp_path / "a.mp4", 2), "-o", "d.mkv")
    Image.fromarray(pictures(1)[0]).save("p.png")
    assert glpn("measure", *words).exit_code == 2


def test_a_run_that_is_done_is_skipped_and_one_made_otherwise_is_in_the_way(glpn: Glpn, tmp_path: Path) -> None:
    clip, out = make_clip(tmp_path / "a.mp4"), tmp_path / "d.mkv"
    assert glpn("predict", clip, "-o", out).exit_code == 0
    before = out.read_bytes()
    again = glpn("predict", clip, "-o", out, "--json")
    assert json.loads(again.stdout.splitlines()[0])["status"] == "skipped"
    other = glpn("predict", clip, "-o", out, "--every", "2")
    assert other.exit_code == 1
    assert "E_EXISTS" in other.stderr
    assert out.read_bytes() == before
    assert glpn("predict", clip, "-o", out, "--every", "2", "--existing", "update").exit_code == 0
    assert len(read_frames(out)) == 3


def test_a_clip_that_records_another_camera_than_is_said_is_made_again_by_update(glpn: Glpn, tmp_path: Path) -> None:
    clip, out = make_clip(tmp_path / "a.mp4"), tmp_path / "d.mkv"
    assert glpn("predict", clip, "-o", out).exit_code == 0
    assert "--focal is" in glpn("predict", clip, "-o", out, "--focal", "28mm").stderr
    assert glpn("predict", clip, "-o", out, "--focal", "28mm", "--existing", "update").stdout != ""
    assert "1 skipped" in glpn("predict", clip, "-o", out, "--focal", "28mm").stderr


def test_a_painted_clip_keeps_frames_times_and_sound(glpn: Glpn, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", 8, sound=True)
    result = glpn("export", clip, "-o", tmp_path / "look.mp4", "--side-by-side", "--colorbar")
    assert result.exit_code == 0, result.stderr
    frames = read_frames(tmp_path / "look.mp4")
    assert [time for time, _ in frames] == [time for time, _ in read_frames(clip)]
    assert read_packets(tmp_path / "look.mp4", "audio") == read_packets(clip, "audio")
    assert len({levels.shape for _, levels in frames}) == 1


def test_a_painted_clip_has_one_range_unless_another_is_asked_for(glpn: Glpn, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4")
    for text in (None, "running", "image", "0.5:8"):
        words = () if text is None else ("--range", text)
        result = glpn("export", clip, "-o", tmp_path / "look.mp4", *words, "--existing", "overwrite", "--json")
        assert result.exit_code == 0, result.stderr
        painted = json.loads(result.stdout.splitlines()[0])["outputs"][0].get("range")
        assert (painted is not None) == (text in (None, "0.5:8"))


def test_stored_depth_is_painted_without_a_model(glpn: Glpn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    glpn("predict", make_clip(tmp_path / "a.mp4"), "-o", tmp_path / "d.mkv")
    monkeypatch.setenv("GLPN_MODEL", str(tmp_path / "there is none"))
    result = glpn("export", tmp_path / "d.mkv", "-o", tmp_path / "look.mp4")
    assert result.exit_code == 0, result.stderr
    assert len(read_frames(tmp_path / "look.mp4")) == 6
    assert glpn("export", tmp_path / "d.mkv", "-o", tmp_path / "b.mp4", "--side-by-side").exit_code != 0


def test_stored_depth_is_calibrated_as_it_is_converted_and_once(glpn: Glpn, tmp_path: Path) -> None:
    first, metric = tmp_path / "d.mkv", tmp_path / "calibration.json"
    glpn("predict", make_clip(tmp_path / "a.mp4"), "-o", first)
    known = 3 * depth_at(glpn, first, "0.1s")
    assert glpn("measure", first, "--at", "0.1s", "--calibrate", f"10,20={known}", "-o", metric).exit_code == 0
    result = glpn("export", first, "-o", tmp_path / "e.mkv", "-f", "png16", "--calibration", metric)
    assert result.exit_code == 0, result.stderr
    assert depth_at(glpn, tmp_path / "e.mkv", "0.1s") == pytest.approx(known, abs=6e-4)
    with DepthClip(first) as before, DepthClip(tmp_path / "e.mkv") as after:
        for (_, found), (_, told) in zip(depths_of(before), depths_of(after), strict=True):
            assert told.values == pytest.approx(3 * found.values, abs=2e-3)
    again = glpn("export", tmp_path / "e.mkv", "-o", tmp_path / "f.mkv", "-f", "png16", "--calibration", metric)
    assert again.exit_code != 0
    assert "calibrated already" in again.stderr


def test_uncertainty_is_not_dropped_from_a_video(glpn: Glpn, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4")
    for output in (tmp_path / "d.mkv", "-"):
        refused = glpn("predict", clip, "-o", output, "--uncertainty")
        assert (refused.exit_code, "a video holds none" in refused.stderr) == (2, True)
    assert not (tmp_path / "d.mkv").exists()


def test_what_changes_nothing_in_stored_depth_is_named(glpn: Glpn, tmp_path: Path) -> None:
    glpn("predict", make_clip(tmp_path / "a.mp4"), "-o", tmp_path / "d.mkv")
    options = ("--metres", "focal", "--focal", "30deg")
    result = glpn("export", tmp_path / "d.mkv", "-o", tmp_path / "e.mkv", "-f", "png16", *options)
    assert result.exit_code == 0, result.stderr
    assert "--metres changes nothing" in result.stderr
    again = glpn("predict", tmp_path / "d.mkv", "-o", tmp_path / "f.mkv", "--max-depth", "20")
    assert "--max-depth changes nothing in it" in again.stderr
    assert "changes nothing" not in glpn("predict", tmp_path / "d.mkv", "-o", tmp_path / "g.mkv").stderr


def test_depth_that_is_written_again_keeps_its_camera(glpn: Glpn, tmp_path: Path) -> None:
    camera = ("--focal", "40px", "--metres", "focal", "-m", "mini")
    assert glpn("predict", make_clip(tmp_path / "a.mp4"), "-o", tmp_path / "d.mkv", *camera).exit_code == 0
    assert glpn("export", tmp_path / "d.mkv", "-o", tmp_path / "e.mkv", "-f", "png16").exit_code == 0
    told = json.loads(run("inspect", tmp_path / "e.mkv", "--json").stdout)
    assert (told["focal_px"], told["focal_source"]) == ("40", "file")
    other = glpn("export", tmp_path / "d.mkv", "-o", tmp_path / "f.mkv", "-f", "png16", "--focal", "80px")
    assert (other.exit_code, "scaled to a focal length of 40 pixels" in other.stderr) == (1, True)


def test_the_depth_that_lies_beside_a_clip_is_painted_with_its_pictures_and_sound(
    glpn: Glpn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, look = make_clip(tmp_path / "a.mp4", sound=True), tmp_path / "look.mp4"
    glpn("predict", clip, "-o", tmp_path / "a_depth.mkv", "--start", "0.04s")
    part = glpn("export", clip, "-o", look)
    assert part.exit_code == 0
    assert "is not used" in part.stderr
    glpn("predict", clip, "-o", tmp_path / "a_depth.mkv", "--existing", "update")
    monkeypatch.setenv("GLPN_MODEL", str(tmp_path / "there is none"))
    whole = glpn("export", clip, "-o", look, "--existing", "overwrite")
    assert whole.exit_code == 0, whole.stderr
    assert "a_depth.mkv" in whole.stderr
    assert read_packets(look, "audio") == read_packets(clip, "audio")
    glpn("export", tmp_path / "a_depth.mkv", "-o", tmp_path / "b.mp4")
    assert read_packets(look, "video") == read_packets(tmp_path / "b.mp4", "video")
    few = glpn("export", clip, "-o", tmp_path / "c.mp4", "--side-by-side", "--start", "0.08s", "--every", "2")
    assert few.exit_code == 0, few.stderr
    assert len(read_frames(tmp_path / "c.mp4")) == 2
    make_clip(clip, 5)
    assert glpn("export", clip, "-o", tmp_path / "d.mp4").exit_code == 2


def test_a_folder_that_lacks_frames_gets_those_that_one_run_would_have_made(glpn: Glpn, tmp_path: Path) -> None:
    clip, folder = make_clip(tmp_path / "a.mp4", 12), tmp_path / "frames"
    assert glpn("predict", clip, "-o", folder).exit_code == 0
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    for name in sorted(whole)[5:8]:
        (folder / name).unlink()
    again = glpn("predict", clip, "-o", folder, "--json")
    assert json.loads(again.stdout.splitlines()[-1])["skipped"] == 9
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole


def test_steadied_depth_says_so_and_stands_for_no_other(glpn: Glpn, tmp_path: Path) -> None:
    clip, out = make_clip(tmp_path / "a.mp4", 3), tmp_path / "d.mkv"
    assert glpn("predict", clip, "-o", out).exit_code == 0
    assert "E_EXISTS" in glpn("predict", clip, "-o", out, "--no-steady").stderr
    assert "steady" in run("inspect", out).stdout


def test_pictures_and_clips_of_a_folder_are_done_together(glpn: Glpn, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    make_clip(folder / "a.mp4", 2)
    Image.fromarray(pictures(1)[0]).save(folder / "b.png")
    result = glpn("predict", folder, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    assert len(list((tmp_path / "out").iterdir())) == 3


def test_an_image_sequence_is_a_clip(glpn: Glpn, tmp_path: Path) -> None:
    for number, rgb in enumerate(pictures(3), start=7):
        Image.fromarray(rgb).save(tmp_path / f"f_{number:05d}.png")
    result = glpn("predict", tmp_path / "f_%05d.png", "-o", tmp_path / "d.mkv", "--fps", "10")
    assert result.exit_code == 0, result.stderr
    assert [round(time, 3) for time, _ in read_frames(tmp_path / "d.mkv")] == [0, 0.1, 0.2]


def test_the_frames_of_a_sequence_of_bare_numbers_are_named_by_its_folder(
    glpn: Glpn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "walk").mkdir()
    for number, rgb in enumerate(pictures(2)):
        Image.fromarray(rgb).save(tmp_path / f"walk/{number:03d}.png")
    assert glpn("predict", "walk/%03d.png", "-o", "out").exit_code == 0
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "walk_000000_0.000s_depth.png",
        "walk_000001_0.040s_depth.png",
    ]


def test_an_image_sequence_with_a_gap_is_told(glpn: Glpn, tmp_path: Path) -> None:
    for number in (1, 2, 4):
        Image.fromarray(pictures(1)[0]).save(tmp_path / f"f_{number}.png")
    result = glpn("predict", tmp_path / "f_%d.png", "-o", tmp_path / "d.mkv")
    assert result.exit_code == 1
    assert "lacks number 3" in result.stderr


def test_painted_frames_of_a_clip_share_a_range(glpn: Glpn, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", 4)
    for words in ((), ("--range", "batch")):
        result = glpn("export", clip, "-o", tmp_path / "frames", "--json", *words)
        assert result.exit_code == 0, result.stderr
        made = [json.loads(line) for line in result.stdout.splitlines()[:-1]]
        assert len({tuple(each["outputs"][0]["range"]) for each in made}) == 1
    assert {each["status"] for each in made} == {"skipped"}


def test_a_stream_on_standard_input_is_a_clip(glpn: Glpn, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mkv", 4)
    result = glpn("export", "-", "-o", tmp_path / "look.mp4", input=clip.read_bytes())
    assert result.exit_code == 0, result.stderr
    assert len(read_frames(tmp_path / "look.mp4")) == 4
    assert "E_USAGE" in glpn("export", "-", "-o", "x.mp4", "--range", "batch", input=clip.read_bytes()).stderr


def test_another_stream_or_sequence_is_never_taken_for_done(glpn: Glpn, tmp_path: Path) -> None:
    one, two = make_clip(tmp_path / "a.mkv", 3).read_bytes(), make_clip(tmp_path / "b.mkv", 4).read_bytes()
    out = tmp_path / "d.mkv"
    assert glpn("predict", "-", "-o", out, input=one).exit_code == 0
    before = out.read_bytes()
    again = glpn("predict", "-", "-o", out, input=two)
    assert (again.exit_code, "E_EXISTS" in again.stderr) == (1, True)
    assert out.read_bytes() == before
    assert glpn("predict", "-", "-o", out, "--existing", "update", input=two).exit_code == 0
    assert len(read_frames(out)) == 4
    out.rename(tmp_path / "e.partial.mkv")
    result = glpn("predict", "-", "-o", tmp_path / "e.mkv", input=one)
    assert "begun anew" in result.stderr
    assert len(read_frames(tmp_path / "e.mkv")) == 3

    names, pattern = [tmp_path / f"f_{number:03d}.png" for number in range(3)], tmp_path / "f_%03d.png"
    for name, rgb in zip(names, pictures(3), strict=True):
        Image.fromarray(rgb).save(name)
    for words in (("-o", tmp_path / "s.mkv"), ("-o", tmp_path / "frames")):
        assert glpn("predict", pattern, *words).exit_code == 0
        again = glpn("predict", pattern, *words, "--json")
        assert json.loads(again.stdout.splitlines()[0])["status"] == "skipped"
    for name, rgb in zip(names, pictures(3), strict=True):
        Image.fromarray(255 - rgb).save(name)
    for words in (("-o", tmp_path / "s.mkv"), ("-o", tmp_path / "frames")):
        again = glpn("predict", pattern, *words)
        assert (again.exit_code, "E_EXISTS" in again.stderr) == (1, True), again.stderr


def test_a_file_in_the_place_of_a_partial_one_is_left_alone(glpn: Glpn, tmp_path: Path) -> None:
    clip, partial = make_clip(tmp_path / "a.mp4", 3), make_clip(tmp_path / "d.partial.mkv", 4)
    before = partial.read_bytes()
    result = glpn("predict", clip, "-o", tmp_path / "d.mkv")
    assert (result.exit_code, "E_EXISTS" in result.stderr) == (1, True)
    assert "is the input" in glpn("predict", partial, "-o", tmp_path / "d.mkv").stderr
    assert partial.read_bytes() == before
    assert not (tmp_path / "d.mkv").exists()


def test_clips_whose_frames_would_be_the_same_files_are_told(glpn: Glpn, tmp_path: Path) -> None:
    clips = [make_clip(tmp_path / name, 2) for name in ("x.mkv", "x.mp4")]
    result = glpn("predict", *clips, "-o", tmp_path / "out", "-f", "npy")
    assert (result.exit_code, "would be the same files" in result.stderr) == (3, True)
    assert len(list((tmp_path / "out").iterdir())) == 2
    words = ("-o", tmp_path / "both", "-f", "npy", "--name", "{name}_{map}")
    assert glpn("predict", *clips, *words).exit_code == 0
    assert len(list((tmp_path / "both").iterdir())) == 4


def test_a_clip_of_two_names_is_one_clip(glpn: Glpn, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "x.mp4", 2)
    (tmp_path / "link.mp4").symlink_to(clip)
    result = glpn("predict", clip, tmp_path / "link.mp4", "-o", tmp_path / "out", "--json")
    assert (result.exit_code, json.loads(result.stdout.splitlines()[-1])["total"]) == (0, 2), result.stderr


@pytest.mark.parametrize("words", [("-o", "out"), ("-o", "d.mkv"), ("-o", "out", "--dry-run")])
def test_a_part_without_frames_is_an_error(
    words: tuple[str, ...], glpn: Glpn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = glpn("predict", make_clip(tmp_path / "x.mp4", 2), *words, "--start", "9s")
    assert (result.exit_code, "no frame in the part" in result.stderr) == (2, True)


def test_frames_of_files_that_were_joined_follow_each_other(glpn: Glpn, tmp_path: Path) -> None:
    parts = [make_clip(tmp_path / f"{count}.ts", count, codec="mpeg2video") for count in (4, 5)]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    result = glpn("predict", joined, "-o", tmp_path / "d.mkv")
    assert result.exit_code == 0, result.stderr
    times = [time for time, _ in read_frames(tmp_path / "d.mkv")]
    assert len(times) == 9
    assert np.diff(times) == pytest.approx(0.04, abs=2e-3)


@pytest.mark.parametrize("size", [(1, 1), (1, 8), (3, 2)])
def test_the_smallest_clips_have_depth(size: tuple[int, int], glpn: Glpn, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mkv", 3, size=size, codec="ffv1", pix_fmt="bgr0")
    assert glpn("predict", clip, "-o", tmp_path / "d.mkv").exit_code == 0
    assert {levels.shape for _, levels in read_frames(tmp_path / "d.mkv")} == {size}
    assert glpn("export", tmp_path / "d.mkv", "-o", tmp_path / "look.mp4").exit_code == 0


def test_a_clip_that_is_cut_short_is_told(glpn: Glpn, tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "a.mkv", 30)
    (tmp_path / "cut.mkv").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    result = glpn("predict", tmp_path / "cut.mkv", "-o", tmp_path / "d.mkv", "--json")
    assert json.loads(result.stdout.splitlines()[0])["warnings"] == ["W_FRAMES"]
    assert "cut short" in result.stderr
    assert glpn("predict", whole, "-o", tmp_path / "w.mkv", "--json").stderr == ""


def test_a_depth_that_does_not_fit_loses_one_frame(glpn: Glpn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from glpn_cli.errors import ErrorCode, OutputError
    from glpn_cli.video import making

    usual, called = making.quantize, 0

    def quantize(*given: Any) -> Any:
        nonlocal called
        called += 1
        if called == 2 or (is_hopeless and called):
            raise OutputError("too far", code=ErrorCode.RANGE)
        return usual(*given)

    monkeypatch.setattr(making, "quantize", quantize)
    is_hopeless, clip = False, make_clip(tmp_path / "a.mp4", 4)
    result = glpn("predict", clip, "-o", tmp_path / "d.mkv", "--json")
    made = json.loads(result.stdout.splitlines()[0])
    assert (made["frames"], made["lost_frames"], made["warnings"]) == (3, 1, ["W_FRAMES"])
    assert "0.040 s is left out: too far" in result.stderr
    is_hopeless = True
    result = glpn("predict", clip, "-o", tmp_path / "e.mkv")
    assert (result.exit_code, "E_RANGE" in result.stderr) == (1, True)
    assert not (tmp_path / "e.mkv").exists()


def test_the_part_that_is_asked_for_is_taken(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", 30)

    def taken(**asked: Any) -> list[int]:
        with Clip(source(path), ClipSettings(**asked)) as clip:
            return [frame.number for frame in clip.frames()]

    assert taken(start_s=0.4, end_s=0.6) == [10, 11, 12, 13, 14]
    assert taken(start_s=0.8, every=4) == [20, 24, 28]
    assert taken(fps=5) == [0, 5, 10, 15, 20, 25]
    assert taken(start_s=5) == []


@pytest.mark.parametrize("angle", [0, 90, 180, -90])
def test_a_phones_clip_comes_upright(angle: int, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", 1, rotation=angle)
    with Clip(source(path)) as clip, Clip(source(make_clip(tmp_path / "b.mp4", 1))) as plain:
        [frame], [stored] = list(clip.frames()), list(plain.frames())
        upright = np.rot90(stored.read_colors(), frame.image.rotation // 90)
        assert np.array_equal(frame.read_colors(), upright)
        assert clip.facts.size == upright.shape[:2]


def test_high_dynamic_range_is_mapped_and_said(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", 1, codec="libx265", pix_fmt="yuv420p10le", trc=16)
    with Clip(source(path)) as clip:
        [frame] = clip.frames()
        assert any("dynamic range" in note for note in clip.facts.notes)
        assert frame.read_colors().dtype == np.uint8


def test_a_broken_frame_is_left_out_and_named(glpn: Glpn, tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "a.avi", 8, codec="mjpeg", pix_fmt="yuvj420p")
    data = bytearray(whole.read_bytes())
    places = [n for n in range(len(data)) if data[n : n + 3] == b"\xff\xd8\xff"]
    data[places[3] : places[4] - 8] = bytes(places[4] - 8 - places[3])  # all of it, but not the next header
    (tmp_path / "broken.avi").write_bytes(data)
    result = glpn("predict", tmp_path / "broken.avi", "-o", tmp_path / "d.mkv", "--json")
    assert result.exit_code == 0, result.stderr
    made = json.loads(result.stdout.splitlines()[0])
    assert (made["frames"], made["lost_frames"], made["warnings"]) == (7, 1, ["W_FRAMES"])
    assert "0.120 s" in result.stderr


def test_a_clip_that_is_none_is_one_error(glpn: Glpn, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"\0\0\0\x20ftypisom" + bytes(500))
    result = glpn("predict", tmp_path / "a.mp4", "-o", tmp_path / "d.mkv")
    assert result.exit_code == 1
    assert "E_DECODE" in result.stderr
    assert not (tmp_path / "d.mkv").exists()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("predict", ("a.mp4", "-o", "d.mp4")),
        ("predict", ("a.mp4", "-o", "d.png")),
        ("predict", ("a.mp4", "a.mp4", "b.mp4", "-o", "d.mkv")),
        ("predict", ("a.mp4", "-o", "d.mkv", "-f", "npy")),
        ("predict", ("p.png", "-o", "d.mkv")),
        ("predict", ("p.png", "-o", "out", "--every", "2")),
        ("predict", ("a.mp4", "-o", "d.mkv", "--start", "2", "--end", "1")),
        ("predict", ("a.mp4", "-o", "d.mkv", "--start", "soon")),
        ("export", ("p.png", "-o", "out", "--range", "running")),
    ],
)
def test_what_makes_no_sense_is_told_before_anything_starts(
    command: str, words: tuple[str, ...], glpn: Glpn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_clip(tmp_path / "a.mp4", 2)
    make_clip(tmp_path / "b.mp4", 2)
    Image.fromarray(pictures(1)[0]).save("p.png")
    before = sorted(tmp_path.rglob("*"))
    result = glpn(command, *words)
    assert result.exit_code == 2, (result.stdout, result.stderr)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_line_tells_time_frames_and_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    from glpn_cli.cli import clips

    clock = iter([0.0, *(10.0,) * 9])
    lines: list[str] = []
    monkeypatch.setattr(clips.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(clips.console, "progress", lines.append)
    clips.ClipProgress("a.mp4", frames=90, duration_s=3600.0).advance(5.0)
    assert "0:05/1:00:00  1/90 frames  0.1/s  0.50x real time  1:59:50 left" in lines[0]


def test_a_folder_with_clips_of_ours_is_predicted_and_exported_without_them(glpn: Glpn, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    clip = make_clip(folder / "a.mp4", 2)
    assert glpn("predict", clip, "-o", folder / "d.mkv").exit_code == 0
    assert glpn("export", folder / "d.mkv", "-o", folder / "look.mp4").exit_code == 0
    for command, ending in (("predict", "depth"), ("export", "color")):
        result = glpn(command, folder, "-o", tmp_path / command)
        assert result.exit_code == 0, result.stderr
        assert "2 clips that glpn made are left out" in result.stderr
        assert {path.name[-9:] for path in (tmp_path / command).iterdir()} == {f"{ending}.png"}
    named = glpn("predict", *sorted(folder.iterdir()), "-o", tmp_path / "named")
    assert named.exit_code == 0, named.stderr
    assert "2 clips that glpn made are left out" in named.stderr
    clip.unlink()
    assert glpn("export", folder, "-o", tmp_path / "again.mp4").exit_code == 0, "the clip of depth is an input there"
    nothing = glpn("predict", folder, "-o", tmp_path / "nothing")
    assert nothing.exit_code == 2
    assert "left out" in nothing.stderr


def test_a_folder_is_inspected_with_what_is_damaged_in_it(glpn: Glpn, tmp_path: Path) -> None:
    folder = tmp_path / "maps"
    make_clip(tmp_path / "a.mp4", 3)
    assert glpn("predict", tmp_path / "a.mp4", "-o", folder / "d.mkv").exit_code == 0
    assert glpn("predict", tmp_path / "a.mp4", "-o", folder, "-f", "png16,npz,tiff", "--end", "0.02").exit_code == 0
    make_clip(folder / "photographed.mp4", 2)
    Image.new("RGB", (8, 8)).save(folder / "photograph.png")
    (sound,) = folder.glob("*.tiff")
    assert run("inspect", folder).exit_code == 0
    code_anew(folder / "d.mkv", folder / "small.mkv", "ffv1", "gray16le", factor=2)
    (folder / "cut.mkv").write_bytes((folder / "d.mkv").read_bytes()[:900])
    (folder / "cut.tiff").write_bytes(sound.read_bytes()[:2000])
    (folder / "empty.npz").touch()
    (folder / "noise.npy").write_bytes(bytes(range(128, 256)))
    result = run("inspect", folder, "--json")
    assert result.exit_code == 3
    assert sum(json.loads(line)["type"] == "depth" for line in result.stdout.splitlines()) == 3
    assert sum(json.loads(line)["type"] == "clip" for line in result.stdout.splitlines()) == 1
    for name in ("small.mkv", "cut.mkv", "cut.tiff", "empty.npz", "noise.npy"):
        assert name in result.stderr, name
    assert not {"photograph.png", "photographed.mp4"} & set(re.findall(r"[\w.]+", result.stderr))


def test_the_hint_for_depth_that_does_not_fit_a_video_works(glpn: Glpn, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", 2)
    result = glpn("predict", clip, "-o", tmp_path / "d.mkv", "--max-depth", 80, "--depth-scale", 1000)
    assert result.exit_code == 2
    assert "E_RANGE" in result.stderr
    assert "name a folder with -o" in result.stderr
    words = ("predict", clip, "--max-depth", 80)
    assert glpn(*words, "-o", tmp_path / "d.mkv", "--depth-scale", 256).exit_code == 0
    assert glpn(*words, "-o", tmp_path / "maps", "-f", "tiff").exit_code == 0


@pytest.mark.parametrize("command", ["predict", "export"])
def test_a_clip_in_a_list_that_comes_through_a_pipe_is_told_as_one(command: str, glpn: Glpn, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", 2)
    Image.new("RGB", (64, 48)).save(tmp_path / "b.png")
    names = f"{clip}\n{tmp_path / 'b.png'}\n"
    made = glpn(command, "--files-from", "-", "--root", tmp_path, "-o", tmp_path / "out", "--json", input=names)
    assert made.exit_code == 3
    first, second, _ = map(json.loads, made.stdout.splitlines())
    assert (first["error"]["code"], second["status"]) == ("E_UNSUPPORTED", "ok")
    assert "is a clip" in first["error"]["message"]
    (tmp_path / "list.txt").write_text(names)
    listed = glpn(command, "--files-from", tmp_path / "list.txt", "--root", tmp_path, "-o", tmp_path / "listed")
    assert listed.exit_code == 0, listed.stderr
    depth = tmp_path / "d.mkv"
    assert glpn("predict", clip, "-o", depth).exit_code == 0
    (tmp_path / "list.txt").write_text(f"{names}{depth}\n")
    again = glpn(command, "--files-from", tmp_path / "list.txt", "--root", tmp_path, "-o", tmp_path / "listed")
    assert again.exit_code == 0, again.stderr
    assert "1 clip that glpn made is left out" in again.stderr


@pytest.mark.parametrize(("codec", "ending"), [("libx264", "avi"), ("mpeg4", "avi"), ("libx264", "mp4")])
def test_frames_that_are_coded_in_another_order_have_the_times_at_which_they_are_shown(
    codec: str, ending: str, tmp_path: Path
) -> None:
    path = make_clip(tmp_path / f"a.{ending}", 30, codec=codec, b_frames=2)
    with Clip(source(path)) as clip:
        assert clip._stream.codec_context.has_b_frames
        frames = [(frame.number, frame.time_s, frame.read_colors()) for frame in clip.frames()]
    shown = pictures(30)
    assert [number for number, *_ in frames] == list(range(30))
    for number, time_s, rgb in frames:
        assert time_s == pytest.approx(number / 25)
        nearest = min(range(30), key=lambda each: float(np.abs(shown[each].astype(float) - rgb).mean()))
        assert nearest == number
    with Clip(source(path), ClipSettings(start_s=0.6, end_s=0.7)) as part:
        assert [round(frame.time_s * 25) for frame in part.frames()] == [15, 16, 17]


def test_a_frame_that_is_damaged_late_in_a_clip_is_not_the_one_before_it(glpn: Glpn, tmp_path: Path) -> None:
    depth, damaged = tmp_path / "d.mkv", tmp_path / "damaged.mkv"
    clip = make_clip(tmp_path / "a.mkv", 12, time_base=Fraction(1, 5))
    assert glpn("predict", clip, "-o", depth).exit_code == 0
    packet, data = read_packets(depth, "video")[9], bytearray(depth.read_bytes())
    data[data.index(packet) + len(packet) // 2] ^= 0x10
    damaged.write_bytes(data)
    result = glpn("measure", damaged, "10,20", "--at", "1.9s")
    assert (result.exit_code, "E_DECODE" in result.stderr) == (1, True), result.stdout
    for time in ("1.7s", "2.1s"):
        assert depth_at(glpn, damaged, time) == depth_at(glpn, depth, time)


def test_the_missing_end_of_a_clip_is_not_its_last_frame(glpn: Glpn, tmp_path: Path) -> None:
    depth, cut = tmp_path / "d.mkv", tmp_path / "cut.mkv"
    clip = make_clip(tmp_path / "a.mp4", 12)
    assert glpn("predict", clip, "-o", depth).exit_code == 0
    data = depth.read_bytes()
    cut.write_bytes(data[: data.index(read_packets(depth, "video")[8])])
    assert depth_at(glpn, cut, "0.21s") == depth_at(glpn, depth, "0.21s")
    for words in (("measure", cut, "10,20", "--at", "0.4s"), ("inspect", cut)):
        result = run(*words)
        assert (result.exit_code, "E_DECODE" in result.stderr, "cut short" in result.stderr) == (1, True, True), words
    kept = glpn("predict", clip, "-o", cut)
    assert (kept.exit_code, "E_EXISTS" in kept.stderr) == (1, True), "half a clip is not taken for done"
    painted = glpn("export", cut, "-o", tmp_path / "look.mp4", "--json")
    assert json.loads(painted.stdout.splitlines()[0])["warnings"] == ["W_FRAMES"]
    pipe = tmp_path / "pipe.mkv"
    pipe.write_bytes(glpn("predict", clip, "-o", "-").stdout_bytes)
    assert depth_at(glpn, pipe, "0.44s") == depth_at(glpn, depth, "0.44s"), "a clip from a pipe does not say its length"
