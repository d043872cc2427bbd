"""What was measured, as JSON and as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from glpn_cli.calibration import fit_calibration, write_calibration
from glpn_cli.cli.columns import make_table
from glpn_cli.cli.console import console
from glpn_cli.errors import ExitCode
from glpn_cli.geometry import fov_deg
from glpn_cli.pipeline.measuring import Box, Pixel, Spread, distance_between, look_up_known, measure_box
from glpn_cli.prediction import DepthKind, DepthMap, Intrinsics, Result
from glpn_cli.text import SCHEMA, path_text


@dataclass(frozen=True)
class Measurements:
    """All that was asked of one map.

    name:      the file, as it was given
    points:    pixels and their depths, None where nothing is known
    spreads:   boxes and what is in them
    distances: from each pixel to the next, metres; empty for depth that is no metres
    fov:       horizontal field of view, degrees
    lens_factor: what metres were multiplied by to bring them to the picture's lens; None where they were not
    """

    name: str
    kind: DepthKind
    points: Sequence[tuple[Pixel, float | None]]
    spreads: Sequence[Spread]
    distances: Sequence[float | None]
    camera: Intrinsics
    fov: float
    lens_factor: float | None = None

    @classmethod
    def take(cls, answer: Result, pixels: Sequence[Pixel], boxes: Sequence[Box], *, name: str) -> Measurements:
        """Measure. Raises UsageError for pixels and boxes outside of the picture."""
        depth, camera = answer.prediction, answer.intrinsics
        assert isinstance(depth, DepthMap)
        assert camera is not None
        points = [(pixel, pixel.depth_in(depth)) for pixel in pixels]
        spreads = [measure_box(depth, box) for box in boxes]
        pairs = pairwise(pixels) if depth.kind.is_metric else ()
        distances = [distance_between(one, other, depth, camera) for one, other in pairs]
        factor = answer.provenance.lens_factor if answer.provenance is not None else None
        return cls(name, depth.kind, points, spreads, distances, camera, fov_deg(camera.fx, depth.size[1]), factor)

    @property
    def exit_code(self) -> ExitCode:
        """Whether everything asked for is known."""
        found = [value for _, value in self.points] + [spread.middle for spread in self.spreads]
        if None not in found:
            return ExitCode.OK
        return ExitCode.NOTHING_DONE if set(found) == {None} else ExitCode.SOME_FAILED

    def show(self, *, json: bool) -> None:
        """Print them."""
        if self.distances and self.camera.source == "assumed":
            console.warn(
                f"{self.name}: its camera is not known: a field of view of {self.fov:.0f} degrees is ASSUMED, and "
                "distances in space are right only if that is so [W_FOV]",
                hint="Say it with --focal, such as --focal 65deg.",
            )
        if json:
            console.json(self._record())
        else:
            console.text("\n\n".join(self._tables()))

    def _record(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "type": "measurement",
            "input": path_text(self.name),
            "kind": self.kind.value,
            "unit": self.kind.unit,
            "points": [{"x": pixel.x, "y": pixel.y, "depth": value} for pixel, value in self.points],
            "boxes": [
                {
                    "box": [spread.box.x0, spread.box.y0, spread.box.x1, spread.box.y1],
                    "valid_share": spread.valid_share,
                    "median": spread.middle,
                    "p25": spread.low,
                    "p75": spread.high,
                    "min": spread.nearest,
                    "max": spread.farthest,
                }
                for spread in self.spreads
            ],
            "distances": [
                {"from": [one.x, one.y], "to": [other.x, other.y], "metres": distance}
                for ((one, _), (other, _)), distance in zip(pairwise(self.points), self.distances, strict=False)
            ],
            "focal_px": self.camera.fx,
            "focal_source": self.camera.source,
            **({} if self.lens_factor is None else {"metres": "focal", "lens_factor": self.lens_factor}),
        }

    def _tables(self) -> list[str]:
        tables = []
        unit = "metres" if self.kind.is_metric else self.kind.value
        if self.points:
            has_distances = bool(self.distances)
            rows = []
            for index, (pixel, value) in enumerate(self.points):
                row = [f"{pixel.x},{pixel.y}", _number(value)]
                if has_distances:
                    row.append(_number(self.distances[index - 1]) if index else "")
                rows.append(row)
            tables.append(make_table(["pixel", unit, *(["from the one before"] if has_distances else [])], rows))
        if self.spreads:
            rows = [
                [
                    f"{each.box.x0},{each.box.y0},{each.box.x1},{each.box.y1}",
                    _number(each.middle),
                    f"{_number(each.low)} to {_number(each.high)}",
                    f"{_number(each.nearest)} to {_number(each.farthest)}",
                    f"{100 * each.valid_share:.0f} %",
                ]
                for each in self.spreads
            ]
            tables.append(make_table(["box", f"median {unit}", "half is in", "all is in", "known"], rows))
        return tables


def calibrate_by(texts: Sequence[str], answer: Result, *, source: str, path: Path, json: bool) -> None:
    """Fit a calibration to known distances, save and print it. Raises UsageError where that makes no sense."""
    depth = answer.prediction
    assert isinstance(depth, DepthMap)
    points = look_up_known(texts, depth)
    made = fit_calibration(depth.kind, points, provenance=answer.provenance, source=source)
    write_calibration(path, made)
    if json:
        console.json({**made.to_json(), "path": path_text(str(path))})
        return
    formula = f"{made.scale:.6g} x depth" + (f" {made.shift:+.6g}" if made.shift else "")
    metres = f"1 / ({formula})" if made.kind is DepthKind.DISPARITY else formula
    console.note(f"metres = {metres}; use it with --calibration {path}")
    for point in points:
        console.note(f"  {point.x},{point.y}: {point.metres:g} m, the map says {point.found:.6g}")
    console.result(str(path))


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
