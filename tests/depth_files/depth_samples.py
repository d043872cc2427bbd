"""A small room of depths, and the picture they belong to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glpn_cli.prediction import DepthKind, DepthMap, Intrinsics, Provenance, Result

SIZE = (48, 64)


@dataclass(frozen=True)
class FlatPicture:
    """A picture of one colour, as `Result.source`."""

    name: str = "rooms/a.jpg"
    size: tuple[int, int] = SIZE

    def read_colors(self) -> NDArray[np.uint8]:
        return np.full((*self.size, 3), (200, 100, 50), np.uint8)


PROVENANCE = Provenance(
    model="nyu",
    weights_sha256="ab" * 32,
    revision="0" * 40,
    limit_m=10.0,
    input_size="640x480",
    network_size=(480, 640),
    precision_asked="auto",
    precision="bf16",
    device="cpu",
    tta="flip",
)


def make_depth(*, far: float = 9.9, kind: DepthKind = DepthKind.METRIC, holes: bool = False) -> DepthMap:
    """Depths from 0.3 to `far` in a smooth ramp with noise; with a corner of holes that hold nonsense."""
    rng = np.random.default_rng(7)
    ramp = np.linspace(0.3, far, SIZE[0] * SIZE[1]).reshape(SIZE)
    values = np.clip(ramp + rng.normal(0, 0.01, SIZE), 0.3, far).astype(np.float32)
    valid = None
    if holes:
        valid = np.ones(SIZE, np.bool_)
        valid[:8, :9] = False
        values[:8, :9] = rng.choice(np.array([0, -5, 1e9, 7], np.float32), (8, 9))
    limit = float(np.ceil(far)) if kind.is_metric else None
    return DepthMap(values, kind=kind, valid=valid, limit=limit)


def make_result(
    depth: DepthMap,
    *,
    name: str = "rooms/a.jpg",
    provenance: Provenance | None = PROVENANCE,
    size: tuple[int, int] = SIZE,
    intrinsics: Intrinsics | None = None,
) -> Result:
    return Result(prediction=depth, source=FlatPicture(name, size), provenance=provenance, intrinsics=intrinsics)
