"""What every format promises, and what several of them share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from glpn_cli.depth_files.look import Look
from glpn_cli.depth_files.record import Record, make_record
from glpn_cli.errors import ErrorCode, OutputError
from glpn_cli.geometry import make_camera
from glpn_cli.prediction import DepthKind, DepthMap, Intrinsics, Provenance, Result, SpreadMap


class Writer(Protocol):
    """One format: a result goes in, the bytes of a file come out.

    format:         the word of `--format`
    extension:      of its files, with the dot
    map:            what is written, the `{map}` of file names: depth, color, gray
    carries_record: whether the file says what it is; where not, only its presence can be checked
    """

    format: ClassVar[str]
    extension: ClassVar[str]
    map: ClassVar[str]
    carries_record: ClassVar[bool]

    def check(self, kind: DepthKind, limit_m: float | None) -> None:
        """Refuse, before anything is computed, depths that the format cannot hold (UsageError)."""

    def expect(self, source: str, *, kind: DepthKind, provenance: Provenance | None) -> Record | None:
        """What a file written now for `source` would say, as far as `Record.differences` asks; None without record.

        provenance: as far as it is known before the network runs.
        """

    def encode(self, result: Result) -> bytes:
        """The file. Raises OutputError (code RANGE) where the format cannot hold a value."""


class FloatWriter(Writer):
    """What the formats share that hold depth of any kind exactly as it is in memory."""

    map: ClassVar[str] = "depth"
    carries_record: ClassVar[bool] = True

    def check(self, kind: DepthKind, limit_m: float | None) -> None:
        """Everything fits."""

    def expect(self, source: str, *, kind: DepthKind, provenance: Provenance | None) -> Record | None:
        """What a file written now for `source` would say; None where the format holds values only."""
        return expect_depth(self, source, kind=kind, provenance=provenance) if self.carries_record else None


@dataclass(frozen=True, eq=False)
class StoredDepth:
    """A depth map that came from a file.

    record: what the file says about itself; None where it says nothing
    format: the word of the format that it is in
    """

    depth: DepthMap
    record: Record | None
    format: str

    @property
    def camera(self) -> Intrinsics | None:
        """The camera that the file tells of; None where it does not."""
        record = self.record
        if record is None or record.focal_px is None:
            return None
        if record.cloud is not None and record.cloud.camera is not None:
            return record.cloud.camera
        source = "assumed" if record.focal_source == "assumed" else "file"
        return make_camera(record.focal_px, self.depth.size, source=source)


def depth_of(result: Result) -> DepthMap:
    """The result's depth map. Raises OutputError where it is no depth."""
    if isinstance(result.prediction, DepthMap):
        return result.prediction
    raise OutputError("labels are not depths: this format cannot hold them", code=ErrorCode.UNSUPPORTED)


def expect_depth(
    writer: Writer, source: str, *, kind: DepthKind, provenance: Provenance | None, depth_scale: float | None = None
) -> Record:
    """What a file of depths written now would say."""
    return Record(
        format=writer.format,
        map=writer.map,
        kind=kind,
        source=source,
        limit_m=provenance.limit_m if provenance and kind.is_metric else None,
        depth_scale=depth_scale,
        provenance=provenance,
    )


def expect_painted(
    writer: Writer, source: str, *, kind: DepthKind, provenance: Provenance | None, look: Look
) -> Record:
    """What a painted file written now would say; its range only where it is known before the depths are."""
    ends = look.range.ends_for(kind)
    record = expect_depth(writer, source, kind=kind, provenance=provenance)
    return replace(record, look=look, painted=None if ends is None else (ends.near, ends.far))


def depth_text(writer: Writer, result: Result, *, depth_scale: float | None = None) -> dict[str, str]:
    """The record of a file of depths, as text."""
    record = make_record(result, depth_of(result), format=writer.format, map=writer.map, depth_scale=depth_scale)
    return record.to_text()


def with_holes(depth: DepthMap | SpreadMap) -> NDArray[np.float32]:
    """The values with NaN wherever nothing is known, little-endian float32 (H, W), contiguous."""
    if depth.valid is None:
        return np.ascontiguousarray(depth.values, dtype="<f4")
    return np.where(depth.valid, depth.values, np.float32(np.nan)).astype("<f4", copy=False)


def depth_from_values(values: NDArray[np.float32], *, kind: DepthKind, limit_m: float | None) -> DepthMap:
    """A depth map of stored floats, float32 (H, W): what is not finite and > 0 is a hole."""
    valid = np.isfinite(values) & (values > 0)
    limit = limit_m if kind.is_metric else None
    if valid.all():
        return DepthMap(np.ascontiguousarray(values), kind=kind, limit=limit)
    return DepthMap(np.where(valid, values, np.float32(0)), kind=kind, valid=valid, limit=limit)
