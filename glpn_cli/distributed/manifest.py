"""Runs over lists of any length: names are read from their file as they are needed, and planned where they are done.

The file is read twice. The first time finds what makes no sense as a whole: two inputs for one output, an output that
is an input, a name outside the root. It keeps 16 bytes of each name, so that ten million take 160 MB.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from glpn_cli.errors import UsageError
from glpn_cli.images import ImageSource
from glpn_cli.pipeline.outputs import OutputRules, choose_outputs
from glpn_cli.pipeline.plan import Task
from glpn_cli.pipeline.plan_stream import StreamPlanner
from glpn_cli.pipeline.report import Outcome
from glpn_cli.pipeline.run import MakeEngine, StreamRun
from glpn_cli.pipeline.search import read_lists
from glpn_cli.pipeline.settings import InputSettings, ModelSettings, OutputSettings, RunSettings
from glpn_cli.pipeline.sources import Sources
from glpn_cli.pipeline.stages import Stages

_MOST_SHOWN = 3
_PIECE = 1 << 16


def plan_manifest(
    inputs: InputSettings,
    outputs: OutputSettings,
    model: ModelSettings,
    settings: RunSettings,
    *,
    make_engine: MakeEngine,
) -> StreamRun:
    """A run over the files that lists name, of which no more than a few hundred are in memory at any time.

    Raises UsageError where it makes no sense.
    """
    sources = Sources(inputs, takes_maps=False)
    rules = choose_outputs(sources, model, outputs)
    manifest = _Manifest(inputs, rules, StreamPlanner(sources, rules))
    manifest.survey()
    if not manifest.count and not inputs.allow_empty and inputs.shard is None:
        raise UsageError("the lists name nothing", hint="Add --allow-empty to make this no error.")
    repeated = len(manifest.repeated)
    return StreamRun(
        manifest.plan,
        Stages(model, outputs, pictures=manifest.count),
        settings,
        partial(make_engine, planner=manifest.planner),
        manifest.count,
        [f"{repeated} names are there several times; each file is read once"] if repeated else [],
    )


@dataclass
class _Manifest:
    """The names in lists.

    count:    different names
    repeated: names that come again, which are taken once
    """

    inputs: InputSettings
    rules: OutputRules
    planner: StreamPlanner
    count: int = 0
    repeated: set[str] = field(default_factory=set)

    def plan(self, *, is_dry: bool) -> Iterator[Task | Outcome]:
        """The files, each once: planned here, or as tasks that are planned where they are done."""
        for source in self._sources():
            yield self.planner.plan_alone(source) if is_dry else Task(source, ())

    def _sources(self) -> Iterator[ImageSource]:
        seen = set()
        for source in read_lists(self.inputs):
            if source.given in self.repeated:
                if source.given in seen:
                    continue
                seen.add(source.given)
            yield source

    def survey(self) -> None:
        """Count the names. Raises UsageError for two inputs of one output, and for outputs that are inputs."""
        named, made = array("q"), array("q")
        for source in read_lists(self.inputs):
            named.append(hash(self._fold(source.given)))
            made.extend(map(hash, self._outputs(source)))
        self.count = len(named)
        hashes = np.frombuffer(made, np.int64)
        hashes.sort()
        twice = set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())
        overwritten = _find_common(hashes, np.frombuffer(named, np.int64))
        if twice or overwritten:
            self._judge(twice, overwritten)

    def _judge(self, twice: set[int], overwritten: set[int]) -> None:
        """Compare the names whose hashes are equal, which may be by chance."""
        first: dict[str, str] = {}
        given: set[str] = set()
        written: set[str] = set()
        pairs: list[str] = []
        for source in read_lists(self.inputs):
            name = self._fold(source.given)
            if hash(name) in overwritten:
                given.add(name)
            for path in self._outputs(source):
                if hash(path) in overwritten:
                    written.add(path)
                if hash(path) in twice and (other := first.setdefault(path, source.given)) != source.given:
                    pairs.append(f"{other!r} and {source.given!r} -> {path!r}")
        if pairs:
            more = f", and {len(pairs) - _MOST_SHOWN} more" if len(pairs) > _MOST_SHOWN else ""
            raise UsageError(
                f"several results would be the same file: {'; '.join(pairs[:_MOST_SHOWN])}{more}",
                hint="Keep their folders with --root DIR, or tell them apart with --name '{name}_{map}'.",
            )
        if both := sorted(given & written):
            raise UsageError(f"output {both[0]!r} is one of the inputs", hint="Choose another folder with -o.")
        self._count_repeated(set(first.values()))

    def _count_repeated(self, candidates: set[str]) -> None:
        seen: set[str] = set()
        for source in read_lists(self.inputs):
            if source.given in candidates:
                self.count -= source.given in seen
                (self.repeated if source.given in seen else seen).add(source.given)

    def _outputs(self, source: ImageSource) -> list[str]:
        return [self._fold(target.path) for target in self.rules.targets(source) if target.path is not None]

    def _fold(self, path: str) -> str:
        return self.planner.fold(os.path.abspath(path))  # noqa: PTH100 - as text: there may be ten million


def _find_common(hashes: NDArray[np.int64], others: NDArray[np.int64]) -> set[int]:
    """The values of sorted hashes that are among others, too; a piece at a time, which bounds the memory."""
    common: set[int] = set()
    for start in range(0, len(others) if len(hashes) else 0, _PIECE):
        piece = others[start : start + _PIECE]
        nearest = hashes[np.minimum(np.searchsorted(hashes, piece), len(hashes) - 1)]
        common.update(piece[nearest == piece].tolist())
    return common
