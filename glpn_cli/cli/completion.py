"""What a shell offers for words that the program knows; called while a command line is being typed."""

from __future__ import annotations


def complete_format(incomplete: str) -> list[str]:
    """Formats, after the commas that are there already."""
    from glpn_cli.depth_files import FORMATS

    before, comma, last = incomplete.rpartition(",")
    return [before + comma + name for name in FORMATS if name.startswith(last)]


def complete_colormap(incomplete: str) -> list[str]:
    """Colormaps."""
    from glpn_cli.colormaps import COLORMAPS

    return [name for name in COLORMAPS if name.startswith(incomplete)]


def complete_model(incomplete: str) -> list[str]:
    """Models that have a name of their own."""
    from glpn_cli.models.registry import REGISTRY

    return [name for name in REGISTRY if name.startswith(incomplete)]
