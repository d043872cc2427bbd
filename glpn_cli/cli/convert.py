"""`glpn convert`: foreign checkpoints into model folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from glpn_cli.cli.console import console
from glpn_cli.cli.params import MODEL, OUTPUTS, ModelParams, OutputParams, argument, only, option
from glpn_cli.errors import ErrorCode, UsageError
from glpn_cli.pipeline.settings import Existing

if TYPE_CHECKING:
    from glpn_cli.checkpoint import EncodedFolder

EXAMPLES = """
glpn convert best_model_kitti.ckpt -o kitti-80 --max-depth 80
glpn convert downloaded/ -o nyu-glpn
"""


@dataclass(frozen=True, kw_only=True)
class ConversionParams:
    """What to convert, and how to read it."""

    PANEL = MODEL

    source: str = argument("SOURCE", ..., "A folder, a .safetensors, .bin or .ckpt file, or a model's name.")
    output: Path = option("-o, --output DIR", ..., "The folder to write.", panel=OUTPUTS)
    layout: Literal["auto", "transformers", "glpn-author"] = option(
        "--from LAYOUT", "auto", "auto, transformers, or glpn-author (a .ckpt)."
    )
    config: Path | None = option("--config FILE", None, "A config.json, where there is none beside the weights.")


def convert(
    params: ConversionParams,
    model: Annotated[ModelParams, only("max_depth", "offline")],
    writing: Annotated[OutputParams, only("existing", "dry_run", "json")],
) -> None:
    """Turn a foreign checkpoint into a model folder.

    The folder holds config.json and model.safetensors; transformers can read it too. Every tensor must fit: missing,
    unexpected and misshapen ones are listed by name, and then nothing is written. Settings that the weights do not
    tell are taken from the published models, and listed.
    """
    from glpn_cli.atomic_write import probe_writable
    from glpn_cli.conversion import Layout, plan_conversion
    from glpn_cli.text import SCHEMA, path_text

    output = params.output
    conversion = plan_conversion(
        params.source,
        announce=console.note,
        layout=None if params.layout == "auto" else Layout(params.layout),
        config_file=params.config,
        max_depth=model.max_depth,
        offline=model.offline,
    )
    if output.resolve() == conversion.source.resolve().parent:
        raise UsageError(f"{str(output)!r} is the folder of the source itself", hint="Name another one with -o.")
    probe_writable(output)
    for note in conversion.notes:
        console.note(note)
    status = place_folder(conversion.encode(), output, existing=writing.existing, dry_run=writing.dry_run)
    record = {
        "schema": SCHEMA,
        "type": "conversion",
        "status": status,
        "input": path_text(params.source),
        "output": path_text(str(output)),
        "layout": conversion.layout.value,
        "tensors": len(conversion.sources),
        "dropped": list(conversion.dropped),
        "notes": list(conversion.notes),
        "config": dict(conversion.config),
    }
    show_folder(output, status, record, json=writing.json)


def place_folder(encoded: EncodedFolder, folder: Path, *, existing: Existing, dry_run: bool = False) -> str:
    """Write a model folder unless it exists; return "ok", "skipped" (it holds the same) or "planned".

    Raises UsageError where something else is in the way, and StoppedError where the folder cannot be written.
    """
    there = [name for name in encoded.files if (folder / name).exists()]
    if there and existing is not Existing.OVERWRITE:
        in_the_way = there if existing is Existing.ERROR else encoded.differing(folder)
        if not in_the_way and len(there) == len(encoded.files):
            return "skipped"
        # Files that are the same, but not all of them, were left by a run that was stopped: it is completed.
        if in_the_way and existing is not Existing.UPDATE:
            raise UsageError(
                f"folder {str(folder)!r} holds {'something else' if existing is Existing.SKIP else 'a model'} already: "
                + ", ".join(in_the_way),
                hint="Choose another folder, or replace its files with --existing overwrite.",
                code=ErrorCode.EXISTS,
            )
    if dry_run:
        return "planned"
    encoded.write(folder)
    return "ok"


def show_folder(folder: Path, status: str, record: dict[str, object], *, json: bool) -> None:
    """Print a model folder: its record, or its path."""
    if json:
        console.json(record)
        return
    if status == "skipped":
        console.note(f"{folder}: already there, and the same")
    console.result(folder)
