"""Options as fields of settings: each has one spelling, one letter, one help text and one default.

Neither Typer nor a heavy room is imported here: rooms declare their settings, and `glpn_cli.cli` offers them.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field
from typing import Any

from glpn_cli.errors import UsageError

ARGUMENTS, INPUTS, MODEL, OUTPUTS, SPACE, BATCH = "Arguments", "Inputs", "Model", "Outputs", "Space", "Whole runs"
"""Chapters of the help screens: the `PANEL` of a class of settings."""

MAX_PIXELS = 250_000_000
"""The most pixels of a picture or a map, unless more are asked for: the default of `--max-pixels`."""

DEFAULT_COLORMAP = "spectral"
"""How depth is painted, unless another colormap is asked for: the default of `--colormap`."""

MAX_FACES = 1_000_000
"""The most triangles of a mesh, unless more are asked for: viewers on a phone still turn it."""

OF_NETWORKS = ("--model", "--max-depth", "--input-size", "--tta", "--upsample", "--metres")
"""The options that change the answer of a network, and nothing in depth that was made earlier. Those about how it
computes, such as `--precision`, are not among them: they promise nothing where no network runs."""

READ_SCALE = {"depth_scale": "Units per metre in integer files that do not say it themselves."}
"""The help of `--depth-scale` in commands that read depth and write none."""


def option(spec: str, default: Any, help: str, *, panel: str | None = None, **more: Any) -> Any:
    """A field that is an option, written as on its help screen: `-o, --output PATH`.

    default: ... where it must be given
    panel:   the chapter of the help screen, where it is not that of the class
    more:    what else `typer.Option` takes
    """
    names, _, metavar = spec.replace(", ", ",").partition(" ")
    return _field(default, names.split(","), metavar=metavar or None, help=help, rich_help_panel=panel, **more)


def argument(metavar: str, default: Any, help: str) -> Any:
    """A field that is an argument."""
    return _field(default, [], metavar=metavar, help=help, rich_help_panel=ARGUMENTS)


def _field(default: Any, names: list[str], **facts: Any) -> Any:
    metadata = {"names": names, "facts": facts}
    if isinstance(default, list):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=MISSING if default is ... else default, metadata=metadata)


@dataclass(frozen=True)
class ExplicitOptions:
    """The options that the user typed, by their long names; environment variables and defaults do not count.

    An option that changes nothing is an error, never ignored.
    """

    options: frozenset[str] = frozenset()

    def among(self, *options: str) -> tuple[str, ...]:
        """Those of `options` that were typed, in their order."""
        return tuple(option for option in options if option in self.options)

    def refuse(self, *options: str, because: str, hint: str | None = None) -> None:
        """Raise UsageError for the first of `options` that was typed; `because` follows its name in the message."""
        for option in self.among(*options):
            raise UsageError(f"{option} {because}", hint=hint or "Leave it out.")


def parse_count(text: str | int) -> int:
    """A number of things, with k, M or G for thousands, millions, billions: 250M. Raises UsageError."""
    if isinstance(text, int):
        return text
    factor = {"k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9}.get(text[-1:], 1)
    digits = text[:-1] if factor > 1 else text
    if not (digits.isascii() and digits.isdigit()) or int(digits) == 0:
        raise UsageError(f"{text!r} is no count (like 5000, 250k or 250M)")
    return int(digits) * factor
