"""The camera: how long its lens is in pixels, and where a pixel with a depth lies in space.

Pixel centres lie at whole numbers, so the middle of a picture of width W is (W - 1) / 2. Focal lengths are those of the
upright picture. Space is OpenCV's camera frame: x to the right, y down, z forward, in the unit of the depth.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from glpn_cli.errors import UsageError
from glpn_cli.prediction import Intrinsics

# Of a 35 mm film frame, 36 x 24 mm. Equivalent focal lengths compare diagonals: the same number is the same angle from
# corner to corner, whatever the picture's aspect (CIPA DCG-001; Depth Pro does the same, COLMAP compares widths).
FILM_DIAGONAL_MM = math.hypot(36, 24)

# Where nothing is known: the angle across the longer side, about that of the cameras which depth is learned from.
ASSUMED_FOV_DEG = 60.0

# Shorter than any fisheye, longer than any telescope on a camera: what lies outside was not measured.
_SENSIBLE_MM = (3.0, 5000.0)


@dataclass(frozen=True, slots=True)
class FocalOption:
    """What `--focal` asks for.

    unit:  auto (EXIF, else assumed), px of the upright picture, mm as 35 mm equivalent, or deg across the width.
    value: in that unit; 0 for auto.
    """

    unit: Literal["auto", "px", "mm", "deg"] = "auto"
    value: float = 0.0

    def __str__(self) -> str:
        return "auto" if self.unit == "auto" else f"{self.value:g}{self.unit}"

    def in_pixels(self, size: tuple[int, int]) -> float | None:
        """The focal length for an upright picture of (H, W), in pixels; None for auto."""
        match self.unit:
            case "px":
                return self.value
            case "mm":
                return focal_from_35mm(self.value, size)
            case "deg":
                return focal_from_fov(self.value, size[1])
            case "auto":
                return None


def parse_focal(text: str) -> FocalOption:
    """Read `auto`, `518px`, `28mm` or `65deg`; raises UsageError for anything else."""
    if text == "auto":
        return FocalOption()
    match = re.fullmatch(r"([0-9]+\.?[0-9]*|\.[0-9]+)(px|mm|deg)", text)
    hint = "write 518px, 28mm (35 mm equivalent), 65deg (across the width), or auto"
    if match is None:
        raise UsageError(f"{text!r} is no focal length", hint=hint)
    value = float(match[1])
    if not 0 < value < (180 if match[2] == "deg" else 1e6):
        raise UsageError(f"no lens has a focal length of {text!r}", hint=hint)
    match match[2]:
        case "px":
            return FocalOption("px", value)
        case "mm":
            return FocalOption("mm", value)
        case _:
            return FocalOption("deg", value)


def focal_from_35mm(focal_mm: float, size: tuple[int, int]) -> float:
    """Pixels of a 35 mm equivalent focal length in a picture of (H, W)."""
    return focal_mm * math.hypot(*size) / FILM_DIAGONAL_MM


def focal_from_fov(fov_deg: float, pixels: int) -> float:
    """Pixels of the focal length that sees `fov_deg` degrees across `pixels` pixels."""
    return pixels / 2 / math.tan(math.radians(fov_deg) / 2)


def fov_from_focal(focal_px: float, pixels: int) -> float:
    """Degrees seen across `pixels` pixels through a lens of `focal_px` pixels."""
    return math.degrees(2 * math.atan(pixels / 2 / focal_px))


def make_intrinsics(
    size: tuple[int, int],
    *,
    focal: FocalOption | None = None,
    stored: Intrinsics | None = None,
    focal_35mm: float | None = None,
) -> Intrinsics:
    """The camera of an upright picture of (H, W), from the best that is known of it.

    focal:      what the user says; goes before everything.
    stored:     what a file says that comes with the picture.
    focal_35mm: what the camera wrote into the picture, mm; not believed where no lens is like that.

    The result's `source` tells which it was: option, file, exif, or assumed.
    """
    asked = focal.in_pixels(size) if focal is not None else None
    if asked is not None:
        return _centred(asked, size, "option")
    if stored is not None:
        return stored
    if focal_35mm is not None and _SENSIBLE_MM[0] <= focal_35mm <= _SENSIBLE_MM[1]:
        return _centred(focal_from_35mm(focal_35mm, size), size, "exif")
    return _centred(focal_from_fov(ASSUMED_FOV_DEG, max(size)), size, "assumed")


def back_project(depth: NDArray[np.float32], intrinsics: Intrinsics) -> NDArray[np.float32]:
    """Where every pixel lies in space.

    depth: float32 (H, W), along the optical axis (not along the ray).

    Returns float32 (H, W, 3), x right, y down, z forward, in the unit of `depth`; a depth that is no number gives a
    point that is none.
    """
    height, width = depth.shape
    points = np.empty((height, width, 3), dtype=np.float32)
    points[..., 0] = (np.arange(width) - intrinsics.cx) / intrinsics.fx
    points[..., 1] = ((np.arange(height) - intrinsics.cy) / intrinsics.fy)[:, None]
    points[..., 2] = 1
    with np.errstate(invalid="ignore"):  # infinity straight ahead is nowhere
        points *= depth[..., None]
    return points


def project(points: NDArray[np.float32], intrinsics: Intrinsics) -> NDArray[np.float32]:
    """Where points in space appear: float32 (..., 3) in front of the camera to float32 (..., 2), (x, y) in pixels."""
    x, y, z = np.moveaxis(points, -1, 0)
    return np.stack((x / z * intrinsics.fx + intrinsics.cx, y / z * intrinsics.fy + intrinsics.cy), axis=-1)


def _centred(focal_px: float, size: tuple[int, int], source: str) -> Intrinsics:
    height, width = size
    return Intrinsics(focal_px, focal_px, (width - 1) / 2, (height - 1) / 2, source)
