"""`glpn measure`: how far is that."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glpn_cli.cli import options
from glpn_cli.cli.console import console
from glpn_cli.errors import ExitCode, UsageError
from glpn_cli.pipeline.settings import InputKind

if TYPE_CHECKING:
    from glpn_cli.calibration import Calibration
    from glpn_cli.geometry import FocalChoice
    from glpn_cli.pipeline.settings import ModelSettings
    from glpn_cli.pipeline.sources import Source
    from glpn_cli.prediction import Result

EXAMPLES = """
glpn measure photo.jpg 320,240 500,260 --focal 65deg
glpn measure photo_depth.png --calibrate 320,240=2.35
"""


def measure(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A picture or a depth file; - for a picture on stdin.")],
    pixels: Annotated[
        list[str] | None, typer.Argument(metavar="X,Y", help="Pixels, from 0,0 at the top left of the upright picture.")
    ] = None,
    box: Annotated[
        list[str] | None,
        options.option(
            "--box", metavar="X0,Y0,X1,Y1", panel=options.INPUTS, help="Median and spread in a box; repeats."
        ),
    ] = None,
    calibrate: Annotated[
        list[str] | None,
        options.option(
            "--calibrate",
            metavar="X,Y=METRES",
            panel=options.SPACE,
            help="A distance that you know, along the camera's axis: one gives a scale, two a scale and a shift.",
        ),
    ] = None,
    as_: options.As = InputKind.AUTO,
    max_pixels: options.MaxPixels = 250_000_000,
    allow_truncated: options.AllowTruncated = False,
    orientation: options.OrientationOption = options.Orientation.EXIF,
    frame: options.Frame = 0,
    isolate: options.Isolate = False,
    timeout: options.Timeout = None,
    model: options.Model = None,
    max_depth: options.MaxDepth = None,
    offline: options.Offline = False,
    device: options.Device = "auto",
    precision: options.PrecisionOption = options.Precision.AUTO,
    input_size: options.InputSize = "auto",
    tta: options.TtaOption = options.Tta.NONE,
    upsample: options.UpsampleOption = options.Upsample.BICUBIC,
    threads: options.Threads = None,
    depth_scale: options.DepthScale = None,
    kind: options.KindOption = options.Kind.METRIC,
    calibration: options.CalibrationFile = None,
    metres: options.MetresOption = options.Metres.TRAINED,
    focal: options.Focal = "auto",
    output: Annotated[
        Path,
        options.option("--output", "-o", metavar="FILE", panel=options.OUTPUTS, help="Where --calibrate saves."),
    ] = Path("calibration.json"),
    json: options.Json = False,
) -> None:
    """Measure metres at pixels, in boxes and between points.

    Depth is along the camera's axis, not along the ray; with several pixels, the distance in space from each to the
    next is told too. A picture whose map lies beside it is measured in that; other pictures go through the model.
    """
    from glpn_cli.calibration import read_calibration
    from glpn_cli.cli.asked import find_asked, note_made_earlier
    from glpn_cli.cli.measurements import Measurements, calibrate_by
    from glpn_cli.cli.model_choice import choose_recipe
    from glpn_cli.cli.reading import choose_reading
    from glpn_cli.geometry import FocalChoice
    from glpn_cli.pipeline.measuring import Box, Pixel
    from glpn_cli.pipeline.settings import InputSettings, ModelSettings
    from glpn_cli.pipeline.sources import Content, find_sources
    from glpn_cli.prediction import DepthKind

    wanted, boxes = [Pixel.parse(text) for text in pixels or ()], [Box.parse(text) for text in box or ()]
    if not (wanted or boxes or calibrate):
        raise UsageError("nothing to measure", hint="Name pixels, such as 320,240, or a --box, or --calibrate.")
    asked = find_asked(context)
    if not calibrate:
        asked.refuse("--output", because="is where --calibrate saves, and that is not asked for")
    if metres is options.Metres.FOCAL:
        asked.refuse(
            *("--calibrate", "--calibration"),
            because="makes up for the lens itself, and --metres focal does so too",
            hint="Leave out one of the two.",
        )
    if not (wanted or boxes):
        asked.refuse("--focal", because="is about what is measured, and nothing is")
    choice, known = FocalChoice(focal), read_calibration(calibration) if calibration is not None else None
    reading = choose_reading(
        max_pixels=max_pixels,
        allow_truncated=allow_truncated,
        orientation=orientation,
        frame=frame,
        isolate=isolate,
        timeout=timeout,
    )
    found = find_sources(
        InputSettings((file,), kind=as_, reading=reading, depth_scale=depth_scale, depth_kind=DepthKind(kind.value))
    )
    if found.refused:
        console.error(found.refused[0].error)
        raise typer.Exit(ExitCode.NOTHING_DONE)
    if len(found.sources) != 1:
        raise UsageError(f"measure looks at one file, and {file!r} is {len(found.sources)}")
    if found.content is not Content.DEPTH:
        raise UsageError(
            f"{file!r} is a map of {found.content.value}, not of depth", hint="Name the depth map beside it."
        )
    note_made_earlier(found, asked)
    found.check_maps(asked, "--kind", "--depth-scale")
    used = None
    if found.needs_network:
        recipe = choose_recipe(
            model,
            max_depth=max_depth,
            offline=offline,
            device=device,
            precision=precision,
            input_size=input_size,
            tta=tta,
            upsample=upsample.value,
            view=reading.view,
            lens=choice if metres is options.Metres.FOCAL else None,
        )
        used = ModelSettings(recipe, device, threads)
    with reading.workers or nullcontext():
        answer = _answer(found.sources[0], used, choice, known)
    if calibrate:
        calibrate_by(calibrate, answer, source=found.sources[0].name, path=output, json=json)
    if wanted or boxes:
        measured = Measurements.take(answer, wanted, boxes, name=found.sources[0].given)
        measured.show(json=json)
        raise typer.Exit(measured.exit_code)


def _answer(source: Source, model: ModelSettings | None, focal: FocalChoice, calibration: Calibration | None) -> Result:
    """The map of a source, and its camera; errors that name it are told."""
    from glpn_cli.depth_files import PointCloudOptions
    from glpn_cli.pipeline.report import warning_text
    from glpn_cli.pipeline.settings import OutputSettings
    from glpn_cli.pipeline.stages import Stages

    result = Stages(model, OutputSettings(cloud=PointCloudOptions(focal), calibration=calibration)).predict(source)
    for code in result.warnings:
        console.warn(f"{source.name}: {warning_text(code)} [{code}]")
    return result
