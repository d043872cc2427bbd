"""Whether a file can stand for the one that would be written now, and if not, in which settings they differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from glpn_cli.depth_files.record_text import PREFIX

# What must agree for an existing file to stand for the one that would be written now. What is only known after the
# network ran (device, precision used, extent) is not asked, and neither is the name that the model went by.
RECIPE = (
    "source",
    "view",
    "format",
    "map",
    "kind",
    "weights_sha256",
    "calibration",  # before the limit, which it moves, as the lens does
    "metres",
    "trained_limit_m",
    "limit_m",
    "input_size",
    "precision_asked",
    "tta",
    "upsample",
    "depth_scale",
    "range",
    "near",
    "far",
    "colormap",
    "invert",
    "colorbar",
    "side_by_side",
    "contours_m",
    "focal",
    "axes",
    "edge_cull",
)
# Not always known beforehand: a range only where it was given in metres or settled over a batch, a limit not for depth
# files that do not say how they were made, nor beyond a lens that a picture has yet to tell. Compared only where it is.
_WHERE_EXPECTED = frozenset({"near", "far", "limit_m"})


@dataclass(frozen=True)
class Difference:
    """One setting in which a file differs from the one that would be written now; None where a side does not say."""

    key: str
    found: str | None
    wanted: str | None

    def __str__(self) -> str:
        return f"{self.key} is {self.found or 'not recorded'}, not {self.wanted or 'unset'}"


def find_differences(found: Mapping[str, str], wanted: Mapping[str, str]) -> tuple[Difference, ...]:
    """In which settings two records' texts differ; empty where the file with the one can stand for the other.

    Compared as text, as files hold it: names that have several spellings in memory have one there.
    """
    differences = (Difference(key, found.get(PREFIX + key), wanted.get(PREFIX + key)) for key in RECIPE)
    return tuple(
        difference
        for difference in differences
        if difference.found != difference.wanted
        and not (difference.wanted is None and difference.key in _WHERE_EXPECTED)
    )
