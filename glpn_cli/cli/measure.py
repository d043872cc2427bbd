"""`glpn measure`: metres at pixels, in boxes and between points."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glpn_cli.cli.console import console, make_table
from glpn_cli.cli.groups import only, without
from glpn_cli.cli.params import ModelParams, SpaceParams
from glpn_cli.cli.unused_options import check_used, note_made_earlier
from glpn_cli.errors import ExitCode, UsageError
from glpn_cli.options import INPUTS, OUTPUTS, READ_SCALE, SPACE, ExplicitOptions, argument, option
from glpn_cli.pipeline.settings import InputSettings, OutputSettings
from glpn_cli.video.settings import AT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glpn_cli.calibration import Calibration
    from glpn_cli.geometry import FocalChoice
    from glpn_cli.images import ReadOptions
    from glpn_cli.pipeline.measuring import Box, Pixel, Spread
    from glpn_cli.pipeline.settings import ModelSettings
    from glpn_cli.pipeline.sources import Source, Sources
    from glpn_cli.prediction import DepthKind, Intrinsics, Result

EXAMPLES = """
glpn measure photo.jpg 320,240 500,260 --focal 65deg
glpn measure clip_depth.mkv 320,240 --at 12.5s
glpn measure photo_depth.png --calibrate 320,240=2.35
"""


@dataclass(frozen=True, kw_only=True)
class _MeasureParams:
    """What to measure, in which file."""

    PANEL = INPUTS

    file: str = argument("FILE", ..., "A picture, a clip or a depth file; - for a picture on standard input.")
    pixels: list[str] | None = argument("X,Y", None, "Pixels, from 0,0 at the top left of the upright picture.")
    box: list[str] | None = option(
        "--box X0,Y0,X1,Y1", None, "Median and spread in a box; can be given more than once."
    )
    calibrate: list[str] | None = option(
        "--calibrate X,Y=METRES",
        None,
        "A known distance, along the camera's axis: one gives a scale, two a scale and a shift.",
        panel=SPACE,
    )
    at: str | None = option("--at TIME", None, AT)
    output: Path = option(
        "-o, --output FILE", Path("calibration.json"), "The file that --calibrate writes.", panel=OUTPUTS
    )


def measure(
    explicit: ExplicitOptions,
    wanted: _MeasureParams,
    inputs: Annotated[
        InputSettings,
        only(
            "kind", "depth_kind", "max_pixels", "allow_truncated", "orientation", "frame", "white", "isolate", "timeout"
        ),
    ],
    model: Annotated[ModelParams, without("uncertainty")],
    printing: Annotated[OutputSettings, only("json", help=READ_SCALE)],
    space: Annotated[SpaceParams, only("calibration", "metres", "focal", "intrinsics")],
) -> None:
    """Measure metres at pixels, in boxes and between points.

    Depth is along the camera's axis, not along the ray. With several pixels, the distance in space from each to the
    next is printed too. If a picture's depth map lies beside it, that map is measured; other pictures go through the
    model.
    """
    from glpn_cli.pipeline.measuring import Box, Pixel

    pixels, boxes = [Pixel.parse(text) for text in wanted.pixels or ()], [Box.parse(text) for text in wanted.box or ()]
    measures = bool(pixels or boxes)
    if not (measures or wanted.calibrate):
        raise UsageError("nothing to measure", hint="Name pixels, such as 320,240, or a --box, or --calibrate.")
    situations = {
        "measure: nothing is calibrated": not wanted.calibrate,
        "measure: metres are scaled": space.metres == "focal",
        "measure: nothing is measured": not measures,
    }
    check_used(explicit, situations)
    focal = space.choice
    calibration = space.read_calibration()
    reading = inputs.choose_reading()
    found = _find_still(wanted, reading) or _find(wanted.file, inputs, printing.depth_scale, reading)
    note_made_earlier(found, explicit, "--kind", "--depth-scale")
    found.check_maps(explicit, "--kind", "--depth-scale")
    used = None
    if found.needs_network:
        recipe = model.resolve(view=reading.view, camera=space.rescales_to)
        used = model.settings(recipe)
    (source,) = found.sources
    with reading.workers or nullcontext():
        answer = _answer(source, used, focal, calibration)
    if wanted.calibrate:
        _calibrate(wanted.calibrate, answer, source=source.name, path=wanted.output, json=printing.json)
    if measures:
        says_unit = bool(explicit.among("--kind", "--depth-scale"))
        measured = _Measurements.take(answer, pixels, boxes, name=source.given, says_unit=says_unit)
        measured.show(json=printing.json)
        raise typer.Exit(measured.exit_code)


def _find_still(wanted: _MeasureParams, reading: ReadOptions) -> Sources | None:
    """The frame of a clip that is asked for; None where the file is no clip. Raises UsageError, InputError."""
    from glpn_cli.depth_files import read_record
    from glpn_cli.images import ImageSource
    from glpn_cli.pipeline.sources import Content, Sources, StoredSource
    from glpn_cli.video.find import is_clip_file
    from glpn_cli.video.settings import parse_time
    from glpn_cli.video.still import check_still, extract_still

    file = wanted.file
    is_clip = is_clip_file(file)
    check_still(Path(file), at=wanted.at, is_clip=is_clip)
    if wanted.at is None:
        return None
    data, name = extract_still(Path(file), parse_time(wanted.at), reading), Path(file).name
    record = read_record(data)
    source: Source = ImageSource(None, name, file, data, options=reading)
    if record is not None:
        source = StoredSource(Content.DEPTH, None, name, file, record, options=reading, data=data)
    return Sources(InputSettings(), takes_maps=True, sources=[source])


def _find(file: str, inputs: InputSettings, depth_scale: float | None, reading: ReadOptions) -> Sources:
    """Look at the file. Raises UsageError where it is not one picture or depth map."""
    from glpn_cli.pipeline.search import find_sources
    from glpn_cli.pipeline.sources import Content

    found = find_sources(replace(inputs, named=[file], reading=reading, depth_scale=depth_scale))
    if found.refused:
        console.error(found.refused[0].error)
        raise typer.Exit(ExitCode.NOTHING_DONE)
    if len(found.sources) != 1:
        raise UsageError(f"measure takes one file, and {file!r} is {len(found.sources)}")
    if found.content is not Content.DEPTH:
        raise UsageError(
            f"{file!r} is a map of {found.content.value}, not of depth", hint="Name the depth map beside it."
        )
    return found


def _answer(source: Source, model: ModelSettings | None, focal: FocalChoice, calibration: Calibration | None) -> Result:
    """The depth map of a source, and its camera; its warnings are printed."""
    from glpn_cli.depth_files import PointCloudOptions
    from glpn_cli.pipeline.report import warning_text
    from glpn_cli.pipeline.stages import Stages

    result = Stages(model, OutputSettings(cloud=PointCloudOptions(focal), calibration=calibration)).predict(source)
    for code in result.warnings:
        console.warn(f"{source.name}: {warning_text(code)} [{code}]")
    return result


@dataclass(frozen=True)
class _Measurements:
    """The measurements in one depth map.

    name:        the file, as it was given
    points:      pixels and their depths, None where the depth is unknown
    spreads:     boxes and the depths in them
    distances:   from each pixel to the next, metres; empty for depth that is not metric
    fov:         horizontal field of view, degrees
    lens_factor: what metres were multiplied by to scale them to the picture's camera; None where they were not
    stored_map:  the file that the depths were read from; None where a model predicted them
    is_assumed:  whether they are taken for metres though nobody says so
    """

    name: str
    kind: DepthKind
    points: Sequence[tuple[Pixel, float | None]]
    spreads: Sequence[Spread]
    distances: Sequence[float | None]
    camera: Intrinsics
    fov: float
    lens_factor: float | None = None
    stored_map: str | None = None
    is_assumed: bool = False

    @classmethod
    def take(
        cls, answer: Result, pixels: Sequence[Pixel], boxes: Sequence[Box], *, name: str, says_unit: bool
    ) -> _Measurements:
        """Measure. Raises UsageError for pixels and boxes outside of the picture.

        says_unit: whether the user says what the numbers of a file without a record mean
        """
        from glpn_cli.geometry import fov_deg
        from glpn_cli.pipeline.sources import StoredSource
        from glpn_cli.prediction import DepthMap

        depth, camera = answer.prediction, answer.intrinsics
        assert isinstance(depth, DepthMap)
        assert camera is not None
        points = [(pixel, pixel.depth_in(depth)) for pixel in pixels]
        spreads = [box.measure(depth) for box in boxes]
        pairs = pairwise(pixels) if depth.kind.is_metric else ()
        distances = [one.distance_to(other, depth, camera) for one, other in pairs]
        factor = answer.provenance.lens_factor if answer.provenance is not None else None
        fov = fov_deg(camera.fx, depth.size[1])
        stored = answer.source if isinstance(answer.source, StoredSource) else None
        is_assumed = depth.kind.is_metric and stored is not None and stored.record is None and not says_unit
        path = None if stored is None else stored.given if stored.path is None else str(stored.path)
        return cls(name, depth.kind, points, spreads, distances, camera, fov, factor, path, is_assumed)

    @property
    def exit_code(self) -> ExitCode:
        """Whether everything asked for is known."""
        found = [value for _, value in self.points] + [spread.middle for spread in self.spreads]
        if None not in found:
            return ExitCode.OK
        return ExitCode.NOTHING_DONE if set(found) == {None} else ExitCode.SOME_FAILED

    def show(self, *, json: bool) -> None:
        """Print them."""
        if self.stored_map not in (None, self.name):
            console.note(f"measured in the stored map {self.stored_map}; no model was run")
        if self.is_assumed:
            from glpn_cli.cli.outcomes import warn_of_assumed_metres

            warn_of_assumed_metres([self.name])
        if self.distances and self.camera.source == "assumed":
            console.warn(
                f"{self.name}: the camera is unknown: a field of view of {self.fov:.0f} degrees is ASSUMED, and "
                "distances in space are right only if it is true [W_FOV]",
                hint="Give the focal length, such as --focal 65deg.",
            )
        if json:
            console.json(self._record())
        else:
            console.text("\n\n".join(self._tables()))

    def _record(self) -> dict[str, Any]:
        from glpn_cli.text import SCHEMA, path_text

        return {
            "schema": SCHEMA,
            "type": "measurement",
            "input": path_text(self.name),
            "kind": self.kind.value,
            "unit": self.kind.unit,
            "unit_source": "assumed" if self.is_assumed else "known",
            "stored_map": None if self.stored_map is None else path_text(self.stored_map),
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
            "intrinsics": [self.camera.fx, self.camera.fy, self.camera.cx, self.camera.cy],
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


def _calibrate(texts: Sequence[str], answer: Result, *, source: str, path: Path, json: bool) -> None:
    """Fit a calibration to known distances, save and print it. Raises UsageError where that makes no sense."""
    from glpn_cli.calibration import Calibration
    from glpn_cli.pipeline.measuring import look_up_known
    from glpn_cli.prediction import DepthKind, DepthMap
    from glpn_cli.text import path_text

    depth = answer.prediction
    assert isinstance(depth, DepthMap)
    points = look_up_known(texts, depth)
    made = Calibration.fit(depth.kind, points, provenance=answer.provenance, source=source)
    made.write(path)
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
    if value is None:
        return "unknown"
    return f"{value:.3f}" if value >= 0.1 or value == 0 else f"{value:.3g}"
