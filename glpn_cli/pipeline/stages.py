"""The stages of a task: read the input, predict it, write its files."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from glpn_cli.atomic_write import write_atomically
from glpn_cli.depth_files import EncodedFile, read_record
from glpn_cli.devices import cores, memory_bytes, no_collection, set_threads
from glpn_cli.errors import ErrorCode, InputError, OutputError, UsageError
from glpn_cli.geometry import FocalChoice, focal_to_35mm
from glpn_cli.images import ImageSource, Picture, PictureWarning
from glpn_cli.models.settings import InferenceSettings
from glpn_cli.pipeline.plan import Task, make_outcome
from glpn_cli.pipeline.report import ASSUMED_FOV, ASSUMED_UNIT, AXIS, FLAT, FOCAL, Outcome, Status, result_facts
from glpn_cli.pipeline.settings import ModelSettings, OutputSettings
from glpn_cli.pipeline.sources import Content, Source, StoredSource, identify
from glpn_cli.prediction import DepthMap, Intrinsics, Prediction, Result

if TYPE_CHECKING:
    from glpn_cli.images.given import GivenSource
    from glpn_cli.predictor import DepthEstimator

_MEMORY_SHARE = 0.25
"""Of the free memory, for the activations of all pictures at once, as costs count them: without copies."""

LARGEST_BATCH = 16
"""Larger ones gain nothing that was measured."""

_MOST_FOCAL_OFF = 0.3
_MOST_AXIS_OFF = 0.2
"""Of the width and of the height; pictures of half the size place it a quarter off."""
_ROUNDING = 1e-5


@dataclass(frozen=True)
class Parallelism:
    """How much the network computes at once: so many batches side by side, each of so many pictures."""

    lanes: int = 1
    batch_size: int = 1


class Stages:
    """Reads, predicts and writes; a stored map needs no network, so that a run over maps alone never loads one.

    model:     for pictures; None where there are none
    outputs:   the cameras of the inputs, and the calibration of their depths
    pictures:  number of inputs, finished ones included, so that a resumed run computes as the first one did; None where
               nobody knows
    estimator: the model, where it is open already
    warns_of_units: whether maps of bare numbers are warned about, since nobody said beforehand what they hold
    watch:     told of every result and its warnings once it is written
    """

    def __init__(
        self,
        model: ModelSettings | None,
        outputs: OutputSettings,
        *,
        pictures: int | None = None,
        estimator: DepthEstimator | None = None,
        warns_of_units: bool = False,
    ) -> None:
        self.model = model
        lens = None if model is None else model.inference.lens
        self._focal = outputs.cloud.focal if outputs.cloud is not None else lens or FocalChoice()
        self._writes_scale = "png16" in (outputs.formats or "").split(",")
        self._calibration = outputs.calibration
        self._pictures = pictures
        self._estimator = estimator
        self._warns_of_units = warns_of_units
        self._parallelism: Parallelism | None = None
        self.watch: Callable[[Result, tuple[str, ...]], None] | None = None

    def with_threads(self, threads: int) -> Stages:
        """The same with so many threads of the network, unopened: for another process, as which it can be pickled."""
        model = None if self.model is None else replace(self.model, threads=threads)
        fresh = copy(self)
        fresh.model, fresh._estimator, fresh._parallelism, fresh.watch = model, None, None, None
        return fresh

    def open(self) -> Parallelism:
        """Load the model, unless an earlier pass did; returns the quickest.

        On a CPU lanes of few threads each: a thread that decodes or writes then holds up one of them and not all, and
        the parts of a network that use one thread keep nobody waiting. 16 pictures of 640x480 through the published
        size take 7.0 s in two lanes of one thread each, and 8.5 s in one of two; mini takes 20 ms a picture instead of
        28. On a GPU batches.
        """
        model = self.model
        if self._parallelism is not None:
            return self._parallelism
        self._parallelism = Parallelism()
        if model is None:
            return self._parallelism
        self._estimator = self._estimator or _load(model)
        threads, most = model.threads or cores(), self._most_at_once(model, self._estimator.device)
        if self._estimator.device != "cpu":
            self._parallelism = Parallelism(batch_size=min(most, LARGEST_BATCH))
        elif (lanes := min(threads, most)) > 1:
            set_threads(threads // lanes)
            self._parallelism = Parallelism(lanes=lanes)
        return self._parallelism

    def decode(self, task: Task) -> Picture | Result:
        """Read the picture, with as many pixels as the network needs, or the stored map. Called in threads."""
        if isinstance(task.source, StoredSource):
            stored = task.source.read(self._focal, writes_scale=self._writes_scale)
            warnings = _depth_warnings(stored.prediction) + _axis_warnings(stored)
            warnings += (ASSUMED_UNIT,) if self._warns_of_units and task.source.is_bare else ()
            return self.calibrate(replace(stored, warnings=warnings))
        inference = self._inference
        picture = task.source.read(at_least=inference.enough_pixels)
        if not isinstance(task.source, ImageSource):
            picture = replace(picture, warnings=picture.warnings + _check_given(task.source))
        inference.network_size(picture.full_size)  # an impossible size is this picture's error, here in its own thread
        inference.picture_factor(picture.full_size, picture.focal_35mm)  # and so is an unknown lens
        return picture

    def group(self, decoded: Picture | Result) -> Hashable:
        """Pictures of one network size share a batch; None for a stored map, which needs no network."""
        return self._inference.network_size(decoded.full_size) if isinstance(decoded, Picture) else None

    def infer(self, tasks: Sequence[Task], decoded: Sequence[Picture | Result]) -> list[Result]:
        """The results of a batch, calibrated; stored maps pass through. Called in a thread for each lane."""
        pictures = [each for each in decoded if isinstance(each, Picture)]
        if not pictures:
            return [each for each in decoded if isinstance(each, Result)]
        assert self._estimator is not None, "the run has not begun"
        predictions = self._estimator.infer(pictures)
        made = zip(tasks, pictures, predictions, strict=True)
        return [
            self._make_result(task.source, picture, prediction, len(pictures)) for task, picture, prediction in made
        ]

    def finish(self, task: Task, result: Result) -> Outcome:
        """Encode a result in all formats, then write: a format that cannot hold it leaves no other behind. In threads.

        Raises OutputError where a file cannot be written, StoppedError where the disk takes no more.
        """
        files = [(target, target.writer.encode(result)) for target in task.targets]
        stdout = None
        for target, file in files:
            if target.path is None:
                stdout = file.data
            else:
                _write_once(Path(target.path), file, replace=target.replaces)
        warnings = result.warnings
        is_camera_known = result.intrinsics is not None and result.intrinsics.source != "assumed"
        if not is_camera_known and any(target.writer.map == "points" for target in task.targets):
            warnings += (ASSUMED_FOV,)
        if self.watch is not None:
            self.watch(result, warnings)
        outputs = (*task.kept, *(target.describe(file.record) for target, file in files))
        return make_outcome(
            task.source,
            Status.OK,
            outputs=outputs,
            facts=result_facts(result) if self.watch is None else {},  # who watches has the result itself
            warnings=warnings,
            stdout=stdout,
        )

    def predict(self, source: Source | GivenSource) -> Result:
        """The result of one source alone, unwritten."""
        task = Task(source, ())
        decoded = self.decode(task)
        self.open()
        return self.infer([task], [decoded])[0]

    @property
    def _inference(self) -> InferenceSettings:
        assert self.model is not None
        return self.model.inference

    def _most_at_once(self, model: ModelSettings, device: str) -> int:
        """How many pictures fit into memory, as far as their size and number are known: at least 1."""
        inference = model.inference
        if self._pictures is None or (size := inference.largest_network_size) is None:
            return 1
        if (free := memory_bytes(device)) is None:
            return 1
        need = inference.config.cost(size).activation_bytes
        return max(1, min(self._pictures, int(free * _MEMORY_SHARE) // need))

    def _make_result(
        self, source: Source | GivenSource, picture: Picture, prediction: Prediction, batch_size: int
    ) -> Result:
        """A prediction with its camera, its provenance, its warnings and its uncertainty."""
        assert self._estimator is not None
        provenance = self._estimator.provenance(picture, batch_size=batch_size)
        if not isinstance(prediction, DepthMap):
            return Result(prediction, source, provenance, warnings=picture.warnings)
        camera = self._focal.camera(picture.full_size, exif_mm=picture.focal_35mm)
        warnings = picture.warnings + _depth_warnings(prediction)
        if self._calibration is None and self._inference.lens is None:
            warnings += _camera_warnings(camera, picture.full_size, self._inference)
        assert self.model is not None
        uncertainty = self._estimator.predict_std(picture) if self.model.uncertainty else None
        result = Result(prediction, source, provenance, camera, warnings, uncertainty)
        return self.calibrate(replace(result, warnings=warnings + _axis_warnings(result)))

    def calibrate(self, result: Result) -> Result:
        """The same in true metres. Raises InputError for a calibration that does not fit."""
        depth = result.prediction
        if self._calibration is None or not isinstance(depth, DepthMap):
            return result
        try:
            self._calibration.check(depth.kind, result.provenance)
        except UsageError as error:
            raise InputError(error.message, hint=error.hint, code=ErrorCode.DATA) from error
        metres, uncertainty = self._calibration.apply(depth), result.uncertainty
        if uncertainty is not None:
            uncertainty = self._calibration.apply_to_std(uncertainty, metres)
        provenance = self._calibration.apply_to(result.provenance)
        return replace(result, prediction=metres, provenance=provenance, uncertainty=uncertainty)


def _load(model: ModelSettings) -> DepthEstimator:
    """Import torch and load the weights; meanwhile take their checksum, which every result will state."""
    inference = model.inference

    def take_checksum() -> None:
        with suppress(Exception):  # raised again for whoever asks for it next
            _ = inference.weights_sha256

    checksum = Thread(target=take_checksum, daemon=True)
    with suppress(RuntimeError):  # no more threads: it is taken later
        checksum.start()
    with no_collection():
        from glpn_cli.predictor import DepthEstimator

    estimator = DepthEstimator(inference, device=model.device, threads=model.threads or cores())
    if checksum.ident is not None:
        checksum.join()
    return estimator


def _check_given(source: GivenSource) -> tuple[str, ...]:
    """W_DEPTH_LIKE for a file that may be depth; the commands look at theirs before. Raises InputError for our own."""
    content, record = (Content.PICTURE, None) if source.content is None else identify(source.content)
    if record is not None or content is Content.OTHER:
        raise InputError(
            f"{source.given!r} was made of depth by glpn, and is no photograph",
            hint="Read it with glpn_cli.read_depth; to take it for a picture, give what PIL's Image.open gives.",
            code=ErrorCode.UNSUPPORTED,
        )
    return () if content is Content.PICTURE else (PictureWarning.DEPTH_LIKE,)


def _depth_warnings(made: Prediction) -> tuple[str, ...]:
    """W_FLAT where a map of more than one pixel is the same everywhere, but for the rounding of its resampling."""
    min_max = made.min_max() if isinstance(made, DepthMap) else None
    is_flat = min_max is not None and min_max[1] - min_max[0] <= _ROUNDING * min_max[1]
    return (FLAT,) if is_flat and isinstance(made, DepthMap) and made.values.size > 1 else ()


def _axis_warnings(result: Result) -> tuple[str, ...]:
    """W_AXIS where intrinsics that were given place the optical axis where those of another size of picture do."""
    camera, depth = result.intrinsics, result.prediction
    if camera is None or camera.source != "option" or not isinstance(depth, DepthMap):
        return ()
    height, width = depth.size
    is_off = abs(camera.cx / width - 0.5) > _MOST_AXIS_OFF and abs(camera.cy / height - 0.5) > _MOST_AXIS_OFF
    return (AXIS,) if is_off else ()


def _camera_warnings(camera: Intrinsics, size: tuple[int, int], inference: InferenceSettings) -> tuple[str, ...]:
    """W_FOCAL where the camera of a picture of (H, W) differs from the one that the model's metres belong to.

    Compared as 35 mm equivalents, so that the size of the picture does not matter.
    """
    learned = inference.training_35mm
    if learned is None or not inference.kind.is_metric or camera.source == "assumed":
        return ()
    is_far_off = abs(focal_to_35mm(camera.fx, size) / learned - 1) > _MOST_FOCAL_OFF
    return (FOCAL,) if is_far_off else ()


def _write_once(path: Path, file: EncodedFile, *, replace: bool) -> None:
    """Write, unless another run over the same folder made the same first. Raises as `write_atomically` does."""
    try:
        write_atomically(path, file.data, replace=replace)
    except OutputError as error:
        if error.code is not ErrorCode.EXISTS or not _is_same(path, file):
            raise


def _is_same(path: Path, file: EncodedFile) -> bool:
    """Whether a file can stand for one just made: by its record, or by equal bytes where there is none."""
    try:
        if file.record is None:
            return path.read_bytes() == file.data
        found = read_record(path)
    except (InputError, OSError):
        return False
    return found is not None and not found.differences(file.record)
