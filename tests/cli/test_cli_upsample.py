"""`--upsample` from the command line: what is asked is done, and recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from glpn_cli.cli import app
from glpn_cli.depth_files import read_depth, read_record


def glpn(*arguments: object, **settings: Any) -> Result:
    words = [*map(str, arguments), "--threads", "1", "--precision", "fp32"]
    return CliRunner().invoke(app, words, catch_exceptions=False, **settings)


def test_each_way_gives_its_own_map_and_says_so(
    tiny_model: Path, tiny_pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLPN_MODEL", str(tiny_model))
    maps = {}
    for way in ("bicubic", "nearest", "guided"):
        words = ("predict", tiny_pictures / "b.png", "--input-size", "32", "-f", "tiff", "-o", tmp_path / way)
        assert glpn(*words, "--upsample", way).exit_code == 0
        path = tmp_path / way / "b_depth.tiff"
        maps[way] = read_depth(path).depth.values
        record = read_record(path)
        assert record is not None
        assert record.provenance is not None
        assert record.provenance.upsample == way
    assert maps["nearest"].shape == maps["guided"].shape == (65, 97)
    assert len(np.unique(maps["nearest"])) <= 32 * 32
    assert not np.array_equal(maps["bicubic"], maps["nearest"])

    again = glpn(*words, "--upsample", "nearest")
    assert again.exit_code == 1
    assert "upsample is guided, not nearest" in again.stderr
