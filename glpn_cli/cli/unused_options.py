"""Refuse options that would change nothing, by one table of situations.

Options that depend on the files to be written are the pipeline's (`glpn_cli.pipeline.outputs`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from glpn_cli.cli.console import console
from glpn_cli.options import OF_NETWORKS, ExplicitOptions

if TYPE_CHECKING:
    from glpn_cli.pipeline.sources import Sources


class _Unused(NamedTuple):
    """Options that have no use, the reason, which follows an option's name in the message, and a way out."""

    options: tuple[str, ...]
    because: str
    hint: str | None = None


_OF_MODELS = ("--max-depth", "--device", "--precision", "--input-size", "--tta", "--batch-size", "--threads")

_UNUSED = {
    "bench: inputs are named": _Unused(("--pictures",), "says how many to make, and INPUTS name existing ones"),
    "convert: to a folder": _Unused(
        ("--verify", "--with-preprocessing"), "is for an ONNX file", "Write one with -o NAME.onnx."
    ),
    "convert: to ONNX": _Unused(("--from", "--config"), "is for foreign checkpoints", "Make a folder of them first."),
    "inspect: a file is named": _Unused(
        ("--model", "--max-depth", "--input-size"), "is for models, and a file is named"
    ),
    "inspect: a model is named": _Unused(
        ("--depth-scale", "--kind", "--max-pixels"), "is for depth files, and a model is named"
    ),
    "inspect: a model is the argument": _Unused(("--model",), "names a model, and so does {}"),
    "models: no folder is named": _Unused(("--existing",), "is for the folder of -o, and none is named"),
    "models: not from the hub": _Unused(("--refresh",), "asks the hub, and {} is not from there"),
    "models: licence asks nothing": _Unused(
        ("--accept-licence",), "is for licences that forbid commercial use; {} has none"
    ),
    "measure: nothing is calibrated": _Unused(("--output",), "is the file of --calibrate, which is not given"),
    "measure: metres are scaled": _Unused(
        ("--calibrate", "--calibration"),
        "corrects for the camera, and so does --metres focal",
        "Leave out one of the two.",
    ),
    "measure: nothing is measured": _Unused(("--focal", "--intrinsics"), "is for what is measured, and nothing is"),
    "evaluate: labels": _Unused(
        (
            *("--crop", "--gt-range", "--align", "--clip", "--protocol", "--baseline", "--predictions"),
            *("--depth-scale", "--kind", "--output", "--metrics", "--gt-kind", "--focal", "--intrinsics"),
            "--temporal",
        ),
        "makes no sense for data with labels",
    ),
    "evaluate: no model is scored": _Unused(_OF_MODELS, "is for models, and none is scored", "Name one with -m."),
    "evaluate: pictures are rendered": _Unused(
        ("--isolate", "--timeout", "--max-pixels"), "is for files, and these pictures are rendered"
    ),
    "evaluate: rooms are no film": _Unused(
        ("--temporal",),
        "is for frames in order, and these rooms are lone pictures",
        "Make some: glpn scenes --walk 30.",
    ),
    "evaluate: no folder is scored": _Unused(("--kind",), "is for the maps of --predictions, and there are none"),
    "evaluate: nothing has a scale": _Unused(("--depth-scale",), "is for a CSV or --predictions, and there are none"),
    "evaluate: no camera is needed": _Unused(
        ("--focal", "--intrinsics"), "is for --metrics normals, --gt-kind ray and --align focal, and none is asked for"
    ),
    "evaluate: truth is along the axis": _Unused(
        ("--gt-kind",), "is for a CSV: rooms, NYU and KITTI hold depth along the axis"
    ),
    "predict: no cluster": _Unused(
        ("--address", "--actors", "--gpus-per-actor"), "is for a cluster", "Add --engine ray, or leave it out."
    ),
    "train: nothing has a scale": _Unused(("--depth-scale",), "is for a CSV, and there is none"),
    "train: nothing is validated": _Unused(("--val-count",), "is for the pictures of --val, and there are none"),
    "train: all have depth": _Unused(("--teacher",), "gives depth to folders without a pairs.csv, and there is none"),
    "train: steps are given": _Unused(("--epochs",), "says how long, and so does --steps"),
    "train: data are endless": _Unused(
        ("--epochs",), "has no meaning: these data have no end", "Say how long with --steps."
    ),
}
"""By situation. {} is the name that the situation is about."""


def check_used(explicit: ExplicitOptions, situations: dict[str, bool], *, name: object = "") -> None:
    """Refuse typed options that change nothing in the situations that hold (UsageError)."""
    for situation, holds in situations.items():
        if holds:
            unused = _UNUSED[situation]
            explicit.refuse(*unused.options, because=unused.because.format(repr(name)), hint=unused.hint)


def note_made_earlier(found: Sources | None, explicit: ExplicitOptions, *for_others: str, clips: int = 0) -> None:
    """Name the typed options that change nothing in maps that exist already.

    for_others: the options that do where a map does not say what its numbers mean
    found:      the other inputs; None where there are clips alone
    clips:      how many clips of depth there are
    """
    typed = explicit.among(*OF_NETWORKS, "--white")
    typed += () if found is not None and found.bare_names else explicit.among(*for_others)
    from glpn_cli.pipeline.sources import StoredSource

    sources = () if found is None else found.sources
    if sources and all(isinstance(each, StoredSource) and each.given == str(each.path) for each in sources):
        typed += explicit.among("--frame", "--orientation")
    count = clips + (0 if found is None else found.stored_count)
    if not typed or not count:
        return
    maps = "1 map is there already" if count == 1 else f"{count} maps are there already"
    change = "changes" if len(typed) == 1 else "change"
    console.note(f"{maps}, made earlier: {', '.join(typed)} {change} nothing in {'it' if count == 1 else 'them'}")
