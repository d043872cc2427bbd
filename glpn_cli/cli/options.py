"""Every option that more than one command has, named once: one spelling, one letter, one help text, one default.

A command's signature picks from these; the chapter that an option stands in on the help screen is written here too.
Sizes on the command line are WIDTHxHEIGHT, as in every tool; the code behind them keeps (height, width).
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from glpn_cli.cli.completion import complete_format, complete_model
from glpn_cli.errors import UsageError
from glpn_cli.pipeline.settings import Existing, InputKind

INPUTS, MODEL, OUTPUTS, COLORS, SPACE, BATCH = "Inputs", "Model", "Outputs", "Colours", "Space", "Whole runs"


class Orientation(StrEnum):
    """Whether the camera's note on which side is up is followed."""

    EXIF = "exif"
    IGNORE = "ignore"


class Precision(StrEnum):
    """The arithmetic of the network."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


class Kind(StrEnum):
    """What depths mean, as `DepthKind` has it."""

    METRIC = "metric"
    SCALE = "scale"
    AFFINE = "affine"
    DISPARITY = "disparity"


class Axes(StrEnum):
    """Which way the axes of points in space go."""

    OPENCV = "opencv"
    OPENGL = "opengl"
    BLENDER = "blender"


class Upsample(StrEnum):
    """How depth is brought to the picture's own size."""

    BICUBIC = "bicubic"
    NEAREST = "nearest"
    GUIDED = "guided"


class Tta(StrEnum):
    """Test-time augmentation."""

    NONE = "none"
    FLIP = "flip"


class Metres(StrEnum):
    """Through which lens metres are told."""

    TRAINED = "trained"
    FOCAL = "focal"


def parse_count(text: str | int) -> int:
    """A number of things, with k, M or G for thousands, millions, billions: 250M."""
    if isinstance(text, int):
        return text
    factor = {"k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9}.get(text[-1:], 1)
    digits = text[:-1] if factor > 1 else text
    if not (digits.isascii() and digits.isdigit()) or int(digits) == 0:
        raise UsageError(f"{text!r} is no count (like 5000, 250k or 250M)")
    return int(digits) * factor


def option(*names: str, metavar: str | None = None, panel: str, help: str, **more: Any) -> Any:
    """An option in a chapter of the help screen."""
    return typer.Option(*names, metavar=metavar, rich_help_panel=panel, help=help, **more)


# Inputs

Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="INPUTS",
        help="Pictures, folders of them, glob patterns, or - for the bytes of one picture on standard input.",
    ),
]
FilesFrom = Annotated[
    list[str] | None,
    option("--files-from", metavar="FILE", panel=INPUTS, help="Read inputs from FILE (- is stdin), one a line."),
]
Files0From = Annotated[
    list[str] | None,
    option("--files0-from", metavar="FILE", panel=INPUTS, help="The same, each ended by a NUL."),
]
Recursive = Annotated[
    bool, option("--recursive/--no-recursive", panel=INPUTS, help="Go down into the folders of a folder.")
]
Root = Annotated[
    Path | None,
    option("--root", metavar="DIR", panel=INPUTS, help="Name results by their input's path below DIR."),
]
Shard = Annotated[
    str | None, option("--shard", metavar="I/N", panel=INPUTS, help="Do the I-th of N parts of the inputs; I from 1.")
]
As = Annotated[InputKind, option("--as", metavar="KIND", panel=INPUTS, help="What inputs are: auto, picture or depth.")]
KindOption = Annotated[
    Kind,
    option(
        "--kind",
        metavar="KIND",
        panel=INPUTS,
        help="What depth files hold that do not say, as npy and PFM: metric, scale, affine, disparity.",
    ),
]
MaxPixels = Annotated[
    int,
    option(
        "--max-pixels",
        metavar="N",
        panel=INPUTS,
        parser=parse_count,
        show_default="250M",
        help="Refuse pictures of more pixels.",
    ),
]
AllowTruncated = Annotated[
    bool, option("--allow-truncated", panel=INPUTS, help="Use what there is of pictures that end too early.")
]
OrientationOption = Annotated[
    Orientation,
    option(
        "--orientation", metavar="HOW", panel=INPUTS, help="Turn pictures upright as they say (exif), or ignore it."
    ),
]
Frame = Annotated[
    int, option("--frame", metavar="N", min=0, panel=INPUTS, help="Which picture of an animation or a stack, from 0.")
]

Isolate = Annotated[
    bool,
    option(
        "--isolate",
        panel=INPUTS,
        help="Decode in processes of their own, so that a file that crashes its decoder is one failed input.",
    ),
]
Timeout = Annotated[
    float | None,
    option(
        "--timeout",
        metavar="SECONDS",
        panel=INPUTS,
        show_default="60 with --isolate",
        help="Give up a file that takes longer to decode; implies --isolate.",
    ),
]

Data = Annotated[
    str,
    option(
        "--data",
        metavar="DATA",
        panel=INPUTS,
        help="Pictures with depth: a CSV of rgb_path,depth_path,depth_scale, a folder with pairs.csv, nyu:DIR, "
        "kitti:DIR, or scenes:SEED[:COUNT].",
    ),
]

# Model

Model = Annotated[
    str | None,
    option(
        "--model",
        "-m",
        metavar="NAME",
        autocompletion=complete_model,
        panel=MODEL,
        envvar="GLPN_MODEL",
        show_default="mini",
        help="mini, nyu, kitti, a folder, or OWNER/NAME[@REVISION] on the Hub.",
    ),
]
MaxDepth = Annotated[
    float | None,
    option(
        "--max-depth",
        metavar="METRES",
        panel=MODEL,
        show_default="the model's",
        help="Depth at the network's full scale; rescales every depth.",
    ),
]
Offline = Annotated[bool, option("--offline", panel=MODEL, envvar="GLPN_OFFLINE", help="Never use the network.")]
Device = Annotated[
    str,
    option("--device", metavar="DEVICE", panel=MODEL, envvar="GLPN_DEVICE", help="auto, cpu, mps, cuda or cuda:N."),
]
PrecisionOption = Annotated[
    Precision,
    option(
        "--precision",
        metavar="KIND",
        panel=MODEL,
        help="fp32, bf16, fp16, or auto: bf16 where the hardware multiplies it natively.",
    ),
]
InputSize = Annotated[
    str,
    option(
        "--input-size",
        metavar="SIZE",
        panel=MODEL,
        help="What the network sees: auto, original, N (longest side) or WxH. Results keep the picture's own size.",
    ),
]
TtaOption = Annotated[
    Tta, option("--tta", metavar="KIND", panel=MODEL, help="flip: average with the answer for the mirrored picture.")
]
UpsampleOption = Annotated[
    Upsample,
    option(
        "--upsample",
        metavar="KIND",
        panel=MODEL,
        help="To the picture's size: bicubic, nearest, or guided by the picture, for clean silhouettes.",
    ),
]
BatchSize = Annotated[
    str,
    option(
        "--batch-size", metavar="N", panel=MODEL, help="Pictures together; auto is 1 on a CPU, on a GPU by its memory."
    ),
]
Workers = Annotated[
    int | None,
    option(
        "--workers",
        metavar="N",
        min=1,
        max=256,
        panel=MODEL,
        show_default="auto",
        help="Threads to decode and write.",
    ),
]
Threads = Annotated[
    int | None,
    option("--threads", metavar="N", min=1, max=1024, panel=MODEL, show_default="auto", help="Threads of the network."),
]

# Outputs

Output = Annotated[
    str,
    option(
        "--output",
        "-o",
        metavar="PATH",
        panel=OUTPUTS,
        help="A folder; a file, if it ends in a format's extension; or - for standard output.",
    ),
]
Format = Annotated[
    str | None,
    option(
        "--format",
        "-f",
        metavar="LIST",
        autocompletion=complete_format,
        panel=OUTPUTS,
        help="What to write, with commas: png16 (predict's default), npy, npz, tiff, pfm, exr, color (export's), "
        "gray, gray16, ply (coloured points).",
    ),
]
OutputFolder = Annotated[Path, option("--output", "-o", metavar="DIR", panel=OUTPUTS, help="The folder to write.")]
Name = Annotated[
    str,
    option(
        "--name",
        metavar="TEMPLATE",
        panel=OUTPUTS,
        help="File names, of {stem}, {map}, {format}, {name}, {parent}, {model}.",
    ),
]
DepthScale = Annotated[
    float | None,
    option(
        "--depth-scale",
        metavar="UNITS",
        panel=OUTPUTS,
        help="Units per metre in integer files: to write (1000 unless the model sees too far for that, then 256), "
        "or to read where a file does not say.",
    ),
]
CalibrationFile = Annotated[
    Path | None,
    option(
        "--calibration", metavar="FILE", panel=SPACE, help="Bring depths to the metres of glpn measure --calibrate."
    ),
]
MetresOption = Annotated[
    Metres,
    option(
        "--metres",
        metavar="KIND",
        panel=SPACE,
        help="trained: as of the lens that the model learned through; focal: brought to the lens of each picture, "
        "which EXIF or --focal must tell.",
    ),
]
Focal = Annotated[
    str,
    option(
        "--focal",
        metavar="LENGTH",
        panel=SPACE,
        help="The camera's focal length: 518px (of the upright picture), 28mm (35 mm equivalent), 65deg (horizontal "
        "field of view), or auto: by EXIF, else assumed.",
    ),
]
AxesOption = Annotated[
    Axes,
    option(
        "--axes",
        metavar="AXES",
        panel=SPACE,
        help="Of ply: opencv (y down, z forward), opengl (y up, z backward) or blender (y forward, z up).",
    ),
]
EdgeCull = Annotated[
    bool, option("--edge-cull", panel=SPACE, help="Leave out points that hang between foreground and background.")
]
ExistingOption = Annotated[
    Existing,
    option(
        "--existing",
        metavar="POLICY",
        panel=OUTPUTS,
        help="Where an output is there: skip it if it was made the same way, update it if not, overwrite, or error.",
    ),
]
DryRun = Annotated[bool, option("--dry-run", "-n", panel=OUTPUTS, help="Plan and check everything, write nothing.")]
Json = Annotated[bool, option("--json", panel=OUTPUTS, help="Print JSON on stdout.")]
Report = Annotated[
    Path | None, option("--report", metavar="FILE", panel=OUTPUTS, help="Write the JSON records to FILE as well.")
]

# Whole runs

FailFast = Annotated[bool, option("--fail-fast", panel=BATCH, help="Stop at the first input that fails.")]
AllowFailed = Annotated[
    str | None,
    option("--allow-failed", metavar="N|P%", panel=BATCH, help="Exit with 0 if no more than N inputs, or P %, fail."),
]
AllowEmpty = Annotated[bool, option("--allow-empty", panel=BATCH, help="Finding no inputs is no error.")]
