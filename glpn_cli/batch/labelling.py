"""What a model that answers labels puts through the engine: pictures in, label maps or painted ones out."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from glpn_cli.batch.inputs import InputChoice, check_is_picture
from glpn_cli.batch.naming import choose_formats
from glpn_cli.batch.plan import make_plan
from glpn_cli.batch.predicting import Network, OutputChoice
from glpn_cli.batch.running import Pace, PlannedRun, Run, Written, write_result
from glpn_cli.batch.streaming import StreamRun, read_stream
from glpn_cli.batch.tasks import OutputRules, Task
from glpn_cli.depth_files import FORMATS, Record, Writer
from glpn_cli.depth_files.labels import LABEL_FORMATS, Labels, make_label_writer
from glpn_cli.errors import UsageError
from glpn_cli.images import PICTURE_EXTENSIONS, Found, ImageSource, Picture
from glpn_cli.models.recipe import Recipe
from glpn_cli.prediction import LabelMap, Provenance, Result

if TYPE_CHECKING:
    from glpn_cli.predictor import DepthEstimator


def label_rules(recipe: Recipe, choice: OutputChoice, *, default: str) -> OutputRules[ImageSource]:
    """What becomes of pictures. Raises UsageError for formats and settings that labels do not have."""
    if choice.calibration is not None:
        raise UsageError(f"--calibration makes no sense for {recipe.model.name!r}, which predicts labels")
    destination = choice.destination
    names = [*LABEL_FORMATS, *(name for name in FORMATS if name not in LABEL_FORMATS)]
    formats = choose_formats(choice.formats, destination, default=default, allowed=names)
    writers: list[Writer] = [make_label_writer(name) for name in formats]

    def expect(source: ImageSource, writer: Writer) -> Record | None:
        assert isinstance(writer, Labels)
        return writer.expect(source.name, provenance=recipe.provenance)

    return OutputRules(writers, destination, choice.name, recipe.model.name, choice.existing, expect)


@dataclass(frozen=True, eq=False)
class Labelled:
    """A label map, how it was made, and what is odd about its picture."""

    labels: LabelMap
    provenance: Provenance
    warnings: tuple[str, ...]


class LabelStages:
    """Pictures through a network that answers labels."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._estimator: DepthEstimator | None = None

    def open(self) -> None:
        """Load the model."""
        self._estimator = self._network.open()

    def decode(self, task: Task[ImageSource]) -> Picture:
        """Read the picture."""
        return task.source.read()

    def group(self, decoded: Picture) -> Hashable:
        """Pictures of one network size go together."""
        return self._network.network_size(decoded)

    def infer(self, batch: Sequence[Picture]) -> list[Labelled]:
        """Labels for pictures of one network size."""
        estimator = self._estimator
        assert estimator is not None
        return [
            Labelled(labels, estimator.provenance(picture), picture.warnings)
            for picture, labels in zip(batch, estimator.label_pictures(batch), strict=True)
        ]

    def finish(self, task: Task[ImageSource], answer: Labelled) -> Written:
        """Write the files."""
        return write_result(task, Result(answer.labels, task.source, answer.provenance, warnings=answer.warnings))


def prepare_labels(
    choice: InputChoice,
    found: Found | None,
    results: OutputChoice,
    network: Network,
    pace: Pace,
    *,
    default: str,
) -> Run:
    """A run of labelling, planned. Raises UsageError where it makes no sense.

    found:   the inputs; None where they come one by one on standard input
    default: the format where none is asked for
    """
    rules, stages = label_rules(network.recipe, results, default=default), LabelStages(network)
    if found is None:
        items = read_stream(choice, extensions=PICTURE_EXTENSIONS)
        return StreamRun(items, partial(check_is_picture, kind=choice.kind), rules, stages, pace, choice.allow_empty)
    plan = make_plan(found.sources, rules)
    plan.add_found(found.refused, found.notes)
    return PlannedRun(plan, stages, pace)
