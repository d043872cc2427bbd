"""Everything that can be known about a model without running it. No torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from glpn_cli.checkpoint import TensorInfo
from glpn_cli.checkpoint.hub import is_intact
from glpn_cli.models.config_base import Cost, InputSize, ModelConfig, read_config
from glpn_cli.models.resolve import ResolvedModel


@dataclass(frozen=True)
class _Check:
    """One thing that was looked at.

    passed: whether it is as it should be; None where there was nothing to compare it with
    found:  the same in words
    """

    name: str
    passed: bool | None
    found: str

    def __str__(self) -> str:
        """`ok: all 166 tensors fit the config`."""
        return self.found if self.passed is None else f"{'ok' if self.passed else 'WRONG'}: {self.found}"


@dataclass(frozen=True, eq=False)
class ModelReport:
    """What is known about a model.

    config:       its config, read; its raw object, with what the registry knows better, is the model's
    stored_types: type -> how many tensors of the file have it
    network_size: (h, w) that the network sees of a picture of the size that it was trained on
    cost:         what one such picture costs
    checks:       what was looked at
    """

    model: ResolvedModel
    config: ModelConfig
    sha256: str
    stored_types: Mapping[str, int]
    network_size: tuple[int, int]
    cost: Cost
    checks: tuple[_Check, ...]

    @classmethod
    def of(cls, model: ResolvedModel, *, input_size: InputSize | None = None) -> ModelReport:
        """Look at a model's config, header and checksum; no tensor is read.

        input_size: as for a prediction; default auto. The cost is counted for a picture of the size it was trained on

        Raises ModelError where config or header cannot be read. A header that does not fit the config fails a check.
        """
        checkpoint = model.checkpoint
        config = read_config(model.config)
        header = checkpoint.header()
        network_size = config.network_size(config.training_size, input_size or InputSize())
        return cls(
            model=model,
            config=config,
            sha256=checkpoint.sha256(),
            stored_types=dict(sorted(Counter(info.dtype for info in header.values()).items())),
            network_size=network_size,
            cost=config.cost(network_size),
            checks=(_check_header(config, header), _check_checksum(model)),
        )

    @property
    def is_sound(self) -> bool:
        """Whether no check failed."""
        return all(check.passed is not False for check in self.checks)

    @property
    def unit(self) -> str:
        """What its numbers are, for people."""
        kind = self.config.kind
        if kind is None:
            return "labels"
        limit = "" if self.model.limit_m is None else f", to {self.model.limit_m:g} m"
        return ("metres" if kind.is_metric else f"no unit ({kind.value})") + limit


def _check_header(config: ModelConfig, header: Mapping[str, TensorInfo]) -> _Check:
    match = config.match({name: info.shape for name, info in header.items()})
    found = f"all {len(header)} tensors fit the config"
    return _Check(
        "header", match.is_exact, found if match.is_exact else f"the tensors do not fit the config: {match.describe()}"
    )


def _check_checksum(model: ResolvedModel) -> _Check:
    sha256 = model.checkpoint.sha256()
    if model.row is not None and model.row.weights:
        is_known = any(known == sha256 for known, _ in model.row.weights)
        return _Check(
            "checksum", is_known, f"{'matches' if is_known else 'is not'} what is on record for {model.row.name}"
        )
    checkpoint = model.checkpoint
    compared = [is_intact(path) for path in checkpoint.files()] if checkpoint.is_cached else [None]
    if False in compared:
        return _Check("checksum", False, "is not what the hub named the file by")
    if None not in compared:
        return _Check("checksum", True, "matches what the hub named the file by")
    return _Check("checksum", None, "none on record to compare it with")
