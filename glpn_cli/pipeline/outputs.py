"""What a run makes of its inputs, as the command line says it: where results go, in which form, and what that asks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from glpn_cli.depth_files import FORMATS, Cloud, Writer
from glpn_cli.depth_files.calibration import Calibration
from glpn_cli.depth_files.labels import LabelColor, Labels
from glpn_cli.depth_files.uncertainty import UncertaintyColor
from glpn_cli.pipeline.naming import Destination, NameTemplate
from glpn_cli.pipeline.policies import Asked, Existing
from glpn_cli.prediction import DepthKind

_HEEDED: Mapping[type[Writer], tuple[str, ...]] = {
    FORMATS["png16"]: ("--depth-scale",),
    FORMATS["ply"]: ("--axes", "--edge-cull"),
    FORMATS["color"]: ("--colormap", "--range", "--invert", "--colorbar", "--side-by-side", "--contours"),
    FORMATS["gray"]: ("--range", "--invert"),
    FORMATS["gray16"]: ("--range", "--invert"),
    LabelColor: ("--side-by-side",),
    UncertaintyColor: ("--colormap", "--range", "--invert", "--colorbar"),
}
"""The options that only some files look at, by who writes them."""

_SETTINGS = tuple(dict.fromkeys(option for options in _HEEDED.values() for option in options))


@dataclass(frozen=True)
class OutputChoice:
    """Where results go and in which form, as the command line says it.

    formats:     a comma-separated list; None is the output file's extension, or the command's default
    depth_scale: stored units per metre, for integers
    cloud:       how points in space are made
    calibration: what makes true metres of the depths
    uncertainty: also write how sure the network is
    depth_kind:  what depth maps mean that do not say
    asked:       which options were typed
    """

    output: str = "."
    formats: str | None = None
    name: NameTemplate = NameTemplate()  # noqa: RUF009 - frozen
    depth_scale: float | None = None
    existing: Existing = Existing.SKIP
    cloud: Cloud = field(default_factory=Cloud)
    calibration: Calibration | None = None
    uncertainty: bool = False
    depth_kind: DepthKind = DepthKind.METRIC
    asked: Asked = Asked()  # noqa: RUF009 - frozen

    @property
    def destination(self) -> Destination:
        """Where results go. Raises UsageError."""
        return Destination.parse(self.output)

    def check_heeded(self, writers: Sequence[Writer], *, elsewhere: Collection[str] = ()) -> None:
        """Refuse options that were typed and that nothing looks at which is to be written (UsageError).

        elsewhere: those that something else looks at
        """
        if self.destination.is_stdout:
            self.asked.refuse("--name", "--existing", because="makes no sense for standard output")
        elif self.destination.is_file:
            self.asked.refuse("--name", because=f"names the result, and so does --output {self.output}")
        heeded = frozenset(elsewhere).union(*(_heeded_by(writer) for writer in writers))
        for option in self.asked.among(*_SETTINGS):
            if option not in heeded:
                what, hint = _explain(option, writers)
                self.asked.refuse(option, because=f"makes no sense for {what}", hint=hint)


def _heeded_by(writer: Writer) -> tuple[str, ...]:
    return _HEEDED.get(type(writer), ())


def _explain(option: str, writers: Sequence[Writer]) -> tuple[str, str]:
    """What the files are that do not look at an option, and what to do."""
    kinds = {type(writer) for writer in writers}
    if kinds <= {Labels, LabelColor}:
        return "labels", "Leave it out."
    if kinds == {UncertaintyColor}:
        can_be = ", ".join(_HEEDED[UncertaintyColor])
        return "maps of uncertainty", f"What can be chosen is {can_be}."
    formats = [name for name, writer in FORMATS.items() if option in _HEEDED.get(writer, ())]
    return f"{' and '.join(writer.format for writer in writers)} files", f"It is for -f {' and '.join(formats)}."
