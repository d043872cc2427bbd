"""The cameras of the pictures that are scored, and truth that is length along the ray."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from glpn_cli.data.pairs import PairList
from glpn_cli.data.samples import Sample, SampleSource, kb_camera
from glpn_cli.errors import ErrorCode, InputError, UsageError
from glpn_cli.geometry import FocalChoice, depth_from_ray

CAMERA_HINT = "Fill in its fx and fy in the CSV, or use --focal or --intrinsics."


@dataclass(frozen=True)
class _CameraSource:
    """The pictures of a source through the camera that the user named, their depth along its axis.

    choice: the camera of all pictures; None: each has that of the data.
    is_ray: the depth of the data is length along the ray of each pixel.
    """

    source: SampleSource
    choice: FocalChoice | None
    is_ray: bool

    @property
    def name(self) -> str:
        """That of the source."""
        return self.source.name

    @property
    def length(self) -> int | None:
        """That of the source."""
        return self.source.length

    def name_of(self, index: int) -> str:
        """The name of picture `index`."""
        return self.source.name_of(index)

    def read(self, index: int) -> Sample:
        """Picture `index`. Raises InputError where it cannot be used, or its ray lengths come without a camera."""
        sample = self.source.read(index)
        if self.choice is not None:
            camera = self.choice.camera(sample.uncut or sample.size)
            cut = camera if sample.uncut is None else kb_camera(camera, sample.uncut)
            sample = replace(sample, intrinsics=cut, focal_px=math.sqrt(camera.fx * camera.fy))
        if not self.is_ray:
            return sample
        if sample.intrinsics is None:
            message = f"{sample.name}: its camera is not known, so its ray lengths cannot be turned into depth"
            raise InputError(message, hint=CAMERA_HINT, code=ErrorCode.DATA)
        return replace(sample, depth=depth_from_ray(sample.depth, sample.intrinsics))


def through_cameras(source: SampleSource, choice: FocalChoice | None, *, is_ray: bool) -> SampleSource:
    """The source itself where nothing is asked, else a `_CameraSource`."""
    return _CameraSource(source, choice, is_ray) if is_ray or choice is not None else source


def check_cameras(source: SampleSource, choice: FocalChoice | None, needed_by: Sequence[str]) -> None:
    """Refuse, before anything is scored, data where no picture has the camera that an option needs (UsageError).

    needed_by: the options that need one, as they are typed.
    """
    if not needed_by or choice is not None or not isinstance(source, PairList):
        return
    if source.pairs and all(pair.focal_px is None for pair in source.pairs):
        raise UsageError(
            f"no picture of {source.name} has a focal length, which {needed_by[0]} needs",
            hint=f"{source.focal_hint} Or use --focal or --intrinsics.",
            code=ErrorCode.DATA,
        )
