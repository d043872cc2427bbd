"""Many pictures of a program through the engine: an iterator that is ordered, bounded, and leaves nothing running."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from queue import SimpleQueue
from threading import Event, Semaphore, Thread
from typing import TYPE_CHECKING, Literal

from glpn_cli.devices import cores
from glpn_cli.errors import GlpnError, StoppedError, UsageError
from glpn_cli.images.given import GivenSource
from glpn_cli.pipeline.engine import Engine, Job
from glpn_cli.pipeline.plan import Task
from glpn_cli.pipeline.settings import ModelSettings, OutputSettings, RunSettings
from glpn_cli.pipeline.stages import LARGEST_BATCH, Stages
from glpn_cli.prediction import DepthMap, PredictedDepth, Result

if TYPE_CHECKING:
    from glpn_cli.predictor import DepthEstimator

_Told = PredictedDepth | GlpnError | BaseException | None


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
    return _iterate(estimator, sources, pace, is_raising=on_error == "raise")


def _iterate(
    estimator: DepthEstimator, sources: Iterable[GivenSource], pace: RunSettings, *, is_raising: bool
) -> Iterator[PredictedDepth | GlpnError]:
    # As many may be under way, or done and not taken yet, as fill two batches and all threads twice.
    places = Semaphore(2 * (max(pace.batch_size or LARGEST_BATCH, 1) + pace.threads + cores()))
    is_closed = Event()
    told: SimpleQueue[_Told] = SimpleQueue()
    results: dict[object, Result] = {}

    def tasks() -> Iterator[Task]:
        for source in sources:
            places.acquire()
            if is_closed.is_set():
                return
            yield Task(source, ())

    def tell(job: Job) -> bool:
        result = results.pop(job.task.source, None)
        told.put(job.error if result is None else _depth_of(result))
        return not is_closed.is_set()

    stages = Stages(
        ModelSettings(estimator.recipe, estimator.device),
        OutputSettings(),
        pictures=None if estimator.device == "cpu" else LARGEST_BATCH,
        estimator=estimator,
    )
    stages.watch = lambda result, _: results.update({result.source: result})
    engine = Engine(stages, tell, workers=pace.threads, batch_size=pace.batch_size, is_stream=True, in_order=True)

    def run() -> None:
        try:
            told.put(engine.run(tasks()).stopped)
        except BaseException as error:  # noqa: BLE001 - it is raised in the thread that asks
            told.put(error)

    thread = Thread(target=run, name="predict_many", daemon=True)
    thread.start()
    try:
        while (one := told.get()) is not None:
            if isinstance(one, BaseException) and (is_raising or not _is_of_one(one)):
                raise one
            places.release()
            yield one  # type: ignore[misc]  # what is no GlpnError was raised
    finally:
        is_closed.set()
        places.release()
        thread.join()


def _is_of_one(error: BaseException) -> bool:
    """Whether an error is one picture's; others end everything."""
    return isinstance(error, GlpnError) and not isinstance(error, StoppedError)


def _depth_of(result: Result) -> PredictedDepth:
    depth = result.prediction
    assert isinstance(depth, DepthMap)
    return PredictedDepth(depth.values, depth.kind, depth.valid, depth.limit, result)
