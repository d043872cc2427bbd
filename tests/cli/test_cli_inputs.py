"""Options that say which inputs are taken, and how their values are read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import make_rgb
from PIL import Image
from typer.testing import CliRunner, Result

from glpn_cli.cli import app


@pytest.fixture
def glpn(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("GLPN_MODEL", str(tiny_model))
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, [*map(str, words), "--precision", "fp32"], catch_exceptions=False)


def test_excluded_names_and_folders_of_systems_are_left_out(glpn: Callable[..., Result]) -> None:
    for name in ("a.png", "a_old.png", "sub/b.png", "sub/draft/c.png", "@eaDir/d.png"):
        Path("in", name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(make_rgb(32, 32)).save(Path("in", name))
    result = glpn("predict", "in", "-o", "out", "--exclude", "*_old.*", "--exclude", "draft")
    assert result.exit_code == 0
    assert sorted(result.stdout.split()) == ["out/a_depth.png", "out/sub/b_depth.png"]


def test_twelve_bits_in_sixteen_are_warned_of_and_read_right_where_white_is_said(glpn: Callable[..., Result]) -> None:
    grey = make_rgb(64, 64)[..., 0]
    Image.fromarray(grey).save("a.png")
    Image.fromarray((grey.astype(np.uint32) * 4095 // 255).astype(np.uint16)).save("b.png")
    for options, folder in (((), "dark"), (("--white", 4095), "right")):
        result = glpn("predict", "a.png", "b.png", "-o", folder, "-f", "npy", "--json", *options)
        assert result.exit_code == 0
        warnings = {row["name"]: row["warnings"] for row in map(json.loads, result.stdout.splitlines()[:-1])}
        assert ("W_DARK" in warnings["b.png"]) is (folder == "dark")
        assert "W_DARK" not in warnings["a.png"]
    wanted, dark, right = (np.load(f"{path}_depth.npy") for path in ("dark/a", "dark/b", "right/b"))
    assert np.abs(right - wanted).mean() < 0.1 * np.abs(dark - wanted).mean()
