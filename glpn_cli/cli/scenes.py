"""`glpn scenes`: procedural rooms with exact depth, as ordinary files."""

from __future__ import annotations

import re
from typing import Annotated

from glpn_cli.cli import options
from glpn_cli.cli.console import console
from glpn_cli.errors import ErrorCode, UsageError
from glpn_cli.pipeline.settings import Existing

EXAMPLES = """
glpn scenes -o rooms --count 64 --contact-sheet
glpn scenes -o rooms --count 5000 --seed 7 --size 640x480 --focal 518px
"""

SCENES = "Scenes"


def scenes(
    output: options.OutputFolder,
    count: Annotated[
        int, options.option("--count", metavar="N", min=1, panel=SCENES, help="How many; more later keeps these.")
    ] = 16,
    seed: Annotated[
        int, options.option("--seed", metavar="N", min=0, panel=SCENES, help="Which rooms: scene I of seed N is fixed.")
    ] = 0,
    size: Annotated[
        str, options.option("--size", metavar="WxH", panel=SCENES, help="Width and height of the pictures, in pixels.")
    ] = "256x192",
    focal: Annotated[
        str,
        options.option(
            "--focal",
            metavar="LENGTH",
            panel=SCENES,
            help="Of every picture: 220px, 28mm (35 mm equivalent) or 65deg (horizontal field of view); auto is each "
            "its own, as handheld cameras have.",
        ),
    ] = "auto",
    contact_sheet: Annotated[
        bool, options.option("--contact-sheet", panel=SCENES, help="Show the first 64 on one sheet as well.")
    ] = False,
    workers: Annotated[
        int | None,
        options.option(
            "--workers",
            metavar="N",
            min=1,
            max=256,
            panel=SCENES,
            show_default="one a core",
            help="Processes that render.",
        ),
    ] = None,
    existing: options.ExistingOption = Existing.SKIP,
    dry_run: options.DryRun = False,
    json: options.Json = False,
) -> None:
    """Render rooms to learn from: pictures with exact depth in metres.

    Furnished, lit and photographed at random, by a camera like a phone's. DIR gets rgb/, depth/ (16-bit PNG,
    millimetres) and pairs.csv, which train and evaluate read as --data. Scenes that are there are kept. Needs numba:
    pip install 'glpn-cli[train]'.
    """
    from glpn_cli.cli.progress import Progress
    from glpn_cli.devices import cores
    from glpn_cli.geometry import FocalChoice
    from glpn_cli.scenes.write import CSV_NAME, depth_name, plan_scenes, write_contact_sheet, write_scenes
    from glpn_cli.text import SCHEMA, path_text

    overwrite = existing is Existing.OVERWRITE
    asked, shape = FocalChoice(focal), _parse_size(size)
    focal_px = None if asked.text == "auto" else asked.camera(shape).fx
    plan = plan_scenes(output, count=count, seed=seed, size=shape, focal_px=focal_px, overwrite=overwrite)
    kept = 0 if overwrite else count - len(plan.todo)
    if kept and existing is Existing.ERROR:
        raise UsageError(
            f"{kept} of these scenes are in {str(output)!r} already",
            hint="Leave out --existing.",
            code=ErrorCode.EXISTS,
        )
    paths = [output / CSV_NAME]
    if not dry_run:
        progress = Progress(len(plan.todo))
        try:
            write_scenes(
                plan, workers=workers or cores(), done=lambda i: progress.advance(depth_name(i), computed=True)
            )
        finally:
            progress.close()
        if contact_sheet:
            paths.append(write_contact_sheet(plan))
    if plan.unlisted:  # whoever reads JSON is told, too: what trains on the list would see less than before
        console.note(
            f"{CSV_NAME} lists the first {count} of {count + len(plan.unlisted)} scenes in {str(output)!r}: "
            f"--count {plan.unlisted[-1] + 1} lists all"
        )
    if json:
        console.json(
            {
                "schema": SCHEMA,
                "type": "scenes",
                "status": "planned" if dry_run else "ok",
                "outputs": [path_text(str(path)) for path in paths],
                "seed": seed,
                "count": count,
                "rendered": 0 if dry_run else len(plan.todo),
                "kept": kept,
            }
        )
        return
    if kept and not plan.unlisted:
        console.note(f"{kept} scenes are there already")
    if dry_run:
        console.note(f"{len(plan.todo)} scenes to render")
    for path in paths:
        console.result(path)


def _parse_size(text: str) -> tuple[int, int]:
    """(H, W) of WIDTHxHEIGHT."""
    match = re.fullmatch(r"(\d{1,99})x(\d{1,99})", text.lower())
    if match is None:
        raise UsageError(f"--size {text!r} is no size", hint="Write WIDTHxHEIGHT, for example 640x480.")
    return int(match[2]), int(match[1])
