"""Shell completion, asked as bash, zsh and fish ask."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def complete(shell: str, line: str) -> list[str]:
    """What the program offers for the last word of a line."""
    words = line.split(" ")
    settings = {
        "_GLPN_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
        "_TYPER_COMPLETE_ARGS": line,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    script = "import sys; from glpn_cli.cli import main; sys.argv[0] = 'glpn'; main()"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.replace('"', " ").replace("(", " ").replace(")", " ").split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_commands_options_and_words_are_completed(shell: str) -> None:
    assert "predict" in complete(shell, "glpn pre")
    assert "--edge-cull" in complete(shell, "glpn export --edge")
    assert "blender" in complete(shell, "glpn export --axes bl")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_list_is_completed_behind_its_comma(shell: str) -> None:
    assert "npy,tiff" in complete(shell, "glpn predict -f npy,ti")


def test_formats_colormaps_and_models_are_completed_by_name() -> None:
    assert "spectral" in complete("bash", "glpn export --colormap sp")
    assert "pfm" in complete("bash", "glpn predict -f pf")
    assert "mini" in complete("bash", "glpn inspect -m mi")
