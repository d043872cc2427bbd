"""The values that flow from the network to the disk: typed, immutable, with their unit in the type.

Arrays are numpy's, and numpy is not imported here: to inspect a model takes the kinds of depth alone, and would take a
quarter longer. What a `DepthMap` offers to programs (saving, painting, points) is done by rooms that are imported when
it is asked for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from glpn_cli.options import DEFAULT_COLORMAP

if TYPE_CHECKING:
    from os import PathLike

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


class DepthKind(StrEnum):
    """What the numbers of a depth map mean; it decides which alignment and which formats are fair.

    METRIC     metres along the optical axis (z-depth, not ray length)
    SCALE      depth up to one unknown factor
    AFFINE     depth up to unknown scale and shift
    DISPARITY  inverse depth up to unknown scale and shift: larger is nearer
    UNKNOWN    nobody says; it is shown and scored as if it were depth
    """

    METRIC = "metric"
    SCALE = "scale"
    AFFINE = "affine"
    DISPARITY = "disparity"
    UNKNOWN = "unknown"

    @property
    def unit(self) -> str | None:
        """'m' for metric depth; other kinds have no unit."""
        return "m" if self is DepthKind.METRIC else None

    @property
    def is_metric(self) -> bool:
        """Whether the numbers are metres."""
        return self is DepthKind.METRIC

    @property
    def has_ratios(self) -> bool:
        """Whether ratios of the numbers mean something, as they do where no shift is unknown."""
        return self in (DepthKind.METRIC, DepthKind.SCALE)


class _Values:
    """What maps of one number a pixel have in common: where numbers are, and how far they reach."""

    values: NDArray[np.float32]
    valid: NDArray[np.bool_] | None

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        height, width = self.values.shape
        return height, width

    def valid_values(self) -> NDArray[np.float32]:
        """The valid values, float32 (N,)."""
        return self.values.ravel() if self.valid is None else self.values[self.valid]

    def min_max(self) -> tuple[float, float] | None:
        """(smallest, largest) valid value, or None where nothing is valid."""
        known = self.valid_values()
        return (float(known.min()), float(known.max())) if known.size else None

    def mean_median(self) -> tuple[float, float] | None:
        """(mean, median) of the valid values, or None where nothing is valid.

        A partition takes half a millisecond for 640x480; NumPy's own median takes 3 to 7.
        """
        known = self.valid_values()
        if not known.size:
            return None
        middle = known.size // 2
        halves = known.copy()
        halves.partition(middle)
        median = float(halves[middle])
        if known.size % 2 == 0:
            median = (median + float(halves[:middle].max())) / 2
        return float(known.mean(dtype="float64")), median


@dataclass(frozen=True, eq=False)
class DepthMap(_Values):
    """How far away every pixel of a picture is.

    values: float32 (H, W). For METRIC: metres along the optical axis. Finite and > 0 where valid.
    kind:   what the numbers mean.
    valid:  bool (H, W), False where nothing is known (transparent pixels, holes of a sensor); None = everywhere.
    limit:  the largest depth that the network can express, in metres; None unless METRIC and known.

    Raises ValueError if the arrays do not fit each other or a valid pixel is not finite and positive.
    """

    values: NDArray[np.float32]
    kind: DepthKind = DepthKind.METRIC
    valid: NDArray[np.bool_] | None = None
    limit: float | None = None

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.dtype != "float32":
            raise ValueError(f"depth must be float32 (H, W), not {self.values.dtype} {self.values.shape}")
        if self.valid is not None and (self.valid.shape != self.values.shape or self.valid.dtype != "bool"):
            raise ValueError(f"valid must be bool {self.values.shape}, not {self.valid.dtype} {self.valid.shape}")
        if self.limit is not None and not self.kind.is_metric:
            raise ValueError(f"a limit in metres makes no sense for {self.kind.value} depth")
        known = self.valid_values()
        # One pass each: a nan minimum is not > 0, and an infinite maximum is caught by the second test.
        if known.size and not (known.min() > 0 and known.max() < math.inf):
            raise ValueError("depth must be finite and > 0 wherever it is valid")

    def save(self, path: str | PathLike[str], *, format: str | None = None) -> Path:  # noqa: A002 - as on the command line
        """Write a file, whole or not at all, over one that is there; returns its path.

        format: as `--format` of the command line; None: by the extension, a 16-bit PNG for .png

        Raises UsageError for a format that cannot hold these depths, OutputError where the file cannot be written.
        """
        from glpn_cli.atomic_write import write_atomically
        from glpn_cli.depth_files import format_of, make_writer

        target = Path(path)
        name = format_of(target) if format is None else format
        writer = make_writer(name, kind=self.kind, limit_m=self.limit)
        write_atomically(target, writer.encode(self.to_result()).data)
        return target

    def colorize(
        self,
        *,
        range: str = "image",  # noqa: A002 - as on the command line
        colormap: str = DEFAULT_COLORMAP,
        invert: bool = False,
    ) -> NDArray[np.uint8]:
        """The map in colours, uint8 (H, W, 3): warm where it is near; holes are grey.

        range:    image, model, pA:pB (percentiles) or NEAR:FAR in metres, as `--range` of the command line
        colormap: as `--colormap`

        Raises UsageError for a range or a colormap that there is not.
        """
        from glpn_cli.colormaps import RangePolicy, paint
        from glpn_cli.depth_files import ColorizeOptions

        look = ColorizeOptions(RangePolicy.parse(range), colormap, invert)
        look.check(self.kind, self.limit)
        return paint(self, range=look.range.resolve(self), colormap=colormap, invert=invert)

    def points(self, intrinsics: Intrinsics | None = None) -> NDArray[np.float32]:
        """The place of every valid pixel in space, float32 (N, 3), row by row: x right, y down, z forward, in metres.

        intrinsics: the camera; None: the one that the picture told of, see `PredictedDepth`

        Raises UsageError where no camera is known, and for depth that is not metric.
        """
        from glpn_cli.errors import UsageError
        from glpn_cli.geometry import back_project

        camera = intrinsics or self.to_result().intrinsics
        if camera is None:
            raise UsageError("no camera is known for this map", hint="Give one: points(Intrinsics(fx, fy, cx, cy)).")
        if not self.kind.is_metric:
            raise UsageError(f"{self.kind.value} depth has no place in space", hint="Make metres of it first.")
        points = back_project(self.values, camera)
        return points.reshape(-1, 3) if self.valid is None else points[self.valid]

    def to_torch(self) -> Tensor:
        """A copy of the values as a tensor on the CPU, float32 (H, W), NaN where nothing is known."""
        import torch

        values = torch.tensor(self.values)
        if self.valid is not None:
            values[~torch.tensor(self.valid)] = math.nan
        return values

    def to_result(self) -> Result:
        """The map with all that is known of it, as writers take it."""
        return Result(self, _Unknown())


@dataclass(frozen=True, eq=False)
class LabelMap:
    """What every pixel of a picture is.

    labels: uint8 or uint16 (H, W), an index into `names` where valid.
    names:  one name per class.
    valid:  bool (H, W), False where there is nothing to label (transparent pixels); None = everywhere.

    Raises ValueError if the arrays do not fit each other.
    """

    labels: NDArray[np.unsignedinteger]
    names: tuple[str, ...]
    valid: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if self.valid is not None and (self.valid.shape != self.labels.shape or self.valid.dtype != "bool"):
            raise ValueError(f"valid must be bool {self.labels.shape}, not {self.valid.dtype} {self.valid.shape}")

    def valid_values(self) -> NDArray[np.unsignedinteger]:
        """The labels where there are any, (N,)."""
        return self.labels.ravel() if self.valid is None else self.labels[self.valid]

    def counts(self) -> dict[int, int]:
        """The pixels of each label that is there, the largest first."""
        import numpy as np

        counts = np.bincount(self.valid_values(), minlength=len(self.names))
        return {int(label): int(counts[label]) for label in np.argsort(-counts, kind="stable") if counts[label]}

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        height, width = self.labels.shape
        return height, width


@dataclass(frozen=True, eq=False)
class UncertaintyMap(_Values):
    """How far several answers about one picture lie apart: their standard deviation at every pixel.

    values: float32 (H, W), in the unit of the answers. Finite and >= 0 where valid.
    kind:   what the answers mean.
    valid:  bool (H, W); None = everywhere.
    """

    values: NDArray[np.float32]
    kind: DepthKind = DepthKind.METRIC
    valid: NDArray[np.bool_] | None = None


Prediction = DepthMap | LabelMap | UncertaintyMap


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera, in pixels of the upright picture.

    source says where the focal length comes from: "option", "exif", "file" or "assumed".
    """

    fx: float
    fy: float
    cx: float
    cy: float
    source: str = "assumed"


@dataclass(frozen=True)
class Provenance:
    """Where a prediction comes from: enough to make it again, and to notice that it was made otherwise.

    model:           the model as it was named, for people
    revision:        commit of the hub's repository, where there is one
    weights_sha256:  checksum of the weights file
    limit_m:         depth at the head's full scale, metres (the model's own, or --max-depth)
    input_size:      what was asked: auto, original, N, WxH
    network_size:    (h, w) that the network saw
    precision_asked: what was asked: auto, fp32, bf16, fp16
    precision:       what was used
    device:          cpu, cuda:0, mps
    batch_size:      the pictures that went through the network together with it, itself among them
    upsample:        how the answer was brought to the picture's size: bicubic, nearest, guided
    metres:          the lens that they belong to: "trained", the one that the network learned through; or the
                     picture's own, as it was given: "focal auto", "focal 28mm"
    lens_factor:     what metres were multiplied by to scale them to the picture's lens; None where they were not
    trained_limit_m: depth at the head's full scale before that; `limit_m` is after it, None while no picture is known
    calibration:     how known distances changed the answer: "metric scale 1.08 shift 0"
    view:            which picture of the file was asked for: "frame 3", "as stored"; None for the usual one
    source_bytes:    size of the picture's file; None where the picture came from no file
    source_blake2b:  hash of the file's whole content, 16 bytes in hex
    """

    model: str
    weights_sha256: str
    revision: str | None = None
    limit_m: float | None = None
    input_size: str = "auto"
    network_size: tuple[int, int] | None = None
    precision_asked: str = "auto"
    precision: str = "fp32"
    device: str = "cpu"
    batch_size: int = 1
    tta: str = "none"
    upsample: str = "bicubic"
    metres: str = "trained"
    lens_factor: float | None = None
    trained_limit_m: float | None = None
    calibration: str | None = None
    view: str | None = None
    source_bytes: int | None = None
    source_blake2b: str | None = None

    def seen(self, view: str | None) -> Provenance:
        """The same for a part of the picture or the clip; `view` is appended to what it says already."""
        return replace(self, view=", ".join(filter(None, (self.view, view))) or None)


class PictureSource(Protocol):
    """What a writer may ask of the picture that a result belongs to."""

    @property
    def name(self) -> str:
        """The relative name that the picture's results carry, with `/` between folders."""

    def read_colors(self) -> NDArray[np.uint8]:
        """The upright picture, uint8 (H, W, 3), read again from where it came from."""


class _Unknown:
    """Stands for the picture of a map that is numbers alone."""

    name = "picture"

    def read_colors(self) -> NDArray[np.uint8]:
        """Raise OutputError: there are none."""
        from glpn_cli.errors import ErrorCode, OutputError

        hint = "Choose another format; maps that DepthEstimator made know their picture."
        raise OutputError("the picture of this map is not known", hint=hint, code=ErrorCode.UNSUPPORTED)


@dataclass(frozen=True, eq=False)
class PredictedDepth(DepthMap):
    """A depth map that knows its picture and how it was made, so that its files say it.

    made: the same map with its picture, its provenance and its camera; `made.intrinsics.source` is "assumed" where
          nobody knows the camera
    """

    made: Result | None = None

    @classmethod
    def of(cls, made: Result) -> PredictedDepth:
        """The map of a result."""
        depth = made.prediction
        assert isinstance(depth, DepthMap)
        return cls(depth.values, depth.kind, depth.valid, depth.limit, made)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Codes of what is odd about the picture or the answer, as in the JSON records."""
        return self.made.warnings if self.made is not None else ()

    def to_result(self) -> Result:
        """The map with its picture, its provenance and its camera."""
        return super().to_result() if self.made is None else replace(self.made, prediction=self)


@dataclass(frozen=True, eq=False)
class Result:
    """One answered picture: the prediction, whose it is, and how it was made.

    uncertainty: how far several answers lie apart, float32 (H, W), in the map's own unit; None where not asked for
    """

    prediction: Prediction
    source: PictureSource
    provenance: Provenance | None = None
    intrinsics: Intrinsics | None = None
    warnings: tuple[str, ...] = ()
    uncertainty: NDArray[np.float32] | None = None
