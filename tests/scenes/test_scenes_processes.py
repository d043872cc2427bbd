"""Processes that render: they end soon after a signal, and print nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from glpn_cli.scenes.processes import signals_held

ROOT = Path(__file__).parents[2]
SIZE = ("--size", "64x48")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals between processes")


@contextmanager
def rendering(folder: Path, pictures: int) -> Iterator[subprocess.Popen[str]]:
    """A run on two processes that has written some pictures of many; nothing of it is left afterwards."""
    words = ["scenes", "-o", str(folder), "--count", "3000", *SIZE, "--workers", "2"]
    with subprocess.Popen(
        [sys.executable, "-m", "glpn_cli", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as run:
        try:
            while len(list(folder.glob("depth/0*.png"))) < pictures:
                assert run.poll() is None
                time.sleep(0.01)
            yield run
        finally:
            if run.returncode is None:
                os.killpg(run.pid, signal.SIGKILL)


def hearing_workers(process: int) -> int:
    """How many workers of a process would make an exception of SIGINT, if it came to them: such as still import."""
    count = 0
    for number in Path(f"/proc/{process}/task/{process}/children").read_text().split():
        status = Path(f"/proc/{number}/status").read_text()
        caught = int(next(line for line in status.splitlines() if line.startswith("SigCgt")).split()[1], 16)
        count += "spawn_main" in Path(f"/proc/{number}/cmdline").read_text() and caught >> (signal.SIGINT - 1) & 1
    return count


def test_ctrl_c_ends_a_run_on_several_processes_with_all_of_them(tmp_path: Path) -> None:
    with rendering(tmp_path, pictures=4) as run:
        os.killpg(run.pid, signal.SIGINT)
        _, talk = run.communicate(timeout=60)  # a worker that is left would hold this pipe open
    assert (run.returncode, talk) == (130, "interrupted\n")


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="processes are seen by Linux's means")
def test_a_signal_while_the_processes_start_makes_none_of_them_talk(tmp_path: Path) -> None:
    with rendering(tmp_path, pictures=1) as run:
        while not hearing_workers(run.pid):
            time.sleep(0.001)
        os.killpg(run.pid, signal.SIGINT)
        _, talk = run.communicate(timeout=60)
    assert (run.returncode, talk) == (130, "interrupted\n")
    assert len(list(tmp_path.glob("depth/0*.png"))) <= 3  # those that had begun


def test_signals_wait_for_the_end_of_the_block_and_are_heard_then() -> None:
    heard: list[str] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append("heard"))
    try:
        with signals_held():
            os.kill(os.getpid(), signal.SIGTERM)
            heard.append("done")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == ["done", "heard"]
