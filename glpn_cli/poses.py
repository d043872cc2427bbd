"""Where a camera stands: 4x4 matrices in memory, a translation and a quaternion in files.

A pose takes points of the camera (x right, y down, z forward, metres) to the world. Files hold it as those of the TUM
RGB-D benchmark do (Sturm et al. 2012, "A Benchmark for the Evaluation of RGB-D SLAM Systems"): `tx ty tz qx qy qz qw`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from glpn_cli.errors import ErrorCode, InputError

POSE_COLUMNS = ("tx", "ty", "tz", "qx", "qy", "qz", "qw")

Matrix = NDArray[np.float64]


def pose_numbers(pose: Matrix) -> tuple[float, ...]:
    """The seven numbers of `POSE_COLUMNS`, the quaternion of unit length with qw >= 0.

    pose: float64 (4, 4), a rotation and a translation
    """
    r = pose[:3, :3]
    # The largest of the four squares is divided by, so that nothing is lost to rounding (Shepperd 1978).
    squares = 1 + np.array([[1, -1, -1], [-1, 1, -1], [-1, -1, 1], [1, 1, 1]]) @ np.diag(r)
    x, y, z = r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]
    a, b, c = r[0, 1] + r[1, 0], r[0, 2] + r[2, 0], r[1, 2] + r[2, 1]
    rows = np.array([[squares[0], a, b, x], [a, squares[1], c, y], [b, c, squares[2], z], [x, y, z, squares[3]]])
    row = rows[int(np.argmax(squares))]
    turn = row / np.linalg.norm(row) * math.copysign(1.0, row[3])
    return tuple(float(number) for number in (*pose[:3, 3], *turn))


def pose_of(numbers: Iterable[float]) -> Matrix:
    """The matrix, float64 (4, 4), of the seven numbers. Raises InputError for what is no pose."""
    values = np.array(list(numbers), np.float64)
    length = float(np.linalg.norm(values[3:])) if values.size == len(POSE_COLUMNS) else 0.0
    if not (np.isfinite(values).all() and abs(length - 1) < 0.01):
        raise InputError(
            f"{' '.join(f'{value:g}' for value in values)} is no pose",
            hint=f"Write {' '.join(POSE_COLUMNS)}: metres, and a quaternion of length 1.",
            code=ErrorCode.DATA,
        )
    x, y, z, w = values[3:] / length
    pose = np.eye(4)
    pose[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    pose[:3, 3] = values[:3]
    return pose


def motion_between(first: Matrix, second: Matrix) -> Matrix:
    """What takes points of the first camera to the second one, float64 (4, 4)."""
    motion: Matrix = np.linalg.inv(second) @ first
    return motion
