"""Depth in people's own Ray Data pipelines.

import ray
from glpn_cli.ray import Predictor

pictures = ray.data.read_binary_files("photos", include_paths=True)
depth = pictures.map_batches(Predictor, fn_constructor_kwargs={"model": "nyu"}, batch_size=16, concurrency=4)
depth.write_parquet("depth")
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from glpn_cli.depth_files import make_writer
from glpn_cli.devices import cores
from glpn_cli.distributed.tables import make_table, record_schema
from glpn_cli.errors import StoppedError, UsageError
from glpn_cli.images import ImageSource, ReadOptions
from glpn_cli.models.registry import DEFAULT_MODEL
from glpn_cli.options import MAX_PIXELS
from glpn_cli.pipeline.engine import Engine, Job
from glpn_cli.pipeline.outputs import Target
from glpn_cli.pipeline.plan import Task, make_outcome
from glpn_cli.pipeline.report import Status
from glpn_cli.pipeline.settings import ModelSettings, OutputSettings, limit_decoding
from glpn_cli.pipeline.stages import LARGEST_BATCH, Stages
from glpn_cli.predictor import DepthEstimator

_UNNAMED = "picture"


class Predictor:
    """A class for `map_batches`: opens a model once in each actor, and takes batches of pictures.

    In:  rows with `bytes` (a picture's file) or `path`; with `bytes`, `path` is only the name. Other columns pass.
    Out: the same rows in their order, without `bytes`; the columns of the record of `predict --json` in `record`; and
         `data`, the file in the format asked for, as binary. A picture that cannot be used, or that crashes its
         decoder, is a row whose record has `status` error and whose `data` is null: it raises nothing, so that no
         block is lost.

    model, and the other settings of a model: as of `DepthEstimator.from_pretrained`
    format:     png16 (metric models), npy, tiff, ...: see `glpn predict --format`
    timeout_s:  how long a picture may take to decode, in an isolated process
    max_pixels: refuse pictures with more
    threads:    of the network; None: all cores of the machine, which Ray does not count for you

    Raises UsageError for settings that make no sense, ModelError for a model that is missing or damaged, StoppedError
    where the device or the memory fails.
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        format: str = "png16",  # noqa: A002 - the word of the command line
        timeout_s: float = 60.0,
        max_pixels: int = MAX_PIXELS,
        threads: int | None = None,
        **settings: Any,
    ) -> None:
        self._threads = threads or cores()
        estimator = DepthEstimator.from_pretrained(model, threads=self._threads, **settings)
        recipe = estimator.recipe
        writer = make_writer(format, kind=recipe.kind, limit_m=recipe.limit_m)
        self._targets = (Target(None, writer, recipe.kind),)
        self._workers = limit_decoding(self._threads, timeout_s=timeout_s, max_pixels=max_pixels)
        self._reading = ReadOptions(max_pixels, workers=self._workers)
        pictures = LARGEST_BATCH if estimator.device != "cpu" else None
        chosen = ModelSettings(recipe, estimator.device, self._threads)
        self._stages = Stages(chosen, OutputSettings(), pictures=pictures, estimator=estimator)
        self._schema = record_schema()

    def __call__(self, batch: Mapping[str, Any]) -> Any:
        """The rows of a batch with their depth, as an Arrow table."""
        if {"bytes", "path"}.isdisjoint(batch):
            raise UsageError(f"the rows have neither path nor bytes, but {', '.join(batch)}")
        jobs: list[Job] = []

        def tell(job: Job) -> bool:
            jobs.append(job)
            return True

        engine = Engine(self._stages, tell, workers=min(self._threads, 8), in_order=True)
        ended = engine.run(Task(source, self._targets) for source in self._sources(batch))
        if ended.stopped is not None:
            raise StoppedError(ended.stopped.message, hint=ended.stopped.hint, code=ended.stopped.code)
        if ended.interrupt is not None:
            raise ended.interrupt
        records, data = [], []
        for job in jobs:
            outcome = job.outcome or make_outcome(job.task.source, Status.ERROR, error=job.error)
            data.append(outcome.stdout)
            records.append(replace(outcome, seconds=job.seconds).to_record())
        columns = {name: pa.array(values) for name, values in batch.items() if name not in ("bytes", "record", "data")}
        record = make_table(records, self._schema).to_struct_array().combine_chunks()
        return pa.table({**columns, "record": record, "data": pa.array(data, pa.binary())})

    def close(self) -> None:
        """End the decoding processes, which otherwise end with this one."""
        self._workers.close()

    def _sources(self, batch: Mapping[str, Any]) -> Iterator[ImageSource]:
        names = [os.fsdecode(name) for name in batch["path"]] if "path" in batch else None
        if "bytes" not in batch:
            for name in names or ():
                yield ImageSource(Path(name), name, name, options=self._reading)
            return
        for index, data in enumerate(batch["bytes"]):
            name = _UNNAMED if names is None else names[index]
            yield ImageSource(None, name, name, bytes(data), self._reading)
