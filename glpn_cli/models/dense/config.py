"""What configs of families with a vision transformer and DPT's decoder share. No torch.

Among it the `backbone_config` of a bigger config: which of its stages are read, and its way in and out of files.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, Self

from glpn_cli.errors import ModelError
from glpn_cli.models.fields import as_sides, check_fields, read_fields


class PatchGrid:
    """What follows from the fields of a vision transformer: its patches, and the pictures that they were trained on."""

    hidden_size: int
    num_attention_heads: int
    image_size: int | list[int] | tuple[int, int]
    patch_size: int | list[int] | tuple[int, int]

    def check_patches(self) -> None:
        """Raise ModelError unless heads divide the width, and the picture holds a patch."""
        if self.hidden_size % self.num_attention_heads:
            raise ModelError(
                f"hidden_size = {self.hidden_size} is no multiple of num_attention_heads = {self.num_attention_heads}"
            )
        if min(self.grid) < 1:
            raise ModelError(f"image_size = {self.image_size} is smaller than patch_size = {self.patch_size}")

    @property
    def patch_sides(self) -> tuple[int, int]:
        """(height, width) of a patch, in pixels."""
        return as_sides(self.patch_size)

    @property
    def image_sides(self) -> tuple[int, int]:
        """(height, width) of the pictures whose position embeddings are stored."""
        return as_sides(self.image_size)

    @property
    def grid(self) -> tuple[int, int]:
        """(rows, columns) of patches that have a position embedding of their own."""
        height, width = (side // patch for side, patch in zip(self.image_sides, self.patch_sides, strict=True))
        return height, width


def check_decoder(level_widths: list[int], factors: list[float], head_in_index: int) -> None:
    """Raise ModelError unless every level has its factor, and the head reads one of them."""
    levels = len(level_widths)
    if len(factors) != levels:
        raise ModelError(f"reassemble_factors = {factors} must list one number for each of the {levels} levels")
    if not -levels <= head_in_index < levels:
        raise ModelError(f"head_in_index = {head_in_index} names none of the decoder's {levels} outputs")


class BackboneConfig(ABC):
    """Base of the backbones' configs, which are dataclasses of the documented fields.

    model_type:                its name in a file
    out_features, out_indices: the stages that are read, by name or by number; the stem is 0
    unknown:                   keys of a file that are no fields; written back and otherwise ignored

    Constructing one checks it: ModelError names the field and its value.
    """

    model_type: ClassVar[str]

    out_features: list[str] | None
    out_indices: list[int] | None
    unknown: dict[str, Any]

    def __post_init__(self) -> None:
        read_fields(self)
        self.complete()
        check_fields(self)
        names = self.stage_names
        if any(name not in names for name in self.out_features or ()):
            raise ModelError(f"out_features = {self.out_features} must be of {', '.join(names)}")
        if any(not -len(names) <= place < len(names) for place in self.out_indices or ()):
            raise ModelError(f"out_indices = {self.out_indices} must be of 0 to {len(names) - 1}")
        self.check_together()
        self.out_indices = list(self.outputs)
        self.out_features = [names[place] for place in self.out_indices]

    def complete(self) -> None:  # noqa: B027 - most configs are complete as they are
        """Bring fields to one of several documented spellings."""

    @abstractmethod
    def check_together(self) -> None:
        """Raise ModelError where fields, each within its bounds, do not fit each other."""

    @property
    @abstractmethod
    def stage_names(self) -> tuple[str, ...]:
        """Stem and stages, in the order of the forward pass."""

    @property
    def outputs(self) -> tuple[int, ...]:
        """Which of stem and stages are read, 0 = stem, in the order of the forward pass."""
        count = len(self.stage_names)
        if self.out_features is not None:
            return tuple(sorted({self.stage_names.index(name) for name in self.out_features}))
        if self.out_indices is not None:
            return tuple(sorted({place % count for place in self.out_indices}))
        return (count - 1,)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """Read a `backbone_config` of this type."""
        rest = {key: value for key, value in raw.items() if key not in ("model_type", "stage_names")}
        known: dict[str, Any] = {name: rest.pop(name) for name in cls.file_fields() if name in rest}
        known["unknown"] = rest
        return cls(**known)

    def to_dict(self) -> dict[str, Any]:
        """The object of a `backbone_config` that transformers reads too."""
        return {"model_type": self.model_type} | self.unknown | {n: getattr(self, n) for n in self.file_fields()}

    @classmethod
    def file_fields(cls) -> list[str]:
        """The documented fields."""
        return [each.name for each in fields(cls) if each.name != "unknown"]  # type: ignore[arg-type]  # a dataclass


def fields_of(backbone: Any) -> Mapping[str, Any] | None:
    """A `backbone_config` as its fields, whosever object it is. Raises ModelError where it is none."""
    if hasattr(backbone, "to_dict"):
        backbone = backbone.to_dict()
    if backbone is not None and not isinstance(backbone, Mapping):
        raise ModelError(f"backbone_config = {backbone!r} is no object")
    return backbone


def read_backbone(
    backbone: Any, classes: Mapping[str, type[BackboneConfig]], *, default: Mapping[str, Any], hint: str
) -> BackboneConfig:
    """The config of a `backbone_config`: itself, its fields, or `default` where it is None.

    classes: by `model_type`; the first is meant where there is none
    hint:    which backbones there are, for the error

    Raises ModelError for other backbones, by name.
    """
    if isinstance(backbone, tuple(classes.values())):
        assert isinstance(backbone, BackboneConfig)
        return backbone
    raw = fields_of(backbone) or default
    model_type = raw.get("model_type", next(iter(classes)))
    if model_type not in classes:
        raise ModelError(f"backbone_config of type {model_type!r} is not supported", hint=hint)
    return classes[model_type].from_dict(raw)
