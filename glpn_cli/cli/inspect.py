"""`glpn inspect`: what a model or a depth file is, without running or changing anything."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from glpn_cli.cli.console import console, make_facts
from glpn_cli.cli.depth_report import DepthTable, describe_depth, make_depth_record
from glpn_cli.cli.groups import only
from glpn_cli.cli.model_report import describe_model, make_model_record
from glpn_cli.cli.params import ModelParams
from glpn_cli.cli.unused_options import check_used
from glpn_cli.errors import ErrorCode, ExitCode, InputError, UsageError
from glpn_cli.options import INPUTS, READ_SCALE, ExplicitOptions
from glpn_cli.pipeline.settings import InputKind, InputSettings, OutputSettings
from glpn_cli.text import SCHEMA, path_text
from glpn_cli.video.settings import AT

EXAMPLES = """
glpn inspect kitti --input-size 1216x352
glpn inspect depth_maps   # a line for every map in a folder
glpn inspect photo_depth.png --json
"""

_MODEL_SUFFIXES = (".safetensors", ".bin", ".ckpt", ".pt", ".pth")


def inspect(
    explicit: ExplicitOptions,
    inputs: Annotated[InputSettings, only("kind", "depth_kind", "max_pixels")],
    model: Annotated[ModelParams, only("model", "max_depth", "offline", "input_size")],
    output: Annotated[OutputSettings, only("json", help=READ_SCALE)],
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL|MAP...", help="A model, as for -m; depth files or folders of them; - for one on stdin."
        ),
    ] = None,
    at: Annotated[str | None, typer.Option("--at", metavar="TIME", help=AT, rich_help_panel=INPUTS)] = None,
) -> None:
    """Show what a model or a depth file is.

    A model: config, parameters, cost and memory at a size, unit and its source, licence, checksum, and whether the
    weights fit the config. A depth file: what it says about itself, its range, mean and percentiles; of several files,
    a table; of a clip of depth, its frames and, with --at, the map of one of them. Nothing is run. With --json one line
    each.
    """
    failed: list[int] = []
    asked: list[str | None] = [each for target in targets or (None,) for each in _expand(target, inputs)]
    table = DepthTable() if len(asked) > 1 else None
    for target in asked:
        try:
            if _inspect_clip(target, at, inputs, output, table):
                continue
            _inspect_one(target, explicit, inputs, model, output, table)
        except typer.Exit as ended:
            failed.append(ended.exit_code)
    if failed:
        raise typer.Exit(failed[0] if len(failed) == len(asked) else ExitCode.SOME_FAILED)


def _expand(target: str | None, inputs: InputSettings) -> Iterator[str | None]:
    """The depth files and clips of a folder, damaged ones too; everything else as it is.

    Raises UsageError for a folder of other things.
    """
    folder = Path(target or "-")
    if not folder.is_dir() or any(
        each.name == "config.json" or each.suffix in _MODEL_SUFFIXES for each in folder.iterdir()
    ):
        yield target
        return
    from glpn_cli.images import Search, find_images
    from glpn_cli.pipeline.pairing import DEPTH_EXTENSIONS
    from glpn_cli.pipeline.sources import Content, identify
    from glpn_cli.video.find import EXTENSIONS

    known = {Content.DEPTH, Content.UNCERTAINTY}
    if inputs.kind is InputKind.DEPTH:
        known |= {Content.AMBIGUOUS, Content.PICTURE}
    unclear: list[Path] = []

    def leave_out(path: Path) -> bool:
        content, _ = identify(path)
        if content is Content.AMBIGUOUS and content not in known:
            unclear.append(path)
        if content is Content.CLIP:
            return not _may_be_own_clip(path)
        return content not in known and not (content is Content.PICTURE and _is_nothing_known(path))

    search = Search(extensions=EXTENSIONS | frozenset(DEPTH_EXTENSIONS), leave_out=leave_out)
    found = find_images([str(folder)], search)
    take_them = "Take them for depth with --as depth, and --depth-scale 1000 where they are whole numbers."
    if not found.sources:
        raise UsageError(
            f"{str(folder)!r} is no model, for it has no config.json, and no depth map is known for one in it",
            hint=take_them if unclear else "Name a model, a depth file, or a folder of depth files.",
        )
    if unclear:
        console.warn(f"{len(unclear)} files that may be depth or pictures are left out", hint=take_them)
    yield from (str(source.path) for source in found.sources)


def _may_be_own_clip(path: Path) -> bool:
    """Whether a clip has a record of ours, or is damaged, so that nobody can tell."""
    from glpn_cli.video.depth_clip import peek_record

    try:
        return peek_record(path) is not None
    except InputError:
        return True
    except UsageError:  # without PyAV
        return False


def _is_nothing_known(path: Path) -> bool:
    """Whether a file is empty, cannot be read, or begins as no file does: a map that is damaged."""
    from glpn_cli.depth_files.base import read_head
    from glpn_cli.images.formats import EMPTY, HEAD_BYTES, TEXT, UNKNOWN, recognise

    try:
        return recognise(read_head(path, HEAD_BYTES), name=path.name) in (EMPTY, TEXT, UNKNOWN)
    except InputError:
        return True


def _inspect_one(
    target: str | None,
    explicit: ExplicitOptions,
    inputs: InputSettings,
    model: ModelParams,
    output: OutputSettings,
    table: DepthTable | None,
) -> None:
    """Show one model or file, a file as a row of the table if there is one. Raises typer.Exit where it is not sound."""
    if target is not None and target.lower().endswith(".onnx"):
        _inspect_onnx(Path(target), json=output.json)
        return
    is_depth = inputs.kind is InputKind.DEPTH or (inputs.kind is InputKind.AUTO and _is_file(target))
    if inputs.kind is InputKind.PICTURE:
        raise UsageError("inspect takes models and depth files, not pictures")
    situations = {
        "inspect: a file is named": is_depth,
        "inspect: a model is named": not is_depth,
        "inspect: a model is the argument": not is_depth and target is not None,
    }
    check_used(explicit, situations, name=target)
    if not is_depth:
        # What is typed behind the command wins over GLPN_MODEL, which -m falls back to.
        _inspect_model(target or model.model, model, json=output.json)
    elif target is None:
        raise UsageError("--as depth needs a file to look at")
    else:
        _inspect_depth(Path(target), inputs, output, table)


def _inspect_clip(
    target: str | None, at: str | None, inputs: InputSettings, output: OutputSettings, table: DepthTable | None
) -> bool:
    """Show a clip of depth, or the map of one of its frames; whether the target is a clip. Raises typer.Exit."""
    if at is None and not _is_file(target):
        return False  # without the libraries that look into files
    from glpn_cli.video.find import is_clip_file

    path = Path(target or "-")
    is_clip = target is not None and is_clip_file(target)
    if at is None and not is_clip:
        return False
    from glpn_cli.video.depth_clip import describe_clip
    from glpn_cli.video.settings import parse_time
    from glpn_cli.video.still import check_still, extract_still

    try:
        if at is not None:
            check_still(path, at=at, is_clip=is_clip)
            _inspect_depth(path, inputs, output, table, extract_still(path, parse_time(at)))
            return True
        facts = describe_clip(path)
    except InputError as error:
        console.error(error, about=str(path))
        raise typer.Exit(ExitCode.NOTHING_DONE) from error
    if output.json:
        console.json({"schema": SCHEMA, "type": "clip", "input": path_text(str(path)), **facts})
    else:
        console.text(make_facts(((key.replace("_", " "), str(fact)) for key, fact in facts.items()), title=str(path)))
    return True


def _inspect_onnx(path: Path, *, json: bool) -> None:
    """Show what an ONNX file says about itself."""
    from glpn_cli.depth_files.record import PREFIX
    from glpn_cli.onnx_export import read_onnx_metadata

    facts = {key.removeprefix(PREFIX): text for key, text in read_onnx_metadata(path).items()}
    if json:
        console.json({"schema": SCHEMA, "type": "onnx", "input": path_text(str(path)), **facts})
        return
    console.text(make_facts(((key.replace("_", " "), text) for key, text in facts.items()), title=str(path)))


def _is_file(target: str | None) -> bool:
    """Whether the target is a file, a pipe, or - for standard input, and no model; or would be a depth file."""
    if target is None or target == "-":
        return target is not None
    path = Path(target)
    if path.exists():
        return not path.is_dir() and path.suffix.lower() not in _MODEL_SUFFIXES
    if not path.suffix:
        return False
    from glpn_cli.depth_files import EXTENSIONS

    return path.suffix.lower() in EXTENSIONS  # not there, which is no reason to ask the network for a model


def _content(path: Path) -> Path | bytes:
    """A file by its path; what can be read only once as its bytes. Raises InputError."""
    from glpn_cli.images.source import read_limited, read_once

    if str(path) == "-":
        if sys.stdin is None:
            raise UsageError("standard input is closed")
        return read_limited(sys.stdin.buffer, "standard input")
    return path if path.is_file() or not path.exists() else read_once(path, repr(str(path)))


def _inspect_depth(
    path: Path, inputs: InputSettings, output: OutputSettings, table: DepthTable | None, still: bytes | None = None
) -> None:
    """Show a depth file, or the frame of a clip."""
    from glpn_cli.depth_files.summary import DepthSummary
    from glpn_cli.prediction import DepthKind

    try:
        content = _content(path) if still is None else still
        if inputs.kind is InputKind.AUTO:
            _check_depth(content)
        kind, most = DepthKind(inputs.depth_kind), inputs.max_pixels
        summary = DepthSummary.of(content, depth_scale=output.depth_scale, kind=kind, max_pixels=most)
    except InputError as error:
        console.error(error, about=str(path))
        missing = error.code == ErrorCode.NOT_FOUND
        raise typer.Exit(ExitCode.USAGE if missing else ExitCode.NOTHING_DONE) from error
    if output.json:
        console.json(make_depth_record(path, summary))
    elif table is not None:
        console.text(table.add(path, summary))
    else:
        console.text(describe_depth(path, summary))


def _check_depth(content: Path | bytes) -> None:
    """Raise InputError for what the other commands do not take for depth, though its format can hold it."""
    from glpn_cli.depth_files import is_depth_format
    from glpn_cli.pipeline.sources import Content, ambiguous_error, identify

    found, _ = identify(content)
    if found is Content.AMBIGUOUS:
        raise ambiguous_error("it")
    if found is Content.PICTURE and is_depth_format(content):
        raise InputError(
            "it is a picture, by its content",
            hint="If it is a depth map: --as depth, with --depth-scale 1000 where it holds whole numbers.",
            code=ErrorCode.UNSUPPORTED,
        )


def _inspect_model(name: str | None, model: ModelParams, *, json: bool) -> None:
    from glpn_cli.models.config_base import InputSize
    from glpn_cli.models.inspect import ModelReport
    from glpn_cli.models.registry import DEFAULT_MODEL
    from glpn_cli.models.resolve import resolve_model

    size = InputSize.parse(model.input_size)
    found = resolve_model(
        DEFAULT_MODEL if name is None else name,
        max_depth=model.max_depth,
        offline=model.offline,
        announce=console.note,
    )
    report = ModelReport.of(found, input_size=size)
    if json:
        console.json(make_model_record(report))
    else:
        console.text(describe_model(report))
    if not report.is_sound:
        raise typer.Exit(ExitCode.NOTHING_DONE)
