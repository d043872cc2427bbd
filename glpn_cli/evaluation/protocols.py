"""Protocols of scoring: the pixels that count, and the clipping of predictions.

Scores of two papers can be compared only under one protocol, so a result always names it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from glpn_cli.data.samples import KB_SIZE
from glpn_cli.errors import ErrorCode, InputError, UsageError
from glpn_cli.geometry import FocalChoice
from glpn_cli.text import size_text

_Mask = NDArray[np.bool_]
_Depth = NDArray[np.float32] | NDArray[np.float64]


class Crop(StrEnum):
    """The part of a frame that counts.

    Papers on NYU call its window Eigen's crop, too: `--protocol nyu --crop eigen` is NYU.
    """

    NONE = "none"
    NYU = "nyu"
    GARG = "garg"
    EIGEN = "eigen"


# (top, bottom, left, right): rows and columns of 480x640; shares of the frame's height and width.
_NYU_WINDOW = (45, 471, 41, 601)
_NYU_SIZE = (480, 640)
_SHARES = {
    Crop.GARG: (0.40810811, 0.99189189, 0.03594771, 0.96405229),
    Crop.EIGEN: (0.3324324, 0.91351351, 0.0359477, 0.96405229),
}


@dataclass(frozen=True)
class Protocol:
    """The rules of scoring.

    range_m:  true depths that count lie strictly between these, metres; None: all that are known.
    crop:     see `Crop`.
    is_kitti: full KITTI frames are cut to the benchmark's 352x1216 before the network sees them.
    clip:     predictions are brought into `range_m` first. The author's code does not, other tools do.
    is_ray:   the truth of lists is length along the ray of each pixel, and is turned into depth first.
    camera:   of all pictures, as the user named it; None: each has that of the data.
    """

    name: str = "none"
    range_m: tuple[float, float] | None = None
    crop: Crop = Crop.NONE
    is_kitti: bool = False
    clip: bool = False
    is_ray: bool = False
    camera: FocalChoice | None = None

    def __post_init__(self) -> None:
        if self.range_m is not None and not 0 <= self.range_m[0] < self.range_m[1] < np.inf:
            raise UsageError(f"--gt-range {self.range_m[0]:g}:{self.range_m[1]:g} is no range NEAR:FAR in metres")
        if self.clip and self.range_m is None:
            raise UsageError("--clip needs a range to clip to", hint="Add --gt-range NEAR:FAR or a --protocol.")

    def counted(self, target: _Depth) -> _Mask:
        """Which pixels count: their depth is known, in range and inside the crop.

        target: (H, W), metres, 0 where unknown. Raises InputError where the crop does not fit the frame.
        """
        near, far = self.range_m or (0.0, np.inf)
        mask = (target > max(near, 0.0)) & (target < far)
        top, bottom, left, right = self.window(target.shape[:2])
        inside = np.zeros_like(mask)
        inside[top:bottom, left:right] = True
        return mask & inside

    def window(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """(top, bottom, left, right) of the crop in a frame of (H, W)."""
        height, width = size
        if self.crop is Crop.NYU:
            if size != _NYU_SIZE:
                raise InputError(
                    f"the NYU crop is rows and columns of 640x480, and this frame is {width}x{height}",
                    hint="Use --protocol none, or pictures of the official size.",
                    code=ErrorCode.DATA,
                )
            return _NYU_WINDOW
        if self.crop is Crop.NONE:
            return 0, height, 0, width
        top, bottom, left, right = _SHARES[self.crop]
        return int(top * height), int(bottom * height), int(left * width), int(right * width)

    def describe(self) -> str:
        """For the heading of a table."""
        near_far = (
            "all known depths" if self.range_m is None else f"{self.range_m[0]:g} < true depth < {self.range_m[1]:g} m"
        )
        frame = f", frames cut to {size_text(KB_SIZE)}" if self.is_kitti else ""
        truth = ", truth along the ray" if self.is_ray else ""
        camera = "" if self.camera is None else f", camera {self.camera.text}"
        clip = "on" if self.clip else "off"
        return f"protocol {self.name}, {near_far}, crop {self.crop.value}{frame}, clip {clip}{truth}{camera}"

    @classmethod
    def choose(cls, name: str, *, crop: str | None = None, gt_range: str | None = None, clip: bool = False) -> Protocol:
        """A protocol by name, with the user's changes. Raises UsageError."""
        if name not in PROTOCOLS:
            raise UsageError(f"--protocol {name!r} is none of {', '.join(PROTOCOLS)}")
        crops = [each.value for each in Crop]
        if crop is not None and crop not in crops:
            raise UsageError(f"--crop {crop!r} is none of {', '.join(crops)}")
        chosen = PROTOCOLS[name]
        if name == "nyu" and crop == Crop.GARG:
            raise UsageError(
                "--crop garg is a window of KITTI's frames, and --protocol nyu has its own",
                hint="Leave --crop out, or use --crop none.",
            )
        if name == "nyu" and crop == Crop.EIGEN:
            crop = Crop.NYU
        return replace(
            chosen,
            crop=chosen.crop if crop is None else Crop(crop),
            range_m=chosen.range_m if gt_range is None else _parse_range(gt_range),
            clip=clip,
        )


PROTOCOLS = {
    "none": Protocol(),
    "nyu": Protocol("nyu", range_m=(1e-3, 10.0), crop=Crop.NYU),
    "kitti": Protocol("kitti", range_m=(1e-3, 80.0), crop=Crop.GARG, is_kitti=True),
}
"""Eigen et al. 2014 for NYU's 654 pictures; KITTI's Eigen split with Garg's crop."""


def _parse_range(text: str) -> tuple[float, float]:
    near, _, far = text.partition(":")
    try:
        return float(near), float(far)
    except ValueError:
        raise UsageError(
            f"--gt-range {text!r} is no range NEAR:FAR in metres", hint="Write NEAR:FAR, for example 0.1:10."
        ) from None
