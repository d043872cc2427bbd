"""Pipelines: bytes in, bytes out, video frames one for one, and readers who leave early."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import make_rgb
from typer.testing import CliRunner, Result

from glpn_cli.cli import app
from glpn_cli.colormaps import parse_range
from glpn_cli.depth_files import FORMATS, ColorizeOptions, read_depth, read_record
from glpn_cli.depth_files.styles import Gray16
from glpn_cli.models.resolve import resolve_model
from glpn_cli.models.settings import InferenceSettings
from glpn_cli.pipeline import run
from glpn_cli.pipeline.report import Outcome
from glpn_cli.pipeline.settings import InputSettings, ModelSettings, OutputSettings
from glpn_cli.pipeline.video import plan_video
from glpn_cli.predictor import DepthEstimator

Glpn = Callable[..., Result]
SIZE = (48, 64)
FRAME = SIZE[0] * SIZE[1]
FRAMES = [make_rgb(*SIZE, seed=seed) for seed in range(3)]
VIDEO = b"".join(frame.tobytes() for frame in FRAMES)
DEPTH_FORMATS = [name for name, writer in FORMATS.items() if writer.map in ("depth", "points", "gray")]


@pytest.fixture(autouse=True)
def _here(tiny_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GLPN_MODEL", str(tiny_model))
    monkeypatch.chdir(tmp_path)


def glpn(*arguments: object, **settings: Any) -> Result:
    words = [*map(str, arguments), "--threads", "1", "--precision", "fp32"]
    return CliRunner().invoke(app, words, catch_exceptions=False, **settings)


def depths_of(model: Path) -> list[np.ndarray]:
    estimator = DepthEstimator.from_pretrained(model, precision="fp32")
    return [estimator.predict(frame).values for frame in FRAMES]


@pytest.mark.parametrize("name", DEPTH_FORMATS)
def test_a_picture_on_stdin_becomes_a_map_on_stdout(name: str, tiny_model: Path, tiny_pictures: Path) -> None:
    data = (tiny_pictures / "b.png").read_bytes()
    result = glpn("predict", "-", "-o", "-", "-f", name, "--focal", "65deg", input=data)
    assert result.exit_code == 0
    assert result.stderr == ""
    expected = DepthEstimator.from_pretrained(tiny_model, precision="fp32").predict(tiny_pictures / "b.png")
    stored = read_depth(result.stdout_bytes).depth
    assert stored.size == expected.size
    if not name.startswith("gray"):  # those reach as far as their range
        np.testing.assert_allclose(stored.values, expected.values, atol=0.51e-3)


def test_colours_come_through_a_pipe_too(tiny_pictures: Path) -> None:
    result = glpn("export", "-", "-o", "-", "--colorbar", input=(tiny_pictures / "b.png").read_bytes())
    assert result.exit_code == 0
    record = read_record(result.stdout_bytes)
    assert record is not None
    assert record.map == "color"


def test_raw_frames_become_grey_frames_one_for_one(tiny_model: Path) -> None:
    result = glpn("export", "--raw", "64x48", "-o", "-", "-f", "gray16", "--range", "0.5:8", input=VIDEO)
    assert result.exit_code == 0
    levels = np.frombuffer(result.stdout_bytes, "<u2").reshape(3, *SIZE)
    look = ColorizeOptions(parse_range("0.5:8"))
    for frame, depth in zip(
        levels,
        DepthEstimator.from_pretrained(tiny_model, precision="fp32").predict_pictures(
            [_picture(frame) for frame in FRAMES]
        ),
        strict=True,
    ):
        ends = look.range.ends_for(depth.kind)
        assert ends is not None
        expected = Gray16(look).quantize(depth, ends).astype(int)
        assert np.abs(frame.astype(int) - expected).max() <= 1


def _picture(rgb: np.ndarray) -> Any:
    from glpn_cli.images import Picture

    return Picture(rgb, rgb.shape[:2])


@pytest.mark.parametrize(("name", "bytes_each"), [("gray", 1), ("gray16", 2), ("png16", 2), ("color", 3)])
def test_frames_are_bare_in_every_form(name: str, bytes_each: int, tiny_model: Path) -> None:
    words = () if name == "png16" else ("--range", "model")
    result = glpn("export", "--raw", "64x48", "-o", "-", "-f", name, *words, input=VIDEO)
    assert result.exit_code == 0
    assert len(result.stdout_bytes) == 3 * FRAME * bytes_each
    if name == "png16":
        stored = np.frombuffer(result.stdout_bytes, "<u2").reshape(3, *SIZE)
        for frame, depth in zip(stored, depths_of(tiny_model), strict=True):
            np.testing.assert_allclose(frame / 1000, depth, atol=0.51e-3)


def test_a_partial_last_frame_is_an_error_after_the_whole_ones(tmp_path: Path) -> None:
    words = ("export", "--raw", "64x48", "-o", "-", "-f", "gray", "--range", "0.5:8", "--report", "r.jsonl")
    result = glpn(*words, input=VIDEO[:-5])
    assert result.exit_code == 3
    assert len(result.stdout_bytes) == 2 * FRAME
    assert "frame 3: the stream ends within a frame: 9211 of 9216 bytes" in result.stderr
    kinds = [json.loads(line)["type"] for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert kinds == ["result", "result", "result", "summary"]
    assert glpn(*words, input=VIDEO[:100]).exit_code == 1


def start_video(*words: str, **settings: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "glpn_cli", "export", "--raw", "64x48", "-o", "-", "-f", "gray", *words]
    return subprocess.Popen([*command, "--range", "0.5:8", "--threads", "1"], **settings)


def test_a_frame_comes_out_before_the_next_one_goes_in() -> None:
    with start_video(stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for frame in FRAMES:
            process.stdin.write(frame.tobytes())
            assert len(process.stdout.read(FRAME)) == FRAME
        process.stdin.close()
        assert process.stdout.read() == b""
    assert process.returncode == 0


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("stalled", ["source", "reader"])
def test_an_interrupt_ends_it_while_a_pipe_stalls(stalled: str) -> None:
    with start_video(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        # What comes of 24 frames is more than a pipe holds (16 of them), and they all fit into the run and its pipes.
        process.stdin.write(FRAMES[0].tobytes() * (1 if stalled == "source" else 24))
        process.stdin.flush()
        assert len(process.stdout.read(1)) == 1  # it is at work
        time.sleep(1.5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 128 + signal.SIGTERM
        said = process.stderr.read()
    assert b"stopped by SIGTERM" in said
    assert b"Fatal" not in said
    assert b"Traceback" not in said


class _Stream(io.RawIOBase):
    """Frames without end, which counts those that were taken."""

    def __init__(self) -> None:
        self.taken = 0

    def readable(self) -> bool:
        return True

    def readinto(self, place: Any) -> int:
        self.taken += 1
        place[:] = bytes([self.taken % 256]) * len(place)
        return len(place)


def test_memory_is_bounded_whoever_is_slow(tiny_model: Path) -> None:
    stream = _Stream()
    model = ModelSettings(InferenceSettings(resolve_model(str(tiny_model)), precision="fp32"), "cpu", 1)
    outputs = OutputSettings(output="-", formats="gray", look=ColorizeOptions(parse_range("0.5:8")))
    with pytest.MonkeyPatch.context() as place:
        place.setattr("sys.stdin", SimpleNamespace(buffer=stream))
        video = plan_video("64x48", InputSettings(), outputs, model)
    shown = 0
    written: list[bytes] = []

    def show(outcome: Outcome) -> None:
        nonlocal shown
        shown += 1
        time.sleep(0.05)
        assert stream.taken <= shown + 6, "two are decoded, one is in the network, two are written, and one is told"
        if shown == 8:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as place:
        place.setattr(run, "write_stdout", written.append)
        ended = video.execute(show)
    assert ended.interrupt is not None
    assert len(written) == shown == 8


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-o", "-"), "Fix it with --range 0.5:8"),
        (("-o", "-", "--range", "batch"), "changes from frame to frame"),
        (("-o", "out", "--range", "1:2"), "with -o -"),
        (("-o", "-", "--range", "1:2", "--colorbar"), "--colorbar would change the size"),
        (("-o", "-", "--range", "1:2", "-f", "ply"), "no format 'ply'"),
        (("-o", "-", "--range", "1:2", "-f", "gray,color"), "cannot both"),
        (("-o", "-", "--range", "1:2", "a.png"), "no other inputs"),
        (("-o", "-", "--range", "1:2", "--html", "p.html"), "--html makes no sense for --raw frames"),
        (("-o", "-", "--range", "1:2", "--allow-failed", "5"), "--allow-failed makes no sense"),
        (("-o", "-", "--range", "1:2", "--isolate"), "--isolate makes no sense"),
        (("-o", "-", "--range", "1:2", "--timeout", "5"), "--timeout makes no sense"),
        (("-o", "-", "--range", "1:2", "--shard", "1/2"), "--shard makes no sense"),
    ],
)
def test_what_makes_no_sense_for_frames_is_refused(words: tuple[str, ...], said: str) -> None:
    result = glpn("export", "--raw", "64x48", *words, input=VIDEO)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("size", ["64", "0x5", "64x", "64*48", "99999x99999"])
def test_nonsense_is_no_frame_size(size: str) -> None:
    assert glpn("export", "--raw", size, "-o", "-", "--range", "1:2", input=VIDEO).exit_code == 2


def test_an_empty_stream_is_an_error_unless_allowed() -> None:
    words = ("export", "--raw", "64x48", "-o", "-", "--range", "1:2")
    assert glpn(*words, input=b"").exit_code == 2
    assert glpn(*words, "--allow-empty", input=b"").exit_code == 0


def shell(line: str, **settings: Any) -> subprocess.CompletedProcess[bytes]:
    """A line of a real shell, in which `glpn` is this program; exit codes of its pipe go to stderr's last line."""
    script = f'glpn() {{ "{sys.executable}" -m glpn_cli "$@"; }}; {line}; echo "${{PIPESTATUS[@]}}" >&2'
    return subprocess.run(["bash", "-c", script], capture_output=True, timeout=120, check=False, **settings)


def test_the_three_pipelines_run_with_real_pipes(tiny_pictures: Path, tmp_path: Path) -> None:
    done = shell(f"glpn predict - -o - -f png16 < {tiny_pictures}/b.png > out.png")
    assert done.stderr.split()[-1:] == [b"0"]
    assert read_depth(tmp_path / "out.png").depth.size == (65, 97)

    done = shell(f"ls -d {tiny_pictures}/*.* | glpn predict --files-from - --root {tiny_pictures} -o maps --json")
    assert done.stderr.split()[-2:] == [b"0", b"0"]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["type"] for line in lines] == ["result", "result", "summary"]

    (tmp_path / "video.rgb").write_bytes(VIDEO)
    done = shell("cat video.rgb | glpn export --raw 64x48 -o - -f gray16 --range 0.5:8 | cat > depth.gray")
    assert done.stderr.split()[-3:] == [b"0", b"0", b"0"]
    assert (tmp_path / "depth.gray").stat().st_size == 3 * 2 * FRAME


def test_readers_who_leave_early_end_it_without_a_traceback(tiny_pictures: Path, tmp_path: Path) -> None:
    # Who has seen enough of a list misses nothing: all maps are made.
    done = shell(f"ls -d {tiny_pictures}/*.* | glpn predict --files-from - --root {tiny_pictures} -o maps | head -1")
    assert done.stderr.split()[-3:] == [b"0", b"0", b"0"]
    assert len(done.stdout.splitlines()) == 1
    assert len(list((tmp_path / "maps").iterdir())) == 2
    # Who leaves in the middle of a video misses its end.
    (tmp_path / "video.rgb").write_bytes(VIDEO * 40)
    done = shell("cat video.rgb | glpn export --raw 64x48 -o - -f gray --range 0.5:8 | head -c 3072 > first.gray")
    assert done.stderr.split()[-2:] == [b"141", b"0"]
    assert b"Traceback" not in done.stderr
    assert (tmp_path / "first.gray").stat().st_size == FRAME
