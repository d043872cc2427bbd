"""A training run, from its first step or from where it was stopped: it trains, validates, saves and reports."""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from types import FrameType
from typing import Any

from glpn_cli.atomic_write import write_atomically
from glpn_cli.checkpoint import CARD_FILE
from glpn_cli.checkpoint.write import EncodedFolder
from glpn_cli.data.samples import Sample, SampleSource
from glpn_cli.errors import ErrorCode, GlpnError, InputError
from glpn_cli.models.state_dict import file_state
from glpn_cli.training.config import TrainingConfig
from glpn_cli.training.folder import PREVIEWS_FOLDER, RunFolder
from glpn_cli.training.initial_model import InitialModel
from glpn_cli.training.ranks import Ranks
from glpn_cli.training.report import Event, Progress, Skipped, Validation, make_card
from glpn_cli.training.trainer import Losses, StepReport, Trainer
from glpn_cli.training.validation import draw_preview, predict_samples, score_samples

_PREVIEWED = 4
_HOPELESS = 200
"""A run gives up after this many pictures if not one of them could be used."""


@dataclass(frozen=True, eq=False)
class Run:
    """The parts of a run.

    held_out: pictures to validate on; empty for no validation.
    command:  as the user typed it, for the card.
    """

    initial: InitialModel
    config: TrainingConfig
    source: SampleSource
    folder: RunFolder
    held_out: Sequence[Sample] = ()
    device: str = "cpu"
    workers: int = 0
    ranks: Ranks = field(default_factory=Ranks)
    command: str = ""

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that must be the same for a run to be resumed."""
        return {
            "training": self.config.to_dict(),
            "data": self.source.name,
            "start": self.initial.origin,
            "limit_m": self.initial.limit_m,
            "processes": self.ranks.world,
            "pictures": self.source.length,
            "model": self.initial.config.to_dict(),
        }


@dataclass(frozen=True)
class RunEnd:
    """The end of a run: its steps, the pictures and steps that it left out, and the signal that stopped it, if any."""

    step: int
    skipped: int
    dropped: int
    signal: int | None = None


def read_held_out(source: SampleSource, *, count: int, among: int | None = None) -> tuple[list[Sample], list[str]]:
    """The first `count` pictures that can be used, and the errors of those before them that cannot.

    among: the most pictures to try; None for all.
    """
    found: list[Sample] = []
    left_out: list[str] = []
    indices = islice(itertools.count() if source.length is None else range(source.length), among)
    while len(found) < count and (index := next(indices, None)) is not None:
        try:
            found.append(source.read(index))
        except InputError as error:
            left_out.append(error.message)
    return found, left_out


def run_training(run: Run, *, resume: bool, report: Callable[[Event], None]) -> RunEnd:
    """Train to the last step, or until a signal; either way everything is saved.

    Raises UsageError where the folder is in use or its run was another, StoppedError where the loss or the disk fails,
    GlpnError where not one picture can be used.
    """
    state = run.folder.open(run.settings, resume=resume)
    run.ranks.wait()  # the first process writes nothing there before all have read it
    trainer = Trainer(
        run.initial,
        run.config,
        run.source,
        ranks=run.ranks,
        device=run.device,
        workers=run.workers,
        settings=run.settings,
    )
    if state is not None:
        trainer.resume(state)
    is_whole = state is None or run.folder.is_saved_whole()
    if run.ranks.is_first:
        run.folder.cut_history(trainer.step, validated=is_whole and state is not None)
    with _stopping_by_signal(trainer) as heard:
        try:
            for event in _steps(run, trainer, is_saved=is_whole):
                report(event)
                if run.ranks.is_first:
                    run.folder.add_history([event.to_line()])
        finally:
            trainer.feed.close()
    ended_by = heard[0] if heard else signal.SIGTERM  # of another process
    return RunEnd(trainer.step, trainer.skipped, trainer.dropped, ended_by if trainer.step < run.config.steps else None)


def _steps(run: Run, trainer: Trainer, *, is_saved: bool) -> Iterator[Event]:
    """Take the steps; report, save and validate when it is time. First finish the save that a stopped run began.

    A run from its beginning first reports the score of the initial weights, which training has to beat.
    """
    if run.ranks.is_first:
        if not is_saved:
            yield from _write_model(run, trainer)
        if trainer.step == 0:
            yield from _validate(run, trainer, run.config.phases[-1].size)
    run.ranks.wait()
    reports: list[StepReport] = []
    since = time.perf_counter()
    stretch = max(1, run.config.every // 10)
    for report in trainer.run():
        reports.append(report)
        if report.skipped:
            yield Skipped(report.step, report.skipped)
        if trainer.skipped == trainer.position >= min(_HOPELESS, run.source.length or _HOPELESS):
            seen = min(trainer.position, run.source.length or trainer.position)
            raise GlpnError(
                f"none of the first {seen} pictures can be used",
                hint="The warnings before this say what is wrong with each: mend that, and go on with --resume.",
                code=ErrorCode.DATA,
            )
        is_over = trainer.is_stopping or report.step == run.config.steps
        if report.step % stretch == 0 or is_over:
            yield _progress(trainer, reports, seconds=time.perf_counter() - since)
            reports = []
            since = time.perf_counter()
        if report.step % run.config.every == 0 or is_over:
            if run.ranks.is_first:  # the state first: validation may take long, and a signal may come
                trainer.state().save(run.folder.path)
                yield from _write_model(run, trainer)
            run.ranks.wait()
            since = time.perf_counter()


def _progress(trainer: Trainer, reports: Sequence[StepReport], *, seconds: float) -> Progress:
    """A stretch of steps; steps that were dropped count for its losses only where there are no others."""
    good = [report.losses for report in reports if not report.is_dropped] or [report.losses for report in reports]
    means = Losses(*(sum(values) / len(good) for values in zip(*good, strict=True)))
    return Progress(
        step=reports[-1].step,
        steps=trainer.config.steps,
        pictures=trainer.position,
        **means._asdict(),
        rate=reports[-1].rate,
        pictures_per_s=sum(report.pictures for report in reports) / max(seconds, 1e-9),
        skipped=trainer.skipped,
        dropped=trainer.dropped,
    )


def _write_model(run: Run, trainer: Trainer) -> Iterator[Event]:
    """Write the present weights, validate them, and write the card last, which completes the save."""
    size = run.config.phase_at(trainer.step - 1).size
    with trainer.average.lent_to(trainer.network) if trainer.average is not None else nullcontext():
        EncodedFolder.of(
            config=run.initial.trained_config(size),
            state=file_state(trainer.network.state_dict(), run.initial.config.weight_rows()),
            preprocessor=run.initial.config.preprocessor(),
        ).write(run.folder.path)
        yield from _validate(run, trainer, size)
    card = make_card(
        config=run.config,
        start=run.initial.origin,
        data=run.source.name,
        limit_m=run.initial.limit_m,
        command=run.command,
        history=run.folder.read_history(),
    )
    write_atomically(run.folder.path / CARD_FILE, card.encode())


def _validate(run: Run, trainer: Trainer, size: tuple[int, int]) -> Iterator[Event]:
    predict = partial(
        predict_samples,
        trainer.network,
        size=size,
        focal_px=run.initial.camera.focal_at(size),
        limit_m=run.initial.limit_m,
        precision=run.config.precision,
    )
    scores = score_samples(predict(run.held_out), limit_m=run.initial.limit_m)
    if scores is None:
        return
    previews = run.folder.path / PREVIEWS_FOLDER
    write_atomically(previews / f"step_{trainer.step:07d}.png", draw_preview(predict(run.held_out[:_PREVIEWED])))
    yield Validation(trainer.step, trainer.position, size, *scores)


@contextmanager
def _stopping_by_signal(trainer: Trainer) -> Iterator[list[int]]:
    """Inside, a polite signal ends the run after a step, with everything saved; a second one ends it at once."""
    heard: list[int] = []
    before: dict[int, Any] = {}

    def hear(number: int, _frame: FrameType | None) -> None:
        if heard:
            signal.signal(number, before[number])
            signal.raise_signal(number)
        heard.append(number)
        trainer.is_asked_to_stop = True

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            try:
                before[number] = signal.signal(number, hear)
            except ValueError:  # not the main thread: whoever called us hears the signals
                break
    try:
        yield heard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
