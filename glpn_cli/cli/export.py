"""`glpn export`: colours for depth, from pictures or from maps made earlier."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glpn_cli.cli import options
from glpn_cli.cli.completion import complete_colormap
from glpn_cli.pipeline.settings import Existing, InputKind

EXAMPLES = """
glpn export photo.jpg --colorbar --side-by-side
glpn export depth/ -o colours --range 0.5:8 --colormap turbo
"""


def export(
    context: typer.Context,
    inputs: options.Inputs = None,
    files_from: options.FilesFrom = None,
    files0_from: options.Files0From = None,
    recursive: options.Recursive = True,
    root: options.Root = None,
    shard: options.Shard = None,
    as_: options.As = InputKind.AUTO,
    kind: options.KindOption = options.Kind.METRIC,
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
    batch_size: options.BatchSize = "auto",
    workers: options.Workers = None,
    threads: options.Threads = None,
    colormap: Annotated[
        str,
        options.option(
            "--colormap",
            metavar="NAME",
            autocompletion=complete_colormap,
            panel=options.COLORS,
            help="spectral, turbo, inferno, magma, viridis, plasma, cividis, gray; near is warm or bright.",
        ),
    ] = "spectral",
    range_: Annotated[
        str,
        options.option(
            "--range",
            metavar="RANGE",
            panel=options.COLORS,
            help="From which depth to which: image, batch (one for all inputs, in two passes), model, pA:pB "
            "(percentiles), or NEAR:FAR in metres.",
        ),
    ] = "image",
    invert: Annotated[bool, options.option("--invert", panel=options.COLORS, help="Near is cold or dark.")] = False,
    colorbar: Annotated[
        bool, options.option("--colorbar", panel=options.COLORS, help="Add a scale with ticks in metres.")
    ] = False,
    side_by_side: Annotated[
        bool, options.option("--side-by-side", panel=options.COLORS, help="Put the picture at the left.")
    ] = False,
    contours: Annotated[
        float | None,
        options.option("--contours", metavar="METRES", panel=options.COLORS, help="Draw lines of equal depth."),
    ] = None,
    raw: Annotated[
        str | None,
        options.option(
            "--raw",
            metavar="WxH",
            panel=options.INPUTS,
            help="Bare rgb24 video frames on stdin to bare frames on stdout (-o -): gray16, gray, png16 or color.",
        ),
    ] = None,
    output: options.Output = ".",
    format_: options.Format = None,
    name: options.Name = "{stem}_{map}",
    depth_scale: options.DepthScale = None,
    existing: options.ExistingOption = Existing.SKIP,
    calibration: options.CalibrationFile = None,
    metres: options.MetresOption = options.Metres.TRAINED,
    focal: options.Focal = "auto",
    axes: options.AxesOption = options.Axes.OPENCV,
    edge_cull: options.EdgeCull = False,
    html: Annotated[
        Path | None,
        options.option(
            "--html", metavar="FILE", panel=options.OUTPUTS, help="Put all of them on one page that needs nothing else."
        ),
    ] = None,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    report: options.Report = None,
    fail_fast: options.FailFast = False,
    allow_failed: options.AllowFailed = None,
    allow_empty: options.AllowEmpty = False,
) -> None:
    """Paint depth in colours, for pictures or for depth maps made earlier.

    A picture whose map lies beside it is painted from that; other pictures go through the model. Equal ratios of depth
    are equal steps of colour.
    """
    from glpn_cli.calibration import read_calibration
    from glpn_cli.cli.asked import find_asked, note_made_earlier
    from glpn_cli.cli.model_choice import choose_recipe
    from glpn_cli.cli.outcomes import check_stdout, show_run
    from glpn_cli.cli.reading import choose_reading
    from glpn_cli.colormaps import parse_range
    from glpn_cli.depth_files import ColorizeOptions, PointCloudOptions
    from glpn_cli.geometry import Axes, FocalChoice
    from glpn_cli.pipeline.naming import Destination
    from glpn_cli.pipeline.run import plan_run
    from glpn_cli.pipeline.settings import InputSettings, ModelSettings, OutputSettings, RunSettings, parse_batch_size
    from glpn_cli.pipeline.sources import find_sources
    from glpn_cli.pipeline.video import plan_video
    from glpn_cli.prediction import DepthKind

    look = ColorizeOptions(parse_range(range_), colormap, invert, colorbar, side_by_side, contours)
    known = read_calibration(calibration) if calibration is not None else None
    cloud = PointCloudOptions(FocalChoice(focal), Axes(axes.value), edge_cull)
    asked = find_asked(context)
    results = OutputSettings(
        output,
        format_,
        name,
        paints=True,
        depth_scale=depth_scale,
        existing=existing,
        look=look,
        cloud=cloud,
        calibration=known,
        page=html,
        explicit=asked,
    )
    pace = RunSettings(workers, parse_batch_size(batch_size), fail_fast)
    check_stdout(Destination.parse(output), json=json)
    reading = choose_reading(
        max_pixels=max_pixels,
        allow_truncated=allow_truncated,
        orientation=orientation,
        frame=frame,
        isolate=isolate,
        timeout=timeout,
        processes=pace.threads,
    )
    choice = InputSettings(
        inputs or (),
        files_from or (),
        files0_from or (),
        recursive,
        root,
        shard,
        as_,
        reading,
        allow_empty,
        depth_scale,
        DepthKind(kind.value),
    )
    found = None
    if raw is None:
        found = find_sources(choice, side_by_side=side_by_side)
    recipe = None
    if found is None or found.needs_network:
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
            lens=cloud.focal if metres is options.Metres.FOCAL else None,
            takes_labels=True,
        )
    if found is not None and not (recipe and recipe.predicts_labels):
        note_made_earlier(found, asked)
    used = ModelSettings(recipe, device, threads) if recipe else None
    if raw is not None:
        assert used is not None
        show_run(plan_video(raw, choice, results, used), dry_run=dry_run, report=report)
    assert found is not None
    run = plan_run(found, results, used, pace)
    show_run(run, allow_failed=allow_failed, dry_run=dry_run, json=json, report=report, workers=reading.workers)
