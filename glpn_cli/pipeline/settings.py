"""The settings of a run, and the options of inputs, outputs and whole runs that they come from.

The fields that are options stand here with their help; others are for programs and for what is known later. Light to
import, with neither torch nor numpy, as the help screens are made of it.
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from glpn_cli.devices import cores
from glpn_cli.errors import UsageError
from glpn_cli.options import BATCH, INPUTS, MAX_PIXELS, MODEL, OUTPUTS, ExplicitOptions, argument, option, parse_count

if TYPE_CHECKING:
    from glpn_cli.calibration import Calibration
    from glpn_cli.depth_files import ColorizeOptions, PointCloudOptions
    from glpn_cli.images import ReadOptions
    from glpn_cli.models.settings import InferenceSettings
    from glpn_cli.process_pool import Workers

DEFAULT_NAME = "{stem}_{map}"
_MOST_WORKERS = 8

_ISOLATED_TIMEOUT_S = 60.0
"""How long a picture may take with `--isolate` where `--timeout` does not say."""

WORKER_MODULES = ("glpn_cli.images",)
"""What the decoding processes import while they wait for their first picture."""

# Decoding took at most 41 bytes a pixel, for floats, by measurement. The rest is Python and its libraries.
_BYTES_PER_PIXEL, _BYTES_BESIDES = 48, 2 << 30

_Kind = Literal["metric", "scale", "affine", "disparity"]
"""The values of `DepthKind`, which imports numpy."""


def _complete_format(incomplete: str) -> list[str]:
    """Formats, after the commas that are there already."""
    from glpn_cli.depth_files import FORMATS

    before, comma, last = incomplete.rpartition(",")
    return [before + comma + name for name in FORMATS if name.startswith(last)]


def _parse_batch_size(text: str) -> int | None:
    """Read `--batch-size`: a number, or auto, which is None. Raises UsageError."""
    if text == "auto":
        return None
    if text.isascii() and text.isdigit() and 0 < int(text) <= 4096:
        return int(text)
    raise UsageError(f"--batch-size {text!r} is neither auto nor a number from 1 to 4096")


def limit_decoding(processes: int, *, timeout_s: float, max_pixels: int, modules: tuple[str, ...] = ()) -> Workers:
    """Processes to decode in, none of them started yet, with bounds on time and on memory.

    modules: imported there before the first picture, beside those that every picture needs
    """
    from glpn_cli.process_pool import Workers

    return Workers(
        processes,
        timeout_s=timeout_s if timeout_s < math.inf else None,
        memory_bytes=_BYTES_BESIDES + _BYTES_PER_PIXEL * max_pixels,
        modules=(*WORKER_MODULES, *modules),
    )


class Existing(StrEnum):
    """What to do with an output that exists: `--existing`."""

    SKIP = "skip"
    UPDATE = "update"
    OVERWRITE = "overwrite"
    ERROR = "error"


class InputKind(StrEnum):
    """How to take an input: `--as`."""

    AUTO = "auto"
    PICTURE = "picture"
    DEPTH = "depth"


@dataclass(frozen=True, kw_only=True)
class InputSettings:
    """Which files to take, and how to read them.

    reading:     how pictures are read: `choose_reading`, once it is known how many at once
    depth_scale: stored units per metre in integer depth maps without a record
    """

    PANEL = INPUTS

    named: list[str] = argument(
        "INPUTS",
        [],
        "Pictures, clips, folders, glob patterns, image sequences such as frame_%05d.png, or - for one picture or "
        "clip on standard input.",
    )
    lists: list[str] = option(
        "--files-from FILE",
        [],
        "Read the names of inputs from FILE, one per line or the column path of Parquet; - is standard input.",
    )
    lists0: list[str] = option("--files0-from FILE", [], "The same, but each name ends with a NUL.")
    recursive: bool = option("--recursive/--no-recursive", True, "Search folders inside folders.")
    exclude: list[str] = option(
        "--exclude PATTERN",
        [],
        "Leave out names or paths that match, such as '*_old.*', in folders and patterns; can be given more than once.",
    )
    root: Path | None = option("--root DIR", None, "Name results by the path of their input below DIR.")
    shard: str | None = option("--shard I/N", None, "Split the inputs into N parts and do the I-th, from 1.")
    kind: InputKind = option("--as KIND", InputKind.AUTO, "Treat inputs as picture or depth; auto looks inside.")
    depth_kind: _Kind = option(
        "--kind KIND",
        "metric",
        "Meaning of depth files that do not say it themselves, such as npy and PFM: metric, scale, affine "
        "or disparity.",
    )
    max_pixels: int = option(
        "--max-pixels N",
        MAX_PIXELS,
        "Refuse pictures with more pixels than this.",
        parser=parse_count,
        show_default="250M",
    )
    allow_truncated: bool = option("--allow-truncated", False, "Use the part that is there of a picture cut short.")
    orientation: Literal["exif", "ignore"] = option(
        "--orientation HOW", "exif", "Rotate pictures as their EXIF says, or ignore it."
    )
    frame: int = option("--frame N", 0, "Frame of an animation or page of a stack.", min=0)
    white: int | None = option(
        "--white N", None, "Value of white in 16-bit greys, such as 4095 for 12 bits in 16.", min=1, max=65535
    )
    isolate: bool = option(
        "--isolate", False, "Decode in separate processes: a crash of a decoder then fails its input only."
    )
    timeout: float | None = option(
        "--timeout SECONDS",
        None,
        "Give up on a file that takes longer to decode; implies --isolate.",
        show_default="60 with --isolate",
    )
    allow_empty: bool = option("--allow-empty", False, "Exit with 0 when no inputs are found.", panel=BATCH)

    reading: ReadOptions | None = None
    depth_scale: float | None = None

    @property
    def is_stream(self) -> bool:
        """Whether the only input is a list on standard input: its items are then done one by one, as they come."""
        return not self.named and [*self.lists, *self.lists0] == ["-"]

    def choose_reading(self, processes: int = 1, *, is_isolated: bool = False) -> ReadOptions:
        """How pictures are read; no process is started before the first of them.

        processes:   how many pictures may be decoded at once where that is done in separate processes
        is_isolated: do that even without --isolate

        Raises UsageError for a timeout of no time.
        """
        from glpn_cli.images import ReadOptions

        workers = None
        if self.timeout is not None and not self.timeout > 0:
            raise UsageError(f"--timeout {self.timeout:g} leaves no time", hint="Give seconds, such as --timeout 30.")
        if is_isolated or self.isolate or self.timeout is not None:
            timeout_s = _ISOLATED_TIMEOUT_S if self.timeout is None else self.timeout
            workers = limit_decoding(processes, timeout_s=timeout_s, max_pixels=self.max_pixels)
        return ReadOptions(self.max_pixels, self.orientation, self.frame, self.allow_truncated, workers, self.white)

    @property
    def is_listed(self) -> bool:
        """Whether all inputs are named by lists in files, which can be read again and again."""
        lists = [*self.lists, *self.lists0]
        return not self.named and bool(lists) and all(map(os.path.isfile, lists))


@dataclass(frozen=True)
class ModelSettings:
    """Which model to run, and where.

    inference:   the model with its inference settings
    device:      auto, cpu, mps, cuda, cuda:N
    threads:     torch's; None: every core that this process may use
    uncertainty: also estimate the uncertainty of each depth
    """

    inference: InferenceSettings
    device: str = "auto"
    threads: int | None = None
    uncertainty: bool = False


@dataclass(frozen=True, kw_only=True)
class OutputSettings:
    """Where results go, in which form, and what is printed.

    paints:      whether the default is colours (`export`) or the map itself (`predict`)
    look:        how maps are painted
    cloud:       how points in space are made
    calibration: turns depths into true metres
    page:        an HTML file that shows all results
    explicit:    the options that the user typed
    """

    PANEL = OUTPUTS

    output: str = option(
        "-o, --output PATH",
        ".",
        "A folder; a file, if it ends in the extension of a format, for clips .mkv, .mp4 or .mov; or - for standard "
        "output.",
    )
    formats: str | None = option(
        "-f, --format LIST",
        None,
        "Formats to write, separated by commas: png16 (predict's default), npy, npz, tiff, pfm, exr, color "
        "(export's default), gray, gray16, ply (coloured points), glb (a mesh), normals (8-bit), normals16, "
        "normals-npz, normals-exr.",
        autocompletion=_complete_format,
    )
    name: str = option(
        "--name TEMPLATE", DEFAULT_NAME, "File names, made of {stem}, {map}, {format}, {name}, {parent} and {model}."
    )
    depth_scale: float | None = option(
        "--depth-scale UNITS",
        None,
        "Units per metre in integer files: to write (1000, or 256 where the model's range needs it), or to "
        "read where a file does not say.",
    )
    existing: Existing = option(
        "--existing POLICY",
        Existing.SKIP,
        "Outputs that exist: skip those made the same way, update others too, overwrite all, or error.",
    )
    dry_run: bool = option("-n, --dry-run", False, "Plan and check everything, but write nothing.")
    json: bool = option("--json", False, "Print JSON on stdout.")
    report: Path | None = option(
        "--report FILE", None, "Also write the JSON records to FILE, as Parquet if it ends in .parquet."
    )
    paints: bool = False
    look: ColorizeOptions | None = None
    cloud: PointCloudOptions | None = None
    calibration: Calibration | None = None
    page: Path | None = None
    explicit: ExplicitOptions = ExplicitOptions()


@dataclass(frozen=True)
class Allowance:
    """How many inputs may fail before the run counts as failed: `--allow-failed`."""

    count: int = 0
    percent: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Allowance:
        """Read `5` or `2.5%`. Raises UsageError."""
        if text.isascii() and text.isdigit():
            return cls(count=int(text))
        if re.fullmatch(r"\d{1,3}(\.\d+)?%", text) and float(text[:-1]) <= 100:
            return cls(percent=float(text[:-1]))
        raise UsageError(
            f"--allow-failed {text!r} is neither a number nor a percentage", hint="Write for example 5, or 2%."
        )

    def covers(self, failed: int, total: int) -> bool:
        """Whether that many failures are allowed."""
        return failed <= self.count or failed * 100 <= self.percent * total


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """How a run goes about its work, and when it counts as failed."""

    PANEL = BATCH

    batch_size: int | None = option(
        "--batch-size N",
        None,
        "Pictures per batch; auto: 1 on a CPU, by its memory on a GPU.",
        panel=MODEL,
        parser=_parse_batch_size,
        show_default="auto",
    )
    workers: int | None = option(
        "--workers N", None, "Threads that decode and write.", panel=MODEL, min=1, max=256, show_default="auto"
    )
    fail_fast: bool = option("--fail-fast", False, "Stop at the first input that fails.")
    allow_failed: Allowance | None = option(
        "--allow-failed N|P%", None, "Exit with 0 if at most N inputs, or P %, fail.", parser=Allowance.parse
    )

    @property
    def threads(self) -> int:
        """The number of workers."""
        return self.workers or min(cores(), _MOST_WORKERS)
