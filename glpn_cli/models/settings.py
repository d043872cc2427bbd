"""A model and the settings of its predictions: everything that is known before a network runs. No torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from functools import cached_property
from typing import Any

from glpn_cli.errors import ErrorCode, InputError, ModelError, UsageError
from glpn_cli.geometry import FocalChoice, focal_to_35mm
from glpn_cli.models.config_base import InputSize, ModelConfig, read_config
from glpn_cli.models.resolve import ResolvedModel
from glpn_cli.prediction import DepthKind, Provenance

_ENOUGH = 2
"""Pixels a side that are decoded for one that the network sees, where the decoder can leave some out. Depths of
photographs then differ by 0.1 to 0.2 % on average from those of a full decode, with 1 by 0.3 to 0.7 %; 2 holds the
larger sizes of `--uncertainty` too."""
_MOST_LENS_FACTOR = 10.0  # a 250 mm lens, where the network learned through 25 mm


class Upsampling(StrEnum):
    """How a depth map is brought to the picture's size."""

    BICUBIC = "bicubic"
    NEAREST = "nearest"
    GUIDED = "guided"

    @classmethod
    def parse(cls, text: str) -> Upsampling:
        """Read bicubic, nearest or guided. Raises UsageError."""
        try:
            return cls(text)
        except ValueError as error:
            raise UsageError(f"there is no upsampling {text!r}", hint=f"Choose from {', '.join(cls)}.") from error


@dataclass(frozen=True)
class InferenceSettings:
    """A model and its settings.

    precision: as it was asked for: auto, fp32, bf16, fp16
    tta:       none, or flip: the average with the answer for the mirrored picture
    upsample:  how depth is brought to the picture's own size
    view:      which picture of each file, where that is not the usual one; see `ReadOptions.view`
    lens:      the camera to whose lens metres are scaled; None leaves them as of the lens that the network learned
               through
    """

    model: ResolvedModel
    input_size: InputSize = field(default_factory=InputSize)
    precision: str = "auto"
    tta: str = "none"
    upsample: Upsampling = Upsampling.BICUBIC
    view: str | None = None
    lens: FocalChoice | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the fields alone: what was read from files is read again where it arrives."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @cached_property
    def config(self) -> ModelConfig:
        """The network's config, with the limit that is used. Raises ModelError where it makes no sense."""
        return read_config(self.model.config)

    @property
    def limit_m(self) -> float | None:
        """The largest depth that can be answered, metres."""
        return self.model.limit_m

    @cached_property
    def predicts_labels(self) -> bool:
        """Whether it answers labels, not depth."""
        return self.config.kind is None

    @cached_property
    def kind(self) -> DepthKind:
        """What the depths will mean. Raises ModelError for a model that answers labels."""
        kind = self.config.kind
        if kind is None:
            raise ModelError(f"model {self.model.name!r} predicts labels, not depth")
        return kind

    @cached_property
    def training_35mm(self) -> float | None:
        """The 35 mm equivalent of the camera that its metres belong to, where that is known."""
        focal_px = self.config.training_focal_px
        return None if focal_px is None else focal_to_35mm(focal_px, self.config.training_size)

    def check(self) -> None:
        """Raise UsageError for settings that the model cannot follow."""
        self._check_lens()
        library = self.config.runs_through
        if library is None:
            return
        refused = {
            f"--input-size {self.input_size}": self.input_size.policy not in ("auto", "original"),
            f"--precision {self.precision}": self.precision not in ("auto", "fp32"),
            f"--upsample {self.upsample.value}": self.upsample is not Upsampling.BICUBIC,
        }
        for option, is_asked in refused.items():
            if is_asked:
                raise UsageError(
                    f"{option} makes no sense for {self.model.name!r}: {library} runs it, as published, in fp32",
                    hint="Leave it out.",
                )

    def check_other_sizes(self) -> None:
        """Raise UsageError where the network takes no sizes but those of its own processor."""
        if (library := self.config.runs_through) is not None:
            raise UsageError(
                f"--uncertainty makes no sense for {self.model.name!r}: {library} runs it, at one size",
                hint="Leave it out.",
            )

    @property
    def precision_wanted(self) -> str:
        """The same as `precision`; fp32 where another library runs the network."""
        return "fp32" if self.config.runs_through is not None else self.precision

    @property
    def usual_format(self) -> str:
        """The format of its depths where none is asked for; 16-bit integers hold metres of a known limit."""
        return "png16" if self.kind.is_metric and self.limit_m is not None else "tiff"

    def _check_lens(self) -> None:
        """Raise UsageError for metres of a picture's lens where there are no metres, or their own lens is unknown."""
        if self.lens is None:
            return
        because = f"--metres focal makes no sense for {self.model.name!r}, which predicts"
        if self.predicts_labels:
            raise UsageError(f"{because} labels", hint="Leave it out.")
        if not self.kind.is_metric:
            raise UsageError(
                f"{because} {self.kind.value}, no metres",
                hint="Make metres of it by two known distances: glpn measure --calibrate.",
            )
        if self.training_35mm is None:
            raise UsageError(
                f"--metres focal needs to know through which lens {self.model.name!r} learned, "
                "and its config.json does not say",
                hint="Bring its metres right by a known distance: glpn measure --calibrate.",
            )

    def lens_factor(self, focal_px: float, size: tuple[int, int]) -> float | None:
        """What scales the network's metres to the lens of a camera; None where its own lens is not known.

        It is the ratio of the focal lengths, each over the root of its picture's area: a network shrinks pictures to
        about one area, and takes what is k times larger there for k times nearer.

        focal_px: of the camera, in pixels of its picture of (H, W)
        """
        own = self.config.training_focal_px
        if own is None:
            return None
        trained = self.config.training_size
        return focal_px / own * math.sqrt(trained[0] * trained[1] / (size[0] * size[1]))

    def picture_factor(self, size: tuple[int, int], exif_mm: float | None) -> float:
        """What depths of a picture of (H, W) are multiplied by: 1, unless they are brought to its lens.

        exif_mm: the 35 mm equivalent that its camera wrote. Raises InputError where nobody knows its focal length, and
        where that is beyond belief, as when millimetres are said as pixels.
        """
        if self.lens is None:
            return 1.0
        camera = self.lens.camera(size, exif_mm=exif_mm)
        if camera.source == "assumed":
            raise InputError(
                "its metres cannot be brought to its lens: it has no EXIF that tells its focal length",
                hint="Say it with --focal, such as --focal 28mm, or leave out --metres focal.",
                code=ErrorCode.DATA,
            )
        # Networks learn from square pixels. Of others the area counts, as for the size of the picture.
        factor = self.lens_factor(math.sqrt(camera.fx * camera.fy), size)
        assert factor is not None, "check was not asked"
        if not 1 / _MOST_LENS_FACTOR <= factor <= _MOST_LENS_FACTOR:
            raise InputError(
                f"a focal length of {camera.fx:.4g} pixels would turn each metre into {factor:.3g}, "
                "which no lens for rooms does",
                hint="Mind the unit of --focal: 518px of this picture, 28mm as on a 35 mm camera, or 65deg across.",
                code=ErrorCode.DATA,
            )
        return factor

    @cached_property
    def weights_sha256(self) -> str:
        """The checksum of the weights, read once."""
        return self.model.checkpoint.sha256()

    @cached_property
    def provenance(self) -> Provenance:
        """How results are made, as far as that is known before the network runs."""
        return Provenance(
            model=self.model.name,
            weights_sha256=self.weights_sha256,
            revision=self.model.checkpoint.revision,
            limit_m=self.limit_m if self.lens is None else None,
            input_size=str(self.input_size),
            precision_asked=self.precision,
            tta=self.tta,
            upsample=self.upsample.value,
            metres="trained" if self.lens is None else f"focal {self.lens.text}",
            trained_limit_m=None if self.lens is None else self.limit_m,
            view=self.view,
        )

    def provenance_of(self, size: tuple[int, int], exif_mm: float | None) -> Provenance:
        """The same for a picture of (H, W), with its lens. Raises as `picture_factor` does."""
        if self.lens is None:
            return self.provenance
        factor = self.picture_factor(size, exif_mm)
        limit_m = None if self.limit_m is None else factor * self.limit_m
        return replace(self.provenance, lens_factor=factor, limit_m=limit_m)

    def enough_pixels(self, size: tuple[int, int]) -> tuple[int, int] | None:
        """(h, w) to which a picture of (H, W) may be decoded; None where every pixel counts.

        Every pixel counts where the published processor is asked for (`original`), where another library makes the
        pictures, and where the picture guides the answer to its own size. Raises as `network_size` does.
        """
        if self.config.runs_through is not None:
            return None
        if self.input_size.policy == "original" or self.upsample is Upsampling.GUIDED:
            return None
        height, width = self.network_size(size)
        return _ENOUGH * height, _ENOUGH * width

    @property
    def largest_network_size(self) -> tuple[int, int] | None:
        """(h, w) of the largest picture that the network will see; None where pictures decide that."""
        if self.input_size.policy == "original":
            return None
        height, width = self.config.training_size
        side = self.input_size.longest_side
        return self.network_size((side, side) if side else (round(1.22 * height), round(1.22 * width)))

    def network_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(h, w) that the network sees of a picture of (H, W). Raises UsageError for a size it cannot take."""
        return self.config.network_size(size, self.input_size)
