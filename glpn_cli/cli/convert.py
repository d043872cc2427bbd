"""`glpn convert`: foreign checkpoints into model folders, and models into ONNX files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from glpn_cli.cli.console import console
from glpn_cli.cli.groups import only
from glpn_cli.cli.params import ModelParams
from glpn_cli.cli.unused_options import check_used
from glpn_cli.errors import ErrorCode, UsageError
from glpn_cli.options import MODEL, OUTPUTS, ExplicitOptions, argument, option
from glpn_cli.pipeline.settings import Existing, OutputSettings

if TYPE_CHECKING:
    from glpn_cli.checkpoint.write import EncodedFolder

EXAMPLES = """
glpn convert best_model_kitti.ckpt -o kitti-80 --max-depth 80
glpn convert lite -o lite.onnx --verify
glpn convert downloaded/ -o nyu-glpn
"""


@dataclass(frozen=True, kw_only=True)
class _ConversionParams:
    """What to convert, and how to read it."""

    PANEL = MODEL

    source: str = argument("SOURCE", ..., "A folder, a .safetensors, .bin or .ckpt file, or a model's name.")
    output: Path = option("-o, --output PATH", ..., "The folder to write, or a file that ends in .onnx.", panel=OUTPUTS)
    layout: Literal["auto", "transformers", "glpn-author"] = option(
        "--from LAYOUT", "auto", "auto, transformers, or glpn-author (a .ckpt)."
    )
    config: Path | None = option("--config FILE", None, "A config.json, where there is none beside the weights.")
    verify: bool = option(
        "--verify", False, "Run the ONNX file, and write it only if it answers as torch does.", panel=OUTPUTS
    )
    with_preprocessing: bool = option(
        "--with-preprocessing", False, "Let the ONNX file take bytes of RGB and normalise them.", panel=OUTPUTS
    )


def convert(
    explicit: ExplicitOptions,
    params: _ConversionParams,
    model: Annotated[ModelParams, only("max_depth", "offline")],
    writing: Annotated[OutputSettings, only("existing", "dry_run", "json")],
) -> None:
    """Turn a foreign checkpoint into a folder, or a model into ONNX.

    The folder holds config.json and model.safetensors; transformers can read it too. Every tensor must fit: missing,
    unexpected and misshapen ones are listed by name, and then nothing is written. Settings that the weights do not
    tell are taken from the published models, and listed.

    An ONNX file (-o NAME.onnx) takes any number of pictures of any size that is a multiple of the model's steps, and
    says in its metadata what goes in and what comes out.
    """
    is_onnx = params.output.suffix.lower() == ".onnx"
    check_used(explicit, {"convert: to a folder": not is_onnx, "convert: to ONNX": is_onnx})
    if is_onnx:
        _convert_to_onnx(params, model, writing)
        return
    from glpn_cli.atomic_write import probe_writable
    from glpn_cli.conversion import Conversion, Layout
    from glpn_cli.text import SCHEMA, path_text

    output = params.output
    conversion = Conversion.plan(
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


def _convert_to_onnx(params: _ConversionParams, model: ModelParams, writing: OutputSettings) -> None:
    """Write a model as an ONNX file, unless it is there."""
    from glpn_cli.atomic_write import write_atomically
    from glpn_cli.models.resolve import resolve_model
    from glpn_cli.onnx_export import export_onnx, verify_onnx
    from glpn_cli.text import SCHEMA, path_text

    found = resolve_model(params.source, max_depth=model.max_depth, offline=model.offline, announce=console.note)
    output, difference = params.output, None
    if output.exists() and writing.existing is not Existing.OVERWRITE:
        raise UsageError(
            f"{str(output)!r} exists already", hint="Replace it with --existing overwrite.", code=ErrorCode.EXISTS
        )
    if not writing.dry_run:
        data = export_onnx(found, with_preprocessing=params.with_preprocessing)
        if params.verify:
            difference = verify_onnx(data, found)
            console.note(f"ONNX Runtime and torch differ by at most {difference:.1g} of the range")
        write_atomically(output, data)
    record = {
        "schema": SCHEMA,
        "type": "conversion",
        "status": "planned" if writing.dry_run else "ok",
        "input": path_text(params.source),
        "output": path_text(str(output)),
        "difference": difference,
    }
    show_folder(output, str(record["status"]), record, json=writing.json)


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
