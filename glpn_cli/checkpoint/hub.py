"""Models from the Hugging Face hub: the cache first, the network only when something is absent or damaged.

The cache is read by its layout: `huggingface_hub.try_to_load_from_cache` takes 0.2 to 0.4 s to import, which is longer
than `glpn inspect` may take. Every file there is named after its checksum, and is compared with it before it is used.
"""

from __future__ import annotations

import fnmatch
import hashlib
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from json import JSONDecodeError
from logging import ERROR
from pathlib import Path
from typing import TYPE_CHECKING

from glpn_cli.checkpoint.folder import (
    CARD_FILE,
    COMMIT,
    CONFIG_FILE,
    INDEX_FILE,
    PICKLE_FILE,
    PREPROCESSOR_FILE,
    WEIGHTS_FILE,
    WEIGHTS_FILES,
    HubName,
)
from glpn_cli.checkpoint.weights import Weights
from glpn_cli.errors import ErrorCode, GlpnError, ModelError, UsageError, about_model_file, code_of, reason_of
from glpn_cli.text import first_of

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

_SHA256 = re.compile(r"[0-9a-f]{64}")
_GIT_SHA1 = re.compile(r"[0-9a-f]{40}")
_SHARDS = "model-*-of-*.safetensors"

_Announce = Callable[[str], None]


_CACHE: ContextVar[Path | None] = ContextVar("cache", default=None)
_TOKEN: ContextVar[str | bool | None] = ContextVar("token", default=None)


def cache_folder() -> Path:
    """Where the hub's library keeps what it downloads; HF_HUB_CACHE and HF_HOME move it."""
    from huggingface_hub import constants

    return _CACHE.get() or Path(constants.HF_HUB_CACHE)


@contextmanager
def hub_settings(cache: Path | None, token: str | bool | None) -> Iterator[None]:
    """Inside, models that this thread opens come from this cache folder, with this token."""
    before = _CACHE.set(cache), _TOKEN.set(token)
    try:
        yield
    finally:
        _CACHE.reset(before[0])
        _TOKEN.reset(before[1])


def is_offline_by_environment() -> bool:
    """Whether HF_HUB_OFFLINE forbids the network."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def find_cached(name: HubName) -> Path | None:
    """The folder in the cache that holds a config and weights of this revision, or None. No network.

    Raises ModelError where the cache cannot be read.
    """
    repository = cache_folder() / f"models--{name.repository.replace('/', '--')}"
    try:
        commit = name.revision
        if not COMMIT.fullmatch(commit):
            reference = repository / "refs" / name.revision
            if not reference.is_file():
                return None
            commit = reference.read_text("ascii", errors="replace").strip()[:41]
        snapshot = repository / "snapshots" / commit
        is_whole = COMMIT.fullmatch(commit) and (snapshot / CONFIG_FILE).is_file() and _has_weights(snapshot)
    except OSError as error:
        raise ModelError(
            f"cannot read the cache {str(repository)!r}: {reason_of(error)}",
            hint="Set HF_HOME to a folder that you can read.",
            code=code_of(error),
        ) from error
    return snapshot if is_whole else None


def fetch(
    name: HubName, *, command_name: str | None = None, offline: bool = False, refresh: bool = False, announce: _Announce
) -> Path:
    """The folder in the cache that holds this revision, downloaded if it is not there; its files have their checksums.

    command_name: what the user would type for this model; default OWNER/NAME.
    offline:      never touch the network; HF_HUB_OFFLINE means the same.
    refresh:      ask the hub whether there is something newer.
    announce:     is told, in one line, what is about to be downloaded and under which licence.

    A file that does not match its checksum is downloaded once more. Raises ModelError (E_CHECKSUM naming the file;
    E_MODEL saying what to run), UsageError when asked to refresh offline.
    """
    command_name = command_name or str(name)
    offline = offline or is_offline_by_environment()
    if refresh and offline:
        raise UsageError("a refresh asks the hub, and --offline forbids it", hint="Leave one of them out.")
    snapshot = None if refresh else find_cached(name)
    if snapshot is None:
        if offline:
            raise ModelError(
                f"{name} is not in the cache {str(cache_folder())!r}, and the network is not allowed",
                hint=f"Run with network: glpn models download {command_name} "
                f"(or there: glpn models download {command_name} -o DIR, carry DIR here, and name it with -m DIR)",
            )
        snapshot = _download(name, announce)
    damaged = find_damaged(snapshot)
    if damaged and not offline:
        names = [file.name for file in damaged]
        announce(f"{first_of(names)} of {name} in the cache does not match its checksum; downloading it once more")
        _download_files(name, names, revision=snapshot.name, again=True)
        damaged = find_damaged(snapshot)
    if damaged:
        raise ModelError(
            f"{str(damaged[0])!r} does not match its checksum: it is damaged or was changed",
            hint=f"Run: glpn models download {command_name} --refresh"
            if offline
            else "Try again, or use another network.",
            code=ErrorCode.CHECKSUM,
        )
    return snapshot


def find_damaged(snapshot: Path) -> list[Path]:
    """The files of a folder in the cache that do not match the checksum that the cache names them by.

    Raises ModelError where a file cannot be read.
    """
    kept = [snapshot / file for file in (CONFIG_FILE, PREPROCESSOR_FILE, CARD_FILE, *WEIGHTS_FILES)]
    damaged = [path for path in kept if path.is_file() and is_intact(path) is False]
    index = snapshot / INDEX_FILE
    if index.is_file() and index not in damaged:
        damaged += [path for path in Weights(index).files() if path.is_file() and is_intact(path) is False]
    return damaged


def is_intact(path: Path) -> bool | None:
    """Whether a file of the cache matches the checksum in its name; None where its name is no checksum.

    Large files are named by their SHA-256, small ones by git's object name. On a file system without links the cache
    keeps plain copies, of which only an empty one is known to be damaged. Raises ModelError where it cannot be read.
    """
    with about_model_file(path):
        name = path.readlink().name if path.is_symlink() else ""
        if _SHA256.fullmatch(name):
            return Weights(path).sha256() == name
        if _GIT_SHA1.fullmatch(name):
            data = path.read_bytes()
            return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest() == name
        return None if path.stat().st_size > 0 else False


def _download(name: HubName, announce: _Announce) -> Path:
    """Download what a model needs of the newest commit of this revision, and say so first."""
    from huggingface_hub import HfApi, constants

    with _hub_errors(name):
        info = HfApi(token=_TOKEN.get()).model_info(
            name.repository, revision=name.revision, files_metadata=True, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT
        )
    sizes = {sibling.rfilename: sibling.size or 0 for sibling in info.siblings or []}
    weights = next((file for file in WEIGHTS_FILES if file in sizes), None)
    if weights is None or CONFIG_FILE not in sizes:
        raise ModelError(
            f"{name} is no model that can be read: it has no {CONFIG_FILE} with {WEIGHTS_FILE} or {PICKLE_FILE}",
            hint=f"It has: {first_of(sorted(sizes), most=8)}.",
        )
    wanted = [weights, *(fnmatch.filter(sizes, _SHARDS) if weights == INDEX_FILE else [])]
    announce(_announcement(name, info, sum(sizes[file] for file in wanted)))
    # By branch or tag, so that the cache remembers which commit that was.
    return _download_files(name, [CONFIG_FILE, PREPROCESSOR_FILE, CARD_FILE, *wanted], revision=name.revision)


def _download_files(name: HubName, files: list[str], *, revision: str, again: bool = False) -> Path:
    """Download those files of a revision that the repository has; returns their folder in the cache."""
    from huggingface_hub import snapshot_download

    with _hub_errors(name):
        return Path(
            snapshot_download(
                name.repository,
                revision=revision,
                allow_patterns=files,
                force_download=again,
                cache_dir=cache_folder(),
                token=_TOKEN.get(),
            )
        )


def _announcement(name: HubName, info: ModelInfo, weights_bytes: int) -> str:
    licence = info.card_data.get("license") if info.card_data else None
    stated = f"licence on its card: {licence}" if licence else "no licence on its card"
    commit = (info.sha or name.revision)[:12]
    return f"downloading {name.repository} at {commit} ({weights_bytes / 1e6:.1f} MB, {stated}) to {cache_folder()}"


@contextmanager
def _hub_errors(name: HubName) -> Iterator[None]:
    """Turn all that the hub's library raises into ModelErrors; keep its bars off a stderr that is no terminal."""
    from huggingface_hub.utils import logging
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    verbosity = logging.get_verbosity()
    logging.set_verbosity(ERROR)
    hide_bars = not are_progress_bars_disabled() and not (sys.stderr is not None and sys.stderr.isatty())
    if hide_bars:
        disable_progress_bars()
    try:
        yield
    except (GlpnError, MemoryError):
        raise
    except Exception as error:
        # A network stack of other people: what it raises is open-ended, and all of it means "no model".
        raise _plain_error(name, error) from error
    finally:
        logging.set_verbosity(verbosity)
        if hide_bars:
            enable_progress_bars()


def _plain_error(name: HubName, error: Exception) -> ModelError:
    from huggingface_hub import constants, errors

    where = constants.ENDPOINT
    if isinstance(error, errors.GatedRepoError):
        return ModelError(
            f"{name} asks its users to accept terms first",
            hint=f"Accept them at {where}/{name.repository}; hf auth login.",
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return ModelError(
            f"{where} has no public model {name.repository}",
            hint="Check the spelling. A private model needs: hf auth login.",
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return ModelError(f"{name.repository} has no revision {name.revision!r} at {where}")
    cause = error.__cause__ or error
    if isinstance(cause, OSError) and cause.errno is not None:
        return ModelError(
            f"cannot download {name} to {str(cache_folder())!r}: {reason_of(cause)}",
            hint="Set HF_HOME to a folder that can be written and has room.",
            code=code_of(cause),
        )
    if isinstance(cause, JSONDecodeError):
        reason = "what answered is not the hub (perhaps the login page of a network)"
    else:
        reason = re.sub(r"^\[Errno -?\d+\] ", "", str(cause) or type(cause).__name__).partition("\n")[0][:160]
    return ModelError(
        f"cannot download {name} from {where}: {reason}",
        hint="Check the network and try again. What is complete in the cache stays there.",
    )


def _has_weights(snapshot: Path) -> bool:
    found = next((snapshot / file for file in WEIGHTS_FILES if (snapshot / file).is_file()), None)
    if found is None or found.name != INDEX_FILE:
        return found is not None
    try:
        return all(path.is_file() for path in Weights(found).files())
    except ModelError:
        return True  # a damaged index is for `find_damaged` to name
