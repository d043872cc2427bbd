"""What `export` puts through the engine: pictures or stored depth maps in, coloured pictures out.

A stored map needs no network, so a run over depth files alone never loads one. A range over the whole batch takes two
passes: one that only looks how the depths are spread, one that paints. For pictures the network runs in both; keeping
every map in between would take memory or disk without bound, and whoever wants to pay once can `predict` first.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

from glpn_cli.colormaps import DepthHistogram, merge_ranges
from glpn_cli.depth_files import Cloud, Look, Record, Writer, make_writer
from glpn_cli.depth_files.calibration import Calibration
from glpn_cli.errors import UsageError
from glpn_cli.geometry import FocalChoice
from glpn_cli.images import Found, ImageSource, Picture
from glpn_cli.models.settings import Recipe
from glpn_cli.pipeline.answers import Answer, ask, calibrate_answer, odd_depth
from glpn_cli.pipeline.doubting import prepare_uncertainty
from glpn_cli.pipeline.engine import Ended, Engine
from glpn_cli.pipeline.exhibiting import exhibit_depth, run_with_page
from glpn_cli.pipeline.export_inputs import (
    EXTENSIONS,
    Content,
    ExportInputs,
    ExportSource,
    check_is_exported,
    refuse_for_pictures,
)
from glpn_cli.pipeline.gallery import check_page
from glpn_cli.pipeline.jobs import Job
from glpn_cli.pipeline.labelling import prepare_labels, prepare_stored_labels
from glpn_cli.pipeline.naming import Destination, NameTemplate, choose_formats
from glpn_cli.pipeline.network import Network
from glpn_cli.pipeline.outcome import Outcome
from glpn_cli.pipeline.outputs import check_used
from glpn_cli.pipeline.plan import Plan, make_plan
from glpn_cli.pipeline.running import PlannedRun, Run, Written, run_plan, write_result
from glpn_cli.pipeline.settings import InputSettings, ModelSettings, OutputSettings, RunSettings
from glpn_cli.pipeline.stages import Width
from glpn_cli.pipeline.stored import DepthSource, tell_apart
from glpn_cli.pipeline.streaming import StreamRun, read_stream
from glpn_cli.pipeline.tasks import OutputRules, Task
from glpn_cli.prediction import DepthKind, Provenance, Result

if TYPE_CHECKING:
    from glpn_cli.predictor import DepthEstimator

FORMATS = ("color", "gray", "gray16", "ply", "png16", "npy", "npz", "tiff", "pfm", "exr")

ExportTask = Task[ExportSource]

_OF_PAGES = ("--colormap", "--range", "--invert")
"""The options that a page of `--html` looks at."""


def export_rules(
    sources: Sequence[ExportSource] | None,
    recipe: Recipe | None,
    choice: OutputSettings,
    look: Look,
    *,
    has_page: bool = False,
) -> OutputRules[ExportSource]:
    """What becomes of pictures and maps. Raises UsageError for formats and looks that make no sense.

    sources:  None where they come one by one
    recipe:   what pictures are predicted with; None where every source is a stored map
    has_page: whether they are painted on a page, too
    """
    destination = Destination.parse(choice.output)
    formats = choose_formats(choice.formats, destination, default="color", allowed=FORMATS)
    kind, limit_m = _common_depth(sources or (), recipe)
    calibration = choice.calibration
    if calibration is not None:
        if recipe is not None:
            calibration.check(recipe.kind, recipe.provenance)
        kind, limit_m = DepthKind.METRIC, calibration.limit_of(limit_m)
    writers = [
        make_writer(name, kind=kind, limit_m=limit_m, depth_scale=choice.depth_scale, look=look, cloud=choice.cloud)
        for name in formats
    ]
    if sources is not None:
        refuse_for_pictures(sources, choice.explicit, "--kind", *(() if "png16" in formats else ("--depth-scale",)))
    check_used(choice, writers, elsewhere=("--depth-scale", *(_OF_PAGES if has_page else ())))

    def expect(source: ExportSource, writer: Writer) -> Record | None:
        kind, provenance = _made(source, recipe)
        if calibration is not None:
            kind, provenance = DepthKind.METRIC, calibration.apply_to(provenance)
        return writer.expect(source.name, kind=kind, provenance=provenance)

    def kind_of(source: ExportSource) -> DepthKind | None:
        if calibration is not None:
            return DepthKind.METRIC
        if isinstance(source, DepthSource):
            return source.record.kind if source.record is not None else source.kind
        return None if recipe is None else recipe.kind

    model = recipe.model.name if recipe is not None else "depth"
    return OutputRules(writers, destination, NameTemplate(choice.name), model, choice.existing, expect, kind_of)


def _made(source: ExportSource, recipe: Recipe | None) -> tuple[DepthKind, Provenance | None]:
    """What the depths of a source mean, and how they were made or will be."""
    if not isinstance(source, DepthSource):
        assert recipe is not None
        return recipe.kind, recipe.provenance
    return source.depth_kind, source.record.provenance if source.record else None


def _common_depth(sources: Sequence[ExportSource], recipe: Recipe | None) -> tuple[DepthKind, float | None]:
    """What the depths mean and reach to, as far as looks are checked against it at planning."""
    if recipe is not None:
        return recipe.kind, recipe.limit_m
    maps = [source for source in sources if isinstance(source, DepthSource)]
    limits = (each.record.limit_m for each in maps if each.record is not None)
    kind = maps[0].depth_kind if maps else DepthKind.METRIC
    return kind, next((limit_m for limit_m in limits if limit_m is not None), None)


class ExportStages:
    """Maps onto colours; pictures through a network first.

    network: what answers for pictures; None where there are none
    focal:   what is said about the cameras of stored maps
    calibration: what makes true metres of them
    """

    def __init__(
        self, network: Network | None, focal: FocalChoice | None = None, calibration: Calibration | None = None
    ) -> None:
        self._network = network
        self._focal = focal or FocalChoice()
        self._calibration = calibration
        self._estimator: DepthEstimator | None = None
        self._width = Width()

    def open(self) -> Width:
        """Load the model, if there is one and it has not been loaded by a pass before."""
        if self._network is not None and self._estimator is None:
            self._estimator, self._width = self._network.open_wide()
        return self._width

    def decode(self, task: ExportTask) -> Picture | Answer:
        """Read the picture, or the stored map."""
        if isinstance(task.source, DepthSource):
            stored = task.source.read()
            provenance = stored.record.provenance if stored.record else None
            camera = self._focal.camera(stored.depth.size, known=stored.camera)
            answer = Answer(stored.depth, provenance, odd_depth(stored.depth), camera)
            return calibrate_answer(answer, self._calibration)
        assert self._network is not None
        return self._network.read(task.source)

    def group(self, decoded: Picture | Answer) -> Hashable:
        """Pictures of one network size go together; stored maps need no company."""
        if isinstance(decoded, Answer):
            return None
        assert self._network is not None
        return self._network.network_size(decoded)

    def infer(self, batch: Sequence[Picture | Answer]) -> list[Answer]:
        """Depth for pictures; stored maps pass through."""
        pictures = [each for each in batch if isinstance(each, Picture)]
        if not pictures:
            return [each for each in batch if isinstance(each, Answer)]
        assert self._estimator is not None
        assert self._network is not None
        return ask(self._estimator, pictures, self._network)

    def finish(self, task: ExportTask, answer: Answer) -> Written:
        """Paint and write."""
        return write_result(
            task, Result(answer.depth, task.source, answer.provenance, answer.intrinsics, answer.warnings)
        )


class _Spread:
    """The first pass of a batch's range: the same way, but only to see how the depths are spread."""

    def __init__(self, stages: ExportStages) -> None:
        self.open = stages.open
        self.decode = stages.decode
        self.group = stages.group
        self.infer = stages.infer

    def finish(self, task: ExportTask, answer: Answer) -> DepthHistogram:
        del task
        return DepthHistogram.of(answer.depth)


@dataclass(frozen=True)
class ExportRun(PlannedRun[ExportSource, Picture | Answer, Answer]):
    """A planned run that takes two passes where one range is asked for all `sources`.

    replan: the plan for another look
    """

    stages: ExportStages
    sources: Sequence[ExportSource]
    look: Look
    replan: Callable[[Look], Plan[ExportSource]]
    page: Path | None = None

    def carry_out(self, show: Callable[[Outcome], None]) -> Ended:
        """Do it; `show` is told of every outcome as it comes."""
        plan, settled = self.plan, self.look
        if self.look.range.needs_settling and self._asks_for_range():
            settled, ended = _settle_range(self.sources, self.stages, self.look, self.pace)
            if ended != Ended():
                return ended
            plan = self.replan(settled)  # what is there already must have been painted in that range, too
        if self.page is not None:
            exhibit = exhibit_depth(settled)
            return run_with_page(plan, self.sources, self.stages, exhibit, self.pace, self.page, show, settled)
        return run_plan(plan, self.stages, self.pace, show)

    def _asks_for_range(self) -> bool:
        """Whether anything hangs on the range of the batch; not where all of it is there already, in one range."""
        painted = {output.range for outcome in self.plan.settled for output in outcome.outputs if output.range}
        return bool(self.plan.tasks) or self.page is not None or len(painted) > 1


def prepare_exports(
    choice: InputSettings,
    found: ExportInputs | None,
    results: OutputSettings,
    model: ModelSettings | None,
    pace: RunSettings,
) -> Run:
    """A run of exports, planned. Raises UsageError where it makes no sense.

    found:   the inputs; None where they come one by one on standard input
    model:   what answers for pictures; None where there are none
    """
    look, page, network = results.look or Look(), results.page, Network.of(model, results) if model else None
    recipe = network.recipe if network is not None else None
    if found is not None and found.content is Content.UNCERTAINTY:
        return prepare_uncertainty(found.found, results, look, pace)
    if (found is not None and found.content is Content.LABELS) or (recipe is not None and recipe.predicts_labels):
        return _prepare_labels(choice, found, results, look, network, pace, page)
    if network is not None and found is not None:
        network = network.expecting(found.sources)
    stages = ExportStages(network, (results.cloud or Cloud()).focal, results.calibration)
    if found is not None:
        inputs = found

        def plan_for(look: Look) -> Plan[ExportSource]:
            rules = export_rules(inputs.sources, recipe, results, look, has_page=page is not None)
            plan = make_plan(inputs.sources, rules)
            plan.add_found(inputs.refused, inputs.notes)
            return plan

        plan = plan_for(look)
        if page is not None:
            check_page(page, [source.path for source in found.sources if source.path is not None])
            plan.notes.append(f"all of them on one page: {page}")
        return ExportRun(plan, stages, pace, found.sources, look, plan_for, page)
    if page is not None:
        raise UsageError("--html needs all inputs beforehand, and a list on standard input comes one by one")
    if look.range.needs_settling:
        raise UsageError(
            "--range batch needs all inputs beforehand, and a list on standard input comes one by one",
            hint="Use --range NEAR:FAR, or --files-from a file.",
        )

    rules = export_rules(None, recipe, results, look)

    def interpret(source: ImageSource) -> ExportSource:
        known = check_is_exported(source, kind=choice.kind)
        return tell_apart(
            [known], kind=choice.kind, depth_scale=choice.depth_scale, depth_kind=choice.depth_kind or DepthKind.METRIC
        )[0]

    return StreamRun(read_stream(choice, extensions=EXTENSIONS), interpret, rules, stages, pace, choice.allow_empty)


def _prepare_labels(
    choice: InputSettings,
    found: ExportInputs | None,
    results: OutputSettings,
    look: Look,
    network: Network | None,
    pace: RunSettings,
    page: Path | None,
) -> Run:
    """The same for labels, stored or to be predicted. Raises UsageError for depth maps, and for what only depth has."""
    if network is None:
        assert found is not None
        return prepare_stored_labels(found.found, results, pace, side_by_side=look.side_by_side, page=page)
    name = network.recipe.model.name
    pictures: list[ImageSource] = []
    for source in found.sources if found is not None else ():
        picture = source.picture if isinstance(source, DepthSource) else source
        if picture is None or picture.given != source.given:
            raise UsageError(f"{source.given!r} is a depth map, and {name!r} labels pictures")
        pictures.append(picture)
    inputs = None if found is None else Found(tuple(pictures), tuple(found.refused), tuple(found.notes))
    return prepare_labels(
        choice, inputs, results, network, pace, default="color", side_by_side=look.side_by_side, page=page
    )


def _settle_range(
    sources: Sequence[ExportSource], stages: ExportStages, look: Look, pace: RunSettings
) -> tuple[Look, Ended]:
    """The first pass of `--range batch`: a look with one range for all sources.

    Sources that fail are left out; the second pass tells of them. Those whose outputs are there already count too, so
    that a run that goes on paints like the one that began.
    """
    seen: list[DepthHistogram] = []

    def collect(job: Job[ExportTask, Picture | Answer, Answer, DepthHistogram]) -> bool:
        if job.written is not None:
            seen[:] = [reduce(lambda one, other: one + other, seen, job.written)]
        return True

    tasks: list[ExportTask] = [Task(source, ()) for source in sources]
    ended = Engine(_Spread(stages), collect, workers=pace.threads, batch_size=pace.batch_size).run(tasks)
    return replace(look, range=merge_ranges(look.range, seen)), ended
