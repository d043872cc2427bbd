"""The hub: the cache without a network call, downloads that are announced and checked, failures told plainly."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import HubServer, running_hub
from huggingface_hub import constants
from tiny_checkpoints import COMMIT, blob_name, files_of, make_cache, make_model_folder

from glpn_cli.checkpoint import Checkpoint, HubName
from glpn_cli.checkpoint.hub import fetch, find_cached, find_damaged
from glpn_cli.errors import ErrorCode, ModelError, UsageError

NAME = HubName("vinvino02/glpn-nyu")


def silent(_text: str) -> None:
    pass


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return tmp_path / "hub"


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError(f"the network was asked for {args}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, bytes]:
    return files_of(make_model_folder(tmp_path / "model")) | {"README.md": b"# a card"}


@pytest.fixture
def hub(cache: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with running_hub() as server:
        server.repositories[NAME.repository] = dict(files)
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        yield server


@pytest.mark.parametrize(
    "name",
    ["vinvino02/glpn-nyu", "a/b", "Intel/dpt-large", "o/n@main", "o/n@refs/pr/1", f"o/n@{COMMIT}", "o/n.v2_x@v1.0"],
)
def test_names_of_the_hub_are_read(name: str) -> None:
    repository, _, revision = name.partition("@")
    assert HubName.parse(name) == HubName(repository, revision or "main")


@pytest.mark.parametrize(
    "name",
    [
        "nyu",
        "../../x",
        "a/../../b",
        "/etc/passwd",
        "a/b/c",
        "a//b",
        ".a/b",
        "a/-b",
        "a/b..c",
        "a--b/c",
        "a/b.git",
        "",
        "/",
        "a/",
        "a/b\n",
        "a/b\0",
        "a/" + "b" * 10_000,
        "https://huggingface.co/a/b",
        "file:///a/b",
    ],
)
def test_what_is_no_name_of_the_hub_is_none(name: str) -> None:
    assert HubName.parse(name) is None


@pytest.mark.parametrize("revision", ["../../x", "", "a/../b", "..", "-x", "a b", "x\0", "/main", "main/", "v" * 101])
def test_a_revision_that_could_leave_the_cache_is_refused(revision: str) -> None:
    with pytest.raises(UsageError, match="is no revision"):
        HubName.parse(f"a/b@{revision}")


@pytest.mark.usefixtures("no_network")
def test_a_cached_model_is_found_without_the_network_or_torch(cache: Path, files: dict[str, bytes]) -> None:
    snapshot = make_cache(cache, NAME.repository, files)
    assert find_cached(NAME) == snapshot
    for offline in (False, True):
        assert fetch(NAME, offline=offline, announce=silent) == snapshot
    assert fetch(HubName(NAME.repository, COMMIT), announce=silent) == snapshot


def test_finding_in_the_cache_imports_neither_torch_nor_the_hubs_network(cache: Path, files: dict[str, bytes]) -> None:
    make_cache(cache, NAME.repository, files)
    program = (
        "import sys; from glpn_cli.checkpoint.hub import HubName, fetch\n"
        "fetch(HubName('vinvino02/glpn-nyu'), announce=print)\n"
        "print([name for name in ('torch', 'huggingface_hub.hf_api', 'httpx', 'requests') if name in sys.modules])"
    )
    environment = {"HF_HUB_CACHE": str(cache), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("damage", ["nothing there", "no weights", "no config", "no ref", "ref leaves", "dangling"])
def test_an_absent_model_offline_fails_at_once_and_says_what_to_run(
    cache: Path, files: dict[str, bytes], damage: str
) -> None:
    if damage != "nothing there":
        snapshot = make_cache(cache, NAME.repository, files)
        if damage == "no weights":
            (snapshot / "model.safetensors").unlink()
        elif damage == "no config":
            (snapshot / "config.json").unlink()
        elif damage == "no ref":
            (snapshot.parents[1] / "refs" / "main").unlink()
        elif damage == "ref leaves":
            (snapshot.parents[1] / "refs" / "main").write_text("../../../model")
        else:
            (snapshot / "model.safetensors").resolve().unlink()
    started = time.perf_counter()
    with pytest.raises(ModelError) as caught:
        fetch(NAME, command_name="nyu", offline=True, announce=silent)
    assert time.perf_counter() - started < 10, "nothing is waited for"
    assert caught.value.code == ErrorCode.MODEL
    assert "vinvino02/glpn-nyu is not in the cache" in caught.value.message
    assert str(caught.value.hint).startswith("Run with network: glpn models download nyu ")


@pytest.mark.usefixtures("no_network", "cache")
def test_the_hubs_own_switch_means_offline_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="the network is not allowed"):
        fetch(NAME, announce=silent)
    with pytest.raises(UsageError, match="refresh"):
        fetch(NAME, refresh=True, announce=silent)


def corrupt(blob: Path, kind: str) -> None:
    data = blob.read_bytes()
    if kind == "bit flip":
        blob.write_bytes(data[:-5] + bytes([data[-5] ^ 16]) + data[-4:])
    elif kind == "truncated":
        blob.write_bytes(data[:-5])
    elif kind == "empty":
        blob.write_bytes(b"")
    elif kind == "pointer":
        blob.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "preprocessor_config.json"])
@pytest.mark.parametrize("kind", ["bit flip", "truncated", "empty", "pointer"])
def test_a_damaged_file_in_the_cache_is_named_offline(
    cache: Path, files: dict[str, bytes], kind: str, file: str
) -> None:
    snapshot = make_cache(cache, NAME.repository, files)
    corrupt((snapshot / file).resolve(), kind)
    with pytest.raises(ModelError) as caught:
        fetch(NAME, command_name="nyu", offline=True, announce=silent)
    assert caught.value.code == ErrorCode.CHECKSUM
    assert str(snapshot / file) in caught.value.message
    assert caught.value.hint == "Run: glpn models download nyu --refresh"


def test_plain_copies_without_a_name_are_used_unless_empty(cache: Path, files: dict[str, bytes]) -> None:
    snapshot = make_cache(cache, NAME.repository, files)
    for file in files:  # as on a file system without links
        data = (snapshot / file).read_bytes()
        (snapshot / file).unlink()
        (snapshot / file).write_bytes(data)
    assert fetch(NAME, offline=True, announce=silent) == snapshot
    (snapshot / "model.safetensors").write_bytes(b"")
    assert find_damaged(snapshot) == [snapshot / "model.safetensors"]


def test_an_absent_model_is_announced_downloaded_and_checked(hub: HubServer, cache: Path) -> None:
    said: list[str] = []
    snapshot = fetch(NAME, announce=said.append)
    megabytes = len(hub.repositories[NAME.repository]["model.safetensors"]) / 1e6
    facts = f"{megabytes:.1f} MB, licence on its card: apache-2.0"
    assert said == [f"downloading vinvino02/glpn-nyu at 0123456789ab ({facts}) to {cache}"]
    assert files_of(snapshot) == hub.repositories[NAME.repository]
    assert Checkpoint.open(snapshot).revision == COMMIT
    asked = len(hub.requests)
    assert fetch(NAME, announce=said.append) == find_cached(NAME) == snapshot
    assert len(hub.requests) == asked, "once it is there, the network is left alone"


def test_a_repository_with_a_pickle_alone_gives_that(hub: HubServer) -> None:
    hub.repositories["vinvino02/glpn-kitti"] = {"config.json": b"{}", "pytorch_model.bin": b"x", "tf_model.h5": b"y"}
    snapshot = fetch(HubName("vinvino02/glpn-kitti"), announce=silent)
    assert sorted(files_of(snapshot)) == ["config.json", "pytorch_model.bin"]


def test_safetensors_alone_are_downloaded_where_there_are_both(hub: HubServer) -> None:
    hub.repositories[NAME.repository]["pytorch_model.bin"] = b"x" * 100
    assert not (fetch(NAME, announce=silent) / "pytorch_model.bin").exists()


def test_a_model_in_shards_is_downloaded_whole(hub: HubServer) -> None:
    shards = {f"model-0000{number}-of-00002.safetensors": bytes([number]) * 1_000_000 for number in (1, 2)}
    index = {"weight_map": dict(zip("ab", shards, strict=True))}
    wanted = {"config.json": b"{}", "model.safetensors.index.json": json.dumps(index).encode(), **shards}
    hub.repositories["owner/name"] = {**wanted, "pytorch_model.bin": b"x", "other.safetensors": b"y"}
    said: list[str] = []
    snapshot = fetch(HubName("owner/name"), announce=said.append)
    assert files_of(snapshot) == wanted
    assert "2.0 MB" in said[0]
    (snapshot / "model.safetensors.index.json").resolve().write_bytes(b"damaged")
    assert fetch(HubName("owner/name"), announce=said.append) == snapshot
    assert files_of(snapshot) == wanted


def test_a_damaged_file_is_downloaded_once_more_and_mended(
    hub: HubServer, cache: Path, files: dict[str, bytes]
) -> None:
    snapshot = make_cache(cache, NAME.repository, files)
    corrupt((snapshot / "model.safetensors").resolve(), "bit flip")
    said: list[str] = []
    assert fetch(NAME, announce=said.append) == snapshot
    assert files_of(snapshot) == files
    assert said == [
        "model.safetensors of vinvino02/glpn-nyu in the cache does not match its checksum; downloading it once more"
    ]
    assert any("model.safetensors" in request for request in hub.requests)


def test_what_stays_damaged_is_not_used(hub: HubServer) -> None:
    hub.behaviour = "corrupt"
    with pytest.raises(ModelError, match=r"model\.safetensors' does not match its checksum") as caught:
        fetch(NAME, announce=silent)
    assert caught.value.code == ErrorCode.CHECKSUM
    downloads = [request for request in hub.requests if request.startswith("GET") and "safetensors" in request]
    assert len(downloads) == 2


def test_a_refresh_asks_for_something_newer(hub: HubServer, cache: Path, files: dict[str, bytes]) -> None:
    old = make_cache(cache, NAME.repository, files)
    hub.commit = "f" * 40
    hub.repositories[NAME.repository]["config.json"] = files["config.json"] + b"\n"
    new = fetch(NAME, refresh=True, announce=silent)
    assert new.name == hub.commit
    assert find_cached(NAME) == new != old
    assert fetch(HubName(NAME.repository, COMMIT), announce=silent) == old


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        ("portal", r"cannot download vinvino02/glpn-nyu from http://.*what answered is not the hub"),
        ("broken", r"cannot download vinvino02/glpn-nyu from http://.*500 Internal Server Error"),
        ("gated", r"vinvino02/glpn-nyu asks its users to accept terms first"),
    ],
)
def test_a_network_that_answers_wrongly_is_one_plain_error(hub: HubServer, behaviour: str, message: str) -> None:
    hub.behaviour = behaviour
    with pytest.raises(ModelError, match=message) as caught:
        fetch(NAME, announce=silent)
    assert "\n" not in caught.value.message
    assert find_cached(NAME) is None


def test_a_network_that_dies_poisons_nothing(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", silent)  # the hub's library waits between its tries
    hub.behaviour = "closing"
    with pytest.raises(ModelError, match="cannot download vinvino02/glpn-nyu"):
        fetch(NAME, announce=silent)
    assert find_cached(NAME) is None
    hub.behaviour = "hub"
    assert files_of(fetch(NAME, announce=silent)) == hub.repositories[NAME.repository]


def test_no_network_at_all_is_one_plain_error(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens on the discard port
    with pytest.raises(ModelError, match=r"cannot download vinvino02/glpn-nyu .*refused") as caught:
        fetch(NAME, announce=silent)
    assert caught.value.hint is not None
    assert not cache.exists()


def test_a_cache_that_cannot_be_written_says_where_it_is_and_how_to_move_it(hub: HubServer, cache: Path) -> None:
    cache.write_bytes(b"a file where the cache should be")
    with pytest.raises(ModelError, match=r"cannot download vinvino02/glpn-nyu to .*hub'") as caught:
        fetch(NAME, announce=silent)
    assert "HF_HOME" in str(caught.value.hint)
    assert hub.requests


def test_a_repository_that_is_no_model_says_what_it_has(hub: HubServer) -> None:
    hub.repositories["a/data"] = {"README.md": b"", "train.csv": b""}
    with pytest.raises(ModelError, match=r"a/data is no model that can be read: it has no config\.json") as caught:
        fetch(HubName("a/data"), announce=silent)
    assert caught.value.hint == "It has: README.md, train.csv."


def test_a_repository_that_is_not_there_says_so(hub: HubServer) -> None:
    with pytest.raises(ModelError, match="has no public model nobody/nothing"):
        fetch(HubName("nobody/nothing"), announce=silent)


def test_the_cache_cannot_be_read_says_so(cache: Path, files: dict[str, bytes]) -> None:
    snapshot = make_cache(cache, NAME.repository, files)
    reference = snapshot.parents[1] / "refs" / "main"
    reference.unlink()
    reference.symlink_to(reference)  # a loop: an error of the file system even for root
    with pytest.raises(ModelError) as caught:
        fetch(NAME, offline=True, announce=silent)
    assert "cache" in caught.value.message


def test_blob_names_are_what_git_says() -> None:
    assert blob_name("config.json", b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"
