from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glpn_cli.data.sources import SceneStream, open_source
from glpn_cli.errors import UsageError


def write_pair(rgb: Path, depth: Path, *, size: tuple[int, int] = (6, 8)) -> None:
    for path, pixels in ((rgb, np.full((*size, 3), 9, np.uint8)), (depth, np.full(size, 2560, np.uint16))):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)


def test_the_official_nyu_test_pictures_are_found_without_a_list(tmp_path: Path) -> None:
    scene = tmp_path / "official_splits" / "test" / "bathroom"
    write_pair(scene / "rgb_00045.jpg", scene / "sync_depth_00045.png")
    write_pair(scene / "rgb_00046.jpg", scene / "sync_depth_00046.png")
    pairs = open_source(f"nyu:{tmp_path}", split="test")
    assert pairs.length == 2
    assert pairs.name_of(0) == "official_splits/test/bathroom/rgb_00045.jpg"
    assert pairs.read(0).depth[0, 0] == pytest.approx(2.56)
    assert pairs.read(0).focal_px == pytest.approx(518.8579)


@pytest.mark.parametrize("name", ["train_list.txt", "nyudepthv2_train_files_with_gt.txt"])
def test_nyu_lists_of_the_author_and_of_bts_are_read(tmp_path: Path, name: str) -> None:
    write_pair(tmp_path / "sync/kitchen/rgb_1.jpg", tmp_path / "sync/kitchen/sync_depth_1.png")
    lines = "/kitchen/rgb_1.jpg /kitchen/sync_depth_1.png 518.8579\n/gone/rgb_2.jpg /gone/sync_depth_2.png 518.8579\n"
    (tmp_path / name).write_text(lines)
    pairs = open_source(f"nyu:{tmp_path}", split="train")
    assert pairs.length == 2
    assert pairs.read(0).depth[0, 0] == pytest.approx(2.56)
    assert pairs.name_of(1) == "gone/rgb_2.jpg"


def test_kittis_two_trees_are_joined_by_its_list_and_unmeasured_pictures_left_out(tmp_path: Path) -> None:
    rgb = "2011_09_26/2011_09_26_drive_0002_sync/image_02/data/0000000069.png"
    depth = "2011_09_26_drive_0002_sync/proj_depth/groundtruth/image_02/0000000069.png"
    write_pair(tmp_path / "raw" / rgb, tmp_path / "gts" / depth, size=(375, 1242))
    (tmp_path / "eigen_test_files_with_gt.txt").write_text(
        f"{rgb.replace('0069', '0070')} None 721.5377\n{rgb} {depth} 721.5377\n"
    )
    pairs = open_source(f"kitti:{tmp_path}", split="test")
    assert pairs.length == 1
    sample = pairs.read(0)
    assert sample.size == (352, 1216)
    assert sample.depth[0, 0] == 10
    assert sample.focal_px == pytest.approx(721.5377)


def test_kitti_is_found_without_a_list(tmp_path: Path) -> None:
    rgb = tmp_path / "kitti_raw/2011_09_26/2011_09_26_drive_0002_sync/image_02/data/0000000069.png"
    depth = (
        tmp_path / "data_depth_annotated/val/2011_09_26_drive_0002_sync/proj_depth/groundtruth/image_02/0000000069.png"
    )
    write_pair(rgb, depth, size=(352, 1216))
    pairs = open_source(f"kitti:{tmp_path}", split="test")
    assert pairs.length == 1
    assert pairs.read(0).depth[0, 0] == 10


def test_kittis_pictures_may_lie_beside_the_folder_of_its_depths(tmp_path: Path) -> None:
    drive = "2011_09_26_drive_0002_sync"
    rgb = tmp_path / f"raw/2011_09_26/{drive}/image_02/data/0000000069.png"
    depth = tmp_path / f"data_depth_annotated/val/{drive}/proj_depth/groundtruth/image_02/0000000069.png"
    write_pair(rgb, depth, size=(375, 1242))
    pairs = open_source(f"kitti:{tmp_path / 'data_depth_annotated'}", split="test")
    assert pairs.name_of(0) == rgb.relative_to(tmp_path).as_posix()


def test_without_a_list_what_is_learned_from_is_never_measured_on(tmp_path: Path) -> None:
    for drive, half in (("2011_09_26_drive_0001_sync", "train"), ("2011_09_26_drive_0002_sync", "val")):
        write_pair(
            tmp_path / "kitti/kitti_raw/2011_09_26" / drive / "image_02/data/05.png",
            tmp_path / "kitti/data_depth_annotated" / half / drive / "proj_depth/groundtruth/image_02/05.png",
        )
    for split, drive in (("train", "0001"), ("test", "0002")):
        pairs = open_source(f"kitti:{tmp_path / 'kitti'}", split=split)
        assert [drive in pairs.name_of(index) for index in range(pairs.length or 0)] == [True]
    write_pair(tmp_path / "nyu/sync/kitchen/rgb_1.jpg", tmp_path / "nyu/sync/kitchen/sync_depth_1.png")
    assert open_source(f"nyu:{tmp_path / 'nyu'}", split="train").length == 1
    with pytest.raises(UsageError, match="no test pictures of nyu"):
        open_source(f"nyu:{tmp_path / 'nyu'}", split="test")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a.jpg\n", "line 1: 'a.jpg' is not PICTURE DEPTH FOCAL"),
        ("a.jpg b.png 500\n\na.jpg\n", "line 3: 'a.jpg' is not PICTURE DEPTH FOCAL"),
        ("a.jpg None 500\n\na.jpg b.png far\n", "line 3: focal length 'far'"),
        ("a.jpg b.png nan\n", "line 1: focal length 'nan' is no positive number"),
        ("a.jpg b.png -5\n", "line 1: focal length '-5' is no positive number"),
    ],
)
def test_a_list_that_makes_no_sense_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "test_list.txt").write_text(text)
    with pytest.raises(UsageError, match=words):
        open_source(f"nyu:{tmp_path}", split="test")


def test_a_list_that_an_editor_marked_as_utf_8_keeps_its_first_picture(tmp_path: Path) -> None:
    write_pair(tmp_path / "sync/kitchen/rgb_1.jpg", tmp_path / "sync/kitchen/sync_depth_1.png")
    line = "\ufeff/kitchen/rgb_1.jpg /kitchen/sync_depth_1.png 518.8579\r\n"
    (tmp_path / "train_list.txt").write_bytes(line.encode())
    pairs = open_source(f"nyu:{tmp_path}", split="train")
    assert pairs.name_of(0) == "kitchen/rgb_1.jpg"
    assert pairs.read(0).depth[0, 0] == pytest.approx(2.56)


def test_a_folder_without_the_dataset_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no test pictures of nyu.*test_list\.txt"):
        open_source(f"nyu:{tmp_path}", split="test")
    with pytest.raises(UsageError, match="is no folder"):
        open_source(f"kitti:{tmp_path / 'nothing'}", split="test")


def test_scenes_are_named_by_seed_and_end_only_when_they_are_a_test() -> None:
    stream = open_source("scenes:900", split="train")
    assert stream == SceneStream(900)
    assert stream.length is None
    assert open_source("scenes:900", split="test").length == 200
    assert open_source("scenes:900:64", split="test").length == 64
    assert stream.name_of(3) == "scene_000003.png"


@pytest.mark.parametrize("spec", ["scenes:", "scenes:x", "scenes:1:0", "scenes:-1", "nothing.csv", "wrong:place"])
def test_data_that_is_not_there_is_refused(spec: str) -> None:
    with pytest.raises(UsageError):
        open_source(spec, split="train")


def test_a_folder_with_a_pairs_file_will_do(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("rgb_path,depth_path,depth_scale\na.png,b.png,1000\n")
    assert open_source(str(tmp_path), split="test").length == 1
