"""`glpn inspect`: what a model or a depth file is, without running or changing anything."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glpn_cli.cli.columns import make_facts
from glpn_cli.cli.console import console
from glpn_cli.cli.params import InputParams, ModelParams, OutputParams, only
from glpn_cli.cli.unused_options import check_used
from glpn_cli.errors import ErrorCode, ExitCode, InputError, UsageError
from glpn_cli.pipeline.settings import ExplicitOptions, InputKind

if TYPE_CHECKING:
    from glpn_cli.depth_files.summary import DepthSummary

EXAMPLES = """
glpn inspect kitti --input-size 1216x352
glpn inspect photo_depth.png --json
"""

_MODEL_SUFFIXES = (".safetensors", ".bin", ".ckpt", ".pt", ".pth")


def inspect(
    explicit: ExplicitOptions,
    inputs: Annotated[InputParams, only("as_", "kind", "max_pixels")],
    model: Annotated[ModelParams, only("model", "max_depth", "offline", "input_size")],
    output: Annotated[OutputParams, only("depth_scale", "json")],
    target: Annotated[
        str | None,
        typer.Argument(metavar="MODEL|FILE", help="A model, as for -m, or a depth file; - for one on stdin."),
    ] = None,
) -> None:
    """Show what a model or a depth file is.

    A model: config, parameters, cost and memory at a size, unit and its source, licence, checksum, and whether the
    weights fit the config. A depth file: what it says about itself, and its range. Nothing is run.
    """
    is_depth = inputs.as_ is InputKind.DEPTH or (inputs.as_ is InputKind.AUTO and _is_file(target))
    if inputs.as_ is InputKind.PICTURE:
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
        _inspect_depth(Path(target), inputs, output)


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


def _inspect_depth(path: Path, inputs: InputParams, output: OutputParams) -> None:
    from glpn_cli.depth_files.summary import summarise_depth
    from glpn_cli.prediction import DepthKind

    try:
        kind, most = DepthKind(inputs.kind), inputs.max_pixels
        summary = summarise_depth(_content(path), depth_scale=output.depth_scale, kind=kind, max_pixels=most)
    except InputError as error:
        console.error(error, about=str(path))
        missing = error.code == ErrorCode.NOT_FOUND
        raise typer.Exit(ExitCode.USAGE if missing else ExitCode.NOTHING_DONE) from error
    if output.json:
        console.json(_make_depth_record(path, summary))
    else:
        console.text(_describe_depth(path, summary))


def _inspect_model(name: str | None, model: ModelParams, *, json: bool) -> None:
    from glpn_cli.cli.model_report import describe_model, make_model_record
    from glpn_cli.models.config_base import InputSize
    from glpn_cli.models.inspect import inspect_model
    from glpn_cli.models.registry import DEFAULT_MODEL
    from glpn_cli.models.resolve import resolve_model

    size = InputSize.parse(model.input_size)
    found = resolve_model(
        DEFAULT_MODEL if name is None else name,
        max_depth=model.max_depth,
        offline=model.offline,
        announce=console.note,
    )
    report = inspect_model(found, input_size=size)
    if json:
        console.json(make_model_record(report))
    else:
        console.text(describe_model(report))
    if not report.is_sound:
        raise typer.Exit(ExitCode.NOTHING_DONE)


def _make_depth_record(path: Path, summary: DepthSummary) -> dict[str, Any]:
    """One JSON object; `record` is the file's own, key by key as it stands there."""
    from glpn_cli.text import SCHEMA, path_text

    height, width = summary.size or (None, None)
    near, far = summary.min_max or (None, None)
    return {
        "schema": SCHEMA,
        "type": "depth",
        "path": path_text(str(path)),
        "format": summary.format,
        "map": summary.map,
        "kind": summary.kind.value if summary.kind else "labels",
        "unit": summary.kind.unit if summary.kind else None,
        "width": width,
        "height": height,
        "valid_share": summary.valid_share,
        "min": near,
        "max": far,
        "not_depth": summary.not_depth,
        "percentiles": {str(percent): value for percent, value in summary.percentiles},
        "record": summary.record.to_text() if summary.record else None,
    }


def _describe_depth(path: Path, summary: DepthSummary) -> str:
    """The same for people."""
    from glpn_cli.depth_files.record import PREFIX
    from glpn_cli.depth_files.uncertainty import UNCERTAINTY

    meaning = "labels" if summary.kind is None else summary.kind.value
    if summary.kind is not None and summary.kind.is_metric:
        meaning = "metres along the optical axis"
        if summary.map == UNCERTAINTY:
            meaning = "metres of standard deviation"
    what = f"{summary.map} as {summary.format}, {meaning}"
    if summary.map == "color":
        what = "a picture painted from depth; its pixels are colours, not depths"
    if summary.map == "normals":
        what = f"{summary.map} as {summary.format}: unit vectors towards the camera; the range is of the depth"
    own = summary.record.to_text() if summary.record else {}
    # What was said already is not said twice.
    said = {f"{PREFIX}{key}" for key in ("format", "map", "kind", "unit", "min", "max")}
    facts: list[tuple[str, str | None]] = [
        ("holds", what),
        ("size", f"{summary.size[1]}x{summary.size[0]}" if summary.size else None),
        ("valid", None if summary.valid_share is None else f"{100 * summary.valid_share:.2f} %"),
        (
            "not depth",
            f"{summary.not_depth} pixels: 65535, 1e9 and more, infinite or negative" if summary.not_depth else None,
        ),
        ("range", _range_in_words(summary)),
        ("percentiles", _percentiles_in_words(summary)),
        ("record", None if own else "none: the file does not say how it was made"),
        *((key.removeprefix(PREFIX).replace("_", " "), _shorten(text)) for key, text in own.items() if key not in said),
    ]
    return make_facts(facts, title=str(path))


def _shorten(text: str) -> str:
    """Numbers with the digits that people read; everything else as it is."""
    return f"{float(text):.6g}" if re.fullmatch(r"\d+\.\d{5,}", text) else text


def _range_in_words(summary: DepthSummary) -> str:
    if summary.min_max is None:
        return "no valid pixel" if summary.size else "not recorded"
    near, far = summary.min_max
    return f"{near:.4g} to {far:.4g}" + (" m" if summary.kind and summary.kind.unit else "")


def _percentiles_in_words(summary: DepthSummary) -> str | None:
    return ", ".join(f"{percent} %: {value:.4g}" for percent, value in summary.percentiles) or None
