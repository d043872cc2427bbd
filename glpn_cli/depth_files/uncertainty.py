"""How sure a network is: the spread of its answers, float32 TIFF in the map's own unit, beside the map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from glpn_cli.depth_files.record import Record, make_record
from glpn_cli.depth_files.tiff import encode_tiff
from glpn_cli.depth_files.writer import depth_of, expect_depth
from glpn_cli.errors import ErrorCode, OutputError
from glpn_cli.prediction import DepthKind, Provenance, Result


@dataclass(frozen=True)
class Uncertainty:
    """The standard deviation of several answers at every pixel, as float TIFF, NaN where nothing is known."""

    format: ClassVar[str] = "tiff"
    extension: ClassVar[str] = ".tiff"
    map: ClassVar[str] = "uncertainty"
    carries_record: ClassVar[bool] = True

    def check(self, kind: DepthKind, limit_m: float | None) -> None:
        """Everything fits."""

    def expect(self, source: str, *, kind: DepthKind, provenance: Provenance | None) -> Record | None:
        """What a file written now for `source` would say."""
        return expect_depth(self, source, kind=kind, provenance=provenance)

    def encode(self, result: Result) -> bytes:
        """The TIFF file. Raises OutputError where nobody asked how sure the network is."""
        depth = depth_of(result)
        if result.uncertainty is None:
            raise OutputError("nobody asked how sure the network is", code=ErrorCode.INTERNAL)
        values = result.uncertainty.astype("<f4", copy=False)
        if depth.valid is not None:
            values = np.where(depth.valid, values, np.float32(np.nan))
        return encode_tiff(values, text=make_record(result, depth, format=self.format, map=self.map).to_text())
