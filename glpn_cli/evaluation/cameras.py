"""The cameras of the pictures that are scored, and truth that is length along the ray."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from glpn_cli.data.pairs import PairList
from glpn_cli.data.samples import ChangedSource, Sample, SampleSource, kb_camera
from glpn_cli.errors import ErrorCode, InputError, UsageError
from glpn_cli.geometry import FocalChoice, depth_from_ray

CAMERA_HINT = "Fill in its fx and fy in the CSV, or use --focal or --intrinsics."


def through_cameras(source: SampleSource, choice: FocalChoice | None, *, is_ray: bool) -> SampleSource:
    """The pictures of a source through the camera that the user named, their depth along its axis.

    choice: the camera of all pictures; None: each has that of the data.
    is_ray: the depth of the data is length along the ray of each pixel.

    Reading one raises InputError where its ray lengths come without a camera.
    """
    if choice is None and not is_ray:
        return source
    return ChangedSource(source, partial(_through_camera, choice=choice, is_ray=is_ray))


def _through_camera(sample: Sample, *, choice: FocalChoice | None, is_ray: bool) -> Sample:
    if choice is not None:
        camera = choice.camera(sample.uncut or sample.size)
        cut = camera if sample.uncut is None else kb_camera(camera, sample.uncut)
        sample = replace(sample, intrinsics=cut, focal_px=math.sqrt(camera.fx * camera.fy))
    if not is_ray:
        return sample
    if sample.intrinsics is None:
        message = f"{sample.name}: its camera is not known, so its ray lengths cannot be turned into depth"
        raise InputError(message, hint=CAMERA_HINT, code=ErrorCode.DATA)
    return replace(sample, depth=depth_from_ray(sample.depth, sample.intrinsics))


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
