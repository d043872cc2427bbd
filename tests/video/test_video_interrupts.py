"""Runs over clips that end early leave a file that can be played, and the next one goes on."""

from __future__ import annotations

import errno
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from faulty_disk import FaultyDisk
from typer.testing import CliRunner

pytest.importorskip("av", reason="needs the extra video")

from video.clips import make_clip, read_frames

from glpn_cli.cli import app
from glpn_cli.errors import ErrorCode, StoppedError
from glpn_cli.video import making


def run(command: str, *words: object) -> Any:
    return CliRunner().invoke(app, [command, "--threads", "1", *map(str, words)], catch_exceptions=False)


@pytest.fixture(autouse=True)
def model(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLPN_MODEL", str(tiny_model))


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Raise an error when the so-manieth frame has been counted."""

    def stop(count: int, error: BaseException) -> None:
        usual = making.Making._count

        def counting(self: Any, frame: Any) -> None:
            usual(self, frame)
            if self._frames == count:
                monkeypatch.setattr(making.Making, "_count", usual)
                raise error

        monkeypatch.setattr(making.Making, "_count", counting)

    return stop


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (KeyboardInterrupt(), 130, ()),
        (KeyboardInterrupt(), 130, ("--no-steady",)),
        (KeyboardInterrupt(), 130, ("--start", "0.08s")),
        (StoppedError("full", code=ErrorCode.NO_SPACE), 4, ()),
    ],
)
def test_an_interrupted_clip_of_depth_is_gone_on_with(
    error: BaseException, code: int, words: tuple[str, ...], stop_after: Any, tmp_path: Path
) -> None:
    clip, out, partial = make_clip(tmp_path / "a.mp4", 8), tmp_path / "d.mkv", tmp_path / "d.partial.mkv"
    stop_after(3, error)
    assert run("predict", clip, "-o", out, *words).exit_code == code
    assert not out.exists()
    assert len(read_frames(partial)) == 3
    again = run("predict", clip, "-o", out, *words)
    assert again.exit_code == 0, again.stderr
    assert "gone on with" in again.stderr
    assert not partial.exists()
    assert run("predict", clip, "-o", tmp_path / "whole.mkv", *words).exit_code == 0
    for (time, levels), (wanted, others) in zip(read_frames(out), read_frames(tmp_path / "whole.mkv"), strict=True):
        assert time == wanted
        assert (levels == others).all()


def test_an_interrupted_painted_clip_can_be_played_and_says_why_it_is_begun_anew(
    stop_after: Any, tmp_path: Path
) -> None:
    clip, out = make_clip(tmp_path / "a.mp4", 8, sound=True), tmp_path / "look.mp4"
    stop_after(4, KeyboardInterrupt())
    assert run("export", clip, "-o", out, "--range", "1:2").exit_code == 130
    assert len(read_frames(tmp_path / "look.partial.mp4")) == 4
    again = run("export", clip, "-o", out, "--range", "1:2")
    assert again.exit_code == 0
    assert "begun anew" in again.stderr
    assert len(read_frames(out)) == 8
    assert not (tmp_path / "look.partial.mp4").exists()


def test_an_interrupted_run_leaves_an_earlier_file_alone(stop_after: Any, tmp_path: Path) -> None:
    clip, out = make_clip(tmp_path / "a.mp4", 8), tmp_path / "d.mkv"
    assert run("predict", clip, "-o", out).exit_code == 0
    before = out.read_bytes()
    stop_after(3, KeyboardInterrupt())
    assert run("predict", clip, "-o", out, "--existing", "overwrite").exit_code == 130
    assert out.read_bytes() == before


@contextmanager
def longest_file(count: int) -> Iterator[None]:
    """Within, no file gets longer than so many bytes, as after `ulimit -f`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_up_keeps_what_fits_and_the_next_run_goes_on(tmp_path: Path) -> None:
    clip, out, partial = make_clip(tmp_path / "a.mp4", 12), tmp_path / "d.mkv", tmp_path / "d.partial.mkv"
    assert run("predict", clip, "-o", tmp_path / "whole.mkv").exit_code == 0
    whole = read_frames(tmp_path / "whole.mkv")
    most = (tmp_path / "whole.mkv").stat().st_size * 2 // 3
    with longest_file(most):
        full = run("predict", clip, "-o", out)
        assert full.exit_code == 4, full.stderr
        assert "E_NOSPACE" in full.stderr
        assert str(partial) in full.stderr
        kept = partial.read_bytes()
        assert 0 < len(kept) <= most
        with longest_file(most // 2):
            assert run("predict", clip, "-o", out).exit_code == 4
        assert partial.read_bytes() == kept, "a run that got less far takes nothing away"
    assert not out.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"a.mp4", "whole.mkv", "d.partial.mkv"}
    again = run("predict", clip, "-o", out)
    assert again.exit_code == 0, again.stderr
    assert "gone on with" in again.stderr
    for (time, levels), (wanted, others) in zip(read_frames(out), whole, strict=True):
        assert time == wanted
        assert (levels == others).all()


def test_a_disk_that_takes_not_one_frame_is_left_as_it_was(tmp_path: Path) -> None:
    clip, out = make_clip(tmp_path / "a.mp4", 4), tmp_path / "out" / "d.mkv"
    out.parent.mkdir()
    with FaultyDisk(out.parent, "write", call=1, number=errno.ENOSPC, lasting=True).in_place():
        full = run("predict", clip, "-o", out)
    assert full.exit_code == 4
    assert "no space left on device [E_NOSPACE]" in full.stderr
    assert not list(out.parent.iterdir())
    assert run("predict", clip, "-o", out).exit_code == 0


@pytest.mark.parametrize("name", ["look.mp4", "look.mkv"])
def test_a_painted_clip_that_does_not_fit_stops_the_run(name: str, tmp_path: Path) -> None:
    clip, out = make_clip(tmp_path / "a.mp4", 12), tmp_path / name
    with longest_file(1200):
        full = run("export", clip, "-o", out, "--range", "1:2")
    assert full.exit_code == 4, full.stderr
    assert "E_NOSPACE" in full.stderr
    assert not out.exists()
    assert run("export", clip, "-o", out, "--range", "1:2").exit_code == 0
    assert len(read_frames(out)) == 12


def test_a_clip_is_written_through_a_link_as_other_files_are(tmp_path: Path) -> None:
    clip, link, real = make_clip(tmp_path / "a.mp4", 3), tmp_path / "link.mkv", tmp_path / "elsewhere" / "real.mkv"
    real.parent.mkdir()
    link.symlink_to(real)
    made = run("predict", clip, "-o", link)
    assert made.exit_code == 0, made.stderr
    assert link.is_symlink()
    assert len(read_frames(real)) == 3
    assert run("predict", clip, "-o", link, "--max-depth", "5", "--existing", "update").exit_code == 0
    assert link.is_symlink()
    assert list(real.parent.iterdir()) == [real]
