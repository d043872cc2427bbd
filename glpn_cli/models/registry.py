"""The models that have names: where their weights are, what unit they speak, under which licence.

Weights that are known here keep their row however a user names them: by repository, as a carried copy, or by their
checksum. How names are found is in `glpn_cli.models.resolve`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from glpn_cli.checkpoint import Checkpoint, HubName, find_cached
from glpn_cli.models.config_base import read_config
from glpn_cli.prediction import DepthKind

DEFAULT_MODEL = "mini"
BUNDLED = Path(__file__).parent / "bundled"


@dataclass(frozen=True)
class KnownWeights:
    """A weights file by its checksum and size."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
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
    repository: str | None = None
    revision: str | None = None
    kind: DepthKind | None = DepthKind.METRIC
    limit_m: float | None = None
    published_limit_m: float | None = None
    scale_source: str
    license: str
    license_facts: str
    training_size: tuple[int, int]
    training_focal_px: float | None = None
    weights: tuple[KnownWeights, ...] = ()

    @property
    def unit(self) -> str:
        """Its unit and range, for people."""
        if self.limit_m is not None:
            return f"metres, to {self.limit_m:g} m"
        return "labels" if self.kind is None else f"no unit ({self.kind.value})"

    @property
    def hub_name(self) -> HubName | None:
        """Where the hub has it; None where it is bundled."""
        if self.repository is None:
            return None
        return HubName(self.repository, self.revision) if self.revision else HubName(self.repository)

    def has(self, checkpoint: Checkpoint) -> bool:
        """Whether the checkpoint's weights are one of the known files."""
        return any(
            # Size first: reading 245 MB to learn that they are others is not worth it.
            checkpoint.weights_bytes == known.size_bytes and checkpoint.sha256() == known.sha256
            for known in self.weights
        )


_HUB_LICENSE = "apache-2.0 on its card"
_GLPN_FACTS = (
    "The card was written by those who converted the weights; the author's repository says non-commercial, and its "
    "encoder carries the NVIDIA Source Code License"
)
_DPT_FACTS = (
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
            limit_m=10.0,
            published_limit_m=10.0,
            scale_source="10 m, trained on procedural rooms with exact depth",
            license="Apache-2.0",
            license_facts="No outside data: trained on this project's own scenes alone",
            training_size=(192, 256),
            training_focal_px=220.0,
            weights=(KnownWeights("7ba422fd94adac4f9f55c1bb97c4d09ea15d6816a6ca79955b57552f7f49c2fd", 8537382),),
        ),
        ModelRow(
            name="nyu",
            description="GLPN trained on NYU Depth v2, indoor",
            repository="vinvino02/glpn-nyu",
            limit_m=10.0,
            published_limit_m=10.0,
            scale_source="10 m in the author's code and in the hub's config",
            license=_HUB_LICENSE,
            license_facts=_GLPN_FACTS,
            training_size=(480, 640),
            training_focal_px=518.86,
        ),
        ModelRow(
            name="kitti",
            description="GLPN trained on KITTI, driving",
            repository="vinvino02/glpn-kitti",
            limit_m=80.0,
            published_limit_m=10.0,
            scale_source="80 m by the author's code, which trains and evaluates KITTI with 80; the hub's config says "
            "10, which is wrong by a factor of 8. Not yet verified on the weights",
            license=_HUB_LICENSE,
            license_facts=_GLPN_FACTS,
            training_size=(352, 1216),
            training_focal_px=721.5,
        ),
        ModelRow(
            name="dpt-large",
            description="DPT-Large trained on ten data sets together, any scene",
            repository="Intel/dpt-large",
            kind=DepthKind.DISPARITY,
            scale_source=_NO_SCALE,
            license=_HUB_LICENSE,
            license_facts=_DPT_FACTS,
            training_size=(384, 384),
        ),
        ModelRow(
            name="dpt-hybrid-midas",
            description="DPT-Hybrid trained on ten data sets together, any scene; a third of the size",
            repository="Intel/dpt-hybrid-midas",
            kind=DepthKind.DISPARITY,
            scale_source=_NO_SCALE,
            license=_HUB_LICENSE,
            license_facts=_DPT_FACTS,
            training_size=(384, 384),
        ),
        ModelRow(
            name="dpt-large-ade",
            description="DPT-Large trained on ADE20K, which labels pixels with 150 kinds of things",
            repository="Intel/dpt-large-ade",
            kind=None,
            scale_source="It predicts labels, not depth",
            license=_HUB_LICENSE,
            license_facts=f"{_DPT_FACTS}. A request of 2022 to change this card to MIT was open when it was copied",
            training_size=(480, 480),
        ),
    )
}


def find_here(row: ModelRow) -> Path | None:
    """The folder that a model of the registry lies in on this machine, or None. No network, nothing is verified."""
    if row.hub_name is not None:
        return find_cached(row.hub_name)
    return BUNDLED if BUNDLED.is_dir() else None


def row_of_repository(repository: str | None) -> ModelRow | None:
    """The row of OWNER/NAME on the hub, in whatever case; None where there is none."""
    if repository is None:
        return None
    rows = (row for row in REGISTRY.values() if row.repository is not None)
    return next((row for row in rows if str(row.repository).lower() == repository.lower()), None)


def identify(checkpoint: Checkpoint) -> ModelRow | None:
    """The registry's row of these weights, whatever they were named by; None where it does not know them.

    By the hub's cache, by checksum, or by the source that the folder records, unless its limit was changed since: then
    they are somebody's own weights that only began as these.
    """
    row = row_of_repository(checkpoint.source)
    if row is not None and checkpoint.is_cached:
        return row
    for known in REGISTRY.values():
        if known.has(checkpoint):
            return known
    if row is None:
        return None
    limit_m = read_config(checkpoint.config).limit_m
    return row if limit_m in (row.limit_m, row.published_limit_m) else None
