"""A run from its first step to its last, or from where it was stopped: trains, validates, saves, tells."""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from types import FrameType
from typing import Any

from glpn_cli.atomic_write import write_atomically
from glpn_cli.checkpoint import CARD_FILE, write_checkpoint
from glpn_cli.data.samples import Sample, SampleSource
from glpn_cli.errors import ErrorCode, GlpnError, InputError
from glpn_cli.models.glpn.processor import GLPNImageProcessor
from glpn_cli.models.state_dict import file_state
from glpn_cli.training.card import make_card
from glpn_cli.training.config import TrainingConfig
from glpn_cli.training.events import Event, Skipped, Validated, Window
from glpn_cli.training.folder import PREVIEWS_FOLDER, RunFolder
from glpn_cli.training.loop import Trainer
from glpn_cli.training.previews import draw_preview
from glpn_cli.training.ranks import Ranks
from glpn_cli.training.starts import Start
from glpn_cli.training.validation import answer, validate

_PREVIEWED = 4
_HOPELESS = 200
"""After this many pictures, not one of which could be used, a run gives up."""


@dataclass(frozen=True, eq=False)
class Run:
    """Everything that a run is made of.

    held_out: pictures to validate on; none for none.
    command:  what the user typed, for the card.
    """

    start: Start
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
        """What must be the same for a run to be gone on with."""
        return {
            "training": self.config.to_dict(),
            "data": self.source.name,
            "start": self.start.words,
            "limit_m": self.start.limit_m,
            "processes": self.ranks.world,
            "pictures": self.source.length,
            "model": self.start.config.to_dict(),
        }


@dataclass(frozen=True)
class RunEnd:
    """How a run ended: after how many steps, by which signal if by one, and what it left out."""

    step: int
    skipped: int
    dropped: int
    signal: int | None = None


def read_held_out(source: SampleSource, *, count: int, among: int | None = None) -> tuple[list[Sample], list[str]]:
    """The first `count` pictures that can be used, and what is wrong with those that had to be passed over.

    among: how many are looked at, at most; None for all that there are.
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


def run_training(run: Run, *, resume: bool, tell: Callable[[Event], None]) -> RunEnd:
    """Train until the last step, or until a signal asks to stop; either way everything is saved.

    Raises UsageError where the folder is in use or its run was another, StoppedError where the loss or the disk fails,
    GlpnError where not one picture can be used.
    """
    state = run.folder.open(run.settings, resume=resume)
    run.ranks.wait()  # until all have looked at the folder, the first writes nothing there
    trainer = Trainer(
        run.start.network,
        run.config,
        run.source,
        loss=run.start.config.loss(),
        limit_m=run.start.limit_m,
        lens=run.start.lens,
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
                tell(event)
                if run.ranks.is_first:
                    run.folder.add_history([event.to_line()])
        finally:
            trainer.feed.close()
    ended_by = heard[0] if heard else signal.SIGTERM  # it was another process of the run that was asked
    return RunEnd(trainer.step, trainer.skipped, trainer.dropped, ended_by if trainer.step < run.config.steps else None)


def _steps(run: Run, trainer: Trainer, *, is_saved: bool) -> Iterator[Event]:
    """Take the steps, and tell, save and validate when it is time; first what a stopped run did not come to.

    A run from its beginning first tells how good it is before it has learned anything: what fine-tuning has to beat.
    """
    if run.ranks.is_first:
        if not is_saved:
            yield from _write_model(run, trainer)
        if trainer.step == 0:
            yield from _validate(run, trainer, run.config.phases[-1].size)
    run.ranks.wait()
    window, since = Window(), time.perf_counter()
    telling = max(1, run.config.every // 10)
    for report in trainer.run():
        window.add(report)
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
        if report.step % telling == 0 or is_over:
            yield window.close(
                steps=run.config.steps,
                pictures=trainer.position,
                skipped=trainer.skipped,
                dropped=trainer.dropped,
                seconds=time.perf_counter() - since,
            )
            since = time.perf_counter()
        if report.step % run.config.every == 0 or is_over:
            yield from _save_and_validate(run, trainer)
            since = time.perf_counter()


def _save_and_validate(run: Run, trainer: Trainer) -> Iterator[Event]:
    """Save first: what comes after may take long, and a signal may come."""
    if run.ranks.is_first:
        run.folder.path.mkdir(parents=True, exist_ok=True)
        trainer.state().save(run.folder.path)
        yield from _write_model(run, trainer)
    run.ranks.wait()


def _write_model(run: Run, trainer: Trainer) -> Iterator[Event]:
    """The weights as they are now, how good they are, and last the card: with it, a save is whole."""
    size = run.config.phase_at(trainer.step - 1).size
    with trainer.average.lent_to(trainer.network) if trainer.average is not None else nullcontext():
        write_checkpoint(
            run.folder.path,
            config=run.start.written_config(size),
            state=file_state(trainer.network.state_dict(), run.start.config.weight_rows()),
            preprocessor=GLPNImageProcessor().to_dict(),
        )
        yield from _validate(run, trainer, size)
    write_atomically(run.folder.path / CARD_FILE, _card(run).encode())


def _validate(run: Run, trainer: Trainer, size: tuple[int, int]) -> Iterator[Event]:
    ask = partial(
        answer,
        trainer.network,
        size=size,
        focal_px=run.start.lens.at(size),
        limit_m=run.start.limit_m,
        precision=run.config.precision,
    )
    result = validate(ask(run.held_out), limit_m=run.start.limit_m)
    if result is None:
        return
    previews = run.folder.path / PREVIEWS_FOLDER
    write_atomically(previews / f"step_{trainer.step:07d}.png", draw_preview(ask(run.held_out[:_PREVIEWED])))
    yield Validated(trainer.step, trainer.position, size, result)


def _card(run: Run) -> str:
    history: Sequence[Mapping[str, Any]] = run.folder.read_history()
    return make_card(
        config=run.config,
        start=run.start.words,
        data=run.source.name,
        limit_m=run.start.limit_m,
        command=run.command,
        history=history,
    )


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
