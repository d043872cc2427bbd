"""The window that the KITTI benchmark cuts out of every frame, for training and for measuring."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from glpn_cli.data.samples import Sample
from glpn_cli.errors import ErrorCode, InputError
from glpn_cli.prediction import Intrinsics

KB_SIZE = (352, 1216)
"""(height, width) that the KITTI benchmark crops every frame to."""

Array = TypeVar("Array", NDArray[np.uint8], NDArray[np.float32], NDArray[np.bool_])


def kb_crop(array: Array, *, what: str) -> Array:
    """The KITTI benchmark's window, 352x1216 at the bottom centre of a frame; such a window is left as it is.

    array: (H, W) or (H, W, 3). Raises InputError naming `what` where the frame is smaller.
    """
    (height, width), (tall, wide) = array.shape[:2], KB_SIZE
    if height < tall or width < wide:
        raise InputError(
            f"{what}: {width}x{height} is smaller than KITTI's {wide}x{tall} window",
            hint="Use KITTI's frames as they were published, or other pictures without its protocol.",
            code=ErrorCode.DATA,
        )
    top, left = height - tall, (width - wide) // 2
    return array[top : top + tall, left : left + wide]


def kb_cropped(sample: Sample) -> Sample:
    """The picture and its depth cut to the window; it remembers how large the frame was. Raises InputError."""
    rgb, depth = kb_crop(sample.rgb, what=sample.name), kb_crop(sample.depth, what=sample.name)
    camera = None if sample.intrinsics is None else kb_camera(sample.intrinsics, sample.size)
    return replace(sample, rgb=rgb, depth=depth, uncut=sample.uncut or sample.size, intrinsics=camera)


def kb_camera(intrinsics: Intrinsics, size: tuple[int, int]) -> Intrinsics:
    """The camera of a frame of (H, W), in pixels of the window that is cut out of it."""
    (height, width), (tall, wide) = size, KB_SIZE
    return replace(intrinsics, cx=intrinsics.cx - (width - wide) // 2, cy=intrinsics.cy - (height - tall))
