"""Pipelines: bytes in, bytes out, and readers who leave early; those of clips are in `tests/video`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from glpn_cli.cli import app
from glpn_cli.depth_files import FORMATS, read_depth, read_record
from glpn_cli.predictor import DepthEstimator

Glpn = Callable[..., Result]
DEPTH_FORMATS = [name for name, writer in FORMATS.items() if writer.map in ("depth", "points", "gray")]


@pytest.fixture(autouse=True)
def _here(tiny_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GLPN_MODEL", str(tiny_model))
    monkeypatch.chdir(tmp_path)


def glpn(*arguments: object, **settings: Any) -> Result:
    words = [*map(str, arguments), "--threads", "1", "--precision", "fp32"]
    return CliRunner().invoke(app, words, catch_exceptions=False, **settings)


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


def shell(line: str, **settings: Any) -> subprocess.CompletedProcess[bytes]:
    """A line of a real shell, in which `glpn` is this program; exit codes of its pipe go to stderr's last line."""
    script = f'glpn() {{ "{sys.executable}" -m glpn_cli "$@"; }}; {line}; echo "${{PIPESTATUS[@]}}" >&2'
    return subprocess.run(["bash", "-c", script], capture_output=True, timeout=120, check=False, **settings)


def test_the_pipelines_run_with_real_pipes(tiny_pictures: Path, tmp_path: Path) -> None:
    done = shell(f"glpn predict - -o - -f png16 < {tiny_pictures}/b.png > out.png")
    assert done.stderr.split()[-1:] == [b"0"]
    assert read_depth(tmp_path / "out.png").depth.size == (65, 97)

    done = shell(f"ls -d {tiny_pictures}/*.* | glpn predict --files-from - --root {tiny_pictures} -o maps --json")
    assert done.stderr.split()[-2:] == [b"0", b"0"]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["type"] for line in lines] == ["result", "result", "summary"]


def test_readers_who_leave_early_end_it_without_a_traceback(tiny_pictures: Path, tmp_path: Path) -> None:
    # Who has seen enough of a list misses nothing: all maps are made.
    done = shell(f"ls -d {tiny_pictures}/*.* | glpn predict --files-from - --root {tiny_pictures} -o maps | head -1")
    assert done.stderr.split()[-3:] == [b"0", b"0", b"0"]
    assert len(done.stdout.splitlines()) == 1
    assert len(list((tmp_path / "maps").iterdir())) == 2
