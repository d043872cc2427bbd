"""Normals: which way every pixel's surface faces, as unit vectors towards the camera; 0, 0, 0 where nothing is known.

Pictures hold a component c in -1..1 as (c + 1) / 2 of full scale, red x, green y, blue z; black is none. The axes
are OpenGL's (green is up) unless others are asked for: in DirectX's green is down.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from glpn_cli.depth_files.base import EncodedFile
from glpn_cli.depth_files.npy import archive_array
from glpn_cli.depth_files.png import encode_png
from glpn_cli.depth_files.record import Record
from glpn_cli.depth_files.space import SpaceFormat
from glpn_cli.geometry import Axes, find_normals
from glpn_cli.images.exr import check_library, encode_channels
from glpn_cli.prediction import DepthKind, Result


class Normals(SpaceFormat):
    """Normals as an 8-bit RGB PNG."""

    format: ClassVar[str] = "normals"
    extension: ClassVar[str] = ".png"
    map: ClassVar[str] = "normals"
    usual: ClassVar[Axes] = Axes.OPENGL
    any_scale: ClassVar[bool] = True
    dtype: ClassVar[np.dtype[Any]] = np.dtype(np.uint8)

    def encode(self, result: Result) -> EncodedFile:
        """The file."""
        depth = self.depth_of(result)
        record, camera = self.make_record(result, depth)
        normals = find_normals(depth, camera) @ self.axes.from_camera.T
        return EncodedFile(self.encode_normals(normals, record), record)

    def encode_normals(self, normals: NDArray[np.float32], record: Record) -> bytes:
        """The file of normals, float32 (H, W, 3)."""
        half = np.iinfo(self.dtype).max / 2
        levels = np.rint(normals * np.float32(half) + np.float32(half)).astype(self.dtype)
        levels[~normals.any(axis=2)] = 0
        return encode_png(levels, text=record.to_text())


class Normals16(Normals):
    """The same in 16 bits."""

    format: ClassVar[str] = "normals16"
    dtype: ClassVar[np.dtype[Any]] = np.dtype(np.uint16)


class NormalsNpz(Normals):
    """Normals as a NumPy archive: `normals` is float32 (H, W, 3)."""

    format: ClassVar[str] = "normals-npz"
    extension: ClassVar[str] = ".npz"

    def encode_normals(self, normals: NDArray[np.float32], record: Record) -> bytes:
        """The file of normals, float32 (H, W, 3)."""
        return archive_array("normals", normals, record)


class NormalsExr(Normals):
    """Normals as OpenEXR: channels N.X, N.Y and N.Z, float32."""

    format: ClassVar[str] = "normals-exr"
    extension: ClassVar[str] = ".exr"

    def check(self, kind: DepthKind, limit_m: float | None) -> None:
        """Refuse depth without a shape, and to begin without the library (UsageError)."""
        super().check(kind, limit_m)
        check_library()

    def encode_normals(self, normals: NDArray[np.float32], record: Record) -> bytes:
        """The file of normals, float32 (H, W, 3)."""
        channels = {f"N.{axis}": np.ascontiguousarray(normals[..., index]) for index, axis in enumerate("XYZ")}
        return encode_channels(channels, text=record.to_text())
