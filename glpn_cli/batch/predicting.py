"""What `predict` puts through the engine: pictures in, depth maps out."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from glpn_cli.batch.inputs import InputChoice, check_is_picture
from glpn_cli.batch.mishaps import start_thread
from glpn_cli.batch.naming import choose_formats
from glpn_cli.batch.outcome import FLAT, FOCAL
from glpn_cli.batch.outputs import OutputChoice
from glpn_cli.batch.plan import make_plan
from glpn_cli.batch.running import Pace, PlannedRun, Run, Written, write_result
from glpn_cli.batch.stages import Width
from glpn_cli.batch.streaming import StreamRun, read_stream
from glpn_cli.batch.tasks import OutputRules, Task
from glpn_cli.depth_files import FORMATS, Record, Uncertainty, Writer, make_writer
from glpn_cli.depth_files.calibration import Calibration
from glpn_cli.devices import cores, memory_bytes, no_collection, set_threads
from glpn_cli.errors import ErrorCode, InputError, UsageError
from glpn_cli.geometry import FocalChoice, focal_to_35mm
from glpn_cli.images import PICTURE_EXTENSIONS, Found, ImageSource, Picture
from glpn_cli.models.recipe import Recipe
from glpn_cli.prediction import DepthKind, DepthMap, Intrinsics, Provenance, Result

if TYPE_CHECKING:
    from glpn_cli.predictor import DepthEstimator

_MOST_FOCAL_OFF = 0.3
_ROUNDING = 1e-5

_MEMORY_SHARE = 0.25
"""Of the memory that is free, for the activations of all pictures at once, as costs count them: without copies."""

_LARGEST_BATCH = 16
"""More at once gains nothing that was measured."""


def prediction_rules(recipe: Recipe, choice: OutputChoice) -> OutputRules[ImageSource]:
    """What becomes of pictures. Raises UsageError for formats that make no sense or cannot hold the model's range."""
    destination = choice.destination
    kind, limit_m = recipe.kind, recipe.limit_m
    if choice.calibration is not None:
        choice.calibration.check(kind, recipe.provenance)
        kind, limit_m = DepthKind.METRIC, choice.calibration.limit_of(limit_m)
    default = "png16" if kind.is_metric else "tiff"
    formats = choose_formats(choice.formats, destination, default=default, allowed=list(FORMATS))
    writers = [
        make_writer(name, kind=kind, limit_m=limit_m, depth_scale=choice.depth_scale, cloud=choice.cloud)
        for name in formats
    ]
    if choice.uncertainty:
        writers.append(Uncertainty())
    choice.check_heeded(writers)

    def expect(source: ImageSource, writer: Writer) -> Record | None:
        kind, provenance = calibrate(recipe.kind, recipe.provenance, choice.calibration)
        return writer.expect(source.name, kind=kind, provenance=provenance)

    return OutputRules(writers, destination, choice.name, recipe.model.name, choice.existing, expect, lambda _: kind)


@dataclass(frozen=True, eq=False)
class Answer:
    """A depth map, how it was made, and by which camera its picture was."""

    depth: DepthMap
    provenance: Provenance | None
    warnings: tuple[str, ...]
    intrinsics: Intrinsics | None = None
    uncertainty: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Network:
    """A model to be opened when a run starts.

    device:  auto, cpu, mps, cuda, cuda:N
    threads: of torch; None is all cores that this process may use
    focal:   what is said about the cameras of the pictures
    calibration: what makes true metres of the answers
    uncertainty: ask how sure it is, too
    pictures: how many are named, done already or not, so that a run that goes on computes as the one that began; None
              where nobody knows
    """

    recipe: Recipe
    device: str = "auto"
    threads: int | None = None
    focal: FocalChoice = field(default_factory=FocalChoice)
    calibration: Calibration | None = None
    uncertainty: bool = False
    pictures: int | None = None

    def expecting(self, pictures: Sequence[object]) -> Network:
        """The same for so many pictures."""
        return replace(self, pictures=len(pictures))

    def open(self) -> DepthEstimator:
        """Import torch and load the weights, and meanwhile take their checksum, which every result will state."""
        checksum = start_thread(self._take_checksum)
        with no_collection():
            from glpn_cli.predictor import DepthEstimator

        estimator = DepthEstimator(self.recipe, device=self.device, threads=self.threads or cores())
        checksum.join()
        return estimator

    def open_wide(self) -> tuple[DepthEstimator, Width]:
        """The same, for as much at once as is quickest.

        On a CPU lanes of few threads each: a thread that decodes or writes then holds up one of them and not all, and
        what a network does in one thread keeps nobody waiting. 16 pictures of 640x480 through the published size take
        7.0 s in two lanes of one thread each, and 8.5 s in one of two; mini takes 20 ms a picture instead of 28. On a
        GPU batches.
        """
        estimator = self.open()
        threads, most = self.threads or cores(), self._most_at_once(estimator.device)
        if estimator.device != "cpu":
            return estimator, Width(batch_size=min(most, _LARGEST_BATCH))
        lanes = min(threads, most)
        if lanes > 1:
            set_threads(threads // lanes)
        return estimator, Width(lanes=lanes)

    def _most_at_once(self, device: str) -> int:
        """How many pictures memory and the number of them bear, as far as their size is known: at least 1."""
        size, free = self.recipe.largest_network_size, memory_bytes(device)
        if size is None or free is None or self.pictures is None:
            return 1
        need = self.recipe.family.cost(self.recipe.config, size).activation_bytes
        return max(1, min(self.pictures, int(free * _MEMORY_SHARE) // need))

    def _take_checksum(self) -> None:
        with suppress(Exception):  # told to whoever asks for it next
            _ = self.recipe.weights_sha256

    def read(self, source: ImageSource) -> Picture:
        """The picture, with as many pixels as the network needs. Raises as `network_size` does, too."""
        picture = source.read(at_least=self.recipe.enough_pixels)
        self.network_size(picture)  # a size that cannot be is this picture's error, here in its own thread
        return picture

    def network_size(self, picture: Picture) -> tuple[int, int]:
        """(h, w) that the network will see of a picture."""
        return self.recipe.network_size(picture.full_size)


def prepare_predictions(
    choice: InputChoice, found: Found | None, results: OutputChoice, network: Network, pace: Pace
) -> Run:
    """A run of predictions, planned. Raises UsageError where it makes no sense.

    found: the inputs; None where they come one by one on standard input
    """
    if network.recipe.predicts_labels:
        if network.uncertainty:
            raise UsageError(f"--uncertainty is about depth, and {network.recipe.model.name!r} predicts labels")
        from glpn_cli.batch.labelling import prepare_labels

        return prepare_labels(choice, found, results, network, pace, default="labels")
    rules = prediction_rules(network.recipe, results)
    if found is None:
        stages = PredictStages(network)
        items = read_stream(choice, extensions=PICTURE_EXTENSIONS)
        return StreamRun(items, partial(check_is_picture, kind=choice.kind), rules, stages, pace, choice.allow_empty)
    plan = make_plan(found.sources, rules)
    plan.add_found(found.refused, found.notes)
    return PlannedRun(plan, PredictStages(network.expecting(found.sources)), pace)


class PredictStages:
    """Pictures through a network."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._estimator: DepthEstimator | None = None

    def open(self) -> Width:
        """Load the model."""
        self._estimator, width = self._network.open_wide()
        return width

    def decode(self, task: Task[ImageSource]) -> Picture:
        """Read the picture."""
        return self._network.read(task.source)

    def group(self, decoded: Picture) -> Hashable:
        """Pictures of one network size go together."""
        return self._network.network_size(decoded)

    def infer(self, batch: Sequence[Picture]) -> list[Answer]:
        """Depth for pictures of one network size."""
        assert self._estimator is not None
        return ask(self._estimator, batch, self._network)

    def finish(self, task: Task[ImageSource], answer: Answer) -> Written:
        """Write the files."""
        result = Result(
            answer.depth, task.source, answer.provenance, answer.intrinsics, answer.warnings, answer.uncertainty
        )
        return write_result(task, result)


def ask(estimator: DepthEstimator, pictures: Sequence[Picture], network: Network) -> list[Answer]:
    """Depth for pictures of one network size, calibrated, with their cameras and what is odd about each."""
    answers = []
    for picture, depth in zip(pictures, estimator.predict_pictures(pictures), strict=True):
        camera = network.focal.camera(picture.full_size, exif_mm=picture.focal_35mm)
        warnings = picture.warnings + odd_depth(depth)
        if network.calibration is None:
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
