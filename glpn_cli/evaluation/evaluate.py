"""Score predictors on pictures with known depth; a picture that cannot be scored is counted, never averaged away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from glpn_cli.data.samples import Sample, SampleSource, kb_crop, read_ahead
from glpn_cli.errors import ErrorCode, InputError, UsageError
from glpn_cli.evaluation.alignment import DEFAULT, FAIR, Alignment, align
from glpn_cli.evaluation.cameras import CAMERA_HINT
from glpn_cli.evaluation.metrics import Interval, Measures, MetricGroup
from glpn_cli.evaluation.predictors import ModelPredictor, Predictor
from glpn_cli.evaluation.protocols import Protocol
from glpn_cli.evaluation.temporal import ScoredFrame
from glpn_cli.prediction import DepthMap
from glpn_cli.text import size_text

_S = TypeVar("_S")
_T = TypeVar("_T")


@dataclass(frozen=True)
class _PictureScores:
    """The scores of one picture, or the error.

    scores: by alignment, then by metric; empty where there is an error. A metric is left out where it makes no sense.
    pixels: number of pixels that were scored.
    known:  their share of the pixels that count; the predictor has no depth for the rest.
    error:  the reason for no scores at all.
    gaps:   the reason for no scores with single alignments.
    no_camera: the reason for no normals where they were asked for.
    """

    name: str
    scores: Mapping[Alignment, Mapping[str, float]]
    pixels: int = 0
    known: float = 1.0
    error: InputError | None = None
    gaps: Mapping[Alignment, InputError] = field(default_factory=dict)
    no_camera: InputError | None = None

    @property
    def problems(self) -> tuple[InputError, ...]:
        """All its errors."""
        return (*filter(None, (self.error, self.no_camera)), *self.gaps.values())


_Frame = tuple[Sample, NDArray[np.bool_]] | _PictureScores
"""A picture as the protocol cuts it, and the mask of the pixels that count; or the error, in place of its scores."""


@dataclass(eq=False)
class Evaluation:
    """One predictor's scores under one protocol.

    total:    the number of all pictures.
    groups:   the metrics that were asked for.
    pictures: those that were tried so far.
    """

    predictor: Predictor
    protocol: Protocol
    alignments: tuple[Alignment, ...]
    groups: tuple[MetricGroup, ...]
    total: int
    pictures: list[_PictureScores] = field(default_factory=list)
    _latest: ScoredFrame | None = None  # the picture before, unless it could not be measured

    @classmethod
    def begin(
        cls,
        predictor: Predictor,
        source: SampleSource,
        *,
        protocol: Protocol,
        align_by: Sequence[Alignment] = (),
        groups: Sequence[MetricGroup] = (MetricGroup.DEPTH,),
    ) -> Self:
        """The evaluation of a predictor on a finite source, before its first picture.

        align_by: the alignments to score with; empty: the default of the predictor's kind

        Raises UsageError for alignments and metrics that say nothing about maps of that kind, and for the alignment of
        a camera that nobody knows.
        """
        assert source.length is not None, "an endless source has no mean"
        if MetricGroup.TEMPORAL in groups:
            _check_temporal(predictor)
        alignments = tuple(dict.fromkeys(align_by)) or DEFAULT[predictor.kind]
        _check_alignments(alignments, predictor)
        return cls(predictor, protocol, alignments, tuple(groups), source.length)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of all metrics that were asked for."""
        return tuple(metric for group in self.groups for metric in group.metrics)

    @property
    def measured(self) -> tuple[_PictureScores, ...]:
        """The pictures with scores."""
        return tuple(picture for picture in self.pictures if picture.error is None)

    @property
    def failures(self) -> Counter[str]:
        """The number of pictures without scores, by error code."""
        return Counter(str(picture.error.code) for picture in self.pictures if picture.error is not None)

    def values(self, alignment: Alignment, metric: str) -> NDArray[np.float64]:
        """One number for every picture that has this score, (n,)."""
        scores = (picture.scores.get(alignment, {}) for picture in self.measured)
        return np.array([each[metric] for each in scores if metric in each])

    def missing(self, alignment: Alignment) -> tuple[str, ...]:
        """The measured pictures that have other scores but not this one."""
        return tuple(picture.name for picture in self.measured if alignment in picture.gaps)

    def without(self, group: MetricGroup) -> tuple[str, ...]:
        """The measured pictures that have no score of a group with any alignment."""
        first = group.metrics[0]
        return tuple(
            picture.name for picture in self.measured if not any(first in each for each in picture.scores.values())
        )

    def means(self, alignment: Alignment) -> dict[str, Interval]:
        """The mean of every metric over the pictures that have it, with its interval; empty where there are none."""
        values = {metric: self.values(alignment, metric) for metric in self.metrics}
        return {metric: Interval.bootstrap(each) for metric, each in values.items() if each.size}

    def measure(self, frame: _Frame, answer: DepthMap | InputError | None) -> _PictureScores:
        """The scores of the predictor's map of a picture, or the error."""
        before, self._latest = self._latest, None
        if isinstance(frame, _PictureScores):
            return frame
        sample, counted = frame
        try:
            if not isinstance(answer, DepthMap):
                assert answer is not None
                raise answer
            depth = _fit_frame(answer, sample)
            has_depth = _overlap(counted, depth, sample)
        except InputError as error:
            return _PictureScores(sample.name, {}, error=_without_traceback(error))
        scores, gaps = self._score(depth, sample, has_depth)
        if not scores:
            return _PictureScores(sample.name, {}, error=gaps[self.alignments[0]])
        if MetricGroup.TEMPORAL in self.groups:
            self._latest = ScoredFrame(sample, depth.values, has_depth)
            scores[next(iter(scores))] |= {} if before is None else before.score_change(self._latest)
        pixels = int(has_depth.sum())
        missing = _camera_error(sample) if MetricGroup.NORMALS in self.groups else None
        if missing is not None and not any(scores.values()):
            return _PictureScores(sample.name, {}, error=missing)
        return _PictureScores(sample.name, scores, pixels, pixels / int(counted.sum()), gaps=gaps, no_camera=missing)

    def _score(
        self, depth: DepthMap, sample: Sample, has_depth: NDArray[np.bool_]
    ) -> tuple[dict[Alignment, dict[str, float]], dict[Alignment, InputError]]:
        """The scores of a map by alignment, and the reasons for those that there are not."""
        predicted = depth.values[has_depth].astype(np.float64)
        target = sample.depth[has_depth].astype(np.float64)
        measures = Measures(self.groups, sample.depth, has_depth, sample.intrinsics)
        range_m = self.protocol.range_m
        scores: dict[Alignment, dict[str, float]] = {}
        gaps: dict[Alignment, InputError] = {}
        for how in self.alignments:
            factor = self.predictor.lens_factor(sample) if how is Alignment.FOCAL else 1.0
            if factor is None:
                gaps[how] = InputError(
                    f"{sample.name}: its focal length is not known, so it has no score for focal",
                    hint=CAMERA_HINT,
                    code=ErrorCode.DATA,
                )
                continue
            fitted = align(predicted * factor, target, how=how, kind=self.predictor.kind, range_m=range_m)
            if self.protocol.clip and range_m is not None:
                fitted = fitted.clip(max(range_m[0], 1e-6), range_m[1])
            scores[how] = measures.score(fitted)
        return scores, gaps

    def compare(self, theirs: Evaluation, alignment: Alignment, metric: str) -> Interval | None:
        """The mean difference, ours - theirs, over the pictures that both were measured on, with its paired interval.

        It is tighter than the intervals of both; where it does not hold 0, the difference is more than luck.
        """
        pairs = (
            (one.scores.get(alignment, {}), other.scores.get(alignment, {}))
            # By place: a picture may come twice. An interrupt may leave one of them a picture behind.
            for one, other in zip(self.pictures, theirs.pictures, strict=False)
        )
        values = np.array([(one[metric], other[metric]) for one, other in pairs if metric in one and metric in other])
        if not values.size:
            return None
        return Interval.bootstrap(values[:, 0] - values[:, 1])


def _check_alignments(asked: Sequence[Alignment], predictor: Predictor) -> None:
    """Raise UsageError for alignments that say nothing about a predictor's maps."""
    unfair = [alignment for alignment in asked if alignment not in FAIR[predictor.kind]]
    if unfair:
        raise UsageError(
            f"--align {unfair[0].value} says nothing about {predictor.name}: its maps are {predictor.kind.value}",
            hint=f"Use --align {','.join(FAIR[predictor.kind])}.",
        )
    if Alignment.FOCAL in asked and not predictor.knows_camera:
        raise UsageError(
            f"--align focal says nothing about {predictor.name}: for which focal length its metres hold is not known",
            hint="Leave focal out of --align, or score only models that know their camera, such as lite.",
        )


def _check_temporal(predictor: Predictor) -> None:
    """Raise UsageError for temporal metrics of maps with an unknown shift."""
    if not predictor.kind.has_ratios:
        raise UsageError(
            f"--temporal says nothing about {predictor.name}: its maps are {predictor.kind.value}",
            hint="A ratio of depths needs depths in metres, or up to one factor.",
        )


def evaluate(
    source: SampleSource, evaluations: Sequence[Evaluation], *, workers: int = 1, batch_size: int = 1
) -> Iterator[tuple[_PictureScores, ...]]:
    """Score every predictor on every picture: one tuple per picture, in their order, when it is with their evaluations.

    evaluations: begun on this source under one protocol.
    workers:     threads that read pictures ahead.
    batch_size:  pictures per batch of a model.
    """
    read = partial(_read_frame, source, evaluations[0].protocol)
    for batch in read_batches(read, evaluations[0].total, workers=workers, batch_size=batch_size):
        samples = [frame[0] for frame in batch if not isinstance(frame, _PictureScores)]
        maps = [iter(_predict(each.predictor, samples)) for each in evaluations]
        for frame in batch:
            row = tuple(
                each.measure(frame, None if isinstance(frame, _PictureScores) else next(own))
                for each, own in zip(evaluations, maps, strict=True)
            )
            for each, scores in zip(evaluations, row, strict=True):
                each.pictures.append(scores)
            yield row


def _read_frame(source: SampleSource, protocol: Protocol, index: int) -> _Frame:
    name = source.name_of(index)
    try:
        sample = source.read(index)
        if protocol.is_kitti:
            sample = sample.kb_cropped()
        counted = protocol.counted(sample.depth)
    except InputError as error:
        return _PictureScores(name, {}, error=_without_traceback(error))
    if not counted.any():
        hint = "All its known depths lie outside the range or the crop: see --gt-range and --crop."
        message = f"{sample.name}: no pixel counts under the protocol"
        return _PictureScores(name, {}, error=InputError(message, hint=hint, code=ErrorCode.DATA))
    return sample, counted


def read_batches(read: Callable[[int], _T], count: int, *, workers: int, batch_size: int) -> Iterator[list[_T]]:
    """The results of `read` for 0 to `count`, in order and in batches, read in threads ahead of their use."""
    pool = ThreadPoolExecutor(workers)
    try:
        items = read_ahead(range(count), lambda index: pool.submit(read, index), ahead=workers + batch_size)
        while batch := [future.result() for _, future in islice(items, batch_size)]:
            yield batch
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # a read that never ends must not delay an interrupt


def predict_each(predict: Callable[[Sequence[_S]], Sequence[_T]], items: Sequence[_S]) -> list[_T | InputError]:
    """The prediction of every item, or the error: where a batch fails, its items are predicted one by one."""
    try:
        return [*predict(items)] if items else []
    except InputError as error:
        if len(items) == 1:
            return [error]
        return [result for item in items for result in predict_each(predict, [item])]


def _predict(predictor: Predictor, samples: Sequence[Sample]) -> list[DepthMap | InputError]:
    """The predictor's map of every picture, or the error."""
    if isinstance(predictor, ModelPredictor):
        return predict_each(predictor.predict_batch, samples)
    alone = [predict_each(lambda one: [predictor.predict(one[0])], [sample]) for sample in samples]
    return [answer for (answer,) in alone]


def _camera_error(sample: Sample) -> InputError | None:
    """The reason for no normals of a picture; None where its camera is known."""
    if sample.intrinsics is not None:
        return None
    message = f"{sample.name}: its camera is not known, so it has no normals"
    return InputError(message, hint=CAMERA_HINT, code=ErrorCode.DATA)


def _without_traceback(error: InputError) -> InputError:
    """The error without its traceback, whose frames keep pictures in memory."""
    error.__context__ = error.__cause__ = None
    return error.with_traceback(None)


def _overlap(counted: NDArray[np.bool_], depth: DepthMap, sample: Sample) -> NDArray[np.bool_]:
    """The pixels that count and have a depth in the map. Raises InputError where there are none."""
    has_depth = counted if depth.valid is None else counted & depth.valid
    if not has_depth.any():
        raise InputError(
            f"{sample.name}: the map has no depth where it counts",
            hint="It is empty wherever the true depth is known: predict the picture again, or leave it out.",
            code=ErrorCode.DATA,
        )
    return has_depth


def _fit_frame(depth: DepthMap, sample: Sample) -> DepthMap:
    """The map in its picture's size; a map of a full KITTI frame is cut. Raises InputError for other sizes."""
    if depth.size == sample.size:
        return depth
    if depth.size == sample.uncut:
        valid = None if depth.valid is None else kb_crop(depth.valid, what=sample.name)
        return replace(depth, values=kb_crop(depth.values, what=sample.name), valid=valid)
    raise InputError(
        f"{sample.name}: the map is {size_text(depth.size)}, the picture {size_text(sample.size)}",
        code=ErrorCode.DATA,
    )
