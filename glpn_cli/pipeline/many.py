"""The results of many pictures that a program gives: an iterator in order, in bounded memory, that cleans up."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from queue import SimpleQueue
from threading import Event, Semaphore, Thread
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from glpn_cli.devices import cores
from glpn_cli.errors import GlpnError, UsageError
from glpn_cli.images import ImageSource
from glpn_cli.images.given import GivenSource
from glpn_cli.pipeline.engine import Engine, Job
from glpn_cli.pipeline.plan import Task
from glpn_cli.pipeline.settings import ModelSettings, OutputSettings, RunSettings
from glpn_cli.pipeline.stages import LARGEST_BATCH, Stages
from glpn_cli.prediction import PredictedDepth, Result

if TYPE_CHECKING:
    from glpn_cli.predictor import DepthEstimator

S = TypeVar("S", bound="ImageSource | GivenSource")


def predict_many(
    estimator: DepthEstimator,
    sources: Iterable[GivenSource],
    *,
    batch_size: int | Literal["auto"] = "auto",
    workers: int | None = None,
    on_error: Literal["raise", "return"] = "raise",
) -> Iterator[PredictedDepth | GlpnError]:
    """The depth map of every source, in their order; see `DepthEstimator.predict_many`."""
    _ = estimator.recipe.kind  # raises for a model that predicts labels
    for name, value in (("batch_size", batch_size), ("workers", workers)):
        if value not in ("auto", None) and not (isinstance(value, int) and value >= 1):
            raise UsageError(f"{name}={value!r} is no number from 1 up")
    if on_error not in ("raise", "return"):
        raise UsageError(f"on_error={on_error!r} is unknown", hint="Choose raise or return.")
    pace = RunSettings(workers=workers, batch_size=None if batch_size == "auto" else batch_size)
    stages = Stages(
        ModelSettings(estimator.recipe, estimator.device),
        OutputSettings(),
        pictures=None if estimator.device == "cpu" else LARGEST_BATCH,
        estimator=estimator,
    )
    return _take_depths(iterate_results(stages, sources, pace), is_raising=on_error == "raise")


def _take_depths(
    results: Generator[tuple[Any, Result | GlpnError]], *, is_raising: bool
) -> Iterator[PredictedDepth | GlpnError]:
    with closing(results):
        for _, one in results:
            if is_raising and isinstance(one, GlpnError):
                raise one
            yield one if isinstance(one, GlpnError) else PredictedDepth.of(one)


def iterate_results(
    stages: Stages, sources: Iterable[S], pace: RunSettings, *, ahead: int | None = None
) -> Generator[tuple[S, Result | GlpnError]]:
    """Every source with its result or its error, in their order, as soon as it is there; closed, it leaves no thread.

    sources: pictures, compared by identity; read in another thread, which waits for the next one even when closed
    ahead:   how many may be under way, or done and not taken yet; None: as fill two batches and all threads twice

    Raises StoppedError, and whatever the iterable itself raises.
    """
    places = Semaphore(ahead or 2 * (max(pace.batch_size or LARGEST_BATCH, 1) + pace.threads + cores()))
    is_closed = Event()
    told: SimpleQueue[tuple[S, Result | GlpnError] | BaseException | None] = SimpleQueue()
    results: dict[object, Result] = {}

    def tasks() -> Iterator[Task]:
        for source in sources:
            places.acquire()
            if is_closed.is_set():
                return
            yield Task(source, ())

    def tell(job: Job) -> bool:
        source = job.task.source
        one = results.pop(source, None) or job.error
        assert one is not None
        told.put((source, one))
        return not is_closed.is_set()

    stages.watch = lambda result, _: results.update({result.source: result})
    engine = Engine(stages, tell, workers=pace.threads, batch_size=pace.batch_size, is_stream=True, in_order=True)

    def run() -> None:
        try:
            told.put(engine.run(tasks()).stopped)
        except BaseException as error:  # noqa: BLE001 - it is raised in the thread that asks
            told.put(error)

    thread = Thread(target=run, name="iterate_results", daemon=True)
    thread.start()
    try:
        while (one := told.get()) is not None:
            if isinstance(one, BaseException):
                raise one
            places.release()
            yield one
    finally:
        is_closed.set()
        engine.stop()
        places.release()
        thread.join()
        stages.watch = None
