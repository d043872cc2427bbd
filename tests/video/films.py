"""Films of a slanted, textured wall from known places, with exact depth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glpn_cli.poses import Matrix
from glpn_cli.prediction import Intrinsics

SIZE = (72, 96)
FOCAL_PX = 80.0
WALL_M = 3.0
CAMERA = Intrinsics(FOCAL_PX, FOCAL_PX, 47.5, 35.5)
_SLANT = 0.4


def pose_at(shift: tuple[float, float, float] = (0, 0, 0), yaw: float = 0.0) -> Matrix:
    """A camera that stands at `shift`, metres, turned by `yaw`, radians."""
    pose = np.eye(4)
    pose[:3, :3] = [[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]]
    pose[:3, 3] = shift
    return pose


def photograph(pose: Matrix, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The picture, uint8 (H, W, 3), and the depth, float32 (H, W), of the wall z = 3 m + 0.4 x."""
    height, width = SIZE
    x, y = np.meshgrid((np.arange(width) - CAMERA.cx) / FOCAL_PX, (np.arange(height) - CAMERA.cy) / FOCAL_PX)
    rays = np.stack([x, y, np.ones_like(x)], axis=2) @ pose[:3, :3].T
    start = pose[:3, 3]
    depth = (WALL_M + _SLANT * start[0] - start[2]) / (rays[..., 2] - _SLANT * rays[..., 0])
    across, down = (start + depth[..., None] * rays)[..., :2].transpose(2, 0, 1)
    rng = np.random.default_rng(seed)
    grey = np.full(SIZE, 0.5)
    for _ in range(24):
        a, b = rng.normal(0, 5, 2)
        grey += 0.06 * np.sin(a * across + b * down + rng.uniform(0, 6.3))
    picture = (np.clip(grey, 0, 1) * 255).astype(np.uint8)
    return np.repeat(picture[..., None], 3, axis=2), depth.astype(np.float32)
