"""What the README tells people to type works, and what it says about the program is so."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from glpn_cli.cli import COMMANDS, app

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
COMMAND_LINES = [
    line.removeprefix("$ ")
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("$ glpn ")
]
NEEDS_MORE = re.compile(r"nyu|kitti|download|ckpt|scenes -o|train |bench|serve")
"""Lines that need a network, or minutes, or run until they are ended."""


def set_up_commands() -> dict[str, str]:
    return dict(re.findall(r"<!-- command: (\w+) -->\n```sh\n(.*?)\n```", README, re.DOTALL))


def test_the_readme_has_its_two_set_up_commands_each_in_one_line() -> None:
    commands = set_up_commands()
    assert set(commands) == {"main", "tests"}
    for command in commands.values():
        assert "\n" not in command
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install ")
    assert "sample_images" in commands["main"]
    assert "pytest" in commands["tests"]


def test_ci_runs_the_readmes_test_command() -> None:
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    assert "README.md" in script
    assert "pytest" not in script, "the command stands in the README alone"


def test_the_readme_shows_every_command() -> None:
    shown = {line.split()[1] for line in COMMAND_LINES}
    assert shown >= set(COMMANDS)


@pytest.mark.parametrize("line", [line for line in COMMAND_LINES if not NEEDS_MORE.search(line)])
def test_a_command_of_the_readme_runs(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "sample_images", tmp_path / "sample_images")
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    if "depth_maps/" in line or line.startswith("glpn export depth_maps"):  # made by the lines before it
        assert runner.invoke(app, ["predict", "sample_images", "-o", "depth_maps", "-q"]).exit_code == 0
    result = runner.invoke(app, line.split()[1:])
    assert result.exit_code == 0, result.output


def test_pictures_that_the_readme_shows_are_there() -> None:
    shown = re.findall(r"!\[.*?\]\((?!http)(.*?)\)", README)
    assert shown
    for path in shown:
        assert (ROOT / path).is_file(), path
