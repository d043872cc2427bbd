"""Cases 65 to 72 of the catalogue of faults: models that are absent, damaged, hostile or fetched over a bad network."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hub_server import HubServer, running_hub
from huggingface_hub import constants, file_download
from program_runs import OUT, TORCH, depth_of, glpn, good_png, predict
from tiny_checkpoints import TINY, files_of, make_cache, make_model_folder, raw_safetensors, tiny_state
from typer.testing import Result

from glpn_cli.pipeline import stages
from glpn_cli.pipeline.settings import ModelSettings
from glpn_cli.predictor import DepthEstimator

NYU = "vinvino02/glpn-nyu"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    Path("good.png").write_bytes(good_png())


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    """A hub of this process that has one model; the library does not wait between its tries."""
    with running_hub() as server:
        server.repositories[NYU] = files_of(make_model_folder(tmp_path / "original"))
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        pause = time.sleep
        monkeypatch.setattr(time, "sleep", lambda seconds: pause(min(seconds, 0.01)))
        yield server


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*words: object) -> None:
        raise AssertionError(f"the network was asked for {words}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def refused(model: str | Path, code: str, *words: str, exit_code: int = 1) -> Result:
    """Check that no picture is begun with a model: one error with this code, these words and a hint."""
    result = glpn("predict", "good.png", "-m", str(model), "-o", "out", "--json", *TORCH)
    assert result.exit_code == exit_code, result.stderr
    told = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(told) == 1, result.stderr
    assert told[0].endswith(f"[{code}]")
    assert told[0].isprintable()
    assert len(told[0]) < 800, "three names of many, and a count"
    assert all(word in result.stderr for word in words), result.stderr
    assert "  hint: " in result.stderr
    assert not OUT.exists()
    assert not Path("sprung").exists()
    return result


# The cache and the network


@pytest.mark.usefixtures("no_network")
def test_case_65_offline_an_absent_model_fails_at_once_with_the_command_that_gets_it() -> None:
    glpn("models", "list")  # what is imported once is no part of it
    started = time.process_time()
    result = glpn("predict", "good.png", "-m", "nyu", "--offline", "-o", "out")
    assert time.process_time() - started < 1
    assert result.exit_code == 1
    assert "[E_MODEL]" in result.stderr
    assert "glpn models download nyu" in result.stderr
    assert not OUT.exists()


@pytest.mark.parametrize(
    ("behaviour", "code", "words"),
    [
        ("broken", "E_MODEL", "500"),
        ("portal", "E_MODEL", "is not the hub"),
        ("closing", "E_MODEL", "cannot download"),
        ("short", "E_MODEL", "cannot download"),
        ("page for weights", "E_CHECKSUM", "does not match its checksum"),
        ("corrupt", "E_CHECKSUM", "does not match its checksum"),
        ("broken weights", "E_MODEL", "503"),
    ],
)
def test_case_66_a_network_that_fails_anyhow_is_one_error_and_poisons_nothing(
    hub: HubServer, behaviour: str, code: str, words: str
) -> None:
    hub.behaviour = behaviour
    refused(NYU, code, words)
    hub.behaviour = "hub"
    whole = predict("good.png", "-m", NYU)
    assert whole.exit_code == 0, whole.stderr
    np.testing.assert_array_equal(depth_of("good.png"), depth_by("original"))


def depth_by(model: str) -> np.ndarray:
    """What the same picture comes to with a model of the disk."""
    assert glpn("predict", "good.png", "-m", f"./{model}", "-o", "by", "--name", "{name}_{map}", *TORCH).exit_code == 0
    from glpn_cli.depth_files import read_depth

    return read_depth(Path("by/good.png_depth.png")).depth.values


DAMAGES: Mapping[str, Callable[[bytes], bytes]] = {
    "a flipped bit": lambda data: data[:-5] + bytes([data[-5] ^ 16]) + data[-4:],
    "cut short": lambda data: data[:-5],
    "empty": lambda data: b"",
    "a pointer": lambda data: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_case_67_a_damaged_file_of_the_cache_is_named_offline_and_mended_online(hub: HubServer, damage: str) -> None:
    snapshot = make_cache(Path("hub"), NYU, hub.repositories[NYU])
    blob = (snapshot / "model.safetensors").resolve()
    blob.write_bytes(DAMAGES[damage](blob.read_bytes()))
    with pytest.MonkeyPatch.context() as offline:
        offline.setattr(constants, "HF_HUB_OFFLINE", True)
        refused(NYU, "E_CHECKSUM", "model.safetensors", "glpn models download nyu --refresh")
    mended = predict("good.png", "-m", NYU)
    assert mended.exit_code == 0, mended.stderr
    assert "downloading it once more" in mended.stderr
    assert files_of(snapshot) == hub.repositories[NYU]


# What models hold


class Trap:
    """A pickle that leaves a trace if anybody opens it."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.system, (f"touch {Path('sprung').absolute()}",)


@pytest.mark.parametrize("form", ["zip", "legacy", "bare"])
@pytest.mark.parametrize("name", ["pytorch_model.bin", "weights.pt", "weights.pkl", "model.safetensors"])
def test_case_68_a_pickle_that_would_run_code_is_refused_and_runs_nothing(form: str, name: str) -> None:
    stream = io.BytesIO()
    if form == "bare":
        pickle.dump({"w": Trap()}, stream)
    else:
        torch.save({"w": Trap()}, stream, _use_new_zipfile_serialization=form == "zip")
    folder = make_model_folder(Path("model"))
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(stream.getvalue())
    if name in ("pytorch_model.bin", "model.safetensors"):
        refused("./model", "E_MODEL")
    result = glpn("predict", "good.png", "-m", f"model/{name}", "-o", "out")
    assert result.exit_code in (1, 2)
    glpn("convert", f"model/{name}", "-o", "converted")
    glpn("inspect", f"model/{name}")
    glpn("inspect", "model")
    assert not Path("sprung").exists()
    assert not OUT.exists()
    assert not Path("converted").exists()


EIGHT = bytes(8)
HEADERS: Mapping[str, bytes] = {
    "no length": b"\1\2\3",
    "no header": struct.pack("<Q", 1 << 60) + b"{}",
    "beyond the file": struct.pack("<Q", 1 << 20) + b"{}",
    "no text": raw_safetensors(b'{"\xff": 1}'),
    "no JSON": raw_safetensors(b"not json"),
    "no object": raw_safetensors(b"[]"),
    "overlap": raw_safetensors(
        {f"{key}": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for key in "ab"}, bytes(4)
    ),
    "a hole": raw_safetensors({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, EIGHT),
    "overflow": raw_safetensors({"a": {"dtype": "F32", "shape": [1 << 40, 1 << 40], "data_offsets": [0, 8]}}, EIGHT),
    "negative": raw_safetensors({"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}, EIGHT),
    "unknown dtype": raw_safetensors({"a": {"dtype": "F13", "shape": [2], "data_offsets": [0, 8]}}, EIGHT),
    "equal keys": raw_safetensors(
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
        EIGHT,
    ),
}


@pytest.mark.parametrize("trouble", HEADERS)
def test_case_69_a_header_that_cannot_be_true_is_told_before_anything_is_allocated(trouble: str) -> None:
    folder = make_model_folder(Path("model"))
    (folder / "model.safetensors").write_bytes(HEADERS[trouble])
    refused("./model", "E_MODEL", "model.safetensors")


def test_case_69_weights_that_are_missing_mis_shaped_or_no_numbers_are_named() -> None:
    from safetensors.torch import save_file

    state = tiny_state(TINY)
    name = min(key for key, tensor in state.items() if tensor.ndim == 4)
    changes: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor | None], str]] = {
        "missing": (lambda tensor: None, "missing"),
        "mis-shaped": (lambda tensor: tensor[..., :-1].contiguous(), f"{name} should be {list(state[name].shape)}"),
        "double": (lambda tensor: tensor.double(), "F64"),
        "integer": (lambda tensor: tensor.to(torch.int32), "I32"),
        "not a number": (lambda tensor: tensor * torch.nan, "not finite"),
        "infinite": (lambda tensor: tensor / 0, "not finite"),
    }
    for number, (change, words) in enumerate(changes.values()):
        folder = make_model_folder(Path(f"model{number}"))
        changed = {key: change(tensor) if key == name else tensor for key, tensor in state.items()}
        kept = {key: tensor for key, tensor in changed.items() if tensor is not None}
        save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
        refused(f"./{folder}", "E_MODEL", name, words)
    folder = make_model_folder(Path("extra"))
    save_file({**state, "what.is.this": torch.ones(1)}, folder / "model.safetensors", metadata={"format": "pt"})
    refused("./extra", "E_MODEL", "what.is.this")


def test_case_69_of_hundreds_of_tensors_that_do_not_fit_three_are_named_and_all_counted() -> None:
    folder = make_model_folder(Path("model"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "depths": [12, 12, 12, 12]}))
    refused("./model", "E_MODEL", "924 missing: glpn.encoder.block.0.1.", " and 921 more")
    told = glpn("inspect", "./model").stdout
    assert "924 missing: " in " ".join(told.split())
    assert len(told) < 4000


@pytest.mark.parametrize("change", ["cut short", "written over"])
@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_case_69_weights_that_change_during_a_run_change_nothing(
    file: str, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = make_model_folder(Path("model")) / file
    if file == "pytorch_model.bin":
        Path("model/model.safetensors").unlink()
        torch.save(tiny_state(), weights)
    undisturbed = predict("good.png", "-m", "./model").records["good.png"]
    expected = depth_of("good.png")
    load = stages._load

    def load_and_ruin(settings: ModelSettings) -> DepthEstimator:
        estimator = load(settings)
        size = weights.stat().st_size
        with weights.open("r+b") as opened:
            opened.truncate(100) if change == "cut short" else opened.write(b"\x3f" * size)
        return estimator

    monkeypatch.setattr(stages, "_load", load_and_ruin)
    again = predict("good.png", "-m", "./model", "--existing", "overwrite").records["good.png"]
    assert again["weights_sha256"] == undisturbed["weights_sha256"]
    np.testing.assert_array_equal(depth_of("good.png"), expected)


def test_case_69_the_checksum_of_an_open_model_is_of_the_weights_that_it_has() -> None:
    from glpn_cli.images import read_rgb

    folder = make_model_folder(Path("model"))
    checksum = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    estimator = DepthEstimator.from_pretrained("./model", precision="fp32", threads=1)
    make_model_folder(folder, seed=1)
    assert estimator.provenance(read_rgb(Path("good.png"))).weights_sha256 == checksum


CONFIGS: Mapping[str, bytes | None] = {
    "missing": None,
    "empty": b"",
    "mark": b"\xef\xbb\xbf{}",
    "no JSON": b"model_type: glpn",
    "nested": b'{"a": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "long number": b'{"max_depth": ' + b"9" * 5_000 + b"}",
    "NaN": b'{"max_depth": NaN}',
    "Infinity": b'{"max_depth": Infinity}',
    "equal keys": b'{"max_depth": 10, "max_depth": 80}',
    "a megabyte": b'{"a": "' + b"x" * 1_000_001 + b'"}',
    "a list": b"[]",
}
VALUES: Mapping[str, Mapping[str, object]] = {
    "negative": {"max_depth": -10},
    "a text": {"decoder_hidden_size": "64"},
    "a fraction": {"hidden_sizes": [4, 8.5, 10, 16]},
    "huge width": {"hidden_sizes": [4, 8, 10, 10**9]},
    "huge depth": {"depths": [1, 1, 1, 10**6]},
    "heads": {"num_attention_heads": [1, 2, 5, 7]},
    "too few": {"hidden_sizes": [4]},
    "another network": {"hidden_sizes": [4, 8, 10, 32]},
    "no type": {"model_type": None},
    "unknown type": {"model_type": "bert"},
}


@pytest.mark.parametrize("trouble", CONFIGS)
def test_case_70_a_config_that_is_no_plain_object_is_a_model_error(trouble: str) -> None:
    folder = make_model_folder(Path("model"))
    data = CONFIGS[trouble]
    (folder / "config.json").unlink()
    if data is not None:
        (folder / "config.json").write_bytes(data)
    refused("./model", "E_NOT_FOUND" if data is None else "E_MODEL", "config.json")


@pytest.mark.parametrize("trouble", VALUES)
def test_case_70_a_config_that_no_network_can_have_is_told_before_it_is_built(
    trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_model_folder(Path("model"))
    config = {**json.loads((folder / "config.json").read_text()), **VALUES[trouble]}
    (folder / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr(torch.nn.Module, "__init__", lambda self: pytest.fail("a network was built"))
    started = time.process_time()
    refused("./model", "E_MODEL")
    assert time.process_time() - started < 2


def test_case_70_unknown_keys_are_kept_shown_and_never_fatal() -> None:
    folder = make_model_folder(Path("model"))
    config = {**json.loads((folder / "config.json").read_text()), "colour_of_the_cover": "green"}
    (folder / "config.json").write_text(json.dumps(config))
    assert predict("good.png", "-m", "./model").exit_code == 0
    assert "colour_of_the_cover" in glpn("inspect", "./model").stdout


# Names


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(
    "name",
    [
        "../../etc",
        "a/../../b",
        "/etc/passwd",
        "/no/such/place",
        "",
        "a\nb",
        "owner/name\n",
        "https://example.org/a/b",
        "file:///etc/passwd",
        "x" * 10_000,
        "nyu@../../x",
        "vinvino02/glpn-nyu@../../x",
        "-",
    ],
)
def test_case_71_a_name_that_could_lead_anywhere_is_refused_without_the_network(name: str) -> None:
    result = glpn("predict", "good.png", f"--model={name}", "-o", "out")
    assert result.exit_code in (1, 2)
    assert result.stderr.splitlines()[0].startswith("error: ")
    assert all(len(line) < 600 and line.isprintable() for line in result.stderr.splitlines())
    assert not OUT.exists()
    assert not Path("hub").exists()


@pytest.mark.usefixtures("no_network")
def test_case_71_a_null_byte_in_a_name_is_refused() -> None:
    # No operating system passes one to a program; the Python edge may.
    from glpn_cli import DepthEstimator
    from glpn_cli.errors import UsageError

    with pytest.raises(UsageError, match="control characters"):
        DepthEstimator.from_pretrained("a\0b")


@pytest.mark.usefixtures("no_network")
def test_case_71_a_known_name_comes_first_then_a_path_then_the_hub() -> None:
    make_model_folder(Path("owner/name"))
    assert predict("good.png", "-m", "owner/name").exit_code == 0
    make_model_folder(Path("mini"))
    own = json.loads(glpn("inspect", "mini", "--json").stdout)
    other = json.loads(glpn("inspect", "./mini", "--json").stdout)
    assert own["weights_sha256"] != other["weights_sha256"]


# Shared caches


def test_case_72_two_first_runs_at_once_both_end_well_and_leave_one_whole_cache(hub: HubServer, tmp_path: Path) -> None:
    hub.delay_s = 0.05
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "0"}
    command = [sys.executable, "-m", "glpn_cli", "models", "download", NYU]
    runs = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)
    ]
    talks = [run.communicate(timeout=60) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], talks
    assert all(b"Traceback" not in talk for _, talk in talks)
    asked = len(hub.requests)
    assert predict("good.png", "-m", NYU).exit_code == 0
    assert len(hub.requests) == asked
    assert not list(Path("hub").rglob("*.incomplete"))


def test_case_72_a_cache_on_a_file_system_without_links_works(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_download, "are_symlinks_supported", lambda *_: False)
    assert predict("good.png", "-m", NYU).exit_code == 0
    assert not [path for path in Path("hub").rglob("*") if path.is_symlink()]
    assert predict("good.png", "-m", NYU, "--existing", "overwrite", "--offline").exit_code == 0


@pytest.mark.usefixtures("no_network")
def test_case_72_a_cache_that_others_own_is_read_without_being_written(hub: HubServer) -> None:
    make_cache(Path("hub"), NYU, hub.repositories[NYU])
    before = {path: path.stat().st_mtime_ns for path in Path("hub").rglob("*")}
    assert predict("good.png", "-m", NYU).exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in Path("hub").rglob("*")} == before
