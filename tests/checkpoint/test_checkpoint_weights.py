"""The weights that are recorded are the weights that ran; shards load as one file; nothing waits for a pipe."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny_checkpoints import files_of, make_cache, make_model_folder, tiny_state

from glpn_cli.checkpoint import Checkpoint, HubName, Weights
from glpn_cli.checkpoint.hub import fetch, find_cached, find_damaged, is_intact
from glpn_cli.checkpoint.write import EncodedFolder
from glpn_cli.errors import ErrorCode, ModelError
from glpn_cli.models.inspect import ModelReport
from glpn_cli.models.resolve import resolve_model

INDEX = "model.safetensors.index.json"


def make_sharded_folder(folder: Path) -> Path:
    """The tiny model in two shards, as transformers writes large ones."""
    make_model_folder(folder)
    (folder / "model.safetensors").unlink()
    state = tiny_state()
    names = sorted(state)
    shards = {
        "model-00001-of-00002.safetensors": names[: len(names) // 2],
        "model-00002-of-00002.safetensors": names[len(names) // 2 :],
    }
    for shard, tensors in shards.items():
        save_file({name: state[name] for name in tensors}, folder / shard, metadata={"format": "pt"})
    weight_map = {name: shard for shard, tensors in shards.items() for name in tensors}
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))
    return folder


def change_index(folder: Path, change: Callable[[dict[str, object]], object]) -> None:
    index = json.loads((folder / INDEX).read_text())
    change(index["weight_map"])
    (folder / INDEX).write_text(json.dumps(index))


# What is in memory


READ_AND_RUIN = """
import sys, torch
from pathlib import Path
from glpn_cli.checkpoint import Checkpoint
for folder in sys.argv[2:]:
    checkpoint = Checkpoint.open(Path(folder))
    sha256, state = checkpoint.sha256(), checkpoint.read_state()
    before = {name: tensor.clone() for name, tensor in state.items()}
    with checkpoint.weights.open("r+b") as file:
        if sys.argv[1] == "cut short":
            file.truncate(10)
        else:
            file.write(b"\\xff" * checkpoint.weights.stat().st_size)
    assert all(torch.equal(state[name], before[name]) for name in before)
    print(sha256, flush=True)
"""


@pytest.mark.parametrize("change", ["cut short", "written over"])
def test_weights_that_were_read_stay_as_they_were(tmp_path: Path, change: str) -> None:
    """In a process of its own: a mapped file that is cut short ends the process (SIGBUS)."""
    safe, pickled = make_model_folder(tmp_path / "safe"), make_model_folder(tmp_path / "pickled")
    (pickled / "model.safetensors").unlink()
    torch.save(tiny_state(), pickled / "pytorch_model.bin")
    files = (safe / "model.safetensors", pickled / "pytorch_model.bin")
    checksums = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    command = [sys.executable, "-c", READ_AND_RUIN, change, str(safe), str(pickled)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert (done.returncode, done.stdout.split()) == (0, checksums), done.stderr


@pytest.mark.parametrize("first", ["sha256", "header", "read_state"])
@pytest.mark.parametrize("then", ["sha256", "read_state"])
def test_weights_that_change_between_two_looks_are_refused(tmp_path: Path, first: str, then: str) -> None:
    folder = make_model_folder(tmp_path / "model")
    checkpoint = Checkpoint.open(folder)
    getattr(checkpoint, first)()
    times = checkpoint.weights.stat()
    data = make_model_folder(tmp_path / "other", seed=1).joinpath("model.safetensors").read_bytes()
    with checkpoint.weights.open("r+b") as file:
        file.write(data)
    os.utime(checkpoint.weights, ns=(times.st_atime_ns, times.st_mtime_ns))  # as if nothing had happened
    with pytest.raises(ModelError, match="was changed while it was being read") as caught:
        getattr(checkpoint, then)()
    assert caught.value.code == ErrorCode.CHECKSUM


# Shards


def test_a_sharded_model_is_read_as_one_file(tmp_path: Path) -> None:
    checkpoint = Checkpoint.open(make_sharded_folder(tmp_path / "model"))
    state, read = tiny_state(), checkpoint.read_state()
    assert read.keys() == checkpoint.header().keys() == state.keys()
    assert all(torch.equal(read[name], state[name]) for name in state)
    shards = sorted((tmp_path / "model").glob("*.safetensors"))
    together = b"".join(path.read_bytes() for path in shards)
    assert checkpoint.sha256() == hashlib.sha256(together).hexdigest()
    assert checkpoint.weights_bytes == len(together)
    assert checkpoint.weights_format == "safetensors"
    EncodedFolder.copy_of(checkpoint, own={}).write(tmp_path / "carried")
    assert Checkpoint.open(tmp_path / "carried").sha256() == checkpoint.sha256()


def test_a_copy_of_a_sharded_model_is_known_again(tmp_path: Path) -> None:
    encoded = EncodedFolder.copy_of(Checkpoint.open(make_sharded_folder(tmp_path / "model")), own={})
    encoded.write(tmp_path / "copy")
    assert encoded.differing(tmp_path / "copy") == []
    (tmp_path / "copy" / INDEX).write_text("{}")
    assert encoded.differing(tmp_path / "copy") == [INDEX]


@pytest.mark.parametrize(
    "shard", ["../outside.safetensors", "/etc/passwd", "a/b.safetensors", "", "..", "x.bin", 3, "a\\..\\b.bin"]
)
def test_a_name_in_an_index_cannot_leave_the_folder(tmp_path: Path, shard: object) -> None:
    folder = make_sharded_folder(tmp_path / "model")
    save_file({"w": torch.ones(2)}, tmp_path / "outside.safetensors")
    change_index(folder, lambda shards: shards.update({"w": shard}))
    for look in ("header", "sha256", "read_state"):
        with pytest.raises(ModelError, match=r"no \.safetensors file of the same folder"):
            getattr(Checkpoint.open(folder), look)()


def test_an_index_and_its_shards_agree_to_the_letter(tmp_path: Path) -> None:
    changes: dict[str, Callable[[dict[str, object]], object]] = {
        "missing": lambda shards: shards.pop(min(shards)),
        "invented": lambda shards: shards.update(more="model-00001-of-00002.safetensors"),
        "moved": lambda shards: shards.update({min(shards): "model-00002-of-00002.safetensors"}),
    }
    for name, change in changes.items():
        folder = make_sharded_folder(tmp_path / name)
        change_index(folder, change)
        with pytest.raises(ModelError, match="disagree about '"):
            Checkpoint.open(folder).header()
    folder = make_sharded_folder(tmp_path / "lost")
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ModelError, match="no such file") as caught:
        Checkpoint.open(folder).header()
    assert caught.value.code == ErrorCode.NOT_FOUND


def test_a_sharded_model_of_the_cache_is_whole_with_all_its_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    name = HubName("owner/name")
    snapshot = make_cache(tmp_path / "hub", str(name), files_of(make_sharded_folder(tmp_path / "model")))
    assert fetch(name, offline=True, announce=print) == snapshot
    shard = snapshot / "model-00002-of-00002.safetensors"
    shard.resolve().write_bytes(b"!" + shard.read_bytes()[1:])
    assert find_damaged(snapshot) == [shard]
    shard.unlink()
    assert find_cached(name) is None


# What the checksum says


def test_ok_is_said_only_where_there_was_something_to_compare(tmp_path: Path) -> None:
    def checksum(path: Path) -> tuple[bool | None, str]:
        (check,) = (
            check for check in ModelReport.of(resolve_model(str(path), offline=True)).checks if check.name == "checksum"
        )
        return check.passed, check.found

    files = files_of(make_model_folder(tmp_path / "model"))
    assert checksum(tmp_path / "model") == (None, "none on record to compare it with")
    snapshot = make_cache(tmp_path / "hub", "owner/name", files)
    assert checksum(snapshot) == (True, "matches what the hub named the file by")
    weights = snapshot / "model.safetensors"
    named = weights.resolve()
    other = named.rename(named.with_name("a-name-that-is-no-checksum"))
    weights.unlink()
    weights.symlink_to(other)
    assert is_intact(weights) is None
    assert checksum(snapshot)[0] is None
    weights.unlink()
    weights.write_bytes(files["model.safetensors"])  # a plain copy, as on a file system without links
    assert checksum(snapshot)[0] is None


# Pipes


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "preprocessor_config.json"])
def test_a_pipe_in_a_model_folder_is_refused_and_not_waited_for(tmp_path: Path, file: str) -> None:
    folder = make_model_folder(tmp_path / "model")
    (folder / file).unlink()
    os.mkfifo(folder / file)
    done = threading.Event()

    def look() -> None:
        for use in ("header", "sha256", "read_state"):
            with pytest.raises(ModelError, match="it is a pipe"):
                getattr(Checkpoint.open(folder), use)()
        done.set()

    threading.Thread(target=look, daemon=True).start()
    assert done.wait(30), "it waits for a writer"


@pytest.mark.parametrize("read", [lambda path: Weights(path).header(), lambda path: Weights(path).read()])
def test_a_device_is_no_weights_file(read: Callable[[Path], object]) -> None:
    with pytest.raises(ModelError):
        read(Path(os.devnull))
