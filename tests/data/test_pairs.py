from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glpn_cli.data.pairs import Pair, PairList
from glpn_cli.data.samples import kb_crop
from glpn_cli.depth_files import make_writer
from glpn_cli.errors import ErrorCode, InputError, UsageError
from glpn_cli.images import ImageSource, ReadOptions
from glpn_cli.prediction import DepthKind, DepthMap, Intrinsics, Result


def write_picture(path: Path, size: tuple[int, int] = (6, 8)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), 90, np.uint8)).save(path)
    return path


def write_depth(path: Path, depth_m: float = 2.0, *, scale: float = 1000, size: tuple[int, int] = (6, 8)) -> Path:
    """A constant depth whose first pixel was never measured."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = np.full(size, depth_m * scale, np.uint16)
    stored[0, 0] = 0
    Image.fromarray(stored).save(path)
    return path


def make_pair(folder: Path, *, scale: float = 1000, depth_m: float = 2.0, stored_scale: float | None = None) -> Pair:
    rgb = write_picture(folder / "rgb.png")
    depth = write_depth(folder / "depth.png", depth_m, scale=stored_scale or scale)
    return Pair(rgb, depth, scale, name="room/rgb.png")


def test_a_pair_gives_colours_and_metres_with_zero_where_nothing_was_measured(tmp_path: Path) -> None:
    sample = make_pair(tmp_path).read()
    assert sample.rgb.shape == (6, 8, 3)
    assert sample.depth.dtype == np.float32
    assert sample.depth[0, 0] == 0
    assert sample.depth.ravel()[1:] == pytest.approx(np.full(47, 2.0))


def test_depth_may_be_a_float_array_with_holes(tmp_path: Path) -> None:
    values = np.full((6, 8), 3.5, np.float32)
    values[0, 0], values[0, 1] = np.nan, 0
    np.save(tmp_path / "depth.npy", values)
    sample = Pair(write_picture(tmp_path / "rgb.png"), tmp_path / "depth.npy", 1.0).read()
    assert sample.depth[0, :3].tolist() == [0, 0, 3.5]


@pytest.mark.parametrize("half", ["picture", "depth"])
def test_a_missing_half_is_named(tmp_path: Path, half: str) -> None:
    pair = make_pair(tmp_path)
    (pair.rgb_path if half == "picture" else pair.depth_path).unlink()
    with pytest.raises(InputError, match=f"its {half} .* is missing") as caught:
        pair.read()
    assert caught.value.code is ErrorCode.NOT_FOUND


def test_halves_of_different_size_are_refused_with_both_sizes(tmp_path: Path) -> None:
    pair = make_pair(tmp_path)
    write_depth(pair.depth_path, size=(6, 9))
    with pytest.raises(InputError, match="picture is 8x6, its depth 9x6"):
        pair.read()


def test_depth_without_a_valid_pixel_is_refused(tmp_path: Path) -> None:
    pair = make_pair(tmp_path, depth_m=0)
    with pytest.raises(InputError, match="no valid pixel") as caught:
        pair.read()
    assert "leave the pair out" in caught.value.hint


def test_a_millimetre_file_read_as_metres_is_noticed(tmp_path: Path) -> None:
    pair = make_pair(tmp_path, scale=1, stored_scale=1000)
    with pytest.raises(InputError, match="2e\\+03 m with depth_scale 1") as caught:
        pair.read()
    assert caught.value.code is ErrorCode.RANGE
    assert "1000 for millimetres" in (caught.value.hint or "")


def test_metres_read_as_millimetres_are_noticed(tmp_path: Path) -> None:
    pair = make_pair(tmp_path, scale=1000, stored_scale=1, depth_m=3)
    with pytest.raises(InputError, match=r"half of its depths lie below 0\.003 m with depth_scale 1000"):
        pair.read()


def test_a_scale_for_a_file_of_floats_is_refused_since_floats_are_metres(tmp_path: Path) -> None:
    np.save(tmp_path / "depth.npy", np.full((6, 8), 350, np.float32))
    pair = Pair(write_picture(tmp_path / "rgb.png"), tmp_path / "depth.npy", 100, name="rgb.png")
    with pytest.raises(
        InputError, match=r"of floats is read as metres, and its depth_scale is said to be 100$"
    ) as caught:
        pair.read()
    assert caught.value.hint.startswith("Write 1")
    with pytest.raises(InputError, match=r"beyond 350 m \(a file of floats is read as metres\)"):
        replace(pair, depth_scale=1.0).read()
    pair = replace(pair, depth_scale=1000)
    np.save(tmp_path / "depth.npy", np.full((6, 8), 3500, np.uint16))
    assert pair.read().depth[0, 0] == 3.5


def test_one_focal_length_stands_for_both(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    for lines in ("fx\na.png,b.png,1000,400", "fy\na.png,b.png,1000,400", "fx,fy\na.png,b.png,1000,,400"):
        path.write_text(f"{HEADER},{lines}\n")
        assert [pair.focal_px for pair in PairList.read_csv(path).pairs] == [400]


def test_a_scale_that_the_files_own_record_contradicts_is_refused_naming_both(tmp_path: Path) -> None:
    rgb = write_picture(tmp_path / "rgb.png")
    result = Result(DepthMap(np.full((6, 8), 2.0, np.float32)), ImageSource(rgb, "rgb.png", "rgb.png"))
    writer = make_writer("png16", kind=DepthKind.METRIC, limit_m=None, depth_scale=256)
    (tmp_path / "depth.png").write_bytes(writer.encode(result).data)
    assert Pair(rgb, tmp_path / "depth.png", 256).read().depth[0, 0] == 2
    with pytest.raises(InputError, match=r"record says 256 units per metre, .* said to be 1000") as caught:
        Pair(rgb, tmp_path / "depth.png", 1000).read()
    assert caught.value.code is ErrorCode.DATA


def test_a_damaged_half_is_named_with_its_path(tmp_path: Path) -> None:
    pair = make_pair(tmp_path)
    pair.rgb_path.write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"rgb\.png: "):
        pair.read()


def test_the_benchmarks_window_is_at_the_bottom_centre_and_a_cut_frame_stays() -> None:
    frame = np.arange(375 * 1242, dtype=np.float32).reshape(375, 1242)
    window = kb_crop(frame, what="frame")
    assert window.shape == (352, 1216)
    assert window[0, 0] == frame[375 - 352, 13]
    assert window[-1, -1] == frame[-1, 13 + 1216 - 1]
    assert kb_crop(window, what="frame") is not None
    assert np.array_equal(kb_crop(window, what="frame"), window)
    with pytest.raises(InputError, match="640x480 is smaller than KITTI's 1216x352") as caught:
        kb_crop(np.zeros((480, 640), np.float32), what="frame")
    assert "KITTI's frames as they were published" in caught.value.hint


def test_a_kitti_pair_is_cut_when_it_is_read(tmp_path: Path) -> None:
    rgb = write_picture(tmp_path / "rgb.png", (370, 1226))
    depth = write_depth(tmp_path / "depth.png", 20, scale=256, size=(370, 1226))
    sample = Pair(rgb, depth, 256, is_kitti=True).read()
    assert sample.rgb.shape == (352, 1216, 3)
    assert sample.depth.shape == (352, 1216)
    assert sample.depth[0, 0] == 20


HEADER = "rgb_path,depth_path,depth_scale"


def write_csv(folder: Path, *lines: str) -> Path:
    path = folder / "pairs.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_csv_lists_pairs_relative_to_itself(tmp_path: Path) -> None:
    make_pair(tmp_path / "a")
    path = write_csv(
        tmp_path, f"{HEADER},fx,fy,cx,cy,source", "a/rgb.png,a/depth.png,1000,400,441,4,3,walk", "b.png,c.png,256,,,,,"
    )
    pairs = PairList.read_csv(path)
    assert pairs.length == 2
    assert pairs.name_of(0) == "a/rgb.png"
    assert pairs.pairs[0].focal_px == pytest.approx(420)
    assert pairs.pairs[1].focal_px is None
    assert pairs.pairs[1].depth_scale == 256
    assert pairs.read(0).size == (6, 8)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "no column rgb_path, depth_path, depth_scale"),
        (["rgb_path,depth_path"], "no column depth_scale"),
        ([HEADER], "lists no pairs"),
        ([HEADER, "a.png,,1000"], "line 2: a path is empty"),
        ([HEADER, "a.png,b.png,1000", "a.png,b.png,zero"], "line 3: depth_scale 'zero'"),
        ([HEADER, "a.png,b.png,-1"], "depth_scale '-1' is no positive number"),
        ([HEADER, "a.png,b.png"], "depth_scale ''"),
        ([f"{HEADER},fx,fy", "a.png,b.png,1000,nan,4"], "fx 'nan'"),
    ],
)
def test_a_csv_that_makes_no_sense_is_refused_naming_the_line(tmp_path: Path, lines: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        PairList.read_csv(write_csv(tmp_path, *lines))
    assert caught.value.hint != ErrorCode.DATA.hint


def test_hints_tell_what_to_write_in_the_column_that_is_wrong(tmp_path: Path) -> None:
    hints = []
    for lines in (["rgb_path"], [HEADER, "a.png,b.png,"], [f"{HEADER},fx,fy", "a.png,b.png,1000,abc,4"]):
        with pytest.raises(UsageError) as caught:
            PairList.read_csv(write_csv(tmp_path, *lines))
        hints.append(caught.value.hint)
    assert hints[0].startswith(
        "The first line must name rgb_path,depth_path,depth_scale; without the last, use --depth-scale. It"
    )
    assert "1000 for millimetres" in hints[1]
    assert "focal length in pixels" in hints[2]


def test_spaces_after_the_commas_are_no_part_of_names(tmp_path: Path) -> None:
    lines = [
        "rgb_path, depth_path, depth_scale , fx, fy",
        "a/rgb 1.png, a/depth.png, 1000, 400, 400",
        "b.png, c.png, 256",
    ]
    (first, second) = PairList.read_csv(write_csv(tmp_path, *lines)).pairs
    assert (first.depth_path, first.name, first.focal_px) == (tmp_path / "a/depth.png", "a/rgb 1.png", 400)
    assert (second.depth_scale, second.focal_px) == (256, None)
    tight = PairList.read_csv(write_csv(tmp_path, HEADER, " a.png,b.png,1000"))
    assert tight.name_of(0) == " a.png"


def test_a_list_tells_the_whole_camera_and_the_axis_meets_the_middle_where_it_does_not(tmp_path: Path) -> None:
    make_pair(tmp_path)
    lines = [f"{HEADER},fx,fy,cx,cy", *(f"rgb.png,depth.png,1000,{rest}" for rest in ("8,2,3,-1.5", "5,,,", ",,3,2"))]
    pairs = PairList.read_csv(write_csv(tmp_path, *lines))
    cameras = [pairs.read(index).intrinsics for index in range(3)]
    assert cameras == [Intrinsics(8, 2, 3, -1.5, "file"), Intrinsics(5, 5, 3.5, 2.5, "file"), None]
    assert pairs.read(0).focal_px == 4
    with pytest.raises(UsageError, match="line 2: cx 'middle' is no number"):
        PairList.read_csv(write_csv(tmp_path, lines[0], "rgb.png,depth.png,1000,8,8,middle,2"))


def test_the_camera_of_a_kitti_frame_is_that_of_its_window(tmp_path: Path) -> None:
    rgb, depth = write_picture(tmp_path / "rgb.png", (375, 1242)), tmp_path / "depth.png"
    write_depth(depth, size=(375, 1242))
    sample = Pair(rgb, depth, 1000, 700, is_kitti=True, axis_px=(600, 170)).read()
    assert sample.intrinsics == Intrinsics(700, 700, 587, 147, "file")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_lists_are_read_as_spreadsheets_save_them(tmp_path: Path, encoding: str, separator: str) -> None:
    lines = (HEADER.split(","), ['"küche, 1.png"', "b.png", "1000"])
    text = "\r\n".join(separator.join(line) for line in lines)
    (tmp_path / "pairs.csv").write_bytes(text.encode(encoding))
    (pair,) = PairList.read_csv(tmp_path / "pairs.csv").pairs
    assert (pair.name, pair.depth_path.name, pair.depth_scale) == ("küche, 1.png", "b.png", 1000)


def test_a_line_after_a_quoted_one_that_spans_several_is_named_by_its_own_number(tmp_path: Path) -> None:
    path = write_csv(tmp_path, HEADER + ",note", 'a.png,b.png,1000,"one\ntwo\nthree"', "", 'c.png,d.png,far,"1\n2"')
    with pytest.raises(UsageError, match="line 6: depth_scale 'far'"):
        PairList.read_csv(path)


def test_an_error_of_one_foreign_file_is_an_error_of_its_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError) as caught:
        Pair(tmp_path / ("a" * 300 + ".png"), tmp_path / "b.png", 1000).read()
    assert "too long" in caught.value.message
    pair = make_pair(tmp_path)
    write_depth(pair.depth_path, size=(6, 9))
    with pytest.raises(InputError, match=r"depth\.png: .* 54 pixels") as caught:
        pair.read(ReadOptions(max_pixels=48))
    assert caught.value.code is ErrorCode.TOO_LARGE

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no decoder thought of this")

    monkeypatch.setattr("glpn_cli.data.pairs.read_depth", fail)
    with pytest.raises(InputError, match="no decoder thought of this"):
        pair.read()


def test_a_csv_that_is_no_text_or_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(UsageError, match="is no CSV"):
        PairList.read_csv(tmp_path / "binary.csv")
    with pytest.raises(UsageError, match="cannot be read"):
        PairList.read_csv(tmp_path / "missing.csv")
