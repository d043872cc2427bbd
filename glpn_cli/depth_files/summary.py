"""The record and the numbers of a depth file, as `inspect` tells them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from glpn_cli.depth_files.formats import read_depth, read_record
from glpn_cli.depth_files.record import UNCERTAINTY, Record
from glpn_cli.depth_files.uncertainty import read_uncertainty
from glpn_cli.options import MAX_PIXELS
from glpn_cli.prediction import DepthKind, DepthMap, UncertaintyMap

PERCENTILES = (1, 5, 25, 50, 75, 95, 99)

_READABLE = ("depth", "gray")  # the maps whose pixels are still depths


@dataclass(frozen=True)
class DepthSummary:
    """A depth file in numbers; of painted maps and labels only the record.

    record:      None where it has none
    size:        (H, W); None for a picture made of depth, whose pixels are no depths any more
    valid_share: share of the pixels that are valid, 0 to 1
    min_max:     (smallest, largest) valid depth, None where nothing is valid
    mean, median: of the valid pixels
    percentiles: percent -> depth, of the valid pixels
    not_depth:   pixels with a number that is no depth: 65535, 1e9 and more, or negative
    """

    format: str
    map: str
    kind: DepthKind | None
    record: Record | None
    size: tuple[int, int] | None = None
    valid_share: float | None = None
    min_max: tuple[float, float] | None = None
    mean: float | None = None
    median: float | None = None
    percentiles: tuple[tuple[int, float], ...] = ()
    not_depth: int = 0

    @classmethod
    def of(
        cls,
        source: Path | bytes,
        *,
        depth_scale: float | None = None,
        kind: DepthKind = DepthKind.METRIC,
        max_pixels: int = MAX_PIXELS,
    ) -> DepthSummary:
        """Look at a depth file, or at a picture that was painted from depth.

        source:      a path, or the file's bytes
        depth_scale: stored units per metre, for integer files that do not say.
        kind:        what the numbers mean, for files that do not say.
        max_pixels:  refuse maps with more, before anything is laid out.

        Raises InputError where the file is neither.
        """
        record = read_record(source)
        if record is not None and record.map == UNCERTAINTY:
            uncertainty, record = read_uncertainty(source, max_pixels=max_pixels)
            return _summarise(uncertainty, record.format, record.map, record)
        if record is not None and record.map not in _READABLE:
            return cls(record.format, record.map, record.kind, record, min_max=record.min_max)
        stored = read_depth(source, depth_scale=depth_scale, kind=kind, max_pixels=max_pixels)
        if depth_scale is not None:
            stored.require_whole_numbers()
        return replace(_summarise(stored.depth, stored.format, "depth", stored.record), not_depth=stored.not_depth)


def _summarise(values: DepthMap | UncertaintyMap, name: str, held: str, record: Record | None) -> DepthSummary:
    """The numbers of what was read."""
    known = values.valid_values()
    mean, median = values.mean_median() or (None, None)
    percentiles = np.percentile(known, PERCENTILES) if known.size else ()
    return DepthSummary(
        format=name,
        map=held,
        kind=values.kind,
        record=record,
        size=values.size,
        valid_share=known.size / max(1, values.values.size),
        min_max=values.min_max(),
        mean=mean,
        median=median,
        percentiles=tuple((percent, float(value)) for percent, value in zip(PERCENTILES, percentiles, strict=False)),
    )
