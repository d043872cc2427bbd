"""`glpn convert`: foreign checkpoints into model folders."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from glpn_cli.cli import options
from glpn_cli.cli.console import console
from glpn_cli.errors import UsageError
from glpn_cli.pipeline.settings import Existing

EXAMPLES = """
glpn convert best_model_kitti.ckpt -o kitti-80 --max-depth 80
glpn convert downloaded/ -o nyu-glpn
"""


class SourceLayout(StrEnum):
    """Whose names the tensors of a checkpoint have."""

    AUTO = "auto"
    TRANSFORMERS = "transformers"
    AUTHOR = "glpn-author"


def convert(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A folder, a .safetensors, .bin or .ckpt file, or a model's name.")
    ],
    output: options.OutputFolder,
    layout: Annotated[
        SourceLayout,
        options.option(
            "--from", metavar="LAYOUT", panel=options.MODEL, help="auto, transformers, or glpn-author (a .ckpt)."
        ),
    ] = SourceLayout.AUTO,
    config: Annotated[
        Path | None,
        options.option(
            "--config",
            metavar="FILE",
            panel=options.MODEL,
            help="A config.json to go by, where there is none beside the weights.",
        ),
    ] = None,
    max_depth: options.MaxDepth = None,
    offline: options.Offline = False,
    existing: options.ExistingOption = Existing.SKIP,
    dry_run: options.DryRun = False,
    json: options.Json = False,
) -> None:
    """Turn a foreign checkpoint into a model folder.

    The folder holds config.json and model.safetensors, and transformers reads it too. Every tensor has to fit; what is
    missing, unexpected or mis-shaped is listed by name, and nothing is written. What the weights do not say themselves
    is assumed as published, and told.
    """
    from glpn_cli.atomic_write import probe_writable
    from glpn_cli.cli.model_folders import place_folder
    from glpn_cli.conversion import Layout, plan_conversion
    from glpn_cli.text import SCHEMA, path_text

    known_layout = None if layout is SourceLayout.AUTO else Layout(layout.value)
    conversion = plan_conversion(
        source,
        announce=console.note,
        layout=known_layout,
        config_file=config,
        max_depth=max_depth,
        offline=offline,
    )
    if output.resolve() == conversion.source.resolve().parent:
        raise UsageError(f"{str(output)!r} is the source's own folder", hint="Name another one with -o.")
    probe_writable(output)
    for note in conversion.notes:
        console.note(note)
    encoded = conversion.encode()
    status = place_folder(encoded, output, existing=existing, dry_run=dry_run)
    if json:
        record = {
            "schema": SCHEMA,
            "type": "conversion",
            "status": status,
            "input": path_text(source),
            "output": path_text(str(output)),
            "layout": conversion.layout.value,
            "tensors": len(conversion.sources),
            "dropped": list(conversion.dropped),
            "notes": list(conversion.notes),
            "config": dict(conversion.config),
        }
        console.json(record)
    else:
        if status == "skipped":
            console.note(f"{output}: already there, and the same")
        console.result(output)
