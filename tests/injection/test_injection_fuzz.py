"""Broken bytes through every reader: an answer or the reader's own error, soon, and nothing else ever."""

from __future__ import annotations

import io
import json
import math
import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from byte_mutator import mutate
from conftest import TINY_CONFIG
from mixed_inputs import encoded_forms
from tiny_checkpoints import make_model_folder

from glpn_cli.calibration import Calibration
from glpn_cli.checkpoint import Checkpoint, Weights
from glpn_cli.depth_files import FORMATS, is_depth_file, is_own_output, make_writer, read_depth, read_record
from glpn_cli.errors import InputError, ModelError, UsageError
from glpn_cli.images import ReadOptions, read_rgb
from glpn_cli.models.config_base import InputSize, read_config
from glpn_cli.models.inspect import ModelReport
from glpn_cli.models.resolve import resolve_model
from glpn_cli.prediction import DepthKind, DepthMap, Provenance, Result

SOON_S = 20
"""The longest that a reader may take for a few kilobytes, on a machine that is busy."""


def fuzz(
    samples: dict[str, bytes],
    attempt: Callable[[str, bytes], None],
    *,
    seed: int,
    seconds: float = math.inf,
    tries: float = math.inf,
) -> int:
    """Break samples in turn and hand them on, for a time or so many times; returns how many."""
    names = sorted(samples)
    begun, count = time.monotonic(), 0
    while (time.monotonic() < begun + seconds and count < tries) or count < len(names):
        name = names[count % len(names)]
        data = mutate(samples[name], f"{seed} {count}")
        started = time.monotonic()
        try:
            attempt(name, data)
        except BaseException as error:
            place = Path("find.bin").absolute()
            place.write_bytes(data)
            raise AssertionError(f"{name}, try {count} of seed {seed}, kept as {place}: {error!r}") from error
        assert time.monotonic() - started < SOON_S, f"{name}, try {count} of seed {seed} takes long"
        count += 1
    return count


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def try_picture(name: str, data: bytes) -> None:
    for options in (ReadOptions(max_pixels=10**7), ReadOptions(max_pixels=10**7, allow_truncated=True, frame=1)):
        with suppress(InputError):
            picture = read_rgb(data, options)
            assert picture.rgb.dtype == np.uint8
            assert picture.rgb.shape == (*picture.size, 3)


def try_depth(name: str, data: bytes) -> None:
    path = Path("depth.bin")
    path.write_bytes(data)
    with suppress(InputError):
        read_record(data)
    with suppress(InputError):
        depth = read_depth(path).depth
        values = depth.values if depth.valid is None else depth.values[depth.valid]
        assert np.isfinite(values).all()
        assert (values > 0).all()
    is_depth_file(path)
    is_own_output(path)


def try_calibration(name: str, data: bytes) -> None:
    path = Path("calibration.json")
    path.write_bytes(data)
    with suppress(UsageError):
        Calibration.read(path)


def try_weights(name: str, data: bytes) -> None:
    path = Path(name)
    path.write_bytes(data)
    with suppress(ModelError):
        Weights(path).header()
    with suppress(ModelError):
        for tensor in Weights(path).read().values():
            assert torch.isfinite(tensor).all()


def try_config(name: str, data: bytes) -> None:
    Path("model/config.json").write_bytes(data)
    with suppress(ModelError):
        config = Checkpoint.open(Path("model")).config
        known = read_config(config)
        known.shapes()
        known.cost((480, 640))
    with suppress(ModelError):
        ModelReport.of(resolve_model("./model", offline=True), input_size=InputSize.parse("auto"))


@dataclass(frozen=True)
class Grey:
    """A picture, as `Result.source`."""

    name: str = "a/x.jpg"

    def read_colors(self) -> np.ndarray:
        return np.full((24, 32, 3), 128, np.uint8)


def depth_files() -> dict[str, bytes]:
    values = np.linspace(0.3, 9.9, 24 * 32, dtype=np.float32).reshape(24, 32)
    depth = DepthMap(values, kind=DepthKind.METRIC, valid=values > 0.5, limit=10.0)
    provenance = Provenance(model="nyu", weights_sha256="ab" * 32, limit_m=10.0, network_size=(480, 640))
    result = Result(depth, Grey(), provenance)
    return {name: make_writer(name, kind=DepthKind.METRIC, limit_m=10.0).encode(result).data for name in FORMATS}


def weights() -> dict[str, bytes]:
    state = {"a.weight": torch.rand(3, 4), "a.bias": torch.rand(3).half(), "n.num_batches_tracked": torch.tensor(5)}
    found = {}
    for name, is_zip in (("zip.bin", True), ("legacy.bin", False)):
        stream = io.BytesIO()
        torch.save(state, stream, _use_new_zipfile_serialization=is_zip)
        found[name] = stream.getvalue()
    make_model_folder(Path("whole"))
    found["x.safetensors"] = Path("whole/model.safetensors").read_bytes()[:9000]
    return found


def configs() -> dict[str, bytes]:
    """Configs of both families; and, behind a name, every field of theirs in turn with a value it should not have."""
    make_model_folder(Path("model"))
    glpn = {"model_type": "glpn", **TINY_CONFIG}
    dpt = {"model_type": "dpt", "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2}
    found = {"glpn": json.dumps(glpn).encode(), "dpt": json.dumps(dpt).encode()}
    for name, config in (("glpn", glpn), ("dpt", dpt)):
        known = read_config(config).to_dict()
        found[f"{name} whole"] = json.dumps(known, default=str).encode()
    return found


def odd_configs(seed: int) -> Iterator[bytes]:
    """Endless: whole configs with one to three values of another kind or size."""
    chance = random.Random(seed)
    odd: list[Any] = [None, True, -1, 0, 1, 2.5, 10**9, 10**30, 1e308, "", "gelu", "1", [], [0], [-1] * 4, [10**6] * 4]
    odd += [{}, {"a": 1}, [[1]], [None] * 4, [1, 2, 3, 4, 5], float("nan"), "\udc80", "x" * 5000, ["gelu"], 2**63]
    starts = [json.loads(data) for data in configs().values()]
    while True:
        config = dict(chance.choice(starts))
        for key in chance.sample([*config, "glpn_cli", "id2label", "backbone_config"], chance.choice((1, 1, 2, 3))):
            config[key] = chance.choice(odd)
            if key == "glpn_cli" and chance.random() < 0.8:
                names = ("training_size", "training_focal_px", "layer_norm_eps_mode", "limit_m", "source", "revision")
                config[key] = {chance.choice(names): chance.choice(odd)}
        yield json.dumps(config).encode()


TARGETS: dict[str, tuple[Callable[[], dict[str, bytes]], Callable[[str, bytes], None]]] = {
    "pictures": (encoded_forms, try_picture),
    "depth files": (depth_files, try_depth),
    "weights": (weights, try_weights),
    "configs": (configs, try_config),
}


@pytest.mark.parametrize("target", TARGETS)
def test_some_broken_bytes_are_an_answer_or_the_readers_own_error(target: str) -> None:
    samples, attempt = TARGETS[target]
    fuzz(samples(), attempt, seed=1, tries=400)


@pytest.mark.soak
@pytest.mark.parametrize("target", TARGETS)
def test_broken_bytes_for_minutes_are_an_answer_or_the_readers_own_error(target: str) -> None:
    samples, attempt = TARGETS[target]
    count = fuzz(samples(), attempt, seed=time.time_ns(), seconds=120)
    print(f"{target}: {count} broken files")  # noqa: T201 - pytest -rP shows it


def try_odd_configs(seed: int, *, seconds: float = math.inf, tries: float = math.inf) -> int:
    ends = time.monotonic() + seconds
    for count, data in enumerate(odd_configs(seed)):
        if count >= tries or time.monotonic() > ends:
            return count
        try:
            try_config("", data)
        except BaseException as error:
            raise AssertionError(f"config {count} of seed {seed}, {data.decode()[:2000]}: {error!r}") from error
    raise AssertionError


def test_some_odd_configs_are_refused_by_name_or_read() -> None:
    try_odd_configs(1, tries=100)


@pytest.mark.soak
def test_odd_configs_for_minutes_are_refused_by_name_or_read() -> None:
    count = try_odd_configs(time.time_ns(), seconds=120)
    print(f"{count} odd configs")  # noqa: T201 - pytest -rP shows it
