"""Names to models: the order of looking, what their numbers mean however they were named, names that mean nothing."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from random_weights_dpt import SMALL as SMALL_DPT
from tiny_checkpoints import COMMIT, TINY, files_of, make_cache, make_model_folder, tiny_state

from glpn_cli.checkpoint import Checkpoint
from glpn_cli.checkpoint.weights import Weights
from glpn_cli.checkpoint.write import EncodedFolder
from glpn_cli.errors import ErrorCode, ExitCode, GlpnError, ModelError, UsageError
from glpn_cli.models import registry
from glpn_cli.models.dpt.config import DPTConfig
from glpn_cli.models.registry import BUNDLED, REGISTRY
from glpn_cli.models.resolve import resolve_model
from glpn_cli.models.state_dict import file_state

KITTI = "vinvino02/glpn-kitti"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no network, and a folder of our own to stand in."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "hub"


@pytest.fixture
def kitti(cache: Path, tmp_path: Path) -> Path:
    """The hub's KITTI repository in the cache: a pickle and a config that says 10."""
    folder = make_model_folder(tmp_path / "source")
    torch.save(tiny_state(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return make_cache(cache, KITTI, files_of(folder))


def test_kitti_speaks_metres_to_80_however_it_is_named(kitti: Path, tmp_path: Path) -> None:
    EncodedFolder.copy_of(Checkpoint.open(kitti), own={"source": KITTI}).write(tmp_path / "carried")
    shutil.copytree(kitti, tmp_path / "saved")
    config = json.loads((kitti / "config.json").read_text())
    (tmp_path / "saved" / "config.json").write_text(json.dumps(config | {"_name_or_path": KITTI}))
    folders = [str(folder) for folder in (kitti, tmp_path / "carried", tmp_path / "saved")]
    for name in ["kitti", KITTI, f"kitti@{COMMIT}", f"{KITTI}@{COMMIT}", *folders]:
        model = resolve_model(name)
        assert (model.limit_m, model.overridden, model.name) == (80.0, False, name)
        assert model.row is REGISTRY["kitti"]
        assert "author's code" in model.limit_source
        assert "Not yet verified on the weights" in model.limit_source
        assert model.checkpoint.config["max_depth"] == 10, "what is on disk is not changed"
        assert model.config["glpn_cli"]["limit_m"] == 80.0
        assert model.config["glpn_cli"]["training_size"] == [352, 1216]


def test_kitti_is_known_by_its_checksum(kitti: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = kitti / "pytorch_model.bin"
    known = (Weights(weights).sha256(), weights.stat().st_size)
    row = replace(REGISTRY["kitti"], weights=(known,))
    monkeypatch.setattr(registry, "REGISTRY", {**REGISTRY, "kitti": row})
    (tmp_path / "nameless").mkdir()
    shutil.copy(weights, tmp_path / "nameless" / "pytorch_model.bin")
    shutil.copy(kitti / "config.json", tmp_path / "nameless" / "config.json")
    assert resolve_model(str(tmp_path / "nameless")).limit_m == 80.0
    assert resolve_model(str(tmp_path / "nameless" / "pytorch_model.bin")).row is row
    other = make_model_folder(tmp_path / "other", seed=1)
    assert resolve_model(str(other)).row is None


def test_weights_that_only_began_as_kitti_keep_their_own_limit(tmp_path: Path) -> None:
    folder = make_model_folder(tmp_path / "mine", max_depth=30, _name_or_path=KITTI)
    model = resolve_model(str(folder))
    assert (model.limit_m, model.row, model.limit_source) == (30.0, None, "30 m, by its config.json")


def test_a_folder_of_nobody_speaks_by_its_config(tmp_path: Path) -> None:
    assert resolve_model(str(make_model_folder(tmp_path / "a", max_depth=25))).limit_m == 25.0
    ours = make_model_folder(tmp_path / "b", max_depth=12, glpn_cli={"limit_m": 12.5})
    assert resolve_model(str(ours)).limit_m == 12.5
    file = resolve_model(str(ours / "model.safetensors"))
    assert (file.limit_m, file.checkpoint.folder) == (12.5, ours)


def test_a_limit_that_another_program_changed_in_one_place_is_not_guessed(tmp_path: Path) -> None:
    folder = str(make_model_folder(tmp_path / "tuned", max_depth=80, glpn_cli={"limit_m": 10.0}))
    with pytest.raises(ModelError, match=r"says two limits: max_depth 80, and glpn_cli\.limit_m 10"):
        resolve_model(folder)
    assert resolve_model(folder, max_depth=80).limit_m == 80
    near = make_model_folder(tmp_path / "near", max_depth=1, glpn_cli={"limit_m": 0.4})
    assert resolve_model(str(near)).limit_m == 0.4


@pytest.mark.usefixtures("kitti")
def test_max_depth_overrides_and_says_so() -> None:
    model = resolve_model("kitti", max_depth=10)
    assert (model.limit_m, model.overridden) == (10.0, True)
    assert model.limit_source == "--max-depth 10 instead of the model's 80 m: every depth is rescaled"
    assert model.config["glpn_cli"]["limit_m"] == 10
    same = resolve_model("kitti", max_depth=80)
    assert not same.overridden
    assert "author's code" in same.limit_source


@pytest.mark.parametrize("max_depth", [0.0, -1.0, float("nan"), float("inf"), 1e7])
def test_a_nonsensical_max_depth_is_refused(max_depth: float) -> None:
    with pytest.raises(UsageError, match="is no depth in metres"):
        resolve_model("mini", max_depth=max_depth)


@pytest.mark.usefixtures("kitti")
def test_a_registry_name_comes_before_a_folder_and_a_dot_forces_the_folder() -> None:
    make_model_folder(Path("kitti"), max_depth=3)
    assert resolve_model("kitti").limit_m == 80.0
    assert resolve_model("./kitti").limit_m == 3.0


def test_a_folder_comes_before_a_repository_of_the_same_name(kitti: Path) -> None:
    make_model_folder(Path(KITTI), max_depth=3)
    assert resolve_model(KITTI).checkpoint.folder == Path(KITTI)
    assert kitti.exists()


def test_an_absent_registry_model_says_how_to_get_it_by_the_name_that_was_typed() -> None:
    for name, command in (
        ("nyu", "nyu"),
        ("vinvino02/glpn-nyu", "nyu"),
        (f"nyu@{COMMIT}", f"vinvino02/glpn-nyu@{COMMIT}"),
    ):
        with pytest.raises(ModelError) as caught:
            resolve_model(name, offline=True)
        assert caught.value.exit_code == ExitCode.NOTHING_DONE
        assert f"glpn models download {command} " in str(caught.value.hint)


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("kiti", "there is no model 'kiti'", "Did you mean kitti? "),
        ("MINI", "there is no model 'MINI'", "Did you mean mini? "),
        ("glpn", "there is no model 'glpn'", "Known are lite, mini, nyu"),
        ("", "the model's name is empty", "Known are"),
        ("  ", "the model's name is empty", "Known are"),
        ("./nothing", "there is no file or folder './nothing'", "Check the name"),
        ("../../x", "there is no file or folder '../../x'", "Check the name"),
        ("a/../../b", "there is no file or folder 'a/../../b'", "Check the name"),
        ("/no/such/place", "there is no file or folder", "Check the name"),
        ("https://huggingface.co/vinvino02/glpn-nyu", "is an address", "Use: -m vinvino02/glpn-nyu"),
        ("https://huggingface.co/vinvino02/glpn-nyu/tree/main", "is an address", "Use: -m vinvino02/glpn-nyu"),
        ("https://example.org/a/b", "is an address", "Known are"),
        ("file:///etc/passwd", "is an address", "Known are"),
        ("a\0b", "'a\\x00b' holds control characters", "Known are"),
        ("owner/name\n", "'owner/name\\n' holds control characters", "Known are"),
        ("x\x1b[2J", "'x\\x1b[2J' holds control characters", "Known are"),
        ("x" * 10_000, "a model's name of 10,000 characters is too long", "Known are"),
        ("x" * 300, "there is no model 'xxx", "Known are"),
        ("vinvino02/glpn-nyu@../../x", "'../../x' is no revision", "Use a branch"),
        ("nyu@../../x", "'../../x' is no revision", "Use a branch"),
        ("mini@main", "there is no model 'mini@main'", "Did you mean mini?"),
    ],
)
def test_a_name_that_means_nothing_is_a_usage_error_with_a_way_on(name: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve_model(name)
    assert caught.value.exit_code == ExitCode.USAGE
    assert message in caught.value.message
    assert str(caught.value.hint).startswith(hint)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 400


def test_a_folder_that_is_no_model_is_a_model_error() -> None:
    for name in (".", "..", "./"):
        with pytest.raises(ModelError, match=r"has no model\.safetensors"):
            resolve_model(name)


def test_an_unknown_kind_of_model_is_named(tmp_path: Path) -> None:
    folder = make_model_folder(tmp_path / "model")
    (folder / "config.json").write_text(json.dumps(TINY | {"model_type": "bert"}))
    with pytest.raises(ModelError, match="model type 'bert' is not supported"):
        resolve_model(str(folder))


def test_a_config_with_nonsense_is_refused_when_it_is_named(tmp_path: Path) -> None:
    folder = make_model_folder(tmp_path / "model")
    (folder / "config.json").write_text(json.dumps(TINY | {"max_depth": -3}))
    with pytest.raises(ModelError, match="max_depth = -3"):
        resolve_model(str(folder))


def test_a_missing_bundled_model_says_how_to_mend_the_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "BUNDLED", tmp_path / "bundled")
    with pytest.raises(ModelError, match="comes without its bundled model 'mini'") as caught:
        resolve_model("mini")
    assert caught.value.hint == "Run: pip install --force-reinstall glpn-cli"


def test_a_damaged_bundled_model_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_model_folder(tmp_path / "bundled/mini")
    weights = folder / "model.safetensors"
    known = (Weights(weights).sha256(), weights.stat().st_size)
    row = replace(REGISTRY["mini"], weights=(known,))
    monkeypatch.setattr(registry, "REGISTRY", {**REGISTRY, "mini": row})
    monkeypatch.setattr(registry, "BUNDLED", folder.parent)
    assert resolve_model("mini").row is row
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(ModelError, match="does not match its checksum") as caught:
        resolve_model("mini")
    assert caught.value.code == ErrorCode.CHECKSUM


def test_rows_say_what_a_user_must_know() -> None:
    assert list(REGISTRY)[:7] == ["lite", "mini", "nyu", "kitti", "dpt-large", "dpt-hybrid-midas", "dpt-large-ade"]
    kinds, sizes = ("da2", "da2-indoor", "da2-outdoor", "da1"), ("small", "base", "large")
    assert list(REGISTRY)[7:] == [f"{kind}-{size}" for kind in kinds for size in sizes]
    assert REGISTRY["da2-outdoor-base"].repository == "depth-anything/Depth-Anything-V2-Metric-Outdoor-Base-hf"
    assert REGISTRY["da1-small"].repository == "LiheYoung/depth-anything-small-hf"
    assert [REGISTRY[f"{kind}-large"].limit_m for kind in kinds] == [None, 20.0, 80.0, None]
    assert {name for name, row in REGISTRY.items() if row.needs_consent} == {
        f"{kind}-{size}" for kind in kinds[:3] for size in sizes[1:]
    }
    assert "Not yet verified on the weights" in REGISTRY["da2-indoor-small"].scale_source
    for row in REGISTRY.values():
        is_metric = row.kind is not None and row.kind.is_metric
        assert is_metric == (row.limit_m is not None) == row.unit.startswith("metres, to ")
        assert row.license
        assert row.license_facts
        assert row.scale_source
    assert "non-commercial" in REGISTRY["kitti"].license_facts
    assert REGISTRY["dpt-large"].unit == "no unit (disparity)"
    assert REGISTRY["dpt-large-ade"].unit == "labels"


def test_a_model_without_metres_says_so_and_takes_no_limit(tmp_path: Path) -> None:
    config = DPTConfig(**SMALL_DPT, source="Intel/dpt-large")
    state = file_state(config.build().state_dict(), config.weight_rows())
    EncodedFolder.of(config=config.to_dict(), state=state).write(tmp_path / "dpt")
    model = resolve_model(str(tmp_path / "dpt"))
    assert model.row is REGISTRY["dpt-large"]
    assert model.limit_m is None
    assert "no metres" in model.limit_source
    assert model.config["glpn_cli"]["training_size"] == [384, 384]
    with pytest.raises(UsageError, match="predicts no metres"):
        resolve_model(str(tmp_path / "dpt"), max_depth=10)


@pytest.mark.parametrize("name", ["mini", "lite"])
def test_a_bundled_model_is_the_one_that_the_registry_knows(name: str) -> None:
    weights = BUNDLED / name / "model.safetensors"
    found = (Weights(weights).sha256(), weights.stat().st_size)
    assert REGISTRY[name].weights == (found,)
    model = resolve_model(name)
    assert (
        model.limit_m == model.row.limit_m == model.checkpoint.own.get("limit_m", model.checkpoint.config["max_depth"])
    )


def test_every_error_of_names_is_one_of_ours() -> None:
    for name in ("~", "~root", "a b", "ü/ü", "\udcff", "nul/", "C:\\x", "-m", "@", "@main", "kitti@", "a/b@"):
        with pytest.raises(GlpnError):
            resolve_model(name, offline=True)


@pytest.mark.parametrize(("here", "best"), [({"mini", "lite"}, None), ({"mini", "lite", "nyu"}, "nyu")])
def test_the_best_model_for_rooms_that_is_here_is_named(
    here: set[str], best: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry.ModelRow, "find_here", lambda row: Path(row.name) if row.name in here else None)
    found = registry.better_than_default()
    assert (found and found.name) == best
