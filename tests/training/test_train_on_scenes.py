"""Long: rendered rooms, a network from nothing, and an error that falls."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMAND = [
    *(sys.executable, "-m", "glpn_cli", "train", "--config", "b0", "--data", "scenes:1:64", "--recipe", "rooms"),
    *("--val", "scenes:900:32", "--steps", "200", "--every", "40", "--input-size", "128x96", "--batch-size", "8"),
    *("--device", "cpu", "--threads", "1", "--precision", "fp32"),
]


def validations(folder: Path) -> dict[int, dict[str, dict[str, float]]]:
    """By step; 0 is the network before it learned anything, which answers 2.5 m everywhere, or nearly."""
    lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    return {line["step"]: line for line in lines if line["type"] == "validation"}


@pytest.mark.soak
def test_two_hundred_steps_on_64_scenes_help_and_a_kill_at_120_changes_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*COMMAND, "-o", str(tmp_path / "whole")], check=True, env=environment)
    found = validations(tmp_path / "whole")
    before, after = found[0], found[200]
    assert after["raw"]["log10"] < 0.85 * before["raw"]["log10"], "what the loss asks for"
    assert after["median"]["abs_rel"] < 0.9 * before["median"]["abs_rel"], "more than one better guess of the scale"
    assert after["raw"]["d1"] > before["raw"]["d1"]

    killed = subprocess.Popen([*COMMAND, "-o", str(tmp_path / "killed")], env=environment)
    history = tmp_path / "killed/history.jsonl"
    while not (history.is_file() and '"step": 120,' in history.read_text()):
        assert killed.poll() is None
        time.sleep(0.2)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    subprocess.run([*COMMAND, "-o", str(tmp_path / "killed"), "--resume"], check=True, env=environment)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "killed")]
    assert weights[0] == weights[1]
