"""The service behind the server: pictures go through the engine of `predict` as a run that never ends.

A request is a task whose files are sent instead of written. No path or address of a client is ever opened: its bytes
are the picture, and its name is a label.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from typing import Any

from glpn_cli.depth_files import FORMATS, make_writer
from glpn_cli.errors import ErrorCode, InputError, StoppedError, UsageError
from glpn_cli.images import AtLeast, ImageSource, Picture, ReadOptions
from glpn_cli.pipeline.engine import Engine, Job
from glpn_cli.pipeline.outputs import Target
from glpn_cli.pipeline.plan import Task, make_outcome
from glpn_cli.pipeline.report import Outcome, RunEnd, Status
from glpn_cli.pipeline.settings import ModelSettings, OutputSettings
from glpn_cli.pipeline.sources import Content, identify
from glpn_cli.pipeline.stages import LARGEST_BATCH, Stages
from glpn_cli.predictor import DepthEstimator

UNNAMED = "picture"
"""The name of a picture that came without one."""

_LONGEST_NAME = 200
_JPEG = b"\xff\xd8\xff"  # holds greys of 8 bits at most


@dataclass(frozen=True)
class _Upload(ImageSource):
    """A picture that came over the network. Depth maps among them are refused, by a look in an isolated process.

    is_picture: the client said that greys of more than 8 bits are a picture
    """

    is_picture: bool = False

    def read(self, *, at_least: AtLeast | None = None) -> Picture:
        """The picture. Raises InputError."""
        assert self.data is not None
        if not self.data.startswith(_JPEG) and not self.is_picture:
            content, _ = self.options.run(identify, self.data, about="the picture")
            if content is Content.AMBIGUOUS:
                raise InputError(
                    "the picture holds greys of more than 8 bits and does not say what they are: depth, or a picture",
                    hint="Say as=picture if it is one.",
                    code=ErrorCode.AMBIGUOUS,
                )
            if content not in (Content.PICTURE, Content.CLIP):  # of which the decoder tells
                raise InputError(f"this is a map of {content.value}, not a picture", code=ErrorCode.UNSUPPORTED)
        return ImageSource.read(self, at_least=at_least)

    @property
    def label(self) -> str:
        """Its name in messages."""
        return "the picture"


@dataclass(frozen=True, eq=False)
class _Request(Task):
    """A task, and the future of its outcome, which is cancelled where the client is gone."""

    answer: Future[Outcome] = field(default_factory=Future)


class DepthService:
    """One open model that answers requests, a few at a time, each as `predict` would.

    reading: how pictures are decoded; its workers are isolated processes
    queue:   requests that may wait or be worked on; further ones are refused
    workers: threads that hand pictures to the decoding processes, and as many that encode
    """

    def __init__(self, model: ModelSettings, reading: ReadOptions, *, queue: int, workers: int) -> None:
        inference = model.inference
        self.estimator = DepthEstimator(inference, device=model.device, threads=model.threads)
        self.queue = queue
        self.ended: RunEnd | None = None
        self._reading = reading
        self._requests: SimpleQueue[_Request | None] = SimpleQueue()
        self._waiting: dict[int, _Request] = {}
        self._lock = Lock()
        self._is_closing = Event()
        # On a CPU each picture goes alone: together they are no quicker, and the first waits for the last.
        pictures = None if self.estimator.device == "cpu" else LARGEST_BATCH
        stages = Stages(model, OutputSettings(), pictures=pictures, estimator=self.estimator)
        self._engine = Engine(stages, self._tell, workers=workers, is_stream=True)
        self._writers = {name: self._make_writer(name) for name in FORMATS}
        self._thread = Thread(target=self._run, name="service", daemon=True)
        self._thread.start()

    @property
    def load(self) -> int:
        """Requests that wait or are worked on."""
        return len(self._waiting)

    @property
    def is_ready(self) -> bool:
        """Whether it takes requests at all."""
        return self.ended is None and not self._is_closing.is_set()

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats that hold what the model answers."""
        return tuple(name for name, writer in self._writers.items() if writer is not None)

    def media_type(self, format: str) -> str:  # noqa: A002 - the word of the command line
        """The media type of a format's files."""
        known = {".png": "image/png", ".tiff": "image/tiff", ".exr": "image/x-exr"}
        return known.get(FORMATS[format].extension, "application/octet-stream")

    def submit(self, data: bytes, *, name: str, format: str | None, is_picture: bool = False) -> Future[Outcome] | None:  # noqa: A002
        """Have a picture predicted; None where the queue is full.

        The outcome's `stdout` is the file in the format asked for, if one is. Raises UsageError for a format that there
        is not, or that cannot hold what the model answers; StoppedError where the service has ended.
        """
        targets: tuple[Target, ...] = ()
        if format is not None:
            writer = self._writers.get(format)
            if writer is None:
                known = ", ".join(self.formats)
                raise UsageError(f"format {format[:40]!r} is not served", hint=f"Choose from {known}.")
            targets = (Target(None, writer, self.estimator.recipe.kind),)
        label = clean_name(name)
        request = _Request(_Upload(None, label, label, data, self._reading, is_picture=is_picture), targets)
        with self._lock:
            if not self.is_ready:
                raise self._gone()
            if len(self._waiting) >= self.queue:
                return None
            self._waiting[id(request)] = request
        self._requests.put(request)
        return request.answer

    def close(self) -> None:
        """Answer what was taken, and end."""
        self._is_closing.set()
        self._requests.put(None)
        self._thread.join()
        if self._reading.workers is not None:
            self._reading.workers.close()

    def _make_writer(self, name: str) -> Any:
        recipe = self.estimator.recipe
        try:
            return make_writer(name, kind=recipe.kind, limit_m=recipe.limit_m)
        except UsageError:
            return None

    def _tasks(self) -> Iterator[_Request]:
        """Requests as they come, without those whose clients are gone."""
        while (request := self._requests.get()) is not None:
            if request.answer.set_running_or_notify_cancel():
                yield request
            else:
                self._forget(request)

    def _tell(self, job: Job) -> bool:
        request = job.task
        self._forget(request)
        outcome = job.outcome or make_outcome(request.source, Status.ERROR, error=job.error)
        request.answer.set_result(replace(outcome, seconds=job.seconds))
        return True

    def _forget(self, request: _Request) -> None:
        with self._lock:
            self._waiting.pop(id(request), None)

    def _run(self) -> None:
        ended = RunEnd()
        try:
            ended = self._engine.run(self._tasks())
        except BaseException as error:  # noqa: BLE001 - told to every client, and by the state of the service
            stopped = StoppedError(f"the service ended: {type(error).__name__}: {error}", code=ErrorCode.INTERNAL)
            stopped.__cause__ = error
            ended = RunEnd(stopped=stopped)
        with self._lock:
            self.ended = ended
            left, self._waiting = list(self._waiting.values()), {}
        while True:  # pictures of clients that are still there must not lie in the queue
            try:
                self._requests.get_nowait()
            except Empty:
                break
        for request in left:
            if request.answer.cancelled() or request.answer.done():
                continue
            request.answer.set_exception(self._gone())

    def _gone(self) -> StoppedError:
        if self.ended is not None and self.ended.stopped is not None:
            return self.ended.stopped
        return StoppedError("the server is going down", hint="Send it again in a moment.")


def clean_name(name: str) -> str:
    """A client's name for a picture as a label: the last part of its path, printable, not too long."""
    last = PurePosixPath(re.sub(r"[\x00-\x1f\x7f]", "", name).replace("\\", "/")).name
    return last.encode("utf-8", "replace").decode()[-_LONGEST_NAME:] or UNNAMED
