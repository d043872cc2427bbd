"""The pages in docs: every option is documented, and every command on them is one that there is.

`python tests/test_docs.py` writes docs/commands.md anew from the help screens.
"""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from glpn_cli.cli import app
from glpn_cli.data import pairs
from glpn_cli.data.sources import KITTI, NYU, Layout, asks_for_scale
from glpn_cli.evaluation.metrics import METRICS
from glpn_cli.training import folder
from glpn_cli.training.report import Progress, Skipped, Validation

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "commands.md"


_HEAD = """# Commands

Every help screen, as `glpn COMMAND --help` prints it. What the outputs are good for stands in [Outputs](outputs.md).
"""
_FOOT = """Every command also takes `--quiet` (`-q`), `--verbose` (`-v`), `--debug` and `--help` (`-h`); the program
takes `--version`, `--install-completion` and `--show-completion`.
"""


def commands() -> dict[str, Any]:
    """Every command by what one types for it."""
    group: Any = typer.main.get_command(app)
    context = typer.Context(group)
    found: dict[str, Any] = {}
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        found[name] = command
        for part in command.list_commands(context) if hasattr(command, "list_commands") else ():
            found[f"{name} {part}"] = command.get_command(context, part)
    return found


def render() -> str:
    """The page: every help screen, 80 columns wide."""
    chapters = [_HEAD]
    for name in commands():
        done = CliRunner().invoke(app, [*name.split(), "--help"], env={"COLUMNS": "80"}, prog_name="glpn")
        text = done.stdout.partition("\nOptions:\n")
        examples = text[2].partition("\nExamples:\n")[2]
        own = [line for line in text[2].partition("\nExamples:\n")[0].splitlines() if not _is_everybodys(line)]
        shown = text[0].rstrip() + ("\n\nOptions:\n" + "\n".join(own) if "".join(own).strip() else "")
        chapters.append(f"## glpn {name}\n\n```text\n{shown.rstrip()}\n\nExamples:\n{examples.rstrip()}\n```\n")
    chapters.append(_FOOT)
    return "\n".join(chapters)


def _is_everybodys(line: str) -> bool:
    return re.match(r"\s+(-q, --quiet|-v, --verbose|--debug|-h, --help)\b", line) is not None


def chapter_of(name: str) -> str:
    page = PAGE.read_text("utf-8")
    return page.partition(f"\n## glpn {name}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("name", commands())
def test_every_option_is_documented(name: str) -> None:
    chapter = chapter_of(name) + PAGE.read_text("utf-8").rpartition("Every command also takes")[2]
    options = [option for param in commands()[name].params for option in param.opts if option.startswith("--")]
    missing = [option for option in options if not re.search(rf"{re.escape(option)}\b", chapter)]
    assert not missing, f"not in docs/commands.md: {missing}; run: python tests/test_docs.py"


def test_what_is_documented_is_there() -> None:
    known = {option for command in commands().values() for param in command.params for option in param.opts}
    known |= {option for command in commands().values() for param in command.params for option in param.secondary_opts}
    known |= {"--version", "--help", "--install-completion", "--show-completion"}
    known |= {"--nproc-per-node", "--rm", "--user", "--torch-backend", "--from"}  # of torchrun, docker and uv
    for page in DOCS.rglob("*.md"):
        for line in page.read_text("utf-8").splitlines():
            if "glpn" not in line:
                continue
            words = re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", line)
            assert set(words) <= known, (page.name, line)


def data_page() -> str:
    return (DOCS / "data.md").read_text("utf-8")


def test_the_page_about_data_has_every_column_of_the_lists() -> None:
    columns = (*pairs.DEPTH_COLUMNS, *pairs.CAMERA_COLUMNS, *pairs.LABEL_COLUMNS, "first_label")
    missing = [column for column in columns if not re.search(rf"[`,]{column}[`,]", data_page())]
    assert not missing
    assert f"    {','.join((*pairs.DEPTH_COLUMNS, *pairs.CAMERA_COLUMNS))}\n" in data_page()


def test_the_page_about_data_has_every_form_that_the_help_screen_names() -> None:
    (help_text,) = {param.help for param in commands()["train"].params if "--data" in param.opts}
    forms = re.findall(r"\b\w+:[A-Z]+", help_text)
    assert {form for form in forms if not asks_for_scale(form)} == {"nyu:DIR", "kitti:DIR", "scenes:SEED"}
    assert all(f"| `{form}`" in data_page() for form in forms)
    assert "pairs.csv" in help_text


@pytest.mark.parametrize("layout", [NYU, KITTI], ids=["nyu", "kitti"])
def test_the_page_about_data_has_every_list_and_folder_that_is_looked_for(layout: Layout) -> None:
    chapter = data_page().partition("\n## NYU and KITTI\n")[2].partition("\n## ")[0]
    rows = [line.split("|") for line in chapter.splitlines() if line.startswith("|")]
    told = " ".join(row[2 if layout is NYU else 3] for row in rows)
    roots = [root.removeprefix("nyu_depth_v2/").removeprefix("data_depth_annotated/") for root in layout.roots]
    names = (*layout.lists, *layout.list_folders, *roots)
    assert not [name for name in names if name and f"`{name}`" not in told]
    assert f" {layout.depth_scale:g} " in told
    assert f"{layout.focal_px:.7g} px" in told


def test_the_page_about_data_has_every_file_of_a_run_and_every_field_of_its_history() -> None:
    types = {"train": Progress, "validation": Validation, "skipped": Skipped}
    names = [field.name for line in types.values() for field in fields(line)]
    names = [*folder._OWN, *types, *METRICS, *names, "measured", "raw", "median"]
    told = data_page().replace("previews/step_0000000.png", "previews")
    assert not [name for name in names if name not in ("steps", "result") and f"`{name}`" not in told]


if __name__ == "__main__":
    PAGE.write_text(render(), "utf-8")
