"""Every frame of a clip becomes files in a folder, named by its number and its time: clip_000123_4.100s_depth.png."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from queue import SimpleQueue

from glpn_cli.atomic_write import probe_writable, remove_stale
from glpn_cli.errors import ErrorCode, GlpnError, OutputError, StoppedError, UsageError, uninterrupted, wrap_exception
from glpn_cli.images import ImageSource
from glpn_cli.pipeline.outputs import OutputRules, choose_outputs
from glpn_cli.pipeline.plan import ExistingOutputs, Task, make_outcome
from glpn_cli.pipeline.report import Outcome, RunEnd, Status
from glpn_cli.pipeline.run import Show
from glpn_cli.pipeline.settings import InputSettings
from glpn_cli.pipeline.sources import Sources
from glpn_cli.pipeline.stages import Stages
from glpn_cli.prediction import Result
from glpn_cli.video.clip import Clip
from glpn_cli.video.depth_clip import read_clip_record
from glpn_cli.video.frame import Frame
from glpn_cli.video.run import ClipWork, no_frame
from glpn_cli.video.settings import WARM_UP


def write_frames(work: ClipWork, source: ImageSource, show: Show) -> RunEnd:
    """Write the files of every frame of a clip, and tell their outcomes. Raises GlpnError where that cannot be done."""
    with Clip(source, work.asked) as clip:
        for note in clip.facts.notes:
            work.view.say(f"{source.given}: {note}")
        rules = _choose_rules(work, clip)
        assert rules.destination.path is not None
        probe_writable(rules.destination.path)
        remove_stale(rules.destination.path)
        look = work.outputs.look
        if look is not None and look.range.needs_settling and any(hasattr(each, "look") for each in rules.writers):
            settled = replace(look, range=work.settle_range(source, look.range))
            work = replace(work, outputs=replace(work.outputs, look=settled))
            rules = _choose_rules(work, clip)
        work.begin(clip, source.name)
        run = _FrameRun(work, clip, rules, show)
        ended = run.run()
        if ended == RunEnd() and not run.has_frames:
            raise no_frame()
        for warning in clip.warnings:
            work.view.say(f"{source.given}: {warning}")
        return ended


def plan_frames(work: ClipWork, source: ImageSource, show: Show) -> RunEnd:
    """Tell what would be written."""
    with Clip(source, work.asked) as clip:
        rules = _choose_rules(work, clip)
        existing = ExistingOutputs(rules, [])
        frame = None
        for frame in clip.frames():
            planned = existing.resolve(frame, rules.targets(frame))
            show(planned.planned() if isinstance(planned, Task) else planned)
        if frame is None:
            raise no_frame()
    return RunEnd()


def _choose_rules(work: ClipWork, clip: Clip) -> OutputRules:
    """The files of every frame. Raises UsageError for a clip of depth, and for formats that make no sense."""
    if read_clip_record(clip.facts.metadata) is not None:
        raise UsageError(
            f"{clip.source.given!r} was made by glpn already",
            hint="Paint a clip of depth with: glpn export CLIP -o FILE.mp4",
        )
    inputs = Sources(InputSettings(), takes_maps=False, sources=(clip.source,))
    rules = choose_outputs(inputs, work.model, work.outputs)
    given = clip.source.given
    for target in rules.targets(replace(clip.source, name=clip.name_of(0, 0.0))):
        if target.path is not None and (other := work.claims.setdefault(target.path, given)) != given:
            raise OutputError(
                f"{given!r} and {other!r} would be the same files, such as {target.path!r}",
                hint="Tell them apart with: --name '{name}_{map}'",
                code=ErrorCode.EXISTS,
            )
    return rules


class _FrameRun:
    """The frames of one clip on their way into files."""

    def __init__(self, work: ClipWork, clip: Clip, rules: OutputRules, show: Show) -> None:
        self._work, self._clip, self._rules, self._show = work, clip, rules, show
        self._existing = ExistingOutputs(rules, [])
        self._stages = Stages(work.model, work.outputs)  # that finish; they never open the model
        self._known: SimpleQueue[tuple[Frame, Outcome]] = SimpleQueue()
        self._tasks: dict[Frame, Task] = {}
        self._writing: deque[tuple[Frame, Future[Outcome]]] = deque()
        self._is_enough = False
        self.has_frames = False

    def run(self) -> RunEnd:
        """Write them all."""
        with (
            ThreadPoolExecutor(self._work.settings.threads, "write") as pool,
            closing(self._work.results(self._clip, self._remaining())) as results,
        ):
            try:
                for frame, one in results:
                    self._take(pool, frame, one)
                    if self._is_enough:
                        return RunEnd(is_enough=True)
            except KeyboardInterrupt as error:
                return RunEnd(interrupt=error)
            except StoppedError as error:
                return RunEnd(stopped=error)
            finally:
                self._tell_rest()
            return RunEnd(is_enough=self._is_enough)

    def _remaining(self) -> Iterator[Frame]:
        """The frames whose files are not there yet, and those about them that they are steadied by. In a thread."""
        is_steady = self._work.asked.steady
        before: deque[Frame] = deque(maxlen=WARM_UP if is_steady else 0)
        behind = 0
        for frame in self._clip.frames():
            self.has_frames = True
            planned = self._existing.resolve(frame, self._rules.targets(frame))
            if isinstance(planned, Task):
                yield from before
                before.clear()
                self._tasks[frame] = planned
                behind = WARM_UP if is_steady else 0
                yield frame
                continue
            self._known.put((frame, planned))
            if behind:
                behind -= 1
                yield frame
            else:
                before.append(frame)

    def _finish(self, task: Task, one: Result | GlpnError) -> Outcome:
        """Write the files of one frame, in a thread. Raises StoppedError where the disk takes no more."""
        if isinstance(one, GlpnError):
            return make_outcome(task.source, Status.ERROR, error=one)
        try:
            return self._stages.finish(task, one)
        except StoppedError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this frame's, and told
            return make_outcome(task.source, Status.ERROR, error=wrap_exception(error))

    @uninterrupted
    def _take(self, pool: ThreadPoolExecutor, frame: Frame, one: Result | GlpnError) -> None:
        """Have a frame written, and tell those that are."""
        self._tell_known()
        if (task := self._tasks.pop(frame, None)) is None:
            return
        self._writing.append((frame, pool.submit(self._finish, task, one)))
        most = 2 * self._work.settings.threads
        while len(self._writing) > most or (self._writing and self._writing[0][1].done()):
            self._tell(*self._writing.popleft())

    def _tell_known(self) -> None:
        while not self._known.empty():
            self._tell_outcome(*self._known.get())

    def _tell(self, frame: Frame, written: Future[Outcome]) -> None:
        self._tell_outcome(frame, written.result())

    def _tell_outcome(self, frame: Frame, outcome: Outcome) -> None:
        self._show(outcome)
        self._work.view.advance(frame.time_s - self._clip.settings.start_s)
        self._is_enough |= self._work.settings.fail_fast and outcome.status is Status.ERROR

    def _tell_rest(self) -> None:
        self._tell_known()
        for frame, written in self._writing:
            if written.exception() is None:
                self._tell(frame, written)
