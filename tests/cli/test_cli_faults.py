"""Disks that fill up, memory that runs out, files that vanish: what is done stays done, and the exit code says it."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from glpn_cli.cli import app
from glpn_cli.depth_files import read_depth
from glpn_cli.images import ImageSource, Picture
from glpn_cli.pipeline.stages import Stages
from glpn_cli.predictor import DepthEstimator


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLPN_MODEL", str(tiny_model))


def glpn(*arguments: object) -> Result:
    words = ["predict", *map(str, arguments), "--threads", "1", "--workers", "1", "--precision", "fp32"]
    return CliRunner().invoke(app, words, catch_exceptions=False)


def contents(folder: str) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()
    }


def fail_at(call: int, function: Callable[..., Any], error: BaseException) -> Callable[..., Any]:
    """`function`, which raises once, when it is called for the n-th time."""
    calls = 0

    def failing(*arguments: Any, **settings: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            raise error
        return function(*arguments, **settings)

    return failing


@pytest.mark.parametrize("call", [1, 2, 4])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_a_disk_that_takes_no_more_stops_the_run_and_a_second_one_goes_on(
    untouched_pictures: Path, monkeypatch: pytest.MonkeyPatch, call: int, code: int
) -> None:
    assert glpn(untouched_pictures, "-o", "undisturbed").exit_code == 0
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", fail_at(call, os.fsync, OSError(code, os.strerror(code))))
        result = glpn(untouched_pictures, "-o", "out")
    assert result.exit_code == 4
    assert os.strerror(code).lower() in result.stderr
    assert "run the same command again to go on" in result.stderr
    whole = contents("undisturbed")
    left = contents("out")
    assert len(left) < 4
    assert all(whole[name] == data for name, data in left.items()), "a part of a file, or a temporary"
    assert glpn(untouched_pictures, "-o", "out").exit_code == 0
    assert contents("out") == whole


def test_a_file_that_cannot_be_written_is_that_inputs_error(
    untouched_pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", fail_at(2, os.fsync, OSError(errno.EACCES, "Permission denied")))
    result = glpn(untouched_pictures, "-o", "out")
    assert result.exit_code == 3
    assert len(contents("out")) == 3


@pytest.mark.parametrize("call", [1, 3])
@pytest.mark.parametrize(("where", "name"), [(ImageSource, "read"), (DepthEstimator, "infer"), (Stages, "finish")])
def test_memory_that_runs_out_at_any_stage_costs_one_picture(
    untouched_pictures: Path, monkeypatch: pytest.MonkeyPatch, where: Any, name: str, call: int
) -> None:
    original = getattr(where, name)
    calls = 0

    def failing(*arguments: Any, **settings: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            raise MemoryError
        return original(*arguments, **settings)

    monkeypatch.setattr(where, name, failing)
    result = glpn(untouched_pictures, "-o", "out", "-f", "npy")
    assert result.exit_code == 3
    assert result.stderr.count("E_OOM") == 1
    assert len(contents("out")) == 3
    for name in contents("out"):
        read_depth(Path("out") / name)


def test_a_picture_that_vanishes_between_planning_and_reading_is_not_found(
    tiny_pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = ImageSource.read

    def vanish(self: ImageSource, **settings: Any) -> Picture:
        if self.name == "a.jpg" and self.path is not None:
            self.path.unlink()
        return original(self, **settings)

    monkeypatch.setattr(ImageSource, "read", vanish)
    result = glpn(tiny_pictures, "-o", "out")
    assert result.exit_code == 3
    assert "E_NOT_FOUND" in result.stderr
    assert len(contents("out")) == 3


def test_a_file_that_comes_meanwhile_is_not_replaced(tiny_pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = ImageSource.read

    def overtaken(self: ImageSource, **settings: Any) -> Picture:
        Path("out").mkdir(exist_ok=True)
        Path("out/a_depth.png").write_bytes(b"somebody else's")
        return original(self, **settings)

    monkeypatch.setattr(ImageSource, "read", overtaken)
    result = glpn(tiny_pictures / "a.jpg", "-o", "out")
    assert result.exit_code == 1
    assert "E_EXISTS" in result.stderr
    assert contents("out") == {"a_depth.png": b"somebody else's"}


def test_a_bug_in_one_picture_is_told_and_the_others_are_done(
    untouched_pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = ImageSource.read

    def stumble(self: ImageSource, **settings: Any) -> Picture:
        if self.name == "b.png":
            raise ZeroDivisionError("oops")
        return original(self, **settings)

    monkeypatch.setattr(ImageSource, "read", stumble)
    result = glpn(untouched_pictures, "-o", "out")
    assert result.exit_code == 3
    assert "this is a bug in glpn: ZeroDivisionError: oops [E_INTERNAL]" in result.stderr
    assert "Traceback" not in result.stderr
    assert len(contents("out")) == 3


def test_temporaries_of_dead_processes_are_swept_at_the_start(untouched_pictures: Path) -> None:
    from glpn_cli.atomic_write import this_machine

    Path("out").mkdir()
    dead = Path("out") / f".glpn-{this_machine()}-4194305-0123456789abcdef.tmp"
    other = Path("out/.glpn-elsewhere-4194305-0123456789abcdef.tmp")
    for path in (dead, other):
        path.write_bytes(b"x")
    assert glpn(untouched_pictures / "a.jpg", "-o", "out").exit_code == 0
    assert (dead.exists(), other.exists()) == (False, True)


def test_two_runs_that_overwrite_one_folder_do_each_other_no_harm(
    tiny_pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = ImageSource.read

    def overtaken(self: ImageSource, **settings: Any) -> Picture:
        Path("out").mkdir(exist_ok=True)
        Path("out/a_depth.png").write_bytes(b"the other run's")
        return original(self, **settings)

    monkeypatch.setattr(ImageSource, "read", overtaken)
    assert glpn(tiny_pictures / "a.jpg", "-o", "out", "--existing", "overwrite").exit_code == 0
    assert read_depth(Path("out/a_depth.png")).depth.size == (48, 64)


def test_a_picture_named_by_its_pipe_is_read_once_and_whole(tiny_pictures: Path) -> None:
    os.mkfifo("pipe.jpg")
    data = (tiny_pictures / "a.jpg").read_bytes()
    writer = threading.Thread(target=Path("pipe.jpg").write_bytes, args=[data], daemon=True)
    writer.start()
    result = glpn("pipe.jpg", "-o", "out")
    assert result.exit_code == 0, result.stderr
    writer.join(5)
    assert not writer.is_alive()
    assert read_depth(Path("out/pipe_depth.png")).depth.size == (48, 64)
