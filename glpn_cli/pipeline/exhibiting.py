"""What `export --html` adds to a run: every map also goes onto one page, those that were painted earlier too."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from glpn_cli.depth_files import Look
from glpn_cli.errors import InputError, StoppedError
from glpn_cli.images import ImageSource
from glpn_cli.pipeline.answers import Answer
from glpn_cli.pipeline.engine import Ended, Engine
from glpn_cli.pipeline.gallery import Entry, Gallery, make_entry
from glpn_cli.pipeline.gallery.entries import PICTURE_SIDE
from glpn_cli.pipeline.jobs import Job
from glpn_cli.pipeline.outcome import Outcome, Status
from glpn_cli.pipeline.plan import Plan
from glpn_cli.pipeline.running import Written, run_plan
from glpn_cli.pipeline.settings import RunSettings
from glpn_cli.pipeline.stages import Stages
from glpn_cli.pipeline.stored import DepthSource
from glpn_cli.pipeline.tasks import Source, Task, place_of

A = TypeVar("A")
D = TypeVar("D")
S = TypeVar("S", bound=Source)


class _Exhibiting(Generic[S, D, A]):
    """Stages whose answers also go onto a page.

    trouble: why the page takes no more; what was written before is written, and no error of its input
    """

    def __init__(
        self,
        stages: Stages[Task[S], D, A, Written],
        gallery: Gallery,
        exhibit: Callable[[S, A, tuple[str, ...]], Entry],
        positions: dict[int, int],
    ) -> None:
        self._stages = stages
        self._gallery = gallery
        self._exhibit = exhibit
        self._positions = positions
        self.trouble: StoppedError | None = None
        self.open = stages.open

    def decode(self, task: Task[S]) -> D:
        return self._stages.decode(task)

    def group(self, decoded: D) -> Hashable:
        return self._stages.group(decoded)

    def infer(self, batch: Sequence[D]) -> Sequence[A]:
        return self._stages.infer(batch)

    def finish(self, task: Task[S], answer: A) -> Written:
        written = self._stages.finish(task, answer)
        entry = self._exhibit(task.source, answer, written.warnings)
        try:
            self._gallery.add(self._positions[id(task.source)], entry)
        except StoppedError as error:
            self.trouble = error
        return written

    def check(self) -> None:
        """Raise the trouble that there is with the page, once the result that met it has been told."""
        if self.trouble is not None:
            raise self.trouble


def run_with_page(
    plan: Plan[S],
    sources: Sequence[S],
    stages: Stages[Task[S], D, A, Written],
    exhibit: Callable[[S, A, tuple[str, ...]], Entry],
    pace: RunSettings,
    page: Path,
    show: Callable[[Outcome], None],
    look: Look = Look(),  # noqa: B008 - frozen
) -> Ended:
    """Do all that a plan holds, and put all `sources` onto a page, in their order, as `exhibit` shows each.

    look: how depth is painted there

    Those that need no work are read, or predicted, once more for it. A run that was interrupted leaves a page of what
    it did; one that was stopped because the disk or the device failed leaves none.
    """
    with Gallery(look) as gallery:
        exhibiting = _Exhibiting(stages, gallery, exhibit, {id(source): index for index, source in enumerate(sources)})
        skipped: set[tuple[str, str, str]] = set()

        def watch(outcome: Outcome) -> None:
            if outcome.error is not None:
                gallery.fail(outcome.place, outcome.error)
            if outcome.status is Status.SKIPPED:
                skipped.add((outcome.given, outcome.name, outcome.place))
            show(outcome)
            exhibiting.check()

        ended = run_plan(plan, exhibiting, pace, watch)
        rest = [Task(source, ()) for source in sources if (source.given, source.name, place_of(source)) in skipped]
        if rest and ended == Ended():

            def report(job: Job[Task[S], D, A, Written]) -> bool:
                if job.error is not None:
                    gallery.fail(place_of(job.task.source), job.error)
                exhibiting.check()
                return True

            ended = Engine(exhibiting, report, workers=pace.threads, batch_size=pace.batch_size).run(rest)
        if ended.stopped is None and exhibiting.trouble is None:
            try:
                gallery.write(page, title=page.stem)
            except StoppedError as error:
                ended = replace(ended, stopped=error)
    return ended


def exhibit_depth(look: Look) -> Callable[[ImageSource | DepthSource, Answer, tuple[str, ...]], Entry]:
    """How depth, painted like this, appears on a page."""

    def exhibit(source: ImageSource | DepthSource, answer: Answer, warnings: tuple[str, ...]) -> Entry:
        picture = source.picture if isinstance(source, DepthSource) else source
        return make_entry(
            source.name,
            answer.depth,
            read_for_page(picture, answer.depth.size),
            look=look,
            provenance=answer.provenance,
            warnings=warnings,
        )

    return exhibit


def read_for_page(picture: ImageSource | None, size: tuple[int, int]) -> NDArray[np.uint8] | None:
    """The picture of a map of (H, W), no larger than the page needs it; None where it is not at hand."""
    if picture is None:
        return None
    factor = min(1.0, PICTURE_SIDE / max(size))
    try:
        return picture.read(at_least=(max(1, round(size[0] * factor)), max(1, round(size[1] * factor)))).rgb
    except InputError:
        return None
