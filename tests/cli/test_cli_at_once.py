"""How many pictures a run has in the network at once: lanes, batches, and what happens where memory ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_rgb
from PIL import Image
from torch import Tensor
from typer.testing import CliRunner, Result

from glpn_cli.cli import app
from glpn_cli.models.config_base import InputSize
from glpn_cli.models.glpn.network import GLPN
from glpn_cli.models.resolve import resolve_model
from glpn_cli.models.settings import InferenceSettings
from glpn_cli.pipeline import stages
from glpn_cli.pipeline.settings import ModelSettings, OutputSettings
from glpn_cli.pipeline.stages import Parallelism, Stages

COUNT = 6


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six pictures of 64x64 and a larger one, `wide.png`."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(COUNT):
        Image.fromarray(make_rgb(64, 64, seed=index)).save(folder / f"{index}.png")
    Image.fromarray(make_rgb(64, 160)).save(folder / "wide.png")
    return folder


@pytest.fixture
def predict(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run `glpn predict` on the tiny model in fp32."""
    monkeypatch.setenv("GLPN_MODEL", str(tiny_model))

    def run(*arguments: object) -> Result:
        words = ["predict", "--precision", "fp32", "--device", "cpu", "--json", *map(str, arguments)]
        return CliRunner().invoke(app, words, catch_exceptions=False)

    return run


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the batches given to the network, which finds memory for two small pictures, and for no wide one."""
    seen: list[int] = []
    forward = GLPN.forward

    def refuse(self: GLPN, pixels: Tensor) -> Tensor:
        seen.append(len(pixels))
        if len(pixels) > 2 or pixels.shape[-1] > 64:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory")
        return forward(self, pixels)

    monkeypatch.setattr(GLPN, "forward", refuse)
    return seen


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_however_many_threads_and_lanes_the_bytes_are_the_same(
    predict: Callable[..., Result], photos: Path, tmp_path: Path
) -> None:
    for threads in (1, 2, 3):
        assert predict(photos, "-o", tmp_path / str(threads), "--threads", threads).exit_code == 0
    assert predict(photos / "0.png", "-o", tmp_path / "alone", "--threads", 1).exit_code == 0
    assert predict(photos / "0.png", "-o", tmp_path / "split", "--threads", 3).exit_code == 0
    expected = contents(tmp_path / "1")
    assert len(expected) == COUNT + 1
    assert contents(tmp_path / "2") == contents(tmp_path / "3") == expected
    assert contents(tmp_path / "alone") == {"0_depth.png": expected["0_depth.png"]}
    # One picture on three threads: without AVX-512, torch's library splits sums between them, and last digits differ.
    one, three = (np.asarray(Image.open(tmp_path / place / "0_depth.png")) for place in ("alone", "split"))
    assert np.abs(one.astype(int) - three).max() <= 1


@pytest.mark.parametrize("threads", [1, 3])
def test_batches_that_do_not_fit_are_halved_and_only_what_does_not_fit_alone_fails(
    predict: Callable[..., Result], photos: Path, batches: list[int], tmp_path: Path, threads: int
) -> None:
    result = predict(photos, "-o", tmp_path / "out", "--batch-size", 4, "--threads", threads)
    assert result.exit_code == 3
    records = [json.loads(line) for line in result.stdout.splitlines()][:-1]
    assert len(records) == COUNT + 1
    failed = [record for record in records if record["status"] != "ok"]
    assert [(record["name"], record["error"]["code"]) for record in failed] == [("wide.png", "E_OOM")]
    assert len(contents(tmp_path / "out")) == COUNT
    assert max(batches) > 2


@pytest.mark.parametrize(
    ("pictures", "threads", "size", "free", "lanes"),
    [
        (100, 4, "auto", 64 << 30, 4),
        (3, 4, "auto", 64 << 30, 3),
        (1, 4, "auto", 64 << 30, 1),
        (None, 4, "auto", 64 << 30, 1),
        (100, 4, "original", 64 << 30, 1),
        (100, 4, "auto", 1 << 20, 1),
        (100, 4, "auto", None, 1),
    ],
)
def test_lanes_are_by_threads_pictures_and_memory(
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    pictures: int | None,
    threads: int,
    size: str,
    free: int | None,
    lanes: int,
) -> None:
    monkeypatch.setattr(stages, "memory_bytes", lambda device: free)
    recipe = InferenceSettings(resolve_model(str(tiny_model)), InputSize.parse(size), precision="fp32")
    before = torch.get_num_threads()
    try:
        width = Stages(ModelSettings(recipe, "cpu", threads), OutputSettings(), pictures=pictures).open()
        assert width == Parallelism(lanes=lanes)
        assert torch.get_num_threads() == threads // lanes
    finally:
        torch.set_num_threads(before)
