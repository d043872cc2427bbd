"""Names that users type -> where the weights are, what unit they speak, under which licence.

A name is one of `REGISTRY`, else a path that exists, else OWNER/NAME[@REVISION] on the hub. Weights that the registry
knows keep its row however they were named: by repository, as a carried copy, or by their checksum.
"""

from __future__ import annotations

import difflib
import errno
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glpn_cli.checkpoint import OWN_KEY, Checkpoint, HubName, fetch, find_cached, open_checkpoint, parse_hub_name
from glpn_cli.errors import ErrorCode, ModelError, UsageError, code_of, reason_of
from glpn_cli.models.families import family_of
from glpn_cli.prediction import DepthKind

DEFAULT_MODEL = "mini"
BUNDLED = Path(__file__).parent / "bundled"
_MAX_NAME = 4096
_MOST_METRES = 1e6


@dataclass(frozen=True)
class KnownWeights:
    """A weights file by its checksum and size."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class ModelRow:
    """What is known about a model beyond its own config.

    repository, revision: where the hub has it and at which commit; None = bundled, newest
    kind:                 what its depth means; None where it labels pixels
    limit_m:              depth at the head's full scale, metres; None where it predicts no metres
    published_limit_m:    what its published config says instead
    scale_source:         a sentence: how we know the limit, or why there is none
    license, license_facts: in a word, and what else one should know before using it
    training_size:        (h, w) of the pictures that it was trained on
    training_focal_px:    focal length at that size of the camera that its metres belong to
    weights:              the files that these weights are known to come in
    """

    name: str
    description: str
    repository: str | None
    revision: str | None
    limit_m: float | None
    published_limit_m: float | None
    scale_source: str
    license: str
    license_facts: str
    training_size: tuple[int, int]
    training_focal_px: float | None = None
    weights: tuple[KnownWeights, ...] = ()
    kind: DepthKind | None = DepthKind.METRIC

    @property
    def unit(self) -> str:
        """Its unit and range, for people."""
        if self.limit_m is not None:
            return f"metres, to {self.limit_m:g} m"
        return "labels" if self.kind is None else f"no unit ({self.kind.value})"


_HUB_LICENSE = (
    "The card was written by those who converted the weights; the author's repository says non-commercial, and its "
    "encoder carries the NVIDIA Source Code License"
)

_DPT_LICENSE = (
    "As copies of its hub page say, written with those who converted the weights; the README of the authors' "
    "repository (isl-org/DPT) says MIT. The terms of the data sets that it was trained on have not been looked up"
)
_NO_SCALE = "It predicts no metres: inverse depth up to scale and shift, larger is nearer"

REGISTRY: Mapping[str, ModelRow] = {
    row.name: row
    for row in (
        ModelRow(
            name="mini",
            description="Small and bundled, trained by this project on its own procedural rooms",
            repository=None,
            revision=None,
            limit_m=10.0,
            published_limit_m=10.0,
            scale_source="10 m, trained on procedural rooms with exact depth",
            license="Apache-2.0",
            license_facts="No outside data: trained on this project's own scenes alone",
            training_size=(192, 256),
            training_focal_px=220.0,
            weights=(KnownWeights("5b5592ecb4fa35ed49ffb2e69091c6d033fe5549d939357985ba0797ed80bad9", 8537382),),
        ),
        ModelRow(
            name="nyu",
            description="GLPN trained on NYU Depth v2, indoor",
            repository="vinvino02/glpn-nyu",
            revision=None,
            limit_m=10.0,
            published_limit_m=10.0,
            scale_source="10 m in the author's code and in the hub's config",
            license="apache-2.0 on its card",
            license_facts=_HUB_LICENSE,
            training_size=(480, 640),
            training_focal_px=518.86,
        ),
        ModelRow(
            name="kitti",
            description="GLPN trained on KITTI, driving",
            repository="vinvino02/glpn-kitti",
            revision=None,
            limit_m=80.0,
            published_limit_m=10.0,
            scale_source="80 m by the author's code, which trains and evaluates KITTI with 80; the hub's config says "
            "10, which is wrong by a factor of 8. Not yet verified on the weights",
            license="apache-2.0 on its card",
            license_facts=_HUB_LICENSE,
            training_size=(352, 1216),
            training_focal_px=721.5,
        ),
        ModelRow(
            name="dpt-large",
            description="DPT-Large trained on ten data sets together, any scene",
            repository="Intel/dpt-large",
            revision=None,
            limit_m=None,
            published_limit_m=None,
            scale_source=_NO_SCALE,
            license="apache-2.0 on its card",
            license_facts=_DPT_LICENSE,
            training_size=(384, 384),
            kind=DepthKind.DISPARITY,
        ),
        ModelRow(
            name="dpt-hybrid-midas",
            description="DPT-Hybrid trained on ten data sets together, any scene; a third of the size",
            repository="Intel/dpt-hybrid-midas",
            revision=None,
            limit_m=None,
            published_limit_m=None,
            scale_source=_NO_SCALE,
            license="apache-2.0 on its card",
            license_facts=_DPT_LICENSE,
            training_size=(384, 384),
            kind=DepthKind.DISPARITY,
        ),
        ModelRow(
            name="dpt-large-ade",
            description="DPT-Large trained on ADE20K, which labels pixels with 150 kinds of things",
            repository="Intel/dpt-large-ade",
            revision=None,
            limit_m=None,
            published_limit_m=None,
            scale_source="It predicts labels, not depth",
            license="apache-2.0 on its card",
            license_facts=f"{_DPT_LICENSE}. A request of 2022 to change this card to MIT was open when it was copied",
            training_size=(480, 480),
            kind=None,
        ),
    )
}


@dataclass(frozen=True, eq=False)
class ResolvedModel:
    """A model that was found, and what its numbers mean.

    name:         as it was typed
    row:          what the registry knows about it, if anything
    limit_m:      depth at the head's full scale, metres; None where it does not predict metres
    limit_source: a sentence: where that number comes from
    overridden:   whether the user gave another limit than the model's own, so that every depth is rescaled
    """

    name: str
    row: ModelRow | None
    checkpoint: Checkpoint
    limit_m: float | None
    limit_source: str
    overridden: bool

    @property
    def config(self) -> Mapping[str, Any]:
        """The checkpoint's config.json with what the registry knows better: limit, training size and focal length."""
        known: dict[str, Any] = {}
        if self.row is not None:
            known = {"training_size": list(self.row.training_size), "training_focal_px": self.row.training_focal_px}
        limit = {} if self.limit_m is None else {"limit_m": self.limit_m}
        return {**self.checkpoint.config, OWN_KEY: {**known, **self.checkpoint.own, **limit}}


def _say_nothing(_text: str) -> None:
    pass


def resolve_model(
    name: str,
    *,
    max_depth: float | None = None,
    offline: bool = False,
    refresh: bool = False,
    announce: Callable[[str], None] = _say_nothing,
) -> ResolvedModel:
    """Find the model that `name` means, downloading it if it has to be, and say what its numbers mean.

    max_depth: depth at the head's full scale, metres, instead of the model's own.
    offline:   never touch the network.
    refresh:   ask the hub whether there is something newer.
    announce:  is told, in one line, what is about to be downloaded.

    Raises UsageError for a name that means nothing and for a nonsensical max_depth, ModelError for a model that is
    missing, damaged or not what it says it is.
    """
    if max_depth is not None and not (math.isfinite(max_depth) and 0 < max_depth <= _MOST_METRES):
        raise UsageError(f"--max-depth {max_depth:g} is no depth in metres", hint="Use a number above 0.")
    _check_name(name)
    row, hub_name = _registered(name)
    if row is not None and hub_name is None:
        checkpoint = _open_bundled(row)
    elif hub_name is None and (path := _existing(name)) is not None:
        checkpoint = open_checkpoint(path, name=name)
    elif (hub_name := hub_name or parse_hub_name(name)) is not None:
        row = row or _row_of_repository(hub_name.repository)
        command_name = row.name if row and hub_name == _hub_name(row) else str(hub_name)
        snapshot = fetch(hub_name, command_name=command_name, offline=offline, refresh=refresh, announce=announce)
        checkpoint = open_checkpoint(snapshot, name=name)
    else:
        raise _unknown(name)
    return interpret(name, checkpoint, row=row or identify(checkpoint), max_depth=max_depth)


def interpret(
    name: str, checkpoint: Checkpoint, *, row: ModelRow | None, max_depth: float | None = None
) -> ResolvedModel:
    """What the numbers of an opened checkpoint mean: the user's word, else the registry's, else its config's."""
    family = family_of(checkpoint.config)
    own_limit = family.limit_m(family.read_config(checkpoint.config))
    source = "it predicts no metres" if own_limit is None else f"{own_limit:g} m, by its config.json"
    if row is not None and (row.limit_m is None) == (own_limit is None):
        own_limit, source = row.limit_m, row.scale_source
    if max_depth is None or max_depth == own_limit:
        return ResolvedModel(name, row, checkpoint, own_limit, source, False)
    if own_limit is None:
        raise UsageError(f"--max-depth makes no sense for {name!r}, which predicts no metres")
    source = f"--max-depth {max_depth:g} instead of the model's {own_limit:g} m: every depth is rescaled"
    return ResolvedModel(name, row, checkpoint, max_depth, source, True)


def identify(checkpoint: Checkpoint) -> ModelRow | None:
    """The registry's row of these weights, whatever they were named by; None where it does not know them.

    By the hub's cache, by checksum, or by the source that the folder records, unless its limit was changed since: then
    they are somebody's own weights that only began as these.
    """
    row = _row_of_repository(checkpoint.source)
    if row is not None and checkpoint.is_cached:
        return row
    for known in REGISTRY.values():
        if any(_is_same_file(checkpoint, weights) for weights in known.weights):
            return known
    if row is None:
        return None
    family = family_of(checkpoint.config)
    limit_m = family.limit_m(family.read_config(checkpoint.config))
    return row if limit_m in (row.limit_m, row.published_limit_m) else None


def find_here(row: ModelRow) -> Path | None:
    """The folder that a model of the registry lies in on this machine, or None. No network, nothing is verified."""
    hub_name = _hub_name(row)
    if hub_name is not None:
        return find_cached(hub_name)
    return BUNDLED if BUNDLED.is_dir() else None


def _is_same_file(checkpoint: Checkpoint, known: KnownWeights) -> bool:
    """Size first: reading 245 MB to learn that they are others is not worth it."""
    return checkpoint.weights.stat().st_size == known.size_bytes and checkpoint.sha256() == known.sha256


def _row_of_repository(repository: str | None) -> ModelRow | None:
    if repository is None:
        return None
    rows = (row for row in REGISTRY.values() if row.repository is not None)
    return next((row for row in rows if str(row.repository).lower() == repository.lower()), None)


def _registered(name: str) -> tuple[ModelRow | None, HubName | None]:
    """The row of NAME or NAME@REVISION, and where the hub has that."""
    base, _, revision = name.partition("@")
    row = REGISTRY.get(base)
    if row is None or row.repository is None:
        return REGISTRY.get(name), None
    return row, HubName(row.repository, revision) if revision else _hub_name(row)


def _hub_name(row: ModelRow) -> HubName | None:
    if row.repository is None:
        return None
    return HubName(row.repository, row.revision) if row.revision else HubName(row.repository)


def _open_bundled(row: ModelRow) -> Checkpoint:
    if not BUNDLED.is_dir():
        raise ModelError(
            f"this installation comes without its bundled model {row.name!r} (no {str(BUNDLED)!r})",
            hint="Run: pip install --force-reinstall glpn-cli",
            code=ErrorCode.NOT_FOUND,
        )
    checkpoint = open_checkpoint(BUNDLED, name=row.name)
    if row.weights and not any(_is_same_file(checkpoint, weights) for weights in row.weights):
        raise ModelError(
            f"{str(checkpoint.weights)!r} does not match its checksum: the installation is damaged",
            hint="Run: pip install --force-reinstall glpn-cli",
            code=ErrorCode.CHECKSUM,
        )
    return checkpoint


def _check_name(name: str) -> None:
    """Refuse what can be no name, before anything looks for it."""
    if not name.strip():
        raise UsageError("the model's name is empty", hint=_known_names())
    if len(name) > _MAX_NAME:
        raise UsageError(f"a model's name of {len(name):,} characters is none", hint=_known_names())
    if any(ord(character) < 32 or ord(character) == 127 for character in name):
        raise UsageError(f"{name[:80]!a} holds control characters and is no model's name", hint=_known_names())
    if address := re.match(r"(?:[A-Za-z][A-Za-z0-9+.-]+://|file:)(?:(?:www\.)?huggingface\.co/|hf\.co/)?(.*)", name):
        rest = "/".join(address[1].strip("/").split("/")[:2])
        is_hub = "huggingface.co/" in name or "hf.co/" in name
        raise UsageError(
            f"{name[:200]!r} is an address, not a model's name",
            hint=f"Use: -m {rest}" if is_hub and parse_hub_name(rest) else _known_names(),
        )


def _existing(name: str) -> Path | None:
    """The path that a name is, where there is something."""
    path = Path(name)
    try:
        path.stat()
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            return None
        raise ModelError(f"cannot look at {name!r}: {reason_of(error)}", code=code_of(error)) from error
    return path


def _unknown(name: str) -> UsageError:
    shown = ascii(name if len(name) <= 200 else name[:200] + "...")
    if name.startswith((".", "/", "~", "\\")) or "/" in name:
        return UsageError(f"there is no file or folder {shown}", hint=_known_names(), code=ErrorCode.NOT_FOUND)
    close = difflib.get_close_matches(name.lower(), REGISTRY, n=1, cutoff=0.5)
    return UsageError(
        f"there is no model {shown}", hint=(f"Did you mean {close[0]}? " if close else "") + _known_names()
    )


def _known_names() -> str:
    return f"Known are {', '.join(REGISTRY)}, folders, and OWNER/NAME on the hub."
