"""What the README and the pages in docs tell people to type works, and what they link to is there."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from glpn_cli.cli import COMMANDS, app

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NEEDS_MORE = re.compile(r"nyu|kitti|download|ckpt|scenes -o|train |bench|serve|\.onnx")
"""Lines that need a network, or minutes, or run until they are ended; test_onnx_export runs those about ONNX."""
NOT_RUN_HERE = re.compile(r"^import open3d|sys\.argv", re.MULTILINE)
"""Blocks that need Open3D, and programs with arguments, which test_onnx_export runs."""


def steps(page: Path) -> list[str]:
    """The command lines and Python blocks of a page, in order."""
    found = []
    for language, block in re.findall(
        r"^```(console|python)\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE
    ):
        if language == "python":
            found.append(block)
        else:
            found += [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ glpn ")]
    return found


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


def test_the_readme_and_the_pages_show_every_command() -> None:
    shown = {step.split()[1] for page in PAGES for step in steps(page) if step.startswith("glpn ")}
    assert shown >= set(COMMANDS)


@pytest.mark.parametrize("page", [page for page in PAGES if steps(page)], ids=lambda page: page.stem)
def test_the_commands_of_a_page_run_one_after_another(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ROOT / "sample_images", tmp_path / "sample_images")
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    for step in steps(page):
        if not step.startswith("glpn "):
            if not NOT_RUN_HERE.search(step):
                exec(compile(step, f"a block of {page.name}", "exec"), {})
        elif not NEEDS_MORE.search(step):
            result = runner.invoke(app, shlex.split(step)[1:])
            assert result.exit_code == 0, f"{step}\n{result.output}"


def anchors(page: Path) -> set[str]:
    """What the headings of a page are called in links."""
    titles = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", title.lower())) for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_links_to_is_there(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\((?!https?:)(.*?)\)", text):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link
        if page.is_relative_to(ROOT / "docs"):
            assert target.resolve().is_relative_to(ROOT / "docs"), f"{link} is not on the site"


def test_every_page_is_in_the_navigation_of_the_site_once() -> None:
    config = (ROOT / "mkdocs.yml").read_text("utf-8")
    named = re.findall(r"^ +- .*: (\S+\.md)$", config, re.MULTILINE)
    named += re.findall(r"^  (\S+\.md)$", config, re.MULTILINE)  # what is left out, one a line
    assert sorted(named) == sorted(page.relative_to(ROOT / "docs").as_posix() for page in PAGES[1:])


def test_the_readme_shows_pictures() -> None:
    assert re.findall(r"!\[.*?\]\((?!http)(.*?)\)", README)
