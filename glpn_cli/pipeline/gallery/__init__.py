"""A page to look at: all maps of a run with their pictures, in one HTML file that needs nothing else."""

from glpn_cli.pipeline.gallery.entries import Entry, make_entry, make_label_entry
from glpn_cli.pipeline.gallery.page import Gallery, check_page

__all__ = ["Entry", "Gallery", "check_page", "make_entry", "make_label_entry"]
