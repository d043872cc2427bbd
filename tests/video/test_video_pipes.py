"""Clips through pipes: frame for frame, and whoever stalls or leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av", reason="needs the extra video")

from video.clips import make_clip, pictures, read_frames

from glpn_cli.predictor import DepthEstimator

SIZE = (96, 128)
FRAME = 3 * SIZE[0] * SIZE[1]


class _Feeder:
    """Bare frames in NUT for a process, one at a time, and what it answers.

    answered: bytes that came out so far
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        import av

        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout
        self.answered = b""
        self.came = threading.Condition()
        self._container = av.open(self, "w", format="nut", options={"flush_packets": "1"})
        self._stream = self._container.add_stream("rawvideo", rate=25)
        self._stream.height, self._stream.width, self._stream.pix_fmt = *SIZE, "rgb24"

    def write(self, data: bytes) -> int:
        self._stdin.write(data)
        return len(data)

    def feed(self, number: int, rgb: np.ndarray) -> None:
        import av

        frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
        frame.pts = number
        self._container.mux(self._stream.encode(frame))
        self._stdin.flush()

    def end(self) -> None:
        self._container.close()
        self._stdin.close()

    def listen(self) -> None:
        """Take what comes, in this thread, until the process closes its output."""
        while data := os.read(self._stdout.fileno(), 1 << 16):
            with self.came:
                self.answered += data
                self.came.notify_all()

    def wait_for_more_than(self, size: int) -> int:
        with self.came:
            assert self.came.wait_for(lambda: len(self.answered) > size, timeout=60), "nothing came out"
            return len(self.answered)


@contextmanager
def started(model: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "glpn_cli", "predict", "-", "-o", "-", "--no-steady", "--threads", "1", *words]
    environment = {**os.environ, "GLPN_MODEL": str(model)}
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            assert stream is not None
            with suppress(OSError, ValueError):  # what nobody took is flushed into a pipe that is gone
                stream.close()


def test_a_frame_comes_out_when_the_next_one_goes_in(tiny_model: Path, tmp_path: Path) -> None:
    frames = pictures(6, SIZE)
    with started(tiny_model, "--precision", "fp32") as process:
        feeder = _Feeder(process)
        listener = threading.Thread(target=feeder.listen)
        listener.start()
        feeder.feed(0, frames[0])
        feeder.feed(1, frames[1])
        came = 0
        for number, frame in enumerate(frames[2:], 2):
            came = feeder.wait_for_more_than(came)
            feeder.feed(number, frame)
        feeder.end()
        listener.join()
        assert process.wait(timeout=60) == 0
    (tmp_path / "d.mkv").write_bytes(feeder.answered)
    stored = [numbers for _, numbers in read_frames(tmp_path / "d.mkv")]
    estimator = DepthEstimator.from_pretrained(tiny_model, precision="fp32")
    for one, frame in zip(stored, frames, strict=True):
        np.testing.assert_allclose(one / 1000, estimator.predict(frame).values, atol=0.51e-3)


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("stalled", ["source", "reader"])
def test_a_signal_ends_it_while_a_pipe_stalls(stalled: str, tiny_model: Path) -> None:
    with started(tiny_model) as process:
        # What comes of 40 frames of noise is more than a pipe holds.
        count = 3 if stalled == "source" else 40
        threading.Thread(target=_feed_noise, args=(_Feeder(process), count), daemon=True).start()
        assert process.stdout is not None
        assert process.stderr is not None
        assert len(os.read(process.stdout.fileno(), 1)) == 1  # it is at work
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 128 + signal.SIGTERM
        said = process.stderr.read()
    assert b"stopped by SIGTERM" in said
    assert b"Fatal" not in said
    assert b"Traceback" not in said


def _feed_noise(feeder: _Feeder, count: int) -> None:
    noise = np.random.default_rng(0)
    with suppress(OSError, ValueError):  # it ends before all is written
        for number in range(count):
            feeder.feed(number, noise.integers(0, 255, (*SIZE, 3)).astype(np.uint8))


def test_a_reader_who_leaves_early_ends_it_without_a_traceback(tiny_model: Path, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.nut", 200, size=SIZE, codec="rawvideo", pix_fmt="rgb24")
    with started(tiny_model) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        threading.Thread(target=_pour, args=(clip, process), daemon=True).start()
        assert len(process.stdout.read(5000)) == 5000
        process.stdout.close()
        assert process.wait(timeout=60) == 141
        assert b"Traceback" not in process.stderr.read()


def _pour(clip: Path, process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    with suppress(OSError, ValueError):  # it ends before all is written
        process.stdin.write(clip.read_bytes())
        process.stdin.close()


def test_a_stream_that_ends_within_a_frame_loses_that_frame_and_says_so(tiny_model: Path, tmp_path: Path) -> None:
    data = make_clip(tmp_path / "a.nut", 4, size=SIZE, codec="rawvideo", pix_fmt="rgb24").read_bytes()
    with started(tiny_model) as process:
        out, said = process.communicate(data[: -FRAME // 2], timeout=60)
    assert process.returncode == 0
    (tmp_path / "d.mkv").write_bytes(out)
    assert len(read_frames(tmp_path / "d.mkv")) == 3
    assert b"W_FRAMES" in said
