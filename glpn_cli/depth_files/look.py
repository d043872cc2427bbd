"""How a map is painted: the settings that `export` takes and that coloured and grey pictures record."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from glpn_cli.colormaps import COLORMAPS, IMAGE_RANGE, RangePolicy, parse_range
from glpn_cli.errors import UsageError
from glpn_cli.prediction import DepthKind


@dataclass(frozen=True)
class Look:
    """How a map is painted.

    range:        from which depth to which
    colormap:     one of `COLORMAPS`; near is warm
    invert:       turn the colours round: near is cold
    colorbar:     a scale beside the picture
    side_by_side: the picture at the left of its map
    contours_m:   lines every so many metres

    Raises UsageError for a colormap that does not exist and for contours that are no distance.
    """

    range: RangePolicy = IMAGE_RANGE
    colormap: str = "spectral"
    invert: bool = False
    colorbar: bool = False
    side_by_side: bool = False
    contours_m: float | None = None

    def __post_init__(self) -> None:
        if self.colormap not in COLORMAPS:
            raise UsageError(f"there is no colormap '{self.colormap}'", hint=f"Choose from {', '.join(COLORMAPS)}.")
        if self.contours_m is not None and not 0 < self.contours_m < math.inf:
            raise UsageError(
                f"contours every {self.contours_m:g} m make no sense", hint="Write --contours 0.5, for example."
            )

    def check(self, kind: DepthKind, limit_m: float | None) -> None:
        """Refuse at planning what maps of this kind cannot be painted with (UsageError)."""
        self.range.check(kind, limit_m)
        if self.contours_m is not None and not kind.is_metric:
            raise UsageError(f"contours need metres, and this model gives {kind.value} depth")

    def to_fields(self) -> dict[str, str | float | None]:
        """The settings as a record carries them."""
        return {
            "range": self.range.text,
            "colormap": self.colormap,
            "invert": _word(self.invert),
            "colorbar": _word(self.colorbar),
            "side_by_side": _word(self.side_by_side),
            "contours_m": self.contours_m,
        }

    @classmethod
    def from_fields(cls, fields: Mapping[str, str]) -> Look:
        """Read `to_fields` back. Raises UsageError or ValueError where they make no sense."""
        return cls(
            range=parse_range(fields["range"]),
            colormap=fields.get("colormap", "spectral"),
            invert=fields.get("invert") == "yes",
            colorbar=fields.get("colorbar") == "yes",
            side_by_side=fields.get("side_by_side") == "yes",
            contours_m=float(fields["contours_m"]) if "contours_m" in fields else None,
        )


def _word(flag: bool) -> str:
    return "yes" if flag else "no"
