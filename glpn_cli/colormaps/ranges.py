"""The depths between which a picture is painted: what `--range` can say, and what that is for one map.

A range runs from `near` to `far` in the map's own unit. For metric depth these are metres; for disparity, where larger
is nearer, `near` is the larger number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from glpn_cli.errors import ErrorCode, UsageError
from glpn_cli.prediction import DepthKind, DepthMap

_IMAGE_PERCENTILES = (2.0, 98.0)
# A model's own range ends at its limit; what is nearer than this share of it is rare (0.4 m of 10 m, 3.2 m of 80 m).
_MODEL_NEAR_SHARE = 1 / 25
# A flat wall is not worth all colours: what differs by less than this factor is widened to it, about its middle.
_LEAST_RATIO = 1.05


@dataclass(frozen=True)
class PaintRange:
    """The two ends of the colours, > 0 and different, in the map's own unit (metres where it is metric).

    Depths nearer than `near` get the near colour, those farther than `far` the far one.
    """

    near: float
    far: float

    def __post_init__(self) -> None:
        if not (0 < self.near < math.inf and 0 < self.far < math.inf and self.near != self.far):
            raise ValueError(f"a range needs two different numbers > 0, not {self.near:g} and {self.far:g}")


class RangeRule(StrEnum):
    """Where the two ends come from."""

    PERCENTILES = "percentiles"
    MODEL = "model"
    BATCH = "batch"
    RUNNING = "running"
    FIXED = "fixed"


@dataclass(frozen=True)
class RangePolicy:
    """The range that was asked for with `--range`.

    rule:        where the two ends come from
    text:        the option's value in its one spelling, as records carry it
    percentiles: for PERCENTILES, BATCH and RUNNING, 0 to 100, over the valid depths from the smallest up
    ends:        for FIXED, and for a BATCH that is settled: (smaller, larger), in the map's own unit
    """

    rule: RangeRule
    text: str
    percentiles: tuple[float, float] = _IMAGE_PERCENTILES
    ends: tuple[float, float] | None = None

    @property
    def needs_settling(self) -> bool:
        """Whether the range is of a whole batch and has not been settled yet."""
        return self.rule is RangeRule.BATCH and self.ends is None

    def settle(self, settled: PaintRange) -> RangePolicy:
        """The same policy with the range that the whole batch came to."""
        return replace(self, ends=(min(settled.near, settled.far), max(settled.near, settled.far)))

    def ends_for(self, kind: DepthKind) -> PaintRange | None:
        """The range that is known without any map: one that was given in numbers, or is settled; else None."""
        return None if self.ends is None else _orient(*self.ends, kind)

    def check(self, kind: DepthKind, limit_m: float | None) -> None:
        """Refuse at planning what could not be resolved later (UsageError)."""
        if self.rule is RangeRule.RUNNING:
            raise UsageError(
                "--range running follows the frames of a clip, and is for clips written to a video file",
                hint="Use --range image, or --range batch.",
            )
        if self.rule is RangeRule.MODEL and (not kind.is_metric or limit_m is None):
            raise UsageError(
                "--range model needs a model with a limit in metres",
                hint="Use --range image, or --range NEAR:FAR.",
                code=ErrorCode.RANGE,
            )

    @classmethod
    def parse(cls, text: str) -> RangePolicy:
        """Read a range: `image`, `batch`, `model`, `running`, `pA:pB` (percentiles) or `NEAR:FAR`.

        The ends are metres; for other kinds of depth their own numbers.

        Raises UsageError for anything else, by name.
        """
        word = text.strip().lower()
        if word == "image":
            return IMAGE_RANGE
        if word in ("batch", "model", "running"):
            return cls(rule=RangeRule(word), text=word)
        parts = word.split(":")
        if len(parts) != 2:
            raise _bad_range(text, "it is none of image, batch, model, running, pA:pB, NEAR:FAR")
        if all(part.startswith("p") for part in parts):
            low, high = (_read_number(part[1:], text) for part in parts)
            if not 0 <= low < high <= 100:
                raise _bad_range(text, "percentiles go from 0 to 100, the smaller one first")
            return cls(rule=RangeRule.PERCENTILES, text=f"p{low:g}:p{high:g}", percentiles=(low, high))
        near, far = (_read_number(part, text) for part in parts)
        if not 0 < near < far < math.inf:
            raise _bad_range(text, "both ends must be > 0, the nearer one first (--invert turns the colours round)")
        spelled = ":".join(repr(end).removesuffix(".0") for end in (near, far))
        return cls(rule=RangeRule.FIXED, text=spelled, ends=(near, far))

    def resolve(self, depth: DepthMap) -> PaintRange:
        """The two ends for one map.

        A map that is all the same gets a narrow range about its depth, one without a valid pixel its model's (or 1 to
        10). Raises UsageError where a limit is wanted that the map does not have, ValueError for an unsettled batch.
        """
        if self.needs_settling:
            raise ValueError("a batch's range must be settled before it is used")
        if (known_ends := self.ends_for(depth.kind)) is not None:
            return known_ends
        if self.rule is RangeRule.MODEL:
            self.check(depth.kind, depth.limit)
            return _model_range(depth)
        known = depth.valid_values()
        if not known.size:
            return _model_range(depth)
        low, high = np.percentile(known, self.percentiles)
        return _orient(*_settle_ends(float(low), float(high)), depth.kind)

    def merge(self, histograms: Iterable[DepthHistogram]) -> RangePolicy:
        """Settle a batch's range over all its maps, each seen as a `DepthHistogram`; 1 to 10 if nothing was valid."""
        seen = iter(histograms)
        first = next(seen, None)
        merged = None if first is None else sum(seen, start=first)
        settled = None if merged is None else merged.range(self)
        return self.settle(settled or PaintRange(1.0, 10.0))


IMAGE_RANGE = RangePolicy(rule=RangeRule.PERCENTILES, text="image")


@dataclass(frozen=True, eq=False)
class DepthHistogram:
    """The distribution of depths in a batch: kept of each map until the range of all of them is settled.

    Bins are the leading bits of the float itself (sign, exponent, seven bits of fraction): log-spaced, 0.8 % wide or
    less, and the same for every map, so histograms add. Every map weighs the same, whatever its size. 128 KiB each.

    shares: float32 (32640,), the share of the valid pixels in each bin, summed over the maps
    kind:   the kind of the maps; only maps of one kind can share a range
    """

    shares: NDArray[np.float32]
    kind: DepthKind

    @classmethod
    def of(cls, depth: DepthMap) -> DepthHistogram:
        """The histogram of one map; all zero where nothing is valid."""
        bits = np.ascontiguousarray(depth.valid_values()).view(np.uint32) >> _DROPPED_BITS
        counts = np.bincount(bits, minlength=_BINS)
        return cls((counts / max(len(bits), 1)).astype(np.float32), depth.kind)

    def __add__(self, other: DepthHistogram) -> DepthHistogram:
        if self.kind is not other.kind:
            raise UsageError(
                f"maps of {self.kind.value} and of {other.kind.value} depth cannot share a range",
                hint="Paint them in two runs, or use --range image.",
            )
        return DepthHistogram(self.shares + other.shares, self.kind)

    def range(self, policy: RangePolicy) -> PaintRange | None:
        """The range between the policy's percentiles of everything added; None if nothing valid was seen."""
        total = np.cumsum(self.shares, dtype=np.float64)
        if not total[-1] > 0:
            return None
        low, high = (int(np.searchsorted(total, total[-1] * percent / 100)) for percent in policy.percentiles)
        edges = (np.array([low, min(high + 1, _BINS - 1)], np.uint32) << _DROPPED_BITS).view(np.float32)
        return _orient(*_settle_ends(float(edges[0]), float(edges[1])), self.kind)


_DROPPED_BITS = np.uint32(16)
_BINS = 0x7F80  # every positive finite float32 by its sixteen leading bits


def _model_range(depth: DepthMap) -> PaintRange:
    if depth.limit is None:
        return _orient(1.0, 10.0, depth.kind)
    return PaintRange(depth.limit * _MODEL_NEAR_SHARE, depth.limit)


def _settle_ends(low: float, high: float) -> tuple[float, float]:
    """At least `_LEAST_RATIO` between the two, about their geometric middle; in four digits, as records state them."""
    if high < low * _LEAST_RATIO:
        middle = math.sqrt(low) * math.sqrt(high)
        low, high = middle / math.sqrt(_LEAST_RATIO), middle * math.sqrt(_LEAST_RATIO)
    return float(f"{low:.4g}"), float(f"{high:.4g}")


def _orient(low: float, high: float, kind: DepthKind) -> PaintRange:
    return PaintRange(high, low) if kind is DepthKind.DISPARITY else PaintRange(low, high)


def _read_number(part: str, text: str) -> float:
    try:
        return float(part)
    except ValueError:
        raise _bad_range(text, f"'{part}' is not a number") from None


def _bad_range(text: str, why: str) -> UsageError:
    return UsageError(
        f"--range '{text}': {why}", hint="Write for example --range 0.5:8, --range p5:p95 or --range model."
    )
