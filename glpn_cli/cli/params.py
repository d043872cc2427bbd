"""The options that several commands share, in groups, each with one spelling, one letter, one help text, one default.

A group is a frozen dataclass whose fields are options. A command takes groups as parameters; `with_groups` turns their
fields into the options that Typer sees. A command that has some of a group's options says which: `only(...)`.
Sizes on the command line are WIDTHxHEIGHT, as in every tool; the code behind them keeps (height, width).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer

from glpn_cli.cli.console import console
from glpn_cli.errors import UsageError
from glpn_cli.pipeline.settings import (
    DEFAULT_NAME,
    Existing,
    ExplicitOptions,
    InputKind,
    InputSettings,
    ModelSettings,
    OutputSettings,
    RunSettings,
    parse_batch_size,
)

if TYPE_CHECKING:
    from glpn_cli.calibration import Calibration
    from glpn_cli.geometry import FocalChoice
    from glpn_cli.images import ReadOptions
    from glpn_cli.models.settings import InferenceSettings
    from glpn_cli.process_pool import Workers
    from glpn_cli.serve.app import AppSettings
    from glpn_cli.video.settings import ClipSettings

AT = "The frame of a clip that is shown at this time, such as 12.5s."
"""The help of `--at`."""

ARGUMENTS, INPUTS, MODEL, OUTPUTS, SPACE, BATCH = "Arguments", "Inputs", "Model", "Outputs", "Space", "Whole runs"
CLIPS = "Clips"
SERVER = "Server"

DATA = (
    "Pictures with depth: a CSV of rgb_path,depth_path,depth_scale, a folder with pairs.csv, nyu:DIR, kitti:DIR, or "
    "scenes:SEED[:COUNT]."
)
"""The help of `--data`."""

ISOLATED_TIMEOUT_S = 60.0
"""How long a picture may take with `--isolate` where `--timeout` does not say."""

WORKER_MODULES = ("glpn_cli.images",)
"""What the decoding processes import while they wait for their first picture."""

# Decoding took at most 41 bytes a pixel, for floats, by measurement. The rest is Python and its libraries.
_BYTES_PER_PIXEL, _BYTES_BESIDES = 48, 2 << 30

_SHORTEST_TOKEN = 16

Precision = Literal["auto", "fp32", "bf16", "fp16"]
Kind = Literal["metric", "scale", "affine", "disparity"]


@dataclass(frozen=True)
class Selection:
    """The fields of a group that a command offers as options, and defaults that differ there.

    names: None: all of them
    """

    names: frozenset[str] | None
    left_out: frozenset[str]
    defaults: Mapping[str, Any]

    def of(self, group: Any) -> Iterator[inspect.Parameter]:
        """The chosen options of a group, as parameters for Typer."""
        hints, known = get_type_hints(group), {each.name for each in fields(group)}
        assert known >= {*(self.names or ()), *self.left_out, *self.defaults}, f"{group.__name__} has no such option"
        for each in fields(group):
            if each.name in self.left_out or (self.names is not None and each.name not in self.names):
                continue
            info = each.metadata["parameter"]
            info.rich_help_panel = info.rich_help_panel or getattr(group, "PANEL", None)
            default = inspect.Parameter.empty if each.default is MISSING else each.default
            yield _keyword(each.name, Annotated[hints[each.name], info], self.defaults.get(each.name, default))


def only(*names: str, **defaults: Any) -> Selection:
    """Offer these options of a group; those in `defaults` with another default than elsewhere."""
    return Selection(frozenset(names) | frozenset(defaults), frozenset(), defaults)


def without(*names: str) -> Selection:
    """Offer all options of a group but these."""
    return Selection(None, frozenset(names), {})


def option(spec: str, default: Any, help: str, *, panel: str | None = None, **more: Any) -> Any:
    """A field of a group that is an option, written as on its help screen: `-o, --output PATH`.

    default: ... where it must be given
    panel:   the chapter of the help screen, where it is not the group's
    """
    names, _, metavar = spec.replace(", ", ",").partition(" ")
    info = typer.Option(*names.split(","), metavar=metavar or None, rich_help_panel=panel, help=help, **more)
    return field(default=MISSING if default is ... else default, metadata={"parameter": info})


def argument(metavar: str, default: Any, help: str) -> Any:
    """A field of a group that is an argument."""
    info = typer.Argument(metavar=metavar, help=help, rich_help_panel=ARGUMENTS)
    return field(default=MISSING if default is ... else default, metadata={"parameter": info})


def with_groups(function: Callable[..., None]) -> Callable[..., None]:
    """Give Typer the options in a command's groups, and the command its groups and the options that were typed."""
    hints = get_type_hints(function, include_extras=True)
    parameters = [_keyword("context", typer.Context)]
    groups: dict[str, tuple[type, list[str]]] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        group, selection = _find_group(hints[name])
        if group is not None:
            options = list(selection.of(group))
            parameters += options
            groups[name] = group, [each.name for each in options]
        elif hints[name] is not ExplicitOptions:
            parameters.append(_keyword(name, hints[name], parameter.default))

    def run(context: typer.Context, **values: Any) -> None:
        for name, (group, names) in groups.items():
            values[name] = group(**{each: values.pop(each) for each in names})
        if "explicit" in hints:
            values["explicit"] = find_explicit(context)
        function(**values)

    run.__doc__ = function.__doc__
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # Typer reads it
    return run


def _keyword(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def _find_group(annotation: Any) -> tuple[type | None, Selection]:
    """The group that a parameter is, if it is one, and which of its options are offered."""
    selection = without()
    if get_origin(annotation) is Annotated and isinstance(get_args(annotation)[1], Selection):
        annotation, selection = get_args(annotation)
    is_group = is_dataclass(annotation) and annotation is not ExplicitOptions
    return (annotation if is_group else None), selection


def find_explicit(context: typer.Context) -> ExplicitOptions:
    """The options that were typed, not those that the environment or a default sets."""
    typed = set()
    for param in context.command.params:
        source = context.get_parameter_source(param.name or "")
        if param.param_type_name == "option" and source is not None and source.name == "COMMANDLINE":
            typed.add(max(param.opts, key=len))
    return ExplicitOptions(frozenset(typed))


def parse_count(text: str | int) -> int:
    """A number of things, with k, M or G for thousands, millions, billions: 250M."""
    if isinstance(text, int):
        return text
    factor = {"k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9}.get(text[-1:], 1)
    digits = text[:-1] if factor > 1 else text
    if not (digits.isascii() and digits.isdigit()) or int(digits) == 0:
        raise UsageError(f"{text!r} is no count (like 5000, 250k or 250M)")
    return int(digits) * factor


def complete_format(incomplete: str) -> list[str]:
    """Formats, after the commas that are there already."""
    from glpn_cli.depth_files import FORMATS

    before, comma, last = incomplete.rpartition(",")
    return [before + comma + name for name in FORMATS if name.startswith(last)]


def complete_model(incomplete: str) -> list[str]:
    """Models that have a name of their own."""
    from glpn_cli.models.registry import REGISTRY

    return [name for name in REGISTRY if name.startswith(incomplete)]


@dataclass(frozen=True, kw_only=True)
class InputParams:
    """Which files to take, and how to read them."""

    PANEL = INPUTS

    inputs: list[str] | None = argument(
        "INPUTS",
        None,
        "Pictures, clips, folders, glob patterns, image sequences such as frame_%05d.png, or - for one picture or "
        "clip on standard input.",
    )
    files_from: list[str] | None = option(
        "--files-from FILE", None, "Read the names of inputs from FILE, one per line; - is standard input."
    )
    files0_from: list[str] | None = option("--files0-from FILE", None, "The same, but each name ends with a NUL.")
    recursive: bool = option("--recursive/--no-recursive", True, "Search folders inside folders.")
    exclude: list[str] | None = option(
        "--exclude PATTERN",
        None,
        "Leave out names or paths that match, such as '*_old.*', in folders and patterns; can be given more than once.",
    )
    root: Path | None = option("--root DIR", None, "Name results by the path of their input below DIR.")
    shard: str | None = option("--shard I/N", None, "Split the inputs into N parts and do the I-th, from 1.")
    as_: InputKind = option("--as KIND", InputKind.AUTO, "Treat inputs as picture or depth; auto looks inside.")
    kind: Kind = option(
        "--kind KIND",
        "metric",
        "Meaning of depth files that do not say it themselves, such as npy and PFM: metric, scale, affine "
        "or disparity.",
    )
    max_pixels: int = option(
        "--max-pixels N",
        250_000_000,
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
        "--isolate", False, "Decode in separate processes, so that a file that crashes its decoder is one failed input."
    )
    timeout: float | None = option(
        "--timeout SECONDS",
        None,
        "Give up on a file that takes longer to decode; implies --isolate.",
        show_default="60 with --isolate",
    )
    allow_empty: bool = option("--allow-empty", False, "Exit with 0 when no inputs are found.", panel=BATCH)

    def settings(self, reading: ReadOptions, *, depth_scale: float | None = None) -> InputSettings:
        """These options as the pipeline's `InputSettings`."""
        from glpn_cli.prediction import DepthKind

        return InputSettings(
            self.inputs or (),
            self.files_from or (),
            self.files0_from or (),
            self.recursive,
            self.root,
            self.shard,
            self.as_,
            reading,
            self.allow_empty,
            depth_scale,
            DepthKind(self.kind),
            tuple(self.exclude or ()),
        )

    def reading(self, processes: int = 1) -> ReadOptions:
        """How pictures are read; no process is started before the first of them.

        processes: how many pictures may be decoded at once where that is done in separate processes

        Raises UsageError for a timeout of no time.
        """
        from glpn_cli.images import ReadOptions

        workers = self._choose_workers(processes)
        return ReadOptions(self.max_pixels, self.orientation, self.frame, self.allow_truncated, workers, self.white)

    def _choose_workers(self, processes: int) -> Workers | None:
        """The processes that pictures are decoded in; None where that is done in this one."""
        if self.timeout is not None and not self.timeout > 0:
            raise UsageError(f"--timeout {self.timeout:g} leaves no time", hint="Give seconds, such as --timeout 30.")
        if not self.isolate and self.timeout is None:
            return None
        timeout_s = ISOLATED_TIMEOUT_S if self.timeout is None else self.timeout
        from glpn_cli.process_pool import Workers

        return Workers(
            processes,
            timeout_s=timeout_s if timeout_s < math.inf else None,
            memory_bytes=_BYTES_BESIDES + _BYTES_PER_PIXEL * self.max_pixels,
            modules=WORKER_MODULES,
        )


@dataclass(frozen=True, kw_only=True)
class ModelParams:
    """Which model to run, with which settings, and where."""

    PANEL = MODEL

    model: str | None = option(
        "-m, --model NAME",
        None,
        "mini, nyu, kitti, a folder, or OWNER/NAME[@REVISION] on the Hub.",
        autocompletion=complete_model,
        envvar="GLPN_MODEL",
        show_default="mini",
    )
    max_depth: float | None = option(
        "--max-depth METRES",
        None,
        "Depth at the network's full scale; rescales every depth.",
        show_default="the model's",
    )
    offline: bool = option("--offline", False, "Never use the network.", envvar="GLPN_OFFLINE")
    device: str = option("--device DEVICE", "auto", "auto, cpu, mps, cuda or cuda:N.", envvar="GLPN_DEVICE")
    precision: Precision = option(
        "--precision KIND", "auto", "fp32, bf16, fp16, or auto: bf16 where the hardware multiplies it natively."
    )
    input_size: str = option(
        "--input-size SIZE",
        "auto",
        "Size that the network sees: auto, original, N (longest side) or WxH. Results keep the picture's own size.",
    )
    tta: Literal["none", "flip"] = option(
        "--tta KIND", "none", "flip: average with the result for the mirrored picture."
    )
    upsample: Literal["bicubic", "nearest", "guided"] = option(
        "--upsample KIND",
        "bicubic",
        "How depth is scaled to the picture's size: bicubic, nearest, or guided by the picture, for clean silhouettes.",
    )
    uncertainty: bool = option(
        "--uncertainty",
        False,
        "Also write the standard deviation of six predictions, mirrored and at three sizes: {stem}_uncertainty.tiff.",
    )
    threads: int | None = option("--threads N", None, "Threads of the network.", min=1, max=1024, show_default="auto")

    def settings(self, recipe: InferenceSettings) -> ModelSettings:
        """These options as the pipeline's `ModelSettings`."""
        return ModelSettings(recipe, self.device, self.threads, self.uncertainty)

    def resolve(
        self, *, view: str | None = None, camera: FocalChoice | None = None, takes_labels: bool = False
    ) -> InferenceSettings:
        """Find the model and settle how it is run, without torch; notes say what a user may not expect.

        view:         which picture of each file, where that is not the usual one
        camera:       what is said about the camera of each picture, where metres are scaled to it
        takes_labels: whether a model that predicts labels will do

        Raises UsageError for settings that make no sense, ModelError for a model that is missing or damaged.
        """
        from glpn_cli.devices import check_device_name
        from glpn_cli.models.config_base import InputSize
        from glpn_cli.models.registry import DEFAULT_MODEL, better_than_bundled
        from glpn_cli.models.resolve import resolve_model
        from glpn_cli.models.settings import InferenceSettings
        from glpn_cli.models.upsampling import Upsampling

        check_device_name(self.device)
        size = InputSize.parse(self.input_size)
        name = DEFAULT_MODEL if self.model is None else self.model
        model = resolve_model(name, max_depth=self.max_depth, offline=self.offline, announce=console.note)
        if self.model is None and model.row is not None:
            better = better_than_bundled()
            choice = "choose another with -m" if better is None else f"better, and here already: -m {better.name}"
            console.note(f"using the bundled model {DEFAULT_MODEL} ({model.row.unit}); {choice}")
        if model.overridden:
            console.note(f"{model.name}: {model.limit_source}")
        recipe = InferenceSettings(
            model,
            input_size=size,
            precision=self.precision,
            tta=self.tta,
            upsample=Upsampling(self.upsample),
            view=view,
            lens=camera,
        )
        if not (takes_labels and recipe.predicts_labels):
            _ = recipe.kind  # a model that predicts labels, or whose config is nonsense, is refused now
        recipe.check_lens()
        return recipe


@dataclass(frozen=True, kw_only=True)
class ClipParams:
    """Which frames of clips are taken."""

    PANEL = CLIPS

    start: str | None = option("--start TIME", None, "Take frames from here on: 12.5s, or 1:02:03.5.")
    end: str | None = option("--end TIME", None, "Take frames up to here.")
    every: int = option("--every N", 1, "Take one of so many frames.", min=1)
    fps: float | None = option(
        "--fps N", None, "Take at most so many frames in a second; of frame_%05d.png, the rate.", show_default="all"
    )

    OPTIONS = ("--start", "--end", "--every", "--fps")

    def settings(self) -> ClipSettings:
        """These options as the clips' `ClipSettings`. Raises UsageError."""
        from glpn_cli.video.settings import ClipSettings, parse_time

        start_s = parse_time(self.start) if self.start is not None else 0.0
        return ClipSettings(start_s, parse_time(self.end) if self.end is not None else None, self.every, self.fps)


@dataclass(frozen=True, kw_only=True)
class OutputParams:
    """Where results go, in which form, and what is printed."""

    PANEL = OUTPUTS

    output: str = option(
        "-o, --output PATH",
        ".",
        "A folder; a file, if it ends in the extension of a format, for clips .mkv, .mp4 or .mov; or - for standard "
        "output.",
    )
    format_: str | None = option(
        "-f, --format LIST",
        None,
        "Formats to write, separated by commas: png16 (predict's default), npy, npz, tiff, pfm, exr, color "
        "(export's default), gray, gray16, ply (coloured points), glb (a mesh), normals (8-bit), normals16, "
        "normals-npz, normals-exr.",
        autocompletion=complete_format,
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
    report: Path | None = option("--report FILE", None, "Also write the JSON records to FILE.")

    def settings(self, space: SpaceParams, explicit: ExplicitOptions) -> OutputSettings:
        """These options as the pipeline's `OutputSettings`.

        Raises UsageError, and InputError for a calibration that cannot be read.
        """
        from glpn_cli.depth_files import PointCloudOptions
        from glpn_cli.geometry import Axes

        return OutputSettings(
            self.output,
            self.format_,
            self.name,
            depth_scale=self.depth_scale,
            existing=self.existing,
            calibration=space.read_calibration(),
            cloud=PointCloudOptions(
                space.choice,
                Axes(space.axes) if space.axes is not None else None,
                space.edge_cull,
                space.stride,
                space.voxel,
                space.max_faces,
            ),
            explicit=explicit,
        )


@dataclass(frozen=True, kw_only=True)
class SpaceParams:
    """The camera, and the points in space that depth becomes through it."""

    PANEL = SPACE

    calibration: Path | None = option(
        "--calibration FILE", None, "Convert depth to metres by glpn measure --calibrate."
    )
    metres: Literal["trained", "focal"] = option(
        "--metres KIND",
        "trained",
        "trained: as for the camera that the model learned through; focal: scaled to the camera of each "
        "picture, known from EXIF, --focal or --intrinsics.",
    )
    focal: str = option(
        "--focal LENGTH",
        "auto",
        "The camera's focal length: 518px (of the upright picture), 28mm (35 mm equivalent), 65deg "
        "(horizontal field of view), or auto: from EXIF, else assumed.",
    )
    intrinsics: str | None = option(
        "--intrinsics FX,FY,CX,CY",
        None,
        "The same from a calibrated camera, in pixels of the upright picture: 525,525,319.5,239.5.",
    )
    axes: Literal["opencv", "opengl", "blender", "directx"] | None = option(
        "--axes AXES",
        None,
        "Axes of ply and normals: opencv (y down, z forward), opengl (y up, z backward), blender (y forward, z up), or "
        "for normals directx (y down, z backward).",
        show_default="opencv; normals: opengl",
    )
    edge_cull: bool = option(
        "--edge-cull", False, "Leave out points that hang between foreground and background; cut meshes there."
    )
    stride: int = option("--stride N", 1, "Keep every N-th row and column of points.", min=1)
    voxel: float | None = option("--voxel METRES", None, "Keep one point per cube with sides of so many metres.")
    max_faces: int = option(
        "--max-faces N", 1_000_000, "Most triangles of a mesh.", parser=parse_count, show_default="1M"
    )

    def read_calibration(self) -> Calibration | None:
        """The calibration of depths, if there is one. Raises InputError where it cannot be read."""
        if self.calibration is None:
            return None
        from glpn_cli.calibration import read_calibration

        return read_calibration(self.calibration)

    @property
    def choice(self) -> FocalChoice:
        """What is said about the camera. Raises UsageError for nonsense, and for two cameras."""
        from glpn_cli.geometry import FocalChoice

        if self.intrinsics is not None:
            if self.focal != "auto":
                raise UsageError("--focal and --intrinsics both say the focal length", hint="Leave out one of the two.")
            return FocalChoice.from_intrinsics(self.intrinsics)
        return FocalChoice(self.focal)

    @property
    def rescales_to(self) -> FocalChoice | None:
        """The camera that metres are scaled to; None: they stay those of the camera that the model learned through."""
        return self.choice if self.metres == "focal" else None


@dataclass(frozen=True, kw_only=True)
class RunParams:
    """How a run goes about its work, and when it counts as failed."""

    PANEL = BATCH

    batch_size: str = option(
        "--batch-size N", "auto", "Pictures per batch; auto: 1 on a CPU, by its memory on a GPU.", panel=MODEL
    )
    workers: int | None = option(
        "--workers N", None, "Threads that decode and write.", panel=MODEL, min=1, max=256, show_default="auto"
    )
    fail_fast: bool = option("--fail-fast", False, "Stop at the first input that fails.")
    allow_failed: str | None = option("--allow-failed N|P%", None, "Exit with 0 if at most N inputs, or P %, fail.")

    def settings(self) -> RunSettings:
        """These options as the pipeline's `RunSettings`. Raises UsageError."""
        return RunSettings(self.workers, parse_batch_size(self.batch_size), self.fail_fast)


@dataclass(frozen=True, kw_only=True)
class ServeParams:
    """Where a server listens, who may ask it, and how much they may ask."""

    PANEL = SERVER

    host: str = option("--host ADDRESS", "127.0.0.1", "Address to listen on.")
    port: int = option("--port N", 8000, "Port to listen on.", min=1, max=65535)
    token_file: Path | None = option(
        "--token-file FILE", None, "File with the secret that clients send as Authorization: Bearer."
    )
    no_auth: bool = option("--no-auth", False, "Answer other machines without a secret.")
    allow_host: list[str] | None = option(
        "--allow-host NAME", None, "A name that clients call the server by; can be given more than once."
    )
    max_upload: int = option(
        "--max-upload BYTES", 64 * 10**6, "Refuse larger requests.", parser=parse_count, show_default="64M"
    )
    max_pixels: int = option(
        "--max-pixels N", 50 * 10**6, "Refuse pictures with more pixels.", parser=parse_count, show_default="50M"
    )
    queue: int = option("--queue N", 32, "Pictures that wait or are worked on; others get 503.", min=1, max=10_000)
    timeout: float = option(
        "--timeout SECONDS", 60.0, "Give up on a picture that takes longer to arrive, or to be done."
    )
    workers: int | None = option(
        "--workers N", None, "Processes that decode.", min=1, max=256, show_default="one per core"
    )

    @property
    def processes(self) -> int:
        """The number of decoding processes."""
        from glpn_cli.devices import cores

        return self.workers or cores()

    def settings(self) -> AppSettings:
        """The limits of the application. Raises UsageError."""
        from glpn_cli.serve.app import AppSettings

        if not 0 < self.timeout < math.inf:
            raise UsageError(f"--timeout {self.timeout:g} is no time", hint="Give seconds, such as --timeout 30.")
        names = {"localhost", *(name.lower() for name in self.allow_host or ())}
        return AppSettings(self.max_upload, self.timeout, self._read_token(), frozenset(names))

    def reading(self) -> ReadOptions:
        """How uploads are decoded: in isolated processes, with bounds on pixels, memory and time."""
        from glpn_cli.images import ReadOptions
        from glpn_cli.process_pool import Workers

        workers = Workers(
            self.processes,
            timeout_s=self.timeout,
            memory_bytes=_BYTES_BESIDES + _BYTES_PER_PIXEL * self.max_pixels,
            modules=(*WORKER_MODULES, "glpn_cli.pipeline.sources"),
        )
        return ReadOptions(self.max_pixels, workers=workers)

    def _read_token(self) -> str | None:
        if self.token_file is None:
            return None
        try:
            token = self.token_file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"the token file {str(self.token_file)!r} cannot be read") from error
        if len(token) < _SHORTEST_TOKEN:
            hint = "Make one with: openssl rand -hex 32 > FILE"
            raise UsageError(f"the token has under {_SHORTEST_TOKEN} characters", hint=hint)
        return token
