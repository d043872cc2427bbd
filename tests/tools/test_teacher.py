"""The teacher of tools/teacher learns from rooms, goes on from its file and is judged, from random weights."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from glpn_cli.cli import app

TEACHER = Path(__file__).parents[2] / "tools" / "teacher"


def test_a_run_goes_on_from_its_file_and_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(TEACHER))
    import judge
    import train

    assert (
        CliRunner()
        .invoke(app, ["scenes", "-o", str(tmp_path / "rooms"), "--count", "3", "--workers", "1", "-q"])
        .exit_code
        == 0
    )
    rooms = str(tmp_path / "rooms" / "pairs.csv")
    gone = iter([0.0, 0.5, 1.0, 0.9, 1.0])
    monkeypatch.setattr(train, "share_gone", lambda begin, end: next(gone))
    monkeypatch.setattr(train, "clock_time", lambda text: float("inf"))
    monkeypatch.setattr(train, "pretrained", lambda size: train.LiteDepth(size).encoder.state_dict())
    words = ["train.py", str(tmp_path / "run"), "--data", rooms, "--until", "23:59", "--batch-size", "2", "--size", "0"]
    monkeypatch.setattr(sys, "argv", words)
    for step in (3, 5):
        train.main()
        assert torch.load(tmp_path / "run" / "training.pt", weights_only=True)["step"] == step
    weights = str(tmp_path / "run" / "model.safetensors")
    monkeypatch.setattr(sys, "argv", ["judge.py", weights, f"{weights}+mini", "--pairs", f"rooms={rooms}"])
    judge.main()
    said = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in said] == [f"{weights} rooms", f"{weights}+mini rooms"]


@pytest.mark.parametrize("size", [0, 1, 2])
def test_a_network_is_told_by_its_file_and_sees_upright_pictures(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TEACHER))
    import judge
    import network

    made = network.LiteDepth(size).eval()
    assert judge.lite_size(made.state_dict()) == size
    depth = made(torch.rand(1, 3, 96, 64))
    assert depth.shape == (1, 96, 64)
    assert depth.min() > 0
