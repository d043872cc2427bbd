"""Reports and lists that users name: nothing is written over that is no report, and no name is too odd to be told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from program_runs import glpn, good_png, predict

from glpn_cli.cli.outcomes import show_run
from glpn_cli.pipeline.report import Outcome, RunEnd, Status
from glpn_cli.pipeline.settings import OutputSettings

PAIRS = "rgb_path,depth_path,depth_scale\ngood.png,out/good.png_depth.png,1000\n"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLPN_MODEL", str(tiny_model))
    Path("good.png").write_bytes(good_png())


def test_a_report_never_replaces_a_picture() -> None:
    result = glpn("predict", "good.png", "-o", "out", "--report", "good.png")
    assert result.exit_code == 2
    assert "'good.png' is in the way, and is no report [E_EXISTS]" in result.stderr
    assert Path("good.png").read_bytes() == good_png()
    assert not Path("out").exists()


def test_a_report_of_an_earlier_run_is_replaced() -> None:
    for _ in range(2):
        assert predict("good.png", "--report", "runs/report.jsonl").exit_code == 0
    records = [json.loads(line) for line in Path("runs/report.jsonl").read_text().splitlines()]
    assert [record["type"] for record in records] == ["result", "summary"]


class Interrupted:
    """A run that is interrupted while it tells what it did."""

    total = 5
    notes = ()

    def execute(self, show: Callable[[Outcome], None]) -> RunEnd:
        show(Outcome(Status.OK, "good.png", "good.png", "good.png"))
        raise KeyboardInterrupt(143)

    dry_run = execute


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_run_that_is_interrupted_while_it_tells_is_summed_up(
    capsys: pytest.CaptureFixture[str], dry_run: bool
) -> None:
    with pytest.raises(typer.Exit) as caught:
        show_run(Interrupted(), OutputSettings(json=True, report=Path("report.jsonl"), dry_run=dry_run))
    assert caught.value.exit_code == 143
    talk = capsys.readouterr()
    assert "stopped by SIGTERM: 1 written, 4 left; run the same command again to go on" in talk.err
    for text in (talk.out, Path("report.jsonl").read_text()):
        record, summary = map(json.loads, text.splitlines())
        assert record["status"] == "ok"
        assert (summary["stopped"], summary["exit_code"]) == ("SIGTERM", 143)


@pytest.mark.parametrize("option", ["-o", "--report"])
def test_scores_never_replace_a_picture_and_do_replace_scores(option: str) -> None:
    assert predict("good.png").exit_code == 0
    Path("pairs.csv").write_text(PAIRS)
    result = glpn("evaluate", "--data", "pairs.csv", option, "good.png")
    assert result.exit_code == 2
    assert "is in the way" in result.stderr
    assert Path("good.png").read_bytes() == good_png()
    assert glpn("evaluate", "--data", "pairs.csv", option, "pairs.csv").exit_code == 2
    assert Path("pairs.csv").read_text() == PAIRS
    for _ in range(2):
        assert glpn("evaluate", "--data", "pairs.csv", option, "scores").exit_code == 0


def test_names_in_a_list_that_no_file_can_have_are_told_and_the_others_done() -> None:
    Path("list.txt").write_bytes(b"good.png\nno\0file.png\nhttp://x/\0.png\n\xff.png\n\n")
    journey = predict("--files-from", "list.txt")
    assert journey.exit_code == 3
    assert sorted(journey.codes.values()) == ["E_NOT_FOUND", "E_NOT_FOUND", "E_NOT_FOUND", "ok"]
    piped = predict("--files-from", "-", input=Path("list.txt").read_bytes())
    assert sorted(piped.codes.values()) == ["E_NOT_FOUND", "E_NOT_FOUND", "E_NOT_FOUND", "skipped"]


@pytest.mark.parametrize(
    "words", [("measure", "note.txt", "1,1"), ("inspect", "note.txt"), ("convert", "note.txt", "-o", "x")]
)
def test_a_command_that_could_do_nothing_is_exit_1(words: tuple[str, ...]) -> None:
    Path("note.txt").write_text("hello")
    result = glpn(*words)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
