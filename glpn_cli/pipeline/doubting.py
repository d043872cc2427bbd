"""What `export` makes of maps of uncertainty: pictures of them, with their own bar in metres."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from glpn_cli.depth_files import Look, Record, Writer
from glpn_cli.depth_files.uncertainty import UNCERTAINTY, Uncertainty, UncertaintyColor, read_uncertainty
from glpn_cli.errors import UsageError
from glpn_cli.images import Found, ImageSource
from glpn_cli.pipeline.naming import Destination, NameTemplate, choose_formats
from glpn_cli.pipeline.outputs import check_used
from glpn_cli.pipeline.plan import make_plan
from glpn_cli.pipeline.running import PlannedRun, Run, Written, write_result
from glpn_cli.pipeline.settings import OutputSettings, RunSettings
from glpn_cli.pipeline.stages import StoredStages
from glpn_cli.pipeline.stored import find_record
from glpn_cli.pipeline.tasks import OutputRules, Task
from glpn_cli.prediction import DepthKind, Provenance, Result, SpreadMap


def is_uncertainty(source: ImageSource) -> bool:
    """Whether a source is a map of uncertainty that we wrote."""
    if source.path is None or source.path.suffix.lower() != Uncertainty.extension:
        return False
    record = find_record(source.content)
    return record is not None and record.map == UNCERTAINTY


@dataclass(frozen=True, eq=False)
class Doubted:
    """A map of uncertainty, and how it was made."""

    spread: SpreadMap
    provenance: Provenance | None


class UncertaintyStages(StoredStages[Doubted]):
    """Maps of uncertainty, to be painted without a network."""

    def decode(self, task: Task[ImageSource]) -> Doubted:
        """Read the map."""
        source = task.source
        spread, record = source.options.run(read_uncertainty, source.content, about=source.label)
        return Doubted(spread, record.provenance)

    def finish(self, task: Task[ImageSource], answer: Doubted) -> Written:
        """Paint and write."""
        return write_result(task, Result(answer.spread, task.source, answer.provenance))


def prepare_uncertainty(found: Found, results: OutputSettings, look: Look, pace: RunSettings) -> Run:
    """A run that paints maps of uncertainty, planned. Raises UsageError where it makes no sense."""
    because = "makes no sense for maps of uncertainty"
    results.explicit.refuse("--html", "--calibration", "--focal", "--kind", because=because)
    if look.range.needs_settling:
        raise UsageError(f"--range batch {because}", hint="Write --range NEAR:FAR.")
    formats = choose_formats(results.formats, Destination.parse(results.output), default="color", allowed=["color"])

    def expect(source: ImageSource, writer: Writer) -> Record | None:
        record = find_record(source.content)
        if record is None:
            return None
        return writer.expect(source.name, kind=record.depth_kind, provenance=record.provenance)

    writers: list[Writer] = [UncertaintyColor(look) for _ in formats]
    check_used(results, writers)
    for writer in writers:
        writer.check(DepthKind.METRIC, None)
    rules = OutputRules(
        writers,
        Destination.parse(results.output),
        NameTemplate(results.name),
        UNCERTAINTY,
        results.existing,
        expect,
        lambda _: None,
    )
    plan = make_plan([_named_after_picture(source) for source in found.sources], rules)
    plan.add_found(found.refused, found.notes)
    return PlannedRun(plan, UncertaintyStages(), pace)


def _named_after_picture(source: ImageSource) -> ImageSource:
    """`a/x_uncertainty.jpg` for `a/x_uncertainty.tiff` of `x.jpg`, so that a depth map's picture has another name."""
    record = find_record(source.content)
    suffix = PurePosixPath(record.source).suffix if record else ""
    return replace(source, name=str(PurePosixPath(source.name).with_suffix(suffix))) if suffix else source
