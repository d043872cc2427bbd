"""Which formats there are to write and to find: places that cannot read the table of formats, held to it."""

from __future__ import annotations

from dataclasses import fields

from glpn_cli.depth_files import FORMATS
from glpn_cli.pipeline.pairing import DEPTH_EXTENSIONS
from glpn_cli.pipeline.settings import OutputSettings


def test_help_and_searches_know_every_format() -> None:
    """A new format is a class and a line in the table: these are the places that cannot read that table."""
    formats = next(each for each in fields(OutputSettings) if each.name == "formats")
    help_text = formats.metadata["facts"]["help"]
    assert [name for name in FORMATS if name not in help_text] == []
    stored = {writer.extension for writer in FORMATS.values() if writer.map == "depth"}
    assert set(DEPTH_EXTENSIONS) == stored | {".tif"}
