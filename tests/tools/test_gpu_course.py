"""The course for one GPU, on the processor at a ten-thousandth of its size: two calls, each stage a few steps."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from glpn_cli import DepthEstimator

TOOLS = Path(__file__).parents[2] / "tools"


def test_calls_go_on_until_it_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(TOOLS / "teacher"))
    monkeypatch.syspath_prepend(str(TOOLS / "gpu_course"))
    import course
    import train

    monkeypatch.setattr(train, "pretrained", lambda size: train.LiteDepth(size).encoder.state_dict())
    words = ["course.py", str(tmp_path), "--device", "cpu", "--workers", "0", "--scale", "0.0001", "--size", "0"]
    for minutes, said in (("0", "call again"), ("10", "done")):
        monkeypatch.setattr(sys, "argv", [*words, "--minutes", minutes])
        course.main()
        assert capsys.readouterr().out.splitlines()[-1] == said
        assert all(file.stat().st_size <= course.MOST_BYTES for file in tmp_path.rglob("*") if file.is_file())
    picture = Path(__file__).parents[2] / "sample_images" / "desk.jpg"
    depth = DepthEstimator.from_pretrained(str(tmp_path / "student" / "model")).predict(picture)
    assert depth.values.min() > 0
