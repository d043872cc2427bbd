"""The models that have names: where their weights are, what unit they speak, under which licence.

Weights that are known here keep their row however a user names them: by repository, as a carried copy, or by their
checksum. How names are found is in `glpn_cli.models.resolve`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from glpn_cli.checkpoint import Checkpoint, HubName
from glpn_cli.models.config_base import read_config
from glpn_cli.prediction import DepthKind

DEFAULT_MODEL = "lite"
BUNDLED = Path(__file__).parent / "bundled"


@dataclass(frozen=True, kw_only=True)
class ModelRow:
    """What is known about a model beyond its own config.

    repository, revision: where the hub has it and at which commit; None = bundled, newest
    kind:                 what its depth means; None where it labels pixels
    limit_m:              depth at the head's full scale, metres; None where it predicts no metres
    published_limit_m:    what its published config says instead
    scale_source:         a sentence: how we know the limit, or why there is none
    license, license_facts: in a word, and what to know before using it
    needs_consent:        whether its licence is to be accepted by name before it is downloaded
    weights_mb:           megabytes of its weights
    best_for:             what to use it for, for the few to try first
    training_size:        (h, w) of the pictures that it was trained on
    training_focal_px:    focal length at that size of the camera that its metres belong to
    weights:              (SHA-256, bytes) of the files that these weights are known to come in
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
    needs_consent: bool = False
    weights_mb: int
    best_for: str | None = None
    training_size: tuple[int, int]
    training_focal_px: float | None = None
    weights: tuple[tuple[str, int], ...] = ()

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> ModelRow | None:
        """The registry's row of these weights, whatever they were named by; None where it does not know them.

        By the hub's cache, by checksum, or by the source that the folder records, unless its limit was changed since:
        then they are somebody's own weights that only began as these.
        """
        row = cls.of_repository(checkpoint.source)
        if row is not None and checkpoint.is_cached:
            return row
        for known in REGISTRY.values():
            if known.has(checkpoint):
                return known
        if row is None:
            return None
        limit_m = read_config(checkpoint.config).limit_m
        return row if limit_m in (row.limit_m, row.published_limit_m) else None

    @classmethod
    def of_repository(cls, repository: str | None) -> ModelRow | None:
        """The row of OWNER/NAME on the hub, in whatever case; None where there is none."""
        if repository is None:
            return None
        rows = (row for row in REGISTRY.values() if row.repository is not None)
        return next((row for row in rows if str(row.repository).lower() == repository.lower()), None)

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
            checkpoint.weights_bytes == size and checkpoint.sha256() == sha256
            for sha256, size in self.weights
        )

    def find_here(self) -> Path | None:
        """The folder that a model of the registry lies in on this machine, or None. No network, nothing is verified."""
        if self.hub_name is not None:
            from glpn_cli.checkpoint.hub import find_cached

            return find_cached(self.hub_name)
        folder = self.bundled_folder()
        return folder if folder.is_dir() else None

    def bundled_folder(self) -> Path:
        """Where a model lies that comes along with the program."""
        return BUNDLED / self.name


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

_DEPTH_ANYTHING_FACTS = (
    "By the authors' repository: small models are Apache-2.0, larger ones of V2 CC-BY-NC-4.0; what the card says is "
    "printed before a download. The terms of the data sets that it was trained on have not been looked up"
)


def _depth_anything_rows() -> Iterator[ModelRow]:
    """V2 without a unit, indoors and outdoors, then V1; of each the small, the base and the large size."""
    kinds = (
        ("da2", "depth-anything/Depth-Anything-V2-{}-hf", "trained on 62 million pictures", None),
        ("da2-indoor", "depth-anything/Depth-Anything-V2-Metric-Indoor-{}-hf", "finished on Hypersim, rooms", 20.0),
        ("da2-outdoor", "depth-anything/Depth-Anything-V2-Metric-Outdoor-{}-hf", "finished on Virtual KITTI", 80.0),
        ("da1", "LiheYoung/depth-anything-{}-hf", "trained on 62 million pictures", None),
    )
    best = {
        "da2-small": "the shape of any scene, nearer and farther without a unit",
        "da2-large": "the best shape, for uses that are not commercial; 14 times the size",
        "da2-indoor-small": "metres indoors",
        "da2-outdoor-small": "metres outdoors, from a car above all",
    }
    for kind, repository, trained, limit_m in kinds:
        for size, weights_mb in (("small", 99), ("base", 390), ("large", 1341)):
            is_free = size == "small" or kind == "da1"
            name = f"{kind}-{size}"
            yield ModelRow(
                name=name,
                description=f"Depth Anything V{kind[2]} {size}, {trained}",
                repository=repository.format(size if kind == "da1" else size.capitalize()),
                kind=DepthKind.DISPARITY if limit_m is None else DepthKind.METRIC,
                limit_m=limit_m,
                published_limit_m=limit_m,
                scale_source=_NO_SCALE
                if limit_m is None
                else f"{limit_m:g} m by its published config and its authors. Not yet verified on the weights",
                license="Apache-2.0" if is_free else "CC-BY-NC-4.0",
                license_facts=_DEPTH_ANYTHING_FACTS,
                needs_consent=not is_free,
                weights_mb=weights_mb,
                best_for=best.get(name),
                training_size=(518, 518),
            )


REGISTRY: Mapping[str, ModelRow] = {
    row.name: row
    for row in (
        ModelRow(
            name="lite",
            description="Small and bundled, an ImageNet-trained encoder taught depth on procedural rooms",
            limit_m=10.0,
            published_limit_m=10.0,
            scale_source="10 m, trained on procedural rooms with exact depth",
            license="Apache-2.0",
            license_facts="Its encoder began as EfficientNet-Lite2, which TensorFlow's authors trained on ImageNet and "
            "published under Apache-2.0; ImageNet gives its pictures out for non-commercial research and education",
            weights_mb=9,
            best_for="a first look, without a download: rooms to 10 m",
            training_size=(192, 256),
            training_focal_px=220.0,
            weights=(("359a5b0cebc328d2c988d656d93ed04092733602e4721c0541b6b2c667f95d68", 9296066),),
        ),
        ModelRow(
            name="mini",
            description="Small and bundled, trained by this project on its own procedural rooms",
            limit_m=10.0,
            published_limit_m=10.0,
            scale_source="10 m, trained on procedural rooms with exact depth",
            license="Apache-2.0",
            license_facts="No outside data: trained on this project's own scenes alone",
            weights_mb=9,
            best_for="the same, of no outside data: less exact than lite",
            training_size=(192, 256),
            training_focal_px=220.0,
            weights=(("7ba422fd94adac4f9f55c1bb97c4d09ea15d6816a6ca79955b57552f7f49c2fd", 8537382),),
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
            weights_mb=245,
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
            weights_mb=245,
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
            weights_mb=1368,
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
            weights_mb=490,
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
            weights_mb=1375,
            best_for="labels of rooms and streets instead of depth",
            training_size=(480, 480),
        ),
        *_depth_anything_rows(),
    )
}


def better_than_default() -> ModelRow | None:
    """The best metric model for rooms that is on this machine already, if one is better than the default."""
    names = ("da2-indoor-large", "da2-indoor-base", "da2-indoor-small", "nyu")
    return next((REGISTRY[name] for name in names if REGISTRY[name].find_here() is not None), None)
