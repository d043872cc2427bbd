from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from multiprocessing import parent_process
from pathlib import Path

import pytest
import torch
from tiny_training import AUGMENTATION, Floors

from glpn_cli.data.samples import Sample
from glpn_cli.errors import ErrorCode, StoppedError
from glpn_cli.training.feed import Batch, BatchRequest, Feed

REQUESTS = [BatchRequest((index,), (32, 64), AUGMENTATION, 10.0, None, seed=0) for index in range(3)]

ORPHANING = """
import os, signal
from glpn_cli.training.feed import Feed
from test_feed import REQUESTS
from tiny_training import Floors
next(Feed(Floors(), workers=1).batches(REQUESTS))
os.kill(os.getpid(), signal.SIGKILL)
"""


@dataclass(frozen=True)
class Shot(Floors):
    """Floors whose reader is sent a signal, the first time or always, where it is a worker."""

    number: int = signal.SIGKILL
    mark: Path | None = None

    def read(self, index: int) -> Sample:
        if parent_process() is not None and not (self.mark and self.mark.exists()):
            if self.mark:
                self.mark.touch()
            os.kill(os.getpid(), self.number)
        return super().read(index)


def read_all(source: Floors, *, workers: int, times: int = 1) -> list[Batch]:
    feed = Feed(source, workers=workers)
    try:
        return [batch for _ in range(times) for batch in feed.batches(REQUESTS)]
    finally:
        feed.close()


def test_a_picture_of_nothing_within_the_limit_is_left_out_and_named() -> None:
    near, far = (Batch.read(Floors(), replace(REQUESTS[0], positions=(0, 1), limit_m=limit)) for limit in (10.0, 0.9))
    assert (len(near), near.skipped) == (2, ())
    assert (len(far), len(far.skipped)) == (0, 2)
    assert "no pixel of known depth under 0.9 m" in far.skipped[0]


def test_what_a_worker_that_died_was_to_read_is_read_all_the_same(tmp_path: Path) -> None:
    alone = read_all(Floors(), workers=0, times=2)
    helped = read_all(Shot(mark=tmp_path / "shot"), workers=1, times=2)
    assert (tmp_path / "shot").exists()
    assert len(helped) == len(alone)
    assert all(torch.equal(one.rgb, other.rgb) for one, other in zip(helped, alone, strict=True))


def test_workers_that_keep_dying_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glpn_cli.training.feed._MOST_BROKEN", 0)
    with pytest.raises(StoppedError, match="keep dying") as caught:
        read_all(Shot(), workers=1, times=3)
    assert caught.value.code is ErrorCode.CRASH


def test_a_workers_ctrl_c_is_its_parents(capfd: pytest.CaptureFixture[str]) -> None:
    assert len(read_all(Shot(number=signal.SIGINT), workers=1)) == 3
    assert capfd.readouterr().err == ""


def test_the_workers_of_a_killed_parent_end() -> None:
    tests = Path(__file__).parents[1]
    places = os.pathsep.join(map(str, (tests.parent, tests, tests / "training")))
    process = subprocess.Popen(
        [sys.executable, "-c", ORPHANING], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": places}
    )
    process.communicate(timeout=120)  # a worker that is left would hold this pipe open
    assert process.returncode == -signal.SIGKILL
