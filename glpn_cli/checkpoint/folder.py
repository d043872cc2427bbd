"""A checkpoint: a folder with a config, weights, and the processor's settings, as transformers reads and writes it.

And the name of the repository that it comes from.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glpn_cli.checkpoint.headers import TensorInfo
from glpn_cli.checkpoint.weights import INDEX_SUFFIX, PICKLE_SUFFIXES, SAFETENSORS_SUFFIX, Weights, WeightsFormat
from glpn_cli.errors import ErrorCode, ModelError, UsageError, code_of, reason_of
from glpn_cli.text import first_of, quoted, read_json_object

if TYPE_CHECKING:
    from torch import Tensor

CONFIG_FILE = "config.json"
PREPROCESSOR_FILE = "preprocessor_config.json"
WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
PICKLE_FILE = "pytorch_model.bin"
WEIGHTS_FILES = (WEIGHTS_FILE, INDEX_FILE, PICKLE_FILE)
"""Where the weights of a folder are, the first that is there."""

CARD_FILE = "README.md"

OWN_KEY = "glpn_cli"
"""The one key of config.json that holds what only we know."""

_SIZES = ("size", "crop_size", "pad_size", "size_divisor", "ensure_multiple_of")
_MOST_SIDE = 4096
"""Of pictures as a processor makes them; as published 1536 at most."""

COMMIT = re.compile(r"[0-9a-f]{40}")
_DEFAULT_REVISION = "main"
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


@dataclass(frozen=True)
class HubName:
    """A repository of the hub and a branch, tag or commit of it; both are safe to make paths of."""

    repository: str
    revision: str = _DEFAULT_REVISION

    def __post_init__(self) -> None:
        if not _is_repository(self.repository):
            raise UsageError(f"{quoted(self.repository, longest=80)} is no OWNER/NAME of the hub")
        if len(self.revision) > 100 or not _REVISION.fullmatch(self.revision) or ".." in self.revision:
            raise UsageError(
                f"{quoted(self.revision, longest=80)} is no revision",
                hint="Use a branch, a tag or a commit of 40 hexadecimal digits.",
            )

    @classmethod
    def parse(cls, text: str) -> HubName | None:
        """Read OWNER/NAME or OWNER/NAME@REVISION; None for neither. Raises UsageError for an unsafe revision."""
        repository, at, revision = text.partition("@")
        return cls(repository, revision if at else _DEFAULT_REVISION) if _is_repository(repository) else None

    def __str__(self) -> str:
        return self.repository if self.revision == _DEFAULT_REVISION else f"{self.repository}@{self.revision}"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A model on disk; all but `read_state` works without torch.

    folder:       where config.json lies
    weights:      the weights file, or the index of its shards
    config:       config.json as it is; unknown keys are kept
    preprocessor: preprocessor_config.json, where there is one
    name:         what messages call it
    source:       repository that it comes from, where the hub's cache or its config says so
    revision:     commit of that repository
    is_cached:    whether it lies in the hub's cache, so that `source` is more than its own word
    """

    folder: Path
    weights: Path
    config: Mapping[str, Any]
    name: str
    preprocessor: Mapping[str, Any] | None = None
    source: str | None = None
    revision: str | None = None
    is_cached: bool = False

    @classmethod
    def open(cls, path: Path, *, name: str | None = None) -> Checkpoint:
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
                if not is_weights(path):
                    raise ModelError(
                        f"{str(path)!r} is no model: neither a folder nor a {SAFETENSORS_SUFFIX} file",
                        hint=f"Name the folder that holds {CONFIG_FILE} and {WEIGHTS_FILE}.",
                    )
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
        return cls(
            folder=folder,
            weights=weights,
            config=config,
            name=name,
            preprocessor=_read_preprocessor(preprocessor) if preprocessor.exists() else None,
            source=source,
            revision=revision,
            is_cached=is_cached,
        )

    @property
    def own(self) -> Mapping[str, Any]:
        """Our own key of config.json; empty in other people's."""
        own: Mapping[str, Any] = self.config.get(OWN_KEY, {})
        return own

    @property
    def weights_format(self) -> WeightsFormat:
        """By the name of the weights file."""
        return self._contents.format

    @property
    def weights_bytes(self) -> int:
        """The size of the weights on disk. Raises ModelError."""
        return self._contents.size_bytes()

    def header(self) -> dict[str, TensorInfo]:
        """Name -> type and shape of every tensor, without torch. Raises ModelError."""
        return self._contents.header()

    def sha256(self) -> str:
        """The checksum of the weights, 64 hex digits. Raises ModelError, also for weights that changed since."""
        return self._contents.sha256()

    def read_state(self) -> dict[str, Tensor]:
        """Every tensor by its name in the file, as stored, in memory, finite. Raises ModelError."""
        return self._contents.read()

    def files(self) -> list[Path]:
        """Every file of the model that is there, the weights last."""
        names = (CONFIG_FILE, PREPROCESSOR_FILE, CARD_FILE)
        found = [self.folder / name for name in names if (self.folder / name).is_file()]
        index = [self.weights] if self.weights.name.endswith(INDEX_SUFFIX) else []
        return [*found, *index, *self._contents.files()]

    @cached_property
    def _contents(self) -> Weights:
        return Weights(self.weights)


def _read_preprocessor(path: Path) -> dict[str, Any]:
    """The settings of a picture processor. Raises ModelError for sizes that no picture for a network has."""
    settings = read_json_object(path)
    for key in _SIZES:
        size = settings.get(key)
        sides = size.values() if isinstance(size, dict) else size if isinstance(size, list) else [size]
        for side in sides:
            if side is not None and not (type(side) is int and 1 <= side <= _MOST_SIDE):
                raise ModelError(
                    f"{str(path)!r}: {key!r} makes no sense with {str(side)[:20]!r}: sides of pictures for a network "
                    f"are whole numbers from 1 to {_MOST_SIDE}"
                )
    return settings


def find_weights(folder: Path) -> Path | None:
    """The weights in a folder: one of `WEIGHTS_FILES`, else the only file that could be weights."""
    if found := [folder / file for file in WEIGHTS_FILES if (folder / file).exists()]:
        return found[0]
    candidates = [entry for entry in sorted(folder.iterdir()) if is_weights(entry)]
    return candidates[0] if len(candidates) == 1 else None


def is_weights(path: Path) -> bool:
    """Whether a file's name is one of weights."""
    return path.name.lower().endswith((SAFETENSORS_SUFFIX, INDEX_SUFFIX, *PICKLE_SUFFIXES))


def _require_weights(folder: Path, name: str) -> Path:
    if (weights := find_weights(folder)) is not None and weights.name in WEIGHTS_FILES:
        return weights
    raise ModelError(
        f"model folder {name!r} has no {WEIGHTS_FILE} and no {PICKLE_FILE} (found: {_found_in(folder)})",
        hint=_conversion_hint(folder),
        code=ErrorCode.NOT_FOUND,
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
    """How to convert, where there are weights that `convert` may know; else what to name."""
    folder = given if given.is_dir() else given.parent
    if not any(map(is_weights, folder.iterdir())):
        return f"Name the folder that holds {CONFIG_FILE} and {WEIGHTS_FILE}."
    stem = given.resolve().name if given == folder else given.stem
    return f"Run: glpn convert {shlex.quote(str(given))} -o {shlex.quote(stem + '-glpn')}"


def _found_in(folder: Path) -> str:
    return first_of(sorted(entry.name for entry in folder.iterdir()), most=6)


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
        if isinstance(source, str) and _REPOSITORY.fullmatch(source):
            is_commit = isinstance(revision, str) and COMMIT.fullmatch(revision) is not None
            return source, revision if is_commit else None, False
    return None, None, False


def _is_repository(text: str) -> bool:
    is_shaped = len(text) <= 96 and _REPOSITORY.fullmatch(text) is not None
    if text.lower().endswith((SAFETENSORS_SUFFIX, *PICKLE_SUFFIXES)):
        return False  # a file that is not there is no reason to ask the network
    return is_shaped and "--" not in text and ".." not in text and not text.endswith((".", "-", ".git"))
