"""Tiny real things that tests of any room may ask for: a seeded model folder, and pictures."""

from __future__ import annotations

import functools
import gc
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import typer.testing
from PIL import Image

import glpn_cli

pytest.register_assert_rewrite("glpn_cli.testing")

# A program builds its commands once; CliRunner does for every line, which takes 40 to 90 ms.
typer.testing._get_command = functools.cache(typer.testing._get_command)

if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(workers))))

for _number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    # A shell starts background jobs with SIGINT ignored, nohup with SIGHUP, and programs started from here inherit it.
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL)


gc.disable()  # until all is imported


def pytest_collection_finish() -> None:
    """Let the collector of garbage leave alone what stays to the end: modules and tests are a million objects."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One worker more than cores: tests wait for processes, disks and clocks for a sixth of their time."""
    return (os.cpu_count() or 1) + 1


_FIRST = (Path("scenes"), Path("test_onnx_export.py"), Path("test_readme.py"))
"""Rooms, since every process that renders one before the kernels are compiled and kept compiles them too, for a minute;
then the longest tests, since a worker that is left with one at the end has nobody to share it with."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    items.sort(key=lambda item: next((n for n, each in enumerate(_FIRST) if item.path.is_relative_to(here / each)), 9))


TINY_CONFIG = {
    "num_encoder_blocks": 4,
    "depths": [1, 1, 1, 1],
    "sr_ratios": [8, 4, 2, 1],
    "hidden_sizes": [8, 16, 24, 32],
    "patch_sizes": [7, 3, 3, 3],
    "strides": [4, 2, 2, 2],
    "num_attention_heads": [1, 1, 1, 2],
    "mlp_ratios": [2, 2, 2, 2],
    "decoder_hidden_size": 8,
}


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the caller's choices of model, device or colour; processes that it starts find the package."""
    monkeypatch.setenv("PYTHONPATH", str(Path(glpn_cli.__file__).parents[1]))
    for name in ("GLPN_MODEL", "GLPN_DEVICE", "GLPN_OFFLINE", "NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


def write_tiny_model(folder: Path, *, max_depth: float = 10.0, seed: int = 0) -> Path:
    """A checkpoint folder of a GLPN with 40,000 parameters and randomized, seeded weights."""
    import torch

    from glpn_cli.checkpoint.write import EncodedFolder
    from glpn_cli.models.config_base import read_config

    raw = {"model_type": "glpn", **TINY_CONFIG, "max_depth": max_depth}
    config = read_config(raw)
    fresh_state = config.build().state_dict()
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for row in config.weight_rows():
        tensor = fresh_state[row.name]
        if tensor.is_floating_point():
            fresh = torch.randn(tensor.shape, generator=generator) * (2.0 / max(1, tensor[0].numel())) ** 0.5
            is_spread = row.name.endswith("running_var") or (tensor.ndim == 1 and row.name.endswith("weight"))
            tensor = 1 + 0.1 * fresh.abs() if is_spread else fresh
        state[row.transformers] = tensor
    EncodedFolder.of(config=config.to_dict(), state=state).write(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder that answers in metres, to 10."""
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def tiny_model_80(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, to 80 metres."""
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny80", max_depth=80.0)


def make_rgb(height: int, width: int, *, seed: int = 0) -> np.ndarray:
    """A smooth colour picture with something in it, uint8 (H, W, 3)."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


@pytest.fixture(scope="session")
def untouched_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with four pictures, two of them in a folder of their own: 64x48, 97x65, 40x33 and 31x31."""
    folder = tmp_path_factory.mktemp("pictures") / "photos"
    (folder / "sub").mkdir(parents=True)
    sizes = {"a.jpg": (48, 64), "b.png": (65, 97), "sub/c.webp": (33, 40), "sub/d.png": (31, 31)}
    for seed, (name, (height, width)) in enumerate(sizes.items()):
        Image.fromarray(make_rgb(height, width, seed=seed)).save(folder / name)
    # Older than whatever is made of them, on file systems that count whole seconds too.
    for path in folder.rglob("*.*"):
        os.utime(path, (1_600_000_000, 1_600_000_000))
    return folder


@pytest.fixture
def tiny_pictures(untouched_pictures: Path, tmp_path: Path) -> Path:
    """A copy of them that a test may change."""
    return shutil.copytree(untouched_pictures, tmp_path / "photos")
