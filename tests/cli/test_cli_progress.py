"""The progress line: drawn for a person at a terminal, in any width, and nowhere else."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from glpn_cli.cli.console import Progress, console
from glpn_cli.cli.outcomes import RunView
from glpn_cli.errors import InputError
from glpn_cli.pipeline.report import Outcome, Status, Tally


class Terminal:
    """A stand-in for stderr that says it is a terminal and remembers what was written."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.text = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass


@pytest.fixture(autouse=True)
def _fresh_console(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TERM", "xterm")
    console.reset()
    yield
    console.reset()


def watch(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Put a terminal in place of stderr; within the test, because pytest has its own before."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    return screen


def last_line(text: str) -> str:
    return text.rpartition("\r\033[K")[2]


@pytest.mark.parametrize("columns", [10, 20, 40, 80, 300])
def test_the_line_fits_every_width(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    terminal = watch(monkeypatch)
    monkeypatch.setenv("COLUMNS", str(columns))
    progress = Progress(100)
    for number in range(100):
        progress.advance(f"folder/with a [long] name {number}.jpg", computed=True)
    for line in terminal.text.split("\r\033[K"):
        assert len(line) < columns
    assert "100/100" in last_line(terminal.text) or columns == 10
    progress.close()
    assert last_line(terminal.text) == ""


def test_talk_stands_above_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watch(monkeypatch)
    progress = Progress(2)
    console.note("something to say")
    assert "\r\033[Ksomething to say\n" in terminal.text
    assert "0/2" in last_line(terminal.text).rpartition("\n")[2]
    progress.close()


def test_names_on_the_line_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watch(monkeypatch)
    Progress(1).advance("a\x1b[31m\n.jpg", computed=True)
    assert "\x1b[31m" not in terminal.text
    assert "\n" not in terminal.text


@pytest.mark.parametrize(("term", "quiet"), [("dumb", False), ("xterm", True)])
def test_no_line_where_it_is_unwelcome(monkeypatch: pytest.MonkeyPatch, term: str, quiet: bool) -> None:
    terminal = watch(monkeypatch)
    monkeypatch.setenv("TERM", term)
    console.quiet = quiet
    Progress(1).advance("a.jpg", computed=True)
    assert terminal.text == ""


def test_a_terminal_without_unicode_gets_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watch(monkeypatch)
    terminal.encoding = "ANSI_X3.4-1968"
    Progress(2).advance("a.jpg", computed=True)
    assert terminal.text.isascii()


def test_a_real_terminal_sees_a_bar_and_ends_clean(tiny_model: Path, tiny_pictures: Path, tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "glpn_cli", "predict", str(tiny_pictures), "-m", str(tiny_model), "--threads", "1"]
    done = subprocess.run(
        [*command, "-o", str(tmp_path / "out")],
        check=False,
        stdout=subprocess.PIPE,
        stderr=follower,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100", "LC_ALL": "C.UTF-8"},
        timeout=60,
    )
    os.close(follower)
    seen = os.read(leader, 1 << 16).decode()
    os.close(leader)
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 4
    assert "━" in seen
    assert "4/4" in seen
    assert seen.rpartition("\r\033[K")[2].strip() == "4 written"


@pytest.mark.parametrize(("total", "named"), [(10, 0), (11, 10)])
def test_the_inputs_that_failed_are_named_again_at_the_end(
    monkeypatch: pytest.MonkeyPatch, total: int, named: int
) -> None:
    terminal = watch(monkeypatch)
    with RunView(Tally(total)) as view:
        for number in range(total):
            error = InputError("it is damaged")
            view.show(Outcome(Status.ERROR, f"{number}.jpg", f"{number}.jpg", f"{number}.jpg", error=error))
        view.sum_up()
    _, _, end = terminal.text.rpartition(f"{total} failed\n")
    assert end.count("  failed: ") == named
    assert ("  failed: 1.jpg [E_DECODE]\n  failed: 10.jpg" in end) == bool(named)
    assert ("and 1 more: --report FILE lists them all" in end) == bool(named)
