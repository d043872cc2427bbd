"""Everything that can be known about a model without running it. No torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from glpn_cli.checkpoint import TensorInfo
from glpn_cli.checkpoint.hub import is_intact
from glpn_cli.errors import ModelError
from glpn_cli.models.config_base import Cost, InputSize, ModelConfig, read_config
from glpn_cli.models.registry import ModelRow
from glpn_cli.models.resolve import ResolvedModel, resolve_model
from glpn_cli.models.state_dict import StateDictMatch
from glpn_cli.prediction import DepthKind
from glpn_cli.text import first_of


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    passed: whether it is as it should be; None where there was nothing to hold it against
    found:  the same in words
    """

    name: str
    passed: bool | None
    found: str


@dataclass(frozen=True, eq=False)
class ModelReport:
    """What is known about a model.

    kind:            what its depth means; None where it predicts labels
    parameters:      by part of the network, in the order of the forward pass
    stored_types:    type -> how many tensors of the file have it
    picture_size:    (H, W) of the picture that `network_size` and `cost` are for
    network_size:    (h, w) that the network sees of it
    cost:            what one such picture costs
    config:          config.json with what the registry knows better
    unknown_keys:    keys of config.json that mean nothing here
    eps_mode:        whose epsilons the layer norms use, where the family has a choice
    checks:          what was looked at
    """

    model: ResolvedModel
    family: str
    kind: DepthKind | None
    sha256: str
    weights_bytes: int
    stored_types: Mapping[str, int]
    parameters: Mapping[str, int]
    picture_size: tuple[int, int]
    network_size: tuple[int, int]
    cost: Cost
    training_size: tuple[int, int]
    training_focal_px: float | None
    config: Mapping[str, Any]
    unknown_keys: tuple[str, ...]
    eps_mode: str | None
    checks: tuple[Check, ...]

    @property
    def row(self) -> ModelRow | None:
        """What the registry knows about it."""
        return self.model.row

    @property
    def total_parameters(self) -> int:
        """Of the whole network."""
        return sum(self.parameters.values())

    @property
    def is_sound(self) -> bool:
        """Whether no check failed."""
        return all(check.passed is not False for check in self.checks)

    @property
    def unit(self) -> str:
        """What its numbers are, for people."""
        if self.kind is None:
            return "labels"
        limit = "" if self.model.limit_m is None else f", to {self.model.limit_m:g} m"
        return ("metres" if self.kind.is_metric else f"no unit ({self.kind.value})") + limit


def inspect_model(model: ResolvedModel, *, input_size: InputSize | None = None) -> ModelReport:
    """Look at a model's config, header and checksum; no tensor is read.

    input_size: as for a prediction; default auto. The cost is counted for a picture of the size it was trained on

    Raises ModelError where config or header cannot be read. A header that does not fit the config is a failed check.
    """
    checkpoint = model.checkpoint
    config = read_config(model.config)
    header = checkpoint.header()
    network_size = config.network_size(config.training_size, input_size or InputSize())
    return ModelReport(
        model=model,
        family=config.model_type,
        kind=config.kind,
        sha256=checkpoint.sha256(),
        weights_bytes=checkpoint.weights_bytes,
        stored_types=dict(sorted(Counter(info.dtype for info in header.values()).items())),
        parameters=config.parts(),
        picture_size=config.training_size,
        network_size=network_size,
        cost=config.cost(network_size),
        training_size=config.training_size,
        training_focal_px=config.training_focal_px,
        config=model.config,
        unknown_keys=config.unread_keys,
        eps_mode=getattr(config, "layer_norm_eps_mode", None),
        checks=check_model(model, config=config, header=header),
    )


def check_model(model: ResolvedModel, *, config: ModelConfig, header: Mapping[str, TensorInfo]) -> tuple[Check, ...]:
    """Compare the header with the config, and the weights with their known checksum."""
    match = config.match({name: info.shape for name, info in header.items()})
    return Check("header", match.is_exact, _match_text(match, len(header))), _check_checksum(model)


def _match_text(match: StateDictMatch, count: int) -> str:
    if match.is_exact:
        return f"all {count} tensors fit the config"
    parts = {"missing": match.missing, "unexpected": match.unexpected, "mis-shaped": match.misshapen}
    listed = (f"{len(names)} {word}: {first_of(names)}" for word, names in parts.items() if names)
    return "the tensors do not fit the config: " + "; ".join(listed)


def _check_checksum(model: ResolvedModel) -> Check:
    sha256 = model.checkpoint.sha256()
    if model.row is not None and model.row.weights:
        is_known = any(weights.sha256 == sha256 for weights in model.row.weights)
        return Check(
            "checksum", is_known, f"{'matches' if is_known else 'is not'} what is on record for {model.row.name}"
        )
    checkpoint = model.checkpoint
    compared = [is_intact(path) for path in checkpoint.files()] if checkpoint.is_cached else [None]
    if False in compared:
        return Check("checksum", False, "is not what the hub named the file by")
    if None not in compared:
        return Check("checksum", True, "matches what the hub named the file by")
    return Check("checksum", None, "none on record to hold it against")


@dataclass(frozen=True, eq=False)
class _Verdict:
    """Whether a model is whole: what was looked at, or why it could not be."""

    checks: tuple[Check, ...] = ()
    sha256: str | None = None
    error: ModelError | None = None

    @property
    def is_sound(self) -> bool:
        """Whether it could be looked at and no check failed."""
        return self.error is None and all(check.passed is not False for check in self.checks)


def verify_model(name: str) -> _Verdict:
    """Look whether a model on this machine is whole; the network is not touched.

    Raises UsageError for a name that means nothing.
    """
    try:
        model = resolve_model(name, offline=True)
        checks = check_model(model, config=read_config(model.config), header=model.checkpoint.header())
        return _Verdict(checks, model.checkpoint.sha256())
    except ModelError as error:
        return _Verdict(error=error)
