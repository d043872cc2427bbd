"""What a run makes of its inputs, as the command line says it: where results go, in which form, and what that asks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from glpn_cli.depth_files import FORMATS, Writer
from glpn_cli.depth_files.labels import LabelColor, Labels
from glpn_cli.depth_files.uncertainty import UncertaintyColor
from glpn_cli.pipeline.naming import Destination
from glpn_cli.pipeline.settings import OutputSettings

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


def check_used(outputs: OutputSettings, writers: Sequence[Writer], *, elsewhere: Collection[str] = ()) -> None:
    """Refuse typed options that change none of the files to be written (UsageError).

    elsewhere: options that are used by something else
    """
    destination = Destination.parse(outputs.output)
    if destination.is_stdout:
        outputs.explicit.refuse("--name", "--existing", because="makes no sense for standard output")
    elif destination.is_file:
        outputs.explicit.refuse("--name", because=f"names the result, and so does --output {outputs.output}")
    used = frozenset(elsewhere).union(*(_heeded_by(writer) for writer in writers))
    for option in outputs.explicit.among(*_SETTINGS):
        if option not in used:
            what, hint = _explain(option, writers)
            outputs.explicit.refuse(option, because=f"makes no sense for {what}", hint=hint)


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
