"""A run over clips, and over the pictures beside them.

A clip goes to a video file, in one outcome, or to a folder, in one outcome a frame. Frames are decoded, predicted and
written one behind the other in bounded queues, so that memory does not grow with the length of a clip.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Protocol

from glpn_cli.colormaps import DepthHistogram, RangePolicy
from glpn_cli.depth_files import Record, StoredDepth
from glpn_cli.depth_files.png16 import decode_levels
from glpn_cli.errors import ErrorCode, GlpnError, InputError, StoppedError, UsageError, wrap_exception
from glpn_cli.geometry import FocalChoice
from glpn_cli.images import ImageSource, Refused
from glpn_cli.options import OF_NETWORKS
from glpn_cli.pipeline.many import iterate_results
from glpn_cli.pipeline.naming import Destination
from glpn_cli.pipeline.plan import make_outcome, refused_outcome
from glpn_cli.pipeline.report import RunEnd, Status
from glpn_cli.pipeline.run import Run, Show
from glpn_cli.pipeline.settings import ModelSettings, OutputSettings, RunSettings
from glpn_cli.pipeline.sources import camera_of
from glpn_cli.pipeline.stages import Stages
from glpn_cli.prediction import DepthMap, Result
from glpn_cli.video.clip import Clip
from glpn_cli.video.depth_clip import depth_record_of, find_depth, follow_depth, path_beside
from glpn_cli.video.frame import Frame
from glpn_cli.video.settings import ClipSettings

_RANGE_FRAMES = 240
"""The first pass of a range over the whole clip looks at about so many frames, evenly."""

Results = Generator[tuple[Frame, Result | GlpnError]]
"""Frames in their order, each with its result or its error."""


class _ClipView(Protocol):
    """Shows how far a clip is, and what there is to say of it."""

    def say(self, text: str) -> None:
        """A remark for the user."""

    def begin(self, name: str, *, frames: int | None, duration_s: float | None) -> None:
        """A clip, or a pass over it, begins."""

    def advance(self, time_s: float) -> None:
        """One more frame is done, shown at this time of the clip."""


class _Nobody:
    """Shows nothing."""

    def say(self, text: str) -> None:
        """Nothing."""

    def begin(self, name: str, *, frames: int | None, duration_s: float | None) -> None:
        """Nothing."""

    def advance(self, time_s: float) -> None:
        """Nothing."""


@dataclass
class ClipWork:
    """What every clip of a run is worked on with.

    model: None where all clips hold depth already
    view:  who is told
    claims: the files of first frames, and the clip that each is of, so that no two clips write the same
    """

    outputs: OutputSettings
    model: ModelSettings | None
    settings: RunSettings
    asked: ClipSettings
    stages: Stages
    view: _ClipView = field(default_factory=_Nobody)
    claims: dict[str, str] = field(default_factory=dict)

    def results(self, clip: Clip, frames: Iterator[Frame], *, steady: bool | None = None) -> Results:
        """The results of frames of a clip: read from it where it holds depth, else predicted, and steadied.

        steady: whether they are; None: as asked
        """
        if (self.asked.steady if steady is None else steady) and self.stored_record(clip) is None:
            from glpn_cli.video.steady import steady_results

            with closing(self._plain(clip, frames)) as plain:
                yield from steady_results(plain)
        else:
            yield from self._plain(clip, frames)

    def _plain(self, clip: Clip, frames: Iterator[Frame]) -> Results:
        record = self.stored_record(clip)
        if record is None:
            width = self.stages.open()
            ahead = 2 * (self.settings.threads + width.lanes * (self.settings.batch_size or width.batch_size))
            yield from iterate_results(self.stages, frames, self.settings, ahead=ahead)
            return
        focal = self.outputs.cloud.focal if self.outputs.cloud is not None else FocalChoice()
        path = None if depth_record_of(clip) is not None else path_beside(clip.source)
        stored = ((frame, None) for frame in frames) if path is None else follow_depth(path, frames)
        for frame, levels in stored:
            if isinstance(levels, InputError):
                yield frame, levels
                continue
            try:
                depth = decode_levels(frame.image.to_ndarray() if levels is None else levels, record)
                camera = camera_of(StoredDepth(depth, record, record.format), focal)
                result = self.stages.calibrate(Result(depth, frame, record.provenance, camera))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this frame's, and told
                yield frame, wrap_exception(error)
            else:
                yield frame, result

    def stored_record(self, clip: Clip) -> Record | None:
        """The record of the depth that was made earlier: the clip's own, or of the clip of depth beside it."""
        own = depth_record_of(clip)
        return find_depth(clip.source, clip.facts.content) if own is None and self.looks_beside else own

    @property
    def looks_beside(self) -> bool:
        """Whether depth that lies beside a clip is painted: into a video, as clips of depth are."""
        return self.outputs.paints and Destination.parse(self.outputs.output).is_video

    def note_of_depth(self, clip: Clip) -> str | None:
        """The remark on depth that a clip holds, or that lies beside it; None where there is none."""
        typed = self.outputs.explicit.among(*OF_NETWORKS)
        is_told = self.outputs.paints and clip.source.path is not None  # by export, before the run
        if typed and not is_told and depth_record_of(clip) is not None:
            change = "changes" if len(typed) == 1 else "change"
            return f"it holds depth that was made earlier: {', '.join(typed)} {change} nothing in it"
        path = path_beside(clip.source)
        if path is None or not self.looks_beside or depth_record_of(clip) is not None or not path.is_file():
            return None
        if self.stored_record(clip) is not None:
            return f"its depth is there already, and is painted: {path.name}"
        return f"{path.name} is no depth of this file, or of a part of it, and is not used"

    def settle_range(self, source: ImageSource, policy: RangePolicy) -> RangePolicy:
        """The first pass over a clip: the range of all of it, by frames that are evenly spread."""
        seen: list[DepthHistogram] = []
        with Clip(source, self.asked) as counted:
            expected = counted.expected_frames or 0
        every = self.asked.every * max(1, expected // _RANGE_FRAMES)
        with (
            Clip(source, replace(self.asked, every=every)) as clip,
            closing(self.results(clip, clip.frames(), steady=False)) as results,
        ):
            self.begin(clip, f"{source.name}: range")
            for frame, one in results:
                self.view.advance(frame.time_s - clip.settings.start_s)
                if isinstance(one, Result) and isinstance(one.prediction, DepthMap):
                    seen[:] = [sum(seen, DepthHistogram.of(one.prediction))]
        return policy.merge(seen)

    def begin(self, clip: Clip, name: str) -> None:
        """Tell that a pass over a clip begins."""
        asked, facts = clip.settings, clip.facts
        end_s = min(filter(None, (asked.end_s, facts.duration_s)), default=None)
        length_s = None if end_s is None else max(0.0, end_s - asked.start_s)
        self.view.begin(name, frames=clip.expected_frames, duration_s=length_s)


@dataclass
class ClipRun:
    """A run over clips, behind the run over the pictures beside them.

    clips:    the clips, in order
    refused:  named inputs that cannot be used
    pictures: the run over the pictures; None where there are none
    write:    what is made of one clip: tells its outcomes to the second argument
    plan_one: tells what would be made of it
    """

    clips: Sequence[ImageSource]
    work: ClipWork
    write: Callable[[ClipWork, ImageSource, Show], RunEnd]
    plan_one: Callable[[ClipWork, ImageSource, Show], RunEnd]
    pictures: Run | None = None
    refused: Sequence[Refused] = ()
    total: int | None = None

    @property
    def notes(self) -> Sequence[str]:
        """For the user, beforehand."""
        return self.pictures.notes if self.pictures is not None else ()

    def dry_run(self, show: Show) -> RunEnd:
        """Tell what would be done, and do nothing."""
        if self.pictures is not None:
            self.pictures.dry_run(show)
        return self._run(self.plan_one, show)

    def execute(self, show: Show) -> RunEnd:
        """Do it: the pictures first, then clip after clip."""
        if self.pictures is not None:
            ended = self.pictures.execute(show)
            if ended != RunEnd():
                return ended
        return self._run(self.write, show)

    def _run(self, one: Callable[[ClipWork, ImageSource, Show], RunEnd], show: Show) -> RunEnd:
        for refused in self.refused:
            show(refused_outcome(refused))
        for source in self.clips:
            started = time.perf_counter()
            try:
                ended = one(self.work, source, show)
            except KeyboardInterrupt as error:
                return RunEnd(interrupt=error)
            except StoppedError as error:
                return RunEnd(stopped=error)
            except GlpnError as error:
                if isinstance(error, UsageError) and self.total == 1:
                    raise
                seconds = time.perf_counter() - started
                show(make_outcome(source, Status.ERROR, seconds=seconds, error=error))
                ended = RunEnd(is_enough=self.work.settings.fail_fast)
            if ended != RunEnd():
                return ended
        return RunEnd()


def no_frame() -> InputError:
    """The error of a part of a clip that has no frame."""
    return InputError("there is no frame in the part of the clip that is asked for", code=ErrorCode.USAGE)
