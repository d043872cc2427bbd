"""A page to look at: all maps of a run with their pictures, in one HTML file that needs nothing else."""

from glpn_cli.pipeline.gallery.page import Page, check_page

__all__ = ["Page", "check_page"]
