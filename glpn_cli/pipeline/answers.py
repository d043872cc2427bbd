"""What a network answers for a picture: a depth map with its camera, in true metres where they are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from glpn_cli.depth_files.calibration import Calibration
from glpn_cli.errors import ErrorCode, InputError, UsageError
from glpn_cli.geometry import focal_to_35mm
from glpn_cli.images import Picture
from glpn_cli.models.settings import Recipe
from glpn_cli.pipeline.outcome import FLAT, FOCAL
from glpn_cli.prediction import DepthKind, DepthMap, Intrinsics, Provenance

if TYPE_CHECKING:
    from glpn_cli.pipeline.network import Network
    from glpn_cli.predictor import DepthEstimator

_MOST_FOCAL_OFF = 0.3
_ROUNDING = 1e-5


@dataclass(frozen=True, eq=False)
class Answer:
    """A depth map, how it was made, and by which camera its picture was."""

    depth: DepthMap
    provenance: Provenance | None
    warnings: tuple[str, ...]
    intrinsics: Intrinsics | None = None
    uncertainty: NDArray[np.float32] | None = None


def ask(estimator: DepthEstimator, pictures: Sequence[Picture], network: Network) -> list[Answer]:
    """Depth for pictures of one network size, calibrated, with their cameras and what is odd about each."""
    answers = []
    for picture, depth in zip(pictures, estimator.predict_pictures(pictures), strict=True):
        camera = network.focal.camera(picture.full_size, exif_mm=picture.focal_35mm)
        warnings = picture.warnings + odd_depth(depth)
        if network.calibration is None and network.recipe.lens is None:
            warnings += odd_camera(camera, picture.full_size, estimator.recipe)
        spread = estimator.spread(picture) if network.uncertainty else None
        answer = Answer(depth, estimator.provenance(picture), warnings, camera, spread)
        answers.append(calibrate_answer(answer, network.calibration))
    return answers


def calibrate(kind: DepthKind, provenance: Provenance, calibration: Calibration | None) -> tuple[DepthKind, Provenance]:
    """What depths will mean, and how they are made. Raises UsageError for a calibration that is not for them."""
    if calibration is None:
        return kind, provenance
    calibration.check(kind, provenance)
    return DepthKind.METRIC, calibration.apply_to(provenance)


def calibrate_answer(answer: Answer, calibration: Calibration | None) -> Answer:
    """The same in true metres. Raises InputError for a calibration that is not for it."""
    if calibration is None:
        return answer
    try:
        calibration.check(answer.depth.kind, answer.provenance)
    except UsageError as error:
        raise InputError(error.message, hint=error.hint, code=ErrorCode.DATA) from error
    depth, spread = calibration.apply(answer.depth), answer.uncertainty
    if spread is not None:
        spread = calibration.apply_to_spread(spread, depth)
    return replace(answer, depth=depth, provenance=calibration.apply_to(answer.provenance), uncertainty=spread)


def odd_depth(depth: DepthMap) -> tuple[str, ...]:
    """W_FLAT where a map of more than one pixel is the same everywhere, but for the rounding of its resampling."""
    extent = depth.extent()
    is_flat = extent is not None and extent[1] - extent[0] <= _ROUNDING * extent[1]
    return (FLAT,) if is_flat and depth.values.size > 1 else ()


def odd_camera(camera: Intrinsics, size: tuple[int, int], recipe: Recipe) -> tuple[str, ...]:
    """W_FOCAL where a camera that took a picture of (H, W) is not the sort that the model's metres belong to.

    Compared as 35 mm equivalents, so that the size of the picture does not matter.
    """
    learned = recipe.training_35mm
    if learned is None or not recipe.kind.is_metric or camera.source == "assumed":
        return ()
    is_far_off = abs(focal_to_35mm(camera.fx, size) / learned - 1) > _MOST_FOCAL_OFF
    return (FOCAL,) if is_far_off else ()
