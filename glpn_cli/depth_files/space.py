"""The base of formats that put depth into space: a camera, axes, metres, and the colours of the picture."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from glpn_cli.colormaps import IMAGE_RANGE, paint
from glpn_cli.depth_files.base import Format, depth_of
from glpn_cli.depth_files.record import Record
from glpn_cli.errors import ErrorCode, InputError, OutputError, UsageError
from glpn_cli.geometry import Axes, PointCloudOptions
from glpn_cli.prediction import DepthKind, DepthMap, Intrinsics, Provenance, Result
from glpn_cli.text import size_text

_WAY_OUT = "Make metres of it by two known distances, glpn measure --calibrate, and then --calibration FILE."


@dataclass(frozen=True)
class SpaceFormat(Format):
    """A format of depth in space.

    cloud:     the options as they were asked for
    uses:      those that change this format
    usual:     its axes where none were asked for
    any_axes:  whether others may be
    any_scale: whether depth up to a factor will do
    """

    cloud: PointCloudOptions = field(default_factory=PointCloudOptions)

    uses: ClassVar[tuple[str, ...]] = ()
    usual: ClassVar[Axes] = Axes.OPENCV
    any_axes: ClassVar[bool] = True
    any_scale: ClassVar[bool] = False

    @property
    def axes(self) -> Axes:
        """Which way x, y and z go."""
        return (self.any_axes and self.cloud.axes) or self.usual

    def check(self, kind: DepthKind, limit_m: float | None) -> None:  # noqa: ARG002
        """Refuse depth whose shape nobody knows (UsageError)."""
        if reason := self._refuse(kind):
            raise UsageError(reason, hint=_WAY_OUT, code=ErrorCode.RANGE)

    def expect(self, source: str, *, kind: DepthKind, provenance: Provenance | None) -> Record | None:
        """The record of a file written now for `source`."""
        return replace(self.expect_depth(source, kind=kind, provenance=provenance), cloud=self._settings())

    def make_record(self, result: Result, depth: DepthMap) -> tuple[Record, Intrinsics]:
        """The record of a file of `result`, and the camera that it is seen by."""
        camera = result.intrinsics or self.cloud.focal.camera(depth.size)
        record = Record.of_result(result, depth, format=self.format, map=self.map)
        return replace(record, size=depth.size, cloud=replace(self._settings(), camera=camera)), camera

    def depth_of(self, result: Result) -> DepthMap:
        """The result's depth. Raises OutputError where its shape is not known."""
        depth = depth_of(result)
        if reason := self._refuse(depth.kind):
            raise OutputError(reason, hint=_WAY_OUT, code=ErrorCode.RANGE)
        return depth

    def _settings(self) -> PointCloudOptions:
        used = {name: getattr(self.cloud, name) for name in self.uses}
        return PointCloudOptions(self.cloud.focal, self.axes, **used)

    def _refuse(self, kind: DepthKind) -> str | None:
        if kind.is_metric or (self.any_scale and kind is DepthKind.SCALE):
            return None
        return f"{self.format} needs depth in metres, and this is {kind.value} depth"


def read_point_colors(result: Result, depth: DepthMap) -> NDArray[np.uint8]:
    """A colour for every pixel, uint8 (H, W, 3); painted by depth where the picture is not at hand.

    Raises OutputError for a picture of another size.
    """
    try:
        colors = result.source.read_colors()
    except InputError:  # a stored map whose picture is elsewhere
        return paint(depth, range=IMAGE_RANGE.resolve(depth))
    if colors.shape[:2] != depth.size:
        raise OutputError(
            f"the picture is {size_text(colors.shape)}, its depth map {size_text(depth.size)}: "
            "its colours do not belong to these points"
        )
    return colors
