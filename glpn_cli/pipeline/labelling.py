"""What a model that answers labels puts through the engine: pictures in, label maps or painted ones out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from glpn_cli.depth_files import FORMATS, Record, Writer, is_own_output, read_record
from glpn_cli.depth_files.labels import LABEL_FORMATS, Labels, make_label_writer, read_labels
from glpn_cli.errors import InputError, UsageError
from glpn_cli.images import PICTURE_EXTENSIONS, Found, ImageSource, Picture
from glpn_cli.models.settings import Recipe
from glpn_cli.pipeline.engine import Ended
from glpn_cli.pipeline.exhibiting import read_for_page, run_with_page
from glpn_cli.pipeline.gallery import Entry, check_page, make_label_entry
from glpn_cli.pipeline.inputs import check_is_picture
from glpn_cli.pipeline.naming import Destination, NameTemplate, choose_formats
from glpn_cli.pipeline.network import Network, NetworkStages
from glpn_cli.pipeline.outcome import Outcome
from glpn_cli.pipeline.outputs import check_used
from glpn_cli.pipeline.plan import Plan, make_plan
from glpn_cli.pipeline.running import PlannedRun, Run, Written, run_plan, write_result
from glpn_cli.pipeline.settings import InputSettings, OutputSettings, RunSettings
from glpn_cli.pipeline.stages import StoredStages
from glpn_cli.pipeline.stored import find_record
from glpn_cli.pipeline.streaming import StreamRun, read_stream
from glpn_cli.pipeline.tasks import OutputRules, Task
from glpn_cli.prediction import LabelMap, Provenance, Result

if TYPE_CHECKING:
    pass

D = TypeVar("D")

_OF_DEPTH = ("--calibration", "--metres", "--focal", "--kind")
"""Options that labels have no use for, whatever is written."""


def label_rules(
    recipe: Recipe, choice: OutputSettings, *, default: str, side_by_side: bool = False
) -> OutputRules[ImageSource]:
    """What becomes of pictures. Raises UsageError for formats and settings that labels do not have."""
    because = f"makes no sense for {recipe.model.name!r}, which predicts labels"
    choice.explicit.refuse(*_OF_DEPTH, "--upsample", because=because)
    destination = Destination.parse(choice.output)
    names = [*LABEL_FORMATS, *(name for name in FORMATS if name not in LABEL_FORMATS)]
    formats = choose_formats(choice.formats, destination, default=default, allowed=names)
    writers: list[Writer] = [make_label_writer(name, side_by_side=side_by_side) for name in formats]
    check_used(choice, writers)

    def expect(source: ImageSource, writer: Writer) -> Record | None:
        assert isinstance(writer, Labels)
        return writer.expect(source.name, provenance=recipe.provenance)

    return OutputRules(
        writers, destination, NameTemplate(choice.name), recipe.model.name, choice.existing, expect, lambda _: None
    )


@dataclass(frozen=True, eq=False)
class Labelled:
    """A label map, how it was made, and what is odd about its picture."""

    labels: LabelMap
    provenance: Provenance | None
    warnings: tuple[str, ...]


class LabelStages(NetworkStages):
    """Pictures through a network that answers labels."""

    def infer(self, batch: Sequence[Picture]) -> list[Labelled]:
        """Labels for pictures of one network size."""
        answers = zip(batch, self._estimator.label_pictures(batch), strict=True)
        return [Labelled(labels, self._estimator.provenance(seen), seen.warnings) for seen, labels in answers]

    def finish(self, task: Task[ImageSource], answer: Labelled) -> Written:
        """Write the files."""
        return write_result(task, Result(answer.labels, task.source, answer.provenance, warnings=answer.warnings))


@dataclass(frozen=True)
class _LabelRun(PlannedRun[ImageSource, D, Labelled]):
    """A planned run that may put all `sources` onto a page."""

    sources: Sequence[ImageSource]
    page: Path | None = None

    def carry_out(self, show: Callable[[Outcome], None]) -> Ended:
        """Do it; `show` is told of every outcome as it comes."""
        if self.page is None:
            return run_plan(self.plan, self.stages, self.pace, show)
        return run_with_page(self.plan, self.sources, self.stages, exhibit_labels, self.pace, self.page, show)


def exhibit_labels(source: ImageSource, answer: Labelled, warnings: tuple[str, ...]) -> Entry:
    """How labels appear on a page."""
    picture = source.picture if isinstance(source, LabelSource) else source
    return make_label_entry(
        source.name,
        answer.labels,
        read_for_page(picture, answer.labels.size),
        provenance=answer.provenance,
        warnings=warnings,
    )


def _plan(found: Found, rules: OutputRules[ImageSource], page: Path | None) -> Plan[ImageSource]:
    """Raises UsageError for a page that cannot be written."""
    plan = make_plan(found.sources, rules)
    plan.add_found(found.refused, found.notes)
    if page is not None:
        check_page(page, [source.path for source in found.sources if source.path is not None])
        plan.notes.append(f"all of them on one page: {page}")
    return plan


def prepare_labels(
    choice: InputSettings,
    found: Found | None,
    results: OutputSettings,
    network: Network,
    pace: RunSettings,
    *,
    default: str,
    side_by_side: bool = False,
    page: Path | None = None,
) -> Run:
    """A run of labelling, planned. Raises UsageError where it makes no sense.

    found:   the inputs; None where they come one by one on standard input
    default: the format where none is asked for
    side_by_side: of what is painted
    page:    the HTML file that shows all of them
    """
    rules = label_rules(network.recipe, results, default=default, side_by_side=side_by_side)
    if found is None:
        if page is not None:
            raise UsageError("--html needs all inputs beforehand, and a list on standard input comes one by one")
        stages = LabelStages(network)
        items = read_stream(choice, extensions=PICTURE_EXTENSIONS)
        return StreamRun(items, partial(check_is_picture, kind=choice.kind), rules, stages, pace, choice.allow_empty)
    stages = LabelStages(network.expecting(found.sources))
    return _LabelRun(_plan(found, rules, page), stages, pace, found.sources, page)


@dataclass(frozen=True, slots=True)
class LabelSource(ImageSource):
    """A file of labels under the name of its picture, and that picture where it is at hand."""

    picture: ImageSource | None = None

    def read_colors(self) -> NDArray[np.uint8]:
        """The picture. Raises InputError where it is not at hand."""
        if self.picture is None:
            raise InputError(
                "the picture that it was made of is not beside it",
                hint="Name the folder of the pictures too: glpn export PICTURES LABELS --side-by-side",
            )
        return self.picture.read_colors()


def tell_labels(
    sources: Sequence[ImageSource], *, named: frozenset[str] | None
) -> tuple[list[LabelSource], list[ImageSource]]:
    """The files of labels among the inputs, or everything else; one of the two is empty.

    A file of labels comes with its picture where that is an input too, or lies beside. Labels that a scan found among
    things that they are not of are left out.

    named: what was asked for by name; None: everything was

    Raises UsageError for labels that were asked for among such things.
    """
    records = [_record_of(source) for source in sources]
    found: list[LabelSource] = []
    others: list[ImageSource] = []
    for source, record in zip(sources, records, strict=True):
        if record is not None and record.map == Labels.map:
            found.append(_stored_labels(source, record))
        else:
            others.append(source)
    pictures = {source.name: source for source in others}
    if pictures.keys() <= {source.name for source in found}:
        return [replace(source, picture=pictures.get(source.name, source.picture)) for source in found], []
    for source in found:
        if named is None or source.given in named:
            raise UsageError(
                f"{source.given!r} is a map of labels, among inputs that are none", hint="Export them apart."
            )
    return [], others


def is_stored_labels(path: Path) -> bool:
    """Whether a file holds labels that we wrote; quick, for scans."""
    if path.suffix.lower() != Labels.extension or not is_own_output(path):
        return False
    record = find_record(path)
    return record is not None and record.map == Labels.map


def _record_of(source: ImageSource) -> Record | None:
    """What a PNG file of ours says about itself; what cannot be read is told when its turn comes."""
    if source.path is not None and source.path.suffix.lower() != Labels.extension:
        return None
    return find_record(source.content)


def _stored_labels(source: ImageSource, record: Record) -> LabelSource:
    own = PurePosixPath(source.name)
    stem = own.stem.removesuffix(f"_{Labels.map}") or own.stem
    name = str(own.with_name(stem + PurePosixPath(record.source).suffix))
    picture = None
    if source.path is not None:
        beside = source.path.with_name(PurePosixPath(record.source).name or source.path.name)
        picture = replace(source, path=beside, name=name) if beside != source.path and beside.is_file() else None
    return LabelSource(source.path, name, source.given, source.data, source.options, picture)


class StoredLabelStages(StoredStages[Labelled]):
    """Files of labels, to be painted without a network."""

    def decode(self, task: Task[ImageSource]) -> Labelled:
        """Read the labels."""
        record = read_record(task.source.content)
        labels = task.source.options.run(read_labels, task.source.content, about=task.source.label)
        return Labelled(labels, record.provenance if record else None, ())

    def finish(self, task: Task[ImageSource], answer: Labelled) -> Written:
        """Paint and write."""
        return write_result(task, Result(answer.labels, task.source, answer.provenance))


def prepare_stored_labels(
    found: Found, results: OutputSettings, pace: RunSettings, *, side_by_side: bool = False, page: Path | None = None
) -> Run:
    """A run that paints files of labels, planned. Raises UsageError where it makes no sense."""
    results.explicit.refuse(*_OF_DEPTH, because="makes no sense for labels")
    formats = choose_formats(results.formats, Destination.parse(results.output), default="color", allowed=["color"])

    def expect(source: ImageSource, writer: Writer) -> Record | None:
        assert isinstance(writer, Labels)
        record = read_record(source.content)
        return writer.expect(source.name, provenance=record.provenance if record else None)

    writers: list[Writer] = [make_label_writer(name, side_by_side=side_by_side) for name in formats]
    check_used(results, writers)
    rules = OutputRules(
        writers,
        Destination.parse(results.output),
        NameTemplate(results.name),
        "labels",
        results.existing,
        expect,
        lambda _: None,
    )
    return _LabelRun(_plan(found, rules, page), StoredLabelStages(), pace, found.sources, page)
