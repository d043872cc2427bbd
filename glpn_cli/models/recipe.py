"""How predictions are asked for: a model and its settings, everything that is known before a network runs. No torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from glpn_cli.errors import ModelError
from glpn_cli.geometry import focal_to_35mm
from glpn_cli.models.families import InputSize, ModelFamily, family_of
from glpn_cli.models.resolving import ResolvedModel
from glpn_cli.models.upsampling import Upsampling
from glpn_cli.prediction import DepthKind, Provenance

ENOUGH = 2
"""Pixels a side that are decoded for one that the network sees, where the decoder can leave some out. Depths of
photographs then differ by 0.1 to 0.2 % on average from those of a full decode, with 1 by 0.3 to 0.7 %; 2 holds the
larger sizes of `--uncertainty` too."""


@dataclass(frozen=True)
class Recipe:
    """A model and its settings.

    precision: as it was asked for: auto, fp32, bf16, fp16
    tta:       none, or flip: the average with the answer for the mirrored picture
    upsample:  how depth is brought to the picture's own size
    view:      which picture of each file, where that is not the usual one; see `ReadOptions.view`
    """

    model: ResolvedModel
    input_size: InputSize = field(default_factory=InputSize)
    precision: str = "auto"
    tta: str = "none"
    upsample: Upsampling = Upsampling.BICUBIC
    view: str | None = None

    @cached_property
    def family(self) -> ModelFamily:
        """Who knows the network."""
        return family_of(self.model.checkpoint.config)

    @cached_property
    def config(self) -> Any:
        """The network's config, with the limit that is used. Raises ModelError where it makes no sense."""
        return self.family.read_config(self.model.config)

    @property
    def limit_m(self) -> float | None:
        """The largest depth that can be answered, metres."""
        return self.model.limit_m

    @cached_property
    def predicts_labels(self) -> bool:
        """Whether it answers labels, not depth."""
        return self.family.kind(self.config) is None

    @cached_property
    def kind(self) -> DepthKind:
        """What the depths will mean. Raises ModelError for a model that answers labels."""
        kind = self.family.kind(self.config)
        if kind is None:
            raise ModelError(f"model {self.model.name!r} predicts labels, not depth")
        return kind

    @cached_property
    def training_35mm(self) -> float | None:
        """The 35 mm equivalent of the camera that its metres belong to, where that is known."""
        focal_px = self.family.training_focal_px(self.config)
        return None if focal_px is None else focal_to_35mm(focal_px, self.family.training_size(self.config))

    @cached_property
    def weights_sha256(self) -> str:
        """The checksum of the weights, read once."""
        return self.model.checkpoint.sha256()

    @cached_property
    def provenance(self) -> Provenance:
        """What results will say of their making, as far as it is known before the network ran."""
        return Provenance(
            model=self.model.name,
            weights_sha256=self.weights_sha256,
            revision=self.model.checkpoint.revision,
            limit_m=self.limit_m,
            input_size=str(self.input_size),
            precision_asked=self.precision,
            tta=self.tta,
            upsample=self.upsample.value,
            view=self.view,
        )

    def enough_pixels(self, size: tuple[int, int]) -> tuple[int, int] | None:
        """(h, w) to which a picture of (H, W) may be decoded; None where every pixel counts.

        Every pixel counts where the published processor is asked for (`original`), and where the picture guides the
        answer to its own size. Raises as `network_size` does.
        """
        if self.input_size.policy == "original" or self.upsample is Upsampling.GUIDED:
            return None
        height, width = self.network_size(size)
        return ENOUGH * height, ENOUGH * width

    @property
    def largest_network_size(self) -> tuple[int, int] | None:
        """(h, w) of the largest picture that the network will see; None where pictures decide that."""
        if self.input_size.policy == "original":
            return None
        height, width = self.family.training_size(self.config)
        side = self.input_size.longest_side
        return self.network_size((side, side) if side else (round(1.22 * height), round(1.22 * width)))

    def network_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(h, w) that the network sees of a picture of (H, W). Raises UsageError for a size it cannot take."""
        return self.family.network_size(self.config, size, self.input_size)
