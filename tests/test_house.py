"""The house keeps its order: rooms import only to their left, and what is said of it is so."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import glpn_cli

PACKAGE = Path(glpn_cli.__file__).parent
ROOMS = (
    "errors text options process_pool prediction geometry poses images colormaps atomic_write "
    "calibration depth_files checkpoint models devices predictor testing pipeline distributed ray video serve scenes "
    "data evaluation training conversion onnx_export benchmark cli"
).split()
OFFERED = {
    "prediction.py": {"geometry", "atomic_write", "colormaps", "depth_files"},
    "predictor.py": {"pipeline"},
}
"""Two classes that programs hold have methods for what later rooms do, as `DepthMap.save`: each imports that room."""

FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(module: str) -> str | None:
    parts = module.split(".")
    if parts[0] != "glpn_cli" or len(parts) == 1:
        return None
    return parts[1]


def imports_of(path: Path) -> set[str]:
    """Every module that a file imports anywhere, inside functions and TYPE_CHECKING blocks too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute, so that this test can read them"
            found.add(node.module or "")
            if node.module == "glpn_cli":
                found.update(f"glpn_cli.{alias.name}" for alias in node.names)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_rooms_import_only_from_rooms_to_their_left(path: Path) -> None:
    own = path.relative_to(PACKAGE).with_suffix("").parts[0]
    if own in ("__init__", "__main__"):
        return
    assert own in ROOMS, f"{own} is not a room of the design"
    for module in imports_of(path):
        room = room_of(module)
        if room is None or room == "__version__" or room in OFFERED.get(path.relative_to(PACKAGE).as_posix(), ()):
            continue
        assert ROOMS.index(room) <= ROOMS.index(own), f"{path.name} imports {module}, which stands to its right"


def test_the_rooms_are_found() -> None:
    assert len(FILES) > 4
    assert {"errors", "prediction"} <= {p.stem for p in FILES}


def _public_names(path: Path) -> set[str]:
    """The names at the top of a file that do not begin with _; layers of networks keep their paper's names."""
    names: set[str] = set()
    layers = {"nn.Module"}
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef) and layers & {ast.unparse(base) for base in node.bases}:
            layers.add(node.name)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names.update(target.id for target in targets if isinstance(target, ast.Name))
    return {name for name in names if not name.startswith("_")}


def test_a_name_is_public_only_where_another_file_uses_it() -> None:
    """Whoever reads a file sees at once which of its names the rest of the house holds on to."""
    root = PACKAGE.parent
    texts = [path for folder in ("tests", "tools", "docs") for path in (root / folder).rglob("*.[pm][yd]")]
    words = {
        path: set(re.findall(r"\w+", path.read_text("utf-8"))) for path in [*FILES, *texts, root / "pyproject.toml"]
    }
    alone = {
        f"{path.relative_to(PACKAGE)}: {name}"
        for path in FILES
        for name in _public_names(path)
        if not any(name in said for other, said in words.items() if other != path)
    }
    assert not alone


def test_places_that_contributing_names_are_there() -> None:
    """Files wherever they are named, and what is said to stand in them."""
    root = PACKAGE.parent
    text = (root / "CONTRIBUTING.md").read_text("utf-8")
    named = re.findall(r"`(_?[\w.]+)` (?:in|of) `([\w/]+\.py)`", text)
    assert len(named) >= 10
    for name, file in named:
        last = name.split(".")[-1]
        found = re.search(rf"^( *(def|class) )?{last}\b", (PACKAGE / file).read_text("utf-8"), re.MULTILINE)
        assert found, f"{name} in {file}"
    files = re.findall(r"`([\w/]+/(?:\w+\.py)?)`|^    ([\w/]+\.py)", text, re.MULTILINE)
    assert len(files) >= 20
    missing = [
        file for pair in files for file in pair if file and not any((at / file).exists() for at in (root, PACKAGE))
    ]
    assert not missing
