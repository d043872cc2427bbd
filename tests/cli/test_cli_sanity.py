"""What a network answers is looked at before it is written: nonsense is that picture's error, and flat is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from program_runs import good_png, predict, written
from safetensors.torch import load_file, save_file
from tiny_checkpoints import make_model_folder

from glpn_cli.models.glpn.config import GLPNConfig
from glpn_cli.prediction import DepthMap


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLPN_MODEL", str(tiny_model))
    Path("good.png").write_bytes(good_png())


def changed_model(change: Callable[[str, torch.Tensor], torch.Tensor]) -> Path:
    """A model whose weights are changed by name."""
    folder = make_model_folder(Path("model"))
    state = load_file(folder / "model.safetensors")
    changed = {name: change(name, tensor) for name, tensor in state.items()}
    save_file(changed, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_a_map_that_is_the_same_everywhere_is_written_with_a_warning() -> None:
    model = changed_model(lambda name, tensor: torch.zeros_like(tensor) if name.startswith("head.") else tensor)
    journey = predict("good.png", "-m", f"./{model}")
    assert journey.exit_code == 0
    assert np.ptp(journey.made("good.png", "W_FLAT")) < 1e-3
    assert "the same everywhere" in journey.stderr


def test_an_answer_that_is_no_number_is_an_error_with_a_way_on_and_no_file() -> None:
    # Finite weights, each of them; what they come to is not.
    model = changed_model(lambda name, tensor: tensor * 1e37 if name.endswith("proj.weight") else tensor)
    journey = predict("good.png", "-m", f"./{model}")
    assert journey.exit_code == 1
    journey.refused("good.png", "E_DATA", "depth must be finite and > 0")
    assert "glpn inspect" in journey.records["good.png"]["error"]["hint"]


NONSENSE: dict[str, tuple[Callable[[DepthMap], Any], str]] = {
    "of another size": (lambda depth: replace(depth, values=depth.values[1:]), "the picture 64x48"),
    "beyond the network's range": (lambda depth: replace(depth, values=depth.values * 0 + 10.2), "only to 10 m"),
    "infinite": (lambda depth: replace(depth, values=depth.values + np.float32(np.inf)), "finite"),
    "negative": (lambda depth: replace(depth, values=-depth.values), "> 0"),
}


@pytest.mark.parametrize("kind", NONSENSE)
def test_an_answer_that_cannot_be_is_an_error_and_no_file(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    change, words = NONSENSE[kind]
    decode = GLPNConfig.decode
    monkeypatch.setattr(GLPNConfig, "decode", lambda *arguments: change(decode(*arguments)))
    journey = predict("good.png")
    assert journey.exit_code == 1
    journey.refused("good.png", "E_DATA", words)
    assert not Path("out").exists() or written() == []
