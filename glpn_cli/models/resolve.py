"""From a name that a user types to a model, and to what its numbers mean.

A name is one of the registry, else a path that exists, else OWNER/NAME[@REVISION] on the hub; with hf: in front of it,
it is always the hub's.
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

from glpn_cli.checkpoint import OWN_KEY, Checkpoint, HubName, is_weights
from glpn_cli.errors import ErrorCode, ModelError, UsageError, code_of, reason_of
from glpn_cli.models import registry
from glpn_cli.models.config_base import config_class, read_config
from glpn_cli.models.registry import ModelRow
from glpn_cli.text import quoted

_MOST_METRES = 1e6
_MAX_NAME = 4096
_HUB_PREFIX = "hf:"


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

    @classmethod
    def of(
        cls, name: str, checkpoint: Checkpoint, *, row: ModelRow | None = None, max_depth: float | None = None
    ) -> ResolvedModel:
        """What the numbers of an opened checkpoint mean: the user's word, else the registry's, else its config's.

        row: the registry's; None: looked up by the checkpoint
        """
        row = row or ModelRow.of(checkpoint)
        config = read_config(checkpoint.config)
        own_limit, source = config.limit_m, config.scale_source
        if row is not None and (row.limit_m is None) == (own_limit is None):
            own_limit, source = row.limit_m, row.scale_source
        elif own_limit is not None and max_depth is None and "limit_m" in checkpoint.own:
            _check_one_limit(name, own_limit, checkpoint.config.get("max_depth"))
        if max_depth is None or max_depth == own_limit:
            return cls(name, row, checkpoint, own_limit, source, False)
        if own_limit is None:
            is_metric = config.kind is not None and config.kind.is_metric
            because = "whose metres have no limit" if is_metric else "which predicts no metres"
            raise UsageError(f"--max-depth makes no sense for {name!r}, {because}")
        source = f"--max-depth {max_depth:g} instead of the model's {own_limit:g} m: every depth is rescaled"
        return cls(name, row, checkpoint, max_depth, source, True)

    @property
    def config(self) -> Mapping[str, Any]:
        """The checkpoint's config.json with what the registry knows better: limit, training size and focal length.

        For an adapter, whose library makes the pictures, also the settings of its processor.
        """
        known: dict[str, Any] = {}
        if self.checkpoint.preprocessor and config_class(self.checkpoint.config.get("model_type")).runs_through:
            known = {"processor": dict(self.checkpoint.preprocessor)}
        if self.row is not None:
            known |= {"training_size": list(self.row.training_size), "training_focal_px": self.row.training_focal_px}
        limit = {} if self.limit_m is None else {"limit_m": self.limit_m}
        return {**self.checkpoint.config, OWN_KEY: {**known, **self.checkpoint.own, **limit}}


def resolve_model(
    name: str,
    *,
    max_depth: float | None = None,
    offline: bool = False,
    refresh: bool = False,
    accepts_licence: bool = False,
    announce: Callable[[str], None] = lambda _: None,
) -> ResolvedModel:
    """Find the model that `name` means, downloading it if it has to be, and say what its numbers mean.

    max_depth: depth at the head's full scale, metres, instead of the model's own.
    offline:   never touch the network.
    refresh:   ask the hub whether there is something newer.
    accepts_licence: download even a model whose licence must be accepted by name.
    announce:  is told, in one line, what is about to be downloaded.

    Raises UsageError for a name that means nothing and for a nonsensical max_depth, ModelError for a model that is
    missing, damaged or not what it says it is.
    """
    if max_depth is not None and not (math.isfinite(max_depth) and 0 < max_depth <= _MOST_METRES):
        raise UsageError(f"--max-depth {max_depth:g} is no depth in metres", hint="Use a number above 0.")
    _check_name(name)
    row, hub_name = _registered(name)
    if name.startswith(_HUB_PREFIX):
        hub_name = HubName.parse(name.removeprefix(_HUB_PREFIX))
        if hub_name is None:
            raise UsageError(f"{name[:200]!r} is no model of the hub", hint="Write hf:OWNER/NAME.")
    if row is not None and hub_name is None:
        checkpoint = _open_bundled(row)
    elif hub_name is None and (path := _existing(name)) is not None:
        checkpoint = Checkpoint.open(path, name=name)
    elif (hub_name := hub_name or HubName.parse(name)) is not None:
        from glpn_cli.checkpoint.hub import fetch, find_cached

        row = row or ModelRow.of_repository(hub_name.repository)
        if row is not None and row.needs_consent and not (offline or accepts_licence or find_cached(hub_name)):
            raise UsageError(
                f"{row.name} is under {row.license}, which allows no commercial use, and is not downloaded unasked",
                hint=f"Run: glpn models download {hub_name if hub_name != row.hub_name else row.name} --accept-licence",
            )
        command_name = row.name if row and hub_name == row.hub_name else str(hub_name)
        if row is not None and row.needs_consent:
            command_name += " --accept-licence"
        snapshot = fetch(hub_name, command_name=command_name, offline=offline, refresh=refresh, announce=announce)
        checkpoint = Checkpoint.open(snapshot, name=name)
    else:
        raise _unknown_name(name)
    return ResolvedModel.of(name, checkpoint, row=row, max_depth=max_depth)


def _check_one_limit(name: str, limit_m: float, whole_m: object) -> None:
    """Raise ModelError for a config.json of two limits, where another program changed the one that is whole metres."""
    if isinstance(whole_m, int | float) and not abs(whole_m - limit_m) < 1:
        raise ModelError(
            f"config.json of {name!r} says two limits: max_depth {whole_m:g}, and {OWN_KEY}.limit_m {limit_m:g}",
            hint="Let both be what the weights were trained with, or say it with --max-depth.",
        )


def _registered(name: str) -> tuple[ModelRow | None, HubName | None]:
    """The row of NAME or NAME@REVISION, and where the hub has that."""
    base, _, revision = name.partition("@")
    row = registry.REGISTRY.get(base)
    if row is None or row.repository is None:
        return registry.REGISTRY.get(name), None
    return row, HubName(row.repository, revision) if revision else row.hub_name


def _open_bundled(row: ModelRow) -> Checkpoint:
    folder = row.bundled_folder()
    if not folder.is_dir():
        raise ModelError(
            f"this installation comes without its bundled model {row.name!r} (no {str(folder)!r})",
            hint="Run: pip install --force-reinstall glpn-cli",
            code=ErrorCode.NOT_FOUND,
        )
    checkpoint = Checkpoint.open(folder, name=row.name)
    if row.weights and not row.has(checkpoint):
        raise ModelError(
            f"{str(checkpoint.weights)!r} does not match its checksum: the installation is damaged",
            hint="Run: pip install --force-reinstall glpn-cli",
            code=ErrorCode.CHECKSUM,
        )
    return checkpoint


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


def _check_name(name: str) -> None:
    """Refuse what can be no name, before anything looks for it. Raises UsageError."""
    if not name.strip():
        raise UsageError("the model's name is empty", hint=_known_names())
    if len(name) > _MAX_NAME:
        raise UsageError(f"a model's name of {len(name):,} characters is too long", hint=_known_names())
    if any(ord(character) < 32 or ord(character) == 127 for character in name):
        raise UsageError(f"{name[:80]!a} holds control characters and is no model's name", hint=_known_names())
    if address := re.match(r"(?:[A-Za-z][A-Za-z0-9+.-]+://|file:)(?:(?:www\.)?huggingface\.co/|hf\.co/)?(.*)", name):
        rest = "/".join(address[1].strip("/").split("/")[:2])
        is_hub = "huggingface.co/" in name or "hf.co/" in name
        raise UsageError(
            f"{name[:200]!r} is an address, not a model's name",
            hint=f"Use: -m {rest}" if is_hub and HubName.parse(rest) else _known_names(),
        )


def _unknown_name(name: str) -> UsageError:
    """The error of a name that is neither in the registry, nor a path, nor on the hub."""
    shown = quoted(name)
    if name.startswith((".", "/", "~", "\\")) or "/" in name or is_weights(Path(name)):
        return UsageError(f"there is no file or folder {shown}", code=ErrorCode.NOT_FOUND)
    close = difflib.get_close_matches(name.lower(), registry.REGISTRY, n=1, cutoff=0.5)
    return UsageError(
        f"there is no model {shown}", hint=(f"Did you mean {close[0]}? " if close else "") + _known_names()
    )


def _known_names() -> str:
    return f"Known are {', '.join(registry.REGISTRY)}, folders, and OWNER/NAME on the hub."
