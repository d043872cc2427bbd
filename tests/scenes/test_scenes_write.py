"""Scenes on disk: continued, never mixed, the same bytes every time, and read back by our own readers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from glpn_cli.data.pairs import PairList
from glpn_cli.depth_files import is_own_output, read_depth, read_record
from glpn_cli.errors import UsageError
from glpn_cli.images import read_rgb
from glpn_cli.scenes import render_scene
from glpn_cli.scenes.write import ScenePlan, plan_scenes

SMALL = (24, 32)


def make(folder: Path, count: int, **settings: int) -> ScenePlan:
    plan = plan_scenes(folder, count=count, seed=7, size=SMALL)
    plan.write(**settings)
    return plan


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_twice_gives_identical_bytes_and_more_keeps_the_first(tmp_path: Path) -> None:
    make(tmp_path / "a", 5)
    make(tmp_path / "b", 3)
    first = bytes_of(tmp_path / "b")
    make(tmp_path / "b", 5)
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b")
    assert {name: data for name, data in bytes_of(tmp_path / "b").items() if name in first and name != "pairs.csv"} == {
        name: data for name, data in first.items() if name != "pairs.csv"
    }


def test_only_what_is_missing_is_rendered(tmp_path: Path) -> None:
    before = make(tmp_path, 4)
    assert before.todo == (0, 1, 2, 3)
    whole = bytes_of(tmp_path)
    before.depth(2).unlink()
    done: list[int] = []
    plan = plan_scenes(tmp_path, count=4, seed=7, size=SMALL)
    plan.write(done=done.append)
    assert done == [2]
    assert bytes_of(tmp_path) == whole


def test_several_processes_write_the_same_files(tmp_path: Path) -> None:
    make(tmp_path / "one", 4)
    make(tmp_path / "many", 4, workers=2)
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "many")


def test_files_hold_what_was_rendered(tmp_path: Path) -> None:
    plan = make(tmp_path, 2)
    scene = render_scene(7, 1, size=SMALL)
    stored = read_depth(plan.depth(1)).depth
    assert np.abs(stored.values - scene.depth).max() <= 0.0005001
    assert np.array_equal(read_rgb(plan.picture(1)).rgb, scene.rgb)
    record = read_record(plan.depth(1))
    assert record is not None
    assert (record.map, record.kind, record.depth_scale, record.source) == ("depth", "metric", 1000, "rgb/000001.png")


def test_the_list_is_one_that_training_reads(tmp_path: Path) -> None:
    make(tmp_path, 3)
    listed = PairList.read_csv(tmp_path / "pairs.csv")
    assert listed.length == 3
    sample = listed.read(2)
    scene = render_scene(7, 2, size=SMALL)
    assert np.array_equal(sample.rgb, scene.rgb)
    assert listed.pairs[2].focal_px == pytest.approx(scene.intrinsics.fx, rel=1e-5)


def test_a_later_scan_takes_the_pictures_and_leaves_depth_and_sheet(tmp_path: Path) -> None:
    plan = make(tmp_path, 2)
    sheet = plan.write_contact_sheet()
    assert is_own_output(sheet)
    assert is_own_output(plan.depth(0))
    assert not is_own_output(plan.picture(0))


def test_the_contact_sheet_has_every_picture_above_its_depth(tmp_path: Path) -> None:
    sheet = read_rgb(make(tmp_path, 3).write_contact_sheet()).rgb
    assert sheet.shape == (2 * 192, 3 * 256, 3)
    assert all(sheet[:, 256 * k : 256 * (k + 1)].std() > 5 for k in range(3))


@pytest.mark.parametrize("change", [{"seed": 8}, {"size": (32, 32)}])
def test_a_folder_of_other_scenes_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    make(tmp_path, 1)
    with pytest.raises(UsageError, match="holds other scenes"):
        plan_scenes(tmp_path, **{"count": 2, "seed": 7, "size": SMALL, **change})  # type: ignore[arg-type]


def test_a_folder_from_before_focal_lengths_could_be_asked_for_is_continued(tmp_path: Path) -> None:
    make(tmp_path, 1)
    note = json.loads((tmp_path / "scenes.json").read_text("utf-8"))
    assert note.pop("focal") == "auto"
    (tmp_path / "scenes.json").write_text(json.dumps(note))
    assert plan_scenes(tmp_path, count=2, seed=7, size=SMALL).todo == (1,)
    with pytest.raises(UsageError, match="focal 'auto' instead of '40px'"):
        plan_scenes(tmp_path, count=2, seed=7, size=SMALL, focal_px=40)


def test_all_pictures_can_have_one_lens(tmp_path: Path) -> None:
    plan = plan_scenes(tmp_path, count=2, seed=3, size=SMALL, focal_px=40.0)
    plan.write()
    rows = (tmp_path / "pairs.csv").read_text().splitlines()[1:]
    assert [row.split(",")[3:5] for row in rows] == [["40", "40"]] * 2
    scene = render_scene(3, 1, size=SMALL, focal_px=40.0)
    assert (scene.intrinsics.fx, scene.intrinsics.cx) == (40.0, (SMALL[1] - 1) / 2)
    free = render_scene(3, 1, size=SMALL)
    assert free.intrinsics.fx != 40.0
    assert not np.array_equal(free.depth, scene.depth)


def test_a_folder_of_somebody_elses_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "rgb").mkdir()
    with pytest.raises(UsageError, match="not our scenes"):
        plan_scenes(tmp_path, count=1, seed=0)
    assert [p.name for p in tmp_path.iterdir()] == ["rgb"]


@pytest.mark.parametrize("wrong", [{"count": 0}, {"seed": -1}, {"size": (8, 300)}])
def test_nonsense_is_refused_before_anything_is_written(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        plan_scenes(tmp_path / "x", **{"count": 1, "seed": 0, "size": SMALL, **wrong})  # type: ignore[arg-type]
    assert not (tmp_path / "x").exists()


def test_the_note_says_what_the_folder_holds(tmp_path: Path) -> None:
    make(tmp_path, 1)
    note = json.loads((tmp_path / "scenes.json").read_text("utf-8"))
    assert note["seed"] == 7
    assert note["size"] == "32x24"
