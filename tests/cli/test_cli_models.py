"""`glpn models`, `convert` and `inspect` of models, as users meet them: exit code, then stdout, then the files."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hub_server import HubServer, running_hub
from huggingface_hub import constants
from tiny_checkpoints import COMMIT, TINY, files_of, make_cache, make_model_folder, tiny_state
from typer.testing import CliRunner, Result

from glpn_cli.checkpoint.weights import Weights
from glpn_cli.cli import app

KITTI = "vinvino02/glpn-kitti"

Glpn = Callable[..., Result]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, and a folder of our own to stand in."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("GLPN_MODEL", raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "hub"


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError(f"the network was asked for {args}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def kitti(cache: Path, tmp_path: Path) -> Path:
    """The hub's KITTI repository in the cache: a pickle and a config that says 10."""
    folder = make_model_folder(tmp_path / "source")
    torch.save(tiny_state(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return make_cache(cache, KITTI, files_of(folder) | {"README.md": b"# card"})


@pytest.fixture
def hub(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with running_hub() as server:
        server.repositories["vinvino02/glpn-nyu"] = files_of(make_model_folder(tmp_path / "published"))
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        assert cache
        yield server


@pytest.fixture
def glpn() -> Glpn:
    def run(*arguments: object) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)

    return run


def records(result: Result) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert all(record["schema"] == 1 for record in found)
    return found


@pytest.mark.usefixtures("kitti", "no_network")
def test_the_list_says_unit_licence_and_what_is_here(glpn: Glpn) -> None:
    result = glpn("models", "list")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["name", "unit", "MB", "here", "licence"]
    cells = ["kitti", "metres, to 80 m", "245", "yes", "apache-2.0 on its card"]
    assert re.split(r"  +", lines[4]) == cells
    assert "Not yet verified on the weights" in " ".join(result.stdout.split())
    assert "kitti vinvino02/glpn-kitti: GLPN trained on KITTI" in " ".join(result.stdout.split())
    assert "non-commercial" in result.stdout
    assert max(map(len, lines)) <= 80
    assert "da2-indoor-small metres indoors" in " ".join(result.stdout.split())
    found = {record["model"]: record for record in records(glpn("models", "list", "--json"))}
    assert [name for name, record in found.items() if record["needs_consent"]] == [
        f"{kind}-{size}" for kind in ("da2", "da2-indoor", "da2-outdoor") for size in ("base", "large")
    ]
    assert list(found)[:3] == ["lite", "mini", "nyu"]
    assert (found["kitti"]["limit_m"], found["nyu"]["limit_m"]) == (80.0, 10.0)
    assert found["nyu"]["folder"] is None
    assert found["kitti"]["folder"].endswith(COMMIT)


@pytest.mark.usefixtures("no_network")
def test_path_prints_the_folder_or_what_to_run(glpn: Glpn, kitti: Path) -> None:
    result = glpn("models", "path", "kitti")
    assert (result.exit_code, result.stdout) == (0, f"{kitti}\n")
    absent = glpn("models", "path", "nyu")
    assert (absent.exit_code, absent.stdout) == (1, "")
    assert "[E_MODEL]" in absent.stderr
    assert "glpn models download nyu" in absent.stderr
    assert glpn("models", "path", "niu").exit_code == 2


@pytest.mark.usefixtures("kitti", "no_network")
def test_a_carried_folder_needs_neither_cache_nor_network(glpn: Glpn, tmp_path: Path, cache: Path) -> None:
    result = glpn("models", "download", "kitti", "-o", tmp_path / "carried")
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path / 'carried'}\n")
    assert sorted(files_of(tmp_path / "carried")) == [
        "README.md",
        "config.json",
        "preprocessor_config.json",
        "pytorch_model.bin",
    ]
    shutil.rmtree(cache)
    (report,) = records(glpn("inspect", tmp_path / "carried", "--json"))
    assert (report["limit_m"], report["known_as"], report["revision"]) == (80.0, "kitti", COMMIT)
    assert (report["training_width"], report["training_height"]) == (1216, 352)


@pytest.mark.usefixtures("kitti", "no_network")
def test_what_is_in_the_way_of_a_carried_folder_is_left_alone(glpn: Glpn, tmp_path: Path) -> None:
    out = tmp_path / "carried"
    assert glpn("models", "download", "kitti", "-o", out).exit_code == 0
    before = files_of(out)
    again = glpn("models", "download", "kitti", "-o", out)
    assert again.exit_code == 0
    assert "already there, and the same" in again.stderr
    (out / "config.json").write_text("{}")
    refused = glpn("models", "download", "kitti", "-o", out)
    assert refused.exit_code == 2
    assert "holds something else already" in refused.stderr
    assert "[E_EXISTS]" in refused.stderr
    assert (out / "config.json").read_text() == "{}"
    assert glpn("models", "download", "kitti", "-o", out, "--existing", "error").exit_code == 2
    dry = glpn("models", "download", "kitti", "-o", out, "--existing", "overwrite", "--dry-run")
    assert (dry.exit_code, (out / "config.json").read_text()) == (0, "{}")
    assert glpn("models", "download", "kitti", "-o", out, "--existing", "overwrite").exit_code == 0
    assert files_of(out) == before


def test_a_download_says_what_it_fetches_and_what_its_licence_is(glpn: Glpn, hub: HubServer) -> None:
    dry = glpn("models", "download", "nyu", "--dry-run")
    assert (dry.exit_code, dry.stderr, hub.requests) == (0, "nyu would be downloaded\n", [])
    result = glpn("models", "download", "nyu")
    assert result.exit_code == 0
    folder = Path(result.stdout.rstrip("\n"))
    assert files_of(folder) == hub.repositories["vinvino02/glpn-nyu"]
    assert "downloading vinvino02/glpn-nyu at 0123456789ab (" in result.stderr
    assert "licence on its card: apache-2.0" in result.stderr
    asked = len(hub.requests)
    assert glpn("models", "download", "nyu").stdout == result.stdout
    assert len(hub.requests) == asked
    assert glpn("models", "download", "nyu", "--refresh").exit_code == 0
    assert len(hub.requests) > asked


@pytest.mark.parametrize("name", ["da2-large", "depth-anything/Depth-Anything-V2-Large-hf"])
def test_a_licence_without_commercial_use_is_accepted_by_name(glpn: Glpn, hub: HubServer, name: str) -> None:
    repository = "depth-anything/Depth-Anything-V2-Large-hf"
    hub.repositories[repository] = hub.repositories["vinvino02/glpn-nyu"]
    for words in (["models", "download", name], ["inspect", name], ["inspect", name, "--json"]):
        refused = glpn(*words)
        assert (refused.exit_code, refused.stdout, hub.requests) == (2, "", [])
        assert "CC-BY-NC-4.0" in refused.stderr
        assert "glpn models download da2-large --accept-licence" in refused.stderr
    assert "--accept-licence" in glpn("inspect", name, "--offline").stderr
    assert glpn("models", "download", name, "--accept-licence").exit_code == 0
    assert glpn("models", "download", name).exit_code == 0, "what is here asks nothing"


def test_accepting_a_licence_that_asks_nothing_is_refused(glpn: Glpn, hub: HubServer) -> None:
    refused = glpn("models", "download", "nyu", "--accept-licence")
    assert refused.exit_code == 2
    assert "--accept-licence" in refused.stderr
    assert hub


@pytest.mark.usefixtures("cache", "no_network")
def test_offline_with_an_empty_cache_fails_at_once(glpn: Glpn) -> None:
    started = time.perf_counter()
    for command in (["models", "download", "nyu", "--offline"], ["inspect", "nyu", "--offline"]):
        result = glpn(*command)
        assert (result.exit_code, result.stdout) == (1, "")
        assert "hint: Run with network: glpn models download nyu" in result.stderr
    assert time.perf_counter() - started < 10, "nothing is waited for"
    assert glpn("models", "download", "nyu", "--offline", "--refresh").exit_code == 2


@pytest.mark.usefixtures("no_network")
def test_verify_names_what_is_damaged(glpn: Glpn, kitti: Path) -> None:
    good = glpn("models", "verify", "kitti")
    assert good.exit_code == 0
    assert good.stdout == (
        "kitti: header ok: all 166 tensors fit the config; checksum ok: matches what the hub named the file by\n"
    )
    blob = (kitti / "pytorch_model.bin").resolve()
    blob.write_bytes(blob.read_bytes()[:-1] + b"!")
    bad = glpn("models", "verify", "kitti")
    assert bad.exit_code == 1
    assert "[E_CHECKSUM]" in bad.stderr
    assert "glpn models download kitti --refresh" in bad.stderr
    (record,) = records(glpn("models", "verify", "kitti", "--json"))
    assert (record["status"], record["error"]["code"]) == ("error", "E_CHECKSUM")
    snapshot = glpn("models", "verify", kitti)
    assert (snapshot.exit_code, "checksum WRONG" in snapshot.stdout) == (1, True)


@pytest.mark.usefixtures("cache", "no_network")
def test_inspect_shows_everything_there_is_to_know(glpn: Glpn, tmp_path: Path) -> None:
    folder = make_model_folder(tmp_path / "model", max_depth=25, surprise=1)
    result = glpn("inspect", folder)
    assert result.exit_code == 0
    said = " ".join(result.stdout.split())
    for words in (
        "unit metres, to 25 m",
        "scale 25 m, by its config.json",
        "licence unknown",
        "model.safetensors, 0.1 MB, tensors: 160 F32 and 6 I64",
        f"sha256 {Weights(folder / 'model.safetensors').sha256()}",
        "encoder 13k, decoder 4.91k, head 657",
        "GMAC",
        "at 640x480",
        "norms transformers: epsilon 1e-5 everywhere",
        "depths 1, 1, 1, 1;",
        "other keys surprise",
        "header ok: all 166 tensors fit the config",
    ):
        assert words in said
    (record,) = records(glpn("inspect", folder, "--json", "--input-size", "1216x352", "--max-depth", "50"))
    assert set(record) == {
        *("schema", "type", "model", "known_as", "family", "kind", "unit", "limit_m", "limit_source"),
        *("limit_overridden", "license", "license_facts", "folder", "weights", "weights_format", "weights_bytes"),
        *("weights_sha256", "weights_types", "source", "revision", "parameters", "picture_width", "picture_height"),
        *("network_width", "network_height", "macs", "memory_bytes", "training_width", "training_height"),
        *("training_focal_px", "layer_norm_eps_mode", "config", "unknown_keys", "checks"),
    }
    assert (record["network_width"], record["network_height"]) == (1216, 352)
    assert (record["limit_m"], record["limit_overridden"]) == (50.0, True)
    assert record["parameters"]["total"] == sum(v for k, v in record["parameters"].items() if k != "total")
    assert record["unknown_keys"] == ["surprise"]
    assert record["checks"][0] == {"name": "header", "passed": True, "found": "all 166 tensors fit the config"}


@pytest.mark.usefixtures("cache")
def test_inspect_fails_where_the_weights_do_not_fit_the_config(glpn: Glpn, tmp_path: Path) -> None:
    folder = make_model_folder(tmp_path / "model")
    (folder / "config.json").write_text(json.dumps(TINY | {"decoder_hidden_size": 16}))
    result = glpn("inspect", folder)
    assert result.exit_code == 1
    assert "header WRONG: the tensors do not fit the config:" in " ".join(result.stdout.split())
    assert glpn("predict", "-m", folder, "x.jpg").exit_code != 0


@pytest.mark.usefixtures("cache")
def test_a_name_that_means_nothing_is_a_usage_error(glpn: Glpn) -> None:
    result = glpn("inspect", "kiti")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "there is no model 'kiti'" in result.stderr
    assert "Did you mean kitti?" in result.stderr
    assert glpn("inspect", "--input-size", "big").exit_code == 2
    assert glpn("inspect", "kitti", "--as", "picture").exit_code == 2


@pytest.mark.usefixtures("kitti")
def test_inspecting_and_listing_import_neither_torch_nor_numpy(tmp_path: Path) -> None:
    folder = make_model_folder(tmp_path / "model")
    program = (
        "import sys\nfrom glpn_cli.cli import main\n"
        "try:\n    main()\nfinally:\n"
        "    heavy = {'numpy', 'torch', 'transformers', 'huggingface_hub.hf_api', 'PIL.Image'} & set(sys.modules)\n"
        "    print(sorted(heavy), file=sys.stderr)\n"
    )
    environment = {**os.environ, "HF_HUB_CACHE": str(tmp_path / "hub")}
    for words in (["inspect", str(folder)], ["inspect", "kitti"], ["models", "list"], ["models", "verify"]):
        command = [sys.executable, "-c", program, *words]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert done.stderr.splitlines()[-1] == "[]", words
        assert done.stdout


@pytest.mark.usefixtures("cache", "no_network")
def test_convert_turns_a_pickle_folder_into_one_that_is_read(glpn: Glpn, tmp_path: Path) -> None:
    Path("nyu").mkdir()
    torch.save(tiny_state(), "nyu/pytorch_model.bin")
    told = glpn("inspect", "./nyu")
    assert told.exit_code == 1
    assert "Run: glpn convert nyu -o nyu-glpn" in told.stderr
    asked = glpn("convert", "nyu", "-o", "nyu-glpn")
    assert (asked.exit_code, Path("nyu-glpn").exists()) == (2, False)
    assert "--max-depth: 10 for weights trained on NYU" in asked.stderr
    result = glpn("convert", "nyu", "-o", "nyu-glpn", "--max-depth", "10")
    assert (result.exit_code, result.stdout) == (0, "nyu-glpn\n")
    assert "assumed, as published: 1, 2, 5, 8 heads" in result.stderr
    assert sorted(files_of(Path("nyu-glpn"))) == ["config.json", "model.safetensors", "preprocessor_config.json"]
    assert glpn("inspect", "nyu-glpn").exit_code == 0


@pytest.mark.usefixtures("cache", "no_network")
def test_convert_keeps_what_is_there_and_says_what_it_did(glpn: Glpn, tmp_path: Path) -> None:
    torch.save(tiny_state(), "weights.bin")
    command = ["convert", "weights.bin", "-o", "out", "--max-depth", "80"]
    dry = glpn(*command, "--dry-run", "--json")
    assert (dry.exit_code, records(dry)[0]["status"], Path("out").exists()) == (0, "planned", False)
    (record,) = records(glpn(*command, "--json"))
    assert (record["type"], record["status"], record["layout"]) == ("conversion", "ok", "transformers")
    assert (record["config"]["max_depth"], record["dropped"], record["tensors"]) == (80, [], 166)
    before = files_of(Path("out"))
    assert records(glpn(*command, "--json"))[0]["status"] == "skipped"
    other = glpn("convert", "weights.bin", "-o", "out", "--max-depth", "10")
    assert (other.exit_code, files_of(Path("out"))) == (2, before)
    assert glpn("convert", "weights.bin", "-o", "out", "--max-depth", "10", "--existing", "update").exit_code == 0
    assert files_of(Path("out")) != before


@pytest.mark.usefixtures("cache")
def test_convert_writes_nothing_that_does_not_fit(glpn: Glpn, tmp_path: Path) -> None:
    state = tiny_state()
    del state["head.head.2.bias"]
    state["extra"] = torch.rand(2)
    torch.save(state, "weights.bin")
    result = glpn("convert", "weights.bin", "-o", "out", "--max-depth", "10")
    assert (result.exit_code, result.stdout, Path("out").exists()) == (1, "", False)
    assert "1 missing: head.head.2.bias; 1 unexpected: extra" in result.stderr


@pytest.mark.usefixtures("cache")
def test_convert_does_not_write_into_its_source(glpn: Glpn) -> None:
    Path("nyu").mkdir()
    torch.save(tiny_state(), "nyu/pytorch_model.bin")
    result = glpn("convert", "nyu", "-o", "./nyu", "--max-depth", "10")
    assert (result.exit_code, sorted(files_of(Path("nyu")))) == (2, ["pytorch_model.bin"])
    assert "is the folder of the source" in result.stderr


@pytest.mark.parametrize("command", [["inspect"], ["convert"], ["models"], ["models", "list"], ["models", "download"]])
def test_help_fits_80_columns_and_ends_with_examples(glpn: Glpn, command: list[str]) -> None:
    result = glpn(*command, "--help")
    assert result.exit_code == 0
    assert "Examples:\n  glpn " in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80
