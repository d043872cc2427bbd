"""`glpn inspect`: what a model or a depth file is, without running or changing anything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glpn_cli.cli import options
from glpn_cli.cli.asked import find_asked
from glpn_cli.cli.console import console
from glpn_cli.errors import ErrorCode, ExitCode, InputError, UsageError
from glpn_cli.pipeline.settings import InputKind

EXAMPLES = """
glpn inspect kitti --input-size 1216x352
glpn inspect photo_depth.png --json
"""

_MODEL_SUFFIXES = (".safetensors", ".bin", ".ckpt", ".pt", ".pth")


def inspect(
    context: typer.Context,
    target: Annotated[
        str | None,
        typer.Argument(metavar="MODEL|FILE", help="A model, as for -m, or a depth file; - for one on stdin."),
    ] = None,
    as_: options.As = InputKind.AUTO,
    model: options.Model = None,
    max_depth: options.MaxDepth = None,
    offline: options.Offline = False,
    input_size: options.InputSize = "auto",
    depth_scale: options.DepthScale = None,
    kind: options.KindOption = options.Kind.METRIC,
    json: options.Json = False,
) -> None:
    """Show what a model or a depth file is.

    A model: config, parameters, cost and memory at a size, unit and where it comes from, licence, checksum, and whether
    the weights fit the config. A depth file: what it says about itself, and its range. Nothing is run.
    """
    is_depth = as_ is InputKind.DEPTH or (as_ is InputKind.AUTO and _is_file(target))
    if as_ is InputKind.PICTURE:
        raise UsageError("inspect looks at models and depth files, not at pictures")
    asked = find_asked(context)
    if is_depth:
        asked.refuse("--model", "--max-depth", "--input-size", because="is about models, and a file is named")
    else:
        asked.refuse("--depth-scale", "--kind", because="is about depth files, and a model is named")
        if target is not None:
            asked.refuse("--model", because=f"names a model, and so does {target!r}")
    if target is not None and is_depth:
        _inspect_depth(Path(target), depth_scale, kind, json=json)
    elif is_depth:
        raise UsageError("--as depth needs a file to look at")
    else:
        # What is typed behind the command wins over GLPN_MODEL, which -m falls back to.
        _inspect_model(target or model, max_depth, input_size, offline=offline, json=json)


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
    import sys

    from glpn_cli.images.source import read_limited, read_once

    if str(path) == "-":
        if sys.stdin is None:
            raise UsageError("standard input is closed")
        return read_limited(sys.stdin.buffer, "standard input")
    return path if path.is_file() or not path.exists() else read_once(path, repr(str(path)))


def _inspect_depth(path: Path, depth_scale: float | None, kind: options.Kind, *, json: bool) -> None:
    from glpn_cli.cli.depth_report import describe_depth, make_depth_record
    from glpn_cli.depth_files.summary import summarise_depth
    from glpn_cli.prediction import DepthKind

    try:
        summary = summarise_depth(_content(path), depth_scale=depth_scale, kind=DepthKind(kind.value))
    except InputError as error:
        console.error(error, about=str(path))
        missing = error.code == ErrorCode.NOT_FOUND
        raise typer.Exit(ExitCode.USAGE if missing else ExitCode.NOTHING_DONE) from error
    if json:
        console.json(make_depth_record(path, summary))
    else:
        console.text(describe_depth(path, summary))


def _inspect_model(name: str | None, max_depth: float | None, input_size: str, *, offline: bool, json: bool) -> None:
    from glpn_cli.cli.model_report import describe_model, make_model_record
    from glpn_cli.models.config_base import InputSize
    from glpn_cli.models.inspect import inspect_model
    from glpn_cli.models.registry import DEFAULT_MODEL
    from glpn_cli.models.resolve import resolve_model

    size = InputSize.parse(input_size)
    model = resolve_model(
        DEFAULT_MODEL if name is None else name, max_depth=max_depth, offline=offline, announce=console.note
    )
    report = inspect_model(model, input_size=size)
    if json:
        console.json(make_model_record(report))
    else:
        console.text(describe_model(report))
    if not report.is_sound:
        raise typer.Exit(ExitCode.NOTHING_DONE)
