"""Measure contestants on pictures with known depth; nothing that cannot be measured is averaged away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from glpn_cli.data.kitti_crop import kb_crop, kb_cropped
from glpn_cli.data.pairs import PairList
from glpn_cli.data.samples import Sample, SampleSource
from glpn_cli.errors import ErrorCode, InputError, UsageError
from glpn_cli.evaluation.alignment import DEFAULT, FAIR, Alignment, align
from glpn_cli.evaluation.contestants import Contestant, ModelContestant
from glpn_cli.evaluation.intervals import Interval, bootstrap, bootstrap_difference
from glpn_cli.evaluation.metrics import METRICS, Scores, score
from glpn_cli.evaluation.protocols import Protocol
from glpn_cli.evaluation.reading import read_ahead
from glpn_cli.prediction import DepthMap


@dataclass(frozen=True)
class PictureScores:
    """One picture, measured or not.

    scores: by alignment; empty where there is an error.
    pixels: how many counted.
    known:  share of the pixels that should count for which the contestant has a depth.
    error:  why there are no scores.
    gaps:   why single alignments have none, where others do.
    """

    name: str
    scores: Mapping[Alignment, Scores]
    pixels: int = 0
    known: float = 1.0
    error: InputError | None = None
    gaps: Mapping[Alignment, InputError] = field(default_factory=dict)

    @property
    def problems(self) -> tuple[InputError, ...]:
        """Everything that kept it from being scored as asked."""
        return (*([] if self.error is None else [self.error]), *self.gaps.values())


@dataclass(frozen=True)
class Evaluation:
    """One contestant's scores under one protocol.

    pictures: those that had their turn.
    total:    how many there are.
    """

    contestant: Contestant
    protocol: Protocol
    alignments: tuple[Alignment, ...]
    pictures: tuple[PictureScores, ...]
    total: int

    @property
    def measured(self) -> tuple[PictureScores, ...]:
        """Those that have scores."""
        return tuple(picture for picture in self.pictures if picture.error is None)

    @property
    def failures(self) -> Counter[str]:
        """How many pictures were not measured, by error code."""
        return Counter(str(picture.error.code) for picture in self.pictures if picture.error is not None)

    def values(self, alignment: Alignment, metric: str) -> NDArray[np.float64]:
        """One number for every picture that has this score, (n,)."""
        scores = (picture.scores[alignment] for picture in self.measured if alignment in picture.scores)
        return np.array([getattr(each, metric) for each in scores])

    def missing(self, alignment: Alignment) -> tuple[str, ...]:
        """The measured pictures that have other scores but not this one."""
        return tuple(picture.name for picture in self.measured if alignment in picture.gaps)

    def means(self, alignment: Alignment) -> dict[str, Interval]:
        """The mean of every metric over the pictures that have it, with its interval; empty where there are none."""
        values = {metric: self.values(alignment, metric) for metric in METRICS}
        return {metric: bootstrap(each) for metric, each in values.items() if each.size}


def choose_alignments(asked: Sequence[Alignment], contestant: Contestant) -> tuple[Alignment, ...]:
    """What is fitted before measuring: what was asked for, else what is fair to the contestant's kind.

    Raises UsageError for an alignment that says nothing about maps of that kind, or of a camera that nobody knows.
    """
    if not asked:
        return DEFAULT[contestant.kind]
    unfair = [alignment for alignment in asked if alignment not in FAIR[contestant.kind]]
    if unfair:
        raise UsageError(
            f"--align {unfair[0].value} says nothing about {contestant.name}: its maps are {contestant.kind.value}",
            hint=f"Use --align {','.join(FAIR[contestant.kind])}.",
        )
    if Alignment.FOCAL in asked and not contestant.knows_camera:
        raise UsageError(
            f"--align focal says nothing about {contestant.name}: for which focal length its metres are is not known",
            hint="Leave focal out of --align, or score models alone that know their camera, as mini does.",
        )
    return tuple(dict.fromkeys(asked))


def check_focal(source: SampleSource, asked: Sequence[Alignment]) -> None:
    """Refuse `focal`, before anything is measured, on data where no picture has a focal length (UsageError)."""
    if Alignment.FOCAL not in asked or not isinstance(source, PairList):
        return
    if source.pairs and all(pair.focal_px is None for pair in source.pairs):
        raise UsageError(
            f"no picture of {source.name} has a focal length, which --align focal needs",
            hint=source.focal_hint,
            code=ErrorCode.DATA,
        )


def evaluate(
    source: SampleSource,
    contestants: Sequence[Contestant],
    *,
    protocol: Protocol,
    align_by: Sequence[Alignment] = (),
    workers: int = 1,
    batch_size: int = 1,
) -> Iterator[tuple[PictureScores, ...]]:
    """Measure every contestant on every picture of a finite source, one tuple a picture in the contestants' order.

    workers:    threads that read pictures while others are measured.
    batch_size: pictures that a model sees at once.
    """
    assert source.length is not None, "an endless source has no mean"
    alignments = [choose_alignments(align_by, contestant) for contestant in contestants]
    read = partial(_read_frame, source, protocol)
    frames = read_ahead(read, source.length, workers=workers, ahead=workers + batch_size)
    while batch := list(islice(frames, batch_size)):
        samples = [frame.sample for frame in batch if frame.sample is not None]
        maps = [iter(_predict(contestant, samples)) for contestant in contestants]
        for frame in batch:
            yield tuple(
                _measure(contestant, frame, next(own) if frame.sample else None, protocol, chosen)
                for contestant, own, chosen in zip(contestants, maps, alignments, strict=True)
            )


def gather(
    contestants: Sequence[Contestant],
    rows: Sequence[tuple[PictureScores, ...]],
    *,
    protocol: Protocol,
    align_by: Sequence[Alignment] = (),
    total: int | None = None,
) -> tuple[Evaluation, ...]:
    """The rows that `evaluate` gave, by contestant.

    total: how many pictures there are; None where all of them had their turn.
    """
    count = len(rows) if total is None else total
    return tuple(
        Evaluation(
            contestant, protocol, choose_alignments(align_by, contestant), tuple(row[place] for row in rows), count
        )
        for place, contestant in enumerate(contestants)
    )


def compare(ours: Evaluation, theirs: Evaluation, alignment: Alignment, metric: str) -> Interval | None:
    """The mean difference, ours - theirs, over the pictures that both were measured on, with its paired interval."""
    both = [
        (one.scores[alignment], other.scores[alignment])
        for one, other in zip(ours.pictures, theirs.pictures, strict=True)  # by place: a picture may come twice
        if alignment in one.scores and alignment in other.scores
    ]
    if not both:
        return None
    values = np.array([[getattr(scores, metric) for scores in pair] for pair in both])
    return bootstrap_difference(values[:, 0], values[:, 1])


@dataclass(frozen=True, eq=False)
class _Frame:
    """A picture as the protocol cuts it, and which of its pixels count; or why it cannot be measured on."""

    name: str
    sample: Sample | None = None
    counted: NDArray[np.bool_] | None = None
    error: InputError | None = None


def _read_frame(source: SampleSource, protocol: Protocol, index: int) -> _Frame:
    name = source.name_of(index)
    try:
        sample = source.read(index)
        if protocol.is_kitti:
            sample = kb_cropped(sample)
        counted = protocol.counted(sample.depth)
    except InputError as error:
        return _Frame(name, error=_told(error))
    if not counted.any():
        nothing = InputError(
            f"{sample.name}: no pixel counts under the protocol",
            hint="All its known depths lie outside the range or the crop: see --gt-range and --crop.",
            code=ErrorCode.DATA,
        )
        return _Frame(name, error=nothing)
    return _Frame(name, sample, counted)


def _predict(contestant: Contestant, samples: Sequence[Sample]) -> list[DepthMap | InputError]:
    """The contestant's map of every picture, or why it has none."""
    if len(samples) > 1 and isinstance(contestant, ModelContestant):
        try:
            return [*contestant.predict_batch(samples)]
        except InputError:  # of one of them: which, they say one by one
            pass
    answers: list[DepthMap | InputError] = []
    for sample in samples:
        try:
            answers.append(contestant.predict(sample))
        except InputError as error:
            answers.append(error)
    return answers


def _measure(
    contestant: Contestant,
    frame: _Frame,
    answer: DepthMap | InputError | None,
    protocol: Protocol,
    alignments: tuple[Alignment, ...],
) -> PictureScores:
    sample, counted = frame.sample, frame.counted
    if sample is None or counted is None:
        return PictureScores(frame.name, {}, error=frame.error)
    try:
        if not isinstance(answer, DepthMap):
            assert answer is not None
            raise answer
        depth = _fit_frame(answer, sample)
        has_depth = _overlap(counted, depth, sample)
    except InputError as error:
        return PictureScores(sample.name, {}, error=_told(error))
    predicted = depth.values[has_depth].astype(np.float64)
    target = sample.depth[has_depth].astype(np.float64)
    scores, gaps = {}, {}
    for how in alignments:
        lens_factor = contestant.lens_factor(sample) if how is Alignment.FOCAL else 1.0
        if lens_factor is None:
            gaps[how] = _no_focal(sample)
            continue
        fitted = align(
            predicted, target, how=how, kind=contestant.kind, range_m=protocol.range_m, lens_factor=lens_factor
        )
        if protocol.clip and protocol.range_m is not None:
            fitted = fitted.clip(max(protocol.range_m[0], 1e-6), protocol.range_m[1])
        scores[how] = score(fitted, target)
    if not scores:
        return PictureScores(sample.name, {}, error=gaps[alignments[0]])
    return PictureScores(sample.name, scores, int(has_depth.sum()), float(has_depth.sum() / counted.sum()), gaps=gaps)


def _told(error: InputError) -> InputError:
    """The error without the places it came through, whose pictures would stay in memory as long as it does."""
    error.__context__ = error.__cause__ = None
    return error.with_traceback(None)


def _no_focal(sample: Sample) -> InputError:
    return InputError(
        f"{sample.name}: its focal length is not known, so it has no score for focal",
        hint="Fill in its fx and fy in the CSV.",
        code=ErrorCode.DATA,
    )


def _overlap(counted: NDArray[np.bool_], depth: DepthMap, sample: Sample) -> NDArray[np.bool_]:
    """Which of the pixels that count the map has a depth for. Raises InputError where that is none."""
    has_depth = counted if depth.valid is None else counted & depth.valid
    if not has_depth.any():
        raise InputError(
            f"{sample.name}: the map has no depth where it counts",
            hint="It is empty wherever the true depth is known: predict the picture again, or leave it out.",
            code=ErrorCode.DATA,
        )
    return has_depth


def _fit_frame(depth: DepthMap, sample: Sample) -> DepthMap:
    """The map in the frame that is measured; a map of KITTI's full frame, of just its size, is cut like its picture."""
    if depth.size == sample.size:
        return depth
    height, width = depth.size
    if depth.size == sample.uncut:
        valid = None if depth.valid is None else kb_crop(depth.valid, what=sample.name)
        return replace(depth, values=kb_crop(depth.values, what=sample.name), valid=valid)
    raise InputError(
        f"{sample.name}: the map is {width}x{height}, the picture {sample.size[1]}x{sample.size[0]}",
        code=ErrorCode.DATA,
    )
