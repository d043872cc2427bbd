"""`glpn predict`: pictures in, depth maps out."""

from __future__ import annotations

from typing import Annotated

import typer

from glpn_cli.cli import options
from glpn_cli.pipeline.settings import Existing, InputKind

EXAMPLES = """
glpn predict photo.jpg -o depth
glpn predict holiday/ -m nyu -f png16,npy -o depth --json > depth.jsonl
"""


def predict(
    context: typer.Context,
    inputs: options.Inputs = None,
    files_from: options.FilesFrom = None,
    files0_from: options.Files0From = None,
    recursive: options.Recursive = True,
    root: options.Root = None,
    shard: options.Shard = None,
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
    uncertainty: Annotated[
        bool,
        options.option(
            "--uncertainty",
            panel=options.MODEL,
            help="Also write how far six answers, mirrored and at three sizes, lie apart: {stem}_uncertainty.tiff.",
        ),
    ] = False,
    batch_size: options.BatchSize = "auto",
    workers: options.Workers = None,
    threads: options.Threads = None,
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
    dry_run: options.DryRun = False,
    json: options.Json = False,
    report: options.Report = None,
    fail_fast: options.FailFast = False,
    allow_failed: options.AllowFailed = None,
    allow_empty: options.AllowEmpty = False,
) -> None:
    """Write a depth map, in metres, for every picture.

    Each map has its picture's own size. The default, png16, is a 16-bit PNG that says its unit and scale itself:
    millimetres, or 1/256 m for models that see to 80 m. Written paths go to stdout, everything else to stderr.
    """
    from glpn_cli.calibration import read_calibration
    from glpn_cli.cli.asked import find_asked
    from glpn_cli.cli.model_choice import choose_recipe
    from glpn_cli.cli.outcomes import check_stdout, show_run
    from glpn_cli.cli.reading import choose_reading
    from glpn_cli.depth_files import PointCloudOptions
    from glpn_cli.geometry import Axes, FocalChoice
    from glpn_cli.pipeline.naming import Destination
    from glpn_cli.pipeline.run import plan_run
    from glpn_cli.pipeline.settings import InputSettings, ModelSettings, OutputSettings, RunSettings, parse_batch_size
    from glpn_cli.pipeline.sources import find_pictures

    known = read_calibration(calibration) if calibration is not None else None
    cloud = PointCloudOptions(FocalChoice(focal), Axes(axes.value), edge_cull)
    results = OutputSettings(
        output,
        format_,
        name,
        depth_scale=depth_scale,
        existing=existing,
        cloud=cloud,
        calibration=known,
        explicit=find_asked(context),
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
        inputs or (), files_from or (), files0_from or (), recursive, root, shard, as_, reading, allow_empty
    )
    found = find_pictures(choice)
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
    used = ModelSettings(recipe, device, threads, uncertainty)
    run = plan_run(found, results, used, pace)
    show_run(run, allow_failed=allow_failed, dry_run=dry_run, json=json, report=report, workers=reading.workers)
