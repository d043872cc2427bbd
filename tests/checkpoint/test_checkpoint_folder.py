"""Model folders: opened with what is there, refused with what was found and what to run, written for transformers."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from tiny_checkpoints import COMMIT, TINY, files_of, make_cache, make_model_folder, tiny_state

from glpn_cli.checkpoint import Checkpoint, TensorInfo, Weights
from glpn_cli.checkpoint.write import EncodedFolder
from glpn_cli.errors import ErrorCode, ModelError


def test_a_folder_is_opened_with_all_that_it_says(tmp_path: Path) -> None:
    folder = make_model_folder(tmp_path / "model", surprise={"kept": [1, 2]})
    checkpoint = Checkpoint.open(folder)
    assert checkpoint.config["surprise"] == {"kept": [1, 2]}
    assert checkpoint.preprocessor == {"do_resize": True, "size_divisor": 32}
    assert checkpoint.weights == folder / "model.safetensors"
    assert checkpoint.weights_format == "safetensors"
    assert (checkpoint.source, checkpoint.revision, checkpoint.is_cached) == (None, None, False)
    assert checkpoint.header()["head.head.2.bias"] == TensorInfo("F32", (1,))
    state = tiny_state()
    read = checkpoint.read_state()
    assert read.keys() == state.keys()
    assert all(torch.equal(read[name], state[name]) for name in state)


@pytest.mark.parametrize(
    "settings",
    [
        {"size": {"height": 10**9, "width": 384}},
        {"size": {"shortest_edge": 0}},
        {"size": -5},
        {"size": [384, 1.5]},
        {"crop_size": {"height": "384", "width": 384}},
        {"size_divisor": 10**9},
        {"ensure_multiple_of": True},
    ],
)
def test_sizes_of_pictures_that_no_network_has_are_refused_before_memory_is_taken(
    settings: dict[str, object], tmp_path: Path
) -> None:
    folder = make_model_folder(tmp_path / "model")
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match=f"'{next(iter(settings))}' makes no sense") as caught:
        Checkpoint.open(folder)
    assert caught.value.code is ErrorCode.MODEL
    assert len(caught.value.message) < 300 + len(str(folder))


def test_a_weights_file_is_opened_with_the_config_beside_it(tmp_path: Path) -> None:
    folder = make_model_folder(tmp_path / "model")
    checkpoint = Checkpoint.open(folder / "model.safetensors")
    assert (checkpoint.folder, checkpoint.name) == (folder, str(folder / "model.safetensors"))


def test_safetensors_come_before_pickles(tmp_path: Path) -> None:
    folder = make_model_folder(tmp_path / "model")
    torch.save(tiny_state(), folder / "pytorch_model.bin")
    assert Checkpoint.open(folder).weights_format == "safetensors"
    (folder / "model.safetensors").unlink()
    pickled = Checkpoint.open(folder)
    assert pickled.weights_format == "pickle"
    assert pickled.header()["head.head.2.bias"] == TensorInfo("F32", (1,))
    assert pickled.read_state().keys() == tiny_state().keys()


def test_a_folder_without_a_config_says_what_it_has_and_what_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("nyu").mkdir()
    torch.save(tiny_state(), "nyu/pytorch_model.bin")
    with pytest.raises(ModelError) as caught:
        Checkpoint.open(Path("nyu"))
    assert caught.value.message == "model folder 'nyu' has no config.json (found: pytorch_model.bin)"
    assert caught.value.hint == "Run: glpn convert nyu -o nyu-glpn"
    with pytest.raises(ModelError) as caught:
        Checkpoint.open(Path("nyu/pytorch_model.bin"))
    assert "has beside it no config.json" in caught.value.message
    assert caught.value.hint == "Run: glpn convert nyu/pytorch_model.bin -o pytorch_model-glpn"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "has no model.safetensors and no pytorch_model.bin (found: nothing)"),
        (["config.json"], "has no model.safetensors and no pytorch_model.bin (found: config.json)"),
        (
            [f"{index}.jpg" for index in range(9)],
            "(found: 0.jpg, 1.jpg, 2.jpg, 3.jpg, 4.jpg, 5.jpg and 3 more)",
        ),
    ],
)
def test_a_folder_that_is_no_model_says_what_it_has(tmp_path: Path, files: list[str], message: str) -> None:
    for name in files:
        (tmp_path / name).write_text("{}")
    with pytest.raises(ModelError) as caught:
        Checkpoint.open(tmp_path)
    assert message in caught.value.message
    assert caught.value.hint == "Name the folder that holds config.json and model.safetensors."


def test_what_is_neither_folder_nor_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"")
    with pytest.raises(ModelError, match="is no model: neither a folder nor"):
        Checkpoint.open(tmp_path / "photo.jpg")
    with pytest.raises(ModelError, match="there is no model at") as caught:
        Checkpoint.open(tmp_path / "nothing")
    assert caught.value.code == ErrorCode.NOT_FOUND


def test_our_key_must_be_an_object(tmp_path: Path) -> None:
    folder = make_model_folder(tmp_path / "model")
    (folder / "config.json").write_text(json.dumps(TINY | {"glpn_cli": [1]}))
    with pytest.raises(ModelError, match="'glpn_cli' is not an object"):
        Checkpoint.open(folder)


def test_weights_that_are_not_finite_are_refused_by_name(tmp_path: Path) -> None:
    state = tiny_state()
    folder = make_model_folder(tmp_path / "model")
    bad = ["head.head.0.bias", "head.head.0.weight", "head.head.2.bias"]
    raw = bytearray((folder / "model.safetensors").read_bytes())
    header = Weights(folder / "model.safetensors").header()
    position = len(raw) - sum(4 * info.items for info in header.values() if info.dtype == "F32")
    for name, info in header.items():
        if info.dtype == "F32":
            if name in bad:
                raw[position : position + 4] = torch.tensor([float("nan")]).numpy().tobytes()
            position += 4 * info.items
    (folder / "model.safetensors").write_bytes(raw)
    with pytest.raises(ModelError, match=r"not finite, in 'head\.head\.0\.bias', .*0\.weight', .*2\.bias'"):
        Checkpoint.open(folder).read_state()
    state["head.head.2.bias"] = torch.tensor([float("-inf")])
    torch.save(state, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"not finite, in 'head\.head\.2\.bias'"):
        Weights(tmp_path / "pytorch_model.bin").read()


def test_large_finite_weights_are_no_error(tmp_path: Path) -> None:
    EncodedFolder.of(config=TINY, state={"w": torch.full((1000,), 3e38), "h": torch.full((9,), 6e4).half()}).write(
        tmp_path
    )
    assert Checkpoint.open(tmp_path).read_state()["w"].max() > 2e38


def test_what_is_written_is_what_transformers_expects(tmp_path: Path) -> None:
    state = tiny_state()
    EncodedFolder.of(
        config=TINY | {"max_depth": 80.0},
        state=state,
        preprocessor={"size_divisor": 32},
    ).write(tmp_path)
    assert sorted(files_of(tmp_path)) == ["config.json", "model.safetensors", "preprocessor_config.json"]
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["max_depth"], type(config["max_depth"])) == (80, int)
    assert config["architectures"] == ["GLPNForDepthEstimation"]
    from safetensors import safe_open
    from safetensors.torch import load_file

    theirs = load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(theirs[name], state[name]) for name in state)
    assert theirs.keys() == state.keys()
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}


def test_equal_weights_make_equal_files(tmp_path: Path) -> None:
    state = tiny_state()
    EncodedFolder.of(config=TINY, state=state).write(tmp_path / "a")
    EncodedFolder.of(config=dict(reversed(TINY.items())), state=dict(reversed(state.items()))).write(tmp_path / "b")
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")


def test_weights_of_half_precision_stay_so(tmp_path: Path) -> None:
    state = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in tiny_state().items()}
    EncodedFolder.of(config=TINY, state=state).write(tmp_path)
    header = Checkpoint.open(tmp_path).header()
    assert {info.dtype for info in header.values()} == {"F16", "I64"}
    read = Checkpoint.open(tmp_path).read_state()
    assert all(torch.equal(read[name], state[name].to(read[name].dtype)) for name in state)


def test_weights_that_nobody_could_read_back_are_not_written(tmp_path: Path) -> None:
    for state, trouble in (
        ({"w": torch.rand(2).double()}, r"'w' has type torch\.float64"),
        ({"w": torch.arange(3)}, r"'w' has type torch\.int64"),
        ({"w": torch.tensor([float("nan")])}, "what would be written holds numbers that are not finite, in 'w'"),
    ):
        with pytest.raises(ModelError, match=trouble):
            EncodedFolder.of(config=TINY, state=state).write(tmp_path / "out")
    with pytest.raises(ModelError, match="without model_type"):
        EncodedFolder.of(config={}, state=tiny_state()).write(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_reading_leaves_the_file_as_it_is(tmp_path: Path) -> None:
    folder = make_model_folder(tmp_path / "model")
    before = (folder / "model.safetensors").read_bytes()
    for tensor in Checkpoint.open(folder).read_state().values():
        tensor.zero_()
    assert (folder / "model.safetensors").read_bytes() == before


def test_a_folder_in_the_hubs_cache_knows_where_it_comes_from(tmp_path: Path) -> None:
    files = files_of(make_model_folder(tmp_path / "model"))
    checkpoint = Checkpoint.open(make_cache(tmp_path / "hub", "vinvino02/glpn-kitti", files))
    assert (checkpoint.source, checkpoint.revision, checkpoint.is_cached) == ("vinvino02/glpn-kitti", COMMIT, True)


def test_a_recorded_source_is_read_if_it_looks_like_one(tmp_path: Path) -> None:
    folder = make_model_folder(tmp_path / "model")
    for changes, source in (
        ({"glpn_cli": {"source": "vinvino02/glpn-nyu", "revision": COMMIT}}, "vinvino02/glpn-nyu"),
        ({"_name_or_path": "vinvino02/glpn-kitti"}, "vinvino02/glpn-kitti"),
        ({"_name_or_path": "/home/me/models/mine"}, None),
        ({"glpn_cli": {"source": 5}, "_name_or_path": ["x"]}, None),
    ):
        (folder / "config.json").write_text(json.dumps(TINY | changes))
        assert (Checkpoint.open(folder).source, Checkpoint.open(folder).is_cached) == (source, False)


def test_a_carried_copy_has_the_same_weights_and_says_its_source(tmp_path: Path) -> None:
    files = files_of(make_model_folder(tmp_path / "model")) | {"README.md": b"# card"}
    cached = Checkpoint.open(make_cache(tmp_path / "hub", "vinvino02/glpn-kitti", files))
    EncodedFolder.copy_of(cached, own={"source": cached.source, "revision": COMMIT, "limit_m": 80.0}).write(
        tmp_path / "carried"
    )
    carried = Checkpoint.open(tmp_path / "carried")
    assert carried.sha256() == cached.sha256()
    assert (carried.source, carried.revision) == ("vinvino02/glpn-kitti", COMMIT)
    assert carried.config == {**cached.config, "glpn_cli": carried.own}
    assert (tmp_path / "carried" / "README.md").read_bytes() == b"# card"
    assert carried.preprocessor == cached.preprocessor


def test_the_checksum_follows_the_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    assert Weights(tmp_path / "f").sha256() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    (tmp_path / "f").write_bytes(b"abcd")
    assert Weights(tmp_path / "f").sha256() == "88d4266fd4e6338d13b845fcf289579d209c897823b9217da3e161936f031589"
    with pytest.raises(ModelError, match="no such file"):
        Weights(tmp_path / "g").sha256()


def test_a_file_larger_than_a_block_has_the_same_checksum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "f").write_bytes(b"abc" * 1000)
    monkeypatch.setattr("glpn_cli.checkpoint.weights._BLOCK_BYTES", 1024)
    assert Weights(tmp_path / "f").sha256() == hashlib.sha256(b"abc" * 1000).hexdigest()
