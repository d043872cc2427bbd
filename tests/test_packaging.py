"""What is published: the wheel's contents, and the releases that constraints.txt pins."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from glpn_cli import __version__

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PINS = {
    canonicalize_name(name): version
    for name, _, version in (
        line.partition("==")
        for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
        if not line.startswith("#")
    )
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from a copy of what it is built from."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(ROOT / "glpn_cli", source / "glpn_cli", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", folder, source]
    subprocess.run(command, check=True, capture_output=True)
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_the_wheel_holds_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert tops == {"glpn_cli", f"glpn_cli-{__version__}.dist-info"}
    kept = {path.relative_to(ROOT).as_posix() for path in (ROOT / "glpn_cli").rglob("*") if path.is_file()}
    kept = {name for name in kept if "__pycache__" not in name and not name.endswith(".tmp")}
    assert {name for name in wheel.namelist() if name.startswith("glpn_cli/")} == kept


def test_the_wheel_is_under_twenty_megabytes_with_its_models_inside(wheel: zipfile.ZipFile) -> None:
    sizes = {entry.filename: entry.compress_size for entry in wheel.infolist()}
    models = [f"glpn_cli/models/bundled/{name}/model.safetensors" for name in ("mini", "lite")]
    assert all(1_000_000 < sizes[model] < 10_000_000 for model in models)
    assert sum(sizes.values()) < 20_000_000


def test_the_wheel_carries_its_licences(wheel: zipfile.ZipFile) -> None:
    held = {Path(name).name for name in wheel.namelist() if ".dist-info/licenses/" in name}
    assert held == {"LICENSE", "NOTICE"}


@pytest.mark.parametrize("extra", ["", *PROJECT["optional-dependencies"]])
def test_every_dependency_is_pinned_at_a_release_that_its_floor_admits(extra: str) -> None:
    listed = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    for requirement in map(Requirement, listed):
        name = canonicalize_name(requirement.name)
        if name in ("glpn-cli", "setuptools"):  # ourselves, and what comes with pip
            continue
        assert name in PINS, f"constraints.txt pins no {name}"
        assert requirement.specifier.contains(PINS[name]), f"{requirement} does not admit {PINS[name]}"


def test_the_citation_is_of_this_version() -> None:
    assert f"version: {__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
