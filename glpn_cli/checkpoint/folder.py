"""A checkpoint: a folder with a config, weights, and what the processor needs, as transformers reads and writes it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glpn_cli.checkpoint.json_object import read_json_object
from glpn_cli.checkpoint.safetensors_header import TensorInfo
from glpn_cli.checkpoint.tensors import read_tensors
from glpn_cli.checkpoint.weights_file import (
    PICKLE,
    PICKLE_SUFFIXES,
    SAFETENSORS,
    SAFETENSORS_SUFFIX,
    WeightsFormat,
    read_header,
    sha256_of,
)
from glpn_cli.errors import ErrorCode, ModelError, code_of, reason_of

if TYPE_CHECKING:
    from torch import Tensor

CONFIG_FILE = "config.json"
PREPROCESSOR_FILE = "preprocessor_config.json"
WEIGHTS_FILE = "model.safetensors"
PICKLE_FILE = "pytorch_model.bin"
CARD_FILE = "README.md"

OWN_KEY = "glpn_cli"
"""The one key of config.json that holds what only we know."""

COMMIT = re.compile(r"[0-9a-f]{40}")
REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A model on disk, readable without torch up to `read_state`.

    folder:       where config.json lies
    weights:      the weights file; weights_format says which kind it is by its name
    config:       config.json as it is; unknown keys are kept
    preprocessor: preprocessor_config.json, where there is one
    name:         what messages call it
    source:       repository that it comes from, where the hub's cache or its config says so
    revision:     commit of that repository
    is_cached:    whether it lies in the hub's cache, so that `source` is more than its own word
    """

    folder: Path
    weights: Path
    weights_format: WeightsFormat
    config: Mapping[str, Any]
    name: str
    preprocessor: Mapping[str, Any] | None = None
    source: str | None = None
    revision: str | None = None
    is_cached: bool = False

    @property
    def own(self) -> Mapping[str, Any]:
        """What only we write into config.json; empty in other people's."""
        own: Mapping[str, Any] = self.config.get(OWN_KEY, {})
        return own

    def header(self) -> dict[str, TensorInfo]:
        """Name -> type and shape of every tensor, without torch. Raises ModelError."""
        return read_header(self.weights)

    def sha256(self) -> str:
        """The checksum of the weights file, 64 hex digits. Raises ModelError."""
        return sha256_of(self.weights)

    def read_state(self) -> dict[str, Tensor]:
        """Every tensor by its name in the file, as stored, on the CPU; finite. Raises ModelError."""
        return read_tensors(self.weights)


def open_checkpoint(path: Path, *, name: str | None = None) -> Checkpoint:
    """Open a folder, or a weights file with its config.json beside it. No tensor is read.

    name: what messages call it; default the path.

    Raises ModelError saying what was found instead and what to run.
    """
    name = name or str(path)
    try:
        if path.is_dir():
            folder, weights = path, _require_weights(path, name)
        elif path.is_file():
            folder, weights = path.parent, path
            _check_suffix(path)
        else:
            raise ModelError(f"there is no model at {str(path)!r}", code=ErrorCode.NOT_FOUND)
        _check_config_is_there(folder, path, weights)
    except OSError as error:
        raise ModelError(f"cannot look into {str(path)!r}: {reason_of(error)}", code=code_of(error)) from error
    config = read_json_object(folder / CONFIG_FILE)
    if not isinstance(config.get(OWN_KEY, {}), dict):
        raise ModelError(f"{str(folder / CONFIG_FILE)!r}: {OWN_KEY!r} is not an object")
    source, revision, is_cached = _origin(folder, config)
    preprocessor = folder / PREPROCESSOR_FILE
    return Checkpoint(
        folder=folder,
        weights=weights,
        weights_format=SAFETENSORS if weights.suffix.lower() == SAFETENSORS_SUFFIX else PICKLE,
        config=config,
        name=name,
        preprocessor=read_json_object(preprocessor) if preprocessor.exists() else None,
        source=source,
        revision=revision,
        is_cached=is_cached,
    )


def find_weights(folder: Path) -> Path | None:
    """The weights in a folder: model.safetensors, else pytorch_model.bin, else the only file that could be weights."""
    for file in (WEIGHTS_FILE, PICKLE_FILE):
        if (folder / file).exists():
            return folder / file
    suffixes = (SAFETENSORS_SUFFIX, *PICKLE_SUFFIXES)
    candidates = [entry for entry in sorted(folder.iterdir()) if entry.suffix.lower() in suffixes]
    return candidates[0] if len(candidates) == 1 else None


def _require_weights(folder: Path, name: str) -> Path:
    if (weights := find_weights(folder)) is not None and weights.name in (WEIGHTS_FILE, PICKLE_FILE):
        return weights
    raise ModelError(
        f"model folder {name!r} has no {WEIGHTS_FILE} and no {PICKLE_FILE} (found: {_found_in(folder)})",
        hint=_conversion_hint(folder),
        code=ErrorCode.NOT_FOUND,
    )


def _check_suffix(path: Path) -> None:
    if path.suffix.lower() not in (SAFETENSORS_SUFFIX, *PICKLE_SUFFIXES):
        raise ModelError(
            f"{str(path)!r} is no model: neither a folder nor a {SAFETENSORS_SUFFIX} file",
            hint="Name the folder that holds config.json and model.safetensors.",
        )


def _check_config_is_there(folder: Path, given: Path, weights: Path) -> None:
    if (folder / CONFIG_FILE).exists():
        return
    what = f"model folder {str(given)!r} has no" if given == folder else f"model file {str(given)!r} has beside it no"
    raise ModelError(
        f"{what} {CONFIG_FILE} (found: {_found_in(folder)})",
        hint=_conversion_hint(given if given == folder else weights),
        code=ErrorCode.NOT_FOUND,
    )


def _conversion_hint(given: Path) -> str:
    """What to run where there are weights that `convert` may know; else what was expected."""
    folder = given if given.is_dir() else given.parent
    if not any(entry.suffix.lower() in (SAFETENSORS_SUFFIX, *PICKLE_SUFFIXES) for entry in folder.iterdir()):
        return f"Name the folder that holds {CONFIG_FILE} and {WEIGHTS_FILE}."
    stem = given.resolve().name if given == folder else given.stem
    return f"Run: glpn convert {_quoted(str(given))} -o {_quoted(stem + '-glpn')}"


def _quoted(text: str) -> str:
    return text if re.fullmatch(r"[\w./@+-]+", text) else "'" + text.replace("'", "'\\''") + "'"


def _found_in(folder: Path) -> str:
    names = sorted(entry.name for entry in folder.iterdir())
    return (", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")) or "nothing"


def _origin(folder: Path, config: Mapping[str, Any]) -> tuple[str | None, str | None, bool]:
    """(repository, commit, whether the hub's cache says so).

    The cache lays snapshots out as models--OWNER--NAME/snapshots/COMMIT; a carried folder says it in its own key, and
    folders that transformers wrote before version 5 in `_name_or_path`.
    """
    snapshots = folder.absolute().parent
    kind, _, rest = snapshots.parent.name.partition("--")
    if snapshots.name == "snapshots" and kind == "models" and COMMIT.fullmatch(folder.name):
        return rest.replace("--", "/", 1), folder.name, True
    own = config.get(OWN_KEY, {})
    revision = own.get("revision")
    for source in (own.get("source"), config.get("_name_or_path")):
        if isinstance(source, str) and REPOSITORY.fullmatch(source):
            is_commit = isinstance(revision, str) and COMMIT.fullmatch(revision) is not None
            return source, revision if is_commit else None, False
    return None, None, False
