"""The file of a clip in the making: frame by frame, behind what an earlier run left, to the end or to a stop."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from numpy.typing import NDArray

from glpn_cli.colormaps import RangeRule
from glpn_cli.depth_files import Record
from glpn_cli.depth_files.styles import Color
from glpn_cli.errors import ErrorCode, GlpnError, InputError, OutputError, StoppedError
from glpn_cli.pipeline.plan import make_outcome
from glpn_cli.pipeline.report import LOST_FRAMES, Outcome, RunEnd, Status, record_facts, result_facts
from glpn_cli.prediction import DepthMap, Result
from glpn_cli.video.clip import Clip
from glpn_cli.video.depth_clip import DepthClip, DepthClipWriter, quantize
from glpn_cli.video.frame import Frame
from glpn_cli.video.painted_clip import PaintedClipWriter, RunningRange
from glpn_cli.video.run import ClipWork, no_frame
from glpn_cli.video.settings import SAME_S, WARM_UP
from glpn_cli.video.target import (
    ClipTarget,
    PipeOut,
    UntilFull,
    find_differences,
    holds_frames,
    read_partial,
    says_source,
)

_GRACE_S = 1.5
"""How long an interrupted clip waits for whoever reads it from a pipe."""

_MOST_WAITING = 3
"""Frames that wait to be coded."""

_OF_ONE_FRAME = ("mean", "median")


@dataclass
class Making:
    """One file in the making.

    ended:   why it ended before the last frame; `RunEnd()` where it did not
    until_s: the time of the last frame that is in it
    is_full: whether the disk took no more of it
    """

    work: ClipWork
    clip: Clip
    target: ClipTarget
    wanted: Record
    ended: RunEnd = field(default_factory=RunEnd)
    until_s: float = 0.0
    is_full: bool = False
    _frames: int = 0
    _first: Result | None = None
    _failed: list[tuple[Frame, GlpnError]] = field(default_factory=list)
    _min_max: tuple[float, float] | None = None
    _sink: _CodingThread | None = None
    _disk: UntilFull | None = None
    _running: RunningRange | None = None

    def write(self, stream: BinaryIO | PipeOut) -> None:
        """Write all frames; an interrupt, or an error of the disk, ends the file where it is. Raises GlpnError."""
        if not isinstance(stream, PipeOut) and self.target.form == "matroska":  # others keep their index for the end
            self._disk = UntilFull(stream, self.target.partial)
        try:
            self._write(self._disk or stream)
        except BaseException:
            if self._sink is not None:
                with suppress(Exception):
                    self._sink.close()
            raise
        if self._disk is not None and self._disk.stopped is not None:
            assert not isinstance(stream, PipeOut)
            self._keep(Path(stream.name), self._disk)

    def _keep(self, written: Path, disk: UntilFull) -> None:
        """End with the part that is on the disk. Raises GlpnError where an earlier run left as much."""
        assert disk.stopped is not None
        partial = self.target.partial
        earlier = partial.stat().st_size if partial.exists() else 0
        if disk.kept <= earlier or not isinstance(disk.stopped, StoppedError) or not holds_frames(written):
            raise disk.stopped
        self.ended, self.is_full = RunEnd(stopped=disk.stopped), True

    def _write(self, stream: BinaryIO | PipeOut | UntilFull) -> None:
        frames = self.clip.frames()
        self.work.begin(self.clip, self.clip.source.name)
        taken: deque[Frame] = deque(maxlen=WARM_UP if self.work.asked.steady else 0)
        for frame, levels in self._take_over(frames):  # interrupted here, the earlier file stays
            self._open(stream).write(frame, levels)
            self._check_room()
            self._count(frame)
            taken.append(frame)
        try:
            with closing(self.work.results(self.clip, chain(list(taken), frames))) as results:
                for frame, one in results:
                    if frame in taken:
                        continue
                    if isinstance(one, GlpnError):
                        self._failed.append((frame, one))
                        continue
                    try:
                        self._add(stream, frame, one)
                    except OutputError as error:  # one depth that does not fit loses one frame, and not all of them
                        if error.code is not ErrorCode.RANGE:
                            raise
                        self._failed.append((frame, error))
        except KeyboardInterrupt as error:
            self.ended = RunEnd(interrupt=error)
        except StoppedError as error:
            self.ended = RunEnd(stopped=error)
        if self._sink is None:
            if self.ended.interrupt is not None:
                raise self.ended.interrupt
            raise self.ended.stopped or self._nothing()
        is_left = self.ended.interrupt is not None and isinstance(stream, PipeOut)
        self._sink.close(within_s=_GRACE_S if is_left else None)
        self._tell_lost()

    def _check_room(self) -> None:
        """Raise the error of a disk that takes no more."""
        if self._disk is not None and self._disk.stopped is not None:
            raise self._disk.stopped

    def outcome(self) -> Outcome:
        """The outcome of the clip."""
        facts: dict[str, Any] = result_facts(self._first) if self._first is not None else record_facts(self.wanted)
        facts = {key: fact for key, fact in facts.items() if key not in _OF_ONE_FRAME}
        if self._min_max is not None:
            facts |= {"min": float(f"{self._min_max[0]:.6g}"), "max": float(f"{self._min_max[1]:.6g}")}
        lost = len(self.clip.lost) + self.clip.concealed + len(self._failed)
        facts |= {"frames": self._frames, "lost_frames": lost}
        if self.clip.facts.duration_s is not None:
            facts["duration_s"] = round(self.clip.facts.duration_s, 3)
        warnings = self._first.warnings if self._first is not None else ()
        if lost or self.clip.is_cut_short:
            warnings += (LOST_FRAMES,)
        output = self.target.describe(self.wanted, self._painted())
        return make_outcome(self.clip.source, Status.OK, outputs=(output,), facts=facts, warnings=warnings)

    def _add(self, stream: BinaryIO | PipeOut | UntilFull, frame: Frame, result: Result) -> None:
        if result.provenance is not None:
            result = replace(result, provenance=result.provenance.seen(self.clip.settings.view))
        depth = result.prediction
        assert isinstance(depth, DepthMap)
        writer = self.target.writer
        levels = None if isinstance(writer, Color) else quantize(writer, depth)
        sink = self._open(stream, result)
        self._first = self._first or replace(result, source=self.clip.source)
        if (reach := depth.min_max()) is not None:
            low, high = self._min_max or reach
            self._min_max = min(low, reach[0]), max(high, reach[1])
        if levels is not None:
            sink.write(frame, levels)
        else:
            assert isinstance(writer, Color)
            if self._running is not None:
                ends = self._running.follow(depth, frame.time_s)
            else:
                ends = writer.look.range.resolve(depth)
            sink.write(frame, writer.render(result, ends))
        self._check_room()
        self._count(frame)

    def _count(self, frame: Frame) -> None:
        self._frames += 1
        self.until_s = frame.time_s
        self.work.view.advance(frame.time_s - self.clip.settings.start_s)

    def _open(self, stream: BinaryIO | PipeOut | UntilFull, result: Result | None = None) -> _CodingThread:
        """The writer of the file, begun with the first frame."""
        if self._sink is None:
            record = self._record(result)
            writer: DepthClipWriter | PaintedClipWriter
            if isinstance(self.target.writer, Color):
                if self.target.writer.look.range.rule is RangeRule.RUNNING:
                    self._running = RunningRange(self.target.writer.look.range)
                writer = PaintedClipWriter(stream, self.target.form, self.clip, record)
                for warning in writer.warnings:
                    self.work.view.say(f"{self.clip.source.given}: {warning}")
            else:
                dtype = getattr(self.target.writer, "dtype", "uint16")
                writer = DepthClipWriter(stream, self.clip.facts, record, dtype)
            self._sink = _CodingThread(writer)
        return self._sink

    def _record(self, result: Result | None) -> Record:
        """The record of the file: complete where a result is known."""
        if result is None:
            return self.wanted
        depth = result.prediction
        assert isinstance(depth, DepthMap)
        made = Record.of_result(
            replace(result, source=self.clip.source),
            depth,
            format=self.target.format,
            map=self.target.writer.map,
            depth_scale=self.wanted.depth_scale,
            look=self.wanted.look,
            painted=self._painted(),
        )
        return replace(made, min_max=None)

    def _painted(self) -> tuple[float, float] | None:
        look = self.target.look
        ends = None if look is None or self.wanted.kind is None else look.range.ends_for(self.wanted.kind)
        return None if ends is None else (ends.near, ends.far)

    def _take_over(self, frames: Iterator[Frame]) -> Iterator[tuple[Frame, Any]]:
        """The frames that an earlier run left, with their numbers; what comes behind them is left in `frames`."""
        if self.target.path is None or not self.target.partial.exists():
            return
        partial = self.target.partial
        found = read_partial(partial)
        why = None
        if not says_source(self.wanted):
            why = "it may be of another stream"
        elif self.target.paints:
            why = "coded colours cannot be appended to"
        elif differences := find_differences(found, self.wanted, self.work.outputs):
            why = str(differences[0])
        if why is not None:
            self.work.view.say(f"{partial} of an earlier run is begun anew: {why}")
            return
        self.wanted = replace(found, format=self.target.format)
        with DepthClip(partial) as stored:
            for earlier, levels in stored.levels():
                frame = next(frames, None)
                while frame is not None and frame.time_s < earlier.time_s - SAME_S:
                    self._failed.append((frame, InputError("an earlier run left it out")))
                    frame = next(frames, None)
                if frame is None or abs(frame.time_s - earlier.time_s) > SAME_S:
                    raise OutputError(
                        f"{str(partial)!r} of an earlier run does not fit the clip any more",
                        hint="Remove it, and run again.",
                        code=ErrorCode.EXISTS,
                    )
                yield frame, levels
        self.work.view.say(f"{partial} of an earlier run is gone on with, behind {self.until_s:.3f} s")

    def _nothing(self) -> GlpnError:
        if self._failed:
            frame, error = self._failed[0]
            return InputError(f"not one frame could be used; at {frame.time_s:.3f} s: {error.message}", code=error.code)
        return no_frame()

    def _tell_lost(self) -> None:
        name = self.clip.source.given
        for warning in self.clip.warnings:
            self.work.view.say(f"{name}: {warning}")
        for frame, error in self._failed[:5]:
            self.work.view.say(f"{name}: the frame at {frame.time_s:.3f} s is left out: {error.message}")


class _CodingThread:
    """Passes frames to a writer in another thread, which alone touches its file, while the next ones are worked on.

    Raises the errors of the writer, up to so many frames later.
    """

    def __init__(self, writer: DepthClipWriter | PaintedClipWriter) -> None:
        self._writer = writer
        self._pool = ThreadPoolExecutor(1, "coding")
        self._waiting: deque[Future[None]] = deque()

    def write(self, frame: Frame, content: NDArray[Any]) -> None:
        """Add the numbers or the colours of one frame."""
        if len(self._waiting) == _MOST_WAITING:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(self._writer.write, frame, content))

    def close(self, *, within_s: float | None = None) -> None:
        """Code what waits, and finish the file, also behind a frame that failed.

        within_s: how long a reader of a pipe may take; None: as long as it likes
        """
        self._waiting.append(self._pool.submit(self._writer.close))
        self._pool.shutdown(wait=False)
        finished, _ = wait(self._waiting, within_s)
        for done in [each for each in self._waiting if each in finished]:
            done.result()
