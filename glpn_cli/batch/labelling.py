"""What a model that answers labels puts through the engine: pictures in, label maps or painted ones out."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from glpn_cli.batch.inputs import InputChoice, check_is_picture
from glpn_cli.batch.naming import choose_formats
from glpn_cli.batch.plan import make_plan
from glpn_cli.batch.predicting import Network, OutputChoice
from glpn_cli.batch.running import Pace, PlannedRun, Run, Written, write_result
from glpn_cli.batch.streaming import StreamRun, read_stream
from glpn_cli.batch.tasks import OutputRules, Task
from glpn_cli.depth_files import FORMATS, Record, Writer, read_record
from glpn_cli.depth_files.labels import LABEL_FORMATS, Labels, make_label_writer, read_labels
from glpn_cli.errors import InputError, UsageError
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
    provenance: Provenance | None
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
        return self._network.read(task.source)

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


def find_stored_labels(sources: Sequence[ImageSource]) -> list[ImageSource] | None:
    """The same inputs by the names of their pictures where they are files of labels; None where none of them is.

    Raises UsageError for labels among other things.
    """
    records = [_record_of(source) for source in sources]
    stored = [record is not None and record.map == Labels.map for record in records]
    if not any(stored):
        return None
    if not all(stored):
        odd = sources[stored.index(True)]
        raise UsageError(f"{odd.given!r} is a map of labels, among inputs that are none", hint="Export them apart.")
    return [_named_after_picture(source, record) for source, record in zip(sources, records, strict=True) if record]


def _record_of(source: ImageSource) -> Record | None:
    """What a PNG file of ours says about itself; what cannot be read is told when its turn comes."""
    if source.path is None or source.path.suffix.lower() != Labels.extension:
        return None
    try:
        return read_record(source.path)
    except InputError:
        return None


def _named_after_picture(source: ImageSource, record: Record) -> ImageSource:
    own = PurePosixPath(source.name)
    stem = own.stem.removesuffix(f"_{Labels.map}") or own.stem
    return replace(source, name=str(own.with_name(stem + PurePosixPath(record.source).suffix)))


class StoredLabelStages:
    """Files of labels, to be painted without a network."""

    def open(self) -> None:
        """There is nothing to open."""

    def decode(self, task: Task[ImageSource]) -> Labelled:
        """Read the labels."""
        assert task.source.path is not None
        record = read_record(task.source.path)
        labels = task.source.options.run(read_labels, task.source.path, about=task.source.label)
        return Labelled(labels, record.provenance if record else None, ())

    def group(self, decoded: Labelled) -> Hashable:  # noqa: ARG002
        """They need no company."""
        return None

    def infer(self, batch: Sequence[Labelled]) -> list[Labelled]:
        """They are answers already."""
        return list(batch)

    def finish(self, task: Task[ImageSource], answer: Labelled) -> Written:
        """Paint and write."""
        return write_result(task, Result(answer.labels, task.source, answer.provenance))


def prepare_stored_labels(found: Found, results: OutputChoice, pace: Pace) -> Run:
    """A run that paints files of labels, planned. Raises UsageError where it makes no sense."""
    formats = choose_formats(results.formats, results.destination, default="color", allowed=["color"])

    def expect(source: ImageSource, writer: Writer) -> Record | None:
        assert isinstance(writer, Labels)
        assert source.path is not None
        record = read_record(source.path)
        return writer.expect(source.name, provenance=record.provenance if record else None)

    writers: list[Writer] = [make_label_writer(name) for name in formats]
    rules = OutputRules(writers, results.destination, results.name, "labels", results.existing, expect)
    plan = make_plan(found.sources, rules)
    plan.add_found(found.refused, found.notes)
    return PlannedRun(plan, StoredLabelStages(), pace)
