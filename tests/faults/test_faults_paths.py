"""Cases 31 to 52 of the catalogue of faults: odd paths and names, and file systems that refuse."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import socket
import stat
import sys
import threading
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_rgb
from program_runs import (
    OUT,
    as_journey,
    check_no_temporaries,
    depth_of,
    encode,
    glpn,
    good_png,
    predict,
    without_root,
    written,
)

from glpn_cli import atomic_write
from glpn_cli.depth_files import read_depth
from glpn_cli.images import ImageSource, Picture
from glpn_cli.pipeline import plan
from glpn_cli.pipeline.stages import Stages


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLPN_MODEL", str(tiny_model))


def put(*names: str | bytes) -> None:
    """Good pictures of these names, with the folders that they need."""
    for name in names:
        path = Path(os.fsdecode(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(good_png())


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens the model has started something."""

    def refuse(self: Stages) -> None:
        raise AssertionError("the model was opened")

    monkeypatch.setattr(Stages, "open", refuse)


# What inputs may be


def test_case_31_a_missing_file_is_its_own_error_and_alone_a_usage_error() -> None:
    put("good.png")
    journey = predict("missing.png", "good.png")
    assert journey.exit_code == 3
    journey.refused("missing.png", "E_NOT_FOUND", "does not exist")
    journey.made("good.png")
    alone = glpn("predict", "missing.png", "-o", "out")
    assert alone.exit_code == 2
    assert "'missing.png' does not exist [E_NOT_FOUND]" in alone.stderr


def test_case_32_a_folder_that_is_named_like_a_picture_is_searched_and_never_opened() -> None:
    put("in/good.png", "in/folder.jpg/inner.png", "in/empty.png/.keep")
    journey = predict("in")
    assert journey.exit_code == 0
    assert set(journey.codes) == {"good.png", "folder.jpg/inner.png"}
    given = predict("in/folder.jpg")
    assert given.codes == {"inner.png": "ok"}


def test_case_33_links_in_circles_and_into_nowhere_are_told_and_the_search_ends() -> None:
    put("in/good.png", "in/sub/other.png")
    Path("in/self.png").symlink_to("self.png")
    Path("in/nowhere.png").symlink_to("gone.png")
    Path("in/sub/up").symlink_to("..")
    Path("in/sub/round").symlink_to(".")
    journey = predict("in")
    assert journey.exit_code == 3
    assert journey.codes == {
        "good.png": "ok",
        "sub/other.png": "ok",
        "self.png": "E_IO",
        "nowhere.png": "E_NOT_FOUND",
    }
    named = predict("in/self.png", "in/nowhere.png", "in/good.png")
    assert named.codes == {"self.png": "E_IO", "nowhere.png": "E_NOT_FOUND", "good.png": "skipped"}


def test_case_34_what_is_no_regular_file_is_left_out_of_scans_and_read_with_care_where_named() -> None:
    put("in/good.png")
    os.mkfifo("in/pipe.png")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("in/socket.png")
        journey = predict("in")
        assert (journey.exit_code, journey.codes) == (0, {"good.png": "ok"})
        named = predict("in/socket.png", "/dev/zero", "/dev/null", "in/good.png", "--existing", "overwrite")
    assert named.codes == {"socket.png": "E_IO", "zero": "E_UNSUPPORTED", "null": "E_DECODE", "good.png": "ok"}
    assert written() == ["good.png_depth.png"]


def test_case_34_a_picture_may_come_through_a_named_pipe_or_standard_input_itself() -> None:
    put("good.png")
    expected = predict("good.png").made("good.png")
    os.mkfifo("pipe.png")
    writer = threading.Thread(target=Path("pipe.png").write_bytes, args=[good_png()], daemon=True)
    writer.start()
    np.testing.assert_array_equal(predict("pipe.png").made("pipe.png"), expected)
    writer.join(5)
    assert not writer.is_alive()
    with standard_input(good_png()):
        np.testing.assert_array_equal(predict("/dev/stdin").made("stdin"), expected)


class standard_input:  # noqa: N801 - a context manager, read as a phrase
    """The process's own standard input is a pipe with these bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __enter__(self) -> None:
        self._saved = os.dup(0)
        read, write = os.pipe()
        os.dup2(read, 0)
        os.close(read)
        os.write(write, self._data)  # less than a pipe holds
        os.close(write)

    def __exit__(self, *_: object) -> None:
        os.dup2(self._saved, 0)
        os.close(self._saved)


@pytest.mark.skipif(sys.platform != "linux", reason="root's power is put down by Linux' means")
def test_case_35_what_may_not_be_read_is_told_and_the_others_are_done() -> None:
    put("in/good.png", "in/secret.png", "in/closed/inner.png")
    Path("in/secret.png").chmod(0)
    Path("in/closed").chmod(0)
    with without_root():
        journey = predict("in")
    Path("in/closed").chmod(0o755)
    assert journey.exit_code == 3
    assert journey.codes == {"good.png": "ok", "secret.png": "E_PERMISSION", "closed": "E_PERMISSION"}


# Names


def test_case_36_a_name_that_is_no_text_is_kept_byte_by_byte() -> None:
    name = b"latin-\xff.png"
    put(b"in/" + name, b"in/empty-\xfe.png")
    Path(os.fsdecode(b"in/empty-\xfe.png")).write_bytes(b"")
    result = glpn("predict", "in", "-o", "out", "--json")
    assert result.exit_code == 3
    assert [os.fsencode(path.name) for path in OUT.iterdir()] == [b"latin-\xff_depth.png"]
    assert "empty-\\xfe.png" in result.stderr
    assert '"name": {"bytes": "bGF0aW4t/y5wbmc="}' in result.stdout  # base64 of the very bytes
    assert '"path": {"bytes": ' in result.stdout


ODD_NAMES = [
    "new\nline.png",
    "tab\t.png",
    "\x1b[31mred\x1b[0m.png",
    "%d %s.png",
    "'quoted\".png",
    "-dash.png",
    "😀.png",
]
ODD_NAMES += ["rtl\u202egpj.png", "[bold][/].png", "{stem}.png", "$HOME `id`.png", " .png", "a\\b.png"]


def test_case_37_names_with_control_characters_markup_and_options_are_done_and_shown_harmlessly() -> None:
    put(*(f"in/{name}" for name in ODD_NAMES))
    empty = [f"{name[:-4]} bad.png" for name in ODD_NAMES]
    for name in empty:
        Path(f"in/{name}").write_bytes(b"")
    journey = predict("in")
    assert journey.exit_code == 3
    assert journey.codes == dict.fromkeys(ODD_NAMES, "ok") | dict.fromkeys(empty, "E_DECODE")
    assert sorted(written()) == sorted(f"{name}_depth.png" for name in ODD_NAMES)
    shown = set(journey.stderr) | set(journey.result.stdout)
    assert not {"\x1b", "\t", "\u202e"} & set(journey.stderr)
    assert not {"\x1b", "\t"} & shown
    assert journey.stderr.count("error: ") == len(ODD_NAMES)
    os.chdir("in")
    dashed = glpn("predict", "-o", "../dashed", "--", "-dash.png")
    assert (dashed.exit_code, dashed.stdout) == (0, "../dashed/-dash_depth.png\n")


def test_case_38_a_name_that_leaves_no_room_for_the_results_is_told_with_a_way_out() -> None:
    name = "a" * 251 + ".png"
    put(f"in/{name}", "in/good.png")
    result = glpn("predict", "in", "-o", "out", "--json")
    journey = as_journey(result)
    assert journey.exit_code == 3
    assert journey.codes == {name: "E_IO", "good.png": "ok"}
    assert "--name" in journey.records[name]["error"]["hint"]
    assert written() == ["good_depth.png"]


def test_case_39_names_that_one_file_system_takes_for_the_same_collide_at_planning(
    monkeypatch: pytest.MonkeyPatch, no_model: None
) -> None:
    twins = [unicodedata.normalize(form, "in/é.png") for form in ("NFC", "NFD")]
    put("in/A.png", "in/a.png", *twins)
    if len(list(Path("in").iterdir())) < 4:
        pytest.skip("this file system takes them for the same itself")
    monkeypatch.setattr(plan, "_ignores_case", lambda folder: True)
    cased = glpn("predict", "in/A.png", "in/a.png", "-o", "out")
    assert cased.exit_code == 2
    assert "'in/A.png' and 'in/a.png'" in cased.stderr
    monkeypatch.setattr(plan.sys, "platform", "darwin")
    formed = glpn("predict", *twins, "-o", "out")
    assert formed.exit_code == 2
    assert "several results would be the same file" in formed.stderr
    assert not OUT.exists()


def test_case_40_two_inputs_for_one_output_are_refused_with_both_names(no_model: None) -> None:
    put("in/a.png", "one/x.png", "two/x.png")
    shutil.copy("in/a.png", "in/a.jpg")
    for inputs in (["in"], ["one/x.png", "two/x.png"]):
        result = glpn("predict", *inputs, "-o", "out")
        assert result.exit_code == 2
        assert "several results would be the same file" in result.stderr
        assert "--name" in result.stderr
    assert "'one/x.png' and 'two/x.png'" in result.stderr
    assert not OUT.exists()


def test_case_41_one_file_by_several_ways_is_done_once_and_that_is_said() -> None:
    put("in/good.png")
    Path("in/link.png").symlink_to("good.png")
    journey = predict("in/good.png", "./in/../in/good.png", "in/link.png")
    assert (journey.exit_code, journey.codes) == (0, {"good.png": "ok"})
    assert "2 inputs lead to a file that was found before" in journey.stderr


def test_case_42_no_input_is_written_over_and_no_output_is_read_again(no_model: None) -> None:
    put("in/good.png")
    onto = glpn("predict", "in/good.png", "-o", "in/good.png", "--existing", "overwrite")
    assert onto.exit_code == 2
    assert "is one of the inputs" in onto.stderr
    Path("linked").symlink_to("in")
    through = glpn("predict", "in/good.png", "-o", "linked", "--name", "{stem}", "--existing", "overwrite")
    assert through.exit_code == 2
    assert Path("in/good.png").read_bytes() == good_png()


def test_case_42_outputs_among_the_inputs_are_left_out_of_the_next_run() -> None:
    put("in/good.png")
    words = ("predict", "in", "-o", "in/depth", "-f", "png16,npy,tiff,color", "--json")
    first, second = (as_journey(glpn(*words)) for _ in range(2))
    assert (first.exit_code, first.codes) == (0, {"good.png": "ok"})
    assert (second.exit_code, second.codes) == (0, {"good.png": "skipped"})
    assert len(list(Path("in/depth").iterdir())) == 4


# File systems that refuse


def test_case_43_a_place_that_can_never_be_written_is_refused_before_anything_starts(no_model: None) -> None:
    put("good.png", "file")
    Path("out/good_depth.png").mkdir(parents=True)
    for words in (["-o", "out"], ["-o", "file/below"], ["-o", "file"], ["-o", "file/below/x.png"]):
        result = glpn("predict", "good.png", *words)
        assert result.exit_code == 2, words
        assert "Traceback" not in result.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="root's power is put down by Linux' means")
def test_case_44_a_folder_that_cannot_be_written_is_told_before_the_model_is_loaded(no_model: None) -> None:
    put("good.png")
    Path("locked").mkdir(mode=0o555)
    with without_root():
        for folder in ("locked", "locked/below/it"):
            result = glpn("predict", "good.png", "-o", folder)
            assert result.exit_code == 2
            assert "[E_PERMISSION]" in result.stderr
    assert list(Path("locked").iterdir()) == []


def test_case_44_parents_that_are_missing_are_made() -> None:
    put("good.png")
    assert glpn("predict", "good.png", "-o", "a/b/c").exit_code == 0
    assert Path("a/b/c/good_depth.png").is_file()


def fail_at(call: int, function: Callable[..., Any], error: OSError) -> Callable[..., Any]:
    """`function`, which fails from its n-th call on, as a full disk does."""
    calls = 0

    def failing(*arguments: Any, **settings: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls >= call:
            raise error
        return function(*arguments, **settings)

    return failing


def test_case_45_a_full_disk_at_any_write_stops_the_run_and_harms_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    put(*(f"in/{number}.png" for number in range(3)))
    words = ("in", "--workers", "1")
    assert predict(*words, "--tta", "flip").exit_code == 0
    old = {name: (OUT / name).read_bytes() for name in written()}
    assert predict("in", "--existing", "overwrite").exit_code == 0
    new = {name: (OUT / name).read_bytes() for name in written()}
    for call in (1, 2, 3):
        for name, data in old.items():
            (OUT / name).write_bytes(data)
        with monkeypatch.context() as broken:
            broken.setattr(os, "fsync", fail_at(call, os.fsync, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))
            journey = predict(*words, "--existing", "update")
        assert journey.exit_code == 4
        assert journey.summary["stopped"] == "E_NOSPACE"
        assert "no space left on device [E_NOSPACE]" in journey.stderr
        assert "run the same command again to go on" in journey.stderr
        left = {name: (OUT / name).read_bytes() for name in written()}
        assert left.keys() == old.keys()
        assert all(data in (old[name], new[name]) for name, data in left.items())
        assert sum(data == new[name] for name, data in left.items()) == call - 1
    assert predict(*words, "--existing", "update").exit_code == 0
    assert {name: (OUT / name).read_bytes() for name in written()} == new


def test_case_45_a_device_that_is_full_stops_the_run() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    put("good.png")
    Path("out").mkdir()
    Path("out/good_depth.png").symlink_to("/dev/full")
    result = glpn("predict", "good.png", "-o", "out")
    assert result.exit_code == 4
    assert "[E_NOSPACE]" in result.stderr
    assert Path("out/good_depth.png").is_symlink()


@pytest.mark.parametrize("name", ["EDQUOT", "EROFS", "EIO", "ESTALE"])
def test_case_46_a_disk_that_fails_otherwise_stops_the_run_too(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put("in/1.png", "in/2.png")
    number = getattr(errno, name)
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", fail_at(2, os.fsync, OSError(number, os.strerror(number))))
        journey = predict("in", "--workers", "1")
    assert journey.exit_code == 4
    assert os.strerror(number).lower() in journey.stderr
    assert len(written()) == 1
    assert predict("in").exit_code == 0
    assert len(written()) == 2


def test_case_47_an_output_that_somebody_holds_open_is_tried_again_and_then_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put("good.png")
    expected = predict("good.png").made("good.png")
    original, tries = Path.replace, 0
    held_for = 3

    def held(self: Path, target: Path) -> Path:
        nonlocal tries
        tries += 1
        if tries <= held_for:
            raise PermissionError(errno.EACCES, "The process cannot access the file")
        return original(self, target)

    monkeypatch.setattr(atomic_write, "IS_PATIENT", True)  # as on Windows, where an open file cannot be replaced
    monkeypatch.setattr(atomic_write, "_PAUSE_S", 0.01)
    monkeypatch.setattr(Path, "replace", held)
    journey = predict("good.png", "--existing", "overwrite")
    np.testing.assert_array_equal(journey.made("good.png"), expected)
    assert tries == 4
    tries, held_for = 0, 1000
    journey = predict("good.png", "--existing", "overwrite")
    assert (journey.exit_code, journey.codes) == (1, {"good.png": "E_PERMISSION"})
    assert tries == 5
    np.testing.assert_array_equal(depth_of("good.png"), expected)


# Files that change


def test_case_48_a_picture_that_vanishes_after_the_search_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    put("in/good.png", "in/gone.png", "in/moved/x.png")
    original = ImageSource.read

    def vanish(self: ImageSource, **settings: Any) -> Picture:
        if self.name == "gone.png":
            Path("in/gone.png").unlink()
        if self.name == "moved/x.png":
            shutil.rmtree("in/moved")
        return original(self, **settings)

    monkeypatch.setattr(ImageSource, "read", vanish)
    journey = predict("in")
    assert journey.exit_code == 3
    assert journey.codes == {"good.png": "ok", "gone.png": "E_NOT_FOUND", "moved/x.png": "E_NOT_FOUND"}


def test_case_49_a_picture_that_is_rewritten_while_it_is_read_is_one_of_its_pictures_or_an_error() -> None:
    small, large = encode(make_rgb(48, 64, seed=1), "PNG"), encode(make_rgb(120, 90, seed=2), "TIFF")
    put("in/good.png", "in/changing.png")
    over = threading.Event()

    def rewrite() -> None:
        with Path("in/changing.png").open("r+b") as file:
            while not over.is_set():
                for data, size in ((small, len(small)), (large, len(large) // 2), (large, len(large)), (b"", 0)):
                    file.seek(0)
                    file.write(data)
                    file.flush()
                    os.ftruncate(file.fileno(), size)

    thread = threading.Thread(target=rewrite)
    thread.start()
    try:
        met = {predict("in", "--existing", "overwrite").codes["changing.png"] for _ in range(12)}
    finally:
        over.set()
        thread.join()
    assert met <= {"ok", "E_DECODE", "E_UNSUPPORTED"}
    assert depth_of("good.png").shape == (48, 64)


def test_case_50_modes_follow_the_umask_and_the_folders_group() -> None:
    put("good.png")
    Path("shared").mkdir()
    Path("shared").chmod(0o2775)
    before = os.umask(0o077)
    try:
        assert glpn("predict", "good.png", "-o", "private/below").exit_code == 0
        os.umask(0o002)
        assert glpn("predict", "good.png", "-o", "shared/below").exit_code == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE(Path("private/below/good_depth.png").stat().st_mode) == 0o600
    assert stat.S_IMODE(Path("private/below").stat().st_mode) == 0o700
    assert stat.S_IMODE(Path("shared/below/good_depth.png").stat().st_mode) == 0o664
    assert Path("shared/below").stat().st_mode & stat.S_ISGID
    assert Path("shared/below/good_depth.png").stat().st_gid == Path("shared").stat().st_gid


def test_case_51_deep_and_wide_trees_are_planned_in_seconds_and_little_memory(no_model: None) -> None:
    deep = Path("in")
    for number in range(60):
        deep = deep / f"{number:02d}{'d' * 40}"
    deep.mkdir(parents=True)
    (deep / "x.png").write_bytes(good_png())
    for folder in range(20):
        place = Path("in") / f"wide{folder}"
        place.mkdir()
        for number in range(250):
            (place / f"{number}.jpg").touch()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    result = glpn("predict", "in", "-o", "out", "--dry-run")
    assert result.exit_code == 0
    assert time.process_time() - started < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10
    assert len(result.stdout.splitlines()) == 5001


def test_case_51_a_tree_deeper_than_paths_can_be_ends_with_a_word() -> None:
    put("in/good.png")
    at = os.open("in", os.O_RDONLY)
    for _ in range(25):
        os.mkdir("d" * 200, dir_fd=at)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    try:
        journey = predict("in")
        assert journey.exit_code == 3
        assert sorted(journey.codes.values()) == ["E_IO", "ok"]
    finally:
        shutil.rmtree("in")


def test_case_52_few_file_handles_are_enough_for_many_pictures() -> None:
    put(*(f"in/{number}.png" for number in range(120)))
    for number in range(0, 120, 3):
        Path(f"in/{number}.png").write_bytes(good_png()[:500])
    predict("in/1.png")  # opens what stays open: libraries, the model
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(list(Path("/dev/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 24, hard))
    try:
        journey = predict("in")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert journey.exit_code == 3
    assert list(journey.codes.values()).count("E_DECODE") == 40
    assert len(written()) == 80
    check_no_temporaries()
    assert read_depth(OUT / "1.png_depth.png").depth.size == (48, 64)
