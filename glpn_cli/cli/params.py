"""The options that several commands share, in groups: the model and the camera; others are in `pipeline.settings`.

Sizes on the command line are WIDTHxHEIGHT, as in every tool; the code behind them keeps (height, width).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from glpn_cli.cli.console import console
from glpn_cli.errors import UsageError
from glpn_cli.options import MAX_FACES, MODEL, SPACE, ExplicitOptions, option, parse_count
from glpn_cli.pipeline.settings import ModelSettings, OutputSettings

if TYPE_CHECKING:
    from glpn_cli.calibration import Calibration
    from glpn_cli.geometry import FocalChoice
    from glpn_cli.models.settings import InferenceSettings

DATA = (
    "Pictures with depth: a CSV of rgb_path,depth_path,depth_scale, a folder with pairs.csv, nyu:DIR, kitti:DIR, or "
    "scenes:SEED[:COUNT]."
)
"""The help of `--data`."""

MODEL_NAME = "A name that glpn models list shows, such as nyu; a folder; or OWNER/NAME[@REVISION] on the Hub."

Precision = Literal["auto", "fp32", "bf16", "fp16"]


def _complete_model(incomplete: str) -> list[str]:
    """Models that have a name of their own."""
    from glpn_cli.models.registry import REGISTRY

    return [name for name in REGISTRY if name.startswith(incomplete)]


@dataclass(frozen=True, kw_only=True)
class ModelParams:
    """Which model to run, with which settings, and where."""

    PANEL = MODEL

    model: str | None = option(
        "-m, --model NAME",
        None,
        MODEL_NAME,
        autocompletion=_complete_model,
        envvar="GLPN_MODEL",
        show_default="lite",
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
        from glpn_cli.models.registry import DEFAULT_MODEL, better_than_default
        from glpn_cli.models.resolve import resolve_model
        from glpn_cli.models.settings import InferenceSettings, Upsampling

        check_device_name(self.device)
        size = InputSize.parse(self.input_size)
        name = DEFAULT_MODEL if self.model is None else self.model
        model = resolve_model(name, max_depth=self.max_depth, offline=self.offline, announce=console.note)
        if self.model is None and model.row is not None:
            better = better_than_default()
            others = "others: glpn models list" if better is None else f"better, and here already: -m {better.name}"
            console.note(f"using the bundled model {DEFAULT_MODEL} ({model.row.unit}); {others}")
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
        recipe.check()
        return recipe


@dataclass(frozen=True, kw_only=True)
class SpaceParams:
    """The camera, and the points in space that depth becomes through it."""

    PANEL = SPACE

    calibration: Path | None = option(
        "--calibration FILE", None, "Convert depth to metres by the file that glpn measure --calibrate wrote."
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
        "Focal lengths and optical axis of a calibrated camera, in pixels of the upright picture: 525,525,319.5,239.5.",
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
        "--max-faces N", MAX_FACES, "Most triangles of a mesh.", parser=parse_count, show_default="1M"
    )

    def read_calibration(self) -> Calibration | None:
        """The calibration of depths, if there is one. Raises InputError where it cannot be read."""
        if self.calibration is None:
            return None
        from glpn_cli.calibration import Calibration

        return Calibration.read(self.calibration)

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

    def apply_to(self, outputs: OutputSettings, explicit: ExplicitOptions) -> OutputSettings:
        """The settings of outputs, with the camera. Raises UsageError, InputError for a calibration that is no such."""
        from glpn_cli.depth_files import PointCloudOptions
        from glpn_cli.geometry import Axes

        cloud = PointCloudOptions(
            self.choice,
            Axes(self.axes) if self.axes is not None else None,
            self.edge_cull,
            self.stride,
            self.voxel,
            self.max_faces,
        )
        return replace(outputs, calibration=self.read_calibration(), cloud=cloud, explicit=explicit)
