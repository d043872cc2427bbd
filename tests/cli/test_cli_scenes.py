"""`glpn scenes`, as users meet it: exit code first, then stdout, then the files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from glpn_cli.cli import app


def glpn(*words: str) -> Result:
    return CliRunner().invoke(app, ["scenes", *words])


def test_it_writes_a_list_and_a_sheet_and_says_where(tmp_path: Path) -> None:
    out = tmp_path / "rooms"
    result = glpn("-o", str(out), "--count", "2", "--size", "32x24", "--contact-sheet", "--workers", "1")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [str(out / "pairs.csv"), str(out / "contact_sheet.png")]
    assert sorted(p.name for p in (out / "depth").iterdir()) == ["000000.png", "000001.png"]


def test_it_continues_and_counts_what_it_kept(tmp_path: Path) -> None:
    glpn("-o", str(tmp_path), "--count", "2", "--size", "32x24", "--workers", "1")
    result = glpn("-o", str(tmp_path), "--count", "3", "--size", "32x24", "--workers", "1", "--json")
    assert result.exit_code == 0
    record = json.loads(result.stdout)
    assert (record["kept"], record["rendered"], record["count"]) == (2, 1, 3)
    assert glpn("-o", str(tmp_path), "--count", "3", "--size", "32x24", "--existing", "error").exit_code == 2


def test_fewer_than_are_there_are_listed_and_the_note_says_so(tmp_path: Path) -> None:
    words = ("-o", str(tmp_path), "--size", "32x24", "--workers", "1")
    glpn(*words, "--count", "5")
    whole = (tmp_path / "pairs.csv").read_text().splitlines()
    fewer = glpn(*words, "--count", "2")
    assert fewer.exit_code == 0
    told = f"pairs.csv lists the first 2 of 5 scenes in {str(tmp_path)!r}: --count 5 lists all"
    assert fewer.stderr.splitlines() == [told]
    assert (tmp_path / "pairs.csv").read_text().splitlines() == whole[:3]
    for more in ("--json", "--existing=overwrite"):
        assert glpn(*words, "--count", "2", more).stderr.splitlines() == [told]
    all_again = glpn(*words, "--count", "5")
    assert all_again.stderr.splitlines() == ["5 scenes are there already"]
    assert (tmp_path / "pairs.csv").read_text().splitlines() == whole


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    result = glpn("-o", str(tmp_path / "x"), "-n")
    assert result.exit_code == 0
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "words", [("--size", "big"), ("--size", "4x4"), ("--count", "0"), ("--seed", "-1"), ("--focal", "wide")]
)
def test_nonsense_is_exit_2_and_writes_nothing(tmp_path: Path, words: tuple[str, ...]) -> None:
    result = glpn("-o", str(tmp_path / "x"), *words)
    assert result.exit_code == 2
    assert "error" in result.stderr
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(("size", "wrong"), [("100000x100000", "large"), ("640x8193", "large"), ("4x640", "small")])
def test_a_size_beyond_what_is_possible_is_named_with_what_is(tmp_path: Path, size: str, wrong: str) -> None:
    result = glpn("-o", str(tmp_path), "--size", size)
    assert result.exit_code == 2
    assert f"{size} is too {wrong}" in result.stderr
    assert "from 16 to 8192 pixels" in result.stderr


def test_another_seed_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    glpn("-o", str(tmp_path), "--count", "1", "--size", "32x24")
    result = glpn("-o", str(tmp_path), "--count", "1", "--size", "32x24", "--seed", "5")
    assert result.exit_code == 2
    assert "seed 0 instead of 5" in result.stderr


@pytest.mark.parametrize(("focal", "px"), [("20px", "20"), ("90deg", "16")])
def test_one_lens_for_all_is_listed(tmp_path: Path, focal: str, px: str) -> None:
    assert glpn("-o", str(tmp_path), "--count", "2", "--size", "32x24", "--focal", focal).exit_code == 0
    rows = (tmp_path / "pairs.csv").read_text().splitlines()[1:]
    assert {row.split(",")[3] for row in rows} == {px}


def test_a_walk_is_frames_with_poses(tmp_path: Path) -> None:
    words = ("-o", str(tmp_path), "--walk", "2", "--count", "1", "--size", "32x24", "--workers", "1")
    result = glpn(*words, "--json")
    assert result.exit_code == 0
    record = json.loads(result.stdout)
    assert (record["count"], record["rendered"]) == (2, 2)
    assert "tx,ty,tz,qx,qy,qz,qw" in (tmp_path / "pairs.csv").read_text()
    assert glpn(*words).stderr.splitlines() == ["2 frames are there already"]
    assert glpn("-o", str(tmp_path), "--size", "32x24").exit_code == 2
