"""What `predict` puts through the engine: pictures in, depth maps out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from glpn_cli.depth_files import FORMATS, Record, Uncertainty, Writer, make_writer
from glpn_cli.errors import UsageError
from glpn_cli.images import PICTURE_EXTENSIONS, Found, ImageSource, Picture
from glpn_cli.models.settings import Recipe
from glpn_cli.pipeline.answers import Answer, ask, calibrate
from glpn_cli.pipeline.inputs import check_is_picture
from glpn_cli.pipeline.naming import Destination, NameTemplate, choose_formats
from glpn_cli.pipeline.network import Network, NetworkStages
from glpn_cli.pipeline.outputs import check_used
from glpn_cli.pipeline.plan import make_plan
from glpn_cli.pipeline.running import PlannedRun, Run, Written, write_result
from glpn_cli.pipeline.settings import InputSettings, ModelSettings, OutputSettings, RunSettings
from glpn_cli.pipeline.streaming import StreamRun, read_stream
from glpn_cli.pipeline.tasks import OutputRules, Task
from glpn_cli.prediction import DepthKind, Result


def prediction_rules(recipe: Recipe, choice: OutputSettings, *, uncertainty: bool) -> OutputRules[ImageSource]:
    """What becomes of pictures. Raises UsageError for formats that make no sense or cannot hold the model's range."""
    destination = Destination.parse(choice.output)
    kind, limit_m = recipe.kind, recipe.limit_m
    if choice.calibration is not None:
        choice.calibration.check(kind, recipe.provenance)
        kind, limit_m = DepthKind.METRIC, choice.calibration.limit_of(limit_m)
    default = "png16" if kind.is_metric else "tiff"
    formats = choose_formats(choice.formats, destination, default=default, allowed=list(FORMATS))
    writers = [
        make_writer(name, kind=kind, limit_m=limit_m, depth_scale=choice.depth_scale, cloud=choice.cloud)
        for name in formats
    ]
    if uncertainty:
        writers.append(Uncertainty())
    check_used(choice, writers)

    def expect(source: ImageSource, writer: Writer) -> Record | None:
        kind, provenance = calibrate(recipe.kind, recipe.provenance, choice.calibration)
        return writer.expect(source.name, kind=kind, provenance=provenance)

    return OutputRules(
        writers, destination, NameTemplate(choice.name), recipe.model.name, choice.existing, expect, lambda _: kind
    )


def prepare_predictions(
    choice: InputSettings, found: Found | None, results: OutputSettings, model: ModelSettings, pace: RunSettings
) -> Run:
    """A run of predictions, planned. Raises UsageError where it makes no sense.

    found: the inputs; None where they come one by one on standard input
    """
    network = Network.of(model, results)
    if network.recipe.predicts_labels:
        if network.uncertainty:
            raise UsageError(f"--uncertainty is about depth, and {network.recipe.model.name!r} predicts labels")
        from glpn_cli.pipeline.labelling import prepare_labels

        return prepare_labels(choice, found, results, network, pace, default="labels")
    rules = prediction_rules(network.recipe, results, uncertainty=network.uncertainty)
    if found is None:
        stages = PredictStages(network)
        items = read_stream(choice, extensions=PICTURE_EXTENSIONS)
        return StreamRun(items, partial(check_is_picture, kind=choice.kind), rules, stages, pace, choice.allow_empty)
    plan = make_plan(found.sources, rules)
    plan.add_found(found.refused, found.notes)
    return PlannedRun(plan, PredictStages(network.expecting(found.sources)), pace)


class PredictStages(NetworkStages):
    """Pictures through a network that answers depth."""

    def infer(self, batch: Sequence[Picture]) -> list[Answer]:
        """Depth for pictures of one network size."""
        return ask(self._estimator, batch, self._network)

    def finish(self, task: Task[ImageSource], answer: Answer) -> Written:
        """Write the files."""
        result = Result(
            answer.depth, task.source, answer.provenance, answer.intrinsics, answer.warnings, answer.uncertainty
        )
        return write_result(task, result)
