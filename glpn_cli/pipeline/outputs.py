"""The files that a source becomes: which formats, written how, under which names. Known before an input is read."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from glpn_cli.depth_files import FORMATS, ColorizeOptions, Format, Record, make_writer
from glpn_cli.errors import UsageError
from glpn_cli.geometry import FocalChoice
from glpn_cli.models.settings import InferenceSettings
from glpn_cli.pipeline.naming import Destination, NameTemplate, choose_formats
from glpn_cli.pipeline.report import Output
from glpn_cli.pipeline.settings import Existing, ModelSettings, OutputSettings
from glpn_cli.pipeline.sources import Content, Source, Sources, StoredSource
from glpn_cli.prediction import DepthKind

if TYPE_CHECKING:
    from glpn_cli.calibration import Calibration

NORMALS = ("normals", "normals16", "normals-npz", "normals-exr")

_USED_BY: Mapping[Content, Mapping[str, tuple[str, ...]]] = {
    Content.DEPTH: {
        "png16": ("--depth-scale",),
        "ply": ("--axes", "--edge-cull", "--stride", "--voxel"),
        "glb": ("--edge-cull", "--max-faces"),
        **dict.fromkeys(NORMALS, ("--axes",)),
        "color": ("--colormap", "--range", "--invert", "--colorbar", "--side-by-side", "--contours"),
        "gray": ("--range", "--invert"),
        "gray16": ("--range", "--invert"),
    },
    Content.LABELS: {"color": ("--side-by-side",)},
    Content.UNCERTAINTY: {"color": ("--colormap", "--range", "--invert", "--colorbar")},
}
"""The options that only some formats use."""

_USED_BY_PAGE = ("--colormap", "--range", "--invert")
_USED_BY_DEPTH = ("--calibration", "--metres", "--focal", "--intrinsics", "--kind")
_LENGTHS = frozenset({"depth", "points", "uncertainty"})
"""The maps whose numbers are depths or lengths; the others hold colours and labels."""


@dataclass(frozen=True, slots=True)
class Target:
    """One file to write.

    path:     None is standard output
    kind:     the meaning of its depths; None where it has none, but labels or colours
    replaces: whether it may replace an existing file
    """

    path: str | None
    writer: Format
    kind: DepthKind | None
    replaces: bool = False

    def describe(self, record: Record | None = None) -> Output:
        """The file as reports name it; `record` is its own, once it is written."""
        return Output(
            path=self.path if self.path is not None else "-",
            format=self.writer.format,
            map=self.writer.map,
            unit=self.kind.unit if self.kind is not None and self.writer.map in _LENGTHS else None,
            depth_scale=record.depth_scale if record else getattr(self.writer, "depth_scale", None),
            range=record.painted if record else None,
        )


@dataclass(frozen=True)
class OutputRules:
    """The files that any source becomes.

    writers:   one a format
    model:     the {model} of file names
    inference: how pictures are predicted; None where every source is a stored map
    content:   what results are: depth, labels or uncertainty
    focal:     the camera that was asked for
    """

    writers: Sequence[Format]
    destination: Destination
    template: NameTemplate
    model: str
    existing: Existing
    inference: InferenceSettings | None = None
    calibration: Calibration | None = None
    content: Content = Content.DEPTH
    focal: FocalChoice = field(default_factory=FocalChoice)

    def expect(self, source: Source, writer: Format) -> Record | None:
        """The record of a file that is written now for a source; None for a format without record."""
        if isinstance(source, StoredSource):
            provenance = source.record.provenance if source.record else None
        else:
            assert self.inference is not None
            provenance = self.inference.provenance
        if self.content is Content.LABELS:
            from glpn_cli.depth_files.labels import Labels

            assert isinstance(writer, Labels)
            return writer.expect(source.name, provenance=provenance)
        kind = self._kind_of(source)
        if self.calibration is not None:
            kind, provenance = DepthKind.METRIC, self.calibration.apply_to(provenance)
        return writer.expect(source.name, kind=kind, provenance=provenance)

    def targets(self, source: Source) -> tuple[Target, ...]:
        """The files that a source becomes, whatever exists already."""
        kind = None
        if self.content is Content.DEPTH:
            kind = self._kind_of(source) if self.calibration is None else DepthKind.METRIC
        return tuple(Target(self._path(source, writer), writer, kind) for writer in self.writers)

    def name_of(self, writer: Format, name: str, *, parent: str) -> str:
        """The name of a writer's file below the destination, for the input `name`; see `NameTemplate.fill`.

        Where two formats share map and extension, as gray and gray16 do, {map} is the format.
        """
        likes = sum((each.map, each.extension) == (writer.map, writer.extension) for each in self.writers)
        shown = writer.map if likes == 1 else writer.format
        filled = self.template.fill(name, parent=parent, map=shown, format=writer.format, model=self.model)
        return filled + writer.extension

    def _kind_of(self, source: Source) -> DepthKind:
        """The meaning of a source's depths, before any calibration."""
        if isinstance(source, StoredSource):
            return source.depth_kind
        assert self.inference is not None
        return self.inference.kind

    def _path(self, source: Source, writer: Format) -> str | None:
        destination = self.destination
        if destination.path is None:
            return None
        if destination.is_file:
            return str(destination.path)
        parent = ""
        if self.template.asks_for_parent and source.path is not None:
            parent = source.path.absolute().parent.name
        # os.path, not Path: there may be 100,000 of them.
        name = self.name_of(writer, source.name, parent=parent)
        return os.path.normpath(os.path.join(destination.path, name))  # noqa: PTH118


def choose_outputs(inputs: Sources, model: ModelSettings | None, outputs: OutputSettings) -> OutputRules:
    """The files that the inputs become. Raises UsageError for formats and options that make no sense for them."""
    inference = model.inference if model is not None else None
    if inputs.content is Content.UNCERTAINTY:
        return _choose_for_uncertainty(outputs)
    if inputs.content is Content.LABELS or (inference is not None and inference.predicts_labels):
        return _choose_for_labels(inference, outputs)
    destination = Destination.parse(outputs.output)
    kind, limit_m = _common_depth(inputs, inference)
    if outputs.calibration is not None:
        if inference is not None:
            outputs.calibration.check(inference.kind, inference.provenance)
        kind, limit_m = DepthKind.METRIC, outputs.calibration.limit_of(limit_m)
    usual = "color" if outputs.paints else "png16" if kind.is_metric else "tiff"
    if inference is not None and outputs.calibration is None and not outputs.paints:
        usual = inference.usual_format
    formats = choose_formats(outputs.formats, destination, default=usual, allowed=tuple(FORMATS))
    scale, look, cloud = outputs.depth_scale, outputs.look, outputs.cloud
    writers = [
        make_writer(name, kind=kind, limit_m=limit_m, depth_scale=scale, look=look, cloud=cloud) for name in formats
    ]
    if model is not None and model.uncertainty:
        from glpn_cli.depth_files.uncertainty import Uncertainty

        model.inference.check_other_sizes()
        writers.append(Uncertainty())
    elsewhere = _USED_BY_PAGE if outputs.page is not None else ()
    if inputs.takes_maps:
        inputs.check_maps(outputs.explicit, "--kind", *(() if "png16" in formats else ("--depth-scale",)))
        elsewhere = ("--depth-scale", *elsewhere)
    check_used(outputs, writers, elsewhere=elsewhere)
    name = inference.model.name if inference is not None else "depth"
    template = NameTemplate(outputs.name)
    rules = OutputRules(writers, destination, template, name, outputs.existing, inference, outputs.calibration)
    return rules if cloud is None else replace(rules, focal=cloud.focal)


def _common_depth(inputs: Sources, inference: InferenceSettings | None) -> tuple[DepthKind, float | None]:
    """The meaning of the depths and the largest of them, as far as formats are checked against it at planning."""
    if inference is not None:
        return inference.kind, inference.limit_m
    maps = [source for source in inputs.sources if isinstance(source, StoredSource)]
    limits = (each.record.limit_m for each in maps if each.record is not None)
    kinds = [each.depth_kind for each in maps] or [DepthKind.METRIC]
    kind = DepthKind.METRIC if DepthKind.METRIC in kinds else kinds[0]  # one of another kind fails alone, in its turn
    return kind, next((limit_m for limit_m in limits if limit_m is not None), None)


def _choose_for_labels(inference: InferenceSettings | None, outputs: OutputSettings) -> OutputRules:
    """The files of label maps, predicted or stored. Raises UsageError for options that only depth has."""
    from glpn_cli.depth_files.labels import LABEL_FORMATS, make_label_writer

    if inference is None:
        outputs.explicit.refuse(*_USED_BY_DEPTH, because="makes no sense for labels")
        usual, allowed, name = "color", ["color"], "labels"
    else:
        name = inference.model.name
        because = f"makes no sense for {name!r}, which predicts labels"
        outputs.explicit.refuse(*_USED_BY_DEPTH, "--upsample", "--uncertainty", because=because)
        usual = "color" if outputs.paints else "labels"
        allowed = [*LABEL_FORMATS, *(each for each in FORMATS if each not in LABEL_FORMATS)]
    destination = Destination.parse(outputs.output)
    formats = choose_formats(outputs.formats, destination, default=usual, allowed=allowed)
    side_by_side = outputs.look is not None and outputs.look.side_by_side
    writers: list[Format] = [make_label_writer(each, side_by_side=side_by_side) for each in formats]
    check_used(outputs, writers, Content.LABELS)
    template = NameTemplate(outputs.name)
    return OutputRules(writers, destination, template, name, outputs.existing, inference, content=Content.LABELS)


def _choose_for_uncertainty(outputs: OutputSettings) -> OutputRules:
    """The files of stored maps of uncertainty. Raises UsageError for what they cannot be."""
    from glpn_cli.depth_files.uncertainty import UncertaintyColor

    look, because = outputs.look or ColorizeOptions(), "makes no sense for maps of uncertainty"
    outputs.explicit.refuse("--html", "--calibration", "--focal", "--intrinsics", "--kind", because=because)
    if look.range.needs_settling:
        raise UsageError(f"--range batch {because}", hint="Write --range NEAR:FAR.")
    destination = Destination.parse(outputs.output)
    choose_formats(outputs.formats, destination, default="color", allowed=["color"])
    writer = UncertaintyColor(look)
    check_used(outputs, [writer], Content.UNCERTAINTY)
    writer.check(DepthKind.METRIC, None)
    template = NameTemplate(outputs.name)
    return OutputRules([writer], destination, template, "uncertainty", outputs.existing, content=Content.UNCERTAINTY)


def check_used(
    outputs: OutputSettings,
    writers: Sequence[Format],
    content: Content = Content.DEPTH,
    *,
    elsewhere: Collection[str] = (),
) -> None:
    """Refuse typed options that change none of the files to be written (UsageError).

    content:   what the files hold
    elsewhere: options that something else uses
    """
    destination = Destination.parse(outputs.output)
    if destination.is_stdout:
        outputs.explicit.refuse("--name", "--existing", because="makes no sense for standard output")
    elif destination.is_file:
        outputs.explicit.refuse("--name", because=f"names the result, and so does --output {outputs.output}")
    used_by = _USED_BY[content]
    used = frozenset(elsewhere).union(*(used_by.get(writer.format, ()) for writer in writers))
    known = (option for formats in _USED_BY.values() for options in formats.values() for option in options)
    for option in outputs.explicit.among(*dict.fromkeys(known)):
        if option in used:
            continue
        if content is Content.DEPTH:
            files = f"{' and '.join(writer.format for writer in writers)} files"
            hint = f"It is for -f {', '.join(name for name, options in used_by.items() if option in options)}."
        elif content is Content.LABELS:
            files, hint = "labels", "Leave it out."
        else:
            files, hint = "maps of uncertainty", f"They can be changed with {', '.join(used_by['color'])}."
        outputs.explicit.refuse(option, because=f"makes no sense for {files}", hint=hint)
